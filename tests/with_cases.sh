#!/usr/bin/env bash
# usage: with_cases.sh RESULTS.xml COMMAND…   runs a test that writes its cases to RESULTS.xml; it fails where none are written.
set -euo pipefail
results=$1
shift
mkdir -p "$(dirname "$results")"
rm -f "$results"
"$@"
[ -s "$results" ] || { echo "the exit code is 0, but $results was not written"; exit 1; }
