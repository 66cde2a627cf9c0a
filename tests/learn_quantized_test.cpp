// The network with fake quantisation: Brevitas' numbers, and the integers that it becomes.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "data.h"
#include "expect_error.h"
#include "interaction_network_cases.h"
#include "learn/nn/quantized_interaction_network.h"
#include "starling/error.h"
#include "starling/safetensors.h"

namespace {

using namespace starling;
using namespace starling::learn;

torch::Tensor tensor(const starling::Tensor& stored) {
  const at::IntArrayRef shape(stored.shape);
  if (stored.type == starling::Tensor::Type::i32) return torch::tensor(stored.i32(), torch::kInt).view(shape);
  if (stored.type == starling::Tensor::Type::i16) {
    const std::vector<std::int16_t> codes = stored.i16();
    return torch::tensor(std::vector<std::int32_t>(codes.begin(), codes.end()), torch::kInt).view(shape);
  }
  return torch::tensor(stored.f32()).view(shape);
}

GraphTensors tensors_of(const Graph& graph, const InteractionNetworkShape& shape) {
  return {torch::tensor(graph.node_features).view({-1, shape.node_inputs}),
          torch::tensor(graph.edge_features).view({-1, shape.edge_inputs}), torch::tensor(graph.src, torch::kInt),
          torch::tensor(graph.dst, torch::kInt)};
}

double largest(const torch::Tensor& values) { return values.abs().max().item<double>(); }

QuantizationSettings bits(int all) {
  QuantizationSettings settings;
  settings.weights = settings.activations = settings.inputs = settings.features = all;
  settings.biases = std::max(all, 8);
  settings.collect_steps = 2;
  return settings;
}

class Golden : public testing::TestWithParam<int> {};

TEST_P(Golden, NetworkHasBrevitasCodesAndGradients) {
  STARLING_NEEDS_DATA("quantisation/gnn.safetensors");
  const TensorFile file = read_safetensors(data_folder() / "quantisation/gnn.safetensors");
  const std::string prefix = 'b' + std::to_string(GetParam()) + '/';
  const auto golden = [&](const std::string& name) { return tensor(file.at(prefix + name)); };

  InteractionNetworkShape shape;
  shape.hidden = 8;
  shape.steps = 2;
  QuantizationSettings settings = bits(GetParam());
  settings.biases = GetParam();
  starling::InteractionNetwork values{shape, {}};
  LearnedQuantization learned;
  for (const DenseLayer& layer : layers(shape)) {
    for (const ArrayShape& array : arrays(layer)) values.weights[array.name] = file.at(prefix + array.name).f32();
    learned.layers[layer.name].threshold = layer.relu ? golden(layer.name + ".threshold").item<float>() : 1.f;
  }
  for (const std::string& mlp : mlps(shape)) {
    learned.inputs[mlp].threshold = golden(mlp + ".in.threshold").item<float>();
  }
  QuantizedInteractionNetwork network(shape, settings);
  network->begin_with(values, &learned);

  const torch::Tensor ends = golden("edge_index");
  GraphTensors graph{golden("x").requires_grad_(), golden("edge_attr").requires_grad_(), ends[0].contiguous(),
                     ends[1].contiguous()};
  std::map<std::string, torch::Tensor> codes;
  const torch::Tensor logits = network->forward(graph, &codes);
  EXPECT_LE(largest(logits - golden("logits")), 1e-6);
  int compared = 0;
  for (const auto& [name, of_site] : codes) {
    const std::string there = "codes/" + name + (name.ends_with(".in") ? "" : ".out");
    EXPECT_TRUE(of_site.equal(golden(there))) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 26);

  (logits * golden("g")).sum().backward();
  const auto gradients = network->weights()->split(network->weights()->flat().grad());
  for (const DenseLayer& layer : layers(shape)) {
    const torch::Tensor expected = golden("grad/" + layer.name + ".weight");
    EXPECT_LE(largest(gradients.at(layer.name + ".weight") - expected), 1e-5 * std::max(largest(expected), 1e-6))
        << layer.name;
    const torch::Tensor bias = golden("grad/" + layer.name + ".bias");
    EXPECT_LE(largest(gradients.at(layer.name + ".bias") - bias), 1e-4 * std::max(largest(bias), 1e-3)) << layer.name;
  }
  for (const auto& [name, given] : {std::pair{"x", graph.nodes}, std::pair{"edge_attr", graph.edges}}) {
    const torch::Tensor expected = golden(std::string("grad/") + name);
    EXPECT_LE(largest(given.grad() - expected), 1e-5 * largest(expected)) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Bits, Golden, testing::Values(4, 6, 8));

struct Case {
  std::string name;
  InteractionNetworkShape shape;
  QuantizationSettings settings = bits(6);
  double pruned = 0;
};

std::vector<Case> cases() {
  InteractionNetworkShape small;
  small.hidden = 12;
  small.steps = 3;
  std::vector<Case> all;
  const auto add = [&](const std::string& name) -> Case& {
    all.push_back({name, small});
    return all.back();
  };
  for (const int b : {2, 4, 8, 12}) add("bits_" + std::to_string(b)).settings = bits(b);
  add("batch_norm").shape.norm = Norm::batch;
  add("no_norm").shape.norm = Norm::none;
  add("recurrent").shape.recurrent = true;
  add("no_bias").shape.bias = false;
  add("no_concat").shape.concat = false;
  add("one_step").shape.steps = 1;
  add("per_channel").settings.per_channel = true;
  add("powers_of_two").settings.powers_of_two = true;
  add("powers_of_two_per_channel").settings.powers_of_two = true;
  all.back().settings.per_channel = true;
  all.back().pruned = 0.7;
  add("fine_features").settings.features = 12;
  add("wide_biases").settings.biases = 32;
  add("mixed").settings.layers = {{"edge_network", 4, {}, {}, 8}, {"edge_network.1.1", 3, 16, 5, {}}};
  add("pruned").pruned = 0.7;
  add("pruned_per_channel").settings.per_channel = true;
  all.back().pruned = 0.9;
  return all;
}

bool are_powers_of_two(const std::vector<float>& scales) {
  return std::all_of(scales.begin(), scales.end(),
                     [](float scale) { return scale == std::exp2(std::rint(std::log2(scale))); });
}

std::vector<float> all_scales(const QuantizedNetwork& network) {
  std::vector<float> scales;
  for (const auto& [name, input] : network.inputs) scales.push_back(input.scale);
  for (const auto& [name, layer] : network.layers) {
    scales.push_back(layer.output.scale);
    scales.insert(scales.end(), layer.weight_scale.begin(), layer.weight_scale.end());
  }
  return scales;
}

std::vector<std::string> sites_in_order(const InteractionNetworkShape& shape) {
  std::vector<std::string> networks = {"node_encoder", "edge_encoder"};
  for (int step = 0; step < (shape.recurrent ? 1 : shape.steps); ++step) {
    networks.push_back("edge_network." + std::to_string(step));
    if (shape.recurrent || step + 1 < shape.steps) networks.push_back("node_network." + std::to_string(step));
  }
  networks.insert(networks.end(), {"edge_decoder", "edge_output"});
  std::vector<std::string> sites;
  for (const std::string& mlp : networks) {
    sites.push_back(mlp + ".in");
    for (int layer = 0; layer < (mlp == "edge_output" ? 1 : 3); ++layer) {
      sites.push_back(mlp + '.' + std::to_string(layer));
    }
  }
  return sites;
}

class Variant : public testing::TestWithParam<Case> {};

// A network as training leaves it, and the integers that it becomes: codes differ where rounding of float sums decides.
TEST_P(Variant, BecomesIntegersOfTheSameCodes) {
  const Case& one = GetParam();
  const Graph graph = random_graph(one.shape, 60, 300, 5);
  const GraphTensors tensors = tensors_of(graph, one.shape);
  QuantizedInteractionNetwork network(one.shape, one.settings, 3);
  if (one.pruned > 0) {
    network->weights()->register_masks();
    torch::manual_seed(1);
    for (const DenseLayer& layer : layers(one.shape)) {
      torch::Tensor mask = network->weights()->split(network->weights()->mask()).at(layer.name + ".weight");
      mask.copy_(torch::rand_like(mask) >= one.pruned);
    }
  }
  for (int step = 0; step < 4; ++step) {
    network->start_step();
    network->forward(tensors).sum().backward();
  }
  network->eval();
  const torch::NoGradGuard guard;
  std::map<std::string, torch::Tensor> codes;
  const torch::Tensor logits = network->forward(tensors, &codes);
  const QuantizedNetwork integers = network->quantized();
  std::map<std::string, std::vector<std::int32_t>> expected;
  const std::vector<float> reference = quantized_network_reference(integers, graph.view(), &expected);

  // In the order in which they are computed: where the codes of a site differ first, rounding alone makes them, one
  // step at most; an untrained network passes them on to all behind.
  std::int64_t unequal = 0, all = 0;
  EXPECT_EQ(codes.size(), expected.size());
  for (const std::string& name : sites_in_order(one.shape)) {
    ASSERT_TRUE(codes.contains(name) && expected.contains(name)) << name;
    const torch::Tensor other = torch::tensor(expected.at(name), torch::kInt).view(codes.at(name).sizes());
    const std::int64_t here = codes.at(name).ne(other).sum().item<std::int64_t>();
    if (unequal == 0 && here > 0) {
      EXPECT_LE(here, std::max<std::int64_t>(2, other.numel() / 1000)) << name;
      EXPECT_EQ(largest((codes.at(name) - other).to(torch::kFloat)), 1) << name;
    }
    unequal += here;
    all += other.numel();
  }
  const QuantizedLayer& last = integers.layers.at("edge_output.1");
  const double step =
      last.weight_scale[0] * integers.layers.at("edge_output.0").output.scale * ((1 << (last.weight_bits - 1)) - 1);
  const torch::Tensor apart = (logits - torch::tensor(reference)).abs() / step;
  std::printf("%s: %ld of %ld codes unequal, logits apart by %.2g steps at most\n", one.name.c_str(),
              static_cast<long>(unequal), static_cast<long>(all), apart.max().item<double>());
  if (unequal == 0) {
    EXPECT_LE(apart.max().item<double>(), 1e-3);
  }
  EXPECT_EQ(integers.layers.at("edge_network.0.0").kept.empty(), one.pruned == 0);
  EXPECT_EQ(are_powers_of_two(all_scales(integers)), one.settings.powers_of_two);
}
INSTANTIATE_TEST_SUITE_P(Networks, Variant, testing::ValuesIn(cases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(QuantizedInteractionNetwork, CollectsThresholdsThenLearnsThem) {
  InteractionNetworkShape shape;
  shape.hidden = 4;
  shape.steps = 1;
  QuantizationSettings settings = bits(8);
  settings.feature_percentile = 50;
  QuantizedInteractionNetwork network(shape, settings);
  GraphTensors graph{torch::ones({3, kNodeFeatures}), torch::ones({2, kEdgeFeatures}),
                     torch::tensor({0, 1}, torch::kInt), torch::tensor({1, 2}, torch::kInt)};
  const auto threshold = [&] {
    network->eval();
    const float scale = network->quantized().inputs.at("node_encoder").scale;
    network->train();
    return scale * 128;
  };
  EXPECT_EQ(threshold(), 1.f);
  const auto train_on = [&](float value) {
    graph.nodes.fill_(value);
    graph.nodes[0].fill_(1000.f);  // a third of the features, above the percentile
    network->start_step();
    network->forward(graph);
  };
  train_on(2.f);
  EXPECT_EQ(threshold(), 2.f);
  train_on(4.f);
  EXPECT_FLOAT_EQ(threshold(), 2 * 0.9f + 4 * 0.1f);
  {
    network->eval();
    graph.nodes.fill_(100.f);
    network->forward(graph);
    network->train();
  }
  EXPECT_FLOAT_EQ(threshold(), 2.2f);
  train_on(8.f);
  EXPECT_FLOAT_EQ(threshold(), 2.2f);
  torch::NoGradGuard guard;
  network->weights()->split(network->weights()->flat()).at("thresholds").fill_(5.f);
  EXPECT_EQ(threshold(), 5.f);
}

TEST(QuantizedInteractionNetwork, IsTheSameAfterItWasInCodes) {
  InteractionNetworkShape shape;
  shape.hidden = 8;
  shape.steps = 2;
  const Graph graph = random_graph(shape, 20, 60, 5);
  for (const bool powers_of_two : {false, true}) {
    QuantizationSettings settings = bits(6);
    settings.powers_of_two = powers_of_two;
    QuantizedInteractionNetwork network(shape, settings, 3);
    network->start_step();
    network->forward(tensors_of(graph, shape));
    const QuantizedNetwork integers = network->quantized();
    const DequantizedNetwork values = dequantized(integers);
    EXPECT_EQ(values.learned.powers_of_two, powers_of_two);
    QuantizedInteractionNetwork again(shape, settings, 9);
    again->begin_with(values.network, &values.learned);
    const QuantizedNetwork second = again->quantized();
    for (const auto& [name, layer] : integers.layers) {
      EXPECT_EQ(second.layers.at(name).weight, layer.weight) << name;
      EXPECT_EQ(second.layers.at(name).bias, layer.bias) << name;
      EXPECT_FLOAT_EQ(second.layers.at(name).weight_scale[0], layer.weight_scale[0]) << name;
      EXPECT_FLOAT_EQ(second.layers.at(name).output.scale, layer.output.scale) << name;
    }
    EXPECT_TRUE(!powers_of_two || second == integers);
  }
}

TEST(Quantization, RefusesWhatTheNetworkDoesNotHave) {
  const InteractionNetworkShape shape;
  const auto with = [](QuantizationSettings::Layer layer) {
    QuantizationSettings settings;
    settings.layers = {std::move(layer)};
    return settings;
  };
  expect_error(ErrorKind::usage, "13 bits", [&] { sites(with({"edge_decoder", 13, {}, {}, {}}), shape); });
  expect_error(ErrorKind::usage, "1 bits", [&] { sites(with({"edge_decoder.0", {}, 1, {}, {}}), shape); });
  expect_error(ErrorKind::usage, "\"edge_network.8\"", [&] { sites(with({"edge_network.8", 4, {}, {}, {}}), shape); });
  expect_error(ErrorKind::usage, "has inputs", [&] { sites(with({"edge_decoder.1", {}, {}, {}, 4}), shape); });
  expect_error(ErrorKind::usage, "has activations", [&] { sites(with({"edge_output.1", {}, {}, 4, {}}), shape); });
  QuantizationSettings twice;
  twice.layers = {{"edge_decoder", 4, {}, {}, {}}, {"edge_decoder", 5, {}, {}, {}}};
  expect_error(ErrorKind::usage, "twice", [&] { sites(twice, shape); });
  EXPECT_EQ(sites(with({"edge_network", 4, {}, {}, {}}), shape).layers.at("edge_network.7.2").weight_bits, 4);
}

}  // namespace
