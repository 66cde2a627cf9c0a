#include "dense/mlp.h"

#include <algorithm>

namespace starling::dense {

Product product_of(std::initializer_list<Rows> inputs, int rows) {
  Product product{};
  std::copy(inputs.begin(), inputs.end(), product.inputs);
  product.num_inputs = static_cast<int>(inputs.size());
  product.rows = rows;
  return product;
}

void apply(const FloatKernels& kernels, const PackedLayer& layer, Product& product, float* out, std::ptrdiff_t stride) {
  product.weights = layer.weights;
  product.bias = layer.bias;
  product.columns = layer.columns;
  product.out = out;
  product.out_stride = stride;
  kernels.product(product);
}

const float* run_mlp(const FloatKernels& kernels, const Mlp& layers, Product first, float* out, std::ptrdiff_t stride,
                     const TileBuffers& buffers, const Ahead& ahead) {
  Product product = first;
  float* to = nullptr;
  for (std::size_t k = 0; k < layers.size(); ++k) {
    const PackedLayer& layer = layers[k];
    const bool last = k + 1 == layers.size() && out != nullptr;
    to = last ? out : buffers.hidden[k % 2];
    product.relu = layer.relu;
    if (layer.norm == Norm::layer) {
      product.inverse_deviation = buffers.scale[k % 2];
      product.squares = buffers.squares;
      product.normalised_width = layer.width;
      product.epsilon = kLayerNormEpsilon;
    }
    apply(kernels, layer, product, to, last ? stride : layer.columns);
    Product next = product_of({{to, layer.columns, layer.width}}, product.rows);
    next.row_scale = product.inverse_deviation;
    if (k == 0) next.ahead = ahead;
    product = next;
  }
  return to;
}

}  // namespace starling::dense
