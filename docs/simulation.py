"""Compares simulated events with real TrackML events: prints the tables of docs/simulation.md and draws its pictures.

    build/release/cli/starling simulate --events 20 --pileup 200 --seed 1 --out /tmp/simulated
    .venv/bin/python docs/simulation.py /tmp/simulated ../shared/data docs/simulation
"""

import pathlib
import sys
import tomllib

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

BARREL = [(8, 2), (8, 4), (8, 6), (8, 8), (13, 2), (13, 4), (13, 6), (13, 8), (17, 2), (17, 4)]
GEV_PER_TESLA_MM = 2.99792458e-4
SIM, REAL = dict(color="tab:orange", label="simulated"), dict(color="tab:blue", label="real")


class Event:
    def __init__(self, prefix):
        def read(kind):
            for suffix in ("csv", "csv.gz"):
                file = pathlib.Path(f"{prefix}-{kind}.{suffix}")
                if file.exists():
                    return pd.read_csv(file)
            return None

        self.hits = read("hits")
        self.hits["r"] = np.hypot(self.hits.x, self.hits.y)
        self.hits["layer"] = list(zip(self.hits.volume_id, self.hits.layer_id))
        truth = read("truth")
        if truth is not None:
            self.hits = self.hits.merge(truth, on="hit_id")
        self.particles = p = read("particles")
        p["pt"] = np.hypot(p.px, p.py)
        p["eta"] = np.arcsinh(p.pz / p.pt)
        p["radius"] = np.hypot(p.vx, p.vy)

    def segments_table(self):
        """Barrel hits with their particle, the first of a particle on each layer, in the order of the layers."""
        index = {layer: i for i, layer in enumerate(BARREL)}
        table = self.hits[(self.hits.particle_id > 0) & self.hits.volume_id.isin([8, 13, 17])]
        table = table.assign(barrel=table.layer.map(index)).drop_duplicates(["particle_id", "barrel"])
        columns = ["particle_id", "pt", "eta", "radius", "q"]
        return table.merge(self.particles[columns], on="particle_id").sort_values(["particle_id", "barrel"])


def residuals(events, low=1.0, layers=8):
    """Distances of hits, along r·phi and z, from an unweighted circle and line fitted to the barrel hits of each prompt
    track above `low` GeV with hits on at least `layers` layers: one (layer, rphi, z) per hit."""
    rows = []
    for event in events:
        table = event.segments_table()
        table = table[(table.pt > low) & (table.radius < 0.1)]
        for _, track in table.groupby("particle_id"):
            if len(track) < layers:
                continue
            x, y, z = (track[c].to_numpy(float) for c in "xyz")
            # Least squares in D(x² + y²) + ax + by + c = 0 with x along the track, where D is small: y = c + ax + D(..)².
            flight = np.arctan2(y[-1] - y[0], x[-1] - x[0])
            u = (x - x[0]) * np.cos(flight) + (y - y[0]) * np.sin(flight)
            v = -(x - x[0]) * np.sin(flight) + (y - y[0]) * np.cos(flight)
            scale = u[-1]
            design = np.stack([np.ones_like(u), u / scale, (u * u + v * v) / scale**2], 1)
            fit, *_ = np.linalg.lstsq(design, v, rcond=None)
            off = (v - design @ fit) / np.hypot(1, fit[1] / scale + 2 * fit[2] * u / scale**2)
            step = np.hypot(np.diff(x), np.diff(y))
            s = np.concatenate([[0], np.cumsum(step)])
            line = np.polyfit(s, z, 1)
            rows.append(np.stack([track.barrel, off, z - np.polyval(line, s)], 1))
    return np.concatenate(rows)


def width(values):
    """Half of the interval that holds the central 68 %."""
    return 0.5 * np.diff(np.percentile(values, [16, 84]))[0]


def steps(axis, values, bins, events, style):
    counts, edges = np.histogram(values, bins)
    axis.stairs(counts / events, edges, **style)


