"""What the examples share: events to run on, a layer's formula without Starling, and the table before and after."""

import argparse
import ctypes
import platform
import time

import torch
import torch_geometric
from torch import nn
from torch_geometric.nn import MessagePassing


def knn_graph_before():
    """(what it is, knn_graph) of a model without Starling: torch_cluster's where it is installed, else plain torch."""
    try:
        import torch_cluster

        return f"torch_cluster {torch_cluster.__version__}", torch_cluster.knn_graph
    except (ImportError, OSError):
        return "torch.cdist and topk (torch_cluster is not installed)", plain_knn_graph


def plain_knn_graph(x, k, batch, loop):
    """All distances of a block of points to its event, and topk. Only what the examples need: loop = True."""
    assert loop
    edges, first = [], 0
    for size in torch.unique_consecutive(batch, return_counts=True)[1].tolist():
        event = x[first : first + size].detach()
        for begin in range(0, size, 1000):
            block = event[begin : begin + 1000]
            distance = torch.cdist(block, event, compute_mode="donot_use_mm_for_euclid_dist")
            neighbor = first + distance.topk(min(k, size), largest=False).indices
            point = torch.arange(first + begin, first + begin + len(block), device=x.device)
            edges.append(torch.stack((neighbor, point[:, None].expand_as(neighbor))).flatten(1))
        first += size
    return torch.cat(edges, 1)


class GravNetBefore(MessagePassing):
    """torch_geometric.nn.GravNetConv, which cannot be made where pyg-lib and torch_cluster are absent, with the search
    of knn_graph_before."""

    def __init__(self, in_channels, out_channels, space_dimensions, propagate_dimensions, k):
        super().__init__(aggr=["mean", "max"])
        self.k = k
        self.knn_graph = knn_graph_before()[1]
        self.lin_s = nn.Linear(in_channels, space_dimensions)
        self.lin_h = nn.Linear(in_channels, propagate_dimensions)
        self.lin_out1 = nn.Linear(in_channels, out_channels, bias=False)
        self.lin_out2 = nn.Linear(2 * propagate_dimensions, out_channels)

    def aggregates(self, space, features, batch):
        edges = self.knn_graph(space, self.k, batch, loop=True)
        weight = torch.exp(-10 * (space[edges[0]] - space[edges[1]]).square().sum(1))
        return self.propagate(edges, x=features, weight=weight)

    def forward(self, x, batch=None):
        return self.lin_out1(x) + self.lin_out2(self.aggregates(self.lin_s(x), self.lin_h(x), batch))

    def message(self, x_j, weight):
        return weight[:, None] * x_j


def read_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--events", type=int, default=2)
    parser.add_argument("--hits", type=int, default=10_000, help="per event")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def make_hits(arguments, features):
    """features [N, features] of hits around the axes of jets, the event of each [N] and the jet of each [N]."""
    generator = torch.Generator().manual_seed(1)
    rows = arguments.events * arguments.hits
    jet = torch.randint(20, (rows,), generator=generator)
    axes = torch.randn(20, features, generator=generator)
    x = axes[jet] + 0.1 * torch.randn(rows, features, generator=generator)
    return x, torch.arange(arguments.events).repeat_interleave(arguments.hits), jet


def milliseconds_and_megabytes(step, arguments):
    """The shortest step, after one to warm up, and the most memory that one takes beyond what is there before it."""
    cuda = arguments.device == "cuda"
    times, memory = [], []
    for _ in range(arguments.repeats + 1):
        before = reset_peak(cuda)
        start = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
        memory.append(peak(cuda) - before)
    return min(times[1:]), max(memory) / 1e6


def reset_peak(cuda):
    """The bytes in use; peak() counts from now on. On the host these are Linux's counts of the process."""
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what is free goes back to the system
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak(cuda)


def peak(cuda):
    if cuda:
        return torch.cuda.max_memory_allocated()
    with open("/proc/self/status") as file:
        return 1024 * int(next(line for line in file if line.startswith("VmHWM")).split()[1])


def compare(name, before, after, loss, inputs, arguments):
    """Gives the model after the weights of the one before, and prints whether loss(model, inputs) and its gradients agree (in
    float64), and time and memory of a step (forward and backward, in float32)."""
    processor = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{processor}; torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, Python "
          f"{platform.python_version()}; {arguments.events} events of {arguments.hits:,} hits")
    models = [model.to(arguments.device) for model in (before, after)]
    models[1].load_state_dict(models[0].state_dict())
    inputs = [tensor.to(arguments.device) for tensor in inputs]

    results = []
    for model in models:
        value = loss(model.double(), *(x.double() if x.is_floating_point() else x for x in inputs))
        results.append([value.detach(), *torch.autograd.grad(value, list(model.parameters()))])
        model.float()
    # Some gradients are 0 but for rounding, such as that of a shift of the whole space: one scale for all.
    largest = max(float(a.abs().max()) for a in results[0])
    difference = max(float((a - b).abs().max()) for a, b in zip(*results)) / largest
    print(f"loss and gradients differ by {difference:.1e} of the largest entry at most (float64)")

    (ms, mb), (ms_after, mb_after) = (
        milliseconds_and_megabytes(lambda model=model: loss(model, *inputs).backward(), arguments) for model in models
    )
    print(f"{'':<64} {'step, ms':>9} {'memory, MB':>11}")
    print(f"{'before: ' + name:<64} {ms:>9.1f} {mb:>11.0f}")
    print(f"{'after: starling':<64} {ms_after:>9.1f} {mb_after:>11.0f}")
    print(f"{'ratio':<64} {ms / ms_after:>8.1f}× {mb / max(mb_after, 1e-3):>10.1f}×")
    if difference > 1e-9:
        raise SystemExit("the models do not agree")
