#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "starling/gravnet.h"
#include "starling/safetensors.h"

// Networks and hits that every backend of gravnet.h is tested with.
namespace starling {

struct GravNetCase {
  std::string name;
  GravNet network;
  std::vector<float> features;
  std::vector<std::int32_t> row_splits;

  GravNetHits hits() const {
    return {features.data(), row_splits.back(), row_splits.data(), static_cast<std::int32_t>(row_splits.size()) - 1};
  }
};

inline GravNetCase random_case(const std::string& name, const GravNetShape& shape, const std::vector<int>& events,
                               unsigned seed) {
  GravNetCase one{name, {shape, {}}, {}, {0}};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  for (const DenseLayer& layer : layers(shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      const float scale = array.shape.size() == 2 ? std::sqrt(1.5f / static_cast<float>(layer.in)) : 0.3f;
      std::vector<float>& values = one.network.weights[array.name];
      for (std::int64_t i = 0; i < array.count(); ++i) values.push_back(scale * normal(random));
    }
  }
  for (const int hits : events) one.row_splits.push_back(one.row_splits.back() + hits);
  one.features.resize(static_cast<std::size_t>(one.row_splits.back()) * shape.inputs);
  for (float& value : one.features) value = normal(random);
  return one;
}

/// Sizes of events: none, one hit, fewer than k, tails of tiles; widths that fill vectors and tiles and that do not.
inline std::vector<GravNetCase> gravnet_cases() {
  const GravNetShape small{
      .inputs = 3, .hidden = 12, .width = 8, .blocks = 2, .space = 3, .propagate = 5, .k = 6, .outputs = 4};
  std::vector<GravNetCase> all;
  all.push_back(random_case("no hits", small, {}, 1));
  all.push_back(random_case("empty events and single hits", small, {0, 1, 0, 2, 7, 0}, 2));
  for (const int hits : {23, 24, 25, 47, 127, 128, 129, 300}) {
    all.push_back(random_case(std::to_string(hits) + " hits", small, {hits}, 3));
  }
  const auto with = [&](const std::string& name, const std::vector<int>& events, const auto& change) {
    GravNetShape shape = small;
    change(shape);
    all.push_back(random_case(name, shape, events, 4));
    shape.concat = true;
    all.push_back(random_case(name + ", concat", shape, events, 5));
  };
  with("as it is", {60, 5, 90}, [](GravNetShape&) {});
  with("one of everything", {20},
       [](GravNetShape& s) { s.inputs = s.hidden = s.width = s.blocks = s.space = s.propagate = s.k = s.outputs = 1; });
  with("widths of whole vectors", {70, 80},
       [](GravNetShape& s) { s.hidden = 64, s.width = 32, s.propagate = 16, s.outputs = 16, s.inputs = 16; });
  with("the seed model's widths", {200}, [](GravNetShape& s) { s = {.inputs = 64, .outputs = 10}; });
  with("a block wider than the rest", {50}, [](GravNetShape& s) { s.width = 37, s.hidden = 9; });
  with("wider than a tile of the device", {150}, [](GravNetShape& s) {
    s.hidden = 200, s.width = 130, s.propagate = 70, s.outputs = 140, s.inputs = 140, s.blocks = 3;
  });
  with("k 1", {30}, [](GravNetShape& s) { s.k = 1; });
  with("16 dimensions", {60}, [](GravNetShape& s) { s.space = 16, s.factor = 0.5f; });
  with("less their own features", {60, 5, 1}, [](GravNetShape& s) { s.subtract = true; });
  with("weights of 1", {60}, [](GravNetShape& s) { s.factor = 0; });
  GravNetCase repeated = random_case("every hit is there five times", small, {100}, 6);
  for (std::size_t i = 0; i < 80; ++i) {
    std::copy_n(repeated.features.begin() + static_cast<std::ptrdiff_t>(i * 3), 3,
                repeated.features.begin() + static_cast<std::ptrdiff_t>((i + 20) * 3));
  }
  all.push_back(repeated);
  return all;
}

/// The seed model with its golden outputs; set "mini" or "full".
struct GoldenModel {
  GravNetCase model;
  std::vector<double> outputs;

  GoldenModel(const std::filesystem::path& folder, const std::string& set) {
    const TensorFile file = read_safetensors(folder / "models.safetensors");
    const Tensor& x = file.at(set + "/gravnet/x");
    model.name = "golden " + set;
    model.features = x.widened();
    model.row_splits = file.at(set + "/gravnet/row_splits").i32();
    const std::string weights = set + "/weights/";
    GravNetShape& shape = model.network.shape;
    for (const auto& [name, tensor] : file.tensors) {
      if (name.starts_with(weights) && name.find("edgeconv") == std::string::npos) {
        model.network.weights[name.substr(weights.size())] = tensor.widened();
      }
    }
    if (set == "mini") shape = {.hidden = 16, .width = 16, .space = 3, .propagate = 8, .k = 8};
    shape.inputs = static_cast<int>(x.shape[1]);
    shape.outputs = static_cast<int>(file.at(weights + "fc4.bias").shape[0]);
    outputs = file.at(set + "/gravnet/out").f64();
  }
};

/// The largest difference as a part of the largest expected magnitude.
inline double relative_difference(const std::vector<float>& values, const std::vector<double>& expected) {
  if (values.size() != expected.size()) return INFINITY;
  double worst = 0., largest = 1e-30;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double off = std::abs(double{values[i]} - expected[i]);
    worst = std::isnan(off) ? INFINITY : std::max(worst, off);
    largest = std::max(largest, std::abs(expected[i]));
  }
  return worst / largest;
}

}  // namespace starling