def hits_per_layer(simulated, whole, barrel, out):
    layers = sorted(set(whole[0].hits.layer))
    share = lambda events: np.mean(
        [e.hits.layer.value_counts(normalize=True).reindex(layers, fill_value=0) for e in events], axis=0)
    made, real = share(simulated), share(whole)
    total = lambda events: np.mean([len(e.hits) for e in events])
    ratio = made / real
    print(f"hits per event: simulated {total(simulated):.0f} ± {np.std([len(e.hits) for e in simulated]):.0f}, "
          f"real 1001 {len(whole[0].hits)}, 1005 {len(whole[1].hits)}")
    for name, volumes in (("pixel barrel", [8]), ("short-strip barrel", [13]), ("long-strip barrel", [17]),
                          ("pixel discs", [7, 9]), ("short-strip discs", [12, 14]), ("long-strip discs", [16, 18])):
        pick = np.array([v in volumes for v, _ in layers])
        print(f"share of the hits, simulated / real, {name}: together {made[pick].sum() / real[pick].sum():.2f}, "
              f"single layers {ratio[pick].min():.2f} to {ratio[pick].max():.2f}")

    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), width_ratios=[2.4, 1], layout="constrained")
    axes[0].plot(1e2 * real, "o", ms=4, **REAL)
    axes[0].plot(1e2 * made, "_", ms=8, mew=2, **SIM)
    labels = [f"{v}" if i == 0 or layers[i - 1][0] != v else "" for i, (v, _) in enumerate(layers)]
    axes[0].set_xticks(range(len(layers)), labels)
    axes[0].set(xlabel="layers, by volume", ylabel="hits, % of the event", ylim=(0, None),
                title="whole events 1001 and 1005")
    axes[0].legend()
    noise = {}
    for name, events in (("simulated", simulated), ("real", [barrel])):
        values = []
        for layer in BARREL:
            known = np.mean([e.hits[(e.hits.layer == layer) & (e.hits.particle_id > 0)].particle_id.nunique()
                             for e in events])
            zero = np.mean([((e.hits.layer == layer) & (e.hits.particle_id == 0)).sum() for e in events])
            values.append(zero / (known + zero))
        noise[name] = np.array(values)
    print("share of hits without a particle, layers 0 to 9, simulated:", np.round(noise["simulated"], 3))
    print("                                               event 1000:", np.round(noise["real"], 3))
    axes[1].plot(1e2 * noise["real"], "o", ms=4, **REAL)
    axes[1].plot(1e2 * noise["simulated"], "_", ms=8, mew=2, **SIM)
    axes[1].set(xlabel="barrel layer", ylabel="hits without a particle, %", title="event 1000")
    figure.savefig(out / "layers.png", dpi=90)


