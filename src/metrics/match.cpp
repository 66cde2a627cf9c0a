#include <algorithm>
#include <map>

#include "metrics/check.h"
#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

const std::map<std::string, Matching> kMatchings = {{"double_majority", Matching::double_majority},
                                                    {"atlas", Matching::atlas},
                                                    {"one_way", Matching::one_way},
                                                    {"two_way", Matching::two_way}};

[[noreturn]] void refuse(Matching matching) {
  throw Error(ErrorKind::usage, "matching " + std::to_string(static_cast<int>(matching)) +
                                    ": expected double_majority, atlas, one_way or two_way");
}

bool matches(Matching matching, std::int64_t shared, std::int64_t track_hits, std::int64_t particle_hits) {
  switch (matching) {
    case Matching::double_majority:
      return 2 * shared > track_hits && 2 * shared > particle_hits;
    case Matching::atlas:
      return 2 * shared >= track_hits;
    case Matching::one_way:
      return 2 * shared >= particle_hits;
    case Matching::two_way:
      return 2 * shared >= track_hits && 2 * shared >= particle_hits;
  }
  refuse(matching);
}

}  // namespace

Matching parse_matching(const std::string& name) {
  const auto place = kMatchings.find(name);
  if (place != kMatchings.end()) return place->second;
  throw Error(ErrorKind::usage, "matching '" + name + "': expected double_majority, atlas, one_way or two_way");
}

std::string to_string(Matching matching) {
  for (const auto& [name, value] : kMatchings) {
    if (value == matching) return name;
  }
  refuse(matching);
}

TrackMatches match_tracks(const TruthTable& truth, const TracksView& tracks, Matching matching, int min_track_hits) {
  (void)to_string(matching);  // throws for one that is not known
  check_table(truth, static_cast<std::int64_t>(truth.of_hit.size()), "match_tracks");
  tracks.check(static_cast<std::int32_t>(truth.of_hit.size()), "match_tracks");
  TrackMatches result;
  result.min_track_hits = min_track_hits;
  result.known_hits.assign(tracks.size(), 0);
  result.holder.assign(tracks.size(), -1);
  result.held_hits.assign(tracks.size(), 0);
  result.best_track.assign(truth.particle_id.size(), -1);
  result.shared_hits.assign(truth.particle_id.size(), 0);
  std::vector<std::int32_t> rows;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    const std::int32_t first = tracks.row_splits[t], last = tracks.row_splits[t + 1];
    rows.clear();
    for (std::int32_t i = first; i < last; ++i) {
      const std::int32_t row = truth.of_hit[tracks.hits[i]];
      result.known_hits[t] += row != -2;
      if (row >= 0) rows.push_back(row);
    }
    if (last - first < min_track_hits) continue;
    std::sort(rows.begin(), rows.end());
    for (auto begin = rows.begin(); begin != rows.end();) {
      const std::int32_t row = *begin;
      const auto end = std::find_if(begin, rows.end(), [row](std::int32_t other) { return other != row; });
      const auto shared = static_cast<std::int32_t>(end - begin);
      begin = end;
      if (2 * shared > result.known_hits[t]) {
        result.holder[t] = row;
        result.held_hits[t] = shared;
      }
      if (shared > result.shared_hits[row] && matches(matching, shared, result.known_hits[t], truth.hits[row])) {
        result.best_track[row] = t;
        result.shared_hits[row] = shared;
      }
    }
  }
  return result;
}

}  // namespace starling
