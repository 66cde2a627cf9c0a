#include <limits>

#include "metrics/check.h"
#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

// Adds the weights of an event's hits, and of those that a double-majority track shares with its particle.
void add_weights(const Event& event, const TruthTable& table, const TracksView& tracks, const TrackMatches& matches,
                 TrackCounts& counts) {
  const std::vector<float>& weight = event.truth->weight;
  double all = 0;
  for (const float w : weight) all += w;
  if (!(all > 0)) {
    counts.events_without_weights.push_back(event.name);
    return;
  }
  counts.weight += all;
  std::vector<bool> counted(weight.size(), false);  // two tracks may share a hit
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    const std::int32_t holder = matches.holder[t];
    if (holder < 0 || 2 * matches.held_hits[t] <= table.hits[holder]) continue;
    for (std::int32_t i = tracks.row_splits[t]; i < tracks.row_splits[t + 1]; ++i) {
      const std::int32_t hit = tracks.hits[i];
      if (table.of_hit[hit] != holder || counted[hit]) continue;
      counted[hit] = true;
      counts.weight_found += weight[hit];
    }
  }
}

void check_matches(const TruthTable& truth, const TracksView& tracks, const TrackMatches& matches) {
  const auto fits = [](const std::vector<std::int32_t>& column, std::int32_t size) {
    return column.size() == static_cast<std::size_t>(size);
  };
  bool ours = fits(matches.known_hits, tracks.size()) && fits(matches.holder, tracks.size()) &&
              fits(matches.held_hits, tracks.size()) && fits(matches.best_track, truth.size()) &&
              fits(matches.shared_hits, truth.size());
  for (const std::int32_t holder : matches.holder) ours = ours && holder >= -1 && holder < truth.size();
  for (const std::int32_t best : matches.best_track) ours = ours && best >= -1 && best < tracks.size();
  if (!ours) throw Error(ErrorKind::usage, "count_tracks: expected what match_tracks gave for this table and tracks");
}

}  // namespace

TrackCounts count_tracks(const Event& event, const TruthTable& truth, const TracksView& tracks,
                         const TrackMatches& matches) {
  if (!event.truth) throw Error(ErrorKind::usage, "count_tracks: event " + event.name + " has no truth");
  check_event(event, "count_tracks");
  check_table(truth, event.hits.size(), "count_tracks");
  tracks.check(static_cast<std::int32_t>(truth.of_hit.size()), "count_tracks");
  check_matches(truth, tracks, matches);
  TrackCounts counts;
  for (std::int32_t row = 0; row < truth.size(); ++row) {
    if (!truth.reconstructable(row)) continue;
    const bool matched = matches.best_track[row] >= 0;
    const Ratio one{matched, 1};
    counts.efficiency += one;
    if (truth.radius[row] < kPromptRadius) counts.efficiency_prompt += one;
    if (truth.radius[row] >= kPromptRadius) counts.efficiency_displaced += one;
    if (matched) counts.complete += Ratio{matches.shared_hits[row] == truth.hits[row], 1};
  }
  for (std::int32_t t = 0; t < tracks.size(); ++t) {
    if (matches.known_hits[t] < matches.min_track_hits) continue;
    const std::int32_t holder = matches.holder[t];
    const bool held = holder >= 0;
    const std::int32_t best = held ? matches.best_track[holder] : -1;
    counts.fakes += Ratio{!held, 1};
    counts.fragments += Ratio{held && 2 * matches.held_hits[t] <= truth.hits[holder], 1};
    counts.duplicates += Ratio{best >= 0 && best != t, 1};
  }
  add_weights(event, truth, tracks, matches, counts);
  return counts;
}

double TrackCounts::trackml_score() const {
  return weight > 0 ? weight_found / weight : std::numeric_limits<double>::quiet_NaN();
}

TrackCounts& TrackCounts::operator+=(const TrackCounts& other) {
  efficiency += other.efficiency;
  efficiency_prompt += other.efficiency_prompt;
  efficiency_displaced += other.efficiency_displaced;
  fakes += other.fakes;
  fragments += other.fragments;
  duplicates += other.duplicates;
  complete += other.complete;
  weight_found += other.weight_found;
  weight += other.weight;
  events_without_weights.insert(events_without_weights.end(), other.events_without_weights.begin(),
                                other.events_without_weights.end());
  return *this;
}

}  // namespace starling
