#!/usr/bin/env bash
# usage: consumer.sh SOURCE_DIR BUILD_DIR   installs Starling and builds and runs examples/reconstruct against the installed package.
set -euo pipefail
source=$1
build=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
cmake -S "$source/examples/reconstruct" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" >/dev/null
cmake --build "$work/build"
"$work/prefix/bin/starling" simulate --events 1 --pileup 5 --seed 3 --out "$work/events"
event=$(basename "$(ls "$work/events"/*-hits.csv)" -hits.csv)
"$work/build/reconstruct_tracks" "$work/prefix/share/starling/models/tracking.safetensors" "$work/events/$event" "$work/tracks.csv"
hits=$(wc -l <"$work/events/$event-hits.csv")
rows=$(wc -l <"$work/tracks.csv")
[ "$rows" = "$hits" ] || { echo "$rows rows in the tracks file for $hits in the hits file"; exit 1; }
