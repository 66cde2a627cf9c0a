#pragma once

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "data.h"
#include "starling/interaction_network.h"

// Networks and graphs that every backend of interaction_network.h is tested with.
namespace starling {

struct Graph {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src, dst;
  std::vector<float> node_features, edge_features;
  std::vector<std::int32_t> order;

  GraphView view() const { return {num_nodes, src, dst, node_features, edge_features, order}; }
};

inline InteractionNetwork random_network(const InteractionNetworkShape& shape, unsigned seed) {
  InteractionNetwork network;
  network.shape = shape;
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1.f, 1.f);
  const auto values = [&](std::size_t count, float scale, float shift) {
    std::vector<float> out(count);
    for (float& value : out) value = shift + scale * uniform(random);
    return out;
  };
  for (const DenseLayer& layer : layers(shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      const float scale = array.name.ends_with(".weight") ? std::sqrt(3.f / static_cast<float>(layer.in)) : 0.5f;
      network.weights[array.name] = values(array.count(), scale, array.name.ends_with(".norm_weight") ? 1.f : 0.f);
    }
  }
  return network;
}

inline Graph random_graph(const InteractionNetworkShape& shape, std::int32_t nodes, int edges, unsigned seed) {
  Graph graph;
  graph.num_nodes = nodes;
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  graph.node_features.resize(std::size_t(nodes) * shape.node_inputs);
  graph.edge_features.resize(std::size_t(edges) * shape.edge_inputs);
  for (float& value : graph.node_features) value = normal(random);
  for (float& value : graph.edge_features) value = normal(random);
  std::uniform_int_distribution<std::int32_t> node(0, std::max(0, nodes - 1));
  for (int i = 0; i < edges; ++i) {
    graph.src.push_back(node(random));
    graph.dst.push_back(node(random));
  }
  return graph;
}

/// A graph under other numbers: node v as number[v], edge order[i] as edge i.
struct Shuffled {
  Graph graph;
  std::vector<std::int32_t> number;
  std::vector<std::size_t> order;
};

inline Shuffled shuffle(const Graph& graph) {
  Shuffled result{graph, std::vector<std::int32_t>(graph.num_nodes), std::vector<std::size_t>(graph.src.size())};
  auto& [shuffled, number, order] = result;
  std::iota(number.begin(), number.end(), 0);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::mt19937 random(1);
  std::shuffle(number.begin(), number.end(), random);
  std::shuffle(order.begin(), order.end(), random);
  for (std::size_t i = 0; i < order.size(); ++i) {
    shuffled.src[i] = number[graph.src[order[i]]];
    shuffled.dst[i] = number[graph.dst[order[i]]];
    std::copy_n(graph.edge_features.begin() + order[i] * 6, 6, shuffled.edge_features.begin() + i * 6);
  }
  for (std::int32_t v = 0; v < graph.num_nodes; ++v) {
    std::copy_n(graph.node_features.begin() + v * 12, 12, shuffled.node_features.begin() + number[v] * 12);
  }
  return result;
}

inline InteractionNetworkShape plain(int hidden, int steps) {
  InteractionNetworkShape shape;
  shape.hidden = hidden;
  shape.steps = steps;
  return shape;
}

/// One of the 24 combinations of normalisation, recurrent, bias and concat.
inline InteractionNetworkShape variant(int hidden, int steps, int number) {
  InteractionNetworkShape shape = plain(hidden, steps);
  shape.norm = static_cast<Norm>(number % 3);
  shape.recurrent = number / 3 % 2 == 1;
  shape.bias = number / 6 % 2 == 1;
  shape.concat = number / 12 == 1;
  return shape;
}

struct NetworkCase {
  std::string name;
  InteractionNetwork network;
  Graph graph;
};

