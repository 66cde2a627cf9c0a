"""The examples of PyG models, on small events: they end well only where before and after agree."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("name", ["dynamic_edge_conv", "gravnet"])
def test_the_example_agrees_with_the_model_before(name):
    command = [sys.executable, EXAMPLES / f"{name}.py", "--events=3", "--hits=200", "--repeats=1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "after: starling" in result.stdout
