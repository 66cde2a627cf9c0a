#pragma once

#include <ATen/Context.h>
#include <ATen/Functions.h>

#include <optional>
#include <tuple>
#include <vector>

#include "learn/ops/neighbor_gradient_kernels.h"
#include "learn/ops/operands.h"
#include "starling/interaction_step.h"

// The operators of the interaction network's training on a device, written once as neighbors_kernels.h is.
namespace starling::ops {

/// e' [E, H] and x' [N, H], or [0, H] without a node network.
using StepTensors = std::tuple<at::Tensor, at::Tensor>;
/// Gradients of x, x0, e, e0, edge_parameters and node_parameters; those of what is not given are empty.
using StepGradientTensors = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// States are all float32, all bfloat16 or, on the CPU, all float64; parameters float32, with float64 states float64.
struct StepInputs {
  const at::Tensor& x;          ///< [N, H]
  const MaybeTensor& x0;        ///< as x; both x0 and e0 or none
  const at::Tensor& e;          ///< [E, H]
  const MaybeTensor& e0;        ///< as e
  const at::Tensor &src, &dst;  ///< int32 [E]
  at::TensorList lists;         ///< what edges_of_nodes gives of src, then of dst
  const at::Tensor& edge_parameters;
  const MaybeTensor& node_parameters;
  bool bias = true, norm = true;
  std::optional<bool> tf32;  ///< none: as torch.backends.cuda.matmul says
};

/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong.
void check(const char* op, const StepInputs& inputs);

/// An MLP as the operators take it.
struct MlpInputs {
  const at::Tensor& inputs;      ///< [R, inputs]
  const at::Tensor& parameters;  ///< [parameter_count(shape)]
  MlpShape shape;
  at::ScalarType type;  ///< of the outputs
  std::optional<bool> tf32;
};
void check(const char* op, const MlpInputs& inputs);

/// Throws ValueError with the shapes and the rule unless `rows` is float32 [rows, width] and `first`, `second` and
/// `lists` are those of edges between nodes: `lists` is what edges_of_nodes gives of `first`, then of `second`.
void check(const char* op, const char* name, const at::Tensor& rows, const at::Tensor& first, const at::Tensor& second,
           at::TensorList lists);

/// Throws ValueError unless `ends` is int32 [E].
void check_ends(const char* op, const at::Tensor& ends, std::int64_t num_nodes);

inline bool uses_tf32(std::optional<bool> tf32) { return tf32.value_or(at::globalContext().allowTF32CuBLAS()); }

/// `call` with a value of the type that states are stored in.
template <typename Call>
auto for_state_type(at::ScalarType type, const Call& call) {
  switch (type) {
    case at::kDouble:
      return call(double());
    case at::kBFloat16:
      return call(BFloat16());
    default:
      return call(float());
  }
}
/// `call` with a value of the type of an MLP's inputs and one of that of its outputs.
template <typename Call>
auto for_mlp_types(at::ScalarType in, at::ScalarType out, const Call& call) {
  if (in == at::kDouble) return call(double(), double());
  if (in == at::kFloat) return out == at::kFloat ? call(float(), float()) : call(float(), BFloat16());
  return out == at::kFloat ? call(BFloat16(), float()) : call(BFloat16(), BFloat16());
}

/// Contiguous tensors, and what the core reads of them.
class StepOperands {
 public:
  StepOperands(const char* op, const StepInputs& inputs)
      : x(inputs.x.contiguous()),
        e(inputs.e.contiguous()),
        src(inputs.src.contiguous()),
        dst(inputs.dst.contiguous()),
        edge_parameters(inputs.edge_parameters.contiguous()),
        bias_(inputs.bias),
        norm_(inputs.norm),
        tf32_(uses_tf32(inputs.tf32)) {
    check(op, inputs);
    if (inputs.x0) {
      x0 = inputs.x0->contiguous();
      e0 = inputs.e0->contiguous();
    }
    if (inputs.node_parameters) node_parameters = inputs.node_parameters->contiguous();
    for (const at::Tensor& list : inputs.lists) lists_.push_back(list.contiguous());
  }

