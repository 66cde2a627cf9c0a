// The networks and tasks of learn/.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "data.h"
#include "expect_error.h"
#include "learn/nn/fused_network.h"
#include "learn/nn/interaction_network.h"
#include "learn/tasks/tracking/events.h"
#include "learn/tasks/tracking/labelled_graph.h"
#include "learn/train/adamw.h"
#include "starling/error.h"
#include "starling/safetensors.h"

namespace {

using namespace starling;
using namespace starling::learn;
using namespace starling::learn::tracking;

InteractionNetworkShape architecture(int hidden, int steps) {
  InteractionNetworkShape result;
  result.hidden = hidden;
  result.steps = steps;
  return result;
}

// The variants of the golden file.
InteractionNetworkShape variant(const std::string& name) {
  InteractionNetworkShape result =
      architecture(name == "wide" ? 24 : 8, name == "wide" || name == "no_bias" || name == "no_norm" ? 2 : 3);
  if (name == "batch") result.norm = Norm::batch;
  if (name == "no_norm") result.norm = Norm::none;
  result.recurrent = name == "recurrent";
  result.bias = name != "no_bias";
  result.concat = name != "no_concat";
  return result;
}

torch::Tensor tensor(const starling::Tensor& stored) {
  const at::IntArrayRef shape(stored.shape);
  if (stored.type == starling::Tensor::Type::f64) return torch::tensor(stored.f64(), torch::kDouble).view(shape);
  if (stored.type == starling::Tensor::Type::i32) return torch::tensor(stored.i32(), torch::kInt).view(shape);
  return torch::tensor(stored.f32()).view(shape);
}

double largest(const torch::Tensor& values) { return values.abs().max().item<double>(); }

// A graph with a self edge, a repeated edge and isolated nodes.
GraphTensors random_graph(std::int64_t nodes, std::int64_t edges) {
  torch::manual_seed(3);
  GraphTensors graph{torch::randn({nodes, kNodeFeatures}), torch::randn({edges, kEdgeFeatures}),
                     torch::randint(nodes - 2, {edges}, torch::kInt), torch::randint(nodes - 2, {edges}, torch::kInt)};
  graph.dst[0] = graph.src[0];
  graph.src[1] = graph.src[2];
  graph.dst[1] = graph.dst[2];
  return graph;
}

/// |a − b| / |b| as vectors.
double distance(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a - b).norm() / b.norm().clamp_min(1e-30)).item<double>();
}

class GoldenNetwork : public testing::TestWithParam<std::string> {};

/// The network's logits, or those of its operators.
torch::Tensor logits_of(learn::InteractionNetwork& network, const GraphTensors& graph, torch::ScalarType type,
                        bool by_operators) {
  if (!by_operators) return network->forward(graph, type);
  const auto layers = starling::layers(network->shape());
  return fused_logits(network->shape(), layers, *network->weights(), graph, type);
}

void expect_golden(const std::string& name_of_variant, torch::Device device, bool by_operators) {
  const TensorFile file = read_safetensors(data_folder() / "interaction_network/interaction_network.safetensors");
  const auto golden = [&](const std::string& name) { return tensor(file.at(name_of_variant + "/" + name)).to(device); };
  learn::InteractionNetwork network(variant(name_of_variant));
  std::map<std::string, std::vector<float>> weights;
  for (const auto& [name, unused] : network->weights()->values())
    weights[name] = file.at(name_of_variant + "/" + name).f32();
  network->weights()->set_values(weights);
  EXPECT_EQ(network->weights()->values(), weights);
  network->to(device);

  const torch::Tensor ends = golden("edge_index");
  const torch::Tensor logits =
      logits_of(network, {golden("x"), golden("edge_attr"), ends[0], ends[1]}, torch::kFloat, by_operators);
  EXPECT_LT(largest(logits - golden("logits")), 1e-4 * std::max(1.0, largest(golden("logits"))));
  const torch::Tensor loss = edge_loss(logits, golden("y"), golden("weight"));
  EXPECT_NEAR(loss.item<double>(), golden("loss").item<double>(), 1e-5);

  loss.backward();
  for (const auto& [name, gradient] : network->weights()->split(network->weights()->flat().grad())) {
    const torch::Tensor expected = golden("grad/" + name);
    // Batch normalisation takes away the bias before it: the gradient is zero but for rounding.
    const bool none = largest(expected) < 1e-15;
    EXPECT_LE(largest(gradient - expected), none ? 1e-6 : 1e-4 * largest(expected)) << name;
  }
}