def particles(simulated, real, out):
    made, seen = (pd.concat([e.particles[e.particles.nhits > 0] for e in s]) for s in (simulated, real))
    for name, cut in (("all", lambda p: p.pt > 0), ("prompt", lambda p: p.radius < 0.1),
                      ("born > 1 mm off the beam line", lambda p: p.radius > 1)):
        a, b = made[cut(made)], seen[cut(seen)]
        print(f"particles with hits, {name}: {len(a) / len(simulated):.0f} per event (real {len(b) / len(real):.0f}); "
              f"median pt {a.pt.median():.3f} ({b.pt.median():.3f}); "
              + "; ".join(f"above {t} GeV {(a.pt > t).sum() / len(simulated):.0f} ({(b.pt > t).sum() / len(real):.0f})"
                          for t in (0.5, 1, 2, 5)))
    for name, p in (("simulated", made), ("real", seen)):
        target = p[(p.pt > 1) & (p.nhits >= 3)]
        print(f"particles above 1 GeV with 3 hits or more, {name}: {(target.radius > 0.1).mean():.3f} born > 0.1 mm off, "
              f"{(target.radius > 1).mean():.3f} > 1 mm")

    figure, axes = plt.subplots(2, 2, figsize=(10, 6.4), layout="constrained")
    for p, n, style in ((seen, len(real), REAL), (made, len(simulated), SIM)):
        steps(axes[0, 0], p.pt, np.geomspace(0.1, 50, 40), n, style)
        steps(axes[0, 1], p.eta, np.linspace(-4, 4, 33), n, style)
        steps(axes[1, 0], p[(p.pt > 0.3) & (p.radius < 0.1)].nhits, np.arange(0.5, 21), n, style)
        steps(axes[1, 1], p[p.radius > 1].radius, np.arange(0, 1050, 5), n, style)
    axes[0, 0].set(xscale="log", yscale="log", xlabel="pt, GeV", ylabel="particles per event")
    axes[0, 1].set(xlabel="pseudorapidity", ylim=(0, None))
    axes[1, 0].set(xlabel="hits of a prompt particle above 0.3 GeV", ylabel="particles per event")
    axes[1, 1].set(xlabel="production radius above 1 mm, mm", yscale="log")
    axes[0, 0].legend()
    figure.savefig(out / "particles.png", dpi=90)


def occupancy(simulated, whole, out):
    figure, axes = plt.subplots(2, 1, figsize=(10, 6.6), sharex=True, layout="constrained")
    bins = [np.linspace(-3000, 3000, 241), np.linspace(0, 1050, 106)]
    for axis, event, name in ((axes[0], whole[1], "real event 1005"), (axes[1], simulated[0], "simulated event")):
        *_, image = axis.hist2d(event.hits.z, event.hits.r, bins=bins, cmap="viridis", norm=matplotlib.colors.LogNorm(1, 500))
        axis.set(ylabel="r, mm", title=f"{name}: {len(event.hits)} hits")
    axes[1].set(xlabel="z, mm")
    figure.colorbar(image, ax=axes, label="hits")
    figure.savefig(out / "occupancy.png", dpi=80)


def fits(simulated, barrel, out):
    made, real = residuals(simulated), residuals([barrel])
    print("residuals of helix fits, prompt tracks above 1 GeV with 8 barrel layers or more: 68 % half widths")
    print("| layer | r·phi simulated, µm | real | z simulated, mm | real |\n| --- | --- | --- | --- | --- |")
    for layer in range(len(BARREL)):
        a, b = made[made[:, 0] == layer], real[real[:, 0] == layer]
        print(f"| {layer} | {1e3 * width(a[:, 1]):.0f} | {1e3 * width(b[:, 1]):.0f} | {width(a[:, 2]):.2f} | {width(b[:, 2]):.2f} |")
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), layout="constrained")
    for column, (name, layers) in enumerate((("pixels", range(4)), ("short strips", range(4, 8)), ("long strips", (8, 9)))):
        for row, (what, factor, unit) in enumerate((("r·phi", 1e3, "µm"), ("z", 1, "mm"))):
            a, b = (factor * rows[np.isin(rows[:, 0], layers), row + 1] for rows in (made, real))
            edge = 4 * width(b)
            for values, style in ((b, REAL), (a, SIM)):
                counts, edges = np.histogram(values, np.linspace(-edge, edge, 31))
                axes[row, column].stairs(counts / len(values), edges, **style)
            axes[row, column].set(xlabel=f"{what} residual, {unit}", title=name if row == 0 else "")
    axes[0, 0].legend()
    figure.savefig(out / "residuals.png", dpi=90)