  template <typename S>
  InteractionStep<S> step() const {
    InteractionStep<S> result;
    result.hidden = static_cast<int>(x.size(1));
    result.bias = bias_;
    result.norm = norm_;
    result.concat = x0.defined();
    result.tf32 = tf32_;
    result.num_nodes = static_cast<std::int32_t>(x.size(0));
    result.num_edges = static_cast<std::int32_t>(e.size(0));
    result.x = values_of<S>(x);
    result.e = values_of<S>(e);
    if (x0.defined()) {
      result.x0 = values_of<S>(x0);
      result.e0 = values_of<S>(e0);
    }
    result.src = src.const_data_ptr<std::int32_t>();
    result.dst = dst.const_data_ptr<std::int32_t>();
    result.outgoing = holders(0);
    result.incoming = holders(2);
    result.edge_parameters = values_of<ParameterOf<S>>(edge_parameters);
    if (node_parameters.defined()) result.node_parameters = values_of<ParameterOf<S>>(node_parameters);
    return result;
  }

  at::Tensor x, x0, e, e0, src, dst, edge_parameters, node_parameters;

 private:
  Holders holders(std::size_t first) const {
    return {static_cast<const std::uint32_t*>(lists_[first].const_data_ptr()),
            static_cast<const std::uint32_t*>(lists_[first + 1].const_data_ptr())};
  }

