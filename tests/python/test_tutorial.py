"""The code of docs/tutorial.md, on fewer events and for a few steps."""

import os
import re
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
SOURCE = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("STARLING_PROGRAM")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", (SOURCE / "docs/tutorial.md").read_text(), re.MULTILINE | re.DOTALL)


def reduced(text, replacements):
    for long, short in replacements.items():
        assert long in text, f"docs/tutorial.md has no {long!r}: expected it, to make it shorter"
        text = text.replace(long, short)
    return text


@pytest.mark.skipif(not PROGRAM, reason="STARLING_PROGRAM does not name the program starling, which makes the events")
def test_the_tutorial_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in blocks("sh"):
        shorter = {"starling ": f"{PROGRAM} ", "detectors/": f"{SOURCE}/detectors/"}
        shorter |= {"--events 120": "--events 24"} if "--events 120" in command else {"--pileup 5": "--pileup 1"}
        subprocess.run(reduced(command, shorter), shell=True, check=True, capture_output=True)
    (tmp_path / "models").symlink_to(SOURCE / "models")
    names = {}
    for block in blocks("python"):
        exec(reduced(block, {"steps = 300": "steps = 10"}) if "steps = 300" in block else block, names)
    assert len(names["history"]) == 10
    output = capsys.readouterr().out
    assert re.search(r"\d+ of \d+ showers found", output)
    accepted, true = map(float, re.search(r"([\d.]+)% of the true edges accepted, ([\d.]+)% of those true", output).groups())
    assert accepted > 80 and true > 80
    run = [PROGRAM, "reconstruct", "tracker", "--model", "mine.safetensors", "--out", "tracks"]
    subprocess.run(run, check=True, capture_output=True)
    assert len(list((tmp_path / "tracks").glob("*-tracks.csv"))) == 4
    assert names["found"] <= names["showers"]
    for picture in ("loss.png", "event.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
