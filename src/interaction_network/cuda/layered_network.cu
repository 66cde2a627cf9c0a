#include <cuda_runtime.h>

#include <algorithm>
#include <initializer_list>

#include "cuda/call.h"
#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/layers.h"
#include "interaction_network/cuda/network.h"
#include "interaction_network/cuda/passes.h"

namespace starling::interaction_network::cuda {

namespace {

struct Workspace {
  DeviceOrder order;
  float *x, *x0, *by_src, *by_dst, *sums[2];  ///< [N, columns]
  float *e, *e0;                              ///< [E, columns]
  float* hidden[2];                           ///< [max(N, E), columns] outputs of layers inside an MLP
  float* inverse[2];                          ///< [max(N, E)] their factors
  double* chunks;
  float *scale, *shift;  ///< [columns]
};

class LayeredNetwork : public DeviceNetwork {
 public:
  explicit LayeredNetwork(const InteractionNetwork& network)
      : shape_(network.shape), weights_(network), columns_(row_columns(network.shape.hidden)) {}

  std::size_t weights_bytes() const override { return weights_.bytes(); }
  void upload(std::span<std::byte> memory) override { content_ = weights_.upload(memory); }

  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    Workspace work{};
    return lay_out(num_nodes, num_edges, {}, work);
  }

  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
           const Execution& execution) const override {
    Workspace work{};
    lay_out(graph.num_nodes, graph.num_edges(), workspace, work);
    work.order.fill(graph, batch(), execution.bad_row, execution.stream);
    if (graph.num_nodes == 0 || graph.num_edges() == 0) return;
    Runner{*this, graph, work, logits, execution.stream}.run();
  }

 private:
  bool batch() const { return shape_.norm == Norm::batch; }

  std::size_t lay_out(std::int32_t num_nodes, std::int64_t num_edges, std::span<std::byte> memory,
                      Workspace& work) const {
    memory::Layout layout(memory);
    work.order.take(layout, num_nodes, num_edges);
    const auto columns = static_cast<std::size_t>(columns_);
    const auto nodes = static_cast<std::size_t>(num_nodes), edges = static_cast<std::size_t>(num_edges),
               most = std::max(nodes, edges);
    for (float** const array : {&work.x0, &work.by_src, &work.by_dst, &work.sums[0], &work.sums[1]})
      *array = layout.take<float>(nodes * columns);
    work.e0 = layout.take<float>(edges * columns);
    work.x = shape_.concat ? layout.take<float>(nodes * columns) : work.x0;
    work.e = shape_.concat ? layout.take<float>(edges * columns) : work.e0;
    for (int i = 0; i < 2; ++i) {
      work.hidden[i] = layout.take<float>(most * columns);
      work.inverse[i] = layout.take<float>(most);
    }
    if (batch()) {
      const auto chunks = static_cast<std::size_t>(moment_chunks(static_cast<std::int64_t>(most), shape_.hidden));
      work.chunks = layout.take<double>(chunks * 2 * columns);
      work.scale = layout.take<float>(columns);
      work.shift = layout.take<float>(columns);
    }
    return layout.bytes();
  }

  const float* at(std::size_t place) const { return place == LayerPlace::kNone ? nullptr : content_ + place; }

  struct Runner {
    const LayeredNetwork& network;
    const GraphView& graph;
    const Workspace& work;
    float* logits;
    cudaStream_t stream;

