#include "interaction_network/cuda/device_weights.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "cuda/call.h"
#include "dense/cuda/packing.h"
#include "memory/layout.h"

namespace starling::interaction_network::cuda {

namespace {

class Packer {
 public:
  Packer(const InteractionNetworkShape& shape, std::vector<float>& content)
      : columns_(std::min(row_columns(shape.hidden), kMostFused)), content_(content) {}

  /// `parts`: inputs of each part of the layer.
  LayerPlace pack(const dense::PackedLayer& layer, const std::vector<int>& parts) {
    LayerPlace place;
    place.norm = layer.norm;
    place.relu = layer.relu;
    place.weights = content_.size();
    const float* from = layer.weights;
    for (int first = 0; first < layer.columns; first += columns_) {
      for (const int inputs : parts) {
        const std::size_t values = static_cast<std::size_t>(inputs) * static_cast<std::size_t>(columns_);
        content_.insert(content_.end(), from, from + values);
        from += values;
        const int padding = dense::cuda::padded_inputs(inputs) - inputs;
        content_.resize(content_.size() + static_cast<std::size_t>(padding) * static_cast<std::size_t>(columns_));
      }
    }
    const auto panels = static_cast<std::size_t>(layer.columns / columns_);
    place.rows = static_cast<int>((content_.size() - place.weights) / panels / static_cast<std::size_t>(columns_));
    return place;
  }

  /// Vectors stand behind the matrices of a pass.
  void pack_vectors(const dense::PackedLayer& layer, LayerPlace& place) {
    place.bias = vector(layer.bias, layer.columns);
    place.norm_weight = vector(layer.norm_weight, layer.columns);
    place.norm_bias = vector(layer.norm_bias, layer.columns);
  }

  /// The first column of a matrix.
  std::size_t pack_first_column(const dense::PackedLayer& layer, int inputs) {
    const std::size_t at = content_.size();
    for (int i = 0; i < inputs; ++i)
      content_.push_back(layer.weights[static_cast<std::size_t>(i) * static_cast<std::size_t>(columns_)]);
    align();
    return at;
  }

 private:
  std::size_t vector(const float* values, int columns) {
    if (values == nullptr) return LayerPlace::kNone;
    const std::size_t at = content_.size();
    content_.insert(content_.end(), values, values + columns);
    align();
    return at;
  }
  // Copies are of 16 bytes.
  void align() { content_.resize((content_.size() + 3) / 4 * 4); }

  int columns_;
  std::vector<float>& content_;
};

}  // namespace

int row_columns(int hidden) {
  for (const int columns : {32, 48, 64, 96}) {
    if (hidden <= columns) return columns;
  }
  return (hidden + kMostFused - 1) / kMostFused * kMostFused;
}

DeviceWeights::DeviceWeights(const InteractionNetwork& network) : concat_(network.shape.concat) {
  const InteractionNetworkShape& shape = network.shape;
  const int h = shape.hidden;
  // One panel per row of the device: see panel_vectors().
  const dense::FloatKernels layout{.width = std::min(row_columns(h), kMostFused),
                                   .panel_vectors = 1,
                                   .product = nullptr,
                                   .sum_rows = nullptr,
                                   .moments = nullptr,
                                   .scale_shift_relu = nullptr};
  const PackedWeights packed(network, layout);
  Packer packer(shape, content);

  // Layers that follow each other, the first with its parts; the last `without` layers are left out.
  const auto matrices = [&](const dense::Mlp& mlp, const std::vector<int>& first_parts) {
    std::vector<LayerPlace> places;
    for (std::size_t k = 0; k < mlp.size(); ++k)
      places.push_back(packer.pack(mlp[k], k == 0 ? first_parts : std::vector<int>{h}));
    return places;
  };
  const auto vectors = [&](const dense::Mlp& mlp, std::vector<LayerPlace>& places, std::size_t first = 0) {
    for (std::size_t k = 0; k < mlp.size(); ++k) packer.pack_vectors(mlp[k], places[first + k]);
  };
  const auto rows = [&](std::size_t begin) {
    return static_cast<int>((content.size() - begin) / static_cast<std::size_t>(layout.width));
  };

  const auto edge_pass = [&](int step) {
    EdgePass pass;
    const std::size_t begin = content.size();
    const Step& weights = packed.step(step);
    const bool last = step + 1 == shape.steps;
    if (step == 0) pass.encoder = matrices(packed.edge_encoder, {shape.edge_inputs});
    pass.update = matrices(weights.edge, std::vector<int>(packed.has_encoded(step) ? 2 : 1, h));
    if (last) {
      pass.decoder = matrices(packed.edge_decoder, {h});
      pass.decoder.push_back(packer.pack(packed.edge_output[0], {h}));
    }
    pass.rows = rows(begin);
    if (last) pass.decoder.push_back(packer.pack(packed.edge_output[1], {h}));
    if (step == 0) vectors(packed.edge_encoder, pass.encoder);
    vectors(weights.edge, pass.update);
    if (last) {
      vectors(packed.edge_decoder, pass.decoder);
      vectors(packed.edge_output, pass.decoder, packed.edge_decoder.size());
      pass.output = packer.pack_first_column(packed.edge_output[1], h);
    }
    return pass;
  };
  // The node network of `step`, or the encoder (step = −1), and what the next step's edges read.
  const auto node_pass = [&](int step) {
    NodePass pass;
    const std::size_t begin = content.size();
    const Step& next = packed.step(step + 1);
    const dense::Mlp& mlp = step < 0 ? packed.node_encoder : packed.step(step).node;
    const std::vector<int> projected(packed.has_encoded(step + 1) ? 2 : 1, h);
    pass.layers = matrices(
        mlp, step < 0 ? std::vector<int>{shape.node_inputs} : std::vector<int>(packed.has_encoded(step) ? 4 : 3, h));
    for (const auto& [layer, place] : {std::pair(&next.by_src, &pass.by_src), std::pair(&next.by_dst, &pass.by_dst)}) {
      *place = packer.pack(*layer, projected);
      // Normalisation and ReLU follow where the edges have added all parts.
      place->norm = Norm::none;
      place->relu = false;
    }
    pass.rows = rows(begin);
    vectors(mlp, pass.layers);
    packer.pack_vectors(next.by_src, pass.by_src);
    packer.pack_vectors(next.by_dst, pass.by_dst);
    return pass;
  };

  node_encoder = node_pass(-1);
  for (int step = 0; step < shape.steps; ++step) {
    // A recurrent network's steps are equal but for the first and the last, of whose node network there is none.
    const bool last = step + 1 == shape.steps;
    if (!shape.recurrent || step < 2 || last) edges_.push_back(edge_pass(step));
    edge_of_step_.push_back(static_cast<int>(edges_.size()) - 1);
    if (last) break;
    if (!shape.recurrent || step < 2) nodes_.push_back(node_pass(step));
    node_of_step_.push_back(static_cast<int>(nodes_.size()) - 1);
  }
}

std::size_t DeviceWeights::bytes() const {
  memory::Layout layout;
  layout.take<float>(content.size());
  return layout.bytes();
}

const float* DeviceWeights::upload(std::span<std::byte> memory) {
  float* const there = memory::Layout(memory).take<float>(content.size());
  starling::cuda::call(cudaMemcpy(there, content.data(), content.size() * sizeof(float), cudaMemcpyHostToDevice));
  content = {};
  return there;
}

}  // namespace starling::interaction_network::cuda
