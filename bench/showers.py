"""Finds simulated showers by density clustering and judges each method by `starling evaluate`: one table per sample.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install numpy pandas scikit-learn matplotlib CLUEstering==1.4.0
    /tmp/peers/bin/python bench/showers.py build/release/cli/starling [--model models/showers.safetensors]

Methods: perfect clustering (each hit to the shower that gave it most of its energy), CLUE (M. Rovere et al., Front. Big
Data 3 (2020) 591315), here in NumPy and SciPy and, with --cluestering, by CLUEstering of PyPI with the same parameters,
and scikit-learn's DBSCAN. With --model also `starling reconstruct`. The parameters of CLUE and DBSCAN are chosen per
sample on events of the same settings and another seed: the largest F, one parameter at a time, until none changes it.
CLUEstering 2 needs Boost and downloads alpaka while it is built; 1.4.0 needs neither, but takes seconds per event.
"""

import argparse
import importlib.metadata
import json
import pathlib
import platform
import shutil
import subprocess
import tempfile
import time

SAMPLES = {  # section [showers]; what is not there has its default
    "isolated": "showers = 30\ngrouped = 0\n",
    "half in groups": "showers = 30\n",
    "pile-up 140-200": "showers = 8\npileup = [140, 200]\nmax_abs_phi = 0.4\n",
}
DETECTOR = pathlib.Path(__file__).resolve().parents[1] / "detectors" / "hgcal.toml"
FRONT = 3200.0  # mm: directions are scaled to places there


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path, help="the program starling")
    parser.add_argument("--model", type=pathlib.Path, help="a shower finder to judge beside the peers")
    parser.add_argument("--events", type=int, default=100, help="events per sample that the methods are judged on")
    parser.add_argument("--tuning-events", type=int, default=20, help="events per sample to choose parameters on")
    parser.add_argument("--samples", nargs="+", choices=SAMPLES, default=list(SAMPLES))
    parser.add_argument("--cluestering", action="store_true", help="judge CLUEstering too")
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = arguments()  # before the imports, so that --help needs none of the packages that it says how to install

import numpy as np
import pandas as pd
import sklearn
from scipy.spatial import cKDTree
from sklearn.cluster import DBSCAN


def points(hits, depth):
    """[N, 3] mm: where a line from the origin through the hit crosses the front, and `depth` times its |z|. The endcaps
    are a long way apart."""
    z = hits.z.to_numpy()
    away = np.abs(z)
    x, y = (hits[c].to_numpy() / away * FRONT for c in "xy")
    return np.stack([x, y, depth * (away - FRONT) + np.where(z < 0, 1e5, 0)], 1)


def clue(hits, radius, density, outlier, depth):
    """Cluster per hit, −1 = none. Density: own energy and half of that of all other hits within `radius`. A hit follows
    the nearest one of higher density (of higher index where equal) within `radius`, or within `outlier` · radius where
    its own is below `density`; those without one are seeds where their density is enough, else in no cluster."""
    space, energy = points(hits, depth), hits.energy.to_numpy()
    count = len(energy)
    tree = cKDTree(space)
    a, b = tree.query_pairs(radius, output_type="ndarray").T
    rho = energy + 0.5 * (np.bincount(a, energy[b], count) + np.bincount(b, energy[a], count))
    rank = np.empty(count, int)
    rank[np.argsort(rho, kind="stable")] = np.arange(count)

    leader = np.arange(count)

    def follow(low, high):
        """Each of `low` follows the nearest of its `high`, which are of higher rank."""
        distance = ((space[low] - space[high]) ** 2).sum(1)
        nearest = np.full(count, np.inf)
        np.minimum.at(nearest, low, distance)
        taken = distance == nearest[low]
        leader[low[taken]] = high[taken]

    follow(np.where(rank[a] < rank[b], a, b), np.where(rank[a] < rank[b], b, a))
    alone = np.flatnonzero((leader == np.arange(count)) & (rho < density))
    if outlier > 1 and len(alone) > 0:
        near = tree.query_ball_point(space[alone], outlier * radius)
        low, high = np.repeat(alone, [len(n) for n in near]), np.concatenate(near).astype(int)
        higher = rank[high] > rank[low]
        follow(low[higher], high[higher])
    top = leader[leader]
    while (top != leader).any():
        leader, top = top, top[top]
    return np.where(rho[leader] >= density, leader, -1)