TEST_P(GoldenNetwork, LogitsLossAndGradients) {
  STARLING_NEEDS_DATA("interaction_network");
  expect_golden(GetParam(), torch::kCPU, false);
  if (torch::cuda::is_available()) expect_golden(GetParam(), torch::kCUDA, false);
}

TEST_P(GoldenNetwork, LogitsLossAndGradientsOfTheOperators) {
  STARLING_NEEDS_DATA("interaction_network");
  if (!can_be_fused(variant(GetParam()))) GTEST_SKIP() << "the operators have no batch normalisation";
  expect_golden(GetParam(), torch::kCPU, true);
}

INSTANTIATE_TEST_SUITE_P(Variants, GoldenNetwork,
                         testing::Values("plain", "wide", "batch", "recurrent", "no_bias", "no_concat", "no_norm"),
                         [](const auto& variant_info) { return variant_info.param; });

TEST(InteractionNetwork, HasThePublishedParameterCounts) {
  struct Count {
    int hidden, steps;
    std::int64_t parameters;
  };
  for (const Count& count : std::vector<Count>{{16, 8, 31953},
                                               {32, 8, 125345},
                                               {48, 8, 280177},
                                               {64, 8, 496449},
                                               {80, 8, 774161},
                                               {96, 8, 1113313},
                                               {128, 8, 1975937},
                                               {48, 4, 150001},
                                               {48, 2, 84913},
                                               {64, 4, 265537},
                                               {64, 2, 150081}}) {
    EXPECT_EQ(learn::InteractionNetwork(architecture(count.hidden, count.steps))->weights()->flat().numel(),
              count.parameters);
  }
  for (const Count& count : std::vector<Count>{{48, 8, 52369}, {64, 8, 92353}, {96, 8, 206113}, {128, 8, 364929}}) {
    InteractionNetworkShape recurrent = architecture(count.hidden, count.steps);
    recurrent.recurrent = true;
    EXPECT_EQ(learn::InteractionNetwork(recurrent)->weights()->flat().numel(), count.parameters);
  }
  InteractionNetworkShape other = architecture(48, 8);
  other.norm = Norm::batch;
  EXPECT_EQ(learn::InteractionNetwork(other)->weights()->flat().numel(), 283921);
  other = architecture(48, 8);
  other.bias = false;
  EXPECT_EQ(learn::InteractionNetwork(other)->weights()->flat().numel(), 277392);
}

TEST(InteractionNetwork, NeverRunsTheLastNodeNetwork) {
  learn::InteractionNetwork network(architecture(8, 3));
  const GraphTensors graph = random_graph(12, 40);
  const torch::Tensor before = network->forward(graph).detach();
  auto weights = network->weights()->values();
  for (auto& [name, values] : weights) {
    if (name.starts_with("node_network.2.")) std::fill(values.begin(), values.end(), std::nanf(""));
  }
  network->weights()->set_values(weights);
  EXPECT_TRUE(torch::equal(network->forward(graph), before));
}

TEST(InteractionNetwork, GivesTheSameBytesAgain) {
  const GraphTensors graph = random_graph(300, 2000);
  const auto gradient = [&] {
    learn::InteractionNetwork network(architecture(16, 3), 7);
    network->forward(graph).square().sum().backward();
    return network->weights()->flat().grad();
  };
  EXPECT_TRUE(torch::equal(gradient(), gradient()));
}

