"""Times the Python package `starling` beside what else finds nearest neighbours from Python, on the same points.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/neighbors.py                 # on the host
    PYTHONPATH=build/release/python .venv/bin/python3 bench/neighbors.py --device cuda   # on the GPU
    … bench/neighbors.py --scan [--device cuda] --csv FILE [--plot FILE]                 # over N, D and k
    … bench/neighbors.py --csv FILE --plot FILE                                          # draws that file, times nothing

Peers are measured where they can be imported, and named where they cannot: scipy, scikit-learn, faiss (pip install
'.[bench]') on the host; torch_cluster and pyg-lib on both; jz-tree (pip install 'jztree[cuda13]') on the GPU. k counts
the point itself. Every answer of a peer is checked: Starling's neighbours are never farther than the peer's.
"""

import argparse
import contextlib
import csv
import dataclasses
import importlib
import importlib.metadata
import os
import platform
import statistics
import time
from pathlib import Path

import torch

import starling


def optional(name):
    """The module, or None where it is not installed."""
    with contextlib.suppress(ImportError, OSError):
        return importlib.import_module(name)


# Without this JAX reserves three quarters of the GPU's memory.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
# The name to install by, and the module.
PEERS = {
    name: optional(module)
    for name, module in (
        ("scipy", "scipy.spatial"),
        ("scikit-learn", "sklearn.neighbors"),
        ("faiss-cpu", "faiss"),
        ("torch_cluster", "torch_cluster"),
        ("pyg-lib", "pyg_lib"),
        ("jztree", "jztree"),
    )
}
scipy_spatial, sklearn_neighbors, faiss, torch_cluster, pyg_lib, jztree = PEERS.values()
threadpoolctl = optional("threadpoolctl")

HOST_CASES = [
    ("uniform", 200_000, 4, 64),
    ("cluster", 200_000, 4, 64),
    ("tight", 200_000, 4, 64),
    ("uniform", 200_000, 3, 40),
    ("cluster", 200_000, 3, 40),
    ("uniform", 50_000, 8, 64),
    ("cluster", 50_000, 8, 64),
    ("uniform", 100_000, 3, 16),
    ("uniform", 1_000, 4, 64),
    ("gaussian", 20_000, 64, 40),
    ("features", 20_000, 64, 40),
]
# The rows of the table of peers on a GPU.
CUDA_CASES = [
    ("uniform", 1_000, 4, 64),
    ("uniform", 10_000, 4, 64),
    ("uniform", 100_000, 4, 64),
    ("uniform", 200_000, 3, 40),
    ("cluster", 200_000, 3, 40),
    ("uniform", 200_000, 4, 64),
    ("cluster", 200_000, 4, 64),
    ("tight", 200_000, 4, 64),
    ("uniform", 200_000, 4, 10),
    ("uniform", 200_000, 8, 64),
    ("cluster", 200_000, 8, 64),
    ("uniform", 1_000_000, 3, 40),
    ("uniform", 1_000_000, 4, 64),
    ("cluster", 1_000_000, 4, 64),
    ("cluster", 200_000, 16, 64),
    ("gaussian", 200_000, 64, 40),
    ("features", 200_000, 64, 40),
    ("features", 200_000, 128, 40),
]
BRUTE_FORCE_QUERIES = 4_000
LARGEST_FOR_PLAIN_TORCH = 10_000  # on a GPU all distances and topk take minutes at 200,000 points
LARGEST_FOR_BRUTE_FORCE = 200_000  # torch_cluster and pyg-lib on a GPU


