#include "gravnet/joined.h"

#include <algorithm>
#include <map>
#include <string>

namespace starling::gravnet {
namespace {

/// The columns of two matrices side by side.
std::vector<float> side_by_side(const std::vector<float>& a, const std::vector<float>& b, int rows) {
  const std::size_t wide_a = a.size() / static_cast<std::size_t>(rows),
                    wide_b = b.size() / static_cast<std::size_t>(rows);
  std::vector<float> out;
  for (std::size_t row = 0; row < static_cast<std::size_t>(rows); ++row) {
    out.insert(out.end(), a.begin() + static_cast<std::ptrdiff_t>(row * wide_a),
               a.begin() + static_cast<std::ptrdiff_t>((row + 1) * wide_a));
    out.insert(out.end(), b.begin() + static_cast<std::ptrdiff_t>(row * wide_b),
               b.begin() + static_cast<std::ptrdiff_t>((row + 1) * wide_b));
  }
  return out;
}

}  // namespace

JoinedLayers::JoinedLayers(const GravNet& network) : weights(network.weights) {
  std::map<std::string, DenseLayer> all;
  for (DenseLayer& layer : layers(network.shape)) all[layer.name] = layer;
  encoder = {all.at("fc1"), all.at("fc2")};
  head = {all.at("fc3"), all.at("fc4")};
  for (int i = 0; i < network.shape.blocks; ++i) {
    const std::string graph = "gravnet_layers." + std::to_string(i), dense = "dense_after_gravnet." + std::to_string(i);
    const DenseLayer &own = all.at(graph + ".lin_out1"), &messages = all.at(graph + ".lin_out2");
    const DenseLayer out{.name = graph + ".lin_out", .in = own.in + messages.in, .out = own.out};
    weights[out.name + ".weight"] =
        side_by_side(weights.at(own.name + ".weight"), weights.at(messages.name + ".weight"), out.out);
    weights[out.name + ".bias"] = weights.at(messages.name + ".bias");
    blocks.push_back({.space = all.at(graph + ".lin_s"),
                      .features = all.at(graph + ".lin_h"),
                      .update = {out, all.at(dense + ".0"), all.at(dense + ".2"), all.at(dense + ".4")}});
  }
}

}  // namespace starling::gravnet
