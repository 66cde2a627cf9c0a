"""Compares simulated showers with the events of others: prints the tables of docs/showers.md and draws its pictures.

    .venv/bin/python docs/showers.py build/release/cli/starling ../shared/data docs/showers
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

SOURCE = pathlib.Path(__file__).resolve().parents[1]
SIM, CLIC, GENERIC, HGCAL = (dict(color=c, label=n) for c, n in (
    ("tab:orange", "simulated"), ("tab:blue", "CLIC"), ("tab:green", "ColliderML"), ("tab:blue", "HGCAL")))
KINDS = {"photon": [22], "electron": [11], "charged": [211, 321, 2212], "neutral": [130, 2112], "muon": [13]}
EM_MIP, RADIATION = 0.0095, 0.95  # GeV and radiation lengths of an electromagnetic layer of detectors/hgcal.toml


class Shower:
    """The hits of one particle: columns x, y, z (mm), mips and depth (radiation lengths behind the front)."""

    def __init__(self, energy, hits):
        self.energy, self.hits = energy, hits
        place, weight = hits[["x", "y", "z"]].to_numpy(float), hits.mips.to_numpy(float)
        axis = weight @ place
        axis /= np.linalg.norm(axis)
        self.distance = np.linalg.norm(place - np.outer(place @ axis, axis), axis=1)  # mm, off the line to the origin

    def containment(self, radii):
        weight = self.hits.mips.to_numpy(float)
        return np.array([weight[self.distance < r].sum() for r in radii]) / weight.sum()

    def radius(self, part=0.9):
        order = np.argsort(self.distance)
        sums = np.cumsum(self.hits.mips.to_numpy(float)[order])
        return self.distance[order][np.searchsorted(sums, part * sums[-1])]


def simulate(program, settings, events):
    """Events as tables of hits with the number and part of their dominant shower, and of showers."""
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "sample.toml")
        config.write_text("[showers]\nseed = 11\n" + settings)
        subprocess.run([program, "simulate", "--detector", SOURCE / "detectors" / "hgcal.toml", "--config", config,
                        "--events", str(events), "--out", folder], check=True, stdout=subprocess.DEVNULL)
        for file in sorted(pathlib.Path(folder).glob("*-hits.csv")):
            read = lambda kind: pd.read_csv(str(file).replace("hits", kind))
            truth = read("truth").sort_values("fraction").drop_duplicates("hit_id", keep="last")
            yield pd.read_csv(file).merge(truth, on="hit_id", how="left"), read("showers")


def simulated(program, kind, low=1, high=100, events=12):
    shares = {"photon": "photons", "charged": "charged_hadrons", "muon": "muons"}
    settings = f"showers = 20\ngrouped = 0\nseparation = 0.3\nnoise = 0\nmin_energy = {low}\nmax_energy = {high}\n"
    settings += "".join(f"{name} = {int(name == shares[kind])}\n" for name in
                        ("photons", "electrons", "charged_hadrons", "neutral_hadrons", "muons"))
    mips = np.repeat([0.0095, 0.047, 0.086], [28, 12, 12])
    showers = []
    for hits, table in simulate(program, settings, events):
        hits["mips"] = hits.energy / mips[hits.layer - 1]
        hits["depth"] = np.where(hits.layer <= 28, RADIATION * (hits.layer - 0.5), np.nan)
        own = hits[hits.fraction > 0.5]
        for shower, group in own.groupby("shower_id"):
            showers.append(Shower(table.energy[table.shower_id == shower].iloc[0], group))
    return showers


def clic(data):
    """Showers of the ttbar event by kind; MIPs of the two calorimeters are the medians of the event's muon."""
    hits, particles = pd.read_csv(data / "calo_hits.csv"), pd.read_csv(data / "mcparticles.csv").set_index("id")
    hits["part"] = hits.det.str[:4]
    hits = hits[hits.part.isin(["ECal", "HCal"])]
    muons = hits.mc_id.map(particles.PDG.abs()) == 13
    mips = hits[muons & (hits.energy > 5e-5)].groupby("part").energy.median()
    print("CLIC, GeV of a MIP:", mips.round(6).to_dict())
    hits["mips"] = hits.energy / hits.part.map(mips)
    hits = hits[(hits.mips > 0.5) & (hits.t < 100)]
    # The barrel has twelve flat sides, of 40 layers each 5.05 mm; a layer has 0.56 radiation lengths.
    normals = np.radians(30 * np.arange(12))
    out = (hits.x.to_numpy()[:, None] * np.cos(normals) + hits.y.to_numpy()[:, None] * np.sin(normals)).max(1)
    barrel = hits.det == "ECalBarrelCollection"
    layer = np.where(barrel, (out - 1502.4) / 5.05, (hits.z.abs() - 2309.4) / 5.05)
    length = np.sqrt(hits.x**2 + hits.y**2 + hits.z**2)
    cosine = np.where(barrel, out, hits.z.abs()) / length
    hits["depth"] = np.where(hits.part == "ECal", 0.56 * (layer + 0.5) / cosine, np.nan)
    found = {kind: [] for kind in KINDS}
    for number, group in hits[hits.frac > 0.5].groupby("mc_id"):
        particle = particles.loc[number]
        kind = next((k for k, codes in KINDS.items() if abs(particle.PDG) in codes), None)
        energy = np.sqrt(particle.px**2 + particle.py**2 + particle.pz**2 + particle.mass**2)
        if kind and energy > 1 and len(group) > 10:
            found[kind].append(Shower(energy, group))
    return found


