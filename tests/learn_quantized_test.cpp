// The network with fake quantisation: Brevitas' numbers, and the integers that it becomes.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "data.h"
#include "expect_error.h"
#include "interaction_network_cases.h"
#include "learn/nn/operators.h"
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

using torch::DeviceType;

/// Skips a test of the GPU where there is none.
#define STARLING_NEEDS(device) \
  if ((device) == DeviceType::CUDA && !torch::cuda::is_available()) GTEST_SKIP() << "needs a CUDA device"

class Golden : public testing::TestWithParam<std::tuple<int, DeviceType>> {};

TEST_P(Golden, NetworkHasBrevitasCodesAndGradients) {
  STARLING_NEEDS_DATA("quantisation/gnn.safetensors");
  const auto [all_bits, device] = GetParam();
  STARLING_NEEDS(device);
  const TensorFile file = read_safetensors(data_folder() / "quantisation/gnn.safetensors");
  const std::string prefix = 'b' + std::to_string(all_bits) + '/';
  const auto golden = [&](const std::string& name) { return tensor(file.at(prefix + name)); };

  InteractionNetworkShape shape;
  shape.hidden = 8;
  shape.steps = 2;
  QuantizationSettings settings = bits(all_bits);
  settings.biases = all_bits;
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

  network->to(device);

  const torch::Tensor ends = golden("edge_index").to(device);
  GraphTensors graph{golden("x").to(device).requires_grad_(), golden("edge_attr").to(device).requires_grad_(),
                     ends[0].contiguous(), ends[1].contiguous()};
  std::map<std::string, torch::Tensor> codes;
  const torch::Tensor logits = network->forward(graph, &codes);
  EXPECT_LE(largest(logits.cpu() - golden("logits")), 1e-6);
  int compared = 0;
  for (const auto& [name, of_site] : codes) {
    const std::string there = "codes/" + name + (name.ends_with(".in") ? "" : ".out");
    EXPECT_TRUE(of_site.cpu().equal(golden(there))) << name;
    ++compared;
  }
  EXPECT_EQ(compared, 26);

  (logits * golden("g").to(device)).sum().backward();
  const auto gradients = network->weights()->split(network->weights()->flat().grad().cpu());
  for (const DenseLayer& layer : layers(shape)) {
    const torch::Tensor expected = golden("grad/" + layer.name + ".weight");
    EXPECT_LE(largest(gradients.at(layer.name + ".weight") - expected), 1e-5 * std::max(largest(expected), 1e-6))
        << layer.name;
    const torch::Tensor bias = golden("grad/" + layer.name + ".bias");
    EXPECT_LE(largest(gradients.at(layer.name + ".bias") - bias), 1e-4 * std::max(largest(bias), 1e-3)) << layer.name;
  }
  for (const auto& [name, given] : {std::pair{"x", graph.nodes}, std::pair{"edge_attr", graph.edges}}) {
    const torch::Tensor expected = golden(std::string("grad/") + name);
    EXPECT_LE(largest(given.grad().cpu() - expected), 1e-5 * largest(expected)) << name;
  }
}
INSTANTIATE_TEST_SUITE_P(Bits, Golden,
                         testing::Combine(testing::Values(4, 6, 8),
                                          testing::Values(DeviceType::CPU, DeviceType::CUDA)));

// The operators of quantised layers, on a GPU kernels of their own, beside the same written with plain operators on the
// CPU. What a normalisation gives differs in its last bits, so that few codes may differ by one.
class Operators : public testing::TestWithParam<DeviceType> {
 protected:
  void SetUp() override {
    STARLING_NEEDS(GetParam());
    torch::manual_seed(1);
  }

