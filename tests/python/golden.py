"""The golden vectors of shared/data; those of dynamic_networks by case. Tests skip where they are absent."""

import json
import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("STARLING_DATA", Path(__file__).parent / "../../../shared/data"))
GOLDEN = DATA / "dynamic_networks"


def cases(file):
    """The names of the cases of a golden file; one that skips where the data is absent."""
    if not (GOLDEN / f"{file}.json").exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no golden vectors in {GOLDEN}"))]
    return list(json.loads((GOLDEN / f"{file}.json").read_text())["cases"])


def load(file, case, device="cpu"):
    safetensors = pytest.importorskip("safetensors.torch")
    tensors = safetensors.load_file(GOLDEN / f"{file}.safetensors", device=device)
    options = json.loads((GOLDEN / f"{file}.json").read_text())["cases"][case]
    return options, {name[len(case) + 1 :]: value for name, value in tensors.items() if name.startswith(case + "/")}


def deviation(value, golden):
    """The largest difference, relative to the largest entry."""
    return ((value.double() - golden).abs().max() / (golden.abs().max() or 1)).item()
