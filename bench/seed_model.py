"""Times a whole GravNet network, FastGraphCompute's seed model (starling.models.GravNetModel), beside plain PyTorch.

    PYTHONPATH=build/release/python .venv/bin/python3 bench/seed_model.py --csv FILE [--plot FILE]   # all devices here
    … bench/seed_model.py --device cuda --largest 200000 --csv FILE                                  # one device
    … bench/seed_model.py --draw FILE FILE --plot docs/seed_model.png         # draws such files, times nothing

64 features in, 10 out, four blocks, k 64, 32 propagated features, a space of 4 dimensions; one event of N hits. In plain
PyTorch each layer searches by torch.cdist and topk and gathers [N, k, 32] tensors, as torch_geometric's formula does; its
parameters are the same, and so must its outputs be. float32, on the GPU with products in TF32 (both). On the host one thread
and its processor time, so that a busy machine does not count.
"""

import argparse
import csv
import platform
import time
from pathlib import Path

import torch
from layers import plain_messages, time_and_memory
from neighbors import machine, plain_knn
from torch import nn

from starling.models import GravNetModel

SIZES = [1_000, 3_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000]
# Beyond these its search, of the order of N², takes minutes, or backward does not fit into memory.
LARGEST_PLAIN = {"cpu": 20_000, "cuda": 200_000}
LARGEST = {"cpu": 100_000, "cuda": 1_000_000}
FIELDS = ["machine", "device", "system", "direction", "hits", "ms", "mb"]


class PlainGravNet(nn.Module):
    """A layer of the network, over its parameters."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, row_splits=None):
        layer = self.layer
        space = layer.lin_s(x)
        index = plain_knn(space.detach(), space.detach(), min(layer.k, len(x)))
        distance2 = (space[:, None] - space[index]).square().sum(-1)
        return layer.lin_out1(x) + layer.lin_out2(plain_messages(layer.lin_h(x), index, distance2))


def plain(model):
    """The network with plain layers that share its parameters."""
    network = GravNetModel(64, 10)
    network.graph_layer = lambda block, x, row_splits: PlainGravNet(model.gravnet_layers[block])(x)
    for name in ("fc1", "fc2", "fc3", "fc4", "dense_after_gravnet", "gravnet_layers"):
        setattr(network, name, getattr(model, name))
    return network


def processor_time(call, repeats):
    """Milliseconds of the process, the least of so many calls."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - start))
    return min(times)


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
            repeats = (1 if is_plain and hits > 50_000 else 9) if device == "cuda" else (1 if hits > 10_000 else 3)

            def forward(system=system):
                with torch.no_grad():
                    system(x)

            def with_backward(system=system):
                model.zero_grad()
                system(x).sum().backward()

            for direction, call in (("forward", forward), ("with backward", with_backward)):
                if device == "cuda":
                    ms, mb = time_and_memory(device, call, repeats)
                else:
                    ms, mb = processor_time(call, repeats), float("nan")
                model.zero_grad()
                memory = f"{mb:>9.0f} MB" if device == "cuda" else ""
                print(f"{device} {hits:>9,} hits, {name:<14} {direction:<14} {ms:>10.2f} ms {memory}", flush=True)
                yield [machine(device), device, name, direction, hits, f"{ms:.4f}", f"{mb:.1f}"]


def draw(rows, plot_file):
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    pyplot.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    colours = {"Starling": "#c8102e", "plain PyTorch": "#5b6770"}
    names = {"cpu": "CPU, one thread", "cuda": "GPU"}
    figure, axes = pyplot.subplots(1, 3, figsize=(13, 4.4), gridspec_kw={"wspace": 0.28})
    lines = {}
    for row in rows:
        key = row["device"], row["system"], row["direction"]
        lines.setdefault(key, []).append((int(row["hits"]), float(row["ms"]), float(row["mb"]) / 1e3))
    panels = (("forward", 1, "Forward"), ("with backward", 1, "Forward and backward"), ("with backward", 2, "GPU memory, forward and backward"))
    for axis, (direction, column, title) in zip(axes, panels):
        ends = {}
        for (device, system, of), points in lines.items():
            if of != direction or (column == 2 and device == "cpu"):
                continue
            points = sorted(points)
            hits, values = [point[0] for point in points], [point[column] for point in points]
            style = {"color": colours[system], "linewidth": 2.2, "markersize": 5, "markeredgecolor": "white"}
            axis.plot(hits, values, "o-" if device == "cuda" else "s--", **style)
            ends[device, system] = dict(zip(hits, values))
            label = system if column == 2 else f"{system}, {names[device]}"
            above = system != "Starling"
            axis.annotate(
                label, (hits[-1], values[-1]), xytext=(-6, 9 if above else -16), textcoords="offset points",
                color=colours[system], ha="right", fontsize=9, fontweight="bold" if not above else "normal",
            )  # fmt: skip
        for device in ("cpu", "cuda"):
            ours, theirs = (ends.get((device, system), {}) for system in colours)
            if common := [hits for hits in theirs if hits in ours]:
                at = max(common)
                axis.annotate("", (at, ours[at] * 1.12), (at, theirs[at] / 1.12), arrowprops={"arrowstyle": "->", "color": "#9aa3a8", "lw": 1.2})
                ratio = theirs[at] / ours[at]
                axis.text(at * 1.12, (ours[at] * theirs[at]) ** 0.5, f"{ratio:.0f}×", color="#3c4347", fontsize=12, fontweight="bold", va="center")
        axis.set(xscale="log", yscale="log", xlabel="hits in the event", ylabel="ms" if column == 1 else "GB")
        axis.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axis.grid(which="major", alpha=0.25)
        axis.margins(x=0.08, y=0.12)
    machines = {row["device"]: row["machine"] for row in rows}
    caption = "; ".join(f"{'GPU' if device == 'cuda' else 'CPU'}: {name}" for device, name in sorted(machines.items(), reverse=True))
    figure.suptitle("GravNet network with 4 layers, k 64, 215,578 parameters", x=0.075, ha="left", fontsize=13, fontweight="bold")
    figure.text(0.075, 0.885, caption, fontsize=8.5, color="#5b6770")
    figure.subplots_adjust(left=0.06, right=0.985, top=0.79, bottom=0.13)
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
