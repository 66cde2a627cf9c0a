#include <algorithm>
#include <limits>
#include <map>

#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

const std::map<std::string, Matching> kMatchings = {{"double_majority", Matching::double_majority},
                                                    {"atlas", Matching::atlas},
                                                    {"one_way", Matching::one_way},
                                                    {"two_way", Matching::two_way}};

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
  throw Error(ErrorKind::internal, "unknown matching");
}

struct TrackFacts {
  std::int32_t hits = 0;         // of known origin
  std::int32_t holder = -1;      // the particle that made > 1/2 of them
  std::int32_t holder_hits = 0;  // how many it made
};

struct Matches {
  std::vector<TrackFacts> tracks;
  std::vector<std::int32_t> best_track;   // per particle, −1 = not matched
  std::vector<std::int32_t> best_shared;  // per particle: hits that it shares with that track
};

Matches match(const TruthTable& truth, const Tracks& tracks, Matching matching, int min_track_hits) {
  Matches result;
  result.tracks.resize(tracks.size());
  result.best_track.assign(truth.particle_id.size(), -1);
  result.best_shared.assign(truth.particle_id.size(), 0);
  std::vector<std::int32_t> rows;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    const std::int32_t first = tracks.row_splits[t], last = tracks.row_splits[t + 1];
    TrackFacts& facts = result.tracks[t];
    rows.clear();
    for (std::int32_t i = first; i < last; ++i) {
      const std::int32_t row = truth.of_hit[tracks.hits[i]];
      facts.hits += row != -2;
      if (row >= 0) rows.push_back(row);
    }
    if (last - first < min_track_hits) continue;
    std::sort(rows.begin(), rows.end());
    for (auto begin = rows.begin(); begin != rows.end();) {
      const std::int32_t row = *begin;
      const auto end = std::find_if(begin, rows.end(), [row](std::int32_t other) { return other != row; });
      const auto shared = static_cast<std::int32_t>(end - begin);
      begin = end;
      if (2 * shared > facts.hits) {
        facts.holder = row;
        facts.holder_hits = shared;
      }
      if (shared > result.best_shared[row] && matches(matching, shared, facts.hits, truth.hits[row])) {
        result.best_track[row] = t;
        result.best_shared[row] = shared;
      }
    }
  }
  return result;
}

// The TrackML score (arXiv:1904.06778): the weight of the hits that double-majority tracks share with their particle,
// here over the weight of all hits, so that reduced events reach 1 too.
double trackml_score(const Truth& truth, const TruthTable& table, const Tracks& tracks,
                     const std::vector<TrackFacts>& facts) {
  if (truth.weight.empty()) return std::numeric_limits<double>::quiet_NaN();
  double all = 0, found = 0;
  for (const float weight : truth.weight) all += weight;
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    const std::int32_t holder = facts[t].holder;
    if (holder < 0 || 2 * facts[t].holder_hits <= table.hits[holder]) continue;
    for (std::int32_t i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) {
      if (table.of_hit[tracks.hits[i]] == holder) found += truth.weight[tracks.hits[i]];
    }
  }
  return all > 0 ? found / all : std::numeric_limits<double>::quiet_NaN();
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
  throw Error(ErrorKind::internal, "unknown matching");
}

TrackCounts count_tracks(const Event& event, const TruthTable& truth, const Tracks& tracks, Matching matching,
                         int min_track_hits) {
  const Matches found = match(truth, tracks, matching, min_track_hits);
  TrackCounts counts;
  counts.events = 1;
  for (std::int32_t row = 0; row < truth.size(); ++row) {
    if (!truth.target[row] || truth.hits[row] < truth.min_hits) continue;
    const bool matched = found.best_track[row] >= 0;
    const Ratio one{matched, 1};
    counts.efficiency += one;
    if (truth.radius[row] < kPromptRadius) counts.efficiency_prompt += one;
    if (truth.radius[row] >= kPromptRadius) counts.efficiency_displaced += one;
    if (matched) counts.complete += Ratio{found.best_shared[row] == truth.hits[row], 1};
  }
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    const TrackFacts& facts = found.tracks[t];
    if (facts.hits < min_track_hits) continue;
    const bool held = facts.holder >= 0;
    const std::int32_t best = held ? found.best_track[facts.holder] : -1;
    counts.fakes += Ratio{!held, 1};
    counts.fragments += Ratio{held && 2 * facts.holder_hits <= truth.hits[facts.holder], 1};
    counts.duplicates += Ratio{best >= 0 && best != t, 1};
  }
  counts.trackml_score = trackml_score(*event.truth, truth, tracks, found.tracks);
  return counts;
}

std::vector<std::uint8_t> matched_particles(const TruthTable& truth, const Tracks& tracks, Matching matching,
                                            int min_track_hits) {
  const Matches found = match(truth, tracks, matching, min_track_hits);
  std::vector<std::uint8_t> matched(found.best_track.size());
  for (std::size_t row = 0; row < matched.size(); ++row) matched[row] = found.best_track[row] >= 0;
  return matched;
}

TrackCounts& TrackCounts::operator+=(const TrackCounts& other) {
  efficiency += other.efficiency;
  efficiency_prompt += other.efficiency_prompt;
  efficiency_displaced += other.efficiency_displaced;
  fakes += other.fakes;
  fragments += other.fragments;
  duplicates += other.duplicates;
  complete += other.complete;
  trackml_score += other.trackml_score;
  events += other.events;
  return *this;
}

}  // namespace starling