    void run() const {
      const InteractionNetworkShape& shape = network.shape_;
      const DeviceWeights& weights = network.weights_;
      Part features{graph.node_features.data(), shape.node_inputs, shape.node_inputs, work.order.node};
      layers(weights.node_encoder.layers, with_parts(nodes(), {features}), work.x0);
      features = {graph.edge_features.data(), shape.edge_inputs, shape.edge_inputs, work.order.edge};
      layers(weights.edge_pass(0).encoder, with_parts(edges(), {features}), work.e0);
      project(0, weights.node_encoder);
      for (int step = 0; step < shape.steps; ++step) {
        const DeviceWeights::EdgePass& edge = weights.edge_pass(step);
        LayerPass update = states(edges(), step, work.e, work.e0);
        update.by_src = work.by_src;
        update.by_dst = work.by_dst;
        update.src = work.order.src;
        update.dst = work.order.dst;
        layers(edge.update, update, work.e);
        if (step + 1 == shape.steps) {
          const std::vector<LayerPlace> decoder(edge.decoder.begin(), edge.decoder.begin() + 3),
              output(edge.decoder.begin() + 3, edge.decoder.end());
          layers(decoder, with_parts(edges(), {state(work.e)}), work.e);
          layers(output, with_parts(edges(), {state(work.e)}), nullptr);
          return;
        }
        sum_messages(work.e, network.columns_, work.order, graph.num_nodes, work.sums[0], work.sums[1], stream);
        LayerPass sums = with_parts(nodes(), {state(work.sums[0]), state(work.sums[1])});
        layers(weights.node_pass(step).layers, states(sums, step, work.x, work.x0), work.x);
        project(step + 1, weights.node_pass(step));
      }
    }

    LayerPass nodes() const { return of(&work.order.counts->rows, graph.num_nodes); }
    LayerPass edges() const { return of(&work.order.counts->edges, static_cast<std::int32_t>(graph.num_edges())); }
    LayerPass of(const std::int32_t* rows, std::int32_t capacity) const {
      LayerPass pass;
      pass.rows = rows;
      pass.capacity = capacity;
      pass.columns = network.columns_;
      pass.width = network.shape_.hidden;
      return pass;
    }
    Part state(const float* array) const { return {array, network.columns_, network.shape_.hidden}; }
    static LayerPass with_parts(LayerPass pass, std::initializer_list<Part> parts) {
      for (const Part& part : parts) pass.parts[pass.num_parts++] = part;
      return pass;
    }
    /// States and encoded states; in the first step they are the same.
    LayerPass states(const LayerPass& pass, int step, const float* now, const float* encoded) const {
      if (network.weights_.has_encoded(step)) return with_parts(pass, {state(now), state(encoded)});
      return with_parts(pass, {state(step == 0 ? encoded : now)});
    }

    /// What the edges of `step` read from the nodes.
    void project(int step, const DeviceWeights::NodePass& places) const {
      const LayerPass inputs = states(nodes(), step, work.x, work.x0);
      layers({places.by_src}, inputs, work.by_src);
      layers({places.by_dst}, inputs, work.by_dst);
    }

    /// Layers that follow each other; `first` has the inputs of the first. The last one's outputs go to `out`, which
    /// may be one of these where there are several layers; null: to the logits.
    void layers(const std::vector<LayerPlace>& places, const LayerPass& first, float* out) const {
      LayerPass pass = first;
      for (std::size_t k = 0; k < places.size(); ++k) {
        const LayerPlace& place = places[k];
        const bool last = k + 1 == places.size(), normalised = place.norm == Norm::batch;
        pass.weights = network.content_ + place.weights;
        pass.weight_rows = place.rows;
        pass.bias = network.at(place.bias);
        pass.relu = place.relu && !normalised;
        pass.inverse_deviation = place.norm == Norm::layer ? work.inverse[k % 2] : nullptr;
        pass.out = last ? out : work.hidden[k % 2];
        if (pass.out == nullptr) {
          pass.logits = logits;
          pass.edge = work.order.edge;
          pass.columns = std::min(network.columns_, kMostFused);  // the matrix has one panel
        }
        cuda::run(pass, stream);
        if (last) return;
        if (normalised) {
          cuda::run(
              MomentsPass{pass.out, network.shape_.hidden, network.columns_, pass.rows, pass.capacity, work.chunks,
                          network.at(place.norm_weight), network.at(place.norm_bias), work.scale, work.shift},
              stream);
        }
        LayerPass next = with_parts(of(pass.rows, pass.capacity), {state(pass.out)});
        next.row_scale = pass.inverse_deviation;
        if (normalised) {
          next.scale = work.scale;
          next.shift = work.shift;
        }
        pass = next;
      }
    }
  };

  InteractionNetworkShape shape_;
  DeviceWeights weights_;
  int columns_;
  const float* content_ = nullptr;
};

}  // namespace

std::unique_ptr<DeviceNetwork> make_layered_network(const InteractionNetwork& network) {
  return std::make_unique<LayeredNetwork>(network);
}

}  // namespace starling::interaction_network::cuda
