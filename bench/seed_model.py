"""Times a whole GravNet network, FastGraphCompute's seed model (starling.models.GravNetModel), beside plain PyTorch.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/seed_model.py --csv FILE [--plot FILE]   # all devices here
    … bench/seed_model.py --device cuda --largest 200000 --csv FILE                                  # one device
    … bench/seed_model.py --draw FILE FILE --plot docs/seed_model.png         # draws such files, times nothing

64 features in, 10 out, four blocks, k 64, 32 propagated features, a space of 4 dimensions; one event of N hits. In plain
PyTorch each layer searches by all distances and topk and gathers [N, k, 32] tensors, as torch_geometric's formula does;
its parameters are the same, and so must its outputs be. float32, on the GPU with products in TF32 (both). On the host one
thread and its processor time, so that a busy machine does not count.
"""

import argparse
import csv
import platform
import statistics
import time
from pathlib import Path

import torch
from layers import plain_messages
from neighbors import machine
from torch import nn

from starling.models import GravNetModel

SIZES = [1_000, 3_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]
# Beyond these its search, of the order of N², takes minutes, or backward does not fit into memory.
LARGEST_PLAIN = {"cpu": 20_000, "cuda": 200_000}
LARGEST = {"cpu": 100_000, "cuda": 1_000_000}
FIELDS = ["machine", "device", "system", "direction", "hits", "ms", "mb"]


