#include "learn/ops/operands.h"

#include "learn/ops/neighbor_gradient_kernels.h"

#include <ATen/TensorOperators.h>
#include <c10/core/SymBool.h>

#include <limits>
#include <string>

namespace starling::ops {
namespace {

constexpr std::int64_t kMaxRows = std::numeric_limits<std::int32_t>::max();

/// While a program is traced, sizes may be symbols: what cannot be known then is checked when the program runs.
bool holds(const c10::SymBool& condition) { return condition.expect_true(__FILE__, __LINE__); }

void check_rows(const char* op, const char* name, const at::Tensor& rows) {
  check_floating(op, name, rows);
  TORCH_CHECK_VALUE(rows.layout() == at::kStrided, op, ": ", name, " is ", rows.layout(), ": expected a dense tensor");
  TORCH_CHECK_VALUE(rows.dim() == 2, op, ": ", name, " has shape ", rows.sym_sizes(), ": expected [rows, dimensions]");
  const c10::SymInt dimensions = rows.sym_size(1);
  TORCH_CHECK_VALUE(holds(dimensions.sym_ge(1).sym_and(dimensions.sym_le(kMaxDimensions))), op, ": ", name,
                    " has shape ", rows.sym_sizes(), ": expected 1 to ", kMaxDimensions, " dimensions");
}

void check_number_of_rows(const char* op, const char* name, const at::Tensor& rows) {
  TORCH_CHECK_VALUE(rows.size(0) <= kMaxRows, op, ": ", name, " has shape ", rows.sizes(), ": expected at most ",
                    kMaxRows, " rows");
}

at::Tensor prepare_direction(const char* op, const MaybeTensor& direction) {
  if (!direction) return {};
  if (direction->scalar_type() == at::kBool) return direction->to(at::kChar).contiguous();
  if (direction->is_cpu()) {
    const at::Tensor wrong = at::logical_or(direction->lt(0), direction->gt(3));
    if (wrong.any().item<bool>()) {
      const std::int64_t row = wrong.nonzero()[0].item<std::int64_t>();
      TORCH_CHECK_VALUE(false, op, ": direction row ", row, " is ", (*direction)[row].item<std::int64_t>(),
                        ": expected 0 to 3");
    }
  }
  // So that what is unknown stays unknown in a byte.
  return direction->clamp(0, 4).to(at::kChar).contiguous();
}

}  // namespace

void check_floating(const char* op, const char* name, const at::Tensor& values) {
  const at::ScalarType type = values.scalar_type();
  TORCH_CHECK_VALUE(type == at::kDouble || type == at::kFloat || type == at::kHalf || type == at::kBFloat16, op, ": ",
                    name, " is ", type, ": expected float64, float32, float16 or bfloat16");
}

void check_computed_alike(const char* op, const char* name, const at::Tensor& values, const char* like_name,
                          const at::Tensor& like) {
  check_floating(op, name, values);
  TORCH_CHECK_VALUE(compute_type(values) == compute_type(like), op, ": ", name, " is ", values.scalar_type(), ", ",
                    like_name, " ", like.scalar_type(), ": expected both float64, or neither");
}

void check_row_splits(const char* op, const char* name, const at::Tensor& splits, const at::Tensor& points) {
  TORCH_CHECK_VALUE(splits.scalar_type() == at::kInt || splits.scalar_type() == at::kLong, op, ": ", name, " is ",
                    splits.scalar_type(), ": expected int32 or int64");
  TORCH_CHECK_VALUE(splits.dim() == 1, op, ": ", name, " has shape ", splits.sym_sizes(), ": expected [events + 1]");
  TORCH_CHECK_VALUE(splits.device() == points.device() || splits.is_cpu(), op, ": ", name, " is on ", splits.device(),
                    ": expected ", points.device(), " as the points, or cpu");
}

at::Tensor narrowed(const char* op, const char* name, const at::Tensor& values, const std::string& expected) {
  constexpr std::int64_t kLeast = std::numeric_limits<std::int32_t>::min(), kMost = kMaxRows;
  if (values.scalar_type() != at::kLong) return values.contiguous();
  if (!values.is_cpu()) return values.clamp(kLeast, kMost).to(at::kInt).contiguous();
  if (values.numel() > 0) {
    const auto [least, most] = values.aminmax();
    if (least.item<std::int64_t>() < kLeast || most.item<std::int64_t>() > kMost) {
      const at::Tensor flat = values.reshape({-1});
      const std::int64_t place = flat.lt(kLeast).logical_or(flat.gt(kMost)).nonzero()[0].item<std::int64_t>();
      TORCH_CHECK_VALUE(false, op, ": ", name, "[", place, "] is ", flat[place].item<std::int64_t>(), ": expected ",
                        expected);
    }
  }
  return values.to(at::kInt).contiguous();
}

std::string with_name(const char* op, std::string_view message) {
  const std::size_t end = message.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_");
  const bool named = end != std::string_view::npos && end > 0 && message.substr(end, 2) == ": ";
  return std::string(op) + ": " + std::string(message.substr(named ? end + 2 : 0));
}

at::Tensor prepare_row_splits(const char* op, const char* name, const MaybeTensor& splits, const at::Tensor& rows,
                              bool capturing) {
  if (!splits) return {};
  TORCH_CHECK_VALUE(splits->size(0) > 0, op, ": ", name,
                    " is empty: expected [events + 1], 0 first and the number of rows last");
  if (capturing) {
    TORCH_CHECK_VALUE(splits->device() == rows.device(), op, ": ", name, " is on ", splits->device(),
                      " while a CUDA graph is captured: expected ", rows.device());
    return splits->to(at::kInt).contiguous();
  }
  const at::Tensor here =
      narrowed(op, name, splits->cpu(), "the number of rows, " + std::to_string(rows.size(0)) + ", at most");
  if (rows.is_cpu()) return here;  // the core checks them itself
  translating_errors(op, [&] {
    starling::check_row_splits({here.const_data_ptr<std::int32_t>(), static_cast<std::size_t>(here.numel())},
                               static_cast<std::int32_t>(rows.size(0)), name);
  });
  return splits->is_cpu() ? here.to(rows.device(), /*non_blocking=*/true) : splits->to(at::kInt).contiguous();
}

at::ScalarType compute_type(const at::Tensor& points) {
  return points.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

void check(const char* op, const Inputs& inputs) {
  const at::Tensor& points = inputs.points;
  check_rows(op, "points", points);
  if (inputs.row_splits) check_row_splits(op, "row_splits", *inputs.row_splits, points);
  if (inputs.queries) {
    const at::Tensor& queries = *inputs.queries;
    check_rows(op, "queries", queries);
    TORCH_CHECK_VALUE(queries.scalar_type() == points.scalar_type() && queries.device() == points.device(), op,
                      ": queries is ", queries.scalar_type(), " on ", queries.device(), ": expected ",
                      points.scalar_type(), " on ", points.device(), " as the points");
    TORCH_CHECK_VALUE(holds(queries.sym_size(1).sym_eq(points.sym_size(1))), op, ": queries has shape ",
                      queries.sym_sizes(), ", points ", points.sym_sizes(), ": expected the same dimensions");
    TORCH_CHECK_VALUE(!inputs.direction, op, ": direction is given with queries: expected it with the points alone");
    TORCH_CHECK_VALUE(inputs.loop, op, ": loop is False with queries: expected it with the points alone");
    TORCH_CHECK_VALUE(inputs.row_splits.has_value() == inputs.query_row_splits.has_value(), op, ": ",
                      inputs.row_splits ? "row_splits" : "query_row_splits", " is given without ",
                      inputs.row_splits ? "query_row_splits" : "row_splits", ": expected both or none");
  } else {
    TORCH_CHECK_VALUE(!inputs.query_row_splits, op, ": query_row_splits is given without queries");
  }
  if (inputs.query_row_splits) {
    check_row_splits(op, "query_row_splits", *inputs.query_row_splits, points);
    const c10::SymInt events = inputs.row_splits->sym_size(0), query_events = inputs.query_row_splits->sym_size(0);
    TORCH_CHECK_VALUE(holds(query_events.sym_eq(events)), op, ": query_row_splits has ", query_events,
                      " entries: expected ", events, " as row_splits");
  }
  if (inputs.direction) {
    const at::Tensor& direction = *inputs.direction;
    const at::ScalarType type = direction.scalar_type();
    TORCH_CHECK_VALUE(
        type == at::kChar || type == at::kByte || type == at::kBool || type == at::kInt || type == at::kLong, op,
        ": direction is ", type, ": expected int8, uint8, bool, int32 or int64");
    TORCH_CHECK_VALUE(direction.dim() == 1 && holds(direction.sym_size(0).sym_eq(points.sym_size(0))), op,
                      ": direction has shape ", direction.sym_sizes(), ", points ", points.sym_sizes(),
                      ": expected one value per point");
    TORCH_CHECK_VALUE(direction.device() == points.device(), op, ": direction is on ", direction.device(),
                      ": expected ", points.device(), " as the points");
  }
}

void check_k(const char* op, const c10::SymInt& k) {
  TORCH_CHECK_VALUE(holds(k.sym_ge(0).sym_and(k.sym_le(kMaxRows))), op, ": k is ", k, ": expected 0 to ", kMaxRows);
}

void check_max_radius(const char* op, std::optional<double> max_radius) {
  TORCH_CHECK_VALUE(!max_radius || *max_radius >= 0, op, ": max_radius is ", *max_radius, ": expected ≥ 0");
}

void check_radius(const char* op, double radius, std::optional<std::int64_t> max_neighbors) {
  TORCH_CHECK_VALUE(radius >= 0, op, ": radius is ", radius, ": expected ≥ 0");
  TORCH_CHECK_VALUE(!max_neighbors || *max_neighbors >= 0, op, ": max_neighbors is ", *max_neighbors, ": expected ≥ 0");
}

Operands prepare(const char* op, const Inputs& inputs, bool capturing) {
  check(op, inputs);
  check_number_of_rows(op, "points", inputs.points);
  if (inputs.queries) check_number_of_rows(op, "queries", *inputs.queries);
  const at::ScalarType type = compute_type(inputs.points);
  Operands result;
  result.points = inputs.points.to(type).contiguous();
  result.row_splits = prepare_row_splits(op, "row_splits", inputs.row_splits, inputs.points, capturing);
  if (inputs.queries) {
    result.queries = inputs.queries->to(type).contiguous();
    result.query_row_splits =
        prepare_row_splits(op, "query_row_splits", inputs.query_row_splits, *inputs.queries, capturing);
  }
  result.direction = prepare_direction(op, inputs.direction);
  return result;
}

void check(const char* op, const ListTensors& lists) {
  const at::Tensor& points = lists.points;
  check_rows(op, "points", points);
  TORCH_CHECK_VALUE(points.scalar_type() == compute_type(points), op, ": points is ", points.scalar_type(),
                    ": expected float32 or float64");
  if (lists.queries) {
    check_like(op, "queries", *lists.queries, "points", {lists.queries->size(0), points.size(1)}, points);
  }
  const at::Tensor& index = lists.index;
  TORCH_CHECK_VALUE(index.scalar_type() == at::kLong && index.device() == points.device(), op, ": index is ",
                    index.scalar_type(), " on ", index.device(), ": expected int64 on ", points.device());
  const std::int64_t rows = lists.queries ? lists.queries->size(0) : points.size(0);
  if (!lists.neighbor_row_splits) {
    TORCH_CHECK_VALUE(index.dim() == 2 && index.size(0) == rows, op, ": index has shape ", index.sizes(),
                      ": expected [", rows, ", k]");
    return;
  }
  const at::Tensor& splits = *lists.neighbor_row_splits;
  TORCH_CHECK_VALUE(index.dim() == 1, op, ": index has shape ", index.sizes(), ": expected [entries] with row splits");
  TORCH_CHECK_VALUE(splits.scalar_type() == at::kLong && splits.device() == points.device() && splits.dim() == 1 &&
                        splits.size(0) == rows + 1,
                    op, ": neighbor_row_splits is ", splits.scalar_type(), " ", splits.sizes(), " on ", splits.device(),
                    ": expected int64 [", rows + 1, "] on ", points.device());
}

void check_like(const char* op, const char* name, const at::Tensor& values, const char* like_name,
                at::IntArrayRef shape, const at::Tensor& like) {
  TORCH_CHECK_VALUE(values.sizes() == shape, op, ": ", name, " has shape ", values.sizes(), ": expected ", shape,
                    " as ", like_name);
  TORCH_CHECK_VALUE(values.scalar_type() == like.scalar_type() && values.device() == like.device(), op, ": ", name,
                    " is ", values.scalar_type(), " on ", values.device(), ": expected ", like.scalar_type(), " on ",
                    like.device(), " as the points");
}

}  // namespace starling::ops
