#include <cuda_runtime_api.h>

#include <algorithm>
#include <map>
#include <string>

#include "quantized_network/cuda/content.h"
#include "quantized_network/cuda/layers.h"
#include "quantized_network/cuda/network.h"
#include "quantized_network/structure.h"

namespace starling::quantized_network::cuda {
namespace {

/// A layer in device memory, but for what it reads and where its outputs go.
struct LayerWeights {
  ProductPass product;
  QuantizePass quantize;
  dense::CodeGrid input;
  bool relu = false;
  float scale = 1.f;  ///< of the first sum of a row
};

struct PackedLayers {
  Content content;
  std::map<std::string, LayerWeights> weights;

  PackedLayers(const QuantizedNetwork& network, const std::byte* base) : content(base) {
    for (const Layer& layer : arithmetic(network)) {
      LayerWeights& packed = weights[layer.dense.name];
      const QuantizedLayer& codes = *layer.codes;
      const auto array = [&](const auto& values) { return values.empty() ? nullptr : content.add(values); };
      packed.input = layer.input;
      packed.relu = layer.dense.relu;
      packed.scale = layer.scale_of(0);
      packed.product.weights = array(codes.weight);
      packed.product.bias = array(codes.bias);
      packed.product.in = layer.dense.in;
      packed.product.out = layer.dense.out;
      std::vector<float> scale;
      for (int out = 0; out < layer.dense.out; ++out) scale.push_back(layer.scale_of(out));
      QuantizePass& quantize = packed.quantize;
      quantize.width = layer.dense.out;
      quantize.norm = layer.dense.norm;
      quantize.grid = layer.output;
      quantize.scale = array(scale);
      quantize.ratio = array(layer.ratio);
      quantize.floor = layer.floor;
      quantize.norm_weight = array(codes.norm_weight);
      quantize.norm_bias = array(codes.norm_bias);
    }
  }
};

struct LayeredWorkspace {
  interaction_network::cuda::DeviceOrder order;
  std::int32_t *x, *x0, *in, *out;  ///< [N, H]
  std::int32_t *e, *e0;             ///< [E, H]
  std::int64_t* sums;               ///< [max(N, E), H] of a layer
  std::int32_t* hidden;             ///< [max(N, E), H] codes between layers of an MLP
  ColumnMoments* moments;           ///< [H]
};

class LayeredNetwork : public DeviceNetwork {
 public:
  explicit LayeredNetwork(const QuantizedNetwork& network) : shape_(network.shape), upload_(network) {}

  std::size_t weights_bytes() const override { return upload_.bytes(); }
  void upload(std::span<std::byte> memory) override { layers_ = upload_.run(memory); }

  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    LayeredWorkspace work{};
    return lay_out(num_nodes, num_edges, {}, work);
  }

  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
           const Execution& execution) const override {
    LayeredWorkspace work{};
    lay_out(graph.num_nodes, graph.num_edges(), workspace, work);
    work.order.fill(graph, shape_.norm == Norm::batch, execution.bad_row, execution.stream);
    if (graph.num_nodes == 0 || graph.num_edges() == 0) return;
    Runner{*this, graph, work, logits, execution.stream}.run();
  }

 private:
  std::size_t lay_out(std::int32_t num_nodes, std::int64_t num_edges, std::span<std::byte> memory,
                      LayeredWorkspace& work) const {
    memory::Layout layout(memory);
    work.order.take(layout, num_nodes, num_edges);
    const auto columns = static_cast<std::size_t>(shape_.hidden);
    const std::size_t nodes = static_cast<std::size_t>(num_nodes) * columns,
                      edges = static_cast<std::size_t>(num_edges) * columns;
    for (std::int32_t** const array : {&work.x, &work.x0, &work.in, &work.out})
      *array = layout.take<std::int32_t>(nodes);
    for (std::int32_t** const array : {&work.e, &work.e0}) *array = layout.take<std::int32_t>(edges);
    work.sums = layout.take<std::int64_t>(std::max(nodes, edges));
    work.hidden = layout.take<std::int32_t>(std::max(nodes, edges));
    work.moments = layout.take<ColumnMoments>(columns);
    return layout.bytes();
  }

  /// Codes and what they are in.
  struct State {
    const std::int32_t* codes;
    dense::CodeGrid grid;
  };

  struct Runner {
    const LayeredNetwork& network;
    const GraphView& graph;
    const LayeredWorkspace& work;
    float* logits;
    cudaStream_t stream;

