#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "starling/device.h"
#include "starling/event.h"
#include "starling/graph.h"
#include "starling/safetensors.h"

namespace starling {

class Config;

/// What node and edge features are divided by; all finite and above 0 (docs/definitions.md, Features).
struct FeatureScales {
  float r = 1000.f, phi = 3.14159265358979323846f, z = 1000.f, eta = 1.f;
};

/// r, phi, z and eta of the space point, three times: the networks have inputs for the hit's two clusters, and without
/// clusters the space point stands in for both. Starling reads no clusters; cells of an event are not used.
inline constexpr int kNodeFeatures = 12;
inline constexpr int kEdgeFeatures = 6;  ///< dr, dphi, dz, deta, phislope, rphislope

/// A hit graph in the caller's memory: valid as long as the arrays that it views.
struct HitGraphView {
  EdgeListView edges;
  std::span<const float> node_features;          ///< [num_nodes, 12]
  std::span<const float> edge_features;          ///< [E, 6]
  std::span<const std::int32_t> layer;           ///< [num_nodes]
  std::span<const std::int32_t> order;           ///< [num_nodes]
  std::span<const std::int32_t> triplet_splits;  ///< [E + 1]
  std::span<const std::int32_t> triplets;
};

/// A hit graph: every hit is a node, under its index in the hits; candidate edges point outwards.
struct HitGraph {
  EdgeList edges;                    ///< sorted by (src, dst)
  std::vector<float> node_features;  ///< [num_nodes, 12], scaled
  std::vector<float> edge_features;  ///< [E, 6], of scaled quantities
  std::vector<std::int32_t> layer;   ///< [num_nodes] the hit's layer, −1 = none that the windows know: on no edge
  /// [num_nodes] all nodes in an order that comes from layers, coordinates and modules alone. Whatever depends on an
  /// order (sums, ties) takes this one, so that nothing depends on the order of the hits. Only hits that agree in all
  /// of these may change places.
  std::vector<std::int32_t> order;
  Csr triplets;  ///< of each edge a–b, the edges b–c with which it is inside the window of a triplet

  /// Hits on no layer that the windows know, on the beam line or farther than 1 km: on no edge.
  std::int32_t hits_outside = 0;

  operator HitGraphView() const {
    return {edges, node_features, edge_features, layer, order, triplets.row_splits, triplets.edges};
  }
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

/// Layer-pair (doublet) and layer-triple windows learned from simulated tracks. Layers are the (volume_id, layer_id)
/// that simulated hits have. Immutable; copies share their content, so they are cheap. A moved-from object has no
/// windows, like a new one.
class Windows {
 public:
  Windows() = default;

  /// Into and out of a model file: arrays under "windows." and metadata "windows". from_file checks everything
  /// (ErrorKind::input).
  void to_file(TensorFile& file) const;
  static Windows from_file(const TensorFile& file);

  double min_pt() const;
  std::int32_t layer_pairs() const;
  std::int32_t layer_triples() const;

  struct Content;  ///< known in src/hit_graph only
  const Content& content() const;
  explicit Windows(std::unique_ptr<const Content> content);

 private:
  std::shared_ptr<const Content> content_;  ///< null = no windows
};

/// Learns windows. `event(i)` gives simulated event i < settings.events with full truth, particles included; it is
/// called from several threads. Deterministic. `progress`, where given, is told the fraction done: rising, and never
/// from two threads at once; what it throws ends the learning. Throws ErrorKind::usage for settings out of range or
/// events without a track above min_pt, and ErrorKind::input, naming the event, for a background event of more than
/// 2^25 doublets or 2^28 pairs of them, as build_hit_graph does, or of more than 2^28 doublets before their windows are
/// chosen.
Windows learn_windows(const std::function<Event(std::uint64_t)>& event, const WindowSettings& settings,
                      const std::function<void(double)>& progress = {});

/// Builds the graph of one event, features included: the doublets that are on a triplet, both inside their windows, and
/// overlaps where the windows have them (docs/definitions.md, Windows). Deterministic; parallel in the caller's arena.
/// Another order of the hits gives the same graph under other indices, but for which of two hits that agree in layer,
/// module and coordinates is which. Throws ErrorKind::usage for columns of unequal length and scales out of range,
/// ErrorKind::input for a coordinate that is not finite, naming the hit, and where there are more than 2^25 doublets,
/// 2^28 pairs of them to test, 2^25 triplets or 2^25 edges: no event that the windows are for.
HitGraph build_hit_graph(const HitsView& hits, const Windows& windows, const FeatureScales& scales = {});

/// The same in place of what `graph` held, whose memory is used again: for event after event.
void build_hit_graph(const HitsView& hits, const Windows& windows, const FeatureScales& scales, HitGraph& graph);

/// The most entries that a graph on a CUDA device may have: what the lent memory has room for.
struct HitGraphCapacity {
  std::int32_t doublets = 0;  ///< 0..2^25, for the search alone: about seven per edge of a whole event
  std::int32_t edges = 0;     ///< 0..2^25
  std::int32_t triplets = 0;  ///< 0..2^25
};

/// What a search on a CUDA device found: true numbers, also where they do not fit. The search ends early above 2^25
/// doublets or 2^28 pairs of them; then `doublets` or `pairs` is above that bound, and any number there.
struct HitGraphCounts {
  std::int32_t doublets = 0;
  std::int32_t edges = 0, triplets = 0;  ///< −1 = not known: the doublets do not fit, or are too many
  std::int32_t hits_outside = 0;         ///< as HitGraph::hits_outside
  std::int32_t bad_hit = -1;             ///< the first hit with a coordinate that is not finite, −1 = none
  std::int64_t pairs = 0;                ///< of doublets to test for triplets
};

/// For counts that the host has read: true where the graph is whole, false where it is empty because something does not
/// fit; then counts say what it needs. Throws ErrorKind::input where build_hit_graph does: for a bad hit, and more than
/// 2^25 doublets, 2^28 pairs of them, 2^25 triplets or 2^25 edges.
bool fits(const HitGraphCounts& counts, const HitGraphCapacity& capacity, std::int32_t num_hits);

/// Where a graph is written, in device memory: edges sorted by (src, dst), the rest as in HitGraph.
struct HitGraphMemory {
  std::int32_t *src = nullptr, *dst = nullptr;  ///< [capacity.edges]
  float* node_features = nullptr;               ///< [num_hits, 12], to 16 bytes aligned
  float* edge_features = nullptr;               ///< [capacity.edges, 6], to 8 bytes aligned
  std::int32_t* layer = nullptr;                ///< [num_hits]
  std::int32_t* order = nullptr;                ///< [num_hits]
  std::int32_t* triplet_splits = nullptr;       ///< [capacity.edges + 1]
  std::int32_t* triplets = nullptr;             ///< [capacity.triplets]
  HitGraphCounts* counts = nullptr;             ///< one
  std::int32_t* edge_count = nullptr;           ///< one: the number of edges, 0 where the graph does not fit
};

/// Builds hit graphs on a CUDA device, in memory that the caller lends. Immutable: share it between threads and
/// streams.
class HitGraphCudaPlan {
 public:
  /// Bytes of device memory that the windows take.
  static std::size_t windows_bytes(const Windows& windows);

