#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "starling/dense.h"

struct CUstream_st;

/// Dense layers in float on a CUDA device. Every value is the same chain of fused multiply-adds over ascending inputs,
/// then the bias, then the ReLU, as float_kernels.h computes: the same bytes as on the host.
namespace starling::dense::cuda {

/// Columns of rows in device memory.
struct Source {
  const float* data = nullptr;
  std::int64_t stride = 0;  ///< floats from row to row
  int width = 0;
};

/// Where columns first .. first + width − 1 of a layer's outputs go.
struct Store {
  float* data = nullptr;
  std::int64_t stride = 0;
  int first = 0, width = 0;
};

/// A layer in device memory.
struct Layer {
  const float* weights = nullptr;  ///< [in, row_floats(out)], zeros beyond `out`
  const float* bias = nullptr;     ///< [row_floats(out)]; null = none
  int in = 0, out = 0;
  bool relu = false;
};

/// Floats per row of packed weights.
int row_floats(int out);

/// Where a layer's arrays stand in packed memory.
struct Place {
  std::size_t weights, bias;
  int in, out;
  bool relu, has_bias;
};

/// Appends a layer to `packed`. Several layers that read the same inputs, and agree in bias and ReLU, become one whose
/// outputs stand side by side.
Place pack(const std::vector<DenseLayer>& layers, const Weights& weights, std::vector<float>& packed);
Layer at(const Place& place, const float* packed);

inline constexpr int kMostSources = 2, kMostStores = 3, kMostSteps = 8;

/// One layer of a chain. Its inputs are `sources` side by side or, where there are none, the outputs of the latest
/// step before it that keeps them. What a chain stores, its later steps may read as a source: of the same row.
struct Step {
  Layer layer;
  Source sources[kMostSources];
  int num_sources = 0;
  bool keep = false;
  Store stores[kMostStores];
  int num_stores = 0;
};

/// Layers that follow each other on the same rows. Where no kept layer has more than kMostKept outputs it is one kernel
/// and what is kept stays on the chip; else one kernel per step, and what is kept is in lent memory.
struct Chain {
  Step steps[kMostSteps];
  int num_steps = 0;
};
inline constexpr int kMostKept = 128;

/// Floats of scratch memory that run() needs for a chain on so many rows. Reads no array.
std::size_t scratch_floats(const Chain& chain, std::int32_t rows);

/// Runs the chain. Nothing is allocated and nothing waited for.
void run(const Chain& chain, std::int32_t rows, float* scratch, CUstream_st* stream);

}  // namespace starling::dense::cuda