  std::vector<at::Tensor> lists_;
  bool bias_, norm_, tf32_;
};

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> edges_of_nodes(const at::Tensor& ends, std::int64_t num_nodes) {
  const char* const op = "starling::edges_of_nodes";
  const Backend backend(op, ends);
  check_ends(op, ends, num_nodes);
  const at::Tensor whole = ends.contiguous();
  Lists lists;
  lists.index = whole.const_data_ptr<std::int32_t>();
  lists.num_rows = static_cast<std::int32_t>(whole.size(0));
  lists.k = 1;
  lists.num_entries = whole.size(0);
  lists.num_points = static_cast<std::int32_t>(num_nodes);
  return translating_errors(op, [&]() -> std::tuple<at::Tensor, at::Tensor> {
    const auto [workspace, holders] = backend.find_holders(lists);
    const auto copy = [&](const std::uint32_t* from, std::int64_t count) {
      if (count == 0) return at::empty({0}, whole.options());
      return at::from_blob(const_cast<std::uint32_t*>(from), {count}, whole.options()).clone();
    };
    return {copy(holders.begin, num_nodes + 1), copy(holders.entry, whole.size(0))};
  });
}

template <typename Backend>
StepTensors interaction_step(const at::Tensor& x, const MaybeTensor& x0, const at::Tensor& e, const MaybeTensor& e0,
                             const at::Tensor& src, const at::Tensor& dst, at::TensorList lists,
                             const at::Tensor& edge_parameters, const MaybeTensor& node_parameters, bool bias,
                             bool norm, std::optional<bool> tf32) {
  const char* const op = "starling::interaction_step";
  const Backend backend(op, x);
  const StepOperands operands(op, {x, x0, e, e0, src, dst, lists, edge_parameters, node_parameters, bias, norm, tf32});
  const at::Tensor edges = at::empty_like(operands.e);
  const at::Tensor nodes = at::empty({node_parameters ? x.size(0) : 0, x.size(1)}, operands.x.options());
  translating_errors(op, [&] {
    for_state_type(x.scalar_type(), [&]<typename S>(S) {
      backend.interaction_step(operands.step<S>(), mutable_values_of<S>(edges), mutable_values_of<S>(nodes));
    });
  });
  return {edges, nodes};
}

template <typename Backend>
StepGradientTensors interaction_step_gradient(const at::Tensor& x, const MaybeTensor& x0, const at::Tensor& e,
                                              const MaybeTensor& e0, const at::Tensor& src, const at::Tensor& dst,
                                              at::TensorList lists, const at::Tensor& edge_parameters,
                                              const MaybeTensor& node_parameters, bool bias, bool norm,
                                              std::optional<bool> tf32, const at::Tensor& edges,
                                              const MaybeTensor& edges_gradient, const MaybeTensor& nodes_gradient) {
  const char* const op = "starling::_interaction_step_gradient";
  const Backend backend(op, x);
  const StepOperands operands(op, {x, x0, e, e0, src, dst, lists, edge_parameters, node_parameters, bias, norm, tf32});
  check_like(op, "edges", edges, "e", e.sizes(), e);
  if (edges_gradient) check_like(op, "edges_gradient", *edges_gradient, "e", e.sizes(), e);
  if (nodes_gradient) check_like(op, "nodes_gradient", *nodes_gradient, "x", x.sizes(), x);
  TORCH_CHECK_VALUE(nodes_gradient.has_value() == node_parameters.has_value(), op,
                    ": nodes_gradient and node_parameters: expected both or none");
  const at::Tensor whole_edges = edges.contiguous();
  const at::Tensor of_edges = edges_gradient ? edges_gradient->contiguous() : at::Tensor();
  const at::Tensor of_nodes = nodes_gradient ? nodes_gradient->contiguous() : at::Tensor();
  const auto like = [&](const at::Tensor& values) {
    return values.defined() ? at::empty_like(values) : at::empty({0}, operands.x.options());
  };
  const at::Tensor of_x = like(operands.x), of_x0 = like(operands.x0), of_e = like(operands.e),
                   of_e0 = like(operands.e0), of_edge_parameters = like(operands.edge_parameters),
                   of_node_parameters = like(operands.node_parameters);
  translating_errors(op, [&] {
    for_state_type(x.scalar_type(), [&]<typename S>(S) {
      using P = ParameterOf<S>;
      backend.interaction_step_gradient(
          operands.step<S>(), values_of<S>(whole_edges), of_edges.defined() ? values_of<S>(of_edges) : nullptr,
          of_nodes.defined() ? values_of<S>(of_nodes) : nullptr,
          InteractionStepGradients<S>{mutable_values_of<S>(of_x), x0 ? mutable_values_of<S>(of_x0) : nullptr,
                                      mutable_values_of<S>(of_e), x0 ? mutable_values_of<S>(of_e0) : nullptr,
                                      mutable_values_of<P>(of_edge_parameters),
                                      node_parameters ? mutable_values_of<P>(of_node_parameters) : nullptr});
    });
  });
  return {of_x, of_x0, of_e, of_e0, of_edge_parameters, of_node_parameters};
}

inline MlpShape mlp_shape(const at::Tensor& inputs, std::int64_t hidden, std::int64_t outputs, std::int64_t layers,
                          bool bias, bool norm, bool relu) {
  const auto narrow = [](std::int64_t value) {  // any number out of range stays out of range
    return static_cast<int>(std::clamp<std::int64_t>(value, -1, std::numeric_limits<int>::max()));
  };
  return {narrow(inputs.dim() == 2 ? inputs.size(1) : 0),
          narrow(hidden),
          narrow(outputs),
          narrow(layers),
          bias,
          norm,
          relu};
}

template <typename Backend>
at::Tensor mlp_rows(const at::Tensor& inputs, const at::Tensor& parameters, std::int64_t hidden, std::int64_t outputs,
                    std::int64_t layers, bool bias, bool norm, bool relu, std::optional<at::ScalarType> type,
                    std::optional<bool> tf32) {
  const char* const op = "starling::mlp_rows";
  const Backend backend(op, inputs);
  const MlpInputs mlp{inputs, parameters, mlp_shape(inputs, hidden, outputs, layers, bias, norm, relu),
                      type.value_or(inputs.scalar_type()), tf32};
  check(op, mlp);
  const at::Tensor whole = inputs.contiguous(), whole_parameters = parameters.contiguous();
  const at::Tensor out = at::empty({inputs.size(0), outputs}, inputs.options().dtype(mlp.type));
  translating_errors(op, [&] {
    for_mlp_types(inputs.scalar_type(), mlp.type, [&]<typename In, typename Out>(In, Out) {
      backend.mlp_rows(MlpRows<In, Out>{mlp.shape, values_of<ParameterOf<Out>>(whole_parameters), values_of<In>(whole),
                                        static_cast<std::int32_t>(inputs.size(0)), uses_tf32(tf32)},
                       mutable_values_of<Out>(out));
    });
  });
  return out;
}

template <typename Backend>
std::tuple<at::Tensor, at::Tensor> mlp_rows_gradient(const at::Tensor& inputs, const at::Tensor& parameters,
                                                     std::int64_t hidden, std::int64_t outputs, std::int64_t layers,
                                                     bool bias, bool norm, bool relu, std::optional<bool> tf32,
                                                     const at::Tensor& out_gradient, bool wants_inputs) {
  const char* const op = "starling::_mlp_rows_gradient";
  const Backend backend(op, inputs);
  const MlpInputs mlp{inputs, parameters, mlp_shape(inputs, hidden, outputs, layers, bias, norm, relu),
                      out_gradient.scalar_type(), tf32};
  check(op, mlp);
  TORCH_CHECK_VALUE(
      out_gradient.sizes() == at::IntArrayRef({inputs.size(0), outputs}) && out_gradient.device() == inputs.device(),
      op, ": out_gradient has shape ", out_gradient.sizes(), ": expected that of the output");
  const at::Tensor whole = inputs.contiguous(), whole_parameters = parameters.contiguous(),
                   gradient = out_gradient.contiguous();
  const at::Tensor of_inputs = wants_inputs ? at::empty_like(whole) : at::empty({0}, whole.options());
  const at::Tensor of_parameters = at::empty_like(whole_parameters);
  translating_errors(op, [&] {
    for_mlp_types(inputs.scalar_type(), mlp.type, [&]<typename In, typename Out>(In, Out) {
      using P = ParameterOf<Out>;
      backend.mlp_rows_gradient(MlpRows<In, Out>{mlp.shape, values_of<P>(whole_parameters), values_of<In>(whole),
                                                 static_cast<std::int32_t>(inputs.size(0)), uses_tf32(tf32)},
                                values_of<Out>(gradient), wants_inputs ? mutable_values_of<In>(of_inputs) : nullptr,
                                mutable_values_of<P>(of_parameters));
    });
  });
  return {of_inputs, of_parameters};
}

/// action(ends of edges), whose arrays are whole while it runs.
template <typename Action>
void with_ends(std::int64_t width, const at::Tensor& first, const at::Tensor& second, at::TensorList lists,
               const Action& action) {
  const at::Tensor whole[] = {first.contiguous(),    second.contiguous(),   lists[0].contiguous(),
                              lists[1].contiguous(), lists[2].contiguous(), lists[3].contiguous()};
  const auto list = [&](int i) { return static_cast<const std::uint32_t*>(whole[i].const_data_ptr()); };
  EdgeEnds ends;
  ends.num_nodes = static_cast<std::int32_t>(lists[0].size(0) - 1);
  ends.num_edges = static_cast<std::int32_t>(first.size(0));
  ends.width = static_cast<int>(width);
  ends.first = whole[0].const_data_ptr<std::int32_t>();
  ends.second = whole[1].const_data_ptr<std::int32_t>();
  ends.at_first = {list(2), list(3)};
  ends.at_second = {list(4), list(5)};
  action(ends);
}

template <typename Backend>
at::Tensor gather_ends(const at::Tensor& nodes, const at::Tensor& first, const at::Tensor& second,
                       at::TensorList lists) {
  const char* const op = "starling::gather_ends";
  const Backend backend(op, nodes);
  check(op, "nodes", nodes, first, second, lists);
  TORCH_CHECK_VALUE(nodes.size(0) == lists[0].size(0) - 1 && nodes.size(1) % 2 == 0, op, ": nodes has shape ",
                    nodes.sizes(), ": expected [", lists[0].size(0) - 1, ", an even number]");
  const at::Tensor whole = nodes.contiguous();
  at::Tensor edges = at::empty({first.size(0), nodes.size(1) / 2}, nodes.options());
  translating_errors(op, [&] {
    with_ends(edges.size(1), first, second, lists, [&](const EdgeEnds& ends) {
      backend.gather_ends(ends, whole.const_data_ptr<float>(), edges.mutable_data_ptr<float>());
    });
  });
  return edges;
}

template <typename Backend>
at::Tensor sum_ends(const at::Tensor& edges, const at::Tensor& first, const at::Tensor& second, at::TensorList lists) {
  const char* const op = "starling::sum_ends";
  const Backend backend(op, edges);
  check(op, "edges", edges, first, second, lists);
  TORCH_CHECK_VALUE(edges.size(0) == first.size(0), op, ": edges has shape ", edges.sizes(), ": expected [",
                    first.size(0), ", width]");
  const at::Tensor whole = edges.contiguous();
  at::Tensor nodes = at::empty({lists[0].size(0) - 1, 2 * edges.size(1)}, edges.options());
  translating_errors(op, [&] {
    with_ends(edges.size(1), first, second, lists, [&](const EdgeEnds& ends) {
      backend.sum_ends(ends, whole.const_data_ptr<float>(), nodes.mutable_data_ptr<float>());
    });
  });
  return nodes;
}

}  // namespace starling::ops
