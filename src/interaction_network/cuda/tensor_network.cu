#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "cuda/call.h"
#include "cuda/launch.cuh"
#include "dense/cuda/packing.h"
#include "dense/cuda/tensor_tile.cuh"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/network.h"
#include "interaction_network/cuda/passes.h"
#include "interaction_network/cuda/tensor_pass.h"
#include "starling/error.h"

namespace starling::interaction_network::cuda {

namespace {

std::uint16_t bits_of(float value, __half) { return __half_as_ushort(__float2half_rn(value)); }
std::uint16_t bits_of(float value, __nv_bfloat16) { return __bfloat16_as_ushort(__float2bfloat16_rn(value)); }

/// Matrices of the passes in the order in which they are read, and vectors in float.
template <typename T>
class TensorWeights {
 public:
  TensorWeights(const InteractionNetworkShape& shape, const DeviceWeights& floats)
      : shape_(shape), floats_(floats), columns_(row_columns(shape.hidden)) {
    encoder_ = node_pass(floats.node_encoder, -1);
    for (int step = 0; step < shape.steps; ++step) {
      // Steps of a recurrent network may share a pass.
      const bool same_edges = step > 0 && &floats.edge_pass(step) == &floats.edge_pass(step - 1);
      edges_.push_back(same_edges ? edges_.back() : edge_pass(floats.edge_pass(step), step));
      if (step + 1 == shape.steps) break;
      const bool same_nodes = step > 0 && &floats.node_pass(step) == &floats.node_pass(step - 1);
      nodes_.push_back(same_nodes ? nodes_.back() : node_pass(floats.node_pass(step), step));
    }
  }

  /// Places in the vectors, or kNone.
  static constexpr std::size_t kNone = LayerPlace::kNone;
  struct Pass {
    std::size_t first = 0;  ///< number of the first matrix
    int in_part[2] = {};    ///< matrices of the first part (step, layers) and of the second
    std::size_t feature_weights = kNone;
    std::size_t encoder[3] = {kNone, kNone, kNone};  ///< biases
    std::size_t layers[3] = {kNone, kNone, kNone};
    std::size_t decoder[4] = {kNone, kNone, kNone, kNone};
    std::size_t by_src = kNone, output = kNone, output_bias = kNone;
  };
  const Pass& encoder() const { return encoder_; }
  const Pass& edges(int step) const { return edges_[static_cast<std::size_t>(step)]; }
  const Pass& nodes(int step) const { return nodes_[static_cast<std::size_t>(step)]; }

  std::size_t matrix_numbers() const { return columns() * columns(); }
  std::vector<std::uint16_t> matrices;
  std::vector<float> vectors;

 private:
  std::size_t columns() const { return static_cast<std::size_t>(columns_); }

  std::size_t vector(std::size_t place, std::size_t count) {
    if (place == kNone) return place;
    const std::size_t at = vectors.size();
    vectors.insert(vectors.end(), floats_.content.begin() + static_cast<std::ptrdiff_t>(place),
                   floats_.content.begin() + static_cast<std::ptrdiff_t>(place + count));
    vectors.resize((vectors.size() + 3) / 4 * 4);
    return at;
  }

  /// Adds the matrices of a layer, one per part of its inputs, to a part of the pass; returns its bias.
  std::size_t add(Pass& pass, int part_of_pass, const LayerPlace& place) {
    const int padded = dense::cuda::padded_inputs(shape_.hidden), parts = place.rows / padded;
    for (int part = 0; part < parts; ++part) {
      const float* const from = floats_.content.data() + place.weights +
                                static_cast<std::size_t>(part) * static_cast<std::size_t>(padded) * columns();
      const std::size_t at = matrices.size();
      matrices.resize(at + matrix_numbers());
      for (int in = 0; in < shape_.hidden; ++in) {
        for (int out = 0; out < shape_.hidden; ++out) {
          matrices[at + static_cast<std::size_t>(starling::cuda::block_index(in, out, columns_))] =
              bits_of(from[static_cast<std::size_t>(in) * columns() + static_cast<std::size_t>(out)], T());
        }
      }
    }
    pass.in_part[part_of_pass] += parts;
    return vector(place.bias, columns());
  }

  Pass begin() const {
    Pass pass;
    pass.first = matrices.size() / matrix_numbers();
    return pass;
  }
  /// The first layer of an encoder, in float; returns its bias.
  std::size_t add_features(Pass& pass, const LayerPlace& place, int inputs) {
    pass.feature_weights = vector(place.weights, static_cast<std::size_t>(inputs) * columns());
    return vector(place.bias, columns());
  }

