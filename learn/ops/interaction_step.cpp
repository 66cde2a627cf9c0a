#include <algorithm>

#include "learn/ops/interaction_step_kernels.h"

namespace starling::ops {
namespace {

constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();

void check_parameters(const char* op, const char* name, const at::Tensor& parameters, const at::Tensor& states,
                      std::int64_t count) {
  const at::ScalarType type = states.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  TORCH_CHECK_VALUE(parameters.sizes() == at::IntArrayRef({count}) && parameters.scalar_type() == type &&
                        parameters.device() == states.device(),
                    op, ": ", name, " is ", parameters.scalar_type(), " ", parameters.sizes(), " on ",
                    parameters.device(), ": expected ", type, " [", count, "] on ", states.device());
}

void check_states(const char* op, const char* name, const at::Tensor& states, const at::Tensor& x, std::int64_t rows) {
  TORCH_CHECK_VALUE(states.sizes() == at::IntArrayRef({rows, x.size(1)}) && states.scalar_type() == x.scalar_type() &&
                        states.device() == x.device(),
                    op, ": ", name, " is ", states.scalar_type(), " ", states.sizes(), " on ", states.device(),
                    ": expected ", x.scalar_type(), " [", rows, ", ", x.size(1), "] on ", x.device(), " as x");
}

void check_state_type(const char* op, const char* name, const at::Tensor& states) {
  const at::ScalarType type = states.scalar_type();
  TORCH_CHECK_VALUE(type == at::kFloat || type == at::kBFloat16 || (type == at::kDouble && states.is_cpu()), op, ": ",
                    name, " is ", type, " on ", states.device(),
                    ": expected float32, bfloat16 or, on the CPU, float64");
}

void check_indices(const char* op, const char* name, const at::Tensor& indices, const at::Tensor& x,
                   std::int64_t count) {
  TORCH_CHECK_VALUE(indices.sizes() == at::IntArrayRef({count}) && indices.scalar_type() == at::kInt &&
                        indices.device() == x.device(),
                    op, ": ", name, " is ", indices.scalar_type(), " ", indices.sizes(), " on ", indices.device(),
                    ": expected int32 [", count, "] on ", x.device());
}

}  // namespace

void check_ends(const char* op, const at::Tensor& ends, std::int64_t num_nodes) {
  TORCH_CHECK_VALUE(ends.dim() == 1 && ends.scalar_type() == at::kInt && ends.size(0) <= kMaxRows, op, ": ends is ",
                    ends.scalar_type(), " ", ends.sizes(), ": expected int32 [edges]");
  TORCH_CHECK_VALUE(num_nodes >= 0 && num_nodes <= kMaxRows, op, ": num_nodes is ", num_nodes, ": expected 0 to ",
                    kMaxRows);
}

void check(const char* op, const char* name, const at::Tensor& rows, const at::Tensor& first, const at::Tensor& second,
           at::TensorList lists) {
  TORCH_CHECK_VALUE(rows.dim() == 2 && rows.scalar_type() == at::kFloat && rows.size(1) > 0, op, ": ", name, " is ",
                    rows.scalar_type(), " ", rows.sizes(), ": expected float32 [", name, ", width]");
  check_ends(op, first, 0);
  check_indices(op, "first", first, rows, first.size(0));
  check_indices(op, "second", second, rows, first.size(0));
  TORCH_CHECK_VALUE(lists.size() == 4 && lists[0].dim() == 1 && lists[0].size(0) > 0, op,
                    ": lists: expected the two of edges_of_nodes(first), then the two of edges_of_nodes(second)");
  for (std::size_t i = 0; i < 4; ++i)
    check_indices(op, "lists", lists[i], rows, i % 2 == 0 ? lists[0].size(0) : first.size(0));
}

void check(const char* op, const StepInputs& inputs) {
  const at::Tensor &x = inputs.x, &e = inputs.e;
  check_state_type(op, "x", x);
  TORCH_CHECK_VALUE(x.dim() == 2 && x.size(0) <= kMaxRows && x.size(1) >= 1 && x.size(1) <= kMaxTrainedWidth, op,
                    ": x has shape ", x.sizes(), ": expected [nodes, 1 to ", kMaxTrainedWidth, "]");
  TORCH_CHECK_VALUE(e.dim() == 2 && e.size(0) <= kMaxRows, op, ": e has shape ", e.sizes(), ": expected [edges, ",
                    x.size(1), "]");
  check_states(op, "e", e, x, e.size(0));
  TORCH_CHECK_VALUE(inputs.x0.has_value() == inputs.e0.has_value(), op, ": x0 and e0: expected both or none");
  if (inputs.x0) {
    check_states(op, "x0", *inputs.x0, x, x.size(0));
    check_states(op, "e0", *inputs.e0, x, e.size(0));
  }
  check_indices(op, "src", inputs.src, x, e.size(0));
  check_indices(op, "dst", inputs.dst, x, e.size(0));
  TORCH_CHECK_VALUE(inputs.lists.size() == 4, op, ": lists has ", inputs.lists.size(),
                    " tensors: expected the two of edges_of_nodes(src), then the two of edges_of_nodes(dst)");
  for (std::size_t i = 0; i < 4; ++i)
    check_indices(op, "lists", inputs.lists[i], x, i % 2 == 0 ? x.size(0) + 1 : e.size(0));
  InteractionStep<float> sizes;
  sizes.hidden = static_cast<int>(x.size(1));
  sizes.bias = inputs.bias;
  sizes.concat = inputs.x0.has_value();
  check_parameters(op, "edge_parameters", inputs.edge_parameters, x, edge_parameter_count(sizes));
  if (inputs.node_parameters)
    check_parameters(op, "node_parameters", *inputs.node_parameters, x, node_parameter_count(sizes));
}

void check(const char* op, const MlpInputs& mlp) {
  const at::Tensor& inputs = mlp.inputs;
  check_state_type(op, "inputs", inputs);
  TORCH_CHECK_VALUE(inputs.dim() == 2 && inputs.size(0) <= kMaxRows, op, ": inputs has shape ", inputs.sizes(),
                    ": expected [rows, 1 to ", kMaxTrainedWidth, "]");
  const bool is_double = inputs.scalar_type() == at::kDouble;
  TORCH_CHECK_VALUE(is_double ? mlp.type == at::kDouble : mlp.type == at::kFloat || mlp.type == at::kBFloat16, op,
                    ": the output is ", mlp.type, ": expected ", is_double ? "float64" : "float32 or bfloat16");
  const std::int64_t count = translating_errors(op, [&] { return parameter_count(mlp.shape); });
  check_parameters(op, "parameters", mlp.parameters, inputs, count);
}

}  // namespace starling::ops
