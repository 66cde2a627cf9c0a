#!/usr/bin/env bash
# usage: package.sh SOURCE_DIR PYTHON COMPILER   builds the wheel as pip does, without the network, installs it elsewhere and uses it from there.
set -euo pipefail
source=$1
python=$2
# The compiler of the other build, by the same name, so that ccache knows what it compiled.
export CXX=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pip=("$python" -m pip --disable-pip-version-check --no-input --quiet)
"${pip[@]}" wheel --no-build-isolation --no-deps --no-index --wheel-dir "$work" \
  --config-settings=build-dir="$source/build/wheel" \
  --config-settings=cmake.define.CMAKE_COMPILE_WARNING_AS_ERROR=ON "$source"
wheel=$(echo "$work"/starling_hep-*.whl)
case $wheel in *-py3-none-linux_*) ;; *) echo "$(basename "$wheel"): expected py3-none-linux_…: the library knows no Python"; exit 1 ;; esac
"${pip[@]}" install --no-deps --no-index --target "$work/site" "$wheel"
cd "$work"
PYTHONPATH=$work/site "$python" - "$work" <<'END'
import importlib.metadata
import sys
from pathlib import Path

import starling
import torch

folder = Path(starling.__file__).parent
assert folder == Path(sys.argv[1]) / "site/starling", folder
assert (folder / "py.typed").exists()
assert importlib.metadata.version("starling-hep")
x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
assert starling.knn_graph(x, 1).tolist() == [[2, 2, 0], [0, 1, 2]]
END
