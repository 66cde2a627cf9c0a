#include "starling/quantized_network.h"

#include <gmock/gmock.h>
#include <tbb/task_arena.h>

#include <cstring>
#include <functional>
#include <numeric>
#include <set>
#include <tuple>

#include "data.h"
#include "dense/integer_arithmetic.h"
#include "expect_error.h"
#include "integer_set_plan.h"
#include "quantized_cases.h"
#include "same_bytes.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using namespace starling::quantized_cases;

std::vector<float> run(const EdgePlan& plan, const GraphView& graph) {
  std::vector<float> logits(graph.src.size(), std::nanf(""));
  // What a workspace holds before is of no consequence.
  std::vector<std::byte> workspace(plan.workspace_bytes(graph.num_nodes, graph.num_edges()), std::byte{0xff});
  plan.run(graph, logits, workspace);
  return logits;
}

// Every set of kernels, also those that are not the fastest of their level here.
std::vector<dense::IntegerSet> all_sets() { return dense::integer_sets(simd_levels().back()); }

// Every set of kernels gives the bytes of the reference, which is returned.
std::vector<float> expect_agreement(const QuantizedNetwork& network, const Graph& graph) {
  const std::vector<float> expected = quantized_network_reference(network, graph.view());
  for (const dense::IntegerSet& set : all_sets()) {
    const IntegerSetPlan plan(network, set);
    EXPECT_TRUE(same_bytes(run(plan, graph.view()), expected)) << plan.kernels();
  }
  return expected;
}

std::size_t distinct(const std::vector<float>& values) { return std::set<float>(values.begin(), values.end()).size(); }

struct Golden {
  InteractionNetwork network;
  LearnedQuantization learned;
  Graph graph;
};

Golden golden_case(const TensorFile& file, const std::string& prefix, int bits) {
  Golden golden;
  golden.network.shape = plain(8, 2);
  for (const DenseLayer& layer : layers(golden.network.shape)) {
    for (const ArrayShape& array : arrays(layer)) {
      golden.network.weights[array.name] = file.at(prefix + array.name).f32();
    }
    LearnedQuantization::Layer& one = golden.learned.layers[layer.name];
    one.weight_bits = one.bias_bits = one.output_bits = bits;
    if (layer.relu) one.threshold = file.at(prefix + layer.name + ".threshold").f32().front();
  }
  for (const std::string& mlp : mlps(golden.network.shape)) {
    golden.learned.inputs[mlp] = {bits, file.at(prefix + mlp + ".in.threshold").f32().front()};
  }
  Graph& graph = golden.graph;
  graph.num_nodes = static_cast<std::int32_t>(file.at(prefix + "x").shape[0]);
  graph.node_features = file.at(prefix + "x").f32();
  graph.edge_features = file.at(prefix + "edge_attr").f32();
  const std::vector<std::int32_t> ends = file.at(prefix + "edge_index").i32();
  graph.src.assign(ends.begin(), ends.begin() + std::ssize(ends) / 2);
  graph.dst.assign(ends.begin() + std::ssize(ends) / 2, ends.end());
  return golden;
}

TEST(QuantizedNetwork, GoldenCodesAndLogits) {
  STARLING_NEEDS_DATA("quantisation");
  const TensorFile file = read_safetensors(data_folder() / "quantisation" / "gnn.safetensors");
  for (const int bits : {4, 6, 8}) {
    SCOPED_TRACE(bits);
    const std::string prefix = "b" + std::to_string(bits) + "/";
    const Golden golden = golden_case(file, prefix, bits);
    const QuantizedNetwork network = quantize(golden.network, golden.learned);
    int scales = 0, arrays = 0;
    for (const auto& [name, layer] : network.layers) {
      const auto found = file.tensors.find(prefix + "scale/" + name + ".weight");
      if (found == file.tensors.end()) continue;  // of the node network that never runs
      EXPECT_EQ(layer.weight_scale, found->second.f32()) << name;
      ++scales;
    }
    EXPECT_EQ(scales, 20);
    std::map<std::string, std::vector<std::int32_t>> codes;
    const std::vector<float> logits = quantized_network_reference(network, golden.graph.view(), &codes);
    for (const auto& [name, values] : codes) {
      const std::string array = prefix + "codes/" + name + (name.ends_with(".in") ? "" : ".out");
      const std::vector<std::int16_t> expected = file.at(array).i16();
      EXPECT_EQ(values, std::vector<std::int32_t>(expected.begin(), expected.end())) << name;
      ++arrays;
    }
    EXPECT_EQ(arrays, 26);
    const std::vector<float> expected = file.at(prefix + "logits").f32();
    ASSERT_EQ(logits.size(), expected.size());
    for (std::size_t i = 0; i < logits.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-6) << i;
    expect_agreement(network, golden.graph);
  }
}

