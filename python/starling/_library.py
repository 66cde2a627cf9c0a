"""Loads the operators torch.ops.starling.* from libstarling_ops.so, in the folder of this file."""

from pathlib import Path

from ._operators import load

_file = Path(__file__).with_name("libstarling_ops.so")
if not _file.exists():
    raise ImportError(
        f"{_file} is missing: install Starling with `pip install .` in its source folder, or put the python/ folder of "
        "a build (build/release/python) on PYTHONPATH"
    )
load(_file)