def cluestering(hits, radius, density, outlier, depth):
    """The same by CLUEstering."""
    import CLUEstering

    space, energy = points(hits, depth), hits.energy.to_numpy()
    clusterer = CLUEstering.clusterer(radius, density, outlier)
    clusterer.read_data(pd.DataFrame({"x0": space[:, 0], "x1": space[:, 1], "x2": space[:, 2], "weight": energy}))
    clusterer.clust_data.coords = np.ascontiguousarray(space.T)  # read_data divided each by its width
    clusterer.run_clue()
    return clusterer.clust_prop.cluster_ids


def dbscan(hits, radius, least, depth):
    """`least`: GeV within `radius` of a core point."""
    space, energy = points(hits, depth), hits.energy.to_numpy()
    return DBSCAN(eps=radius, min_samples=1).fit_predict(space, sample_weight=energy / least)


DEPTHS = (0.02, 0.04, 0.06, 0.1, 0.15, 0.2, 0.3, 0.5)
METHODS = {  # function, grid and start of its parameters
    "CLUE": (clue,
             {"radius": (6, 8, 10, 12, 16, 20, 25, 32, 40, 50, 65), "density": (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5),
              "outlier": (1, 1.5, 2, 3, 4), "depth": DEPTHS},
             {"radius": 25, "density": 0.4, "outlier": 2, "depth": 0.1}),
    "DBSCAN": (dbscan,
               {"radius": (4, 5, 6, 8, 10, 13, 16, 20, 25), "least": (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 2.5),
                "depth": DEPTHS},
               {"radius": 13, "least": 0.1, "depth": 0.1}),
}