def make_points(data, n, dimensions, seed=1):
    """uniform: [0, 1]^D. gaussian: normal of width 1. features: what a trained network might give, a random network of
    three layers (ReLU) of a cluster in four dimensions. cluster, tight: Gaussian showers about 0.1 and 0.01 wide, C = n / 1000 of them, of log-normal
    size, in a box of side 1.5 · C^(1/D), and 5 % noise. In random order, on the host."""
    generator = torch.Generator().manual_seed(seed)
    if data == "uniform":
        return torch.rand(n, dimensions, generator=generator)
    if data == "gaussian":
        return torch.randn(n, dimensions, generator=generator)
    if data == "features":
        x = make_points("cluster", n, 4, seed)
        for _ in range(3):
            weight = torch.randn(x.shape[1], dimensions, generator=generator)
            x = torch.relu(x @ weight * (2 / x.shape[1]) ** 0.5)
        return x
    sigma = {"cluster": 0.1, "tight": 0.01}[data]
    count = max(1, n // 1000)
    side = 1.5 * count ** (1 / dimensions)
    size = torch.randn(count, generator=generator).exp()
    centre = side * torch.rand(count, dimensions, generator=generator)
    width = sigma * (0.5 * torch.randn(count, dimensions, generator=generator)).exp()
    shower = torch.multinomial(size, n, replacement=True, generator=generator)
    points = centre[shower] + width[shower] * torch.randn(n, dimensions, generator=generator)
    noise = torch.rand(n, 1, generator=generator) < 0.05
    return torch.where(noise, side * torch.rand(n, dimensions, generator=generator), points)


def measure(action, device, repeats):
    """Milliseconds: on the host the best of so many runs, or more of short ones; on the GPU the median of CUDA events
    after warm-up."""
    if device == "cpu":
        times = []
        while len(times) < repeats or (sum(times) < 200 and len(times) < 100):
            start = time.perf_counter()
            action()
            times.append(1e3 * (time.perf_counter() - start))
        return min(times)
    for _ in range(3 if repeats > 1 else 0):
        action()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        action()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def measure_jax(action, repeats):
    """Milliseconds: the median by the clock after warm-up. JAX has streams of its own, which CUDA events of torch do not
    see; the action waits for its result."""
    action()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times)


