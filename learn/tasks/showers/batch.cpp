#include "learn/tasks/showers/batch.h"

#include <cmath>
#include <numbers>

#include "starling/error.h"

namespace starling::learn::showers {

using torch::Tensor;

ShowerBatch to_tensors(const std::vector<Sample>& samples, bool pinned) {
  std::vector<float> features, targets;
  std::vector<std::int32_t> object, splits = {0};
  for (const Sample& sample : samples) {
    features.insert(features.end(), sample.features.begin(), sample.features.end());
    targets.insert(targets.end(), sample.targets.begin(), sample.targets.end());
    object.insert(object.end(), sample.object.begin(), sample.object.end());
    splits.push_back(splits.back() + sample.num_hits);
  }
  const auto hits = static_cast<std::int64_t>(object.size());
  return {to_tensor(features, {hits, kShowerFeatures}, pinned),
          {to_tensor(object, {hits}, pinned), to_tensor(targets, {hits, kTargets}, pinned),
           to_tensor(splits, {static_cast<std::int64_t>(splits.size())}, pinned)}};
}

Batch to_batch(const ShowerBatch& batch) {
  return {{batch.features, batch.labels.object, batch.labels.targets, batch.labels.splits}};
}

ShowerBatch from_batch(const Batch& batch) {
  const std::vector<Tensor>& t = batch.tensors;
  if (t.size() != 4) throw Error(ErrorKind::internal, "a batch of showers has four tensors");
  return {t[0], {t[1], t[2], t[3]}};
}

ShowerBatch turned(const ShowerBatch& batch, std::uint64_t draw) {
  const double angle = 2 * std::numbers::pi * static_cast<double>(draw >> 11) * 0x1p-53;
  const float c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
  const float x = (draw & 1) != 0 ? -1.f : 1.f, z = (draw & 2) != 0 ? -1.f : 1.f;
  const Tensor turn =
      torch::tensor({x * c, x * s, 0.f, -s, c, 0.f, 0.f, 0.f, z}).view({3, 3}).to(batch.features.device());
  // Elementwise, so that the same bytes come out on any number of threads.
  const auto turn_columns = [&](const Tensor& rows, std::int64_t first) {
    Tensor result = rows.clone();
    const Tensor old = rows.narrow(1, first, 3);
    result.narrow(1, first, 3).copy_((old.unsqueeze(2) * turn.unsqueeze(0)).sum(1));
    return result;
  };
  ShowerBatch result = batch;
  result.features = turn_columns(batch.features, kUnitVectorFeature);
  result.labels.targets = turn_columns(batch.labels.targets, kCorrectionX);
  return result;
}

}  // namespace starling::learn::showers
