"""usage: layers.py SOURCE_DIR PROGRAM   the rule of layers: each folder includes what tests/layers.txt says and nothing else.

PROGRAM, the program `starling`, links no torch.
"""
import collections
import pathlib
import re
import subprocess
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)
TORCH = re.compile(r"(torch|ATen|c10)/")
# Headers by which a library knows Python; torch/extension.h includes them.
PYTHON = re.compile(r"Python\.h$|pybind11/|torch/extension\.h$")
SUFFIXES = {".cpp", ".h", ".cu", ".cuh"}


class Row(collections.namedtuple("Row", "name is_tool allowed line")):
    """One line of the table."""


def read_table(text):
    """The rows by name; throws ValueError for a row that lists itself, an unknown or a later one."""
    rows = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, colon, allowed = line.partition(":")
        is_tool, name = name.startswith("tool "), name.removeprefix("tool ").strip()
        if not colon or name in rows:
            raise ValueError(f"layers.txt:{number}: '{line}': expected `folder: folders`, each folder once")
        for other in allowed.split():
            if other != "torch" and other not in rows:
                raise ValueError(f"layers.txt:{number}: {name} may include {other}, which is not an earlier row")
        rows[name] = Row(name, is_tool, set(allowed.split()), number)
    return rows


def row_of(file, rows):
    """The name of the row that binds a file, given relative to the source tree; None where there is none."""
    parts = file.parts
    if parts[:2] == ("include", "starling"):
        return file.stem if file.stem in rows else None
    if parts[0] == "src":
        parts = parts[1:]
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        if name in rows:
            return name
    return None


def target_of(include, quoted, file, source):
    """The file of this tree that an include names, relative to it; None where it is another library's."""
    if include.startswith("starling/"):
        return pathlib.Path("include", include)
    if not quoted:
        return None
    for folder in (file.parent, pathlib.Path("src"), pathlib.Path(".")):
        if (source / folder / include).exists():
            return folder / include
    return pathlib.Path(include)


def faults(source, rows):
    """One line per include that breaks the rule."""
    result = []
    for file in sorted(f for top in ("include", "src", "learn", "cli", "examples") for f in (source / top).rglob("*")):
        if file.suffix not in SUFFIXES:
            continue
        relative = file.relative_to(source)
        name = row_of(relative, rows)
        if name is None:
            result.append(f"{relative}: no row of tests/layers.txt binds it")
            continue
        text = file.read_text()
        for match in INCLUDE.finditer(text):
            quoted, include = match.group(1) == '"', match.group(2)
            where = f"{relative}:{text.count(chr(10), 0, match.start()) + 1}: includes {include}"
            if PYTHON.match(include):
                result.append(f"{where}: nothing knows Python")
            elif TORCH.match(include):
                if "torch" not in rows[name].allowed:
                    result.append(f"{where}: {name} does not know torch")
            else:
                target = target_of(include, quoted, relative, source)
                if target is None:
                    continue
                other = row_of(target, rows)
                public = target.parts[0] == "include"
                if relative.parts[0] == "include" and not public:
                    result.append(f"{where}: a public header includes a private one")
                elif other is None:
                    result.append(f"{where}: no row of tests/layers.txt binds that")
                elif other != name and other not in rows[name].allowed:
                    result.append(f"{where}: {name} may not include {other}")
                elif other != name and not public and target.parts[0] == "src" and not rows[other].is_tool:
                    result.append(f"{where}: that header is private to {other}")
    return result


def unused(source, rows):
    """One line per row that binds no file."""
    files = [f.relative_to(source) for top in ("include", "src", "learn", "cli", "examples") for f in (source / top).rglob("*")]
    bound = {row_of(file, rows) for file in files if file.suffix in SUFFIXES}
    return [f"layers.txt:{row.line}: {row.name}: no file is bound by this row" for row in rows.values() if row.name not in bound]


def linked_torch(program):
    output = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return [f"{program} links {name}" for name in re.findall(r"lib(?:torch|c10)\w*\.so", output)]


def main(source, program):
    rows = read_table((source / "tests/layers.txt").read_text())
    found = faults(source, rows) + unused(source, rows) + linked_torch(program)
    print("\n".join(found), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__.splitlines()[0])
    try:
        sys.exit(main(pathlib.Path(sys.argv[1]), sys.argv[2]))
    except ValueError as error:
        sys.exit(str(error))
