#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <functional>
#include <type_traits>

#include "dense/kernels.h"
#include "edge_conv/backends.h"
#include "edge_conv/host/kernels.h"
#include "lists/lists.h"
#include "memory/layout.h"

namespace starling::edgeconv::host {
namespace {

constexpr int kTile = 32;  // messages of a row that go through the product at once
constexpr std::int32_t kRowsPerTask = 64;
// The kernels of dense layers write whole vectors.
constexpr int kMostColumns = kMaxFusedEdgeWidth;
static_assert(kMostColumns % dense::kPartialSums == 0);

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
void for_rows(std::int32_t rows, std::int32_t each, const std::function<void(std::int32_t, std::int32_t)>& action) {
  const std::int32_t tasks = rows / each + (rows % each != 0);
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, tasks), [&](const auto& range) {
    for (std::int32_t task = range.begin(); task < range.end(); ++task)
      action(task * each, std::min(rows - task * each, each) + task * each);
  });
}

int padded(int outputs) { return (outputs + dense::kPartialSums - 1) / dense::kPartialSums * dense::kPartialSums; }

/// The weight and bias as product() of this level reads them.
template <typename T>
struct Packed {
  T* weight;
  T* bias;
};

template <typename T>
std::size_t lay_out(const EdgeConv<T>& conv, std::span<std::byte> memory, Packed<T>& packed) {
  memory::Layout layout(memory);
  const auto columns = static_cast<std::size_t>(padded(conv.weight != nullptr ? conv.outputs : 0));
  packed.weight = layout.take<T>(columns * static_cast<std::size_t>(conv.hidden));
  packed.bias = layout.take<T>(columns);
  return layout.bytes();
}

/// Panels of `panel` columns for each input in turn (dense::Product); one panel of all columns for double.
template <typename T>
void pack(const EdgeConv<T>& conv, const dense::FloatKernels& level, const Packed<T>& packed) {
  const int columns = padded(conv.outputs);
  T* to = packed.weight;
  for (int column = 0; column < columns;) {
    int panel = columns;
    if constexpr (std::is_same_v<T, float>)
      panel = dense::panel_vectors((columns - column) / level.width, level.panel_vectors) * level.width;
    for (int h = 0; h < conv.hidden; ++h) {
      for (int c = column; c < column + panel; ++c)
        *to++ = c < conv.outputs ? conv.weight[std::int64_t{c} * conv.hidden + h] : T(0);
    }
    column += panel;
  }
  for (int c = 0; c < columns; ++c) packed.bias[c] = c < conv.outputs && conv.bias != nullptr ? conv.bias[c] : T(0);
}

template <typename T>
void multiply(const EdgeConv<T>& conv, const dense::FloatKernels& dense, const Kernels<T>& level,
              const Packed<T>& packed, const T* tile, int count, T* out) {
  if constexpr (std::is_same_v<T, float>) {
    dense::Product product{};
    product.inputs[0] = {tile, conv.hidden, conv.hidden};
    product.num_inputs = 1;
    product.rows = count;
    product.weights = packed.weight;
    product.columns = padded(conv.outputs);
    product.bias = packed.bias;
    product.out = out;
    product.out_stride = padded(conv.outputs);
    dense.product(product);
  } else {
    level.product(tile, count, conv.hidden, packed.weight, packed.bias, padded(conv.outputs), out);
  }
}

/// Max of messages with weight.
template <typename T>
void max_rows(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, const dense::FloatKernels& dense,
              const Kernels<T>& level, const Packed<T>& packed, std::int32_t begin, std::int32_t end) {
  alignas(64) T tile[kTile * kMaxFusedEdgeWidth], messages[kTile * kMostColumns], best[kMaxFusedEdgeWidth];
  std::int32_t slot[kMaxFusedEdgeWidth], sources[kTile], places[kTile];
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = first_entry(conv, row), last = first_entry(conv, row + 1);
    std::fill_n(best, conv.outputs, T(0));
    std::fill_n(slot, conv.outputs, kNone);
    std::int32_t found = 0;
    int count = 0;
    for (std::int64_t e = first; e < last; ++e) {
      if (conv.index[e] >= 0) {
        sources[count] = conv.index[e];
        places[count++] = static_cast<std::int32_t>(e - first);
      }
      if (count < kTile && e + 1 < last) continue;
      level.hidden_layer(conv, row, sources, count, tile);
      multiply(conv, dense, level, packed, tile, count, messages);
      level.take_max(messages, padded(conv.outputs), places, count, conv.outputs, best, slot);
      found += count;
      count = 0;
    }
    std::copy_n(best, conv.outputs, result.out + row * conv.outputs);
    if (result.kept != nullptr) std::copy_n(slot, conv.outputs, result.kept + row * conv.outputs);
    if (result.found != nullptr) result.found[row] = found;
  }
}

/// Writes the records of the rows' entries.
template <typename T>
void record_rows(const EdgeConv<T>& conv, const std::int32_t* kept, Record* records, std::int32_t begin,
                 std::int32_t end) {
  const int width = width_of(conv);
  const std::int64_t entries = num_entries(conv);
  for (int block = 0; block < record_blocks(width); ++block)
    std::fill(records + block * entries + first_entry(conv, begin), records + block * entries + first_entry(conv, end),
              Record{0});
  for (std::int64_t row = begin; row < end; ++row) {
    for (int f = 0; f < width; ++f) {
      const std::int32_t place = kept[row * width + f];
      if (place < 0) continue;
      records[f / kBitsPerRecord * entries + first_entry(conv, row) + place] |= Record{1} << f % kBitsPerRecord;
    }
  }
}

