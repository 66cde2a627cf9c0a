"""Times the interaction network on a CUDA device beside the same network written plainly in torch.

    .venv/bin/python3 bench/network.py [--hidden 48] [--edges 1000000] [--steps 8] [--program bench_network]

Peers: torch in float32 and float16, and float16 through torch.compile, each as a CUDA graph; a random graph of 100,000
nodes. Ours are the rows of bench_network, which this runs (from build/release/bench, or --program). Medians of 20 runs
by CUDA events.
"""

import argparse
import statistics
import subprocess

import torch
from torch import nn

NODES = 100_000


def mlp(sizes, last_hidden):
    """Linear, LayerNorm, ReLU per layer; the last one without LayerNorm, and without ReLU where it gives the logit."""
    layers = []
    for k, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        layers.append(nn.Linear(inputs, outputs))
        last = k + 2 == len(sizes)
        if not last:
            layers.append(nn.LayerNorm(outputs, elementwise_affine=False))
        if not last or last_hidden:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class Plain(nn.Module):
    """docs/definitions.md, Network, without the last node network."""

    def __init__(self, hidden, steps):
        super().__init__()
        h = hidden
        self.node_encoder = mlp([12, h, h, h], True)
        self.edge_encoder = mlp([6, h, h, h], True)
        self.edge_network = nn.ModuleList(mlp([6 * h, h, h, h], True) for _ in range(steps))
        self.node_network = nn.ModuleList(mlp([4 * h, h, h, h], True) for _ in range(steps - 1))
        self.edge_decoder = mlp([h, h, h, h], True)
        self.edge_output = mlp([h, h, 1], False)

    def forward(self, nodes, edges, src, dst):
        x = x0 = self.node_encoder(nodes)
        e = e0 = self.edge_encoder(edges)
        for step, edge_network in enumerate(self.edge_network):
            e = edge_network(torch.cat([e, e0, x[src], x0[src], x[dst], x0[dst]], 1))
            if step < len(self.node_network):
                into = torch.zeros_like(x).index_add_(0, dst, e)
                out = torch.zeros_like(x).index_add_(0, src, e)
                x = self.node_network[step](torch.cat([into, out, x, x0], 1))
        return self.edge_output(self.edge_decoder(e)).squeeze(1)


def time_graph(action):
    """Milliseconds of a run, replayed as a CUDA graph."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            action()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    times = []
    for _ in range(23):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times[3:])


@torch.inference_mode()
def peers(hidden, edges, steps):
    torch.manual_seed(1)
    src = torch.randint(NODES, (edges,), device="cuda").sort().values
    dst = torch.randint(NODES, (edges,), device="cuda")
    features = torch.randn(NODES, 12, device="cuda"), torch.randn(edges, 6, device="cuda")
    network = Plain(hidden, steps).cuda().eval()
    for name, dtype, run in (
        ("float32", torch.float32, network),
        ("float16", torch.float16, network),
        ("float16, compiled", torch.float16, torch.compile(network)),
    ):
        network.to(dtype)
        inputs = [f.to(dtype) for f in features]
        torch.cuda.empty_cache()
        print(f"{hidden:4} {edges:8} torch {name}: {time_graph(lambda: run(*inputs, src, dst)):.3f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=48)
    parser.add_argument("--edges", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--program", default="build/release/bench/bench_network")
    options = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    peers(options.hidden, options.edges, options.steps)
    torch.cuda.empty_cache()
    sizes = [str(number) for number in (options.hidden, options.edges, 0, options.steps)]
    subprocess.run([options.program, *sizes], check=True)


if __name__ == "__main__":
    main()
