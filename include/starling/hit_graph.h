#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "starling/event.h"
#include "starling/graph.h"
#include "starling/safetensors.h"

namespace starling {

class Config;

/// What node and edge features are divided by (definitions, section 1).
struct FeatureScales {
  float r = 1000.f, phi = 3.14159265358979323846f, z = 1000.f, eta = 1.f;
};

inline constexpr int kNodeFeatures = 12;  ///< r, phi, z, eta of the space point, then of its first and second cluster
inline constexpr int kEdgeFeatures = 6;   ///< dr, dphi, dz, deta, phislope, rphislope

/// A hit graph: every hit is a node; candidate edges point outwards.
struct HitGraph {
  EdgeList edges;                    ///< sorted by (src, dst)
  std::vector<float> node_features;  ///< [num_nodes, 12], scaled
  std::vector<float> edge_features;  ///< [E, 6], of scaled quantities
  std::int32_t hits_outside = 0;     ///< hits on no layer that the windows know: kept as nodes, on no edge
};

/// How windows are learned; section [graph] of a configuration.
struct WindowSettings {
  double min_pt = 1.0;            ///< GeV: the lowest pt of interest
  int min_hits = 3;               ///< layers that a track must have to count, 3 or more
  int events = 192;               ///< simulated events whose tracks are the signal
  int background_events = 8;      ///< the first of them, whose hits are also the background
  double lambda_doublets = 2e-5;  ///< true segments given up per extra doublet
  double lambda_triplets = 1e-3;  ///< true segments given up per extra edge
  bool overlaps = false;          ///< same-layer pairs of overlapping modules as extra edges
};

/// Reads the section [graph].
WindowSettings read_window_settings(Config& config);

/// Layer-pair (doublet) and layer-triple windows learned from simulated tracks. What they hold is the business of
/// src/hit_graph; layers are the (volume_id, layer_id) that simulated hits have.
class Windows {
 public:
  Windows();
  Windows(const Windows&);
  Windows(Windows&&) noexcept;
  Windows& operator=(Windows) noexcept;
  ~Windows();

  /// Into and out of a model file: arrays under "windows." and metadata "windows". from_file checks everything
  /// (ErrorKind::input).
  void to_file(TensorFile& file) const;
  static Windows from_file(const TensorFile& file);

  double min_pt() const;
  std::int32_t layer_pairs() const;
  std::int32_t layer_triples() const;

  struct Content;
  const Content& content() const { return *content_; }
  explicit Windows(std::unique_ptr<Content> content);

 private:
  std::unique_ptr<Content> content_;
};

/// Learns windows. `event(i)` gives simulated event i < settings.events with full truth, particles included; it is
/// called from several threads. Deterministic. `progress`, where given, is told the fraction done, from several threads
/// too. Throws ErrorKind::usage for settings out of range or events without a track above min_pt.
Windows learn_windows(const std::function<Event(std::uint64_t)>& event, const WindowSettings& settings,
                      const std::function<void(double)>& progress = {});

/// Builds the graph of one event, features included: the doublets that are on a triplet, both inside their windows, and
/// overlaps where the windows have them. Deterministic; single-threaded where the caller's arena has one thread. Throws
/// ErrorKind::input where the windows let more than 2^25 doublets through.
HitGraph build_hit_graph(const Hits& hits, const Windows& windows, const FeatureScales& scales = {});

/// The same edges by testing every pair of hits and every pair of doublets: what build_hit_graph is compared with.
EdgeList hit_graph_reference(const Hits& hits, const Windows& windows);

/// How a track's hits, in order outwards, hang together.
struct Chain {
  int layers = 0;      ///< that it passes, hits of one layer side by side counted once
  bool whole = false;  ///< three layers or more, and every three hits that follow each other, the first ones of their
                       ///< layers, are inside the triplet window of the layers
};
Chain find_chain(const Hits& hits, std::span<const std::int32_t> track, const Windows& windows);

/// [N, 12] features of the hits; where a hit has no clusters, the space point is repeated. On the beam line eta is ±10.
std::vector<float> node_features(const Hits& hits, const FeatureScales& scales);

/// [E, 6] features of nodes whose features are scaled with `scales` (dphi is wrapped in scaled units); where dr = 0,
/// phislope and rphislope are 0.
std::vector<float> edge_features(std::span<const float> node_features, const EdgeList& edges,
                                 const FeatureScales& scales = {});

/// True segments of an event: consecutive hits of a particle, ordered by distance from its production vertex (from the
/// beam line's middle where particles are not known), one hit a layer: the first met. So segments join different
/// layers, and a second hit from overlapping modules is on none.
struct Segments {
  std::vector<std::int32_t> src, dst;  ///< hit indices
  std::vector<std::int64_t> particle_id;
};
Segments true_segments(const Event& event);

}  // namespace starling
