#!/usr/bin/env bash
# usage: layers.sh SOURCE_DIR STARLING_PROGRAM   the layer rule: each room knows only the rooms below it, and the core knows no torch.
set -uo pipefail
cd "$1"
program=$2
failed=0
fail() { echo "$1"; failed=1; }

torch=$(grep -rlE '#include *[<"](torch|ATen|c10)/' include src cli examples | grep -v '^cli/learn_main')
[ -z "$torch" ] || fail "torch is included by: $torch"
upward=$(grep -rlE '#include *"(learn|cli|python)/' include src)
[ -z "$upward" ] || fail "the core includes a door or learn/: $upward"
above_ops=$(grep -rnE '#include *[<"](learn/(nn|train|compress|onnx)/|cli/|python/|Python\.h|pybind11|torch/(torch|extension)\.h)' learn/ops)
[ -z "$above_ops" ] || fail "learn/ops includes a room above it, Python or all of torch: $above_ops"
private=$(grep -rhoE '#include *"[a-z_]+/' include | grep -v '"starling/' | sort -u)
[ -z "$private" ] || fail "a public header includes a private one: $private"

# An idea's folder includes its own private headers; others go through include/starling/, but for files/, which is a tool of all.
for room in src/*/; do
  room=$(basename "$room")
  others=$(grep -rnoE '#include *"[a-z_]+/' "src/$room" | grep -vE "\"(starling|$room|files)/")
  [ -z "$others" ] || fail "src/$room reaches into another room: $others"
done

linked=$(ldd "$program" | grep -oE 'lib(torch|c10)[a-z_]*\.so')
[ -z "$linked" ] || fail "$program links torch: $linked"
exit $failed
