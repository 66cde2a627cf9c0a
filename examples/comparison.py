"""What the two PyG examples share: events to run on, neighbours as they are found without Starling, and the table."""

import argparse
import platform
import time

import torch
import torch_geometric


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


def read_arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--events", type=int, default=2)
    parser.add_argument("--hits", type=int, default=10_000, help="per event")
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def make_hits(arguments, features):
    """features [N, features] of hits around the axes of jets, and the event of each [N]."""
    generator = torch.Generator().manual_seed(1)
    rows = arguments.events * arguments.hits
    jet = torch.randint(20, (rows,), generator=generator)
    axes = torch.randn(20, features, generator=generator)
    x = axes[jet] + 0.1 * torch.randn(rows, features, generator=generator)
    return x, torch.arange(arguments.events).repeat_interleave(arguments.hits)


def milliseconds(step, arguments):
    """The shortest step, after one to warm up."""
    times = []
    for _ in range(arguments.repeats + 1):
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        start = time.perf_counter()
        step()
        if arguments.device == "cuda":
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times[1:])


def compare(make_model, features, after, arguments):
    """Builds the model twice with the same weights, around the knn_graph before and after, and prints whether outputs and
    gradients agree (in float64) and how long a step takes (forward and backward, in float32)."""
    name, before = knn_graph_before()
    x, batch = (tensor.to(arguments.device) for tensor in make_hits(arguments, features))
    processor = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{processor}; torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, Python "
          f"{platform.python_version()}; {arguments.events} events of {arguments.hits:,} hits")
    models = [make_model(knn_graph).to(arguments.device) for knn_graph in (before, after)]
    models[1].load_state_dict(models[0].state_dict())

    results = []
    for model in models:
        model.double()
        loss = model(x.double(), batch).square().mean()
        results.append([loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))])
        model.float()
    # Some gradients are 0 but for rounding, such as that of a shift of the whole space: one scale for all.
    largest = max(float(a.abs().max()) for a in results[0])
    difference = max(float((a - b).abs().max()) for a, b in zip(*results)) / largest
    print(f"loss and gradients differ by {difference:.1e} of the largest entry at most (float64)")

    def step(model):
        return lambda: model(x, batch).square().mean().backward()

    times = [milliseconds(step(model), arguments) for model in models]
    space = x[:, :4].contiguous()
    graphs = [milliseconds(lambda: search(space, 16, batch, loop=True), arguments) for search in (before, after)]
    print(f"{'':<60} {'step, ms':>9} {'one graph, ms':>14}")
    print(f"{'before: ' + name:<60} {times[0]:>9.1f} {graphs[0]:>14.1f}")
    print(f"{'after: starling':<60} {times[1]:>9.1f} {graphs[1]:>14.1f}")
    print(f"{'ratio':<60} {times[0] / times[1]:>8.1f}× {graphs[0] / graphs[1]:>13.1f}×")
    if difference > 1e-9:
        raise SystemExit("the models do not agree")
