"""Times onnxruntime on the files that `starling export` writes, beside Starling's own runtimes, on the hit graph of an event.

    .venv/bin/python3 bench/network_onnxruntime.py EVENT [--bits 8] [--build build/release] [--runs 3]

EVENT is a path with its event's name, such as events/event000001005. One thread, processor time of the best run. The
network is the shipped one; in codes it is quantised after training by bench_quantized_network, which times Starling's
runtimes: its time is that of any network of its shape. onnxruntime runs each file as it is and with ScatterND in place of
ScatterElements, which is faster and right on one thread only, and a file in codes also with `session.x64quantprecision`,
without which its products saturate on processors that have no VNNI (docs/export.md).
"""

import argparse
import collections
import json
import re
import subprocess
import tempfile
import time
from pathlib import Path

import numpy
import onnx
import onnxruntime

SOURCE = Path(__file__).resolve().parents[1]
SHIPPED = SOURCE / "models/tracking.safetensors"


def table(file):
    return numpy.genfromtxt(file, delimiter=",", names=True)


def graph_of(program, event, folder):
    """The inputs of the network, as an ONNX file has them; edges and features from `starling graph`."""
    subprocess.run([program, "graph", "--features", "--out", folder, event], check=True, stdout=subprocess.DEVNULL)
    hits, edges = table(f"{event}-hits.csv"), table(folder / f"{event.name}-graph.csv")
    x, y, z = (hits[axis] for axis in "xyz")
    r = numpy.hypot(x, y)
    point = numpy.stack([r / 1000, numpy.arctan2(y, x) / numpy.pi, z / 1000, numpy.arcsinh(z / r)], 1)
    order = numpy.argsort(hits["hit_id"])
    ends = [order[numpy.searchsorted(hits["hit_id"], edges[end], sorter=order)] for end in ("hit_id_src", "hit_id_dst")]
    features = numpy.stack([edges[name] for name in ("dr", "dphi", "dz", "deta", "phislope", "rphislope")], 1)
    return {
        "x": numpy.concatenate([point] * 3, 1).astype(numpy.float32),
        "edge_index": numpy.stack(ends).astype(numpy.int64),
        "edge_attr": features.astype(numpy.float32),
    }


def with_scatter_nd(model):
    """The same network, its sums by ScatterND: rows instead of single values."""
    for node in model.graph.node:
        if node.op_type == "ScatterElements":
            node.op_type = "ScatterND"
            node.input[1] = node.input[1].replace("_places", "_column")
            del node.attribute[next(i for i, attribute in enumerate(node.attribute) if attribute.name == "axis")]
    return model


def session(model, exact, profile=None):
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1" if exact else "0")
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def measure(model, inputs, exact, runs):
    """Processor seconds of the best run, and the logits."""
    network = session(model, exact)
    best = float("inf")
    for _ in range(runs):
        start = time.process_time()
        (logits,) = network.run(None, inputs)
        best = min(best, time.process_time() - start)
    return best, logits


def parts(model, inputs, exact, folder):
    """The part of a run's time per operator, the largest first."""
    network = session(model, exact, folder / "profile")
    network.run(None, inputs)
    events = json.loads(Path(network.end_profiling()).read_text())
    times = collections.Counter()
    for event in events:
        if event["cat"] == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"]
    return [(name, value / times.total()) for name, value in times.most_common(5)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("event", type=Path)
    parser.add_argument("--bits", type=int, default=8)
    parser.add_argument("--build", type=Path, default=SOURCE / "build/release")
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    program = arguments.build / "cli/starling"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        codes = folder / "codes.safetensors"
        ours = [arguments.build / "bench/bench_quantized_network", arguments.event, str(arguments.bits), codes]
        output = subprocess.run(ours, check=True, capture_output=True, text=True).stdout
        print(output, end="")
        float_ms = [float(ms) for ms in re.search(r"float32:((?: \S+ [\d.]+ ms)+)", output)[1].split()[1::3]]
        code_ms = [float(row[1]) for row in re.findall(r"^ +\d+ (\S.*?) {2,}(\d+) +[\d.]+x", output, re.MULTILINE)]
        inputs = graph_of(program, arguments.event, folder)
        print(f"onnxruntime {onnxruntime.__version__}, {len(inputs['x'])} nodes, {len(inputs['edge_attr'])} edges, one thread")
        for file, form, best in ((SHIPPED, "onnx", min(float_ms)), (codes, "qdq" if arguments.bits >= 8 else "qcdq", min(code_ms))):
            subprocess.run([program, "export", file, f"--{form}", folder / f"{form}.onnx"], check=True, stdout=subprocess.DEVNULL)
            scoring = [program, "reconstruct", "--model", file, "--scores", "--out", folder, arguments.event]
            subprocess.run(scoring, check=True, stdout=subprocess.DEVNULL)
            expected = table(folder / f"{arguments.event.name}-scores.csv")["score"]
            for sums, exact in (("ScatterElements", False), ("ScatterElements", True), ("ScatterND", True)):
                if form == "onnx" and sums == "ScatterElements" and exact:
                    continue  # has no products of integers
                model = onnx.load(folder / f"{form}.onnx")
                model = with_scatter_nd(model) if sums == "ScatterND" else model
                seconds, logits = measure(model, inputs, exact, arguments.runs)
                scores = 1 / (1 + numpy.exp(-logits.astype(float)))
                unequal = ((scores > 0.5) != (expected > 0.5)).mean()
                largest = ", ".join(f"{op} {100 * part:.0f} %" for op, part in parts(model, inputs, exact, folder))
                print(f"{form}, {sums}{', exact' if exact and form != 'onnx' else ''}: {1e3 * seconds:.0f} ms, {1e3 * seconds / best:.1f} times "
                      f"Starling's best with the same network; scores differ by {abs(scores - expected).mean():.1e} on average, {100 * unequal:.3f} % are "
                      f"on the other side of 0.5 ({largest})", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