def colliderml(data):
    """The same of its three events; a MIP is taken as the mode of all hits' energies."""
    found, energies = {kind: [] for kind in KINDS}, []
    events = [pd.DataFrame(json.loads(f.read_text())["calo_hits"]) for f in sorted(data.glob("event_*.json"))]
    counts, edges = np.histogram(np.log(pd.concat(events).energy), 60)
    mip = np.exp(edges[counts.argmax()])
    print(f"ColliderML, GeV of a MIP: {mip:.6f}")
    for hits in events:
        hits["mips"], hits["depth"] = hits.energy / mip, np.nan
        for _, group in hits[hits.mips > 0.5].groupby("particle_id"):
            kind = next((k for k, codes in KINDS.items() if abs(group.pdg_id.iloc[0]) in codes), None)
            if kind is None or len(group) <= 10:
                continue
            shower = Shower(0, group)
            place = group.mips.to_numpy() @ group[["x", "y", "z"]].to_numpy()
            shower.energy = group.pT.iloc[0] * np.linalg.norm(place) / np.hypot(place[0], place[1])
            if shower.energy > 1:
                found[kind].append(shower)
    return found


def hits_per_gev(made, real, generic, out):
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", sharey=True)
    for axis, kind, title in zip(axes, ("photon", "charged"), ("photons and electrons", "charged hadrons")):
        for showers, style, mark in ((made[kind], SIM, "."), (real[kind], CLIC, "o"), (generic[kind], GENERIC, "^")):
            energy = np.array([s.energy for s in showers])
            count = np.array([len(s.hits) for s in showers])
            axis.plot(energy, count / energy, mark, ms=2.5 if mark == "." else 5, **style)
            for low, high in ((1, 3), (3, 10), (10, 40)):
                pick = (energy >= low) & (energy < high)
                if pick.any():
                    print(f"hits per GeV, {kind}, {low}-{high} GeV, {style['label']}: "
                          f"{np.median((count / energy)[pick]):.1f} ({pick.sum()})")
        axis.set(xscale="log", yscale="log", xlabel="energy, GeV", title=title, xlim=(0.9, 110))
    axes[0].set_ylabel("hits above 0.5 MIP per GeV")
    axes[0].legend()
    figure.savefig(out / "hits.png", dpi=80)


def profiles(made, real, out):
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    edges = np.arange(0, 27, 1.9)
    for showers, style in ((made["photon"], SIM), (real["photon"], CLIC)):
        showers = [s for s in showers if 2 < s.energy < 8]
        shapes = [np.histogram(s.hits.depth, edges, weights=s.hits.mips)[0] / s.hits.mips.sum() for s in showers]
        axes[0].stairs(np.mean(shapes, 0) / 1.9, edges, **style)
        middle = 0.5 * (edges[1:] + edges[:-1])
        means = [s @ middle / s.sum() for s in shapes]
        print(f"photons, 2-8 GeV, {style['label']}: mean depth {np.mean(means):.1f} ± "
              f"{np.std(means) / np.sqrt(len(means)):.1f} radiation lengths ({len(means)} showers)")
    axes[0].set(xlabel="depth, radiation lengths", ylabel="energy per radiation length", title="photons, 2–8 GeV")
    axes[0].legend()
    for axis, kind, scale, title in ((axes[1], "photon", {"simulated": 28, "CLIC": 14}, "photons, 2–8 GeV"),
                                     (axes[2], "charged", None, "charged hadrons, 5–12 GeV")):
        low, high = (2, 8) if scale else (5, 12)
        radii = np.linspace(0, 4, 41) if scale else np.linspace(0, 400, 41)
        for showers, style in ((made[kind], SIM), (real[kind], CLIC)):
            showers = [s for s in showers if low < s.energy < high]
            unit = scale[style["label"]] if scale else 1
            inside = [s.containment(radii * unit) for s in showers]
            axis.plot(radii, np.median(inside, 0), **style)
            print(f"{kind}, {low}-{high} GeV, {style['label']}: 90 % radius, median "
                  f"{np.median([s.radius() for s in showers]):.0f} mm, 68 % half width of {len(showers)}: "
                  f"{0.5 * np.diff(np.percentile([s.radius() for s in showers], [16, 84]))[0]:.0f} mm")
        axis.set(xlabel="distance from the axis, " + ("Molière radii" if scale else "mm"), ylim=(0, 1),
                 ylabel="part of the energy inside", title=title)
    figure.savefig(out / "profiles.png", dpi=80)