TEST(QuantizedNetwork, EveryLevelRunsTheFastestOfItsSets) {
  const QuantizedNetwork network = quantized(plain(12, 2), {});
  const Graph graph = random_graph({}, 40, 90, 1);
  const std::vector<float> expected = quantized_network_reference(network, graph.view());
  for (const SimdLevel level : simd_levels()) {
    const QuantizedPlan plan(network, level);
    EXPECT_TRUE(same_bytes(run(plan, graph.view()), expected)) << to_string(level);
    EXPECT_THAT(plan.kernels(), testing::StartsWith(dense::integer_sets(level).back().of8->name));
  }
}

void agrees(const std::string& name, const QuantizedNetwork& network, const Graph& graph) {
  SCOPED_TRACE(name);
  expect_agreement(network, graph);
}

// As `agrees`, where the name says the bits of codes in memory.
void agrees_in_codes_of_name(const std::string& name, const QuantizedNetwork& network, const Graph& graph) {
  const std::string kernels = QuantizedPlan(network).kernels();
  EXPECT_THAT(kernels, testing::HasSubstr(name.substr(name.find("codes of ")))) << name;
  EXPECT_THAT(kernels, testing::Not(testing::HasSubstr("64 bits"))) << name;
  agrees(name, network, graph);
}

TEST(QuantizedNetwork, EveryWidth) {
  every_width([](const std::string& name, const QuantizedNetwork& network, const Graph& graph) {
    SCOPED_TRACE(name);
    const std::vector<float> logits = expect_agreement(network, graph);
    if (network.shape.hidden > 3) {
      EXPECT_GT(distinct(logits), 3u);
    }
  });
}
TEST(QuantizedNetwork, EveryNumberOfBits) { every_number_of_bits(agrees); }
TEST(QuantizedNetwork, EveryVariant) { every_variant(agrees); }
TEST(QuantizedNetwork, EveryGraphSize) { every_graph_size(agrees); }
TEST(QuantizedNetwork, FeaturesOfMoreBitsThanStates) { features_of_more_bits_than_states(agrees_in_codes_of_name); }
// AVX2 adds products of two bytes up in 16 bits as far as they fit, and takes the rest from lists. Codes of two bytes
// are as wide as 32 bits hold their sums.
TEST(QuantizedNetwork, LargestProducts) { largest_products(agrees_in_codes_of_name); }
// Weights that are mostly zero are kept in lists where those pay; some have nothing but zeros.
TEST(QuantizedNetwork, PrunedNetworks) { pruned_networks(agrees); }
TEST(QuantizedNetwork, MasksOfBlocks) { masks_of_blocks(agrees); }
TEST(QuantizedNetwork, SumsBeyond32Bits) {
  sums_beyond_32_bits([](const std::string& name, const QuantizedNetwork& network, const Graph& graph) {
    EXPECT_THAT(QuantizedPlan(network).kernels(), testing::HasSubstr("64 bits"));
    agrees(name, network, graph);
  });
}
TEST(QuantizedNetwork, ValuesOutsideEveryRange) { values_outside_every_range(agrees); }
TEST(QuantizedNetwork, RowsWithoutVariance) { rows_without_variance(agrees); }
TEST(QuantizedNetwork, WaysInWhichEdgesMeetNodes) { ways_in_which_edges_meet_nodes(agrees); }

