#!/usr/bin/env bash
# usage: same_bytes.sh PROGRAM [EMULATOR…] OTHER_PROGRAM   two builds of `starling` simulate, build graphs and reconstruct alike,
# byte by byte. Exits 77 where PROGRAM is not built.
set -euo pipefail
program=$1
shift
[ -x "$program" ] || { echo "$program is not built: cmake --build --preset release"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() {
  local folder=$1
  shift
  "$@" simulate --events 1 --first 1 --pileup 1 --seed 7 --out "$folder"
  "$@" graph "$folder/event000000001" --features --out "$folder"
  "$@" reconstruct "$folder/event000000001" --out "$folder"
} >/dev/null
run "$work/one" "$program"
run "$work/other" "$@"
diff -rq "$work/one" "$work/other"
[ "$(wc -l <"$work/one/event000000001-graph.csv")" -gt 100 ] || { echo "a graph of fewer than 100 edges compares nothing"; exit 1; }
