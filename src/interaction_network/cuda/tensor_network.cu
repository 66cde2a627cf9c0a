#include <cuda_runtime.h>

#include <algorithm>
#include <string>

#include "cuda/call.h"
#include "dense/cuda/packing.h"
#include "dense/cuda/tensor_tile.cuh"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/launch.cuh"
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
      : shape_(shape), floats_(floats), sixteens_(row_columns(shape.hidden) / 16) {
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

  struct Layer {
    int parts;
    std::size_t bias;  ///< into the vectors, or kNone
  };
  struct Pass {
    std::size_t first = 0;  ///< matrix
    std::size_t feature_weights = LayerPlace::kNone, feature_bias = LayerPlace::kNone, output = LayerPlace::kNone,
                output_bias = LayerPlace::kNone;
    std::vector<Layer> layers;
  };
  const Pass& encoder() const { return encoder_; }
  const Pass& edges(int step) const { return edges_[static_cast<std::size_t>(step)]; }
  const Pass& nodes(int step) const { return nodes_[static_cast<std::size_t>(step)]; }

  std::size_t matrix_numbers() const { return static_cast<std::size_t>(256 * sixteens_ * sixteens_); }
  std::vector<std::uint16_t> matrices;
  std::vector<float> vectors;

 private:
  std::size_t vector(std::size_t place, std::size_t count) {
    if (place == LayerPlace::kNone) return place;
    const std::size_t at = vectors.size();
    vectors.insert(vectors.end(), floats_.content.begin() + static_cast<std::ptrdiff_t>(place),
                   floats_.content.begin() + static_cast<std::ptrdiff_t>(place + count));
    vectors.resize((vectors.size() + 3) / 4 * 4);
    return at;
  }
  std::size_t columns() const { return static_cast<std::size_t>(16 * sixteens_); }

  void add(Pass& pass, const LayerPlace& place) {
    const int padded = dense::cuda::padded_inputs(shape_.hidden), parts = place.rows / padded;
    for (int part = 0; part < parts; ++part) {
      const float* const from = floats_.content.data() + place.weights +
                                static_cast<std::size_t>(part) * static_cast<std::size_t>(padded) * columns();
      const std::size_t at = matrices.size();
      matrices.resize(at + matrix_numbers());
      for (int in = 0; in < shape_.hidden; ++in) {
        for (int out = 0; out < shape_.hidden; ++out) {
          matrices[at + static_cast<std::size_t>(dense::cuda::packed_index(in, out, sixteens_))] =
              bits_of(from[static_cast<std::size_t>(in) * columns() + static_cast<std::size_t>(out)], T());
        }
      }
    }
    pass.layers.push_back({parts, vector(place.bias, columns())});
  }

  Pass begin() const {
    Pass pass;
    pass.first = matrices.size() / matrix_numbers();
    return pass;
  }
  void add_first(Pass& pass, const LayerPlace& place, int inputs) {
    pass.feature_weights = vector(place.weights, static_cast<std::size_t>(inputs) * columns());
    pass.feature_bias = vector(place.bias, columns());
  }

  Pass edge_pass(const DeviceWeights::EdgePass& places, int step) {
    Pass pass = begin();
    if (step == 0) {
      add_first(pass, places.encoder[0], shape_.edge_inputs);
      for (int k = 1; k < 3; ++k) add(pass, places.encoder[static_cast<std::size_t>(k)]);
    }
    for (const LayerPlace& place : places.update) add(pass, place);
    if (step + 1 < shape_.steps) return pass;
    for (int k = 0; k < 4; ++k) add(pass, places.decoder[static_cast<std::size_t>(k)]);
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
    if (step < 0) add_first(pass, places.layers[0], shape_.node_inputs);
    for (std::size_t k = step < 0 ? 1 : 0; k < places.layers.size(); ++k) add(pass, places.layers[k]);
    add(pass, places.by_src);
    add(pass, places.by_dst);
    return pass;
  }

  const InteractionNetworkShape& shape_;
  const DeviceWeights& floats_;
  int sixteens_;
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
      if (step + 1 < shape_.steps) run_nodes(step, graph, order, states, most, execution.stream);
    }
  }

 private:
  using Part = TensorPart<T>;
  using From = typename Part::From;
  using Layer = TensorLayer<T>;

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

  Layer layer(const typename TensorWeights<T>::Layer& place, bool hidden, std::initializer_list<Part> parts) const {
    Layer out;
    for (const Part& part : parts) out.parts[out.num_parts++] = part;
    out.bias = vector(place.bias);
    out.normalises = hidden && shape_.norm == Norm::layer;
    return out;
  }
  static Part before() { return {}; }
  static Part rows(const T* states) { return {From::rows, states}; }

  bool has_encoded(int step) const { return floats_.has_encoded(step); }

  void run_edges(int step, const GraphView& graph, const DeviceOrder& order, const States<T>& states, float* logits,
                 int most, cudaStream_t stream) const {
    const auto& places = weights_.edges(step);
    const bool last = step + 1 == shape_.steps;
    std::vector<Layer> layers;
    std::size_t k = 0;
    const auto add = [&](bool hidden, std::initializer_list<Part> parts) -> Layer& {
      layers.push_back(layer(places.layers[k++], hidden, parts));
      return layers.back();
    };
    if (step == 0) {
      add(true, {before()});
      add(false, {before()}).store = states.e0;
    }
    Layer& first = has_encoded(step) ? add(true, {rows(states.e), rows(states.e0)})
                                     : add(true, {step == 0 ? before() : rows(states.e)});
    first.gathers = true;
    add(true, {before()});
    add(false, {before()}).store = last ? nullptr : states.e;
    if (last) {
      add(true, {before()});
      add(true, {before()});
      add(false, {before()});
      add(true, {before()}).gives_logit = true;
    }

    TensorPass<T> pass;
    if (step == 0) {
      pass.features = graph.edge_features.data();
      pass.inputs = shape_.edge_inputs;
      pass.places = order.edge;
    }
    pass.by_src = states.by_src;
    pass.by_dst = states.by_dst;
    pass.src = order.src;
    pass.dst = order.dst;
    pass.output = vector(places.output);
    pass.output_bias = vector(places.output_bias);
    pass.logits = logits;
    pass.edge = order.edge;
    pass.rows = &order.counts->edges;
    pass.capacity = static_cast<std::int32_t>(graph.num_edges());
    run_layers(layers, places, pass, states.e, most, stream);
  }

  /// The node network of `step`, or the encoder (step = −1), then what the edges of the next step read.
  void run_nodes(int step, const GraphView& graph, const DeviceOrder& order, const States<T>& states, int most,
                 cudaStream_t stream) const {
    const auto& places = step < 0 ? weights_.encoder() : weights_.nodes(step);
    const bool encoded_next = has_encoded(step + 1);
    T* const x = step < 0 ? states.x0 : states.x;
    std::vector<Layer> layers;
    std::size_t k = 0;
    const auto add = [&](bool hidden, std::initializer_list<Part> parts) -> Layer& {
      layers.push_back(layer(places.layers[k++], hidden, parts));
      return layers.back();
    };
    if (step >= 0) {
      const Part in{From::sums, states.e, order.in_splits, order.in_edges}, out{From::sums, states.e, order.out_splits};
      if (has_encoded(step))
        add(true, {in, out, rows(states.x), rows(states.x0)});
      else
        add(true, {in, out, rows(states.x0)});  // in the first step, or without concat, the same as x
    }
    add(true, {before()});
    add(false, {before()}).store = x;
    const auto project = [&](const Part& state, T* to) {
      Layer& projection = encoded_next ? add(false, {state, rows(states.x0)}) : add(false, {state});
      projection.relu = false;
      projection.store = to;
    };
    project(before(), states.by_src);
    project(rows(x), states.by_dst);

    TensorPass<T> pass;
    if (step < 0) {
      pass.features = graph.node_features.data();
      pass.inputs = shape_.node_inputs;
      pass.places = order.node;
    }
    pass.rows = &order.counts->rows;
    pass.capacity = graph.num_nodes;
    run_layers(layers, places, pass, x, most, stream);
  }

  /// As few kernels as the matrices fit into, `most` per kernel. Between two of them the state is in `spill`, which no
  /// later layer of the pass reads as anything else.
  void run_layers(std::vector<Layer>& layers, const typename TensorWeights<T>::Pass& places, TensorPass<T> pass,
                  T* spill, int most, cudaStream_t stream) const {
    pass.width = shape_.hidden;
    pass.normalises_features = shape_.norm == Norm::layer;
    pass.feature_weights = vector(places.feature_weights);
    pass.feature_bias = vector(places.feature_bias);
    std::size_t matrix = places.first;
    for (std::size_t i = 0; i < layers.size();) {
      pass.num_layers = pass.matrices = 0;
      for (; i < layers.size() && pass.matrices + layers[i].num_parts <= most; ++i) {
        pass.layers[pass.num_layers++] = layers[i];
        pass.matrices += layers[i].num_parts;
      }
      if (pass.num_layers == 0) {
        throw Error(ErrorKind::device, "CUDA device: room for " + std::to_string(most) + " matrices of " +
                                           std::to_string(shape_.hidden) +
                                           " columns in the shared memory of a block, expected " +
                                           std::to_string(layers[i].num_parts) + ": take float32");
      }
      if (i < layers.size() && layers[i].parts[0].from == From::layer_before) {
        Layer& end = pass.layers[pass.num_layers - 1];
        if (end.store == nullptr) end.store = spill;
        layers[i].parts[0] = rows(end.store);
      }
      pass.weights = reinterpret_cast<const uint4*>(matrices_ + matrix * weights_.matrix_numbers());
      matrix += static_cast<std::size_t>(pass.matrices);
      cuda::run(pass, stream);
      pass.features = nullptr;
    }
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