template <typename T>
struct Arrays {
  T* scale;         // [num_rows]
  Record* records;  // [record blocks, entries], of max
  T *weight_parts, *bias_parts;
  std::span<std::byte> lists;
};

template <typename T>
std::size_t lay_out(const EdgeConv<T>& conv, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  arrays.scale = layout.take<T>(static_cast<std::size_t>(conv.num_rows));
  arrays.records =
      layout.take<Record>(is_max ? static_cast<std::size_t>(record_blocks(width_of(conv)) * num_entries(conv)) : 0);
  const std::size_t parts = conv.weight != nullptr ? static_cast<std::size_t>(row_blocks(conv).count) : 0;
  const auto outputs = static_cast<std::size_t>(conv.outputs);
  arrays.weight_parts = layout.take<T>(parts * outputs * static_cast<std::size_t>(conv.hidden));
  arrays.bias_parts = layout.take<T>(parts * outputs);
  const std::size_t lists = lists::host::turn_round_bytes(lists_of(conv));
  arrays.lists = {layout.take<std::byte>(lists), lists};
  return layout.bytes();
}

/// out [size] = the sum over the parts in ascending order.
template <typename T>
void add_parts(const T* parts, std::int32_t count, std::int64_t size, T* out) {
  if (out == nullptr) return;
  std::fill_n(out, size, T(0));
  for (std::int32_t part = 0; part < count; ++part)
    for (std::int64_t i = 0; i < size; ++i) out[i] += parts[part * size + i];
}

}  // namespace

template <typename T>
std::size_t workspace_bytes(const EdgeConv<T>& conv) {
  Packed<T> packed;
  return lay_out(conv, {}, packed);
}

template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace) {
  lists::host::check(lists_of(conv), "edge_conv");
  const Kernels<T> level = kernels<T>();
  if (conv.weight == nullptr) {
    for_rows(conv.num_rows, kRowsPerTask,
             [&](std::int32_t begin, std::int32_t end) { level.aggregate(conv, result, begin, end); });
    return;
  }
  const dense::FloatKernels& dense = dense::float_kernels(simd_level());
  Packed<T> packed;
  lay_out(conv, workspace, packed);
  pack(conv, dense, packed);
  for_rows(conv.num_rows, kRowsPerTask,
           [&](std::int32_t begin, std::int32_t end) { max_rows(conv, result, dense, level, packed, begin, end); });
}

template <typename T>
std::size_t gradient_workspace_bytes(const EdgeConv<T>& conv) {
  Arrays<T> arrays;
  return lay_out(conv, {}, arrays);
}

template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace) {
  lists::host::check(lists_of(conv), "edge_conv_gradient");
  Arrays<T> arrays;
  lay_out(conv, workspace, arrays);
  const Kernels<T> level = kernels<T>();
  if (conv.weight == nullptr) {
    for_rows(conv.num_rows, kRowsPerTask, [&](std::int32_t begin, std::int32_t end) {
      level.target_gradient(conv, out_gradient, kept, arrays.scale, gradients.target, begin, end);
    });
  } else if (gradients.target != nullptr || gradients.weight != nullptr || gradients.bias != nullptr) {
    const RowBlocks blocks = row_blocks(conv);
    const std::int64_t size = std::int64_t{conv.outputs} * conv.hidden;
    for_rows(conv.num_rows, blocks.rows, [&](std::int32_t begin, std::int32_t end) {
      const std::int64_t part = begin / blocks.rows;
      level.weight_gradient(conv, out_gradient, kept, arrays.weight_parts + part * size,
                            arrays.bias_parts + part * conv.outputs, gradients.target, begin, end);
    });
    add_parts(arrays.weight_parts, blocks.count, size, gradients.weight);
    add_parts(arrays.bias_parts, blocks.count, conv.outputs, gradients.bias);
  }
  if (gradients.source == nullptr) return;
  if (conv.aggregation == EdgeAggregation::max) {
    for_rows(conv.num_rows, kRowsPerTask,
             [&](std::int32_t begin, std::int32_t end) { record_rows(conv, kept, arrays.records, begin, end); });
  }
  const lists::Holders holders = lists::host::turn_round(lists_of(conv), arrays.lists);
  for_rows(conv.num_sources, kRowsPerTask, [&](std::int32_t begin, std::int32_t end) {
    level.source_gradient(conv, out_gradient, arrays.records, arrays.scale, holders, gradients.source, begin, end);
  });
}

#define STARLING_INSTANTIATE(T)                                                                                    \
  template std::size_t workspace_bytes(const EdgeConv<T>&);                                                        \
  template void edge_conv(const EdgeConv<T>&, const EdgeConvResult<T>&, std::span<std::byte>);                     \
  template std::size_t gradient_workspace_bytes(const EdgeConv<T>&);                                               \
  template void edge_conv_gradient(const EdgeConv<T>&, const T*, const std::int32_t*, const EdgeConvGradients<T>&, \
                                   std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::edgeconv::host