def field(event, detector):
    """The field that bends prompt tracks, from the momenta at their hits, beside the solenoid of the detector file."""
    hits = event.hits[event.hits.particle_id > 0].merge(event.particles[["particle_id", "q"]], on="particle_id")
    hits = hits.assign(pt=np.hypot(hits.tpx, hits.tpy), far=np.sqrt(hits.tx**2 + hits.ty**2 + hits.tz**2))
    hits = hits.sort_values(["particle_id", "far"])
    a, b = hits.iloc[:-1].reset_index(drop=True), hits.iloc[1:].reset_index(drop=True)
    turned = (np.arctan2(b.tpy, b.tpx) - np.arctan2(a.tpy, a.tpx) + np.pi) % (2 * np.pi) - np.pi
    way = np.hypot(b.tx - a.tx, b.ty - a.ty)
    measured = -turned / way * 0.5 * (a.pt + b.pt) / a.q / GEV_PER_TESLA_MM
    use = (a.particle_id == b.particle_id) & (way > 20) & (a.pt > 0.4) & (np.abs(b.pt / a.pt - 1) < 0.03)
    phi, z = np.arctan2(a.tpy + b.tpy, a.tpx + b.tpx), 0.5 * (a.tz + b.tz)

    def solenoid(center):
        half, radius = 0.5 * detector["solenoid_length"], detector["solenoid_radius"]
        scale = 0.5 * detector["field"] * np.hypot(half, radius) / half
        x, y = 0.5 * (a.tx + b.tx) - center[0], 0.5 * (a.ty + b.ty) - center[1]
        front, back = z - center[2] + half, z - center[2] - half
        to_front, to_back = np.hypot(front, radius), np.hypot(back, radius)
        axis = scale * (front / to_front - back / to_back)
        slope = scale * radius**2 * (to_front**-3 - to_back**-3)
        curvature = -3 * scale * radius**2 * (front * to_front**-5 - back * to_back**-5)
        along = x * np.cos(phi) + y * np.sin(phi)
        return axis - 0.25 * (x * x + y * y) * curvature + 0.5 * slope * (b.tz - a.tz) / way * along

    print("field that bends prompt tracks, T (trackml_gnntracking_ev1); measured minus the solenoid's\n"
          "| z, mm | segments | measured | minus solenoid: median, 68 % half width | the same, were it centred |\n"
          "| --- | --- | --- | --- | --- |")
    off = measured - solenoid(detector["solenoid_center"])
    centred = measured - solenoid([0, 0, 0])
    for low, high in ((-2900, -2300), (-2300, -1900), (-1900, -1400), (-1400, -500), (-500, 500), (500, 1400),
                      (1400, 1900), (1900, 2300), (2300, 2900)):
        pick = use & (z >= low) & (z < high)
        print(f"| {low} to {high} | {pick.sum()} | {np.median(measured[pick]):.2f} | {np.median(off[pick]):.2f}, "
              f"{width(off[pick]):.2f} | {np.median(centred[pick]):.2f}, {width(centred[pick]):.2f} |")


def overlaps(simulated, real):
    """How often the next hit of a particle, by distance from where it was born, is on the same layer."""
    for name, events in (("simulated", simulated[:5]), ("trackml_gnntracking_ev1", [real])):
        same, all_pairs = {}, {}
        for event in events:
            k = event.hits[event.hits.particle_id > 0].merge(
                event.particles[["particle_id", "vx", "vy", "vz"]], on="particle_id")
            k = k.assign(far=np.sqrt((k.x - k.vx) ** 2 + (k.y - k.vy) ** 2 + (k.z - k.vz) ** 2))
            k = k.sort_values(["particle_id", "far"])
            pid, layer, volume = (k[c].to_numpy() for c in ("particle_id", "layer", "volume_id"))
            pair = pid[:-1] == pid[1:]
            stay = pair & np.array([p == q for p, q in zip(layer[:-1], layer[1:])])
            for v in np.unique(volume):
                same[v] = same.get(v, 0) + (stay & (volume[:-1] == v)).sum()
                all_pairs[v] = all_pairs.get(v, 0) + (pair & (volume[:-1] == v)).sum()
        print(f"next hit on the same layer, {name}: {sum(same.values()) / sum(all_pairs.values()):.3f};",
              ", ".join(f"volume {v} {same[v] / all_pairs[v]:.2f}" for v in sorted(same)))


