"""The examples of PyG models and the bench of neighbours, on small events."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SOURCE = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["dynamic_edge_conv", "fastgraphcompute", "gravnet", "interaction_network"])
def test_the_example_agrees_with_the_model_before(name):
    """It exits with 0 only where they agree."""
    command = [sys.executable, SOURCE / f"examples/{name}.py", "--events=3", "--hits=200", "--repeats=1"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "after: starling" in result.stdout


def test_the_bench_names_the_peers_that_are_absent(monkeypatch, capsys):
    specification = importlib.util.spec_from_file_location("bench_neighbors", SOURCE / "bench/neighbors.py")
    bench = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(bench)
    monkeypatch.setattr(bench, "HOST_CASES", [("cluster", 1000, 3, 8)])
    monkeypatch.setattr(sys, "argv", ["neighbors.py", f"--threads={torch.get_num_threads()}"])
    bench.main()
    output = capsys.readouterr().out
    absent = [name for name, module in bench.PEERS.items() if module is None]
    assert ("not installed, so not measured: " + ", ".join(absent) in output) == bool(absent)
    assert "starling" in output and "DIFFER" not in output
