#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "starling/dense.h"
#include "starling/device.h"
#include "starling/hit_graph.h"
#include "starling/model.h"

namespace starling {

/// The interaction network of docs/definitions.md, Network.
struct InteractionNetworkShape {
  int hidden = 48;         ///< H, 1..1024
  int steps = 8;           ///< N message-passing steps, 1..64
  bool recurrent = false;  ///< one edge and one node network shared by all steps
  Norm norm = Norm::layer;
  bool bias = true;
  bool concat = true;  ///< feed the encoders' outputs into every step
  int node_inputs = kNodeFeatures, edge_inputs = kEdgeFeatures;

  bool operator==(const InteractionNetworkShape&) const = default;
};

/// Every layer in the order of the definitions, named "node_encoder.0", "edge_network.3.1", "edge_output.1". Throws
/// ErrorKind::usage for a value out of range.
std::vector<DenseLayer> layers(const InteractionNetworkShape& shape);

/// The number of parameters, the last node network included though it feeds nothing (published counts include it).
std::int64_t parameter_count(const InteractionNetworkShape& shape);

/// The shape as a JSON object: one key per member, and "kind": "interaction_network".
std::string to_json(const InteractionNetworkShape& shape);

/// A network in float.
struct InteractionNetwork {
  InteractionNetworkShape shape;
  Weights weights;  ///< those of layers(shape), and no others

  bool operator==(const InteractionNetwork&) const = default;

  /// Into a model: the section `architecture`, and one F32 array per array of layers(shape). Throws ErrorKind::usage
  /// where the weights are not those of the shape, or not finite.
  void to_model(Model& model) const;
  /// Throws ErrorKind::input, naming the model's file. Arrays of other names are left to the caller.
  static InteractionNetwork from_model(const Model& model);
};

/// A graph in the caller's memory: valid as long as the arrays that it views.
struct GraphView {
  std::int32_t num_nodes = 0;
  std::span<const std::int32_t> src, dst;  ///< [E] nodes
  std::span<const float> node_features;    ///< [num_nodes, node_inputs]
  std::span<const float> edge_features;    ///< [E, edge_inputs]
  /// [num_nodes] all nodes in the order in which messages are summed, or empty: by index. The logits of two graphs that
  /// agree but for the numbers of nodes and the order of edges are the same to the last bit where their orders agree.
  std::span<const std::int32_t> order = {};
  /// One element in the memory of the arrays: the number of edges, where only the device knows it; then src.size() is
  /// the capacity. Functions of the host refuse it (ErrorKind::usage).
  const std::int32_t* count = nullptr;

  /// Where `count` is given, the most that there can be.
  std::int64_t num_edges() const { return static_cast<std::int64_t>(src.size()); }
};

/// What a network reads of a hit graph: for Plan::run in memory of the caller's.
GraphView network_view(const HitGraphView& graph);

/// A network that is ready to run on the host, with floats (Plan) or with integers (quantized_network.h). Immutable:
/// share it between threads.
class EdgePlan {
 public:
  virtual ~EdgePlan() = default;

  virtual const InteractionNetworkShape& shape() const = 0;

  /// Bytes of workspace that run() needs for a graph of this size (any smaller one fits too).
  virtual std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const = 0;

  /// Writes one logit per edge. Runs in the caller's TBB arena; results do not depend on the number of threads.
  /// Throws ErrorKind::usage for arrays whose sizes do not fit together, an edge that ends at no node, or a workspace
  /// that is too small.
  virtual void run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const = 0;
};

/// Float weights repacked for one instruction set.
class Plan : public EdgePlan {
 public:
  /// Throws ErrorKind::usage where the weights are not those of the shape, ErrorKind::device where the processor has no
  /// such instructions.
  explicit Plan(const InteractionNetwork& network, SimdLevel level = simd_level());
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() override;

  const InteractionNetworkShape& shape() const override;
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override;
  void run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const override;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// The same on a CUDA device, in memory that the caller lends. Immutable: share it between threads and streams.
///
/// In float32 the logits have the same bytes as Plan's. With half and bfloat16 the matrices and the states between
/// layers have that type, sums and normalisation are in float, and tensor cores multiply; the first layer of each
/// encoder stays in float, since features reach from 1e-4 to 1e2 (docs/network.md, Number types). A network with batch
/// normalisation, or wider than 128, is computed and kept in float with every type.
class InteractionNetworkCudaPlan {
 public:
  /// Bytes of device memory that the weights of such a network take.
  static std::size_t weights_bytes(const InteractionNetworkShape& shape, NumberType type = NumberType::float32);

  /// Copies the weights into `memory` of the current device, which must stay as long as the plan is used, and returns
  /// once they are there. Throws ErrorKind::usage where the weights are not those of the shape or the memory is too
  /// small, and ErrorKind::device without a device or without CUDA in the build.
  InteractionNetworkCudaPlan(const InteractionNetwork& network, NumberType type, std::span<std::byte> memory);
  InteractionNetworkCudaPlan(const InteractionNetworkCudaPlan&) = delete;
  InteractionNetworkCudaPlan& operator=(const InteractionNetworkCudaPlan&) = delete;
  ~InteractionNetworkCudaPlan();

  const InteractionNetworkShape& shape() const;
  NumberType type() const;

  /// Bytes of workspace that run() needs for a graph of this size (any smaller one fits too). Per edge two states of H
  /// numbers, H rounded up to 32, 48, 64, 96 or a multiple of 128, and about 50 bytes; per node four states and about
  /// 30 bytes; with batch normalisation or H above 128 four states per edge and eight per node.
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const;

  /// Writes one logit per edge, all arrays being device memory; logits beyond *graph.count stay as they are. Allocates
  /// nothing and waits for nothing, so it may be captured in a CUDA graph. Needs execution.bad_row, which becomes the
  /// first edge that ends at no node, or −1; where there is one, no logit is written. An order that does not hold every
  /// node once gives unspecified logits. Throws ErrorKind::usage as Plan, ErrorKind::device for what the CUDA runtime
  /// reports.
  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace, const Execution& execution) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// Scores of edges, on host or device: scores[i] = 1 / (1 + exp(−logits[i])), with the same bytes on both. `scores` may
/// be `logits`. `count`: one element in the memory of the arrays, the number of edges, where only the device knows it
/// (else null); what is beyond stays as it is. Throws ErrorKind::usage for a null array and for a count on the host.
void edge_scores(const float* logits, std::int64_t num_edges, const std::int32_t* count, float* scores,
                 const Execution& execution);

/// The convenient form: a plan, which many sessions may share, and a workspace that grows. One thread at a time. A
/// moved-from session can only be destroyed: run and logits throw ErrorKind::usage.
class Session {
 public:
  /// Throws ErrorKind::usage for no plan, and for a network of other features than those of a hit graph.
  explicit Session(std::shared_ptr<const EdgePlan> plan);
  explicit Session(const InteractionNetwork& network, SimdLevel level = simd_level());
  Session(Session&&) noexcept;
  ~Session();

  /// One score in [0, 1] per edge: the sigmoid of the logit.
  std::vector<float> run(const HitGraphView& graph);
  std::vector<float> logits(const HitGraphView& graph);

 private:
  class Memory;
  std::shared_ptr<const EdgePlan> plan_;
  std::unique_ptr<Memory> workspace_;
};

/// Plain loops in double precision over the definitions as they stand (nothing fused, nothing skipped but the last node
/// network): what every backend is compared with. Weights and features are widened from float.
std::vector<double> network_reference(const InteractionNetwork& network, const GraphView& graph);

}  // namespace starling
