#include "interaction_network/shape.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "dense/weights.h"
#include "json/section.h"

namespace starling {
namespace {

constexpr const char* kKind = "interaction_network";
constexpr const char* kSection = "architecture";

InteractionNetworkShape shape_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  section.take("kind", "\"interaction_network\"", [](const nlohmann::json& value) { return value == kKind; });
  InteractionNetworkShape shape;
  shape.hidden = section.integer("hidden");
  shape.steps = section.integer("steps");
  shape.recurrent = section.boolean("recurrent");
  const nlohmann::json norm = section.take("norm", "none, layer or batch", [](const nlohmann::json& value) {
    return value == "none" || value == "layer" || value == "batch";
  });
  shape.norm = parse_norm(norm.get<std::string>());
  shape.bias = section.boolean("bias");
  shape.concat = section.boolean("concat");
  shape.node_inputs = section.integer("node_inputs");
  shape.edge_inputs = section.integer("edge_inputs");
  section.end();
  interaction_network::check(shape, ErrorKind::input, where + ": ");
  return shape;
}

}  // namespace

namespace interaction_network {

InteractionNetworkShape shape_of(const Model& model) {
  return shape_from_json(model.section(kSection), model.content.name + ": " + kSection);
}

void check(const InteractionNetworkShape& shape, ErrorKind kind, const std::string& where) {
  const auto in_range = [&](const char* key, int value, int most) {
    if (value < 1 || value > most) {
      throw Error(kind, where + key + " = " + std::to_string(value) + ", expected 1.." + std::to_string(most));
    }
  };
  in_range("hidden", shape.hidden, kMaxHidden);
  in_range("steps", shape.steps, kMaxSteps);
  in_range("node_inputs", shape.node_inputs, kMaxInputs);
  in_range("edge_inputs", shape.edge_inputs, kMaxInputs);
  (void)to_string(shape.norm);  // throws for one that is not known; a file names it
}

void check_weights(const InteractionNetwork& network, ErrorKind kind, const std::string& where) {
  dense::check_weights(network.weights, layers(network.shape), kind, where);
}

void check_reads_hit_graphs(const InteractionNetworkShape& shape) {
  if (shape.node_inputs == kNodeFeatures && shape.edge_inputs == kEdgeFeatures) return;
  throw Error(ErrorKind::usage, "a network of " + std::to_string(shape.node_inputs) + " node and " +
                                    std::to_string(shape.edge_inputs) +
                                    " edge features, expected those of a hit graph: " + std::to_string(kNodeFeatures) +
                                    " and " + std::to_string(kEdgeFeatures));
}

void check_size(std::int32_t num_nodes, std::int64_t num_edges) {
  if (num_nodes < 0 || num_edges < 0 || num_edges > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorKind::usage, "a graph of " + std::to_string(num_nodes) + " nodes and " +
                                      std::to_string(num_edges) + " edges, expected counts in 0..2^31 - 1");
  }
}

void check_graph(const GraphView& graph, const InteractionNetworkShape& shape) {
  check_arrays(graph, shape);
  if (graph.count != nullptr) {
    throw Error(ErrorKind::usage,
                "a graph with a count of edges, which only a device reads: expected null on the host");
  }
  for (std::int64_t edge = 0; edge < graph.num_edges(); ++edge) {
    for (const std::int32_t node : {graph.src[edge], graph.dst[edge]}) {
      if (node < 0 || node >= graph.num_nodes) {
        throw Error(ErrorKind::usage, "edge " + std::to_string(edge) + " ends at node " + std::to_string(node) +
                                          ", expected 0.." + std::to_string(graph.num_nodes - 1));
      }
    }
  }
}

