#include <cuda_runtime.h>

#include <algorithm>

#include "cuda/call.h"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/network.h"
#include "interaction_network/cuda/passes.h"

namespace starling::interaction_network::cuda {

namespace {

class FloatNetwork : public DeviceNetwork {
 public:
  explicit FloatNetwork(const InteractionNetwork& network) : shape_(network.shape), weights_(network) {}

  std::size_t weights_bytes() const override { return weights_.bytes(); }
  void upload(std::span<std::byte> memory) override { content_ = weights_.upload(memory); }

  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    DeviceOrder order;
    States<float> states{};
    return lay_out(num_nodes, num_edges, {}, order, states);
  }

  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
           const Execution& execution) const override {
    DeviceOrder order;
    States<float> states{};
    lay_out(graph.num_nodes, graph.num_edges(), workspace, order, states);
    order.fill(graph, false, execution.bad_row, execution.stream);
    if (graph.num_nodes == 0 || graph.num_edges() == 0) return;
    cuda::run(node_pass(-1, graph, order, states), execution.stream);
    for (int step = 0; step < shape_.steps; ++step) {
      cuda::run(edge_pass(step, graph, order, states, logits), execution.stream);
      if (step + 1 == shape_.steps) break;
      sum_messages(states.e, row_columns(shape_.hidden), order, graph.num_nodes, states.by_src, states.by_dst,
                   execution.stream);
      cuda::run(node_pass(step, graph, order, states), execution.stream);
    }
  }

 private:
  std::size_t lay_out(std::int32_t num_nodes, std::int64_t num_edges, std::span<std::byte> memory, DeviceOrder& order,
                      States<float>& states) const {
    memory::Layout layout(memory);
    order.take(layout, num_nodes, num_edges);
    const auto columns = static_cast<std::size_t>(row_columns(shape_.hidden));
    const std::size_t nodes = static_cast<std::size_t>(num_nodes) * columns,
                      edges = static_cast<std::size_t>(num_edges) * columns;
    for (float** const array : {&states.x0, &states.by_src, &states.by_dst}) *array = layout.take<float>(nodes);
    // The encoded states are read again in later steps only, and only with concat.
    const bool encoded = shape_.concat && shape_.steps > 1;
    states.x = encoded ? layout.take<float>(nodes) : states.x0;
    states.e = shape_.steps > 1 ? layout.take<float>(edges) : nullptr;
    states.e0 = encoded ? layout.take<float>(edges) : nullptr;
    return layout.bytes();
  }

  const float* at(std::size_t place) const { return place == LayerPlace::kNone ? nullptr : content_ + place; }
  Biases biases(const std::vector<LayerPlace>& layers) const {
    Biases out{};
    for (std::size_t k = 0; k < std::min<std::size_t>(3, layers.size()); ++k) out.layer[k] = at(layers[k].bias);
    return out;
  }

  EdgePass<float> edge_pass(int step, const GraphView& graph, const DeviceOrder& order, const States<float>& states,
                            float* logits) const {
    const DeviceWeights::EdgePass& places = weights_.edge_pass(step);
    EdgePass<float> pass{};
    pass.encode = step == 0;
    pass.decode = step + 1 == shape_.steps;
    pass.read_encoded = weights_.has_encoded(step);
    pass.store_encoded = states.e0 != nullptr;
    pass.weights = content_ + (pass.encode ? places.encoder : places.update).front().weights;
    pass.weight_rows = places.rows;
    pass.encoder = biases(places.encoder);
    pass.update = biases(places.update);
    if (pass.decode) {
      pass.decoder = biases(places.decoder);
      pass.output_hidden_bias = at(places.decoder[3].bias);
      pass.output = content_ + places.output;
      pass.output_bias = at(places.decoder[4].bias);
    }
    pass.features = graph.edge_features.data();
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
    return pass;
  }

  /// The node network of `step`, or the encoder (step = −1).
  NodePass<float> node_pass(int step, const GraphView& graph, const DeviceOrder& order,
                            const States<float>& states) const {
    const DeviceWeights::NodePass& places = step < 0 ? weights_.node_encoder : weights_.node_pass(step);
    NodePass<float> pass{};
    pass.encode = step < 0;
    pass.read_encoded = weights_.has_encoded(step);
    pass.project_encoded = weights_.has_encoded(step + 1);
    pass.weights = content_ + places.layers.front().weights;
    pass.weight_rows = places.rows;
    pass.layers = biases(places.layers);
    pass.by_src_bias = at(places.by_src.bias);
    pass.features = graph.node_features.data();
    pass.inputs = shape_.node_inputs;
    pass.width = shape_.hidden;
    pass.normalise = shape_.norm == Norm::layer;
    pass.states = states;
    pass.node = order.node;
    pass.out_splits = order.out_splits;
    pass.in_splits = order.in_splits;
    pass.counts = order.counts;
    pass.capacity = graph.num_nodes;
    return pass;
  }

  InteractionNetworkShape shape_;
  DeviceWeights weights_;
  const float* content_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceNetwork> make_float_network(const InteractionNetwork& network) {
  return std::make_unique<FloatNetwork>(network);
}

}  // namespace starling::interaction_network::cuda