struct Pass {
  torch::Tensor logits, gradient;
};
Pass run(const InteractionNetworkShape& shape, const GraphTensors& graph, torch::ScalarType type,
         bool by_operators = false) {
  learn::InteractionNetwork network(shape, 7);
  network->to(graph.nodes.device());
  const torch::Tensor logits = logits_of(network, graph, type, by_operators);
  (logits * logits.detach().cos()).sum().backward();
  return {logits.detach(), network->weights()->flat().grad()};
}

TEST(InteractionNetwork, OperatorsAreTheComposedFormInDouble) {
  const GraphTensors graph = random_graph(20, 60);
  for (const char* const name : {"plain", "recurrent", "no_bias", "no_concat", "no_norm"}) {
    SCOPED_TRACE(name);
    const Pass composed = run(variant(name), graph, torch::kDouble),
               fused = run(variant(name), graph, torch::kDouble, true);
    EXPECT_EQ(fused.logits.scalar_type(), torch::kDouble);
    EXPECT_LT(distance(fused.logits, composed.logits), 1e-12);
    EXPECT_LT(distance(fused.gradient, composed.gradient), 1e-6);  // which is kept in float
  }
}

TEST(InteractionNetwork, OperatorsInBFloat16AreNearDouble) {
  const GraphTensors graph = random_graph(20, 60);
  const Pass composed = run(architecture(16, 3), graph, torch::kDouble),
             mixed = run(architecture(16, 3), graph, torch::kBFloat16, true);
  EXPECT_EQ(mixed.logits.scalar_type(), torch::kFloat);
  EXPECT_LT(distance(mixed.logits, composed.logits), 0.05);
  EXPECT_GT(distance(mixed.logits, composed.logits), 1e-6);
  EXPECT_LT(distance(mixed.gradient, composed.gradient), 0.3);
}

TEST(InteractionNetwork, OperatorsAreNotThereForAllNetworks) {
  EXPECT_TRUE(can_be_fused(architecture(128, 2)));
  EXPECT_FALSE(can_be_fused(architecture(129, 2)));
  EXPECT_FALSE(can_be_fused(variant("batch")));
}

TEST(InteractionNetwork, IsNearDoubleOnAGpuAndRepeatsItsBytes) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "no CUDA device";
  const GraphTensors graph = random_graph(3000, 200000);
  const GraphTensors there{graph.nodes.cuda(), graph.edges.cuda(), graph.src.cuda(), graph.dst.cuda()};
  for (const int hidden : {16, 48, 128}) {
    SCOPED_TRACE(hidden);
    const InteractionNetworkShape shape = architecture(hidden, 3);
    const Pass exact = run(shape, there, torch::kDouble);
    for (const auto& [type, tolerance] : {std::pair(torch::kFloat, 1e-4), std::pair(torch::kBFloat16, 0.1)}) {
      const Pass fused = run(shape, there, type), again = run(shape, there, type);
      EXPECT_LT(distance(fused.logits, exact.logits), tolerance);
      EXPECT_LT(distance(fused.gradient, exact.gradient), 3 * tolerance);
      EXPECT_TRUE(torch::equal(fused.logits, again.logits));
      EXPECT_TRUE(torch::equal(fused.gradient, again.gradient));
    }
  }
}

TEST(InteractionNetwork, MixedPrecisionIsNearFloat) {
  const GraphTensors graph = random_graph(300, 2000);
  learn::InteractionNetwork network(architecture(16, 3), 7);
  const torch::Tensor exact = network->forward(graph), mixed = network->forward(graph, torch::kBFloat16);
  EXPECT_EQ(mixed.scalar_type(), torch::kFloat);
  EXPECT_LT(largest(mixed - exact), 0.05);
  EXPECT_FALSE(torch::equal(mixed, exact));
}

