#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "starling/error.h"
#include "starling/half.h"
#include "starling/neighbors.h"

// Tensors as the core reads them.
namespace starling::ops {

using MaybeTensor = std::optional<at::Tensor>;
/// Neighbours within a radius: neighbor_row_splits, index, distance2, within.
using WithinRadius = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

/// The tensors that starling::knn and starling::radius take beside their numbers.
struct Inputs {
  const at::Tensor& points;             ///< [N, D] float64, float32, float16 or bfloat16
  const MaybeTensor& row_splits;        ///< [B + 1] int32 or int64, on the points' device or the CPU
  const MaybeTensor& queries;           ///< [M, D], like the points; none = the points themselves
  const MaybeTensor& query_row_splits;  ///< [B + 1], as row_splits
  const MaybeTensor& direction;         ///< [N] bool, uint8, int8, int32 or int64
  bool loop = true;                     ///< false without queries only

  std::int64_t num_queries() const { return queries ? queries->size(0) : points.size(0); }
};

/// The type that distances are computed in and returned in: float32 for the 16-bit types.
at::ScalarType compute_type(const at::Tensor& points);

/// Throws ValueError with the shapes and the rule where dimensions, types or devices are wrong. Reads no values and
/// sets no limits to numbers of rows: while a program is traced, tensors have neither.
void check(const char* op, const Inputs& inputs);
void check_k(const char* op, const c10::SymInt& k);
void check_max_radius(const char* op, std::optional<double> max_radius);
void check_radius(const char* op, double radius, std::optional<std::int64_t> max_neighbors);

/// Throws ValueError unless `values` is float64, float32, float16 or bfloat16.
void check_floating(const char* op, const char* name, const at::Tensor& values);
/// Throws ValueError unless both are floating-point and computed in the same type (compute_type()).
void check_computed_alike(const char* op, const char* name, const at::Tensor& values, const char* like_name,
                          const at::Tensor& like);
/// Throws ValueError unless the type is int32 or int64, the shape [events + 1] and the device the points' or the CPU.
void check_row_splits(const char* op, const char* name, const at::Tensor& splits, const at::Tensor& points);

/// int64 or int32 values as int32, contiguous. Throws ValueError naming the first one beyond int32 in host memory; on a
/// device such a value becomes the nearest int32.
at::Tensor narrowed(const char* op, const char* name, const at::Tensor& values, const std::string& expected);

/// Row splits of `rows` as int32 on their device, undefined where there are none; their values are checked unless a
/// CUDA graph is being captured.
at::Tensor prepare_row_splits(const char* op, const char* name, const MaybeTensor& splits, const at::Tensor& rows,
                              bool capturing);

/// Contiguous tensors in the types of the core, all on the points' device.
struct Operands {
  at::Tensor points;
  at::Tensor queries;  ///< undefined: the points
  at::Tensor row_splits;
  at::Tensor query_row_splits;
  at::Tensor direction;

  template <typename T>
  NeighborSearch<T> search(bool loop, double max_radius) const;
};

/// Checks the inputs, their numbers of rows and the values of the row splits too, and converts them. Row splits that
/// are on the device are copied to the host for it. While a CUDA graph is being captured no copy may be made: then they
/// must be on the device, and their values are taken as they are.
Operands prepare(const char* op, const Inputs& inputs, bool capturing);

/// A message of the core as that of the operator: the name of the core's function before it gives way to the
/// operator's.
std::string with_name(const char* op, std::string_view message);

/// Runs `call`, giving failures of the core to torch: ValueError for what the caller gave, else RuntimeError.
template <typename Call>
auto translating_errors(const char* op, const Call& call) {
  try {
    return call();
  } catch (const Error& error) {
    const std::string message = with_name(op, error.what());
    TORCH_CHECK_VALUE(error.kind() != ErrorKind::usage && error.kind() != ErrorKind::input, message);
    TORCH_CHECK(false, message);
  }
}

/// `call` with a value of the type of the points' coordinates.
template <typename Call>
auto for_type(at::ScalarType type, const Call& call) {
  return type == at::kDouble ? call(double()) : call(float());
}

/// `call` with a value of the type that messages are computed in and one of the type that features are stored in.
template <typename Call>
auto for_stored_type(at::ScalarType type, const Call& call) {
  switch (type) {
    case at::kDouble:
      return call(double(), double());
    case at::kHalf:
      return call(float(), Float16());
    case at::kBFloat16:
      return call(float(), BFloat16());
    default:
      return call(float(), float());
  }
}

/// A tensor's values as the core has them: torch's types of 16 bits are those of the core by other names.
template <typename S>
const S* values_of(const at::Tensor& tensor) {
  return static_cast<const S*>(tensor.const_data_ptr());
}
template <typename S>
S* mutable_values_of(const at::Tensor& tensor) {
  return static_cast<S*>(tensor.mutable_data_ptr());
}

template <typename T>
NeighborSearch<T> Operands::search(bool loop, double max_radius) const {
  // A pointer to no queries must not be null, which would mean the points.
  static const T no_queries = 0;
  NeighborSearch<T> result;
  result.points = points.const_data_ptr<T>();
  result.num_points = static_cast<std::int32_t>(points.size(0));
  result.dimensions = static_cast<int>(points.size(1));
  if (row_splits.defined()) {
    result.row_splits = row_splits.const_data_ptr<std::int32_t>();
    result.num_events = static_cast<std::int32_t>(row_splits.size(0) - 1);
  }
  if (queries.defined()) {
    result.queries = queries.size(0) == 0 ? &no_queries : queries.const_data_ptr<T>();
    result.num_queries = static_cast<std::int32_t>(queries.size(0));
    if (query_row_splits.defined()) result.query_row_splits = query_row_splits.const_data_ptr<std::int32_t>();
  }
  result.loop = loop;
  result.max_radius = max_radius;
  if (direction.defined() && direction.size(0) > 0)
    result.direction = reinterpret_cast<const Direction*>(direction.const_data_ptr<std::int8_t>());
  return result;
}

}  // namespace starling::ops
