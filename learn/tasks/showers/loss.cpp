#include "learn/tasks/showers/loss.h"

#include <optional>

#include "learn/nn/operators.h"
#include "learn/tasks/showers/sample.h"

namespace starling::learn::showers {
namespace {

namespace F = torch::nn::functional;
using torch::Tensor;

/// The columns of the outputs, in the order that ShowerOutputs tells.
class Columns {
 public:
  explicit Columns(const Tensor& outputs) : outputs_(outputs) {}
  Tensor take(std::int64_t count) {
    next_ += count;
    return outputs_.narrow(1, next_ - count, count);
  }
  Tensor take() { return take(1).squeeze(1); }

 private:
  const Tensor& outputs_;
  std::int64_t next_ = 0;
};

Tensor smooth(const Tensor& values, const Tensor& targets, double beta) {
  return F::smooth_l1_loss(values, targets, F::SmoothL1LossFuncOptions().reduction(torch::kNone).beta(beta));
}

// [N, channels]: the weighted losses of each hit; 0 where the truth is not known.
std::optional<Tensor> payload_losses(Columns& columns, const Tensor& targets, const ShowerOutputs& layout,
                                     const LossSettings& settings) {
  std::vector<Tensor> losses;
  if (layout.energy) {
    losses.push_back(settings.energy * smooth(columns.take(), targets.select(1, kLogCorrection), 0.1) *
                     targets.select(1, kKnownEnergy));
  }
  if (layout.position > 0) {
    const Tensor wanted = targets.narrow(1, kCorrectionX, 3) / layout.position;
    losses.push_back(settings.position * smooth(columns.take(3), wanted, 1).mean(1));
  }
  if (!layout.classes.empty()) {
    const Tensor logits = columns.take(static_cast<std::int64_t>(layout.classes.size()));
    losses.push_back(settings.kind *
                     F::cross_entropy(logits, targets.select(1, kClass).to(torch::kLong),
                                      F::CrossEntropyFuncOptions().reduction(torch::kNone).ignore_index(-1)));
  }
  return losses.empty() ? std::nullopt : std::optional<Tensor>(torch::stack(losses, 1));
}

}  // namespace

Tensor shower_loss(const Tensor& outputs, const Tensor& features, const Labels& labels, const ShowerOutputs& layout,
                   const LossSettings& settings) {
  Columns columns(outputs);
  CondensationInputs inputs;
  inputs.beta = torch::sigmoid(columns.take());
  const Tensor residual = layout.residual * features.narrow(1, kUnitVectorFeature, 3);
  inputs.x = columns.take(layout.coordinates) + torch::constant_pad_nd(residual, {0, layout.coordinates - 3});
  inputs.truth = labels.object;
  inputs.splits = labels.splits;
  if (layout.scale) inputs.scale = torch::exp(columns.take().clamp(-10, 10));
  inputs.payload = payload_losses(columns, labels.targets, layout, settings);

  const CondensationTensors terms = condensation_loss(inputs, settings.form, settings.q_min);
  Tensor repulsion = terms.repulsion;
  if (settings.form == "slide" && settings.repulsion_hits > 0) {
    // The weight, read at an object's hit of largest beta, turns the mean over the hits of others into a sum.
    inputs.payload.reset();
    inputs.weight = labels.targets.select(1, kOthers) / settings.repulsion_hits;
    repulsion = condensation_loss(inputs, settings.form, settings.q_min).repulsion;
  }
  return (terms.attraction + settings.repulsion * repulsion + terms.objects + settings.noise * terms.noise +
          terms.payload.sum(1))
      .mean();
}

}  // namespace starling::learn::showers
