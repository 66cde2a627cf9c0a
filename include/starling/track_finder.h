#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <variant>

#include "starling/device.h"
#include "starling/hit_graph.h"
#include "starling/interaction_network.h"
#include "starling/model.h"
#include "starling/quantized_network.h"
#include "starling/tracks.h"

namespace starling {

/// All that reconstruction of tracks needs: what a model file of the kind "tracking" holds.
///
/// Sections: `architecture` and the network's arrays (interaction_network.h), with `quantization` where they are codes
/// (quantized_network.h), `windows` and the arrays "windows.*"
/// (hit_graph.h), `scales`, `cuts` and `provenance`, the keys of the first two being those of FeatureScales and
/// TrackCuts. A model of format 1 has no kind: it is a track finder.
struct TrackFinder {
  std::variant<InteractionNetwork, QuantizedNetwork> network;
  Windows windows;
  FeatureScales scales;
  TrackCuts cuts;
  std::string provenance = "{}";  ///< JSON object: data, seed, configuration, versions

  /// Reads a model file. Throws ErrorKind::input, naming the file, for another kind, and for an array or a key too many
  /// or too few, a wrong shape or a value out of range.
  static TrackFinder load(const std::filesystem::path& file);
  /// Throws ErrorKind::usage for what load() would refuse.
  void save(const std::filesystem::path& file) const;

  const InteractionNetworkShape& shape() const;  ///< of the network
  /// The network, ready to run: for Session. Throws what the constructors of Plan and QuantizedPlan throw.
  std::shared_ptr<const EdgePlan> plan(SimdLevel level = simd_level()) const;

  static TrackFinder from_model(const Model& model);
  Model to_model() const;
};

/// The cuts as a JSON object, one key per member.
std::string to_json(const TrackCuts& cuts);

/// A hit graph and the scores of its edges, in the caller's memory.
struct ScoredGraphView {
  HitGraphView graph;
  const float* scores = nullptr;  ///< [E]
};

/// From hits to tracks on a CUDA device, on a stream and in memory that the caller lends: build_hit_graph, the network,
/// edge_scores and build_tracks, one after the other. Immutable: share it between threads and streams.
class TrackCudaPlan {
 public:
  /// Bytes of device memory that the windows and the network take.
  static std::size_t model_bytes(const TrackFinder& finder, NumberType type = NumberType::float32);

  /// Copies windows and network into `memory` of the current device, which must stay as long as the plan is used, and
  /// returns once they are there. Throws ErrorKind::usage for memory that is too small, for a network of
  /// other features than those of a hit graph, for one in codes with another type than float32, and for what
  /// TrackFinder::save() refuses; ErrorKind::device without a
  /// device or without CUDA in the build.
  TrackCudaPlan(const TrackFinder& finder, NumberType type, std::span<std::byte> memory);
  TrackCudaPlan(const TrackCudaPlan&) = delete;
  TrackCudaPlan& operator=(const TrackCudaPlan&) = delete;
  ~TrackCudaPlan();

  /// Bytes of workspace that run() needs for so many hits (fewer fit too).
  std::size_t workspace_bytes(std::int32_t num_hits, const HitGraphCapacity& capacity) const;

  /// Finds the tracks of one event whose hits are in device memory. Allocates nothing and waits for nothing, so it may
  /// be captured in a CUDA graph. `counts`, one element in device memory, becomes what the graph needed: where fits()
  /// says that the graph did not fit the capacity, there are no tracks, and a run with the capacity that the counts
  /// name finds them. What is returned lies in the workspace, and is valid until that is used again. execution.bad_row
  /// is not used. Throws ErrorKind::usage as HitGraphCudaPlan::run and build_tracks, ErrorKind::device for what the
  /// CUDA runtime reports.
  ScoredGraphView run(const HitsView& hits, const HitGraphCapacity& capacity, HitGraphCounts* counts,
                      const TracksMemory& tracks, std::span<std::byte> workspace, const Execution& execution) const;

 private:
  struct Stages;
  std::unique_ptr<const Stages> stages_;
};

/// The convenient form: hits in host memory to tracks, on the host (in the caller's TBB arena) or on the current CUDA
/// device (on a stream of its own, with memory of its own there). One thread at a time; memory grows with the largest
/// event. A moved-from session can only be destroyed: every function throws ErrorKind::usage.
class TrackSession {
 public:
  /// Throws ErrorKind::usage for what TrackFinder::save() refuses, a network of other features than those of a hit
  /// graph and, on the host, a type other than float32; ErrorKind::device where the device is not there.
  explicit TrackSession(const TrackFinder& finder, Device device = Device::cpu, NumberType type = NumberType::float32);
  /// On the host, with the finder's plan(), which many sessions may share. Throws ErrorKind::usage as Session.
  TrackSession(const TrackFinder& finder, std::shared_ptr<const EdgePlan> plan);
  TrackSession(TrackSession&&) noexcept;
  ~TrackSession();

  /// The tracks of one event: in float32 the same on either device. Throws as build_hit_graph, and on a device
  /// ErrorKind::input for an event that needs more memory than is free there.
  Tracks run(const HitsView& hits);

  /// What run() made on the way to the tracks of the last event, valid until the next run().
  struct Found {
    EdgeListView edges;
    std::span<const float> scores;  ///< [E]
    std::int32_t hits_outside = 0;  ///< as HitGraph::hits_outside
    /// Seconds of each stage: on a device as the stream took them, with the copies of the hits and of the tracks.
    double graph_seconds = 0, network_seconds = 0, tracks_seconds = 0;
  };
  /// Copies edges and scores from the device. Before the first run() there are none.
  Found found();

  /// Bytes of device memory that the session holds; 0 on the host.
  std::size_t device_bytes() const;

 private:
  struct Runtime;
  std::unique_ptr<Runtime> runtime_;
};

}  // namespace starling
