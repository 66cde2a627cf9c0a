#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>

#include <algorithm>
#include <functional>
#include <string>

#include "lists/lists.h"
#include "memory/layout.h"
#include "message/arithmetic.h"
#include "message/backends.h"
#include "message/host/kernels.h"
#include "starling/error.h"

namespace starling::message::host {
namespace {

constexpr std::int32_t kRowsPerTask = 64;

template <typename T>
Kernels<T> kernels() {
  Kernels<T> kernels;
  switch (simd_level()) {
#if defined(__x86_64__)
    case SimdLevel::avx512:
      get_kernels_avx512(kernels);
      break;
    case SimdLevel::avx2:
      get_kernels_avx2(kernels);
      break;
#endif
    default:
      get_kernels_reference(kernels);
  }
  return kernels;
}

// oneTBB's templates once.
void for_rows(std::int32_t rows, const std::function<void(std::int32_t, std::int32_t)>& action) {
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, rows, kRowsPerTask),
                    [&](const auto& range) { action(range.begin(), range.end()); });
}

template <typename T>
void check_values(const Messages<T>& messages, const char* function) {
  const std::int64_t* const splits = messages.neighbor_row_splits;
  if (splits != nullptr) {
    if (splits[0] != 0) {
      throw Error(ErrorKind::usage,
                  std::string(function) + ": neighbor_row_splits[0] is " + std::to_string(splits[0]) + ": expected 0");
    }
    for (std::int32_t row = 0; row < messages.num_rows; ++row) {
      if (splits[row + 1] >= splits[row]) continue;
      throw Error(ErrorKind::usage, std::string(function) + ": neighbor_row_splits[" + std::to_string(row + 1) +
                                        "] is less than the entry before: expected ascending entries");
    }
    if (splits[messages.num_rows] != messages.num_entries) {
      throw Error(ErrorKind::usage, std::string(function) + ": the last row split is " +
                                        std::to_string(splits[messages.num_rows]) + ": expected num_entries, " +
                                        std::to_string(messages.num_entries));
    }
  }
  const std::int64_t entries = num_entries(messages);
  const std::int64_t bad = tbb::parallel_reduce(
      tbb::blocked_range<std::int64_t>(0, entries, 1 << 15), entries,
      [&](const tbb::blocked_range<std::int64_t>& range, std::int64_t found) {
        for (std::int64_t e = range.begin(); e < std::min(range.end(), found); ++e) {
          if (messages.index[e] < -1 || messages.index[e] >= messages.num_sources) return e;
        }
        return found;
      },
      [](std::int64_t a, std::int64_t b) { return std::min(a, b); });
  if (bad == entries) return;
  throw Error(ErrorKind::input, std::string(function) + ": index[" + std::to_string(bad) + "] is " +
                                    std::to_string(messages.index[bad]) + ": expected −1 or a row below " +
                                    std::to_string(messages.num_sources));
}

template <typename T>
struct Arrays {
  T* inverse;
  std::span<std::byte> lists;
};

template <typename T>
std::size_t lay_out(const Messages<T>& messages, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  arrays.inverse = layout.take<T>(static_cast<std::size_t>(messages.num_rows));
  const std::size_t lists = lists::host::turn_round_bytes(lists_of(messages));
  arrays.lists = {layout.take<std::byte>(lists), lists};
  return layout.bytes();
}

}  // namespace

template <typename T>
void aggregate(const Messages<T>& messages, const Aggregates<T>& out) {
  check_values(messages, "aggregate");
  const Kernels<T> level = kernels<T>();
  for_rows(messages.num_rows,
           [&](std::int32_t begin, std::int32_t end) { level.aggregate(messages, out, begin, end); });
}

template <typename T>
std::size_t gradient_workspace_bytes(const Messages<T>& messages) {
  Arrays<T> arrays;
  return lay_out(messages, {}, arrays);
}

template <typename T>
void aggregate_gradient(const Messages<T>& messages, const AggregateGradients<T>& gradients, T* features_gradient,
                        T* weight_gradient, std::span<std::byte> workspace) {
  check_values(messages, "aggregate_gradient");
  Arrays<T> arrays;
  lay_out(messages, workspace, arrays);
  const Kernels<T> level = kernels<T>();
  for_rows(messages.num_rows, [&](std::int32_t begin, std::int32_t end) {
    level.weight_gradient(messages, gradients, arrays.inverse, weight_gradient, begin, end);
  });
  if (features_gradient == nullptr) return;
  const lists::Holders holders = lists::host::turn_round(lists_of(messages), arrays.lists);
  for_rows(messages.num_sources, [&](std::int32_t begin, std::int32_t end) {
    level.features_gradient(messages, gradients, arrays.inverse, holders, features_gradient, begin, end);
  });
}

#define STARLING_INSTANTIATE(T)                                      \
  template void aggregate(const Messages<T>&, const Aggregates<T>&); \
  template std::size_t gradient_workspace_bytes(const Messages<T>&); \
  template void aggregate_gradient(const Messages<T>&, const AggregateGradients<T>&, T*, T*, std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::message::host
