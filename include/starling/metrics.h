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
  bool all = false;  ///< "no hard cuts": every particle is a target; min_hits then only says which are reconstructable
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
  std::int32_t min_hits = 3;              ///< of the cuts: a target with fewer is not reconstructable
  std::vector<std::string> skipped_cuts;  ///< "primary: no such column"

  std::int32_t size() const { return static_cast<std::int32_t>(particle_id.size()); }
};

inline constexpr float kPromptRadius = 0.1f;  ///< mm: particles born nearer to the beam line are prompt

/// Where the event has particles, one that is not among them is no target; where it has none, every cut but min_hits is
/// skipped. Throws ErrorKind::input for an event without truth.
TruthTable truth_table(const Event& event, const TargetCuts& cuts);

/// Per edge: is it true (same particle), of a target, and is either end unknown. For labels, weights and metrics alike.
/// A target edge is also true; an unknown one is neither.
struct EdgeTruth {
  std::vector<std::uint8_t> same_particle, target, unknown;  ///< [E]
};
EdgeTruth edge_truth(const EdgeList& edges, const TruthTable& truth);

/// A ratio with its central 68.27 % Clopper–Pearson interval (Biometrika 26 (1934) 404): low and high are quantiles of
/// the beta distribution. 0/0 is NaN with the interval 0..1.
struct Ratio {
  std::int64_t passed = 0, total = 0;
  double value() const;
  double low() const;
  double high() const;
  Ratio& operator+=(const Ratio& other);
  bool operator==(const Ratio&) const = default;
};

/// Counts of the edge metrics, to be summed over events (definitions, section 3). An edge is predicted where its score
/// is at least the cut. Edges with an unknown end are left out.
struct EdgeCounts {
  std::int64_t target = 0, predicted = 0, predicted_target = 0, predicted_same_particle = 0;
  Ratio efficiency() const;     ///< predicted target edges / target edges
  Ratio total_purity() const;   ///< predicted true edges / predicted edges
  Ratio target_purity() const;  ///< predicted target edges / predicted edges
  Ratio masked_purity() const;  ///< predicted target edges / predicted edges that are not true edges of others
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

/// Per segment: is it an edge of the graph, in either direction.
std::vector<std::uint8_t> found_segments(const Segments& segments, const EdgeList& edges);

/// When a track finds a particle, by the hits that they share (definitions, section 3).
enum class Matching {
  double_majority,  ///< > 1/2 of the track's hits and > 1/2 of the particle's
  atlas,            ///< >= 1/2 of the track's hits
  one_way,          ///< >= 1/2 of the particle's hits
  two_way,          ///< >= 1/2 of the track's hits and >= 1/2 of the particle's
};
Matching parse_matching(const std::string& name);
std::string to_string(Matching matching);

/// Counts of the track metrics, to be summed over events. Hits of unknown origin count neither for nor against: they
/// are taken off a track before it is judged. Fakes, fragments and duplicates are ratios to the tracks that keep
/// min_track_hits hits then. A track is held by the particle that made > 1/2 of its hits.
struct TrackCounts {
  Ratio efficiency, efficiency_prompt, efficiency_displaced;  ///< matched / reconstructable target particles
  Ratio fakes;                                                ///< tracks that no particle holds
  Ratio fragments;           ///< tracks that keep <= 1/2 of their holder's hits; unmatched = fakes + fragments
  Ratio duplicates;          ///< tracks whose holder is matched by another, better track (fragments included)
  Ratio complete;            ///< matched reconstructable particles whose every hit is on the track
  double trackml_score = 0;  ///< sum over events, each in 0..1; NaN where an event has no weights
  std::int64_t events = 0;
  TrackCounts& operator+=(const TrackCounts& other);
};
TrackCounts count_tracks(const Event& event, const TruthTable& truth, const Tracks& tracks,
                         Matching matching = Matching::double_majority, int min_track_hits = 3);

/// Per particle of the truth table: is it matched by a track of at least min_track_hits hits.
std::vector<std::uint8_t> matched_particles(const TruthTable& truth, const Tracks& tracks,
                                            Matching matching = Matching::double_majority, int min_track_hits = 3);

}  // namespace starling
