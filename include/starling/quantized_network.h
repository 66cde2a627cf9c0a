#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "starling/device.h"
#include "starling/interaction_network.h"
#include "starling/model.h"

namespace starling {

/// The codes that a value of `bits` bits takes, and what one step is worth: code = min(max(rint(x / scale), lowest),
/// highest), value = code · scale (docs/definitions.md, Quantised network). Inputs of an MLP are signed, what leaves a
/// ReLU is not.
struct Quantizer {
  int bits = 8;       ///< 2..12
  float scale = 1.f;  ///< finite and above 0

  bool operator==(const Quantizer&) const = default;
};

/// A dense layer in codes; its widths, normalisation and ReLU are those of the DenseLayer of the same name.
struct QuantizedLayer {
  int weight_bits = 8;               ///< 2..12
  int bias_bits = 8;                 ///< 2..32
  std::vector<std::int16_t> weight;  ///< [out, in], in ±(2^(weight_bits - 1) - 1)
  std::vector<std::uint8_t> kept;    ///< [out, in], 0 = pruned: the weight is 0; empty = nothing is pruned
  std::vector<float> weight_scale;   ///< [1], or [out]: per output channel; finite and above 0
  /// [out], in -2^(bias_bits - 1) .. 2^(bias_bits - 1) - 1, at the scale of the input times that of the weights; empty
  /// in a layer without a bias.
  std::vector<std::int32_t> bias;
  Quantizer output;                           ///< of the ReLU; not used in a layer without one
  std::vector<float> norm_weight, norm_bias;  ///< [out] scale and shift of batch normalisation, else empty

  bool operator==(const QuantizedLayer&) const = default;
};

/// An interaction network in codes: docs/definitions.md, Quantised network.
struct QuantizedNetwork {
  InteractionNetworkShape shape;
  std::map<std::string, QuantizedLayer> layers;  ///< those of layers(shape), by name
  /// The quantiser of what an MLP reads, one for all its inputs: "node_encoder", "edge_network.3", ...
  std::map<std::string, Quantizer> inputs;

  /// Into a model: the sections `architecture` and `quantization`, and the arrays of docs/network.md, The file. Throws
  /// ErrorKind::usage for what from_model() would refuse.
  void to_model(Model& model) const;
  /// Throws ErrorKind::input, naming the model's file. Arrays of other names are left to the caller.
  static QuantizedNetwork from_model(const Model& model);
  /// Whether a model holds a quantised network: it has the section `quantization`.
  static bool is_in(const Model& model);

  bool operator==(const QuantizedNetwork&) const = default;
};

/// The MLPs of a network in the order of its layers: "node_encoder", "edge_encoder", "edge_network.0", ...
std::vector<std::string> mlps(const InteractionNetworkShape& shape);

/// What quantisation-aware training adds to the float values of a network.
struct LearnedQuantization {
  struct Layer {
    int weight_bits = 8, bias_bits = 8;
    bool per_channel = false;             ///< one scale per output channel instead of one for the matrix
    std::vector<std::uint8_t> kept = {};  ///< as in QuantizedLayer
    int output_bits = 8;
    float threshold = 1.f;  ///< learned, of the ReLU after the layer
  };
  struct Input {
    int bits = 8;
    float threshold = 1.f;
  };
  std::map<std::string, Layer> layers;
  std::map<std::string, Input> inputs;
  bool powers_of_two = false;  ///< every scale is rounded up to one
};

/// Rounds a network to codes as training does in its forward pass (docs/definitions.md, Quantised network), in float32.
/// A bias that rounds to 2^31, which is no code, becomes 2^31 - 1. Throws ErrorKind::usage where layers or inputs are
/// not those of the network, bits are out of range, or masks or values do not fit.
QuantizedNetwork quantize(const InteractionNetwork& network, const LearnedQuantization& learned);

/// Which percentile of the magnitudes that a quantiser meets its threshold becomes, in percent. Few features are large,
/// such as slopes of edges at nearly one radius, and most are small: what the encoders read has one of its own.
struct CalibrationPercentiles {
  double features = 99., others = 99.999;
};

/// Sets the thresholds without training: from the network in float on each of the graphs, the mean over graphs and
/// steps. Those that meet no value, as in the last node network, stay as they are. Takes as long as network_reference.
/// Throws ErrorKind::usage where layers or inputs are not those of the network, for percentiles outside 0..100 and for
/// graphs that do not fit.
void calibrate(const InteractionNetwork& network, std::span<const GraphView> graphs, LearnedQuantization& learned,
               const CalibrationPercentiles& percentiles = {});

/// What one layer of a network costs (docs/definitions.md, Cost of a network).
struct LayerCost {
  std::string name;
  std::int64_t parameters = 0, nonzero = 0;  ///< nonzero: parameters whose code is not 0
  std::int64_t bytes = 0;                    ///< in the file: codes, mask and scales, without the file's header
  int weight_bits = 32, input_bits = 32;
  double macs_per_node = 0.,
         macs_per_edge = 0.;  ///< multiply-accumulates per node and per edge, of all steps that run it
  double bops_per_node = 0., bops_per_edge = 0.;  ///< bit operations, likewise
};

/// In the order of layers(shape). A layer that never runs costs nothing but its bytes.
std::vector<LayerCost> layer_costs(const InteractionNetwork& network);
std::vector<LayerCost> layer_costs(const QuantizedNetwork& network);

/// A quantised network packed for one instruction level, and run with integers: what Plan is to a float network.
class QuantizedPlan : public EdgePlan {
 public:
  /// Throws ErrorKind::usage for a network that from_model() would refuse, ErrorKind::device where the processor has no
  /// such instructions.
  explicit QuantizedPlan(const QuantizedNetwork& network, SimdLevel level = simd_level());
  QuantizedPlan(const QuantizedPlan&) = delete;
  QuantizedPlan& operator=(const QuantizedPlan&) = delete;
  ~QuantizedPlan() override;