TEST(QuantizedNetwork, NumbersOf128BitsAreRoundedOnce) {
  for (int shift = 0; shift < 126; ++shift) {
    for (const __int128 low : {0, 1, 2, 3, 1023, 1024, 1025, 4095}) {
      const __int128 value = (__int128{1} << shift) + low * (__int128{1} << shift / 2) + (shift > 60 ? low : 0);
      EXPECT_EQ(dense::rounded(value), static_cast<double>(value)) << shift;
      EXPECT_EQ(dense::rounded(-value), static_cast<double>(-value)) << shift;
      const __int128 half = (__int128{0x3ffffffffffffd + 2 * low} << shift / 2);  // ties, and beside them
      for (const int beside : {-1, 0, 1}) EXPECT_EQ(dense::rounded(half + beside), static_cast<double>(half + beside));
    }
  }
}

TEST(QuantizedNetwork, ResultsDoNotDependOnThreadsOrMemory) {
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(16, 2);
    shape.norm = norm;
    const Graph graph = random_graph(shape, 3000, 12000, 9);
    const QuantizedPlan plan(quantized(shape, {}));
    std::vector<float> expected(graph.src.size());
    tbb::task_arena(1).execute([&] { expected = run(plan, graph.view()); });
    for (const int threads : {2, 3, 8}) {
      tbb::task_arena arena(threads);
      EXPECT_EQ(arena.execute([&] { return run(plan, graph.view()); }), expected) << threads;
      // A workspace for one thread serves as well.
      std::size_t bytes = 0;
      tbb::task_arena(1).execute([&] { bytes = plan.workspace_bytes(graph.num_nodes, graph.view().num_edges()); });
      std::vector<std::byte> workspace(bytes + 1);
      std::vector<float> logits(graph.src.size());
      arena.execute([&] { plan.run(graph.view(), logits, std::span(workspace).subspan(1)); });
      EXPECT_EQ(logits, expected) << threads;
    }
  }
}

TEST(QuantizedNetwork, ALargerGraphsWorkspaceServesASmallerOne) {
  const QuantizedPlan plan(quantized(plain(16, 3), {}));
  std::size_t before = 0;
  // On either side of two edges per node, where the work of an edge changes.
  for (const auto& [nodes, edges] : {std::pair(10, 0), {10, 20}, {10, 21}, {499, 1000}, {500, 1000}, {500, 5000}}) {
    EXPECT_GE(plan.workspace_bytes(nodes, edges), before) << nodes << ' ' << edges;
    before = plan.workspace_bytes(nodes, edges);
  }
}

TEST(QuantizedNetwork, NumbersOfNodesAndTheOrderOfEdgesDoNotMatter) {
  const Graph graph = random_graph({}, 500, 3000, 9);
  const auto [shuffled, number, order] = shuffle(graph);
  const QuantizedPlan plan(quantized(plain(16, 2), {}));
  const std::vector<float> before = run(plan, graph.view()), after = run(plan, shuffled.view());
  for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(after[i], before[order[i]]);
}

TEST(QuantizedNetwork, WrongArgumentsAreUsageErrors) {
  const QuantizedPlan plan(quantized(plain(8, 2), {}));
  Graph graph = random_graph({}, 10, 20, 1);
  std::vector<float> logits(20);
  std::vector<std::byte> workspace(plan.workspace_bytes(10, 20));
  expect_error(ErrorKind::usage, "room for 19 logits",
               [&] { plan.run(graph.view(), std::span(logits).first(19), workspace); });
  expect_error(ErrorKind::usage, "a workspace of 100 bytes",
               [&] { plan.run(graph.view(), logits, std::span(workspace).first(100)); });
  graph.dst[7] = 10;
  expect_error(ErrorKind::usage, "edge 7 ends at node 10, expected 0..9",
               [&] { plan.run(graph.view(), logits, workspace); });
  expect_error(ErrorKind::usage, "edge 7 ends at node 10",
               [&] { quantized_network_reference(quantized(plain(8, 2), {}), graph.view()); });
}