    void run() const {
      const InteractionNetworkShape& shape = network.shape_;
      const RowCount nodes{&work.order.counts->rows, graph.num_nodes},
          edges{&work.order.counts->edges, static_cast<std::int32_t>(graph.num_edges())};
      const std::int32_t *const src = work.order.src, *const dst = work.order.dst;
      encode("node_encoder", nodes, graph.node_features.data(), shape.node_inputs, work.order.node, work.x0);
      encode("edge_encoder", edges, graph.edge_features.data(), shape.edge_inputs, work.order.edge, work.e0);
      const State x0{work.x0, output("node_encoder.2")}, e0{work.e0, output("edge_encoder.2")};
      State x = x0, e = e0;
      for (int step = 0; step < shape.steps; ++step) {
        const std::string number = std::to_string(shape.recurrent ? 0 : step);
        const std::string edge = "edge_network." + number, node = "node_network." + number;
        if (shape.concat) {
          mlp(edge, edges,
              {state(edge, e), state(edge, e0), state(edge, x, src), state(edge, x0, src), state(edge, x, dst),
               state(edge, x0, dst)},
              work.e);
        } else {
          mlp(edge, edges, {state(edge, e), state(edge, x, src), state(edge, x, dst)}, work.e);
        }
        e = {work.e, output(edge + ".2")};
        if (step + 1 == shape.steps) break;
        cuda::run(SumsPass{nodes, work.e, shape.hidden, e.grid.scale, network.layer(node + ".0").input,
                           work.order.in_splits, work.order.in_edges, work.order.out_splits, work.in, work.out},
                  stream);
        std::vector<LayerPart> parts = {as_it_is(work.in), as_it_is(work.out), state(node, x)};
        if (shape.concat) parts.push_back(state(node, x0));
        mlp(node, nodes, parts, work.x);
        x = {work.x, output(node + ".2")};
      }
      mlp("edge_decoder", edges, {state("edge_decoder", e)}, work.e);
      mlp("edge_output", edges, {state("edge_output", {work.e, output("edge_decoder.2")})}, nullptr);
      cuda::run(LogitsPass{edges, work.sums, network.layer("edge_output.1").scale, work.order.edge, logits}, stream);
    }

    dense::CodeGrid output(const std::string& layer) const { return network.layer(layer).quantize.grid; }
    LayerPart as_it_is(const std::int32_t* codes) const {
      LayerPart part;
      part.codes = codes;
      part.width = network.shape_.hidden;
      return part;
    }
    /// A state as the MLP reads it.
    LayerPart state(const std::string& mlp, const State& of, const std::int32_t* places = nullptr) const {
      LayerPart part = as_it_is(of.codes);
      part.places = places;
      part.requantizes = true;
      part.scale = of.grid.scale;
      part.grid = network.layer(mlp + ".0").input;
      return part;
    }
    void encode(const std::string& name, const RowCount& count, const float* features, int inputs,
                const std::int32_t* places, std::int32_t* out) const {
      LayerPart part;
      part.features = features;
      part.width = inputs;
      part.places = places;
      part.grid = network.layer(name + ".0").input;
      mlp(name, count, {part}, out);
    }

    /// The codes of the last layer go to `out`, which may be what is read; those of a layer without a ReLU stay sums.
    void mlp(const std::string& name, const RowCount& count, std::vector<LayerPart> parts, std::int32_t* out) const {
      for (int k = 0;; ++k) {
        const auto found = network.layers_.find(name + "." + std::to_string(k));
        if (found == network.layers_.end()) return;
        const bool last = !network.layers_.contains(name + "." + std::to_string(k + 1));
        ProductPass product = found->second.product;
        QuantizePass quantize = found->second.quantize;
        const bool batch = quantize.norm == Norm::batch;
        product.count = quantize.count = count;
        product.num_parts = static_cast<int>(parts.size());
        std::copy(parts.begin(), parts.end(), product.parts);
        product.sums = quantize.sums = work.sums;
        product.moments = batch ? work.moments : nullptr;
        cuda::run(product, stream);
        if (!found->second.relu) return;
        if (batch) cuda::run(MomentsPass{count, work.sums, quantize.width, work.moments}, stream);
        quantize.moments = work.moments;
        quantize.codes = last ? out : work.hidden;
        cuda::run(quantize, stream);
        parts = {as_it_is(work.hidden)};
      }
    }
  };

  const LayerWeights& layer(const std::string& name) const { return layers_.at(name); }

  InteractionNetworkShape shape_;
  Upload<PackedLayers> upload_;
  std::map<std::string, LayerWeights> layers_;
};

}  // namespace

std::unique_ptr<DeviceNetwork> make_layered_network(const QuantizedNetwork& network) {
  return std::make_unique<LayeredNetwork>(network);
}

}  // namespace starling::quantized_network::cuda
