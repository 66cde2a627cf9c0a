#pragma once

#include <initializer_list>
#include <vector>

#include "dense/float_packer.h"

namespace starling::dense {

/// Layers that follow each other.
using Mlp = std::vector<PackedLayer>;

/// What one thread needs to run layers on a tile of rows.
struct TileBuffers {
  float* hidden[2];  ///< [rows, most columns of a layer]
  float* scale[2];   ///< [rows]
  float* squares;    ///< [rows, kPartialSums]
};

/// A product whose inputs lie side by side, without weights yet.
Product product_of(std::initializer_list<Rows> inputs, int rows);

/// product.out = the layer's product, with its bias. The rest of `product` stands: inputs, what is added, ReLU.
void apply(const FloatKernels& kernels, const PackedLayer& layer, Product& product, float* out, std::ptrdiff_t stride);

/// Runs layers without batch normalisation on one tile. `first` is the product of the first layer with its inputs. The
/// last layer's outputs go to `out`, which may be an input of the first; null: to the buffer that is returned. `ahead`
/// are the rows that the next tile gathers.
const float* run_mlp(const FloatKernels& kernels, const Mlp& layers, Product first, float* out, std::ptrdiff_t stride,
                     const TileBuffers& buffers, const Ahead& ahead = {});

}  // namespace starling::dense