TEST(QuantizedNetwork, WhatTrainingGivesIsChecked) {
  const InteractionNetwork network = random_network(plain(4, 2), 1);
  const LearnedQuantization right = learned(network, {}, 1);
  const auto refused = [&](const std::string& what, const std::function<void(LearnedQuantization&)>& change) {
    LearnedQuantization wrong = right;
    change(wrong);
    expect_error(ErrorKind::usage, what, [&] { quantize(network, wrong); });
  };
  refused("edge_encoder.1.weight: 13 bits, expected 2..12",
          [](auto& l) { l.layers["edge_encoder.1"].weight_bits = 13; });
  refused("edge_encoder.1.output: 1 bits, expected 2..12", [](auto& l) { l.layers["edge_encoder.1"].output_bits = 1; });
  refused("edge_encoder.1.bias: 33 bits, expected 2..32", [](auto& l) { l.layers["edge_encoder.1"].bias_bits = 33; });
  refused("edge_encoder.input: 0 bits, expected 2..12", [](auto& l) { l.inputs["edge_encoder"].bits = 0; });
  refused("layer edge_encoder.1 is missing", [](auto& l) { l.layers.erase("edge_encoder.1"); });
  refused("input of edge_encoder is missing", [](auto& l) { l.inputs.erase("edge_encoder"); });
  refused("quantisation of 24 layers and 8 inputs, expected 23 and 8", [](auto& l) { l.layers["more"] = {}; });
  refused("edge_encoder.input: threshold is nan", [](auto& l) { l.inputs["edge_encoder"].threshold = std::nanf(""); });
  refused("edge_encoder.1.weight_mask has 3 values, expected 16", [](auto& l) {
    l.layers["edge_encoder.1"].kept = {1, 1, 1};
  });
}

// The smallest scale, a negative threshold, and a matrix of zeros: as training has them.
TEST(QuantizedNetwork, ThresholdsWithoutTrainingArePercentiles) {
  const InteractionNetwork network = random_network(plain(4, 2), 5);
  const LearnedQuantization blank = quantized_cases::learned(network, {}, 1);
  const Graph one = random_graph({}, 30, 60, 3), other = random_graph({}, 20, 50, 4);
  const std::vector<GraphView> first = {one.view()}, second = {other.view()}, both = {one.view(), other.view()};
  const auto calibrated = [&](const std::vector<GraphView>& graphs, const CalibrationPercentiles& percentiles) {
    LearnedQuantization all = blank;
    calibrate(network, graphs, all, percentiles);
    return all;
  };
  const LearnedQuantization most = calibrated(first, {.features = 100., .others = 100.});
  float largest = 0.f;
  for (const float feature : one.view().node_features) largest = std::max(largest, std::abs(feature));
  EXPECT_EQ(most.inputs.at("node_encoder").threshold, largest);
  // No code is cut off: a threshold is the largest value that its quantiser meets.
  LearnedQuantization fine = most;
  for (auto& [name, input] : fine.inputs) input.bits = 12;
  for (auto& [name, layer] : fine.layers) layer.weight_bits = layer.output_bits = 12, layer.bias_bits = 32;
  const std::vector<float> codes = quantized_network_reference(quantize(network, fine), one.view());
  const std::vector<double> exact = network_reference(network, one.view());
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(codes[i], exact[i], 0.02) << i;
  // The mean over graphs.
  const LearnedQuantization of_second = calibrated(second, {.features = 100., .others = 100.});
  const LearnedQuantization of_both = calibrated(both, {.features = 100., .others = 100.});
  for (const auto& [name, input] : of_both.inputs) {
    EXPECT_FLOAT_EQ(input.threshold, (most.inputs.at(name).threshold + of_second.inputs.at(name).threshold) / 2);
  }
  const LearnedQuantization half = calibrated(first, {.features = 50., .others = 100.});
  EXPECT_LT(half.inputs.at("node_encoder").threshold, largest);
  EXPECT_EQ(half.inputs.at("edge_network.0").threshold, most.inputs.at("edge_network.0").threshold);
  // What no value reaches stays: the last node network, and everything without graphs.
  EXPECT_EQ(most.inputs.at("node_network.1").threshold, blank.inputs.at("node_network.1").threshold);
  EXPECT_EQ(calibrated({}, {}).layers.at("node_encoder.0").threshold, blank.layers.at("node_encoder.0").threshold);

  expect_error(ErrorKind::usage, "percentile 101", [&] { calibrated(first, {.features = 101.}); });
  LearnedQuantization wrong = blank;
  wrong.layers.erase("edge_encoder.0");
  expect_error(ErrorKind::usage, "layer edge_encoder.0 is missing", [&] { calibrate(network, first, wrong); });
}