void check_arrays(const GraphView& graph, const InteractionNetworkShape& shape) {
  const std::int64_t edges = graph.num_edges();
  check_size(graph.num_nodes, edges);
  const auto size = [&](const char* array, std::size_t is, std::int64_t rows, int columns) {
    if (is == static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns)) return;
    throw Error(ErrorKind::usage, std::string("a graph whose arrays do not fit together: ") + array + " has " +
                                      std::to_string(is) + " values, expected " + std::to_string(rows) + " x " +
                                      std::to_string(columns));
  };
  size("dst", graph.dst.size(), edges, 1);
  size("node_features", graph.node_features.size(), graph.num_nodes, shape.node_inputs);
  size("edge_features", graph.edge_features.size(), edges, shape.edge_inputs);
  if (!graph.order.empty()) size("order", graph.order.size(), graph.num_nodes, 1);
}

int slots_of(const GraphView& graph, std::span<const float> logits, std::span<const std::byte> workspace, int most,
             const std::function<std::size_t(int)>& bytes) {
  if (logits.size() != static_cast<std::size_t>(graph.num_edges())) {
    throw Error(ErrorKind::usage, "room for " + std::to_string(logits.size()) +
                                      " logits, expected one per edge: " + std::to_string(graph.num_edges()));
  }
  if (graph.num_edges() == 0) return 1;
  const std::size_t one = bytes(1), each = bytes(2) - one;
  if (workspace.size() < one) {
    throw Error(ErrorKind::usage, "a workspace of " + std::to_string(workspace.size()) + " bytes, expected at least " +
                                      std::to_string(one) + ": see EdgePlan::workspace_bytes");
  }
  return static_cast<int>(std::min<std::size_t>(most, 1 + (workspace.size() - one) / each));
}

}  // namespace interaction_network

std::vector<DenseLayer> layers(const InteractionNetworkShape& shape) {
  interaction_network::check(shape, ErrorKind::usage, "");
  const int hidden = shape.hidden;
  std::vector<DenseLayer> all;
  const auto mlp = [&](const std::string& name, const std::vector<int>& widths, bool last_is_output = false) {
    for (std::size_t k = 0; k + 1 < widths.size(); ++k) {
      const bool last = k + 2 == widths.size();
      all.push_back({.name = name + "." + std::to_string(k),
                     .in = widths[k],
                     .out = widths[k + 1],
                     .bias = shape.bias,
                     .norm = last ? Norm::none : shape.norm,
                     .relu = !last || !last_is_output});
    }
  };
  mlp("node_encoder", {shape.node_inputs, hidden, hidden, hidden});
  mlp("edge_encoder", {shape.edge_inputs, hidden, hidden, hidden});
  const int edge_in = (shape.concat ? 6 : 3) * hidden, node_in = (shape.concat ? 4 : 3) * hidden;
  for (int step = 0; step < (shape.recurrent ? 1 : shape.steps); ++step) {
    mlp("edge_network." + std::to_string(step), {edge_in, hidden, hidden, hidden});
    mlp("node_network." + std::to_string(step), {node_in, hidden, hidden, hidden});
  }
  mlp("edge_decoder", {hidden, hidden, hidden, hidden});
  mlp("edge_output", {hidden, hidden, 1}, true);
  return all;
}

std::int64_t parameter_count(const InteractionNetworkShape& shape) {
  std::int64_t count = 0;
  for (const DenseLayer& layer : layers(shape)) count += parameter_count(layer);
  return count;
}

std::string to_json(const InteractionNetworkShape& shape) {
  return nlohmann::ordered_json{{"kind", kKind},
                                {"hidden", shape.hidden},
                                {"steps", shape.steps},
                                {"recurrent", shape.recurrent},
                                {"norm", to_string(shape.norm)},
                                {"bias", shape.bias},
                                {"concat", shape.concat},
                                {"node_inputs", shape.node_inputs},
                                {"edge_inputs", shape.edge_inputs}}
      .dump();
}

void InteractionNetwork::to_model(Model& model) const {
  interaction_network::check(shape, ErrorKind::usage, "architecture: ");
  dense::weights_to_model(weights, layers(shape), model);
  model.content.metadata[kSection] = to_json(shape);
}

InteractionNetwork InteractionNetwork::from_model(const Model& model) {
  InteractionNetwork network;
  network.shape = interaction_network::shape_of(model);
  network.weights = dense::weights_from_model(model, layers(network.shape));
  return network;
}

}  // namespace starling
