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

/// Which particles a network is asked to find (docs/definitions.md, Metrics). A cut whose column the data set lacks is
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
  /// A target with enough hits: what the track efficiency counts.
  bool reconstructable(std::int32_t row) const { return target[row] != 0 && hits[row] >= min_hits; }
};

inline constexpr float kPromptRadius = 0.1f;  ///< mm: particles born nearer to the beam line are prompt

/// Where the event has particles, one that is not among them is no target; where it has none, every cut but min_hits is
/// skipped. Throws ErrorKind::input for an event without truth, ErrorKind::usage for columns of unequal length.
TruthTable truth_table(const Event& event, const TargetCuts& cuts);

/// Per edge: is it true (same particle), of a target, and is either end unknown. For labels, weights and metrics alike.
/// A target edge is also true; an unknown one is neither. Throws ErrorKind::usage where the graph and the table are not
/// of the same hits or an end is not a node.
struct EdgeTruth {
  std::vector<std::uint8_t> same_particle, target, unknown;  ///< [E]
};
EdgeTruth edge_truth(const EdgeListView& edges, const TruthTable& truth);

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

/// Counts of the edge metrics, to be summed over events (docs/definitions.md, Metrics). An edge is predicted where its
/// score is at least the cut. Edges with an unknown end are left out. count_edges throws ErrorKind::usage unless there
/// is one score per edge.
struct EdgeCounts {
  std::int64_t target = 0, predicted = 0, predicted_target = 0, predicted_same_particle = 0;
  Ratio efficiency() const;     ///< predicted target edges / target edges
  Ratio total_purity() const;   ///< predicted true edges / predicted edges
  Ratio target_purity() const;  ///< predicted target edges / predicted edges
  Ratio masked_purity() const;  ///< predicted target edges / predicted edges that are not true edges of others
  EdgeCounts& operator+=(const EdgeCounts& other);
};
EdgeCounts count_edges(const EdgeTruth& truth, std::span<const float> scores, float cut);

/// Edges by score, to be summed over events: how the efficiency and the fake rate go with the cut (receiver operating
/// characteristic, ROC), and the area below that curve (AUC): the chance that a target edge has a higher score than a
/// fake one, ties counted half. Scores are kept in 16,129 bins whose width is at most 1/64 of the distance to 0 or 1,
/// whichever is nearer: memory does not grow with the edges, every point of the curve is exact, and scores in one bin
/// count as ties. Counts are integers: the same on any number of threads.
class RocCounts {
 public:
  /// Counts the edges of one event. Left out are edges with an unknown end and true edges of others than targets. A
  /// score of NaN is below every cut. Throws ErrorKind::usage unless there is one score in 0..1 per edge.
  void add(const EdgeTruth& truth, std::span<const float> scores);

  struct Point {
    float cut;         ///< the least score that passes
    Ratio efficiency;  ///< target edges that pass / target edges
    Ratio fake_rate;   ///< fake edges that pass / fake edges
  };
  /// One point per bin that has edges, from the highest cut down.
  std::vector<Point> curve() const;

  /// The area, 0..1; NaN where there is no target edge or no fake one.
  double area() const;

  RocCounts& operator+=(const RocCounts& other);

 private:
  struct Bin {
    std::int64_t target = 0, fake = 0;
    float least = 1;  ///< score in it
  };
  std::vector<Bin> bins_;  ///< ascending; empty until there are edges
  Bin below_;              ///< scores that are NaN
};

/// Counts of graph construction: true segments of target particles, those present as edges (either direction), all
/// edges, those that join hits of one particle.
struct GraphCounts {
  Ratio segments, prompt_segments;  ///< prompt: production radius < 0.1 mm
  Ratio purity;                     ///< edges that join two hits of one particle / edges without an unknown end
  std::int64_t edges = 0;
  GraphCounts& operator+=(const GraphCounts& other);
};

/// Per segment: is it an edge of the graph, in either direction. Throws ErrorKind::usage for an end that is not a node.
std::vector<std::uint8_t> found_segments(const Segments& segments, const EdgeListView& edges);

/// From the true segments of an event, which of them the graph has, and what its edges are. Throws ErrorKind::usage for
/// sizes that do not fit.
GraphCounts count_graph(const TruthTable& truth, const Segments& segments, std::span<const std::uint8_t> found,
                        const EdgeTruth& edges);

/// The same where these are not at hand.
GraphCounts count_graph(const Event& event, const TruthTable& truth, const EdgeListView& edges);

/// When a track finds a particle, by the hits that they share (docs/definitions.md, Metrics).
enum class Matching {
  double_majority,  ///< > 1/2 of the track's hits and > 1/2 of the particle's
  atlas,            ///< >= 1/2 of the track's hits
  one_way,          ///< >= 1/2 of the particle's hits
  two_way,          ///< >= 1/2 of the track's hits and >= 1/2 of the particle's
};
/// "double_majority", "atlas", "one_way" or "two_way"; both throw ErrorKind::usage for anything else.
Matching parse_matching(const std::string& name);
std::string to_string(Matching matching);

/// Which tracks of an event find which of its particles. Hits of unknown origin count neither for nor against: they are
/// taken off a track before it is judged. A hit may be on several tracks; each is judged by all of its hits.
struct TrackMatches {
  int min_track_hits = 3;                ///< shorter tracks match nothing
  std::vector<std::int32_t> known_hits;  ///< [tracks] hits of known origin
  std::vector<std::int32_t> holder;      ///< [tracks] row of the particle that made > 1/2 of them, −1 = none
  std::vector<std::int32_t> held_hits;   ///< [tracks] how many of them it made
  /// [particles] the matched track with the most shared hits, of several the first; −1 = not matched.
  std::vector<std::int32_t> best_track;
  std::vector<std::int32_t> shared_hits;  ///< [particles] hits shared with it
};

/// Throws ErrorKind::usage where tracks name a hit that the table does not have or one hit twice on a track, or their
/// row splits do not fit, and for an unknown matching.
TrackMatches match_tracks(const TruthTable& truth, const TracksView& tracks,
                          Matching matching = Matching::double_majority, int min_track_hits = 3);

/// Counts of the track metrics, to be summed over events. Fakes, fragments and duplicates are ratios to the tracks that
/// have min_track_hits hits of known origin. A track is held by the particle that made > 1/2 of those.
struct TrackCounts {
  Ratio efficiency, efficiency_prompt, efficiency_displaced;  ///< matched / reconstructable target particles
  Ratio fakes;                                                ///< tracks that no particle holds
  Ratio fragments;   ///< tracks that keep <= 1/2 of their holder's hits; unmatched = fakes + fragments
  Ratio duplicates;  ///< tracks whose holder is matched by another, better track (fragments included)
  Ratio complete;    ///< matched reconstructable particles whose every hit is on the track
  /// Weights of the TrackML score (arXiv:1904.06778): of hits on a track whose holder made it by double majority and
  /// made them too, and of all hits. A hit counts once.
  double weight_found = 0, weight = 0;
  std::vector<std::string> events_without_weights;  ///< their hits' weights are absent or sum to 0: not in the score

  /// weight_found / weight, 0..1, over all events that have weights; NaN where none has.
  double trackml_score() const;
  TrackCounts& operator+=(const TrackCounts& other);
};

/// Of one event with truth, and what match_tracks gave for its table and tracks. Throws ErrorKind::usage for sizes and
/// indices that do not fit.
TrackCounts count_tracks(const Event& event, const TruthTable& truth, const TracksView& tracks,
                         const TrackMatches& matches);

}  // namespace starling
