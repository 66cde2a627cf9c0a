#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "starling/event.h"
#include "starling/graph.h"
#include "starling/hit_graph.h"
#include "starling/tracks.h"

namespace starling {

class Config;

/// Which particles a network is asked to find (definitions, section 2). A cut whose column the data set lacks is
/// skipped and reported.
struct TargetCuts {
  double min_pt = 1.0;        ///< GeV
  int min_hits = 3;           ///< hits of the particle in the event
  double max_radius = 260.0;  ///< mm, of the production vertex
  double max_abs_eta = 4.0;
  bool primary = true;
  bool no_electrons = true;
  bool all = false;  ///< "no hard cuts": every particle is a target
};

/// Reads the section [target].
TargetCuts read_target_cuts(Config& config);

/// What the truth says of each particle that has hits in an event.
struct TruthTable {
  std::vector<std::int64_t> particle_id;  ///< ascending, without noise and unknown
  std::vector<std::int32_t> hits;         ///< in the event
  std::vector<std::uint8_t> target;       ///< passes the cuts
  std::vector<float> pt, eta, radius;     ///< of production, mm; NaN where the particle is not in the particles file
  std::vector<std::int32_t> of_hit;       ///< [hits] row in this table, −1 = noise, −2 = unknown
  std::vector<std::string> skipped_cuts;  ///< "primary: no such column"
};
TruthTable truth_table(const Event& event, const TargetCuts& cuts);

/// Per edge: is it true (same particle), of a target, and is either end unknown. For labels, weights and metrics alike.
struct EdgeTruth {
  std::vector<std::uint8_t> same_particle, target, unknown;  ///< [E]
};
EdgeTruth edge_truth(const EdgeList& edges, const TruthTable& truth);

/// A ratio with its 68.27 % Clopper–Pearson interval. 0/0 is NaN.
struct Ratio {
  std::int64_t passed = 0, total = 0;
  double value() const;
  double low() const;
  double high() const;
  Ratio& operator+=(const Ratio& other);
};

/// Counts of the edge metrics, to be summed over events (definitions, section 3). Edges with an unknown end are left
/// out.
struct EdgeCounts {
  std::int64_t target = 0, predicted = 0, predicted_target = 0, predicted_same_particle = 0;
  Ratio efficiency() const, total_purity() const, target_purity() const, masked_purity() const;
  EdgeCounts& operator+=(const EdgeCounts& other);
};
EdgeCounts count_edges(const EdgeTruth& truth, std::span<const float> scores, float cut);

/// Counts of graph construction: true segments of target particles, those present as edges (either direction), all
/// edges, those that join hits of one particle.
struct GraphCounts {
  Ratio segments, prompt_segments;  ///< prompt: production radius < 0.1 mm
  Ratio purity;                     ///< edges that join two hits of one particle / edges without an unknown end
  std::int64_t edges = 0;
  GraphCounts& operator+=(const GraphCounts& other);
};
GraphCounts count_graph(const Event& event, const TruthTable& truth, const EdgeList& edges);

enum class Matching { double_majority, atlas, one_way, two_way };

/// Counts of the track metrics, to be summed over events.
struct TrackCounts {
  Ratio efficiency, efficiency_prompt, efficiency_displaced;  ///< matched / reconstructable target particles
  Ratio fakes, fragments, duplicates;                         ///< of tracks; unmatched = fakes + fragments
  Ratio complete;                                             ///< matched particles whose every hit is on the track
  double trackml_score = 0;                                   ///< sum over events; NaN where an event has no weights
  std::int64_t events = 0;
  TrackCounts& operator+=(const TrackCounts& other);
};
TrackCounts count_tracks(const Event& event, const TruthTable& truth, const Tracks& tracks,
                         Matching matching = Matching::double_majority, int min_track_hits = 3);

/// Per particle of the truth table: is it matched by a track.
std::vector<std::uint8_t> matched_particles(const TruthTable& truth, const Tracks& tracks,
                                            Matching matching = Matching::double_majority);

}  // namespace starling