  Pass edge_pass(const DeviceWeights::EdgePass& places, int step) {
    Pass pass = begin();
    if (step == 0) {
      pass.encoder[0] = add_features(pass, places.encoder[0], shape_.edge_inputs);
      for (std::size_t k = 1; k < 3; ++k) pass.encoder[k] = add(pass, 0, places.encoder[k]);
    }
    for (std::size_t k = 0; k < 3; ++k) pass.layers[k] = add(pass, 0, places.update[k]);
    if (step + 1 < shape_.steps) return pass;
    for (std::size_t k = 0; k < 4; ++k) pass.decoder[k] = add(pass, 1, places.decoder[k]);
    // The column of the output, padded with zeros like the outputs that it multiplies.
    pass.output = vectors.size();
    vectors.resize(pass.output + columns());
    std::copy_n(floats_.content.begin() + static_cast<std::ptrdiff_t>(places.output), shape_.hidden,
                vectors.begin() + static_cast<std::ptrdiff_t>(pass.output));
    pass.output_bias = vector(places.decoder[4].bias, 1);
    return pass;
  }

  Pass node_pass(const DeviceWeights::NodePass& places, int step) {
    Pass pass = begin();
    for (std::size_t k = 0; k < 3; ++k) {
      pass.layers[k] = k == 0 && step < 0 ? add_features(pass, places.layers[k], shape_.node_inputs)
                                          : add(pass, 0, places.layers[k]);
    }
    pass.by_src = add(pass, 1, places.by_src);
    add(pass, 1, places.by_dst);
    return pass;
  }

  const InteractionNetworkShape& shape_;
  const DeviceWeights& floats_;
  int columns_;
  Pass encoder_;
  std::vector<Pass> edges_, nodes_;
};

template <typename T>
class TensorNetwork : public DeviceNetwork {
 public:
  explicit TensorNetwork(const InteractionNetwork& network)
      : shape_(network.shape), floats_(network), weights_(shape_, floats_) {
    floats_.content = {};
  }

  std::size_t weights_bytes() const override {
    const std::uint16_t* matrices = nullptr;
    const float* vectors = nullptr;
    return lay_out_weights({}, matrices, vectors);
  }

  void upload(std::span<std::byte> memory) override {
    lay_out_weights(memory, matrices_, vectors_);
    const auto copy = [](const auto* to, auto& from) {
      starling::cuda::call(cudaMemcpy(const_cast<void*>(static_cast<const void*>(to)), from.data(),
                                      from.size() * sizeof(from[0]), cudaMemcpyHostToDevice));
      from = {};
    };
    copy(matrices_, weights_.matrices);
    copy(vectors_, weights_.vectors);
  }

  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    DeviceOrder order;
    States<T> states{};
    return lay_out(num_nodes, num_edges, {}, order, states);
  }

  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
           const Execution& execution) const override {
    DeviceOrder order;
    States<T> states{};
    lay_out(graph.num_nodes, graph.num_edges(), workspace, order, states);
    order.fill(graph, false, execution.bad_row, execution.stream);
    if (graph.num_nodes == 0 || graph.num_edges() == 0) return;
    const int most = starling::cuda::most_shared_bytes() / static_cast<int>(weights_.matrix_numbers() * sizeof(T));
    run_nodes(-1, graph, order, states, most, execution.stream);
    for (int step = 0; step < shape_.steps; ++step) {
      run_edges(step, graph, order, states, logits, most, execution.stream);
      if (step + 1 == shape_.steps) break;
      sum_messages(states.e, row_columns(shape_.hidden), order, graph.num_nodes, states.by_src, states.by_dst,
                   execution.stream);
      run_nodes(step, graph, order, states, most, execution.stream);
    }
  }

 private:
  using Pass = typename TensorWeights<T>::Pass;

  std::size_t lay_out_weights(std::span<std::byte> memory, const std::uint16_t*& matrices,
                              const float*& vectors) const {
    memory::Layout layout(memory);
    matrices = layout.take<std::uint16_t>(weights_.matrices.size());
    vectors = layout.take<float>(weights_.vectors.size());
    return layout.bytes();
  }

  std::size_t lay_out(std::int32_t num_nodes, std::int64_t num_edges, std::span<std::byte> memory, DeviceOrder& order,
                      States<T>& states) const {
    memory::Layout layout(memory);
    order.take(layout, num_nodes, num_edges);
    const auto columns = static_cast<std::size_t>(row_columns(shape_.hidden));
    const std::size_t nodes = static_cast<std::size_t>(num_nodes) * columns,
                      edges = static_cast<std::size_t>(num_edges) * columns;
    for (T** const array : {&states.x0, &states.by_src, &states.by_dst}) *array = layout.take<T>(nodes);
    const bool encoded = shape_.concat && shape_.steps > 1;
    states.x = encoded ? layout.take<T>(nodes) : states.x0;
    states.e = layout.take<T>(edges);
    states.e0 = encoded ? layout.take<T>(edges) : nullptr;
    return layout.bytes();
  }
  const float* vector(std::size_t place) const { return place == LayerPlace::kNone ? nullptr : vectors_ + place; }
  Biases biases(const std::size_t (&places)[3]) const {
    return {{vector(places[0]), vector(places[1]), vector(places[2])}};
  }