TEST(InteractionNetwork, TakesGraphsWithoutEdges) {
  learn::InteractionNetwork network(architecture(8, 2));
  const auto none = torch::zeros({0}, torch::kInt);
  EXPECT_EQ(network->forward({torch::zeros({3, 12}), torch::zeros({0, 6}), none, none}).size(0), 0);
  EXPECT_EQ(network->forward({torch::zeros({0, 12}), torch::zeros({0, 6}), none, none}).size(0), 0);
}

TEST(InteractionNetwork, RefusesOtherWeights) {
  learn::InteractionNetwork network(architecture(8, 2));
  auto missing = network->weights()->values(), extra = missing, longer = missing;
  missing.erase("node_encoder.0.bias");
  extra["more"] = {1};
  longer["edge_output.1.bias"] = {1, 2};
  for (const auto& wrong : {missing, extra, longer}) {
    try {
      network->weights()->set_values(wrong);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::input);
    }
  }
}

TEST(EdgeLoss, IsZeroWithoutWeights) {
  EXPECT_EQ(edge_loss(torch::ones({4}), torch::ones({4}), torch::zeros({4})).item<float>(), 0.f);
}

TEST(AdamW, FollowsItsDefinition) {
  torch::manual_seed(5);
  const torch::Tensor start = torch::randn({7}), factors = torch::randn({6, 7}, torch::kDouble);
  for (const bool amsgrad : {false, true}) {
    torch::Tensor parameters = start.clone().requires_grad_();
    AdamW optimiser(parameters, 0.01, amsgrad);
    torch::Tensor expected = start.to(torch::kDouble), mean = torch::zeros({7}, torch::kDouble), square = mean.clone(),
                  largest_square = mean.clone();
    for (int t = 1; t <= 6; ++t) {
      const double rate = 0.1 / t;
      parameters.mutable_grad() = factors[t - 1].to(torch::kFloat) * (t == 2 ? 5 : 1);
      const torch::Tensor gradient = parameters.grad().to(torch::kDouble);
      expected = expected * (1 - rate * 0.01);
      mean = 0.9 * mean + 0.1 * gradient;
      square = 0.999 * square + 0.001 * gradient * gradient;
      largest_square = torch::maximum(largest_square, square);
      const torch::Tensor second = (amsgrad ? largest_square : square) / (1 - std::pow(0.999, t));
      expected = expected - rate * (mean / (1 - std::pow(0.9, t))) / (second.sqrt() + 1e-8);
      optimiser.step(rate);
    }
    EXPECT_LT(largest(parameters.detach() - expected), 1e-5);
  }
}

// Features of made-up hits before and after the same symmetry is applied to the hits themselves.
TEST(Turned, IsASymmetryOfTheFeatures) {
  const FeatureScales scales;
  Hits hits;
  EdgeList edges;
  for (int i = 0; i < 40; ++i) {
    const double r = 30 + 20 * i, phi = 2.399963 * i * i, z = 13.7 * i - 200;
    hits.hit_id.push_back(i);
    hits.x.push_back(static_cast<float>(r * std::cos(phi)));
    hits.y.push_back(static_cast<float>(r * std::sin(phi)));
    hits.z.push_back(static_cast<float>(z));
    if (i > 0) {
      edges.src.push_back(i - 1);
      edges.dst.push_back(i);
    }
  }
  hits.volume_id.assign(40, 0);
  hits.layer_id = hits.module_id = hits.volume_id;
  edges.num_nodes = 40;

  const auto sample_of = [&](const Hits& from) {
    Sample sample;
    sample.num_nodes = 40;
    sample.src = edges.src;
    sample.dst = edges.dst;
    sample.node_features = node_features(from, scales);
    sample.edge_features = edge_features(sample.node_features, edges);
    sample.labels.assign(39, 0);
    sample.weights = sample.labels;
    return to_tensors(sample, false);
  };
  for (const std::uint64_t draw :
       {0x123456789ABCDEF0ull, 0xF23456789ABCDEF1ull, 0x923456789ABCDEF2ull, 0x323456789ABCDEF3ull}) {
    const double angle = std::numbers::pi * (static_cast<double>(draw >> 11) * 0x1p-52 - 1);
    Hits moved = hits;
    for (std::size_t i = 0; i < 40; ++i) {
      const double x = hits.x[i], y = (draw & 1) != 0 ? -hits.y[i] : hits.y[i];
      moved.x[i] = static_cast<float>(x * std::cos(angle) - y * std::sin(angle));
      moved.y[i] = static_cast<float>(x * std::sin(angle) + y * std::cos(angle));
      if ((draw & 2) != 0) moved.z[i] = -hits.z[i];
    }
    const LabelledGraph got = turned(sample_of(hits), draw, scales), expected = sample_of(moved);
    EXPECT_LT(largest(got.graph.nodes - expected.graph.nodes), 1e-5);
    EXPECT_LT(largest(got.graph.edges.narrow(1, 0, 4) - expected.graph.edges.narrow(1, 0, 4)), 1e-5);
    EXPECT_LT(largest(got.graph.edges.narrow(1, 4, 2) - expected.graph.edges.narrow(1, 4, 2)), 1e-3);
  }
}