def cuda_graph(action):
    """The same as one captured graph: what the GPU takes, without Python and without waiting."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        action()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        action()
    return graph.replay


def distances(x, index, rows):
    """d² of rows of x to their neighbours, ascending, in double."""
    x = x.double()
    return ((x[rows, None] - x[index.long()]) ** 2).sum(2).sort(1).values


def never_farther(x, ours, theirs, rows):
    ours, theirs = distances(x, ours[rows], rows), distances(x, theirs, rows)
    return bool((ours <= theirs * (1 + 1e-6) + 1e-30).all())


def host_peers(x, k, threads):
    """Names, and functions that give milliseconds (as for all points) and the neighbours of the first rows."""
    points = x.numpy()

    def timed(find, rows=len(points)):
        result = []
        ms = measure(lambda: result.append(find(points[:rows])), "cpu", 2)
        return ms * len(points) / rows, torch.as_tensor(result[-1])

    sample = min(len(points), BRUTE_FORCE_QUERIES)
    if scipy_spatial:
        yield "scipy cKDTree", lambda: timed(lambda y: scipy_spatial.cKDTree(points).query(y, k, workers=threads)[1])
    if sklearn_neighbors:
        def fitted(algorithm):
            return sklearn_neighbors.NearestNeighbors(n_neighbors=k, algorithm=algorithm, n_jobs=threads).fit(points)

        yield "sklearn kd_tree", lambda: timed(lambda y: fitted("kd_tree").kneighbors(y, return_distance=False))
        yield "sklearn brute*", lambda: timed(lambda y: fitted("brute").kneighbors(y, return_distance=False), sample)
    if faiss:
        def flat(y):
            index = faiss.IndexFlatL2(points.shape[1])
            index.add(points)
            return index.search(y, k)[1]

        yield "faiss flat*", lambda: timed(flat, sample)
    if torch_cluster:
        def edges(y):
            return torch_cluster.knn_graph(torch.from_numpy(y), k, loop=True)[0].view(-1, k)

        yield "torch_cluster (1 thread)", lambda: timed(edges)
    if points.shape[1] > 10:
        yield "torch products + topk*", lambda: timed(lambda y: product_knn(x, torch.from_numpy(y), k), sample)
    if pyg_lib:
        yield "pyg-lib (1 thread)", lambda: timed(lambda y: pyg_knn(torch.from_numpy(y), k))


def pyg_knn(x, k):
    return torch.ops.pyg.knn(x, x, None, None, k, False, 1)[1].view(-1, k)


def cuda_peers(x, k):
    """Names, and functions that give milliseconds and the neighbours of the first rows."""

    def timed(find, repeats, measure=lambda action, repeats: measure(action, "cuda", repeats)):
        found = []
        ms = measure(lambda: found.append(find()), repeats)
        return ms, torch.as_tensor(found[-1])

    n = len(x)
    if torch_cluster and n <= LARGEST_FOR_BRUTE_FORCE:
        torch_cluster.knn_graph(x[:1000].contiguous(), k, loop=True)
        yield "torch_cluster", lambda: timed(lambda: torch_cluster.knn_graph(x, k, loop=True)[0].view(n, k), 1)
    if pyg_lib and n <= LARGEST_FOR_BRUTE_FORCE:
        pyg_knn(x[:1000].contiguous(), k)
        yield "pyg-lib", lambda: timed(lambda: pyg_knn(x, k), 1)
    # Above 4 dimensions jz-tree 1.1.0 ends in an illegal memory access, after which no call of CUDA works.
    if jztree and x.shape[1] <= 4:
        import jax

        knn = importlib.import_module("jztree.knn").knn
        default = importlib.import_module("jztree.config").KNNConfig()
        # With its own sizes of lists it does not run on these points.
        tree = dataclasses.replace(default.tree, alloc_fac_nodes=3.0)
        config = dataclasses.replace(default, alloc_fac_ilist=1500.0, tree=tree)
        points = jax.dlpack.from_dlpack(x)

        def find():
            return torch.from_dlpack(jax.block_until_ready(knn.jit(points, k, cfg=config))[1])

        yield "jz-tree (JAX)", lambda: timed(find, 7, measure_jax)
    if n <= LARGEST_FOR_PLAIN_TORCH:
        yield "torch cdist + topk", lambda: timed(lambda: plain_knn(x, x, k), 5)
    if x.shape[1] > 10:
        yield "torch products + topk", lambda: timed(lambda: product_knn(x, x, k), 2)


def run_host(arguments):
    print("best of 3 runs (Starling), of 2 (peers), of more where they are short; building included. *: brute force, time of "
          f"{BRUTE_FORCE_QUERIES:,} queries × N / {BRUTE_FORCE_QUERIES:,}")
    print(f"{'data':<8} {'N':>9} {'D':>3} {'k':>3} | {'system':<25} {'ms':>9} {'ratio':>7}  answers")
    for data, n, dimensions, k in HOST_CASES:
        x = make_points(data, n, dimensions)
        index = starling.neighbors(x, k).index
        ms = measure(lambda: starling.neighbors(x, k), "cpu", 3)
        case = f"{data:<8} {n:>9,} {dimensions:>3} {k:>3} |"
        print(f"{case} {'starling':<25} {ms:>9.1f}", flush=True)
        for name, peer in host_peers(x, k, arguments.threads):
            peer_ms, peer_index = peer()
            rows = torch.arange(0, len(peer_index), max(1, len(peer_index) // 10_000))
            same = never_farther(x, index, peer_index[rows], rows)
            answers = "agree" if same else "DIFFER"
            print(f"{case} {name:<25} {peer_ms:>9.1f} {peer_ms / ms:>6.1f}×  {answers}", flush=True)


def plain_distances(x, queries):
    """All distances, of a block of queries after the other."""
    for block in queries.split(max(1, 2**27 // x.shape[0])):
        yield torch.cdist(block, x, compute_mode="donot_use_mm_for_euclid_dist")


def plain_knn(x, queries, k):
    return torch.cat([block.topk(k, largest=False).indices for block in plain_distances(x, queries)])


def product_knn(x, queries, k):
    """By |p|² − 2 q·p, which rounds more than the sum of squared differences: its neighbours may be others."""
    norm = (x * x).sum(1)
    blocks = queries.split(max(1, 2**29 // x.shape[0]))
    return torch.cat([torch.addmm(norm, block, x.T, alpha=-2).topk(k, largest=False).indices for block in blocks])


def run_cuda(arguments):
    print("medians of CUDA events, ms (peers that take long: one run; JAX: by the clock). starling: a call from Python, with "
          "its one wait for the device (is every coordinate finite?); graph: the same call captured, without Python and "
          "waiting")
    print(f"{'data':<8} {'N':>9} {'D':>3} {'k':>3} | {'system':<22} {'ms':>10} {'ratio':>8}  answers")
    for data, n, dimensions, k in CUDA_CASES:
        x = make_points(data, n, dimensions).cuda()
        case = f"{data:<8} {n:>9,} {dimensions:>3} {k:>3} |"

        def report(system, ms, remark=""):
            print(f"{case} {system:<22} {ms:>10.3f} {remark}".rstrip(), flush=True)

        index = starling.neighbors(x, k).index
        ms = measure(lambda: starling.neighbors(x, k), "cuda", 15)
        rows = torch.arange(0, n, max(1, n // 10_000), device="cuda")
        same = never_farther(x, index, plain_knn(x, x[rows], k), rows)
        report("starling", ms, f"{'':>8}  {'agree' if same else 'DIFFER'} with all distances")
        report("starling, graph", measure(cuda_graph(lambda: starling.neighbors(x, k)), "cuda", 15))
        leaf = x.clone().requires_grad_()
        weight = torch.rand(n, k, device="cuda")
        report("starling, + backward", measure(
            lambda: torch.autograd.grad(starling.neighbors(leaf, k).distance2, leaf, weight), "cuda", 15))
        for system, peer in cuda_peers(x, k):
            try:
                peer_ms, peer_index = peer()
            except Exception as error:  # jz-tree and JAX raise errors of many types
                lines = [line for line in str(error).splitlines() if line.strip(" =")]
                print(f"{case} {system:<22} fails: {type(error).__name__}: {' '.join(lines)[:160]}", flush=True)
                continue
            same = never_farther(x, index, peer_index[rows], rows)
            report(system, peer_ms, f"{peer_ms / ms:>7.0f}×  {'agree' if same else 'DIFFER'}")
    run_cuda_radius()


def run_cuda_radius(n=200_000, radius=0.0363, most=128):
    x = make_points("uniform", n, 3).cuda()
    edges = starling.radius_graph(x, radius, loop=True, max_num_neighbors=most)
    ms = measure(lambda: starling.radius_graph(x, radius, loop=True, max_num_neighbors=most), "cuda", 15)
    print(f"radius graph, uniform, N {n:,}, D 3, {edges.shape[1] / n:.1f} neighbours each, at most {most}")
    print(f"  starling {ms:.3f} ms")
    if torch_cluster:
        found = [torch_cluster.radius_graph(x, radius, loop=True, max_num_neighbors=most)]
        cluster_ms = measure(
            lambda: torch_cluster.radius_graph(x, radius, loop=True, max_num_neighbors=most), "cuda", 1)
        more = found[0].shape[1] - edges.shape[1]
        print(f"  torch_cluster {cluster_ms:.1f} ms, {cluster_ms / ms:.0f}×, {more:+d} edges", flush=True)


def scan_cases(device):
    size = 200_000 if device == "cuda" else 50_000
    for data in ("uniform", "cluster"):
        for n in (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000):
            yield "N", data, n, 4, 64
        for dimensions in range(2, 11):
            yield "D", data, size, dimensions, 64
        for k in (8, 16, 32, 64, 128, 256):
            yield "k", data, size, 4, k


def run_scan(arguments):
    device = arguments.device
    with open(arguments.csv, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["machine", "panel", "data", "n", "dimensions", "k", "system", "ms"])
        for panel, data, n, dimensions, k in scan_cases(device):
            x = make_points(data, n, dimensions).to(device)
            systems = {"starling": lambda: starling.neighbors(x, min(k, n))}
            if device == "cuda" and n <= LARGEST_FOR_PLAIN_TORCH and data == "uniform" and panel == "N":
                systems["torch cdist + topk"] = lambda: plain_knn(x, x, min(k, n))
            if device == "cpu" and scipy_spatial and n <= 100_000:
                systems["scipy cKDTree"] = lambda: scipy_spatial.cKDTree(x.numpy()).query(
                    x.numpy(), min(k, n), workers=arguments.threads)
            for system, action in systems.items():
                repeats = 3 if device == "cpu" and system == "starling" else 1 if device == "cpu" else 7
                ms = measure(action, device, repeats)
                writer.writerow([machine(device), panel, data, n, dimensions, k, system, f"{ms:.4f}"])
                print(f"{panel} {data:<8} N {n:>9,} D {dimensions:>3} k {k:>3} {system:<20} {ms:>10.3f} ms", flush=True)


def draw(csv_file, plot_file):
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    with open(csv_file, newline="") as file:
        rows = list(csv.DictReader(file))
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 3.8), sharey=True)
    for axis, panel, column in zip(axes, ("N", "D", "k"), ("n", "dimensions", "k")):
        lines = {}
        fixed = {}
        for row in rows:
            if row["panel"] == panel:
                lines.setdefault((row["system"], row["data"]), []).append((int(row[column]), float(row["ms"])))
                fixed = row
        for (system, data), points in lines.items():
            axis.plot(*zip(*points), marker=".", color="C0" if system == "starling" else "C1",
                      linestyle="-" if data == "cluster" else "--", label=f"{system}, {data}")
        at = {"N": "D = {dimensions}, k = {k}", "D": "N = {n}, k = {k}", "k": "N = {n}, D = {dimensions}"}[panel]
        axis.set(xscale="log", yscale="log", xlabel=panel, title=at.format(**fixed))
        axis.grid(alpha=0.3)
        if panel != "N":
            ticks = sorted({x for points in lines.values() for x, _ in points})
            axis.set_xticks(ticks, ticks)
            axis.minorticks_off()
    axes[0].set_ylabel("ms")
    axes[0].legend(fontsize=8, loc="upper left")
    figure.suptitle(f"k nearest neighbours: {rows[0]['machine']}", fontsize=9)
    figure.tight_layout()
    figure.savefig(plot_file, dpi=90)


def machine(device):
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
                 platform.processor())
    return f"{model}, {torch.get_num_threads()} threads"


def version(name):
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return "(version unknown)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of every system on the host")
    parser.add_argument("--scan", action="store_true", help="over N, D and k, to --csv")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--plot", type=Path, help="drawn from --csv")
    arguments = parser.parse_args()
    if (arguments.scan or arguments.plot) and not arguments.csv:
        parser.error("--scan and --plot need --csv")
    if arguments.plot and not arguments.scan:
        draw(arguments.csv, arguments.plot)
        return
    torch.set_num_threads(arguments.threads)
    if threadpoolctl:  # comes with scikit-learn: the threads of the libraries that peers use
        threadpoolctl.threadpool_limits(arguments.threads)
    if faiss:
        faiss.omp_set_num_threads(arguments.threads)
    versions = [f"{name} {version(name)}" for name in ("torch", *(name for name, module in PEERS.items() if module))]
    print(f"machine: {machine(arguments.device)}; Python {platform.python_version()}, {', '.join(versions)}")
    absent = [name for name, module in PEERS.items() if not module]
    if absent:
        print(f"not installed, so not measured: {', '.join(absent)}")
    if arguments.scan:
        run_scan(arguments)
        if arguments.plot:
            draw(arguments.csv, arguments.plot)
    elif arguments.device == "cuda":
        run_cuda(arguments)
    else:
        run_host(arguments)


if __name__ == "__main__":
    main()