TEST(QuantizedNetwork, EdgesOfTheFormulas) {
  InteractionNetwork network = random_network(plain(2, 1), 1);
  network.weights["edge_decoder.0.weight"].assign(4, 0.f);
  network.weights["edge_decoder.0.bias"] = {1e30f, -1e30f};
  LearnedQuantization learned = quantized_cases::learned(network, {.bias_bits = 32}, 1);
  learned.inputs["edge_decoder"].threshold = -4.f;
  learned.layers["edge_decoder.0"].threshold = 0.f;
  const QuantizedNetwork codes = quantize(network, learned);
  const QuantizedLayer& layer = codes.layers.at("edge_decoder.0");
  EXPECT_EQ(layer.weight_scale, std::vector<float>{1e-10f / 127.f});
  EXPECT_EQ(layer.weight, std::vector<std::int16_t>(4, 0));
  EXPECT_EQ(layer.bias, (std::vector<std::int32_t>{2147483647, -2147483647 - 1}));
  EXPECT_EQ(layer.output.scale, 1e-10f / 255.f);
  EXPECT_EQ(codes.inputs.at("edge_decoder").scale, 4.f / 128.f);
  expect_agreement(codes, random_graph({}, 5, 9, 1));
}

std::vector<QuantizedNetwork> saved_variants() {
  std::vector<QuantizedNetwork> all;
  for (int variant = 0; variant < 6; ++variant) {
    InteractionNetworkShape shape = plain(5 + variant, 2);
    shape.norm = static_cast<Norm>(variant % 3);
    shape.recurrent = variant == 1;
    shape.bias = variant != 2;
    shape.concat = variant != 3;
    all.push_back(quantized(shape, {.weight_bits = variant < 4 ? 2 * (variant + 1) : 12,
                                    .activation_bits = 8,
                                    .bias_bits = variant == 5 ? 32 : 4 * (variant + 1),
                                    .per_channel = variant % 2 == 1,
                                    .mixed = variant == 4,
                                    .pruned = variant % 2 == 0 ? 0.7 : 0.}));
  }
  return all;
}

TEST(QuantizedNetwork, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  for (const QuantizedNetwork& network : saved_variants()) {
    Model model;
    model.kind = "codes";
    network.to_model(model);
    model.save(folder.path() / "m");
    const Model loaded = Model::load(folder.path() / "m");
    EXPECT_TRUE(QuantizedNetwork::is_in(loaded));
    EXPECT_TRUE(QuantizedNetwork::from_model(loaded) == network);
    // Pruned weights have no codes in the file.
    const QuantizedLayer& layer = network.layers.at("edge_network.0.0");
    if (!layer.kept.empty()) {
      EXPECT_EQ(loaded.content.at("edge_network.0.0.weight").count(),
                std::count(layer.kept.begin(), layer.kept.end(), 1));
    }
    // The bytes that a cost says are those of the arrays.
    std::int64_t bytes = 0, said = 0;
    for (const auto& [name, tensor] : loaded.content.tensors) bytes += std::ssize(tensor.bytes);
    for (const LayerCost& cost : layer_costs(network)) said += cost.bytes;
    EXPECT_EQ(said, bytes);
  }
}