def single_hits(program, made, real, data, out):
    file = pd.concat([pd.read_csv(data / f"event{i}.csv").assign(event=i) for i in (0, 1)])
    muons = file[file.simcluster >= 0]
    silicon = lambda table: table[table.layer <= 28]
    # Energies of the file are per layer: its muons' median per layer is a MIP there, as far as 0.5 to 2 of them go.
    floor = file[file.layer <= 28].groupby("layer").energy.min() / 0.35
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
    bins = np.linspace(0, 5, 41)
    ours = np.concatenate([s.hits.mips[s.hits.layer <= 28] for s in made["muon"]])
    theirs = silicon(muons).energy / silicon(muons).layer.map(floor)
    for values, style in ((theirs, HGCAL), (ours, SIM)):
        axes[0].hist(values, bins, density=True, histtype="step", **style)
        print(f"muon hits, silicon, {style['label']}: median {np.median(values):.2f} MIP, 16 and 84 %: "
              f"{np.percentile(values, 16):.2f} and {np.percentile(values, 84):.2f} ({len(values)})")
    axes[0].set(xlabel="energy, MIP", ylabel="hits of muons, electromagnetic", title="per hit of a muon")
    axes[0].legend()

    per_muon = muons.groupby(["event", "simcluster"])
    print("hits per muon, HGCAL:", sorted(per_muon.size()), "in layers:", sorted(per_muon.layer.nunique()))
    counts = [len(s.hits) for s in made["muon"]]
    print(f"hits per muon, simulated: {np.mean(counts):.1f}, {min(counts)} to {max(counts)}, in layers "
          f"{np.mean([s.hits.layer.nunique() for s in made['muon']]):.1f}")
    layers = np.arange(1, 53)
    share = lambda table, n: table.layer.value_counts().reindex(layers, fill_value=0) / n
    axes[1].plot(layers, share(muons, per_muon.ngroups), "o", ms=3, **HGCAL)
    axes[1].plot(layers, share(pd.concat([s.hits for s in made["muon"]]), len(counts)), "_", ms=6, mew=2, **SIM)
    axes[1].set(xlabel="layer", ylabel="hits per muon", title="per layer", ylim=(0, None))

    bins = np.geomspace(0.4, 200, 40)
    for showers, style in ((real["photon"] + real["electron"], CLIC), (made["photon"], SIM)):
        values = np.concatenate([s.hits.mips for s in showers if 2 < s.energy < 40])
        axes[2].hist(values, bins, density=True, histtype="step", **style)
        print(f"hits of photons and electrons, 2-40 GeV, {style['label']}: median {np.median(values):.2f} MIP, above 10 "
              f"MIP {100 * np.mean(values > 10):.1f} %")
    axes[2].set(xscale="log", yscale="log", xlabel="energy, MIP", title="per hit of a photon, 2–40 GeV")
    axes[2].legend()
    figure.savefig(out / "energies.png", dpi=80)

    noise = file[file.simcluster < 0]
    per_side = noise.groupby(["event", np.sign(noise.z)]).size()
    print(f"noise hits per endcap, HGCAL: {per_side.mean():.0f} above 0.35 MIP, "
          f"{per_side.mean() * np.mean(silicon(noise).energy / silicon(noise).layer.map(floor) > 0.5):.0f} above 0.5 MIP")
    quiet = [len(hits) for hits, _ in simulate(program, "showers = 0\n", 10)]
    print(f"noise hits per endcap, simulated: {np.mean(quiet):.0f} above 0.5 MIP")


def main():
    program, data, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    out.mkdir(parents=True, exist_ok=True)
    made = {kind: simulated(program, kind) for kind in ("photon", "charged", "muon")}
    real, generic = clic(data / "clic_ttbar_event"), colliderml(data / "colliderml")
    hits_per_gev(made, real, generic, out)
    profiles(made, real, out)
    single_hits(program, made, real, data / "hgcal_ldrd_muons", out)


if __name__ == "__main__":
    main()
