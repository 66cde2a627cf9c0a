#include "starling/gravnet.h"

#include <tbb/task_arena.h>

#include <algorithm>
#include <string>

#include "dense/kernels.h"
#include "dense/weights.h"
#include "gravnet/check.h"
#include "gravnet/run.h"
#include "gravnet/shape.h"
#include "starling/error.h"

namespace starling {

struct GravNetPlan::Packed {
  GravNetShape shape;
  const dense::FloatKernels& kernels;
  gravnet::PackedWeights weights;

  // The workspace with `slots` threads, and the bytes that takes.
  std::size_t bytes(const GravNetHits& hits, int slots) const {
    memory::Layout layout;
    gravnet::Workspace(layout, shape, weights, kernels, hits, slots);
    return layout.bytes();
  }
};

GravNetPlan::GravNetPlan(const GravNet& network, SimdLevel level)
    : packed_(new Packed{network.shape, dense::float_kernels(level),
                         gravnet::PackedWeights(gravnet::checked(network), dense::float_kernels(level))}) {}

GravNetPlan::~GravNetPlan() = default;

const GravNetShape& GravNetPlan::shape() const { return packed_->shape; }

std::size_t GravNetPlan::workspace_bytes(const GravNetHits& hits) const {
  gravnet::check_counts(hits, "GravNetPlan::workspace_bytes");
  return packed_->bytes(hits, tbb::this_task_arena::max_concurrency());
}

void GravNetPlan::run(const GravNetHits& hits, float* outputs, std::span<std::byte> workspace) const {
  const char* const function = "GravNetPlan::run";
  gravnet::check_hits(hits, outputs, function);
  // A workspace that was measured in a smaller arena serves, with fewer threads.
  const std::size_t one = packed_->bytes(hits, 1), each = packed_->bytes(hits, 2) - one;
  memory::check_workspace(workspace, one, function);
  const int slots = static_cast<int>(
      std::min<std::size_t>(tbb::this_task_arena::max_concurrency(), 1 + (workspace.size() - one) / each));
  memory::Layout layout(workspace);
  gravnet::Workspace arrays(layout, packed_->shape, packed_->weights, packed_->kernels, hits, slots);
  if (hits.num_hits == 0) return;
  gravnet::run(packed_->shape, packed_->weights, packed_->kernels, hits, arrays, slots, outputs);
}

}  // namespace starling
