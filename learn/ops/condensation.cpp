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

void check(const char* op, const CondensationInputs& inputs) {
  const at::Tensor &beta = inputs.beta, &truth = inputs.truth;
  TORCH_CHECK_VALUE(beta.scalar_type() == compute_type(beta), op, ": beta is ", beta.scalar_type(),
                    ": expected float32 or float64");
  TORCH_CHECK_VALUE(beta.dim() == 1 && beta.size(0) <= std::numeric_limits<std::int32_t>::max(), op,
                    ": beta has shape ", beta.sizes(), ": expected [hits]");
  const std::int64_t hits = beta.size(0);
  TORCH_CHECK_VALUE(inputs.x.dim() == 2, op, ": x has shape ", inputs.x.sizes(), ": expected [", hits, ", dimensions]");
  check_like(op, "x", inputs.x, "beta and dimensions", {hits, inputs.x.size(1)}, beta);
  TORCH_CHECK_VALUE(truth.scalar_type() == at::kInt || truth.scalar_type() == at::kLong, op, ": truth is ",
                    truth.scalar_type(), ": expected int32 or int64");
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
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (inputs.truth.scalar_type() == at::kLong && !capturing) {
    TORCH_CHECK_VALUE(!inputs.truth.gt(kMost).any().item<bool>(), op,
                      ": truth has an object's number above 2^31 - 1: expected numbers of 31 bits, negative for noise");
  }
  truth = inputs.truth.clamp(-1, kMost).to(at::kInt).contiguous();
  splits = prepare_row_splits(op, "row_splits", inputs.row_splits, beta, capturing);
  scale = whole(inputs.scale);
  weight = whole(inputs.weight);
  payload = whole(inputs.payload);
}

}  // namespace starling::ops
