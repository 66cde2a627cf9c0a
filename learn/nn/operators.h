#pragma once

#include <torch/torch.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "starling/interaction_step.h"

// The operators of learn/ops, differentiable, as functions. Shapes, types and errors are those of learn/ops/schema.cpp.
namespace starling::learn {

/// Mean and maximum of the messages exp(−factor d²) features [N, P] from the k nearest in space [N, S] of each row in
/// its event, itself among them, side by side: [N, 2 P]. With `subtract`, a row's own features minus these.
torch::Tensor gravnet(const torch::Tensor& space, const torch::Tensor& features, int k, const torch::Tensor& row_splits,
                      double factor, bool subtract);

/// rows[index], whose gradient is a sum of rows.
torch::Tensor gather_rows(const torch::Tensor& rows, const torch::Tensor& index);
/// out[v] = Σ of the rows whose index is v, [count, width], in the order of the rows and in float at least.
torch::Tensor sum_rows(const torch::Tensor& rows, const torch::Tensor& index, std::int64_t count);

/// The edges that end at each node, ascending: begin [num_nodes + 1] and edge [E] of `ends` [E], all int32.
std::pair<torch::Tensor, torch::Tensor> edges_of_nodes(const torch::Tensor& ends, std::int64_t num_nodes);

/// What one message-passing step reads (starling/interaction_step.h): states in the type that they are stored in,
/// parameters in float, in double with states in double. x0 and e0 are undefined without concat, node_parameters
/// without a node network.
struct StepInputs {
  torch::Tensor x, x0, e, e0;
  torch::Tensor src, dst;
  std::vector<torch::Tensor> lists;  ///< edges_of_nodes() of src, then of dst
  torch::Tensor edge_parameters, node_parameters;
  bool bias = true, norm = true;
};
/// e' [E, H], and x' [N, H] or [0, H] without a node network.
std::pair<torch::Tensor, torch::Tensor> interaction_step(const StepInputs& inputs);

/// The MLP of `shape` on inputs [R, inputs]: [R, outputs] of `type`.
torch::Tensor mlp_rows(const torch::Tensor& inputs, const torch::Tensor& parameters, const MlpShape& shape,
                       torch::ScalarType type);

/// Fake quantisation (docs/definitions.md): values rounded to codes times a scale, and the scale, [].
std::pair<torch::Tensor, torch::Tensor> quantize_activation(const torch::Tensor& x, const torch::Tensor& threshold,
                                                            int bits, bool is_signed, bool powers_of_two);
/// Arrays [rows, width] side by side, signed.
std::pair<torch::Tensor, torch::Tensor> quantize_parts(const std::vector<torch::Tensor>& parts,
                                                       const torch::Tensor& threshold, int bits, bool powers_of_two);
/// Parameters with all weights among them rounded, and the scales of these, one after the other: `sizes` of segments,
/// their `outputs`, 0 for what is no weight, and their `bits`.
std::pair<torch::Tensor, torch::Tensor> quantize_weights(const torch::Tensor& parameters,
                                                         const std::vector<std::int64_t>& sizes,
                                                         const std::vector<std::int64_t>& outputs,
                                                         const std::vector<std::int64_t>& bits, bool per_channel,
                                                         bool powers_of_two);
torch::Tensor quantize_bias(const torch::Tensor& bias, const torch::Tensor& scale, int bits);
/// The nodes at both ends of edges, and what edges_of_nodes() gives of each.
struct Ends {
  torch::Tensor first, second;
  std::vector<torch::Tensor> lists;
};
/// nodes[first, :W] + nodes[second, W:] of nodes [N, 2 W], and its gradient: rows of edges [E, W] summed to [N, 2 W].
torch::Tensor gather_ends(const torch::Tensor& nodes, const Ends& ends);
torch::Tensor sum_ends(const torch::Tensor& edges, const Ends& ends);

/// What follows the products of a dense layer: the rounded bias, rows of nodes, layer normalisation, ReLU, rounding.
/// What is undefined is not there.
struct LayerRows {
  torch::Tensor sums;                             ///< [rows, width]
  torch::Tensor bias, weight_scale, input_scale;  ///< the bias in float, its scale being weight_scale · input_scale
  int bias_bits = 0;
  torch::Tensor nodes;  ///< gathered by `ends`
  Ends ends;
  bool norm = false;
};
std::pair<torch::Tensor, torch::Tensor> quantize_rows(const LayerRows& rows, const torch::Tensor& threshold, int bits,
                                                      bool powers_of_two);

/// The value that `percentile` percent of |x| do not exceed, [].
torch::Tensor calibrated_threshold(const torch::Tensor& x, double percentile);

/// Masks of weights [outputs, inputs], bool, true where a weight is kept (learn/ops/schema.cpp, prune): `amount` of the
/// remaining go, `block` neighbours of an output together; each matrix keeps its floor.
std::vector<torch::Tensor> prune_smallest(const std::vector<torch::Tensor>& weights,
                                          const std::vector<torch::Tensor>& masks, double amount,
                                          const std::vector<double>& floors, int block);
torch::Tensor prune_2_of_4(const torch::Tensor& weight, const torch::Tensor& mask);

/// The terms of object condensation: one value per event [B], payload [B, P].
struct CondensationTensors {
  torch::Tensor attraction, repulsion, objects, noise, payload;
};

struct CondensationInputs {
  torch::Tensor beta;                          ///< [N], in 0 to 1
  torch::Tensor x;                             ///< [N, D] cluster coordinates
  torch::Tensor truth;                         ///< [N] int32, the object of a hit; negative: noise
  torch::Tensor splits;                        ///< [B + 1] int32
  std::optional<torch::Tensor> scale, weight;  ///< [N]
  std::optional<torch::Tensor> payload;        ///< [N, P]
};

/// `form` is "paper", "slide" or "fgc".
CondensationTensors condensation_loss(const CondensationInputs& inputs, const std::string& form, double q_min);

}  // namespace starling::learn