  /// One kernel where the matrices of a pass fit into the shared memory of a block, which has room for `most`; else one
  /// per part: leave(pass, second) takes the other part away.
  template <typename AnyPass, typename Leave>
  void run_parts(const AnyPass& pass, const Pass& places, int most, cudaStream_t stream, const Leave& leave) const {
    const auto run = [&](AnyPass some, std::size_t first, int count) {
      if (count > most) {
        throw Error(ErrorKind::device, "CUDA device: room for " + std::to_string(most) + " matrices of " +
                                           std::to_string(shape_.hidden) +
                                           " columns in the shared memory of a block, expected " +
                                           std::to_string(count) + ": take float32");
      }
      some.weights = reinterpret_cast<const T*>(matrices_ + first * weights_.matrix_numbers());
      some.weight_rows = count * row_columns(shape_.hidden);
      cuda::run(some, stream);
    };
    const int first = places.in_part[0], second = places.in_part[1];
    if (second == 0 || first + second <= most) return run(pass, places.first, first + second);
    AnyPass part = pass;
    leave(part, false);
    run(part, places.first, first);
    part = pass;
    leave(part, true);
    run(part, places.first + static_cast<std::size_t>(first), second);
  }

  void run_edges(int step, const GraphView& graph, const DeviceOrder& order, const States<T>& states, float* logits,
                 int most, cudaStream_t stream) const {
    const Pass& places = weights_.edges(step);
    TensorEdgePass<T> pass{};
    pass.encode = step == 0;
    pass.runs_step = true;
    pass.decode = step + 1 == shape_.steps;
    pass.read_encoded = floats_.has_encoded(step);
    pass.store_encoded = states.e0 != nullptr;
    pass.encoder = biases(places.encoder);
    pass.update = biases(places.layers);
    for (int k = 0; k < 3; ++k) pass.decoder.layer[k] = vector(places.decoder[k]);
    pass.output_hidden_bias = vector(places.decoder[3]);
    pass.output = vector(places.output);
    pass.output_bias = vector(places.output_bias);
    pass.features = graph.edge_features.data();
    pass.feature_weights = vector(places.feature_weights);
    pass.inputs = shape_.edge_inputs;
    pass.width = shape_.hidden;
    pass.normalise = shape_.norm == Norm::layer;
    pass.states = states;
    pass.edge = order.edge;
    pass.src = order.src;
    pass.dst = order.dst;
    pass.counts = order.counts;
    pass.capacity = static_cast<std::int32_t>(graph.num_edges());
    pass.logits = logits;
    run_parts(pass, places, most, stream, [](TensorEdgePass<T>& some, bool second) {
      some.encode = some.encode && !second;
      some.runs_step = !second;
      some.decode = second;
    });
  }

  /// The node network of `step`, or the encoder (step = −1), then what the edges of the next step read.
  void run_nodes(int step, const GraphView& graph, const DeviceOrder& order, const States<T>& states, int most,
                 cudaStream_t stream) const {
    const Pass& places = step < 0 ? weights_.encoder() : weights_.nodes(step);
    TensorNodePass<T> pass{};
    pass.encode = step < 0;
    pass.runs_layers = pass.projects = true;
    pass.read_encoded = floats_.has_encoded(step);
    pass.project_encoded = floats_.has_encoded(step + 1);
    pass.layers = biases(places.layers);
    pass.by_src_bias = vector(places.by_src);
    pass.features = graph.node_features.data();
    pass.feature_weights = vector(places.feature_weights);
    pass.inputs = shape_.node_inputs;
    pass.width = shape_.hidden;
    pass.normalise = shape_.norm == Norm::layer;
    pass.states = states;
    pass.node = order.node;
    pass.counts = order.counts;
    pass.capacity = graph.num_nodes;
    run_parts(pass, places, most, stream, [](TensorNodePass<T>& some, bool second) {
      some.runs_layers = !second;
      some.projects = second;
    });
  }

  InteractionNetworkShape shape_;
  DeviceWeights floats_;
  TensorWeights<T> weights_;
  const std::uint16_t* matrices_ = nullptr;
  const float* vectors_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceNetwork> make_half_network(const InteractionNetwork& network) {
  return std::make_unique<TensorNetwork<__half>>(network);
}
std::unique_ptr<DeviceNetwork> make_bfloat16_network(const InteractionNetwork& network) {
  return std::make_unique<TensorNetwork<__nv_bfloat16>>(network);
}

}  // namespace starling::interaction_network::cuda
