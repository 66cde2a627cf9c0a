#include "learn/ops/edge_conv_kernels.h"

namespace starling::ops {

EdgeAggregation parse_aggregation(const char* op, std::string_view aggr) {
  if (aggr == "max") return EdgeAggregation::max;
  if (aggr == "mean") return EdgeAggregation::mean;
  TORCH_CHECK_VALUE(aggr == "sum", op, ": aggr is '", aggr, "': expected 'max', 'mean' or 'sum'");
  return EdgeAggregation::sum;
}

void check(const char* op, const EdgeTensors& tensors) {
  constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();
  const at::Tensor &target = tensors.target, &source = tensors.source, &index = tensors.index;
  const std::int64_t most = tensors.weight ? kMaxFusedEdgeWidth : kMaxEdgeWidth;
  const auto check_values = [&](const char* name, const at::Tensor& values) {
    check_floating(op, name, values);
    check_computed_alike(op, name, values, "target", target);
    TORCH_CHECK_VALUE(values.device() == target.device(), op, ": ", name, " is on ", values.device(), ": expected ",
                      target.device(), " as the target");
  };
  check_floating(op, "target", target);
  TORCH_CHECK_VALUE(target.dim() == 2 && target.size(0) <= kMaxRows && target.size(1) >= 1 && target.size(1) <= most,
                    op, ": target has shape ", target.sizes(), ": expected [rows, 1 to ", most, " features]");
  check_values("source", source);
  TORCH_CHECK_VALUE(source.dim() == 2 && source.size(0) <= kMaxRows && source.size(1) == target.size(1), op,
                    ": source has shape ", source.sizes(), ": expected [rows, ", target.size(1), "] as the target");
  if (tensors.weight) {
    const at::Tensor& weight = *tensors.weight;
    check_values("weight", weight);
    TORCH_CHECK_VALUE(
        weight.dim() == 2 && weight.size(1) == target.size(1) && weight.size(0) >= 1 && weight.size(0) <= most, op,
        ": weight has shape ", weight.sizes(), ": expected [1 to ", most, ", ", target.size(1), "]");
  }
  if (tensors.bias) {
    const at::Tensor& bias = *tensors.bias;
    check_values("bias", bias);
    TORCH_CHECK_VALUE(tensors.weight && bias.dim() == 1 && bias.size(0) == tensors.weight->size(0), op,
                      ": bias has shape ", bias.sizes(), ": expected one number per row of the weight");
  }
  TORCH_CHECK_VALUE(index.scalar_type() == at::kLong && index.device() == target.device(), op, ": index is ",
                    index.scalar_type(), " on ", index.device(), ": expected int64 on ", target.device());
  TORCH_CHECK_VALUE(index.numel() <= kMaxRows, op, ": index has ", index.numel(), " entries: expected at most ",
                    kMaxRows);
  if (!tensors.neighbor_row_splits) {
    TORCH_CHECK_VALUE(index.dim() == 2 && index.size(0) == target.size(0), op, ": index has shape ", index.sizes(),
                      ": expected [", target.size(0), ", k], a row per row of the target");
    return;
  }
  const at::Tensor& splits = *tensors.neighbor_row_splits;
  TORCH_CHECK_VALUE(index.dim() == 1, op, ": index has shape ", index.sizes(), ": expected [entries] with row splits");
  TORCH_CHECK_VALUE(splits.scalar_type() == at::kLong && splits.device() == target.device() && splits.dim() == 1 &&
                        splits.size(0) == target.size(0) + 1,
                    op, ": neighbor_row_splits is ", splits.scalar_type(), " ", splits.sizes(), " on ", splits.device(),
                    ": expected int64 [", target.size(0) + 1, "] on ", target.device());
}

}  // namespace starling::ops
