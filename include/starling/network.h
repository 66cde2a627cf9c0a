#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "starling/device.h"
#include "starling/hit_graph.h"
#include "starling/safetensors.h"
#include "starling/tracks.h"

namespace starling {

enum class Norm { none, layer, batch };

/// "none", "layer" or "batch"; throws ErrorKind::usage for another name.
Norm parse_norm(const std::string& name);
std::string to_string(Norm norm);

/// The interaction network of the definitions, section 1.
struct Architecture {
  int hidden = 48;         ///< H, 1..1024
  int steps = 8;           ///< N message-passing steps, 1..64
  bool recurrent = false;  ///< one edge and one node network shared by all steps
  Norm norm = Norm::layer;
  bool bias = true;
  bool concat = true;  ///< feed the encoders' outputs into every step
  int node_inputs = kNodeFeatures, edge_inputs = kEdgeFeatures;

  bool operator==(const Architecture&) const = default;
};

inline constexpr float kLayerNormEpsilon = 1e-5f;
inline constexpr float kBatchNormEpsilon = 6e-5f;

/// One linear layer, with the name of its tensors: `<name>.weight` [out, in], `<name>.bias` [out] and, before a ReLU
/// that follows batch normalisation, `<name>.norm_weight`, `<name>.norm_bias` [out]. Names are "node_encoder.0",
/// "edge_network.3.1", "edge_output.1".
struct Layer {
  std::string name;
  int in = 0, out = 0;
  bool normalised = false;  ///< followed by the normalisation, where the architecture has one
  bool activated = false;   ///< followed by a ReLU
};

/// Every layer in the order of the definitions. Throws ErrorKind::usage for a value out of range.
std::vector<Layer> layers(const Architecture& architecture);

/// The number of parameters, the last node network included though it feeds nothing (published counts include it).
std::int64_t parameter_count(const Architecture& architecture);

/// A trained network with everything that reconstruction needs: weights, windows, feature scales, cuts, provenance.
class Model {
 public:
  Architecture architecture;
  std::map<std::string, std::vector<float>> weights;  ///< by tensor name, row-major
  Windows windows;
  FeatureScales scales;
  TrackCuts cuts;
  std::string provenance;  ///< JSON: data, seed, configuration, versions

  /// Reads a safetensors file, checking names, shapes and values (no NaN). Throws ErrorKind::input.
  static Model load(const std::filesystem::path& file);
  void save(const std::filesystem::path& file) const;

  /// The same to and from memory.
  TensorFile to_file() const;
  static Model from_file(const TensorFile& file, const std::string& name);
};

/// A graph in the caller's memory.
struct GraphView {
  std::int32_t num_nodes = 0;
  std::int64_t num_edges = 0;
  const std::int32_t* src = nullptr;     ///< [E]
  const std::int32_t* dst = nullptr;     ///< [E]
  const float* node_features = nullptr;  ///< [num_nodes, node_inputs]
  const float* edge_features = nullptr;  ///< [E, edge_inputs]
};

/// Weights repacked for one instruction set, and the memory that a graph of a given size needs. Immutable: share it
/// between threads.
class Plan {
 public:
  explicit Plan(const Model& model, SimdLevel level = simd_level());
  Plan(const Plan&) = delete;
  ~Plan();

  /// Bytes of workspace that run() needs for a graph of this size (any smaller one fits too).
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const;

  /// Writes one logit an edge. Runs in the caller's TBB arena; results do not depend on the number of threads.
  /// Throws ErrorKind::usage for an edge index outside the nodes or a workspace that is too small.
  void run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// The convenient form: a plan and a workspace that grows. Not for several threads at once.
class Session {
 public:
  explicit Session(const Model& model, SimdLevel level = simd_level());
  ~Session();

  /// One score in [0, 1] an edge: the sigmoid of the logit.
  std::vector<float> run(const HitGraph& graph);
  std::vector<float> logits(const HitGraph& graph);

 private:
  class Memory;
  Plan plan_;
  std::unique_ptr<Memory> workspace_;
};

/// Plain loops in double precision over the definitions as they stand (nothing fused, nothing skipped but the last node
/// network): what every backend is compared with. Weights and features are widened from float.
std::vector<double> network_reference(const Model& model, const GraphView& graph);

}  // namespace starling
