#pragma once

#include <torch/torch.h>

#include <cstdint>

namespace starling::learn {

/// The nodes at which edges begin, or end: rows of nodes gathered to edges, rows of edges summed to nodes, each the
/// gradient of the other. Sums are in the order of the edges, on a GPU too, without sorting more than once.
class Ends {
 public:
  /// `nodes` [E] int32, below `count`.
  Ends(const torch::Tensor& nodes, std::int64_t count);

  torch::Tensor gather(const torch::Tensor& rows) const;  ///< [count, width] to [E, width]
  torch::Tensor sum(const torch::Tensor& rows) const;     ///< [E, width] to [count, width]

 private:
  torch::Tensor index_;          // [E] int64
  torch::Tensor order_, begin_;  // on a GPU: the edges of each node, and where these begin; else empty
  std::int64_t count_;
};

}  // namespace starling::learn
