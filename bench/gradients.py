"""Times torch.ops.starling.knn with its gradient, beside the same gradient from torch's own operators.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/gradients.py [--device cuda]

Peers: the closed formula by gather and index_add, and autograd through d² = Σ (x_i − x_j)², both for the neighbours
that Starling found. Every peer's gradient is compared with ours.
"""

import argparse
import platform

import torch
from neighbors import machine, make_points, measure

import starling  # noqa: F401

CASES = [
    ("uniform", 200_000, 4, 64),
    ("cluster", 200_000, 4, 64),
    ("tight", 200_000, 4, 64),
    ("cluster", 200_000, 3, 40),
    ("cluster", 200_000, 8, 64),
    ("uniform", 10_000, 4, 64),
    ("uniform", 1_000, 4, 64),
]


def gather_and_index_add(x, index, weight):
    change = 2 * weight[:, :, None] * (x[:, None] - x[index])
    return change.sum(1).index_add_(0, index.flatten(), change.flatten(0, 1), alpha=-1)


def autograd_of_formula(x, index, weight):
    moving = x.detach().requires_grad_()
    distance2 = ((moving[:, None] - moving[index]) ** 2).sum(2)
    return torch.autograd.grad(distance2, moving, weight)[0]


def same_bytes(action):
    first = action()
    return all(torch.equal(first, action()) for _ in range(3))


def peak(action):
    """MB beyond what is there, at most, on the GPU."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    action()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    device = parser.parse_args().device
    print(f"machine: {machine(device)}; Python {platform.python_version()}, torch {torch.__version__}")
    print("ms: on the GPU medians of 15 by CUDA events, on the host the best of 3. bytes: the same in 4 runs"
          + ("; MB: peak beyond input and output lists" if device == "cuda" else ""))
    print(f"{'data':<8} {'N':>8} {'D':>2} {'k':>3} | {'knn':>8} {'gradient':>9} {'second':>8} | gather + index_add | "
          "autograd of d²    | bytes: ours, theirs")
    for data, n, dimensions, k in CASES:
        x = make_points(data, n, dimensions).to(device).requires_grad_()
        weight = torch.rand(n, k, generator=torch.Generator().manual_seed(2)).to(device)
        index, distance2 = torch.ops.starling.knn(x, k)
        fixed = x.detach()
        (gradient,) = torch.autograd.grad(distance2, x, weight, create_graph=True)

        def backward():
            return torch.autograd.grad(distance2, x, weight, retain_graph=True)[0]

        def second():
            return torch.autograd.grad(gradient, x, gradient.detach(), retain_graph=True)[0]

        def closed():
            return gather_and_index_add(fixed, index, weight)

        def formula():
            return autograd_of_formula(fixed, index, weight)

        repeats = 15 if device == "cuda" else 3
        forward, ours, twice = (measure(a, device, repeats)
                                for a in (lambda: torch.ops.starling.knn(x, k), backward, second))
        line = f"{data:<8} {n:>8,} {dimensions:>2} {k:>3} | {forward:>8.3f} {ours:>9.3f} {twice:>8.3f} |"
        for peer in (closed, formula):
            scale = backward().abs().max()
            assert torch.allclose(peer() / scale, backward() / scale, atol=1e-5)
            ms = measure(peer, device, repeats)
            line += f" {ms:>9.3f} {ms / ours:>6.1f}× |"
        line += f" {same_bytes(backward)}, {same_bytes(closed)}, {same_bytes(formula)}"
        if device == "cuda":
            line += f" | MB {peak(backward):.0f}, {peak(closed):.0f}, {peak(formula):.0f}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
