#include "learn/ops/condensation_kernels.h"

#include <ATen/TensorOperators.h>

#include <limits>

namespace starling::ops {

CondensationOptions parse(const char* op, const CondensationChoices& choices) {
  CondensationOptions options;
  if (choices.form == "paper")
    options.form = CondensationForm::paper;
  else if (choices.form == "fgc")
    options.form = CondensationForm::fgc;
  else
    TORCH_CHECK_VALUE(choices.form == "slide", op, ": form is '", choices.form,
                      "': expected 'paper', 'slide' or 'fgc'");
  if (choices.scale == "alpha")
    options.scale = CondensationScale::alpha;
  else
    TORCH_CHECK_VALUE(choices.scale == "mean", op, ": scale_of is '", choices.scale, "': expected 'mean' or 'alpha'");
  options.soft_charge = choices.soft;
  options.q_min = choices.q_min;
  options.centre = choices.centre;
  options.payload_per_event = choices.payload_per_event;
  return options;
}

namespace {

/// Objects' numbers of 31 bits that are equal where those of 64 bits are, and in the same order; noise stays negative.
/// Waits for no device.
at::Tensor numbered_densely(const at::Tensor& truth) {
  const auto [sorted, order] = truth.sort();
  const at::Tensor number = at::zeros_like(sorted);
  const std::int64_t hits = truth.size(0);
  if (hits > 1)
    number.narrow(0, 1, hits - 1).copy_(sorted.narrow(0, 1, hits - 1).ne(sorted.narrow(0, 0, hits - 1)).cumsum(0));
  return at::zeros_like(truth).scatter_(0, order, number.masked_fill(sorted.lt(0), -1));
}

}  // namespace

void check_types(const char* op, const CondensationInputs& inputs) {
  const at::ScalarType type = inputs.truth.scalar_type();
  check_floating(op, "beta", inputs.beta);
  const auto check_type = [&](const char* name, const MaybeTensor& values) {
    if (values) check_computed_alike(op, name, *values, "beta", inputs.beta);
  };
  check_type("x", inputs.x);
  check_type("scale", inputs.scale);
  check_type("weight", inputs.weight);
  check_type("payload", inputs.payload);
  TORCH_CHECK_VALUE(at::isIntegralType(type, /*includeBool=*/false) && type != at::kUInt16 && type != at::kUInt32 &&
                        type != at::kUInt64,
                    op, ": truth is ", type, ": expected int8, uint8, int16, int32 or int64");
  if (inputs.row_splits) check_row_splits(op, "row_splits", *inputs.row_splits, inputs.beta);
}

void check(const char* op, const CondensationInputs& inputs) {
  check_types(op, inputs);
  const at::Tensor &beta = inputs.beta, &truth = inputs.truth;
  TORCH_CHECK_VALUE(beta.scalar_type() == compute_type(beta), op, ": beta is ", beta.scalar_type(),
                    ": expected float32 or float64");
  TORCH_CHECK_VALUE(beta.dim() == 1 && beta.size(0) <= std::numeric_limits<std::int32_t>::max(), op,
                    ": beta has shape ", beta.sizes(), ": expected [hits]");
  const std::int64_t hits = beta.size(0);
  TORCH_CHECK_VALUE(inputs.x.dim() == 2, op, ": x has shape ", inputs.x.sizes(), ": expected [", hits, ", dimensions]");
  check_like(op, "x", inputs.x, "beta and dimensions", {hits, inputs.x.size(1)}, beta);
  TORCH_CHECK_VALUE(truth.dim() == 1 && truth.size(0) == hits && truth.device() == beta.device(), op,
                    ": truth has shape ", truth.sizes(), " on ", truth.device(), ": expected [", hits, "] on ",
                    beta.device());
  if (inputs.scale) check_like(op, "scale", *inputs.scale, "beta", {hits}, beta);
  if (inputs.weight) check_like(op, "weight", *inputs.weight, "beta", {hits}, beta);
  if (!inputs.payload) return;
  TORCH_CHECK_VALUE(inputs.payload->dim() == 2, op, ": payload has shape ", inputs.payload->sizes(), ": expected [",
                    hits, ", channels]");
  check_like(op, "payload", *inputs.payload, "beta and channels", {hits, inputs.payload->size(1)}, beta);
}

CondensationOperands::CondensationOperands(const char* op, const CondensationInputs& inputs,
                                           const CondensationChoices& choices, bool capturing)
    : options(parse(op, choices)) {
  check(op, inputs);
  const auto whole = [](const MaybeTensor& tensor) { return tensor ? tensor->contiguous() : at::Tensor(); };
  beta = inputs.beta.contiguous();
  x = inputs.x.contiguous();
  truth = inputs.truth;
  if (truth.scalar_type() == at::kLong) {
    // While a CUDA graph is captured the values cannot be read, and may become wide later.
    constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
    const bool wide = capturing || truth.gt(kMost).any().item<bool>();
    truth = wide ? numbered_densely(truth) : truth.clamp_min(-1);
  }
  truth = truth.to(at::kInt).contiguous();
  splits = prepare_row_splits(op, "row_splits", inputs.row_splits, beta, capturing);
  scale = whole(inputs.scale);
  weight = whole(inputs.weight);
  payload = whole(inputs.payload);
}

}  // namespace starling::ops
