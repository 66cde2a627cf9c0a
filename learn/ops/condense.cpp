#include "learn/ops/condense_kernels.h"

namespace starling::ops {

void check_condense(const char* op, const at::Tensor& beta, const at::Tensor& x, const MaybeTensor& scale) {
  TORCH_CHECK_VALUE(x.dim() == 2 && x.size(1) >= 1 && x.size(1) <= kMaxCondensationDimensions, op, ": x has shape ",
                    x.sizes(), ": expected [hits, 1 to ", kMaxCondensationDimensions, " dimensions]");
  const at::ScalarType type = x.scalar_type();
  TORCH_CHECK_VALUE(type == at::kDouble || type == at::kFloat || type == at::kHalf || type == at::kBFloat16, op,
                    ": x is ", type, ": expected float64, float32, float16 or bfloat16");
  const auto check_per_hit = [&](const char* name, const at::Tensor& values) {
    TORCH_CHECK_VALUE(values.dim() == 1 && values.size(0) == x.size(0), op, ": ", name, " has shape ", values.sizes(),
                      ", x ", x.sizes(), ": expected one value per hit");
    TORCH_CHECK_VALUE(values.scalar_type() == type && values.device() == x.device(), op, ": ", name, " is ",
                      values.scalar_type(), " on ", values.device(), ": expected ", type, " on ", x.device(), " as x");
  };
  check_per_hit("beta", beta);
  if (scale) check_per_hit("scale", *scale);
}

CondenseAssign parse_assign(const char* op, std::string_view assign) {
  if (assign == "collect") return CondenseAssign::collect;
  TORCH_CHECK_VALUE(assign == "nearest", op, ": assign is '", assign, "': expected 'collect' or 'nearest'");
  return CondenseAssign::nearest;
}

}  // namespace starling::ops