  /// Results and gradients of one way to compute: `call` gets tensors that need gradients, and gives values and a
  /// scale.
  using Call = std::function<std::pair<torch::Tensor, torch::Tensor>(const std::vector<torch::Tensor>&)>;
  static std::vector<torch::Tensor> run(const std::vector<torch::Tensor>& inputs, DeviceType device, const Call& call) {
    std::vector<torch::Tensor> leaves;
    for (const torch::Tensor& input : inputs) leaves.push_back(input.detach().to(device).clone().requires_grad_());
    const auto [values, scale] = call(leaves);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(7);
    const torch::Tensor g = torch::randn(values.sizes(), generator).to(device);
    torch::Tensor loss = (values * g).sum();
    if (scale.defined()) loss = loss + 0.5 * scale.sum();
    loss.backward();
    std::vector<torch::Tensor> results{values.detach().cpu()};
    if (scale.defined()) results.push_back(scale.detach().cpu());
    for (const torch::Tensor& leaf : leaves)
      results.push_back(leaf.grad().defined() ? leaf.grad().cpu() : torch::zeros(leaf.sizes()));
    return results;
  }

  /// `outliers`: the fraction of numbers that may differ by more.
  static void expect_same(const std::vector<torch::Tensor>& ours, const std::vector<torch::Tensor>& plain,
                          double tolerance, double outliers, const std::string& name) {
    ASSERT_EQ(ours.size(), plain.size());
    for (std::size_t i = 0; i < ours.size(); ++i) {
      ASSERT_EQ(ours[i].sizes(), plain[i].sizes()) << name << ", result " << i;
      const torch::Tensor finite = plain[i].nan_to_num(0, 0, 0).abs();
      const double size = finite.numel() > 0 ? finite.max().item<double>() : 0.;
      const torch::Tensor same = torch::isclose(ours[i], plain[i], 0, tolerance * size, /*equal_nan=*/true);
      const auto wrong = same.numel() - same.sum().item<std::int64_t>();
      EXPECT_LE(static_cast<double>(wrong), outliers * static_cast<double>(same.numel()))
          << name << ", result " << i << ": " << wrong << " of " << same.numel() << ", largest difference "
          << (ours[i] - plain[i]).nan_to_num().abs().max().item<double>() << " of " << size;
    }
  }
  void compare(const std::vector<torch::Tensor>& inputs, const Call& ours, const Call& plain, double tolerance,
               double outliers, const std::string& name) const {
    const auto first = run(inputs, GetParam(), ours), second = run(inputs, GetParam(), ours);
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(torch::isclose(first[i], second[i], 0, 0, /*equal_nan=*/true).all().item<bool>())
          << name << ", result " << i << ": other bytes";
    }
    expect_same(first, run(inputs, DeviceType::CPU, plain), tolerance, outliers, name);
  }

  /// Edges among `nodes` nodes: node 1 has none, node 0 most of those that go out.
  static learn::Ends ends(std::int64_t nodes, std::int64_t edges, DeviceType device) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
    const auto random = [&] { return torch::randint(2, nodes, {edges}, generator, torch::kInt); };
    learn::Ends result{random(), random(), {}};
    result.first.slice(0, 0, edges / 2).fill_(0);
    for (torch::Tensor* end : {&result.first, &result.second}) {
      *end = end->to(device);
      auto [begin, edge] = edges_of_nodes(*end, nodes);
      result.lists.insert(result.lists.end(), {begin, edge});
    }
    return result;
  }
};

