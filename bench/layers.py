"""Times messages, GravNet and EdgeConv layers and object condensation beside plain PyTorch, which is checked to give the same,
and a whole DGCNN alone: plain PyTorch would keep 80 GB for its backward pass.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/layers.py [--device cuda] [--hits 200000] [--objects 1000] \
        [--threads 1] [--only EdgeConv]
"""

import argparse
import platform

import torch
from neighbors import machine, measure

import starling
from starling.models import DGCNN
from starling.nn import EdgeConv, GravNetConv, ObjectCondensation


def time_and_memory(device, call, repeats):
    """Milliseconds, and on the GPU the peak of torch's memory beyond what is held, MB."""
    milliseconds = measure(call, device, repeats)
    if device == "cpu":
        return milliseconds, float("nan")
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return milliseconds, (torch.cuda.max_memory_allocated() - held) / 1e6


def plain_messages(features, index, distance2):
    messages = torch.exp(-10 * distance2)[..., None] * features[index]
    return torch.cat([messages.mean(1), messages.amax(1)], 1)


def plain_edge_conv(module, x, index):
    own = x[:, None].expand(-1, index.shape[1], -1)
    return module(torch.cat([own, x[index] - own], 2)).amax(1)


def plain_condensation(beta, x, truth, objects):
    """The paper's form of one event, with an array [objects, hits]."""
    q = torch.arctanh(beta.clamp(0, 1 - 2**-13)) ** 2 + 0.1
    member = truth[None] == torch.arange(objects, device=beta.device)[:, None]
    alpha = torch.where(member, beta[None], -1).argmax(1)
    d2 = ((x[None] - x[alpha][:, None]) ** 2).sum(-1)
    hinge = (1 - torch.where(d2 > 0, d2, 1).sqrt() * (d2 > 0)).clamp_min(0)
    potential = torch.where(member, d2, hinge)
    noise = beta[truth < 0].mean()
    return (q[alpha][:, None] * q[None] * potential).sum() / len(beta) + (1 - beta[alpha]).mean() + noise


def compare(name, options, ours, plain, inputs, repeats):
    """Forward, and forward with backward, of both; `inputs` are what gradients go to. plain = None: of ours alone."""
    if options.only and options.only not in name:
        return
    device = options.device

    def backward(call):
        for value in inputs:
            value.grad = None
        call().sum().backward()

    def forward(call):
        with torch.no_grad():
            call()

    if plain:
        with torch.no_grad():
            a, b = ours(), plain()
            difference = ((a - b).abs().max() / b.abs().max()).item()
    for what, run in (("forward", forward), ("with backward", backward)):
        mine, mine_memory = time_and_memory(device, lambda: run(ours), repeats)
        if not plain:
            print(f"{name:40s} {what:14s} {mine:9.3f} {mine_memory:9.0f} |")
            continue
        other, other_memory = time_and_memory(device, lambda: run(plain), max(3, repeats // 4))
        print(
            f"{name:40s} {what:14s} {mine:9.3f} {mine_memory:9.0f} | {other:9.3f} {other_memory:9.0f} | "
            f"{other / mine:6.1f}x  largest difference {difference:.1e}"
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--hits", type=int)
    parser.add_argument("--objects", type=int)
    parser.add_argument("--threads", type=int, help="of both on the CPU; torch's own number where it is not given")
    parser.add_argument("--only", help="the cases whose name has this in it")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device
    hits = options.hits or (200_000 if device == "cuda" else 20_000)
    objects = options.objects or (1_000 if device == "cuda" else 100)
    repeats = 20 if device == "cuda" else 5
    print(f"machine: {machine(device)}; Python {platform.python_version()}, torch {torch.__version__}")
    print(f"{hits} hits, {objects} objects; ms: on the GPU medians by CUDA events, on the host the best")
    print(f"{'':55s} {'ours ms':>9s} {'MB':>9s} | {'plain ms':>9s} {'MB':>9s} |")

    torch.manual_seed(0)
    x = torch.rand(hits, 4, device=device)
    found = starling.neighbors(x, 64)
    features = torch.randn(hits, 32, device=device, requires_grad=True)
    distance2 = found.distance2.detach().requires_grad_()
    compare(
        "messages, k 64, 32 features",
        options,
        lambda: torch.ops.starling.aggregate(features, found.index, None, distance2)[0],
        lambda: plain_messages(features, found.index, distance2),
        [features, distance2],
        repeats,
    )

    layer = GravNetConv(64, 64, 4, 32, 64).to(device)
    inputs = torch.randn(hits, 64, device=device, requires_grad=True)

    def plain_layer():
        space = layer.lin_s(inputs)
        index = starling.neighbors(space.detach(), 64).index
        d2 = ((space[:, None] - space[index]) ** 2).sum(-1)
        return layer.lin_out1(inputs) + layer.lin_out2(plain_messages(layer.lin_h(inputs), index, d2))

    compare("GravNetConv 64 → 64, our neighbours", options, lambda: layer(inputs), plain_layer, [inputs], repeats)

    inputs = torch.randn(hits, 64, device=device, requires_grad=True)
    for tf32 in (False, True) if device == "cuda" else (False,):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        for layers, name in ((1, "one layer"), (2, "two layers")):
            modules = [torch.nn.Linear(128, 64), torch.nn.ReLU(), torch.nn.Linear(64, 64)]
            edges = EdgeConv(torch.nn.Sequential(*modules[: 2 * layers - 1])).to(device)
            compare(
                f"EdgeConv 64 → 64, k 64, {name}{', TF32' if tf32 else ''}",
                options,
                lambda edges=edges: edges(inputs, neighbours=found.index),
                lambda edges=edges: plain_edge_conv(edges.nn, inputs, found.index),
                [inputs, *edges.parameters()],
                repeats,
            )
    torch.backends.cuda.matmul.allow_tf32 = False

    model = DGCNN(64, 10).to(device)
    compare("DGCNN(64, 10), search included", options, lambda: model(inputs), None, [inputs, *model.parameters()], repeats)

    truth = torch.randint(-objects // 10, objects, (hits,), device=device)
    beta = torch.rand(hits, device=device, requires_grad=True)
    clusters = torch.rand(hits, 3, device=device, requires_grad=True)
    loss = ObjectCondensation("paper")
    compare(
        "object condensation, D 3, paper",
        options,
        lambda: loss(beta, clusters, truth).total,
        lambda: plain_condensation(beta, clusters, truth, objects),
        [beta, clusters],
        repeats,
    )


if __name__ == "__main__":
    main()
