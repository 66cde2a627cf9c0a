#!/usr/bin/env bash
# usage: program.sh STARLING_PROGRAM   runs every command on small events, on several threads; built with
# ThreadSanitizer, the program ends with a code of its own where it finds a race.
set -euo pipefail
program=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export TSAN_OPTIONS="halt_on_error=1 ${TSAN_OPTIONS:-}"

"$program" simulate --events 3 --pileup 2 --seed 5 --threads 4 --out "$folder/events"
"$program" graph "$folder/events" --out "$folder/graphs" --features --threads 4
"$program" reconstruct "$folder/events" --out "$folder/tracks" --threads 4
"$program" reconstruct "$folder/events/event000000000" --out "$folder/one" --threads 2
cmp "$folder/tracks/event000000000-tracks.csv" "$folder/one/event000000000-tracks.csv"
"$program" evaluate "$folder/events" --threads 4
"$program" evaluate "$folder/events" --tracks "$folder/tracks" --out "$folder/curves" --threads 4

detector=$(dirname "$0")/../../detectors/hgcal.toml
"$program" simulate --detector "$detector" --events 3 --showers 3 --seed 5 --threads 4 --out "$folder/calo"
# Each hit in the cluster of the first shower that the truth names.
mkdir "$folder/clusters"
for truth in "$folder"/calo/*-truth.csv; do
  awk -F, 'NR == 1 { print "hit_id,cluster_id" } NR > 1 && !seen[$1]++ { print $1 "," $2 }' "$truth" \
    > "$folder/clusters/$(basename "$truth" -truth.csv)-clusters.csv"
done
"$program" evaluate "$folder/calo" --clusters "$folder/clusters" --out "$folder/judged" --threads 4
