"""usage: simd_symbols.py BUILD_DIR   what files for one instruction set define for others carries the level in its name.

The linker keeps one copy of an inline function. If it keeps the one compiled for AVX-512, every processor runs it. So
each source that compile_commands.json compiles with -mavx… is compiled without inlining, and its symbols are checked.
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

failed = False
commands = json.loads((pathlib.Path(sys.argv[1]) / "compile_commands.json").read_text())
flagged = [command for command in commands if " -mavx" in command["command"]]
with tempfile.TemporaryDirectory() as folder:
    for command in flagged:
        arguments = [one for one in shlex.split(command["command"]) if one != "ccache" and not one.endswith("/ccache")]
        output = arguments.index("-o") + 1
        arguments[output] = f"{folder}/object.o"
        subprocess.run([*arguments, "-O0"], cwd=command["directory"], check=True)
        symbols = subprocess.run(["nm", "-C", "-g", "--defined-only", arguments[output]], check=True, text=True,
                                 capture_output=True).stdout.splitlines()
        level = "avx512" if "-mavx512f" in arguments else "avx2"
        for symbol in symbols:
            if not re.search(level, symbol, re.IGNORECASE):
                failed = True
                print(f"{command['file']}: {symbol}: expected internal linkage, or {level} in its name")
if not flagged:
    failed = True
    print("no source is compiled with -mavx…: nothing to check")
sys.exit(failed)
