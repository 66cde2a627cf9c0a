#include <tbb/parallel_for.h>

#include "shower_finder/backends.h"
#include "shower_finder/check.h"
#include "shower_finder/formulas.h"
#include "starling/error.h"
#include "starling/shower_finder.h"

namespace starling {
namespace {

constexpr std::int32_t kGrain = 4096;

template <typename Row>
void for_hits(std::int32_t count, const Row& row) {
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, count, kGrain), [&](const auto& range) {
    for (std::int32_t i = range.begin(); i != range.end(); ++i) row(i);
  });
}

/// The columns that the features read are there. Their lengths and values are known on the host alone.
void check_columns(const CalorimeterHitsView& hits, const ShowerFeatures& features) {
  const auto needs = [&](const char* column, float unit, bool there) {
    if (unit == 0.f || there || hits.size() == 0) return;
    throw Error(ErrorKind::input, std::string("the hits have no ") + column +
                                      ", which the model reads: expected a column `" + column + "`");
  };
  needs("layer", features.layer, !hits.layer.empty());
  needs("time", features.time, !hits.time.empty());
}

}  // namespace

void shower_features(const CalorimeterHitsView& hits, const ShowerFeatures& features, float* out,
                     const Execution& execution) {
  shower_finder::check(features, ErrorKind::usage, "features: ");
  check_columns(hits, features);
  if (execution.device == Device::cuda) return shower_finder::cuda::features(hits, features, out, execution);
  hits.check();
  const shower_finder::HitColumns columns(hits);
  for_hits(hits.size(), [&](std::int32_t i) {
    shower_finder::features_of(columns, features, i, out + std::int64_t{i} * kShowerFeatures);
  });
}

std::vector<float> shower_features(const CalorimeterHitsView& hits, const ShowerFeatures& features) {
  std::vector<float> out(static_cast<std::size_t>(hits.size()) * kShowerFeatures);
  shower_features(hits, features, out.data());
  return out;
}

void shower_points(const CalorimeterHitsView& hits, const ShowerOutputs& layout, const float* outputs,
                   const ShowerPoints& out, const Execution& execution) {
  shower_finder::check(layout, ErrorKind::usage, "outputs: ");
  if (execution.device == Device::cuda) return shower_finder::cuda::points(hits, layout, outputs, out, execution);
  hits.check();
  const shower_finder::HitColumns columns(hits);
  const shower_finder::OutputColumns output_columns(layout);
  for_hits(hits.size(), [&](std::int32_t i) { shower_finder::points_of(columns, output_columns, outputs, out, i); });
}

}  // namespace starling