  /// Copies the windows into `memory` of the current device, which must stay as long as the plan is used, and returns
  /// once they are there. Throws ErrorKind::usage for scales out of range and memory that is too small, and
  /// ErrorKind::device without a device or without CUDA in the build.
  HitGraphCudaPlan(const Windows& windows, const FeatureScales& scales, std::span<std::byte> memory);
  HitGraphCudaPlan(const HitGraphCudaPlan&) = delete;
  HitGraphCudaPlan& operator=(const HitGraphCudaPlan&) = delete;
  ~HitGraphCudaPlan();

  /// Bytes of workspace that run() needs: about 80 per hit, 20 per doublet, 25 per edge and 64 KiB per layer.
  std::size_t workspace_bytes(std::int32_t num_hits, const HitGraphCapacity& capacity) const;

  /// Builds the graph of one event whose hits are in device memory: the same bytes as build_hit_graph. Allocates
  /// nothing and waits for nothing, so it may be captured in a CUDA graph. `hits` and `memory` must stay as long as the
  /// view is used; its arrays are as long as the capacity, its EdgeListView::count is memory.edge_count. A graph that
  /// does not fit, and that of a bad hit, is left empty: nothing is cut, and `counts` say what it needs; layer, order
  /// and node features are those of the hits even then. execution.bad_row is not used. Throws ErrorKind::usage for
  /// columns of unequal length, arrays that are null, a capacity out of range and a workspace that is too small;
  /// ErrorKind::device for what the CUDA runtime reports.
  HitGraphView run(const HitsView& hits, const HitGraphCapacity& capacity, const HitGraphMemory& memory,
                   std::span<std::byte> workspace, const Execution& execution) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// The same edges and triplets by testing every pair of hits and every pair of doublets: what build_hit_graph is
/// compared with. Leaves the rest of the graph empty.
HitGraph hit_graph_reference(const HitsView& hits, const Windows& windows);

/// [N, 12] features of the hits, scaled. On the beam line eta is ±10. Throws ErrorKind::usage for columns of unequal
/// length and scales out of range, ErrorKind::input for a coordinate that is not finite, naming the hit.
std::vector<float> node_features(const HitsView& hits, const FeatureScales& scales);

/// The same into `features`, [N, 12]; throws ErrorKind::usage for another size too.
void node_features(const HitsView& hits, const FeatureScales& scales, std::span<float> features);

/// [E, 6] features of nodes whose features are scaled with `scales` (dphi is wrapped in scaled units); where dr = 0,
/// phislope and rphislope are 0 (docs/definitions.md, Features). Throws ErrorKind::usage for sizes that do not fit,
/// ends outside the nodes and scales out of range.
std::vector<float> edge_features(std::span<const float> node_features, const EdgeListView& edges,
                                 const FeatureScales& scales = {});

/// The same into `features`, [E, 6].
void edge_features(std::span<const float> node_features, const EdgeListView& edges, const FeatureScales& scales,
                   std::span<float> features);

/// True segments of an event: consecutive hits of a particle, ordered by distance from its production vertex (from the
/// beam line's middle where particles are not known), one hit per layer: the first met. So segments join different
/// layers, and a second hit from overlapping modules is on none.
struct Segments {
  std::vector<std::int32_t> src, dst;  ///< hit indices
  std::vector<std::int64_t> particle_id;
};

/// Throws ErrorKind::usage for columns of unequal length, of hits, truth or particles.
Segments true_segments(const Event& event);

}  // namespace starling
