#include "network/architecture.h"

#include <map>

#include "starling/error.h"

namespace starling {
namespace {

const std::map<std::string, Norm> kNorms = {{"none", Norm::none}, {"layer", Norm::layer}, {"batch", Norm::batch}};

}  // namespace

Norm parse_norm(const std::string& name) {
  const auto place = kNorms.find(name);
  if (place != kNorms.end()) return place->second;
  throw Error(ErrorKind::usage, "normalisation '" + name + "': expected none, layer or batch");
}

std::string to_string(Norm norm) {
  for (const auto& [name, value] : kNorms) {
    if (value == norm) return name;
  }
  throw Error(ErrorKind::internal, "unknown normalisation");
}

namespace network {

void check(const Architecture& architecture, ErrorKind kind, const std::string& where) {
  const auto in_range = [&](const char* key, int value, int most) {
    if (value < 1 || value > most) {
      throw Error(kind, where + key + " = " + std::to_string(value) + ", expected 1.." + std::to_string(most));
    }
  };
  in_range("hidden", architecture.hidden, kMaxHidden);
  in_range("steps", architecture.steps, kMaxSteps);
  in_range("node_inputs", architecture.node_inputs, kMaxInputs);
  in_range("edge_inputs", architecture.edge_inputs, kMaxInputs);
}

std::vector<NamedTensor> tensors(const Architecture& architecture) {
  std::vector<NamedTensor> all;
  for (const Layer& layer : layers(architecture)) {
    all.push_back({layer.name + ".weight", {layer.out, layer.in}});
    if (architecture.bias) all.push_back({layer.name + ".bias", {layer.out}});
    if (architecture.norm == Norm::batch && layer.normalised) {
      all.push_back({layer.name + ".norm_weight", {layer.out}});
      all.push_back({layer.name + ".norm_bias", {layer.out}});
    }
  }
  return all;
}

void check_edges(const GraphView& graph) {
  for (std::int64_t edge = 0; edge < graph.num_edges; ++edge) {
    for (const std::int32_t node : {graph.src[edge], graph.dst[edge]}) {
      if (node < 0 || node >= graph.num_nodes) {
        throw Error(ErrorKind::usage, "edge " + std::to_string(edge) + " touches node " + std::to_string(node) +
                                          ", expected 0.." + std::to_string(graph.num_nodes - 1));
      }
    }
  }
}

}  // namespace network

std::vector<Layer> layers(const Architecture& architecture) {
  network::check(architecture, ErrorKind::usage, "");
  const int hidden = architecture.hidden;
  std::vector<Layer> all;
  const auto mlp = [&](const std::string& name, const std::vector<int>& sizes, bool activate_last) {
    for (std::size_t k = 0; k + 1 < sizes.size(); ++k) {
      const bool last = k + 2 == sizes.size();
      all.push_back({name + "." + std::to_string(k), sizes[k], sizes[k + 1], !last, !last || activate_last});
    }
  };
  mlp("node_encoder", {architecture.node_inputs, hidden, hidden, hidden}, true);
  mlp("edge_encoder", {architecture.edge_inputs, hidden, hidden, hidden}, true);
  const int edge_in = (architecture.concat ? 6 : 3) * hidden, node_in = (architecture.concat ? 4 : 3) * hidden;
  for (int step = 0; step < (architecture.recurrent ? 1 : architecture.steps); ++step) {
    mlp("edge_network." + std::to_string(step), {edge_in, hidden, hidden, hidden}, true);
    mlp("node_network." + std::to_string(step), {node_in, hidden, hidden, hidden}, true);
  }
  mlp("edge_decoder", {hidden, hidden, hidden, hidden}, true);
  mlp("edge_output", {hidden, hidden, 1}, false);
  return all;
}

std::int64_t parameter_count(const Architecture& architecture) {
  std::int64_t count = 0;
  for (const network::NamedTensor& tensor : network::tensors(architecture)) {
    std::int64_t product = 1;
    for (const std::int64_t extent : tensor.shape) product *= extent;
    count += product;
  }
  return count;
}

}  // namespace starling
