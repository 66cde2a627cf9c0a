#pragma once

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "learn/ops/operands.h"

namespace starling::ops {

/// Edges [2, E] of int32 or int64 as contiguous int64. Throws ValueError naming the first edge that ends at no node,
/// unless a CUDA graph is being captured.
template <typename Backend>
at::Tensor check_edges(const at::Tensor& edges, std::int64_t num_nodes) {
  constexpr const char* kOp = "starling::check_edges";
  const Backend backend(kOp, edges);
  if (!backend.capturing() && edges.numel() > 0) {
    const auto [least, most] = edges.aminmax();
    const at::Tensor ends = at::stack({least, most}).to(at::kLong).cpu();
    if (ends.const_data_ptr<std::int64_t>()[0] < 0 || ends.const_data_ptr<std::int64_t>()[1] >= num_nodes) {
      const at::Tensor wrong = at::logical_or(edges.lt(0), edges.ge(num_nodes)).nonzero()[0].cpu();
      const std::int64_t row = wrong[0].item<std::int64_t>(), edge = wrong[1].item<std::int64_t>();
      TORCH_CHECK_VALUE(false, kOp, ": edge_index[", row, ", ", edge, "] is ", edges[row][edge].item<std::int64_t>(),
                        ": expected a node, 0 to ", num_nodes - 1);
    }
  }
  return edges.to(at::kLong, /*non_blocking=*/false, /*copy=*/true, at::MemoryFormat::Contiguous);
}

}  // namespace starling::ops