class Bench:
    def __init__(self, program, work):
        self.program, self.work = program, work

    def run(self, *words):
        return subprocess.run([self.program, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout

    def simulate(self, sample, seed, count):
        """The folder of the events and their hits, by name."""
        config, folder = self.work / "sample.toml", self.work / f"events-{seed}"
        config.write_text("[showers]\n" + SAMPLES[sample])
        shutil.rmtree(folder, ignore_errors=True)
        self.run("simulate", "--detector", DETECTOR, "--config", config, "--seed", seed, "--events", count,
                 "--out", folder)
        return folder, {f.name.removesuffix("-hits.csv"): pd.read_csv(f) for f in sorted(folder.glob("*-hits.csv"))}

    def evaluate(self, folder, clusters):
        return json.loads(self.run("evaluate", folder, "--clusters", clusters, "--json"))

    def judge(self, folder, events, cluster):
        """The metrics of `cluster`(hits) and its seconds per event."""
        out = self.work / "clusters"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        seconds = 0
        for name, hits in events.items():
            start = time.perf_counter()
            found = cluster(hits)
            seconds += time.perf_counter() - start
            table = pd.DataFrame({"hit_id": hits.hit_id, "cluster_id": found})
            table.to_csv(out / f"{name}-clusters.csv", index=False)
        return self.evaluate(folder, out), seconds / len(events)

    def perfect(self, folder, events):
        out = self.work / "clusters"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for name in events:
            truth = pd.read_csv(folder / f"{name}-truth.csv").sort_values("fraction", kind="stable")
            best = truth.drop_duplicates("hit_id", keep="last").rename(columns={"shower_id": "cluster_id"})
            best[["hit_id", "cluster_id"]].to_csv(out / f"{name}-clusters.csv", index=False)
        return self.evaluate(folder, out)

    def tune(self, method, grid, start, folder, events):
        """The parameters of the largest F: one at a time, each to the best of its grid, until none changes."""
        known = {}

        def f(**parameters):
            key = tuple(sorted(parameters.items()))
            if key not in known:
                metrics, _ = self.judge(folder, events, lambda hits: method(hits, **parameters))
                known[key] = metrics["f"]["value"] or 0
            return known[key]

        best, changed = dict(start), True
        while changed:
            changed = False
            for name, values in grid.items():
                value = max(values, key=lambda v: f(**{**best, name: v}))
                if f(**{**best, name: value}) > f(**best):
                    best[name], changed = value, True
        return best


def per_cent(ratio):
    return f"{100 * ratio['value']:5.1f} [{100 * ratio['low']:5.1f}, {100 * ratio['high']:5.1f}]"


def row(name, metrics, seconds):
    density = " / ".join("   –" if bin["value"] is None else f"{100 * bin['value']:4.0f}"
                         for bin in metrics["efficiency_by_own_share"])
    kinds = metrics["response"]["cluster_to_generated"]
    widths = " / ".join("   –" if kinds[kind]["resolution"]["value"] is None
                        else f"{100 * kinds[kind]['resolution']['value']:4.1f}"
                        for kind in ("electromagnetic", "charged_hadron"))
    print(f"{name:18} {per_cent(metrics['efficiency'])}  {per_cent(metrics['fakes'])}  {per_cent(metrics['f'])}"
          f"  {density}   {widths}   {'' if seconds is None else f'{1e3 * seconds:8.0f}'}", flush=True)


def main(options):
    judged = {name: (method, name) for name, (method, _, _) in METHODS.items()}
    if options.cluestering:
        judged[f"CLUEstering {importlib.metadata.version('CLUEstering')}"] = (cluestering, "CLUE")
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, "
          f"scikit-learn {sklearn.__version__}; showers and clusters above 5 GeV, 68.27 % intervals")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options.program.resolve(), pathlib.Path(folder))
        for sample in options.samples:
            chosen = {}
            tuning = bench.simulate(sample, 1001, options.tuning_events)
            for name, (method, grid, start) in METHODS.items():
                chosen[name] = bench.tune(method, grid, start, *tuning)
            events_folder, events = bench.simulate(sample, 2002, options.events)
            perfect = bench.perfect(events_folder, events)
            print(f"\n{sample}: {options.events} events, {perfect['hits'] / options.events:.0f} hits and "
                  f"{perfect['showers'] / options.events:.0f} showers per event, "
                  f"{perfect['efficiency']['all']['total']} above 5 GeV")
            print(f"{'':18} {'efficiency, %':20}  {'fakes, %':20}  {'F, %':20}  {'efficiency, % by':25}   resolution"
                  "     ms per\n"
                  f"{'':18} {'':20}  {'':20}  {'':20}  share of own energy up to   em, charged    event\n"
                  f"{'':84}  0.3  / 0.6  / 0.9  / 1      hadrons, %")
            perfect["efficiency"] = perfect["efficiency"]["all"]
            row("perfect clustering", perfect, None)
            for name, (method, tuned) in judged.items():
                metrics, seconds = bench.judge(events_folder, events, lambda hits: method(hits, **chosen[tuned]))
                metrics["efficiency"] = metrics["efficiency"]["all"]
                row(name, metrics, seconds)
            if options.model:
                out = bench.work / "found"
                start = time.perf_counter()
                bench.run("reconstruct", events_folder, "--model", options.model, "--out", out)
                seconds = (time.perf_counter() - start) / options.events
                metrics = bench.evaluate(events_folder, out)
                metrics["efficiency"] = metrics["efficiency"]["all"]
                row("starling", metrics, seconds)
            for name, parameters in chosen.items():
                print(f"{name}: " + ", ".join(f"{key} = {value:g}" for key, value in parameters.items()))


if __name__ == "__main__":
    main(OPTIONS)