TEST_P(Operators, RowsOfALayer) {
  struct {
    std::int64_t rows, width;
    bool norm;
    int scales;  // of the bias: 0 none, 1 one, 2 one per output
    bool nodes;
    int bits, bias_bits;
    bool bad = false, powers_of_two = false;
  } const table[] = {
      {700, 48, true, 1, true, 8, 32},
      {701, 48, true, 2, true, 6, 8},
      {33, 16, true, 1, false, 2, 4},
      {300, 96, true, 1, true, 12, 16},
      {90, 128, true, 2, true, 8, 32},
      {50, 129, true, 1, true, 8, 32},
      {40, 1, true, 1, true, 8, 8},
      {1, 48, true, 1, false, 8, 32},
      {9000, 33, true, 0, true, 4, 8},
      {500, 48, false, 1, true, 8, 2},
      {500, 31, false, 2, false, 12, 12},
      {500, 48, false, 0, false, 2, 8},
      {300, 48, true, 1, true, 8, 8, false, true},
      {64, 48, false, 1, false, 8, 32, true},
      {0, 48, true, 1, true, 8, 32},
  };
  for (const auto& one : table) {
    const std::int64_t nodes = 20;
    std::vector<torch::Tensor> inputs{torch::randn({one.rows, one.width}) * 3,
                                      torch::tensor(1.7f),
                                      torch::randn({nodes, 2 * one.width}),
                                      torch::randn({one.width}),
                                      one.scales == 2 ? torch::rand({one.width}) * 0.1f : torch::tensor(0.05f),
                                      torch::tensor(0.03f)};
    if (one.bad) {
      inputs[0][3][4] = std::numeric_limits<float>::quiet_NaN();
      inputs[0][5] = std::numeric_limits<float>::infinity();
      inputs[0][6] = -std::numeric_limits<float>::infinity();
    }
    const auto rows_of = [&](const std::vector<torch::Tensor>& of) {
      LayerRows rows;
      rows.sums = of[0];
      if (one.scales > 0) {
        rows.bias = of[3];
        rows.weight_scale = of[4];
        rows.input_scale = of[5];
        rows.bias_bits = one.bias_bits;
      }
      if (one.nodes) {
        rows.nodes = of[2];
        rows.ends = ends(nodes, one.rows, of[0].device().type());
      }
      rows.norm = one.norm;
      return rows;
    };
    const auto plain = [&](const std::vector<torch::Tensor>& of) {
      torch::Tensor z = of[0];
      if (one.scales > 0) z = z + quantize_bias(of[3], of[4] * of[5], one.bias_bits);
      if (one.nodes) {
        const learn::Ends at = ends(nodes, one.rows, DeviceType::CPU);
        z = z + of[2].slice(1, 0, one.width).index_select(0, at.first) +
            of[2].slice(1, one.width).index_select(0, at.second);
      }
      if (one.norm) z = torch::layer_norm(z, {one.width}, {}, {}, kLayerNormEpsilon);
      return quantize_activation(z, of[1], one.bits, false, one.powers_of_two);
    };
    std::string name;
    for (const std::int64_t number : {one.rows, one.width, std::int64_t{one.bits}})
      name += std::to_string(number) + ' ';
    compare(
        inputs, [&](const auto& of) { return quantize_rows(rows_of(of), of[1], one.bits, one.powers_of_two); }, plain,
        2e-3, one.rows == 0 ? 0 : 0.01, name);
  }
}

TEST_P(Operators, PartsSideBySide) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  for (const std::vector<std::int64_t>& widths :
       std::vector<std::vector<std::int64_t>>{{48}, {48, 48}, {96, 48, 48}, {1, 16}, {3}, {96, 128}}) {
    for (const std::int64_t rows : {0, 1, 37, 3000}) {
      for (const int bits : {2, 8, 12}) {
        std::vector<torch::Tensor> inputs{torch::tensor(2.3f)};
        for (const std::int64_t width : widths) inputs.push_back(torch::randn({rows, width}));
        if (rows == 37) inputs[1].slice(0, 0, 3).copy_(torch::tensor({nan, infinity, -infinity}).view({3, 1}));
        const auto parts = [](const auto& of) { return std::vector<torch::Tensor>(of.begin() + 1, of.end()); };
        compare(
            inputs, [&](const auto& of) { return quantize_parts(parts(of), of[0], bits, bits == 2); },
            [&](const auto& of) { return quantize_activation(torch::cat(parts(of), 1), of[0], bits, true, bits == 2); },
            1e-6, 0, std::to_string(rows) + " rows, " + std::to_string(bits) + " bits");
      }
    }
  }
}