def plain_search(x, k):
    """The k nearest of each row: all distances, of a block of rows after the other, and topk. torch.cdist is the faster
    way to the distances on the host, and the slower one on the GPU."""
    found = []
    for block in x.split(max(1, 2**27 // len(x))):
        if x.is_cuda:
            distance = sum((block[:, d, None] - x[None, :, d]).square_() for d in range(x.shape[1]))
        else:
            distance = torch.cdist(block, x, compute_mode="donot_use_mm_for_euclid_dist")
        found.append(distance.topk(k, largest=False).indices)
    return torch.cat(found)


class PlainGravNet(nn.Module):
    """A layer of the network, over its parameters."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, row_splits=None):
        layer = self.layer
        space = layer.lin_s(x)
        index = plain_search(space.detach(), layer.k)
        distance2 = (space[:, None] - space[index]).square().sum(-1)
        return layer.lin_out1(x) + layer.lin_out2(plain_messages(layer.lin_h(x), index, distance2))


def plain(model):
    """The network with plain layers that share its parameters."""
    network = GravNetModel(64, 10)
    network.graph_layer = lambda block, x, row_splits: PlainGravNet(model.gravnet_layers[block])(x)
    for name in ("fc1", "fc2", "fc3", "fc4", "dense_after_gravnet", "gravnet_layers"):
        setattr(network, name, getattr(model, name))
    return network


def measure(device, call, repeats):
    """Milliseconds, and on the GPU the peak of torch's memory beyond what is held, MB."""
    if device == "cpu":
        times = []
        for _ in range(repeats):
            start = time.process_time()
            call()
            times.append(1e3 * (time.process_time() - start))
        return min(times), float("nan")
    for _ in range(3 if repeats > 1 else 0):
        call()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times), (torch.cuda.max_memory_allocated() - held) / 1e6


def run(device, largest):
    """Rows of FIELDS."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high" if device == "cuda" else "highest")
    model = GravNetModel(64, 10).to(device)
    systems = {"Starling": model, "plain PyTorch": plain(model)}
    for hits in (size for size in SIZES if size <= largest):
        x = torch.randn(hits, 64, device=device)
        with torch.no_grad():
            if hits <= 10_000:
                ours, theirs = (system(x) for system in systems.values())
                difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
                print(f"{device} {hits:>9,} hits: largest difference {difference:.1e} of the largest output", flush=True)
        for name, system in systems.items():
            is_plain = name != "Starling"
            if is_plain and hits > LARGEST_PLAIN[device]:
                continue
            repeats = 1 if hits > 10_000 and (is_plain or device == "cpu") else 3 if device == "cpu" else 11

            def forward(system=system):
                with torch.no_grad():
                    system(x)

            def with_backward(system=system):
                model.zero_grad(set_to_none=True)
                system(x).sum().backward()

            for direction, call in (("forward", forward), ("with backward", with_backward)):
                model.zero_grad()
                ms, mb = measure(device, call, repeats)
                memory = f"{mb:>9.0f} MB" if device == "cuda" else ""
                print(f"{device} {hits:>9,} hits, {name:<14} {direction:<14} {ms:>10.2f} ms {memory}", flush=True)
                yield [machine(device), device, name, direction, hits, f"{ms:.4f}", f"{mb:.1f}"]


PANELS = [("forward", "ms", "Forward"), ("with backward", "ms", "Forward and backward"), ("with backward", "mb", "GPU memory, forward and backward")]
COLOURS = {"Starling": "#c8102e", "plain PyTorch": "#5b6770"}
LINES = {"cuda": ("-", "o", "one GPU"), "cpu": ((0, (4, 1.5)), "s", "one CPU thread")}
MS = {1: "1 ms", 10: "10 ms", 100: "100 ms", 1e3: "1 s", 1e4: "10 s", 1e5: "100 s"}
MB = {10: "10 MB", 100: "100 MB", 1e3: "1 GB", 1e4: "10 GB", 1e5: "100 GB"}


def draw(rows, plot_file):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.6))
    handles = {}
    for axis, (direction, column, title) in zip(axes, PANELS):
        lines = {}
        for row in rows:
            if row["direction"] == direction and row[column] != "nan":
                lines.setdefault((row["device"], row["system"]), {})[int(row["hits"])] = float(row[column])
        for (device, system), points in lines.items():
            style, marker, where = LINES[device]
            (line,) = axis.plot(
                points.keys(), points.values(), linestyle=style, marker=marker, color=COLOURS[system],
                linewidth=2.2, markersize=5.5, markeredgecolor="white", zorder=3,
            )  # fmt: skip
            handles[f"{system}, {where}"] = line
        for device in LINES:
            ours, theirs = (lines.get((device, system), {}) for system in COLOURS)
            if not (common := ours.keys() & theirs.keys()):
                continue
            hits = max(common)
            low, high = ours[hits], theirs[hits]
            arrow = {"arrowstyle": "-|>", "color": "#9aa3a8", "linewidth": 1.2, "shrinkA": 5, "shrinkB": 5}
            axis.annotate("", (hits, low), (hits, high), arrowprops=arrow, zorder=2)
            box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            text = f"{high / low:.0f}×" if high / low >= 10 else f"{high / low:.1f}×"
            axis.text(hits, (low * high) ** 0.5, text, fontsize=12, fontweight="bold", ha="center", va="center", bbox=box, zorder=4)
        axis.set(xscale="log", yscale="log", xlabel="hits in the event")
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axis.margins(x=0.05, y=0.08)
        ticks = {1e3: "1,000", 1e4: "10,000", 1e5: "100,000", 1e6: "1 million"}
        axis.set_xticks(list(ticks), list(ticks.values()))
        low, high = axis.get_ylim()
        ticks = {value: text for value, text in (MS if column == "ms" else MB).items() if low <= value <= high}
        axis.set_yticks(list(ticks), list(ticks.values()))
        axis.minorticks_off()
        axis.grid(alpha=0.25)
    machines = {row["device"]: row["machine"].removesuffix(", 1 threads") for row in rows}
    figure.text(0.055, 0.93, "GravNet network of 4 layers, k 64, 215,578 parameters", fontsize=14, fontweight="bold")
    figure.text(0.055, 0.875, "; ".join(machines[device] for device in LINES if device in machines), fontsize=9, color="#5b6770")
    order = sorted(handles, key=lambda name: (not name.startswith("plain"), "CPU" not in name))
    figure.legend([handles[name] for name in order], order, ncols=2, frameon=False, loc="upper right", bbox_to_anchor=(0.985, 0.995))
    figure.subplots_adjust(left=0.055, right=0.985, top=0.77, bottom=0.12, wspace=0.25)
    figure.savefig(plot_file, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], nargs="+", help="all that are here, where it is not given")
    parser.add_argument("--largest", type=int, help="number of hits")
    parser.add_argument("--csv", type=Path, help="where the times go")
    parser.add_argument("--draw", type=Path, nargs="+", help="files of times to draw instead of measuring")
    parser.add_argument("--plot", type=Path, help="the picture")
    options = parser.parse_args()
    if bool(options.csv) == bool(options.draw) or (options.draw and not options.plot):
        parser.error("expected --csv, or --draw and --plot")
    if options.csv:
        devices = options.device or ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
        print(f"Python {platform.python_version()}, torch {torch.__version__}; on the GPU medians by CUDA events, on the host the least processor time")
        with options.csv.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(FIELDS)
            for device in devices:
                for row in run(device, options.largest or LARGEST[device]):
                    writer.writerow(row)
                    file.flush()
    if options.plot:
        rows = [row for name in options.draw or [options.csv] for row in csv.DictReader(name.open(newline=""))]
        draw(rows, options.plot)


if __name__ == "__main__":
    main()