TEST(DropIsolatedNodes, ChangesNoLogit) {
  Sample sample;
  sample.num_nodes = 9;
  sample.src = {7, 1, 1, 4};
  sample.dst = {1, 4, 4, 4};
  torch::manual_seed(1);
  const auto random = [](std::int64_t count) {
    const torch::Tensor values = torch::randn({count});
    return std::vector<float>(values.const_data_ptr<float>(), values.const_data_ptr<float>() + count);
  };
  sample.node_features = random(9 * 12);
  sample.edge_features = random(4 * 6);
  sample.labels = sample.weights = random(4);
  learn::InteractionNetwork network(architecture(8, 3));
  const torch::Tensor whole = network->forward(to_tensors(sample, false).graph);
  drop_isolated_nodes(sample);
  EXPECT_EQ(sample.num_nodes, 3);
  EXPECT_EQ(sample.src, (std::vector<std::int32_t>{2, 0, 0, 1}));
  EXPECT_LT(largest(network->forward(to_tensors(sample, false).graph) - whole), 1e-5);
}

TEST(Events, LeavesAShareOfTheEventsInPartOfTheDetector) {
  TrackingSettings settings;
  settings.detector = STARLING_SOURCE_DIR "/detectors/trackml.toml";
  settings.simulation.pileup = 0;
  settings.simulation.hard_particles = 20;
  settings.subset_volumes = {8, 13};
  settings.subset_fraction = 0.5;
  const Events events(settings);
  settings.subset_fraction = 0;  // Events refers to the settings: the same events whole
  std::vector<Event> whole;
  for (std::uint64_t i = 0; i < 20; ++i) whole.push_back(events.training(i));
  settings.subset_fraction = 0.5;
  int subsets = 0;
  for (std::uint64_t i = 0; i < 20; ++i) {
    const Event event = events.training(i);
    ASSERT_EQ(event.truth->particle_id.size(), event.hits.hit_id.size());
    if (event.hits.hit_id == whole[i].hits.hit_id) continue;
    ++subsets;
    std::size_t next = 0;
    for (std::size_t hit = 0; hit < whole[i].hits.hit_id.size(); ++hit) {
      const std::int32_t volume = whole[i].hits.volume_id[hit];
      if (volume != 8 && volume != 13) continue;
      ASSERT_LT(next, event.hits.hit_id.size());
      EXPECT_EQ(event.hits.hit_id[next], whole[i].hits.hit_id[hit]);
      EXPECT_EQ(event.hits.z[next], whole[i].hits.z[hit]);
      EXPECT_EQ(event.hits.module_id[next], whole[i].hits.module_id[hit]);
      EXPECT_EQ(event.truth->particle_id[next], whole[i].truth->particle_id[hit]);
      ++next;
    }
    EXPECT_EQ(next, event.hits.hit_id.size());
  }
  EXPECT_GT(subsets, 3);
  EXPECT_LT(subsets, 17);
}

}  // namespace
