#pragma once

#include <cstdlib>
#include <memory>
#include <vector>

#include "dense/float_kernels.h"
#include "starling/dense.h"

namespace starling::dense {

/// A layer, or the part of one that multiplies some of its inputs, as the kernels of one level read it.
struct PackedLayer {
  const float* weights = nullptr;  ///< see panel_vectors()
  const float* bias = nullptr;     ///< [columns]; null = none
  int width = 0;                   ///< outputs
  int columns = 0;                 ///< outputs, padded with zeros to whole vectors
  Norm norm = Norm::none;
  bool relu = false;
  const float* norm_weight = nullptr;  ///< [columns], of batch normalisation
  const float* norm_bias = nullptr;
};

/// Packs float layers and owns what it packed.
///
/// LayerNorm's subtraction of the mean is done here, once: where a layer is followed by LayerNorm, the mean over the
/// outputs is taken off each column of its matrix and off its bias, so every output vector has mean 0 already. What is
/// left of LayerNorm is a factor per row, 1 / sqrt(variance + epsilon). It is positive, so it passes through the ReLU
/// and through the next matrix, and is applied after that (run_mlp). Only floats can wait for it: activations of a
/// narrower type are rounded to its range, so layers of such a type normalise first.
class FloatPacker {
 public:
  explicit FloatPacker(const FloatKernels& kernels) : kernels_(kernels) {}

  PackedLayer pack(const DenseLayer& layer, const Weights& weights);

  /// The part of a layer that multiplies some of its inputs. Each entry of `inputs` is one input of `width` values,
  /// given by the first columns of the blocks of the layer's matrix that multiply it, which are added up: {{0, 48}} is
  /// one input that columns 0.. and 48.. both multiply.
  PackedLayer pack_part(const DenseLayer& layer, const Weights& weights, const std::vector<std::vector<int>>& inputs,
                        int width, bool with_bias);

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };

  float* allocate(std::size_t floats);
  const float* pack_vector(const std::vector<double>& values, int columns);
  const float* pack_matrix(const std::vector<std::vector<double>>& matrix_columns, int columns);

  const FloatKernels& kernels_;
  std::vector<std::unique_ptr<float, Free>> memory_;
};

/// `width` padded to whole vectors.
int padded(int width, const FloatKernels& kernels);

}  // namespace starling::dense
