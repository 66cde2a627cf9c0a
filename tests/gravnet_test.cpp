#include "starling/gravnet.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <string>

#include "starling/error.h"

namespace {

using namespace starling;
using testing::HasSubstr;

template <typename Call>
void expect_error(ErrorKind kind, const std::string& what, const Call& call) {
  SCOPED_TRACE(what);
  try {
    call();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), HasSubstr(what));
  }
}

GravNet numbered(const GravNetShape& shape) {
  GravNet network{shape, {}};
  float value = 0.f;
  for (const ArrayShape& array : arrays(layers(shape))) {
    for (std::int64_t i = 0; i < array.count(); ++i) network.weights[array.name].push_back(value += 1e-3f);
  }
  return network;
}

TEST(GravNet, ThePublishedParameterCount) {
  const GravNetShape seed{.inputs = 64, .outputs = 10};
  EXPECT_EQ(parameter_count(seed), 215'578);
  // The head reads three blocks more: 3 · 64 columns of 128 rows.
  GravNetShape concat = seed;
  concat.concat = true;
  EXPECT_EQ(parameter_count(concat), 215'578 + 3 * 64 * 128);
}

TEST(GravNet, TheLayersOfTheSeedModel) {
  const std::vector<DenseLayer> all = layers(GravNetShape{.inputs = 64, .outputs = 10});
  ASSERT_EQ(all.size(), 4u + 4 * 7);
  EXPECT_EQ(all[0], (DenseLayer{.name = "fc1", .in = 64, .out = 128, .relu = true}));
  EXPECT_EQ(all[2], (DenseLayer{.name = "gravnet_layers.0.lin_s", .in = 128, .out = 4}));
  EXPECT_EQ(all[4], (DenseLayer{.name = "gravnet_layers.0.lin_out1", .in = 128, .out = 64, .bias = false}));
  EXPECT_EQ(all[5], (DenseLayer{.name = "gravnet_layers.0.lin_out2", .in = 64, .out = 64}));
  EXPECT_EQ(all[10], (DenseLayer{.name = "gravnet_layers.1.lin_h", .in = 64, .out = 32}));
  EXPECT_EQ(all[29], (DenseLayer{.name = "dense_after_gravnet.3.4", .in = 128, .out = 64, .relu = true}));
  EXPECT_EQ(all[31], (DenseLayer{.name = "fc4", .in = 128, .out = 10}));
}

TEST(GravNet, WhatGoesIntoAModelComesOut) {
  const GravNetShape shape{.inputs = 3,
                           .hidden = 5,
                           .width = 4,
                           .blocks = 2,
                           .space = 2,
                           .propagate = 3,
                           .k = 7,
                           .outputs = 2,
                           .factor = 0.3f,
                           .concat = true};
  const GravNet network = numbered(shape);
  Model model;
  network.to_model(model);
  const GravNet back = GravNet::from_model(model);
  EXPECT_EQ(back.shape, shape);
  EXPECT_EQ(back.weights, network.weights);
}

TEST(GravNet, AShapeOutOfRangeIsAUsageError) {
  const GravNetShape seed{.inputs = 64, .outputs = 10};
  const auto refused = [&](const std::string& what, auto GravNetShape::*member, auto value) {
    GravNetShape shape = seed;
    shape.*member = value;
    expect_error(ErrorKind::usage, what, [&] { layers(shape); });
  };
  refused("inputs = 0, expected 1..1024", &GravNetShape::inputs, 0);
  refused("hidden = 1025, expected 1..1024", &GravNetShape::hidden, 1025);
  refused("width = -1, expected 1..1024", &GravNetShape::width, -1);
  refused("blocks = 65, expected 1..64", &GravNetShape::blocks, 65);
  refused("space = 17, expected 1..16", &GravNetShape::space, 17);
  refused("propagate = 0, expected 1..1024", &GravNetShape::propagate, 0);
  refused("k = 1025, expected 1..1024", &GravNetShape::k, 1025);
  refused("outputs = 0, expected 1..1024", &GravNetShape::outputs, 0);
  for (const float factor : {-1.f, 1e7f, std::numeric_limits<float>::quiet_NaN()}) {
    refused("factor = ", &GravNetShape::factor, factor);
  }
}

TEST(GravNet, WrongWeightsGoIntoNoModel) {
  const GravNetShape shape{.inputs = 3, .hidden = 5, .width = 4, .blocks = 1, .outputs = 2};
  const auto refused = [&](const std::string& what, const auto& change) {
    GravNet network = numbered(shape);
    change(network.weights);
    Model model;
    expect_error(ErrorKind::usage, what, [&] { network.to_model(model); });
  };
  refused("tensor fc4.bias is missing", [](Weights& weights) { weights.erase("fc4.bias"); });
  refused("tensor fc4.bias has 1 values, expected 2", [](Weights& weights) { weights["fc4.bias"].pop_back(); });
  refused("tensor \"gravnet_layers.0.lin_out1.bias\" is not part of the architecture", [](Weights& weights) {
    weights["gravnet_layers.0.lin_out1.bias"] = {1, 2, 3, 4};
  });
  refused("tensor fc1.weight, value 2 is nan", [](Weights& weights) { weights["fc1.weight"][2] = std::nanf(""); });
}

}  // namespace