TEST_P(Operators, WeightsOfANetwork) {
  const std::vector<std::int64_t> sizes{288 * 48, 48, 16, 5, 12, 1, 36, 0}, outputs{48, 0, 1, 0, 12, 1, 6, 0},
      bits{8, 0, 12, 0, 2, 4, 6, 0};
  std::int64_t count = 0;
  for (const std::int64_t size : sizes) count += size;
  torch::Tensor parameters = torch::randn({count});
  parameters.slice(0, count - 36).fill_(0.f);                     // a weight of zeros
  parameters[1] = -parameters.slice(0, 0, sizes[0]).abs().max();  // two share the largest size
  parameters[2] = parameters.slice(0, 0, sizes[0]).abs().max();
  for (const int way : {0, 1, 2, 3}) {
    const bool per_channel = way % 2 == 1, powers_of_two = way > 1;
    const auto plain = [&](const std::vector<torch::Tensor>& of) {
      std::vector<torch::Tensor> values = of[0].split_with_sizes(sizes), scales;
      static const auto op =
          c10::Dispatcher::singleton()
              .findSchemaOrThrow("starling::quantize_weight", "")
              .typed<std::tuple<torch::Tensor, torch::Tensor>(const torch::Tensor&, std::int64_t, bool, bool)>();
      for (std::size_t i = 0; i < sizes.size(); ++i) {
        if (outputs[i] == 0) continue;
        const auto [rounded, scale] = op.call(values[i].view({outputs[i], -1}), bits[i], per_channel, powers_of_two);
        values[i] = rounded.flatten();
        scales.push_back(scale.flatten());
      }
      return std::pair{torch::cat(values), torch::cat(scales)};
    };
    compare(
        {parameters},
        [&](const auto& of) { return quantize_weights(of[0], sizes, outputs, bits, per_channel, powers_of_two); },
        plain, 1e-6, 0, per_channel ? "per channel" : "per weight");
  }
}

TEST_P(Operators, EndsOfEdges) {
  for (const std::int64_t width : {1, 16, 48, 65, 128, 200}) {
    const learn::Ends here = ends(50, 2000, GetParam()), there = ends(50, 2000, DeviceType::CPU);
    const std::string name = "width " + std::to_string(width);
    compare(
        {torch::randn({50, 2 * width})},
        [&](const auto& of) {
          return std::pair{gather_ends(of[0], here), torch::Tensor()};
        },
        [&](const auto& of) {
          const torch::Tensor first = of[0].slice(1, 0, width).index_select(0, there.first);
          return std::pair{first + of[0].slice(1, width).index_select(0, there.second), torch::Tensor()};
        },
        1e-5, 0, "gather, " + name);
    compare(
        {torch::randn({2000, width})},
        [&](const auto& of) {
          return std::pair{sum_ends(of[0], here), torch::Tensor()};
        },
        [&](const auto& of) {
          const torch::Tensor zero = torch::zeros({50, width});
          const torch::Tensor first = zero.index_add(0, there.first, of[0]);
          return std::pair{torch::cat({first, zero.index_add(0, there.second, of[0])}, 1), torch::Tensor()};
        },
        1e-5, 0, "sum, " + name);
  }
}
INSTANTIATE_TEST_SUITE_P(Devices, Operators, testing::Values(DeviceType::CPU, DeviceType::CUDA),
                         [](const auto& tested) {
                           return std::string(tested.param == DeviceType::CPU ? "cpu" : "cuda");
                         });

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

// In the steps that collect thresholds and in those that learn them.
TEST(QuantizedInteractionNetwork, TrainsOnAGpuWithTheSameBytes) {
  STARLING_NEEDS(DeviceType::CUDA);
  for (const Case& one : cases()) {
    const GraphTensors host = tensors_of(random_graph(one.shape, 60, 300, 5), one.shape);
    const auto trained = [&](DeviceType device) {
      const GraphTensors graph{host.nodes.to(device), host.edges.to(device), host.src.to(device), host.dst.to(device)};
      QuantizedInteractionNetwork network(one.shape, one.settings, 3);
      network->to(device);
      std::vector<torch::Tensor> results;
      for (int step = 0; step < 4; ++step) {
        network->start_step();
        results.push_back(network->forward(graph).detach());
        network->forward(graph).square().sum().backward();
        results.push_back(network->weights()->flat().grad().clone());
      }
      return results;
    };
    const auto first = trained(DeviceType::CUDA), second = trained(DeviceType::CUDA), plain = trained(DeviceType::CPU);
    for (std::size_t i = 0; i < first.size(); ++i) {
      EXPECT_TRUE(first[i].equal(second[i])) << one.name << ", result " << i;
      // An untrained network passes a code that differs on to all behind.
      const double apart = (first[i].cpu() - plain[i]).norm().item<double>() / plain[i].norm().item<double>();
      std::printf("%s, result %zu: apart by %.2g\n", one.name.c_str(), i, apart);
      EXPECT_LE(apart, 0.2) << one.name << ", result " << i;
    }
  }
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
