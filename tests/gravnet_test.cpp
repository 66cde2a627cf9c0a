#include "starling/gravnet.h"

#include <gmock/gmock.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "data.h"
#include "expect_error.h"
#include "gravnet_cases.h"
#include "same_bytes.h"
#include "starling/error.h"

namespace {

using namespace starling;

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
                           .subtract = true,
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

std::vector<float> run(const GravNetPlan& plan, const GravNetCase& one) {
  const GravNetHits hits = one.hits();
  std::vector<float> outputs(static_cast<std::size_t>(hits.num_hits) * plan.shape().outputs, std::nanf(""));
  // What a workspace holds before is of no consequence.
  std::vector<std::byte> workspace(plan.workspace_bytes(hits), std::byte{0xff});
  plan.run(hits, outputs.data(), workspace);
  return outputs;
}

TEST(GravNetPlan, EveryCaseAgreesWithTheReferenceAndGivesTheSameBytesAtEveryLevel) {
  for (const GravNetCase& one : gravnet_cases()) {
    SCOPED_TRACE(one.name);
    const std::vector<double> expected = gravnet_reference(one.network, one.hits());
    const std::vector<float> reference = run(GravNetPlan(one.network, SimdLevel::reference), one);
    EXPECT_LT(relative_difference(reference, expected), 1e-4);
    for (const SimdLevel level : simd_levels()) {
      EXPECT_TRUE(same_bytes(run(GravNetPlan(one.network, level), one), reference)) << to_string(level);
    }
  }
}

TEST(GravNetPlan, TheSeedModelGivesTheGoldenOutputs) {
  STARLING_NEEDS_DATA("dynamic_networks");
  for (const char* const set : {"mini", "full"}) {
    SCOPED_TRACE(set);
    const GoldenModel golden(data_folder() / "dynamic_networks", set);
    const std::vector<double> reference = gravnet_reference(golden.model.network, golden.model.hits());
    ASSERT_EQ(reference.size(), golden.outputs.size());
    for (std::size_t i = 0; i < reference.size(); ++i) EXPECT_NEAR(reference[i], golden.outputs[i], 1e-9) << i;
    for (const SimdLevel level : simd_levels()) {
      const std::vector<float> outputs = run(GravNetPlan(golden.model.network, level), golden.model);
      EXPECT_LT(relative_difference(outputs, golden.outputs), 1e-4) << to_string(level);
    }
  }
}

TEST(GravNetPlan, ResultsDoNotDependOnThreadsOrMemory) {
  for (const bool concat : {false, true}) {
    GravNetShape shape{
        .inputs = 5, .hidden = 24, .width = 20, .blocks = 2, .space = 3, .propagate = 7, .k = 9, .outputs = 3};
    shape.concat = shape.subtract = concat;
    const GravNetCase one = random_case("", shape, {3000, 1, 2000}, 5);
    const GravNetPlan plan(one.network);
    std::vector<float> expected;
    tbb::task_arena(1).execute([&] { expected = run(plan, one); });
    for (const int threads : {2, 3, 8}) {
      tbb::task_arena arena(threads);
      EXPECT_TRUE(same_bytes(arena.execute([&] { return run(plan, one); }), expected)) << threads;
      // A workspace for one thread serves as well.
      std::size_t bytes = 0;
      tbb::task_arena(1).execute([&] { bytes = plan.workspace_bytes(one.hits()); });
      std::vector<std::byte> workspace(bytes + 1);
      std::vector<float> outputs(expected.size());
      arena.execute([&] { plan.run(one.hits(), outputs.data(), std::span(workspace).subspan(1)); });
      EXPECT_TRUE(same_bytes(outputs, expected)) << threads;
    }
  }
}

TEST(GravNetPlan, AnEventGivesTheSameAloneAndAmongOthers) {
  const GravNetShape shape{
      .inputs = 3, .hidden = 8, .width = 8, .blocks = 2, .space = 2, .propagate = 4, .k = 5, .outputs = 2};
  const GravNetCase both = random_case("", shape, {40, 30}, 5);
  const std::vector<float> together = run(GravNetPlan(both.network), both);
  GravNetCase second = both;
  second.features.erase(second.features.begin(), second.features.begin() + 40 * 3);
  second.row_splits = {0, 30};
  EXPECT_EQ(run(GravNetPlan(both.network), second), std::vector<float>(together.begin() + 40 * 2, together.end()));
}

TEST(GravNetPlan, WrongArgumentsAreNamed) {
  const GravNetShape shape{
      .inputs = 3, .hidden = 8, .width = 8, .blocks = 1, .space = 2, .propagate = 4, .k = 5, .outputs = 2};
  GravNetCase one = random_case("", shape, {20}, 5);
  const GravNetPlan plan(one.network);
  std::vector<float> outputs(40);
  std::vector<std::byte> workspace(plan.workspace_bytes(one.hits()));
  const auto refused = [&](ErrorKind kind, const std::string& what, const GravNetHits& hits) {
    expect_error(kind, what, [&] { plan.run(hits, outputs.data(), workspace); });
  };
  GravNetHits hits = one.hits();
  hits.num_hits = -1;
  refused(ErrorKind::usage, "num_hits is -1: expected 0 to", hits);
  hits = one.hits();
  hits.features = nullptr;
  refused(ErrorKind::usage, "features is null: expected an array", hits);
  hits = one.hits();
  hits.row_splits = nullptr;
  hits.num_events = 2;
  refused(ErrorKind::usage, "num_events without row_splits is 2: expected 1 to 1", hits);
  for (const std::vector<std::int32_t>& splits : {std::vector<std::int32_t>{0, 19}, {1, 20}, {0, 12, 11, 20}}) {
    hits = one.hits();
    hits.row_splits = splits.data();
    hits.num_events = static_cast<std::int32_t>(splits.size()) - 1;
    refused(ErrorKind::usage, "row_splits", hits);
    expect_error(ErrorKind::usage, "row_splits", [&] { gravnet_reference(one.network, hits); });
  }
  expect_error(ErrorKind::usage, "outputs is null", [&] { plan.run(one.hits(), nullptr, workspace); });
  expect_error(ErrorKind::usage, "GravNetPlan::run: workspace of 100 bytes: expected at least",
               [&] { plan.run(one.hits(), outputs.data(), std::span(workspace).first(100)); });
  one.features[3 * 7 + 1] = std::nanf("");
  refused(ErrorKind::input, "hit 7: learned coordinate 0 of block 0 is ", one.hits());
  GravNet network = one.network;
  for (const char* const array : {"gravnet_layers.0.lin_s.weight", "gravnet_layers.0.lin_s.bias"}) {
    for (float& value : network.weights.at(array)) value = 3e38F;
  }
  expect_error(ErrorKind::input, " of block 0 is inf: the network does not fit this event",
               [&] { GravNetPlan(network).run(one.hits(), outputs.data(), workspace); });
  network.weights.erase("fc1.bias");
  expect_error(ErrorKind::usage, "tensor fc1.bias is missing", [&] { GravNetPlan{network}; });
  expect_error(ErrorKind::usage, "tensor fc1.bias is missing", [&] { gravnet_reference(network, one.hits()); });
}

}  // namespace
