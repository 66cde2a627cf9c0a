#include "onnx/network.h"

#include "starling/dense.h"

namespace starling::onnx {
namespace {

class Builder {
 public:
  Builder(Graph& graph, const InteractionNetworkShape& shape, Layers& layers)
      : graph_(graph), shape_(shape), layers_(layers) {
    for (const DenseLayer& layer : starling::layers(shape)) dense_[layer.name] = layer;
  }

  void build() {
    graph_.input<float>("x", {"nodes", shape_.node_inputs});
    graph_.input<std::int64_t>("edge_index", {2, "edges"});
    graph_.input<float>("edge_attr", {"edges", shape_.edge_inputs});
    graph_.output<float>("output", {"edges"});
    const std::string src = end("src", 0), dst = end("dst", 1);

    const std::string x0 = mlp("", "node_encoder", "x"), e0 = mlp("", "edge_encoder", "edge_attr");
    const std::string src_places = places(src, e0), dst_places = places(dst, e0);
    if (shape_.steps > 1) {
      nothing_ = graph_.node("ConstantOfShape", "no_messages", {graph_.node("Shape", "states_shape", {x0})});
    }
    std::string x = x0, e = e0;
    for (int step = 0; step < shape_.steps; ++step) {
      const std::string scope = "step_" + std::to_string(step) + "/";
      const std::string number = std::to_string(shape_.recurrent ? 0 : step);
      const std::string nodes = shape_.concat ? concat(scope + "node_states", {x, x0}) : x;
      std::vector<std::string> read = {e};
      if (shape_.concat) read.push_back(e0);
      read.push_back(graph_.node("Gather", scope + "states_of_src", {nodes, src}));
      read.push_back(graph_.node("Gather", scope + "states_of_dst", {nodes, dst}));
      e = mlp(scope, "edge_network." + number, concat(scope + "edge_input", read));
      if (step + 1 == shape_.steps) break;
      const std::string in = sum(scope + "messages_in", dst_places, e);
      const std::string out = sum(scope + "messages_out", src_places, e);
      x = mlp(scope, "node_network." + number, concat(scope + "node_input", {in, out, nodes}));
    }
    const std::string logits = mlp("", "edge_output", mlp("", "edge_decoder", e));
    graph_.node("Squeeze", "output", {logits, axis(1)});
  }

 private:
  std::string axis(std::int64_t number) {
    return graph_.array("axis_" + std::to_string(number), {1}, std::vector<std::int64_t>{number});
  }

  std::string concat(const std::string& name, const std::vector<std::string>& values) {
    return graph_.node("Concat", name, values, {{"axis", std::int64_t{1}}});
  }

  /// One row of edge_index.
  std::string end(const std::string& name, std::int64_t row) {
    return graph_.node("Gather", name, {"edge_index", graph_.scalar("row_of_" + name, row)});
  }

  /// Which row each value of the messages goes to: [edges, hidden], as ScatterElements wants it.
  std::string places(const std::string& ends, const std::string& messages) {
    if (shape_.steps == 1) return {};
    const std::string column = graph_.node("Unsqueeze", ends + "_column", {ends, axis(1)});
    const std::string size = graph_.node("Shape", ends + "_shape", {messages});
    return graph_.node("Expand", ends + "_places", {column, size});
  }

  std::string sum(const std::string& name, const std::string& rows, const std::string& messages) {
    return graph_.node("ScatterElements", name, {nothing_, rows, messages},
                       {{"axis", std::int64_t{0}}, {"reduction", "add"}});
  }

  std::string mlp(const std::string& step, const std::string& name, std::string value) {
    value = layers_.input(step + name, name, value);
    for (int k = 0;; ++k) {
      const auto found = dense_.find(name + "." + std::to_string(k));
      if (found == dense_.end()) return value;
      const DenseLayer& layer = found->second;
      const std::string scope = step + layer.name;
      std::vector<std::string> product = {value, layers_.weight(layer)};
      if (layer.bias) product.push_back(layers_.bias(layer));
      value = graph_.node("Gemm", scope + "/product", product, {{"transB", std::int64_t{1}}});
      if (layer.norm == Norm::layer) value = layer_norm(scope, layer, value);
      if (layer.norm == Norm::batch) value = batch_norm(scope, layer, value);
      if (!layer.relu) continue;
      value = layers_.output(scope, layer, graph_.node("Relu", scope + "/relu", {value}));
    }
  }

  std::string layer_norm(const std::string& scope, const DenseLayer& layer, const std::string& value) {
    const std::string ones =
        graph_.array("ones_" + std::to_string(layer.out), {layer.out}, std::vector<float>(layer.out, 1.f));
    return graph_.node("LayerNormalization", scope + "/norm", {value, ones},
                       {{"axis", std::int64_t{-1}}, {"epsilon", kLayerNormEpsilon}});
  }

  /// By the rows of the event. BatchNormalization would do so in training mode only, which few runtimes have.
  std::string batch_norm(const std::string& scope, const DenseLayer& layer, const std::string& value) {
    const auto node = [&](const char* op, const char* name, const std::vector<std::string>& inputs) {
      return graph_.node(op, scope + "/norm/" + name, inputs);
    };
    const auto [weight, bias] = layers_.affine(layer);
    const std::string difference = node("Sub", "difference", {value, node("ReduceMean", "mean", {value, axis(0)})});
    const std::string square = node("Mul", "square", {difference, difference});
    const std::string variance = node("ReduceMean", "variance", {square, axis(0)});
    const std::string deviation = node(
        "Sqrt", "deviation", {node("Add", "radicand", {variance, graph_.scalar("batch_epsilon", kBatchNormEpsilon)})});
    const std::string scaled = node("Mul", "scaled",
                                    {node("Div", "normal", {difference, deviation}),
                                     graph_.array(layer.name + ".norm_weight", {layer.out}, weight)});
    return node("Add", "shifted", {scaled, graph_.array(layer.name + ".norm_bias", {layer.out}, bias)});
  }

  Graph& graph_;
  const InteractionNetworkShape& shape_;
  Layers& layers_;
  std::map<std::string, DenseLayer> dense_;
  std::string nothing_;
};

}  // namespace

void add_network(Graph& graph, const InteractionNetworkShape& shape, Layers& layers) {
  Builder(graph, shape, layers).build();
}

}  // namespace starling::onnx
