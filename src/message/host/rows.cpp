#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <functional>

#include "lists/lists.h"
#include "memory/layout.h"
#include "message/backends.h"
#include "message/host/kernels.h"

namespace starling::message::host {
namespace {

constexpr std::int32_t kRowsPerTask = 64;

template <typename T, typename S>
Kernels<T, S> kernels() {
  Kernels<T, S> kernels;
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
struct Arrays {
  T* inverse;
  std::span<std::byte> lists;
};

template <typename T, typename S>
std::size_t lay_out(const Messages<T, S>& messages, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  arrays.inverse = layout.take<T>(static_cast<std::size_t>(messages.num_rows));
  const std::size_t lists = messages.holders.begin != nullptr ? 0 : lists::host::turn_round_bytes(lists_of(messages));
  arrays.lists = {layout.take<std::byte>(lists), lists};
  return layout.bytes();
}

}  // namespace

template <typename T, typename S>
void aggregate(const Messages<T, S>& messages, const Aggregates<S>& out) {
  lists::host::check(lists_of(messages), "aggregate");
  const Kernels<T, S> level = kernels<T, S>();
  for_rows(messages.num_rows,
           [&](std::int32_t begin, std::int32_t end) { level.aggregate(messages, out, begin, end); });
}

template <typename T, typename S>
std::size_t gradient_workspace_bytes(const Messages<T, S>& messages) {
  Arrays<T> arrays;
  return lay_out(messages, {}, arrays);
}

template <typename T, typename S>
void aggregate_gradient(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, S* features_gradient,
                        T* weight_gradient, std::span<std::byte> workspace) {
  lists::host::check(lists_of(messages), "aggregate_gradient");
  Arrays<T> arrays;
  lay_out(messages, workspace, arrays);
  const Kernels<T, S> level = kernels<T, S>();
  for_rows(messages.num_rows, [&](std::int32_t begin, std::int32_t end) {
    level.weight_gradient(messages, gradients, arrays.inverse, weight_gradient, begin, end);
  });
  if (features_gradient == nullptr) return;
  const Holders holders =
      messages.holders.begin != nullptr ? messages.holders : lists::host::turn_round(lists_of(messages), arrays.lists);
  for_rows(messages.num_sources, [&](std::int32_t begin, std::int32_t end) {
    level.features_gradient(messages, gradients, arrays.inverse, holders, features_gradient, begin, end);
  });
}

#define STARLING_INSTANTIATE(T, S)                                      \
  template void aggregate(const Messages<T, S>&, const Aggregates<S>&); \
  template std::size_t gradient_workspace_bytes(const Messages<T, S>&); \
  template void aggregate_gradient(const Messages<T, S>&, const AggregateGradients<S>&, S*, T*, std::span<std::byte>)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(double, double);
STARLING_INSTANTIATE(float, Float16);
STARLING_INSTANTIATE(float, BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling::message::host