  const InteractionNetworkShape& shape() const override;
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override;
  /// As Plan::run. Logits have the same bytes at every level, on any number of threads and in any order of nodes and
  /// edges: they depend on sums of integers alone.
  void run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const override;

  /// What computes the products: "reference", "avx2", "avx512_vnni" or "amx", and the bits of a code in memory.
  std::string kernels() const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// The same on a CUDA device, in memory that the caller lends: logits have the same bytes as QuantizedPlan's.
/// Immutable: share it between threads and streams.
///
/// Where states and weights have at most 8 bits, sums 32, and the network is at most 128 wide without batch
/// normalisation, tensor cores multiply bytes and edges go through all layers of a step in one kernel; features may
/// have more bits. Any other network runs in plain integers, a kernel per layer, and takes several times as long.
class QuantizedCudaPlan {
 public:
  /// Bytes of device memory that the network takes. Throws ErrorKind::usage for one that from_model() would refuse.
  static std::size_t weights_bytes(const QuantizedNetwork& network);

  /// Copies the network into `memory` of the current device, which must stay as long as the plan is used, and returns
  /// once it is there. Throws ErrorKind::usage for a network that from_model() would refuse or memory that is too
  /// small, and ErrorKind::device without a device or without CUDA in the build.
  QuantizedCudaPlan(const QuantizedNetwork& network, std::span<std::byte> memory);
  QuantizedCudaPlan(const QuantizedCudaPlan&) = delete;
  QuantizedCudaPlan& operator=(const QuantizedCudaPlan&) = delete;
  ~QuantizedCudaPlan();

  const InteractionNetworkShape& shape() const;

  /// Bytes of workspace that run() needs for a graph of this size (any smaller one fits too). Per edge two states of H
  /// bytes, H rounded up to 32, 48, 64 or 128, and about 50 bytes; per node twelve states and about 30 bytes. In plain
  /// integers at most 20 H bytes per edge and 28 H per node.
  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const;

  /// As InteractionNetworkCudaPlan::run. Throws ErrorKind::usage for more than (2^32 - 1) / c edges as well, c being
  /// the highest code of a message: 16,843,009 at 8 bits. In plain integers there is no such limit.
  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace, const Execution& execution) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// Plain loops over the definitions, in 64-bit integers: what every backend must equal to the last bit. `codes`, where
/// it is given, gets the codes of every layer that runs by name, "node_encoder.in" for what an MLP reads and
/// "node_encoder.0" for what leaves a ReLU: [nodes or edges, width], edges and nodes in the graph's order; those of a
/// network that all steps share are of the last step.
std::vector<float> quantized_network_reference(const QuantizedNetwork& network, const GraphView& graph,
                                               std::map<std::string, std::vector<std::int32_t>>* codes = nullptr);

}  // namespace starling