/// Every variant, widths that fill vectors, tiles and partial sums and that do not, sizes of graphs with their tails,
/// and ways in which edges meet nodes.
inline std::vector<NetworkCase> network_cases() {
  std::vector<NetworkCase> all;
  const auto add = [&](const std::string& name, const InteractionNetworkShape& shape, Graph graph) {
    all.push_back({name + ", H " + std::to_string(shape.hidden) + ", N " + std::to_string(shape.steps),
                   random_network(shape, 7), std::move(graph)});
  };
  for (const int hidden : {1, 2, 3, 7, 8, 9, 16, 17, 31, 33, 47, 48, 64, 65, 96, 100, 128, 130, 200})
    add("a width", plain(hidden, 3), random_graph({}, 60, 150, 1));
  add("the largest width", plain(1024, 1), random_graph({}, 5, 7, 1));
  for (int number = 0; number < 24; ++number) {
    for (const int hidden : {1, 5, 20, 48, 72}) {
      const InteractionNetworkShape shape = variant(hidden, 2, number);
      add("variant " + std::to_string(number), shape, random_graph(shape, 40, 90, 2));
    }
    for (const int steps : {1, 4}) {
      const InteractionNetworkShape shape = variant(8, steps, number);
      add("variant " + std::to_string(number), shape, random_graph(shape, 40, 90, 2));
    }
    if (number >= 3 && number < 21) continue;
    // Several tiles and chunks, whose moments are merged.
    const InteractionNetworkShape shape = variant(40, 2, number);
    add("many rows, variant " + std::to_string(number), shape, random_graph(shape, 900, 2500, 3));
  }
  for (const Norm norm : {Norm::layer, Norm::batch, Norm::none}) {
    InteractionNetworkShape shape = plain(12, 2);
    shape.norm = norm;
    shape.node_inputs = 3;
    shape.edge_inputs = 1;
    for (int edges = 0; edges <= 100; edges += edges < 20 ? 1 : 11) {
      add(std::to_string(edges) + " edges, norm " + to_string(norm), shape,
          random_graph(shape, std::max(1, edges / 2), edges, static_cast<unsigned>(edges)));
    }
    shape = plain(20, 3);
    shape.norm = norm;
    Graph graph = random_graph(shape, 3000, 1500, 4);
    for (int i = 0; i < 500; ++i) graph.src[i] = 17;       // a hub that edges leave
    for (int i = 500; i < 1000; ++i) graph.dst[i] = 2999;  // a hub that they reach
    for (int i = 1000; i < 1010; ++i) graph.src[i] = graph.dst[i] = 5;
    add("hubs, self edges, repeated edges and nodes without edges, norm " + to_string(norm), shape, graph);
    graph = random_graph(shape, 10, 70, 6);
    for (std::size_t i = 0; i < graph.src.size(); ++i) graph.src[i] = graph.dst[i] = 7;
    add("all edges on one node, norm " + to_string(norm), shape, graph);
  }
  // Layers of a detector: the inner nodes have no edge in, the outer ones none out.
  Graph graph = random_graph({}, 300, 400, 5);
  for (std::size_t i = 0; i < graph.src.size(); ++i) {
    graph.src[i] = graph.src[i] % 200;
    graph.dst[i] = 100 + graph.dst[i] % 200;
  }
  add("nodes with edges one way only", plain(16, 3), graph);
  for (std::int32_t v = 0; v < graph.num_nodes; ++v) graph.order.push_back((v * 7 + 3) % graph.num_nodes);
  add("an order of the nodes", plain(16, 3), graph);
  InteractionNetworkShape wide = plain(24, 2);
  wide.node_inputs = 70;
  wide.edge_inputs = 129;
  add("many features", wide, random_graph(wide, 30, 70, 8));
  // More edges of one node than a block of a device has threads.
  graph = random_graph({}, 500, 5000, 9);
  for (int i = 0; i < 2300; ++i) graph.src[2 * i] = 3, graph.dst[2 * i + 1] = 499;
  add("hubs of thousands of edges", plain(8, 3), graph);
  for (int i = 0; i < 1500; ++i) graph.src[i] = graph.dst[i] = 7;
  add("and one that is both", plain(8, 2), graph);
  return all;
}

struct GoldenNetwork {
  std::string name;
  InteractionNetwork network;
  Graph graph;
  std::vector<double> logits;
};

/// Networks of every variant that were computed by another program: shared/data, interaction_network.
inline std::vector<GoldenNetwork> golden_networks() {
  std::vector<GoldenNetwork> all = {{"plain", {plain(8, 3), {}}, {}, {}},   {"wide", {plain(24, 2), {}}, {}, {}},
                                    {"batch", {plain(8, 3), {}}, {}, {}},   {"recurrent", {plain(8, 3), {}}, {}, {}},
                                    {"no_bias", {plain(8, 2), {}}, {}, {}}, {"no_concat", {plain(8, 3), {}}, {}, {}},
                                    {"no_norm", {plain(8, 2), {}}, {}, {}}};
  all[2].network.shape.norm = Norm::batch;
  all[3].network.shape.recurrent = true;
  all[4].network.shape.bias = false;
  all[5].network.shape.concat = false;
  all[6].network.shape.norm = Norm::none;
  const TensorFile golden = read_safetensors(data_folder() / "interaction_network" / "interaction_network.safetensors");
  for (GoldenNetwork& one : all) {
    const std::string prefix = one.name + "/";
    for (const auto& [name, tensor] : golden.tensors) {
      if (name.starts_with(prefix) && !name.starts_with(prefix + "grad/") && name.find('.') != std::string::npos)
        one.network.weights[name.substr(prefix.size())] = tensor.f32();
    }
    one.graph.num_nodes = static_cast<std::int32_t>(golden.at(prefix + "x").shape[0]);
    one.graph.node_features = golden.at(prefix + "x").f32();
    one.graph.edge_features = golden.at(prefix + "edge_attr").f32();
    const std::vector<std::int32_t> ends = golden.at(prefix + "edge_index").i32();
    one.graph.src.assign(ends.begin(), ends.begin() + std::ssize(ends) / 2);
    one.graph.dst.assign(ends.begin() + std::ssize(ends) / 2, ends.end());
    one.logits = golden.at(prefix + "logits").f64();
  }
  return all;
}

/// The largest difference as a part of the largest expected magnitude.
inline double difference(const std::vector<float>& values, const std::vector<double>& expected) {
  EXPECT_EQ(values.size(), expected.size());
  double worst = 0., largest = 1e-30;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double off = std::abs(double{values[i]} - expected[i]);
    worst = std::isnan(off) ? INFINITY : std::max(worst, off);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return worst / largest;
}

/// What Plan gives on the host.
inline std::vector<float> run(const Plan& plan, const Graph& graph) {
  std::vector<float> logits(graph.src.size(), std::nanf(""));
  // What a workspace holds before is of no consequence.
  std::vector<std::byte> workspace(plan.workspace_bytes(graph.num_nodes, graph.view().num_edges()), std::byte{0xff});
  plan.run(graph.view(), logits, workspace);
  return logits;
}

}  // namespace starling
