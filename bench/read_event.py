"""Reading an event's hits: Starling, C++ streams and pandas.read_csv on the same file, one thread each.

    .venv/bin/python3 bench/read_event.py [PREFIX]
"""

import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import pandas

root = Path(__file__).resolve().parent.parent
data = Path(os.environ.get("STARLING_DATA", root / "../shared/data"))
prefix = Path(sys.argv[1]) if len(sys.argv) > 1 else data / "trackml_full/event000001005"
file = Path(f"{prefix}-hits.csv")

program = root / "build/release/bench/bench_read_event"
if not program.exists():
    sys.exit(f"{program} is not there: cmake --build --preset release --target bench_read_event")
result = subprocess.run([program, prefix], capture_output=True, text=True)
if result.returncode != 0:
    sys.exit(result.stderr.strip())
print(result.stdout, end="")
ours = float(re.search(r"read_event +([0-9.]+) ms", result.stdout)[1])


def best_ms(repeats, action):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


versions = f"pandas {pandas.__version__}, Python {platform.python_version()}"
types = {"hit_id": "int64", "x": "float32", "y": "float32", "z": "float32",
         "volume_id": "int32", "layer_id": "int32", "module_id": "int32"}
for what, options in [("read_csv", {}), ("read_csv with types", {"dtype": types})]:
    ms = best_ms(10, lambda: pandas.read_csv(file, **options))
    print(f"{'pandas ' + what:<34} {ms:9.1f} ms {ms / ours:8.1f}x")
print(versions)