def noise(event):
    """Is the noise of event 1000 uniform along z, and does it form tracks?"""
    zero = event.hits[event.hits.particle_id == 0].assign(phi=np.arctan2(event.hits.y, event.hits.x))
    for layer in (BARREL[0], BARREL[9]):
        z = zero[zero.layer == layer].z.abs()
        print(f"noise of event 1000, layer {BARREL.index(layer)}, fifths of |z|:", np.histogram(z, 5)[0])
    modules = {(8, 2): 224, (8, 4): 448, (8, 6): 728, (8, 8): 1092, (13, 2): 840, (13, 4): 1176, (13, 6): 1638,
               (13, 8): 2142, (17, 2): 2520, (17, 4): 3192}
    print("noise hits a module, layers 0 to 9:", [f"{(zero.layer == l).sum() / modules[l]:.2f}" for l in BARREL])

    def pairs(a, b, rotate):
        phi = np.sort((b.phi.to_numpy() + rotate + np.pi) % (2 * np.pi) - np.pi)
        order = np.argsort((b.phi.to_numpy() + rotate + np.pi) % (2 * np.pi) - np.pi)
        slope = (b.z / b.r).to_numpy()[order]
        count = 0
        for at, s in zip(a.phi, a.z / a.r):
            low, high = np.searchsorted(phi, [at - 0.02, at + 0.02])
            count += (np.abs(slope[low:high] - s) < 0.02).sum()
        return count

    found = mixed = 0
    for inner, outer in zip(BARREL[:-1], BARREL[1:]):
        a, b = zero[zero.layer == inner], zero[zero.layer == outer]
        found += pairs(a, b, 0)
        mixed += np.mean([pairs(a, b, angle) for angle in (1, 2, 3, 4, 5)])
    print(f"noise of event 1000: {found} pairs on neighbouring layers within 0.02 of phi and z/r, "
          f"{mixed:.0f} where one layer is rotated")


def steep(event):
    """Prompt tracks of event 1000 that cross the innermost layer, and those that leave a hit there."""
    p = event.particles[(event.particles.radius < 0.1) & (event.particles.pt > 0.3) & (event.particles.nhits >= 3)]
    cot = np.sinh(p.eta)
    p = p.assign(cot=np.abs(cot))[np.abs(p.vz + 32 * cot) < 480]
    hit = p.particle_id.isin(event.hits[event.hits.layer == BARREL[0]].particle_id)
    for low, high in ((0, 8), (8, 9), (9, 10), (10, 15)):
        pick = (p.cot >= low) & (p.cot < high)
        print(f"event 1000, layer 0, |cot θ| {low} to {high}: {hit[pick].sum()} of {pick.sum()} tracks leave a hit")


def main(simulated_folder, data_folder, out_folder):
    out = pathlib.Path(out_folder)
    out.mkdir(parents=True, exist_ok=True)
    prefixes = sorted({str(f).split("-hits.csv")[0] for f in pathlib.Path(simulated_folder).glob("*-hits.csv*")})
    simulated = [Event(prefix) for prefix in prefixes]
    data = pathlib.Path(data_folder)
    barrel = Event(data / "trackml_ev1000_barrel" / "event000001000")
    whole = [Event(data / "trackml_full" / f"event00000{n}") for n in (1001, 1005)]
    hits_per_layer(simulated, whole, barrel, out)
    particles(simulated, [barrel, *whole], out)
    occupancy(simulated, whole, out)
    fits(simulated, barrel, out)
    small = Event(data / "trackml_gnntracking_ev1" / "event000000001")
    with open(pathlib.Path(__file__).parent.parent / "detectors" / "trackml.toml", "rb") as file:
        field(small, tomllib.load(file))
    overlaps(simulated, small)
    noise(barrel)
    steep(barrel)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
