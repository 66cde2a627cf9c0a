#include <gtest/gtest.h>

#include "expect_error.h"
#include "network_on_device.h"
#include "same_bytes.h"

namespace starling {
namespace {

Result run_on_device(const InteractionNetwork& network, const Graph& graph, NumberType type = NumberType::float32,
                     std::size_t beyond = 0) {
  return run_on_device(
      InteractionNetworkCudaPlan::weights_bytes(network.shape, type),
      [&](std::span<std::byte> memory) { return InteractionNetworkCudaPlan(network, type, memory); }, graph, beyond);
}

class InteractionNetworkCudaTest : public CudaTest {};

TEST_F(InteractionNetworkCudaTest, FloatsHaveTheSameBytesAsOnTheHost) {
  for (const NetworkCase& one : network_cases()) {
    SCOPED_TRACE(one.name);
    const Result device = run_on_device(one.network, one.graph);
    EXPECT_TRUE(same_bytes(device.logits, run(Plan(one.network), one.graph)));
    EXPECT_EQ(device.bad_row, -1);
  }
}

// The root of the mean squared difference, as a part of that of the expected values. Single edges may differ by more:
// layer normalisation enlarges whatever rounding makes of outputs that are all nearly equal.
double typical_difference(const std::vector<float>& values, const std::vector<double>& expected) {
  EXPECT_EQ(values.size(), expected.size());
  double off = 0., size = 1e-30;
  for (std::size_t i = 0; i < values.size(); ++i) {
    off += (double{values[i]} - expected[i]) * (double{values[i]} - expected[i]);
    size += expected[i] * expected[i];
  }
  return std::isnan(off) ? INFINITY : std::sqrt(off / size);
}

// Half has 11 significant bits and bfloat16 has 8; a value is rounded some 7 times per step. The bounds are for the
// worst cases, networks of a few columns; most give a fifth of them.
TEST_F(InteractionNetworkCudaTest, NumbersOf16BitsAgreeWithTheReferenceToTheirPrecision) {
  for (const NetworkCase& one : network_cases()) {
    if (one.network.shape.norm == Norm::batch || one.network.shape.hidden > 128) continue;  // in float: see below
    SCOPED_TRACE(one.name);
    const std::vector<double> expected = network_reference(one.network, one.graph.view());
    for (const auto& [type, bound] : {std::pair(NumberType::half, 0.03), std::pair(NumberType::bfloat16, 0.15)}) {
      const Result device = run_on_device(one.network, one.graph, type);
      EXPECT_LT(typical_difference(device.logits, expected), bound) << to_string(type);
      EXPECT_EQ(device.bad_row, -1);
    }
  }
}

TEST_F(InteractionNetworkCudaTest, BatchNormalisationAndWideNetworksAreInFloatWithEveryType) {
  InteractionNetworkShape batch = plain(8, 2);
  batch.norm = Norm::batch;
  for (const InteractionNetworkShape& shape : {batch, plain(130, 2)}) {
    const InteractionNetwork network = random_network(shape, 1);
    const Graph graph = random_graph(shape, 20, 50, 1);
    for (const NumberType type : {NumberType::half, NumberType::bfloat16})
      EXPECT_TRUE(same_bytes(run_on_device(network, graph, type).logits, run(Plan(network), graph)));
  }
}

TEST_F(InteractionNetworkCudaTest, ACountBelowTheCapacityGivesTheSameBytes) {
  for (const int number : {0, 1, 12}) {
    const InteractionNetworkShape shape = variant(20, 3, number);
    const InteractionNetwork network = random_network(shape, 3);
    for (const int edges : {0, 1, 33, 200}) {
      SCOPED_TRACE(testing::Message() << "variant " << number << ", " << edges << " edges");
      const Graph graph = random_graph(shape, 50, edges, 4);
      const Result device = run_on_device(network, graph, NumberType::float32, 100);
      EXPECT_TRUE(same_bytes(device.logits, run(Plan(network), graph)));
      EXPECT_TRUE(same_bytes(run_on_device(network, graph, NumberType::half, 100).logits,
                             run_on_device(network, graph, NumberType::half).logits));
    }
  }
}

// 2³¹ bytes and entries are crossed. The graph is the same part many times over, so that its logits are those of the
// part, again and again.
TEST_F(InteractionNetworkCudaTest, MillionsOfEdgesGiveWhatEachPartOfThemGives) {
  struct Case {
    int hidden;
    NumberType type;
  };
  std::vector<std::size_t> skipped;
  for (const auto& [hidden, type] :
       {Case{128, NumberType::float32}, Case{128, NumberType::half}, Case{512, NumberType::float32}}) {
    SCOPED_TRACE(testing::Message() << "H " << hidden << ", " << to_string(type));
    const InteractionNetwork network = random_network(plain(hidden, 2), 1);
    constexpr int kParts = 50, kNodes = 5'000, kEdges = 100'000;
    const Graph part = random_graph({}, kNodes, kEdges, 2);
    const std::vector<float> expected = run_on_device(network, part, type).logits;
    Graph graph{kParts * kNodes, {}, {}, {}, {}, {}};
    for (int i = 0; i < kParts; ++i) {
      for (int e = 0; e < kEdges; ++e) {
        graph.src.push_back(part.src[e] + i * kNodes);
        graph.dst.push_back(part.dst[e] + i * kNodes);
      }
      graph.node_features.insert(graph.node_features.end(), part.node_features.begin(), part.node_features.end());
      graph.edge_features.insert(graph.edge_features.end(), part.edge_features.begin(), part.edge_features.end());
    }
    const OnDevice<std::byte> weights(InteractionNetworkCudaPlan::weights_bytes(network.shape, type));
    const InteractionNetworkCudaPlan plan(network, type, weights.span());
    const std::size_t workspace_bytes = plan.workspace_bytes(graph.num_nodes, kParts * kEdges);
    std::size_t free = 0, all = 0;
    expect_ok(cudaMemGetInfo(&free, &all));
    if (free < workspace_bytes + (std::size_t{1} << 30)) {
      skipped.push_back((workspace_bytes >> 30) + 2);
      continue;
    }
    const DeviceGraph there(graph, network.shape, 0);
    const OnDevice<std::byte> workspace(workspace_bytes);
    const OnDevice<float> logits(graph.src.size());
    const OnDevice<std::int32_t> bad_row(1);
    const Stream stream;
    plan.run(there.view(false), logits.data(), workspace.span(),
             {.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()});
    expect_ok(cudaStreamSynchronize(stream));
    const std::vector<float> values = logits.get();
    for (int i = 0; i < kParts; ++i) {
      const auto begin = values.begin() + std::ptrdiff_t{i} * kEdges;
      ASSERT_TRUE(same_bytes(std::vector<float>(begin, begin + kEdges), expected)) << "part " << i;
    }
  }
  if (!skipped.empty()) {
    GTEST_SKIP() << "cases left out that need so many GiB of free device memory: " << testing::PrintToString(skipped);
  }
}

TEST_F(InteractionNetworkCudaTest, GoldenLogitsOfEveryVariant) {
  STARLING_NEEDS_DATA("interaction_network");
  for (const GoldenNetwork& golden : golden_networks()) {
    SCOPED_TRACE(golden.name);
    EXPECT_LT(difference(run_on_device(golden.network, golden.graph).logits, golden.logits), 1e-4);
  }
}

TEST_F(InteractionNetworkCudaTest, AnEdgeThatEndsAtNoNodeIsNamedAndNoLogitIsWritten) {
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(8, 2);
    shape.norm = norm;
    const InteractionNetwork network = random_network(shape, 1);
    for (const std::int32_t node : {-1, 10, 1 << 30}) {
      Graph graph = random_graph(shape, 10, 40, 1);
      graph.dst[17] = node;
      graph.src[30] = node;
      EXPECT_EQ(run_on_device(network, graph).bad_row, 17);
    }
    EXPECT_EQ(run_on_device(network, random_graph(shape, 0, 3, 1)).bad_row, 0) << "a graph without nodes";
  }
}

TEST_F(InteractionNetworkCudaTest, AFeatureThatIsNotANumberIsSeenInTheLogits) {
  for (const NumberType type : {NumberType::float32, NumberType::half, NumberType::bfloat16}) {
    Graph graph = random_graph({}, 30, 70, 2);
    graph.edge_features[6 * 11] = std::nanf("");
    EXPECT_TRUE(std::isnan(run_on_device(random_network(plain(8, 2), 1), graph, type).logits[11])) << to_string(type);
  }
}

TEST_F(InteractionNetworkCudaTest, AnOrderThatIsNoneReachesNoMemoryOfOthers) {
  const InteractionNetwork network = random_network(plain(8, 2), 1);
  Graph graph = random_graph({}, 10, 40, 1);
  graph.order = {0, 0, -5, 1 << 30, 4, 4, 4, 4, 9, 9};
  EXPECT_EQ(run_on_device(network, graph).bad_row, -1);  // its logits are unspecified
}

TEST_F(InteractionNetworkCudaTest, ScoresHaveTheSameBytesAsOnTheHost) {
  std::vector<float> logits;
  for (float x = -110.f; x < 110.f; x += 0.37f) logits.push_back(x);
  for (const float x : {-INFINITY, INFINITY, -0.f}) logits.push_back(x);
  std::vector<float> expected(logits.size());
  edge_scores(logits.data(), std::ssize(logits), nullptr, expected.data(), {});
  const OnDevice<float> there(logits), scores(logits.size());
  const OnDevice<std::int32_t> count(std::vector<std::int32_t>{100});
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  replay_twice(stream, [&] { edge_scores(there.data(), std::ssize(logits), nullptr, scores.data(), execution); });
  EXPECT_TRUE(same_bytes(scores.get(), expected));
  edge_scores(there.data(), std::ssize(logits), count.data(), there.data(), execution);  // in place
  expect_ok(cudaStreamSynchronize(stream));
  std::copy_n(expected.begin(), 100, logits.begin());
  EXPECT_TRUE(same_bytes(there.get(), logits));
  edge_scores(nullptr, 0, nullptr, nullptr, execution);
}

// One node has all edges as its first, another all as its second: sums of five million messages.
TEST_F(InteractionNetworkCudaTest, MillionsOfEdgesOfOneNode) {
  const InteractionNetwork network = random_network(plain(16, 2), 1);
  constexpr std::size_t kEdges = 5'000'000;
  Graph graph = random_graph({}, 4, static_cast<int>(kEdges), 2);
  graph.src.assign(kEdges, 1);
  graph.dst.assign(kEdges, 2);
  graph.order.clear();
  EXPECT_TRUE(same_bytes(run_on_device(network, graph, NumberType::float32).logits, run(Plan(network), graph)));
}

TEST_F(InteractionNetworkCudaTest, AStreamOfAnotherDeviceIsRefused) {
  int devices = 0;
  expect_ok(cudaGetDeviceCount(&devices));
  if (devices < 2) GTEST_SKIP() << "one CUDA device: expected two";
  const InteractionNetwork network = random_network(plain(8, 2), 1);
  const OnDevice<std::byte> weights(InteractionNetworkCudaPlan::weights_bytes(network.shape));
  const InteractionNetworkCudaPlan plan(network, NumberType::float32, weights.span());
  const DeviceGraph there(random_graph({}, 10, 20, 1), network.shape, 0);
  const OnDevice<float> logits(20);
  const OnDevice<std::int32_t> bad_row(1);
  const OnDevice<std::byte> workspace(plan.workspace_bytes(10, 20));
  expect_ok(cudaSetDevice(1));
  const Stream other;
  expect_ok(cudaSetDevice(0));
  expect_error(ErrorKind::device, "CUDA device: ", [&] {
    plan.run(there.view(false), logits.data(), workspace.span(),
             {.device = Device::cuda, .stream = other, .bad_row = bad_row.data()});
  });
}

TEST_F(InteractionNetworkCudaTest, WrongArgumentsAreNamed) {
  const InteractionNetwork network = random_network(plain(8, 2), 1);
  const OnDevice<std::byte> weights(InteractionNetworkCudaPlan::weights_bytes(network.shape));
  const NumberType type = NumberType::float32;
  expect_usage([&] { InteractionNetworkCudaPlan(network, type, weights.span().first(100)); }, "workspace of 100 bytes");
  expect_usage([&] { InteractionNetworkCudaPlan(network, static_cast<NumberType>(3), weights.span()); },
               "number type 3: expected float32, half or bfloat16");
  InteractionNetwork wrong = network;
  wrong.weights.erase("edge_output.1.bias");
  expect_usage([&] { InteractionNetworkCudaPlan(wrong, type, weights.span()); }, "edge_output.1.bias is missing");
  const InteractionNetworkCudaPlan plan(network, type, weights.span());
  EXPECT_EQ(plan.shape(), network.shape);
  EXPECT_EQ(plan.type(), type);
  const Graph graph = random_graph({}, 10, 20, 1);
  const DeviceGraph there(graph, network.shape, 0);
  const OnDevice<float> logits(20);
  const OnDevice<std::int32_t> bad_row(1);
  const OnDevice<std::byte> workspace(plan.workspace_bytes(10, 20));
  const Execution execution{.device = Device::cuda, .bad_row = bad_row.data()};
  const auto run = [&](const GraphView& view, float* out, std::span<std::byte> memory, const Execution& how) {
    return [&plan, view, out, memory, how] { plan.run(view, out, memory, how); };
  };
  const GraphView view = there.view(false);
  expect_usage(run(view, logits.data(), workspace.span().first(100), execution), "workspace of 100 bytes");
  expect_usage(run(view, nullptr, workspace.span(), execution), "logits is null");
  expect_usage(run(view, logits.data(), workspace.span(), {.device = Device::cuda}), "with a bad_row");
  expect_usage(run(view, logits.data(), workspace.span(), {}), "on a CUDA device");
  GraphView short_view = view;
  short_view.dst = view.dst.first(19);
  expect_usage(run(short_view, logits.data(), workspace.span(), execution), "dst has 19 values, expected 20 x 1");
  expect_usage([&] { plan.workspace_bytes(-1, 3); }, "a graph of -1 nodes");
}

}  // namespace
}  // namespace starling
