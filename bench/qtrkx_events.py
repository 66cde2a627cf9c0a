"""Turns the hit graphs of ../shared/data/qtrkx_graphs into TrackML event files for bench_hit_graph.

    python3 bench/qtrkx_events.py ../shared/data/qtrkx_graphs FOLDER

Nodes are (r/1000, phi/pi, z/1000) of barrel hits; the nearest of the barrel's layer radii gives each its layer.
Writes <event>-hits.csv and <event>-edges.csv (hit_id_src, hit_id_dst, truth).
"""

import sys
from pathlib import Path

import numpy as np

LAYERS = [(8, 2, 32), (8, 4, 72), (8, 6, 116), (8, 8, 172), (13, 2, 260),
          (13, 4, 360), (13, 6, 500), (13, 8, 660), (17, 2, 820), (17, 4, 1020)]  # volume, layer, mm


def convert(file: Path, folder: Path) -> None:
    graph = np.load(file)
    r, phi, z = (graph["X"].astype(np.float64) * [1000, np.pi, 1000]).T
    layer = np.abs(r[:, None] - [radius for _, _, radius in LAYERS]).argmin(axis=1)
    name = file.stem.split("_")[0]
    with open(folder / f"{name}-hits.csv", "w") as out:
        out.write("hit_id,x,y,z,volume_id,layer_id,module_id\n")
        for i in range(len(r)):
            volume_id, layer_id, _ = LAYERS[layer[i]]
            out.write(f"{i + 1},{r[i] * np.cos(phi[i]):.6g},{r[i] * np.sin(phi[i]):.6g},{z[i]:.6g},"
                      f"{volume_id},{layer_id},0\n")
    source = np.empty(len(graph["y"]), int)
    target = np.empty(len(graph["y"]), int)
    source[graph["Ro_cols"]] = graph["Ro_rows"]
    target[graph["Ri_cols"]] = graph["Ri_rows"]
    with open(folder / f"{name}-edges.csv", "w") as out:
        out.write("hit_id_src,hit_id_dst,truth\n")
        for s, t, y in zip(source, target, graph["y"]):
            out.write(f"{s + 1},{t + 1},{int(y)}\n")


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    files = sorted(Path(sys.argv[1]).glob("*.npz"))
    if not files:
        sys.exit(f"{sys.argv[1]}: no .npz files")
    for file in files:
        convert(file, folder)


if __name__ == "__main__":
    main()
