#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "starling/device.h"
#include "starling/half.h"
#include "starling/lists.h"

// Training of the interaction network (docs/definitions.md, Network and Training step): one message-passing step, and
// the MLPs before the first and behind the last, each with its gradient. Nothing is kept between the two but what the
// functions take and return: a gradient computes anew what lies between. No array of [E, 6H] exists.
//
// S is the type that states of nodes and edges are stored in:
//   float     products of sums of two TF32 numbers, about as exact as float, or with `tf32` of one (10 bits of
//   mantissa) BFloat16  products of bfloat16, added up in float; normalisation, message sums, gradients of parameters
//   and the
//             inputs of a first layer that come in float stay in float
//   double    on the host alone, to test gradients against differences
//
// On a device products are done by tensor cores. The host computes in double, one row after the other, and rounds what
// it writes: what the device is compared with, and no faster way to train on a CPU.
namespace starling {

inline constexpr int kMaxTrainedWidth = 128;  ///< inputs, hidden width and outputs

/// The type of parameters and of their gradients.
template <typename S>
using ParameterOf = std::conditional_t<std::is_same_v<S, double>, double, float>;

/// An MLP: dense layers of widths inputs → hidden → … → outputs. Its parameters lie one after the other, layer by
/// layer: the weight [out, in], row-major, then the bias [out] where there is one. All widths are 1..kMaxTrainedWidth.
struct MlpShape {
  int inputs = 0, hidden = 0, outputs = 0;
  int layers = 3;  ///< 2 or 3
  bool bias = true;
  bool norm = true;  ///< layer normalisation of every layer but the last, before its ReLU
  bool relu = true;  ///< of the last layer; every other one has it
};

/// Throws ErrorKind::usage for a shape out of range.
std::int64_t parameter_count(const MlpShape& shape);

/// An MLP that is applied to rows: encoders (float in, S out), the decoder (S in and out) and the output (S in, float
/// out). All pointers are memory of the device that the operation runs on.
template <typename In, typename Out>
struct MlpRows {
  MlpShape shape;
  const ParameterOf<Out>* parameters = nullptr;  ///< [parameter_count(shape)]
  const In* inputs = nullptr;                    ///< [num_rows, inputs]
  std::int32_t num_rows = 0;
  bool tf32 = false;
};

/// Bytes of workspace of mlp_rows() and of its gradient, on the host 0; neither reads an array.
template <typename In, typename Out>
std::size_t mlp_rows_workspace_bytes(const MlpRows<In, Out>& rows, const Execution& execution = {});
template <typename In, typename Out>
std::size_t mlp_rows_gradient_workspace_bytes(const MlpRows<In, Out>& rows, const Execution& execution = {});

/// Writes `out` [num_rows, outputs]. Throws ErrorKind::usage naming sizes and rule for wrong arguments.
template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out, std::span<std::byte> workspace, const Execution& execution = {});

/// Writes the gradients of the parameters [parameter_count(shape)] and, where it is not null, of the inputs
/// [num_rows, inputs], from that of `out`. The same bytes on every call on one kind of device. Errors as mlp_rows().
template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient, std::span<std::byte> workspace,
                       const Execution& execution = {});

/// One message-passing step. With concat the edge network sees [e, e⁰, x_src, x⁰_src, x_dst, x⁰_dst] and the node
/// network [in, out, x, x⁰]; without, [e, x_src, x_dst] and [in, out, x]. Batch normalisation is not there.
template <typename S>
struct InteractionStep {
  int hidden = 0;  ///< H, 1..kMaxTrainedWidth
  bool bias = true;
  bool norm = true;  ///< layer normalisation; false: none
  bool concat = true;
  bool tf32 = false;
  std::int32_t num_nodes = 0, num_edges = 0;
  const S *x = nullptr, *x0 = nullptr;                ///< [num_nodes, H]; x0 null without concat
  const S *e = nullptr, *e0 = nullptr;                ///< [num_edges, H]; e0 null without concat
  const std::int32_t *src = nullptr, *dst = nullptr;  ///< [num_edges] nodes
  /// The edges that start and that end at each node, as find_holders() gives them for lists of one entry per edge
  /// (k = 1): src and dst turned round. Sums run over them in this order.
  Holders outgoing, incoming;
  /// As those of MlpShape{6H, H, H} and {4H, H, H}, 3H without concat: the weights of the first layer are wider than
  /// kMaxTrainedWidth. `node_parameters` may be null: then there is no x' (the last step of a network).
  const ParameterOf<S>*edge_parameters = nullptr, *node_parameters = nullptr;
};

/// How many numbers `edge_parameters` and `node_parameters` have. Throws ErrorKind::usage for a shape out of range.
template <typename S>
std::int64_t edge_parameter_count(const InteractionStep<S>& step);
template <typename S>
std::int64_t node_parameter_count(const InteractionStep<S>& step);

/// Bytes of workspace, of a step with or without `node_parameters` as the call has them; reads no array. On the host 0.
/// On a device interaction_step() needs 8 H per node; its gradient 24 H per node, H numbers of type S per edge, 4 H + 4
/// more for each edge of a chunk (16 MiB of H numbers), and at most 88 times the parameters. Packed ones come on top.
template <typename S>
std::size_t interaction_step_workspace_bytes(const InteractionStep<S>& step, const Execution& execution = {});
template <typename S>
std::size_t interaction_step_gradient_workspace_bytes(const InteractionStep<S>& step, const Execution& execution = {});

/// Writes e' [num_edges, H] and, with `node_parameters`, x' [num_nodes, H]. Throws ErrorKind::usage naming sizes and
/// rule for wrong arguments; on the host ErrorKind::input naming the edge that ends at no node, which on a device gets
/// 0 from that end.
template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes, std::span<std::byte> workspace,
                      const Execution& execution = {});

/// What interaction_step_gradient() writes: gradients of L, all wanted, but x0 and e0 without concat and
/// node_parameters without a node network, which are null.
template <typename S>
struct InteractionStepGradients {
  S *x = nullptr, *x0 = nullptr;  ///< [num_nodes, H]
  S *e = nullptr, *e0 = nullptr;  ///< [num_edges, H]
  ParameterOf<S>*edge_parameters = nullptr, *node_parameters = nullptr;
};

/// Gradients from those of e' and x'; `edges` is e' as interaction_step() wrote it. `edges_gradient` may be null where
/// there is a node network: then it is 0. Sums run in the order of docs/definitions.md, Training step: the same bytes
/// on every call on one kind of device. Errors as interaction_step().
template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients,
                               std::span<std::byte> workspace, const Execution& execution = {});

/// The nodes at both ends of edges: rows of nodes [num_nodes, 2 W] gathered to edges [num_edges, W], the first W
/// columns from one end and the others from the other, and rows of edges summed to nodes; each is the gradient of the
/// other.
struct EdgeEnds {
  std::int32_t num_nodes = 0, num_edges = 0;
  int width = 0;                                           ///< W, at least 1
  const std::int32_t *first = nullptr, *second = nullptr;  ///< [num_edges] nodes, which must be there
  Holders at_first, at_second;                             ///< first and second turned round, as in InteractionStep
};

/// edges[e] = nodes[first[e], :W] + nodes[second[e], W:]. Throws ErrorKind::usage naming sizes and rule for wrong
/// arguments.
void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges, const Execution& execution = {});

/// nodes[v] = the sum of the edges whose first node is v, beside that of those whose second node it is; in float, in
/// the order of docs/definitions.md, Training step. Errors as gather_ends().
void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes, const Execution& execution = {});

}  // namespace starling
