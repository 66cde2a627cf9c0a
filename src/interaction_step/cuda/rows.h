#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "arithmetic/host_device.h"

// MLPs over rows on a device, their gradients, and what stands between them: the arguments of the kernels.
namespace starling::interactionstep::cuda {

/// What operands of products are rounded to. In `bfloat16`, rows that are stored in float enter as sums of three
/// numbers: without a loss.
enum class Product {
  split,  ///< the sum of two TF32 numbers
  tf32,
  bfloat16,
};

/// Rows of numbers: number c of row r is data[(r − first) · stride + c], of `width`; beyond it, 0.
template <typename Data>
struct RowsOf {
  Data* data = nullptr;
  std::int64_t stride = 0, first = 0;
  int width = 0;
  bool is_bfloat16 = false;  ///< else float
  bool whole = false;        ///< numbers can be read four at a time
};
using Rows = RowsOf<const void>;
using MutableRows = RowsOf<void>;

template <typename Data>
RowsOf<Data> rows_of(Data* data, bool is_bfloat16, int width, std::int64_t stride, std::int64_t first = 0) {
  const std::size_t quad = is_bfloat16 ? 8 : 16;
  const bool whole = width % 4 == 0 && stride % 4 == 0 && reinterpret_cast<std::uintptr_t>(data) % quad == 0;
  return {data, stride, first, width, is_bfloat16, whole};
}
STARLING_HOST_DEVICE Rows constant(const MutableRows& rows) {
  return {rows.data, rows.stride, rows.first, rows.width, rows.is_bfloat16, rows.whole};
}

/// Row index[r] of a table of float, for row r; nothing where that is no row of the table.
struct Gathered {
  Rows table;
  const std::int32_t* index = nullptr;
  std::int32_t num_rows = 0;  ///< of the table; 0: there is no such term, nor the other of two
};

inline constexpr int kMaxSources = 4, kMaxLayers = 3;

/// One layer; its weights start at fragment `packed` of MlpKernel::packed (rows.cuh).
struct Layer {
  std::int64_t packed = 0, transposed = 0;
  const float* bias = nullptr;  ///< null: none
  int out = 0;
  bool norm = false, relu = false;
};

/// An MLP over rows first_row to end_row − 1. Its first layer sees the sources side by side, and the gathered terms are
/// added to its sums: products of nodes.
struct MlpKernel {
  std::int64_t first_row = 0, end_row = 0;
  int num_sources = 0, num_layers = 0;
  Rows sources[kMaxSources];
  Gathered gathered[2];
  Layer layers[kMaxLayers];
  const void* packed = nullptr;
  std::int64_t packed_size = 0;      ///< fragments
  std::int64_t transposed_size = 0;  ///< those of the transposed weights, which stand behind the others
};

/// What the gradient of an MLP reads and writes beside.
struct MlpGradient {
  Rows out_gradient;                       ///< null: 0
  Gathered out_terms[2];                   ///< added to it
  MutableRows normalised[kMaxLayers - 1];  ///< of each layer but the last: its sums, normalised, before the ReLU
  float* scales[kMaxLayers - 1] = {};      ///< what each row of them was multiplied by, of normalised[l].first on
  MutableRows sums[kMaxLayers];            ///< gradients of each layer's sums
  MutableRows sources[kMaxSources];        ///< gradients of the sources; null: not wanted
};

/// out[o] = addends[o] + Σ over the sources of source · weights of (o, source).
struct LinearKernel {
  std::int64_t num_rows = 0;
  int num_sources = 0, num_outs = 0;
  Rows sources[2];
  Rows addends[2];  ///< null: 0
  MutableRows outs[2];
  const void* packed = nullptr;  ///< weights of (o, source), o after o
  std::int64_t out_size = 0;     ///< fragments of one o
};

/// Weights B [inputs, outputs] as products want them: B(i, o) = weight[i · by_input + o · by_output].
struct PackJob {
  const float* weight = nullptr;
  std::int64_t by_input = 0, by_output = 0;
  int inputs = 0, outputs = 0;
  std::int64_t place = 0;  ///< the first fragment
};
inline constexpr int kMaxPackJobs = 28;
struct PackKernel {
  int num_jobs = 0;
  PackJob jobs[kMaxPackJobs];
  void* packed = nullptr;
};

/// Widths of 8 · tiles are those that kernels exist for.
inline constexpr int kWidths[] = {32, 48, 64, 96, 128};
inline int tiles_for(int width) {
  for (const int w : kWidths)
    if (width <= w) return w / 8;
  return 0;
}
/// Fragments of weights of so many inputs and at most 8 · tiles outputs, and bytes of one.
STARLING_HOST_DEVICE std::int64_t fragments(Product product, int inputs, int tiles) {
  return std::int64_t{(inputs + 15) / 16} * (product == Product::bfloat16 ? 1 : 2) * tiles * 32;
}
inline std::size_t fragment_bytes(Product product) { return product == Product::split ? 16 : 8; }

/// The kernels of one kind of product; the widest array has at most 8 · tiles columns (tiles_for).
template <Product kProduct, int kTiles>
struct RowKernels {
  static void pack(const PackKernel& pack, cudaStream_t stream);
  static void mlp(const MlpKernel& mlp, const MutableRows& out, cudaStream_t stream);
  static void gradient(const MlpKernel& mlp, const MlpGradient& gradient, cudaStream_t stream);
  static void linear(const LinearKernel& linear, cudaStream_t stream);
};

/// The gradient of a weight [gradients.width, inputs.width] and a bias: Σ over rows of gradient inputᵀ and of gradient.
struct WeightJob {
  Rows gradients, inputs;
  bool relu = false;        ///< of the inputs as they are read
  std::int64_t weight = 0;  ///< where it begins in a part, and the numbers between its rows
  std::int64_t stride = 0;
  std::int64_t bias = -1;  ///< −1: none, or another job's
};
inline constexpr int kMaxWeightJobs = 6;
/// Parts of the sums: part p [size] of `parts` takes rows in a block of its own. `adds`: to what the parts hold.
struct WeightKernel {
  std::int64_t first_row = 0, end_row = 0;
  int num_jobs = 0, num_parts = 0;
  WeightJob jobs[kMaxWeightJobs];
  float* parts = nullptr;
  std::int64_t size = 0;
  bool adds = false;
};
/// Products of bfloat16 where both are stored so; else `split`: operands are sums of two TF32 numbers.
void weight_gradient(const WeightKernel& kernel, int tiles, bool split, cudaStream_t stream);
/// out [size] = the sum of the parts: in eight stretches, each in ascending order, which are then added up.
void add_parts(const float* parts, int num_parts, std::int64_t size, float* out, cudaStream_t stream);

/// sums [num_nodes, 2 H]: of each node the sum of the rows of the edges that `first` lists, beside that of `second`.
struct EndLists {
  const std::uint32_t *begin = nullptr, *entry = nullptr;
};
void sum_rows(const Rows& rows, const EndLists& first, const EndLists& second, std::int32_t num_nodes, float* sums,
              cudaStream_t stream);

}  // namespace starling::interactionstep::cuda
