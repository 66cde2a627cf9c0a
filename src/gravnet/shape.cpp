#include "gravnet/shape.h"

#include <nlohmann/json.hpp>

#include "dense/weights.h"
#include "json/section.h"

namespace starling {
namespace gravnet {
namespace {

constexpr const char* kKind = "gravnet";
constexpr const char* kSection = "architecture";
constexpr int kMaxWidth = 1024, kMaxBlocks = 64, kMaxSpace = 16, kMaxK = 1024;
constexpr float kMaxFactor = 1e6f;

GravNetShape shape_from_json(const std::string& text, const std::string& where) {
  json::Section section(text, where);
  section.take("kind", "\"gravnet\"", [](const nlohmann::json& value) { return value == kKind; });
  GravNetShape shape;
  shape.inputs = section.integer("inputs");
  shape.hidden = section.integer("hidden");
  shape.width = section.integer("width");
  shape.blocks = section.integer("blocks");
  shape.space = section.integer("space");
  shape.propagate = section.integer("propagate");
  shape.k = section.integer("k");
  shape.outputs = section.integer("outputs");
  shape.factor = section.number("factor", 0., kMaxFactor, "a number in 0..1000000");
  shape.subtract = section.boolean("subtract");
  shape.concat = section.boolean("concat");
  section.end();
  check(shape, ErrorKind::input, where + ": ");
  return shape;
}

}  // namespace

void check(const GravNetShape& shape, ErrorKind kind, const std::string& where) {
  const auto in_range = [&](const char* key, int value, int most) {
    if (value < 1 || value > most) {
      throw Error(kind, where + key + " = " + std::to_string(value) + ", expected 1.." + std::to_string(most));
    }
  };
  in_range("inputs", shape.inputs, kMaxWidth);
  in_range("hidden", shape.hidden, kMaxWidth);
  in_range("width", shape.width, kMaxWidth);
  in_range("blocks", shape.blocks, kMaxBlocks);
  in_range("space", shape.space, kMaxSpace);
  in_range("propagate", shape.propagate, kMaxWidth);
  in_range("k", shape.k, kMaxK);
  in_range("outputs", shape.outputs, kMaxWidth);
  if (!(shape.factor >= 0.f && shape.factor <= kMaxFactor)) {
    throw Error(kind, where + "factor = " + std::to_string(shape.factor) + ", expected a number in 0..1000000");
  }
}

int head_inputs(const GravNetShape& shape) { return shape.concat ? shape.blocks * shape.width : shape.width; }

}  // namespace gravnet

std::vector<DenseLayer> layers(const GravNetShape& shape) {
  gravnet::check(shape, ErrorKind::usage, "");
  std::vector<DenseLayer> all;
  const auto add = [&](const std::string& name, int in, int out, bool relu, bool bias = true) {
    all.push_back({.name = name, .in = in, .out = out, .bias = bias, .relu = relu});
  };
  add("fc1", shape.inputs, shape.hidden, true);
  add("fc2", shape.hidden, shape.hidden, true);
  for (int i = 0; i < shape.blocks; ++i) {
    const int in = i == 0 ? shape.hidden : shape.width;
    const std::string graph = "gravnet_layers." + std::to_string(i), dense = "dense_after_gravnet." + std::to_string(i);
    add(graph + ".lin_s", in, shape.space, false);
    add(graph + ".lin_h", in, shape.propagate, false);
    add(graph + ".lin_out1", in, shape.width, false, false);
    add(graph + ".lin_out2", 2 * shape.propagate, shape.width, false);
    add(dense + ".0", shape.width, shape.hidden, true);
    add(dense + ".2", shape.hidden, shape.hidden, true);
    add(dense + ".4", shape.hidden, shape.width, true);
  }
  add("fc3", gravnet::head_inputs(shape), shape.hidden, true);
  add("fc4", shape.hidden, shape.outputs, false);
  return all;
}

std::int64_t parameter_count(const GravNetShape& shape) {
  std::int64_t count = 0;
  for (const DenseLayer& layer : layers(shape)) count += parameter_count(layer);
  return count;
}

std::string to_json(const GravNetShape& shape) {
  return nlohmann::ordered_json{
      {"kind", gravnet::kKind},   {"inputs", shape.inputs}, {"hidden", shape.hidden},       {"width", shape.width},
      {"blocks", shape.blocks},   {"space", shape.space},   {"propagate", shape.propagate}, {"k", shape.k},
      {"outputs", shape.outputs}, {"factor", shape.factor}, {"subtract", shape.subtract},   {"concat", shape.concat}}
      .dump();
}

void GravNet::to_model(Model& model) const {
  gravnet::check(shape, ErrorKind::usage, "architecture: ");
  dense::weights_to_model(weights, layers(shape), model);
  model.content.metadata[gravnet::kSection] = to_json(shape);
}

GravNet GravNet::from_model(const Model& model) {
  GravNet network;
  network.shape =
      gravnet::shape_from_json(model.section(gravnet::kSection), model.content.name + ": " + gravnet::kSection);
  network.weights = dense::weights_from_model(model, layers(network.shape));
  return network;
}

}  // namespace starling