TEST(QuantizedNetwork, AWrongFileIsAnInputErrorThatNamesIt) {
  Model model;
  model.kind = "codes";
  quantized(plain(5, 2), {.weight_bits = 4, .pruned = 0.5}).to_model(model);
  QuantizedNetwork other = quantized(plain(5, 2), {.per_channel = true});
  Model per_channel;
  per_channel.kind = "codes";
  other.to_model(per_channel);
  const auto refused_of = [&](const Model& from, const std::string& what,
                              const std::function<void(TensorFile&)>& change) {
    TensorFile file = from.to_file();
    file.name = "m.safetensors";
    change(file);
    const auto load = [&] { QuantizedNetwork::from_model(Model::from_file(file)); };
    expect_error(ErrorKind::input, what, load);
    expect_error(ErrorKind::input, "m.safetensors: ", load);
  };
  const auto refused = [&](const std::string& what, const std::function<void(TensorFile&)>& change) {
    refused_of(model, what, change);
  };
  const auto edited = [&](const std::string& from, const std::string& to, const std::string& what) {
    refused(what, [&](TensorFile& file) {
      std::string& text = file.metadata["quantization"];
      ASSERT_NE(text.find(from), std::string::npos) << from;
      text.replace(text.find(from), from.size(), to);
    });
  };
  edited("\"version\":1", "\"version\":2",
         "quantization: version = 2, expected 1: a later version needs a later Starling");
  edited("\"version\":1,", "", "quantization: version is missing");
  edited("\"bits\":{", "\"bites\":{", "quantization: bits is missing");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.input\":1",
         "edge_encoder.input = 1, expected a whole number in 2..12");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.input\":13", "edge_encoder.input = 13, expected");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.input\":-8", "edge_encoder.input = -8, expected");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.input\":8.5", "edge_encoder.input = 8.5, expected");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.inputs\":8", "edge_encoder.input is missing");
  edited("\"edge_encoder.input\":8", "\"edge_encoder.input\":8,\"more\":3", "quantization: bits: unknown key \"more\"");
  edited("\"edge_encoder.0.bias\":8", "\"edge_encoder.0.bias\":33",
         "edge_encoder.0.bias = 33, expected a whole number in 2..32");
  edited("\"edge_encoder.0.weight\":4", "\"edge_encoder.0.weight\":8",
         "tensor edge_encoder.0.weight has another type than its bits take: expected I8");
  refused("tensor edge_encoder.0.weight_scale is missing",
          [](TensorFile& file) { file.tensors.erase("edge_encoder.0.weight_scale"); });
  refused("tensor edge_encoder.0.weight has the shape",
          [](TensorFile& file) { file.tensors.erase("edge_encoder.0.weight_mask"); });
  refused("tensor edge_encoder.0.weight_mask has the shape [1,5], expected [5,1]", [](TensorFile& file) {
    file.tensors["edge_encoder.0.weight_mask"].shape = {1, 5};
  });
  refused("tensor edge_encoder.0.weight_mask has bits beyond its columns",
          [](TensorFile& file) { file.tensors["edge_encoder.0.weight_mask"].bytes[0] |= std::byte{0x80}; });
  refused("tensor edge_encoder.0.weight has the shape",
          [](TensorFile& file) { file.tensors["edge_encoder.0.weight_mask"].bytes[0] ^= std::byte{1}; });
  for (const float value : {0.f, -1.f, INFINITY, std::nanf("")}) {
    const auto set = [&](const char* name) {
      return [=](TensorFile& file) { file.tensors[name] = Tensor::of(std::vector<float>{value}, {1}); };
    };
    refused("edge_encoder.0.weight_scale is " + std::to_string(value), set("edge_encoder.0.weight_scale"));
    refused("edge_encoder.input_scale is " + std::to_string(value), set("edge_encoder.input_scale"));
    refused("edge_encoder.0.output_scale is " + std::to_string(value), set("edge_encoder.0.output_scale"));
  }
  refused("edge_encoder.0.weight_scale is 0.000000: times the scale of the input", [](TensorFile& file) {
    file.tensors["edge_encoder.0.weight_scale"] = Tensor::of(std::vector<float>{1e-38f}, {1});
  });
  refused_of(per_channel, "edge_encoder.0.weight, value 0 is -128, expected -127..127",
             [](TensorFile& file) { file.tensors["edge_encoder.0.weight"].bytes[0] = std::byte{0x80}; });
  refused_of(per_channel, "tensor edge_encoder.0.weight_scale has the shape [4], expected [5]", [](TensorFile& file) {
    file.tensors["edge_encoder.0.weight_scale"] = Tensor::of(std::vector<float>(4, 1.f), {4});
  });
}

