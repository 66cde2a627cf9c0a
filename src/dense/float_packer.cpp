#include "dense/float_packer.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace starling::dense {
namespace {

constexpr std::size_t kAlignment = 64;  // a vector of AVX-512, a line of the cache

void centre(std::vector<double>& values) {
  double mean = 0.;
  for (const double value : values) mean += value;
  mean /= double(values.size());
  for (double& value : values) value -= mean;
}

}  // namespace

int padded(int width, const FloatKernels& kernels) {
  return (width + kernels.width - 1) / kernels.width * kernels.width;
}

PackedLayer FloatPacker::pack(const DenseLayer& layer, const Weights& weights) {
  return pack_part(layer, weights, {{0}}, layer.in, true);
}

PackedLayer FloatPacker::pack_part(const DenseLayer& layer, const Weights& weights,
                                   const std::vector<std::vector<int>>& inputs, int width, bool with_bias) {
  const std::vector<float>& weight = weights.at(layer.name + ".weight");
  std::vector<std::vector<double>> columns;  // of W, one per input value
  for (const std::vector<int>& blocks : inputs) {
    for (int i = 0; i < width; ++i) {
      std::vector<double>& column = columns.emplace_back(layer.out);
      for (int out = 0; out < layer.out; ++out) {
        for (const int block : blocks) column[out] += double{weight[std::size_t(out) * layer.in + block + i]};
      }
    }
  }
  const bool centred = layer.norm == Norm::layer;
  if (centred) std::for_each(columns.begin(), columns.end(), centre);

  PackedLayer packed;
  packed.width = layer.out;
  packed.columns = padded(layer.out, kernels_);
  packed.norm = layer.norm;
  packed.relu = layer.relu;
  packed.weights = pack_matrix(columns, packed.columns);
  const auto values_of = [&](const char* suffix) {
    const std::vector<float>& values = weights.at(layer.name + suffix);
    return std::vector<double>(values.begin(), values.end());
  };
  if (with_bias && layer.bias) {
    std::vector<double> bias = values_of(".bias");
    if (centred) centre(bias);
    packed.bias = pack_vector(bias, packed.columns);
  }
  if (layer.norm == Norm::batch) {
    packed.norm_weight = pack_vector(values_of(".norm_weight"), packed.columns);
    packed.norm_bias = pack_vector(values_of(".norm_bias"), packed.columns);
  }
  return packed;
}

float* FloatPacker::allocate(std::size_t floats) {
  const std::size_t bytes = (floats * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment;
  float* const memory = static_cast<float*>(std::aligned_alloc(kAlignment, bytes));
  if (memory == nullptr) throw std::bad_alloc();
  memory_.emplace_back(memory);
  std::memset(memory, 0, bytes);
  return memory;
}

const float* FloatPacker::pack_vector(const std::vector<double>& values, int columns) {
  float* const out = allocate(columns);
  std::transform(values.begin(), values.end(), out, [](double value) { return static_cast<float>(value); });
  return out;
}

const float* FloatPacker::pack_matrix(const std::vector<std::vector<double>>& matrix_columns, int columns) {
  float* const packed = allocate(matrix_columns.size() * columns);
  float* out = packed;
  for (int first = 0; first < columns;) {
    const int panel = panel_vectors((columns - first) / kernels_.width, kernels_.panel_vectors) * kernels_.width;
    for (const std::vector<double>& column : matrix_columns) {
      for (int c = first; c < first + panel; ++c, ++out) {
        if (c < int(column.size())) *out = static_cast<float>(column[c]);
      }
    }
    first += panel;
  }
  return packed;
}

}  // namespace starling::dense
