"""Times starling.condense beside the greedy loop in plain torch, on one event of objects that lie apart.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/condense.py [--device cuda] [--hits N] [--objects T]

Both must give the same clusters.
"""

import argparse

import torch
from neighbors import cuda_graph, machine, measure

import starling


def greedy(beta, x, t_beta, t_d):
    """As public codes have it: one point per turn, against all hits."""
    id = torch.full_like(beta, -1, dtype=torch.int64)
    free = beta.clone()  # β of hits that no point took
    count = 0
    while True:
        best, row = free.max(0)
        if best < t_beta:
            return id
        taken = (((x - x[row]) ** 2).sum(1) <= t_d**2) & (id < 0)
        id[taken] = count
        free[taken] = -1
        count += 1


def objects_apart(hits, objects):
    """β uniform, x in 3 dimensions: objects on a lattice of step 1, hits at most 0.15 off in each dimension, so that an
    object is within 0.6 of each of its hits, and of no other's."""
    generator = torch.Generator().manual_seed(1)
    side = next(side for side in range(1, objects + 1) if side**3 >= objects)
    number = torch.randint(objects, (hits,), generator=generator)
    middle = torch.stack((number % side, number // side % side, number // side**2), 1)
    return torch.rand(hits, generator=generator), middle + 0.3 * torch.rand(hits, 3, generator=generator)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--hits", type=int, default=200_000)
    parser.add_argument("--objects", type=int, default=2_000)
    arguments = parser.parse_args()
    print(f"{machine(arguments.device)}; torch {torch.__version__}")
    beta, x = (values.to(arguments.device) for values in objects_apart(arguments.hits, arguments.objects))
    options = {"t_beta": 0.1, "t_d": 0.6}

    def ours(assign="collect"):
        return starling.condense(beta, x, **options, assign=assign)

    id = greedy(beta, x, **options)
    assert ours().id.equal(id)
    print(f"{arguments.hits} hits, 3 dimensions, {int(id.max()) + 1} points, ms:")
    loop = measure(lambda: greedy(beta, x, **options), arguments.device, 3)
    for assign in ("collect", "nearest"):
        alone = measure(lambda assign=assign: ours(assign), arguments.device, 25 if arguments.device == "cuda" else 3)
        line = f"{assign}: {alone:.3f}"
        if arguments.device == "cuda":
            line += f", as a CUDA graph {measure(cuda_graph(lambda assign=assign: ours(assign)), 'cuda', 25):.3f}"
        print(f"{line}; loop in torch (collect) {loop:.1f}: {loop / alone:.0f} times")


if __name__ == "__main__":
    main()