TEST(QuantizedNetwork, WhatCouldNotBeLoadedIsNotSavedNorRun) {
  const QuantizedNetwork right = quantized(plain(4, 2), {.pruned = 0.5});
  const auto refused = [&](const std::string& what, const std::function<void(QuantizedNetwork&)>& change) {
    QuantizedNetwork wrong = right;
    change(wrong);
    Model model;
    expect_error(ErrorKind::usage, what, [&] { wrong.to_model(model); });
    expect_error(ErrorKind::usage, what, [&] { QuantizedPlan plan(wrong); });
  };
  refused("layer edge_output.1 is missing", [](auto& n) { n.layers.erase("edge_output.1"); });
  refused("a network of 24 layers and 8 inputs, expected 23 and 8", [](auto& n) { n.layers["more"] = {}; });
  refused("hidden = 0", [](auto& n) { n.shape.hidden = 0; });
  refused("edge_output.0.weight has 15 values, expected 16",
          [](auto& n) { n.layers["edge_output.0"].weight.pop_back(); });
  refused("edge_output.0.bias has 3 values, expected 4", [](auto& n) { n.layers["edge_output.0"].bias.pop_back(); });
  refused("edge_output.0.bias, value 1 is 128, expected -128..127",
          [](auto& n) { n.layers["edge_output.0"].bias[1] = 128; });
  refused("expected 0: it is pruned", [](auto& n) {
    auto& layer = n.layers["edge_output.0"];
    layer.kept.assign(16, 0);
    layer.weight[3] = 1;
  });
  refused("edge_output.0.weight_scale has 0 values, expected 4",
          [](auto& n) { n.layers["edge_output.0"].weight_scale.clear(); });
}

TEST(QuantizedNetwork, Costs) {
  // 48 -> 48 at 6 x 8 bits, half of the weights zero; and in float.
  InteractionNetworkShape shape = plain(48, 8);
  const InteractionNetwork network = random_network(shape, 1);
  LearnedQuantization learned = quantized_cases::learned(network, {.weight_bits = 6}, 1);
  LearnedQuantization::Layer& layer = learned.layers.at("edge_network.3.1");
  layer.kept.assign(48 * 48, 1);
  for (int i = 0; i < 48 * 24; ++i) layer.kept[i] = 0;
  const QuantizedNetwork codes = quantize(network, learned);
  std::int64_t parameters = 0;
  for (const LayerCost& cost : layer_costs(codes)) {
    parameters += cost.parameters;
    if (cost.name.starts_with("node_network.7")) {
      EXPECT_EQ(cost.bops_per_node + cost.bops_per_edge, 0.);
    } else if (cost.name == "edge_network.3.1") {
      const double kept = 48 * 48 - static_cast<double>(std::count(codes.layers.at(cost.name).weight.begin(),
                                                                   codes.layers.at(cost.name).weight.end(), 0));
      EXPECT_NEAR(kept, 48 * 24, 60);
      EXPECT_DOUBLE_EQ(cost.bops_per_edge, kept * 48 + 48 * 48 * (8 + 6 + std::log2(48.)));
      EXPECT_EQ(cost.bops_per_node, 0.);
      EXPECT_EQ(cost.bytes, 48 * 24 + 48 * 6 + 48 + 4 + 4);  // codes, mask, biases, scales
    }
  }
  EXPECT_EQ(parameters, parameter_count(shape));
  for (const LayerCost& cost : layer_costs(network)) {
    if (cost.name == "edge_network.0.0") {
      EXPECT_DOUBLE_EQ(cost.bops_per_edge, 48 * 96 * (1024 + 64 + std::log2(96.)));
      EXPECT_DOUBLE_EQ(cost.bops_per_node, 2 * 48 * 96 * (1024 + 64 + std::log2(96.)));
      EXPECT_EQ(cost.macs_per_edge, 48 * 96);
    }
    EXPECT_EQ(cost.bytes, 4 * cost.parameters);
  }
}

}  // namespace
