#include "network_on_device.h"
#include "quantized_cases.h"
#include "same_bytes.h"
#include "starling/error.h"

namespace starling {
namespace {

using namespace quantized_cases;

Result run_on_device(const QuantizedNetwork& network, const Graph& graph, std::size_t beyond = 0) {
  return run_on_device(
      QuantizedCudaPlan::weights_bytes(network),
      [&](std::span<std::byte> memory) { return QuantizedCudaPlan(network, memory); }, graph, beyond);
}

std::vector<float> run_on_host(const QuantizedNetwork& network, const Graph& graph) {
  const QuantizedPlan plan(network);
  std::vector<float> logits(graph.src.size());
  std::vector<std::byte> workspace(plan.workspace_bytes(graph.num_nodes, graph.view().num_edges()));
  plan.run(graph.view(), logits, workspace);
  return logits;
}

void agrees(const std::string& name, const QuantizedNetwork& network, const Graph& graph) {
  SCOPED_TRACE(name);
  const Result device = run_on_device(network, graph);
  EXPECT_EQ(device.bad_row, -1);
  EXPECT_TRUE(same_bytes(device.logits, run_on_host(network, graph)));
}

class QuantizedNetworkCudaTest : public CudaTest {};

// The table that the levels of the host are compared with.
TEST_F(QuantizedNetworkCudaTest, EveryWidth) { every_width(agrees); }
TEST_F(QuantizedNetworkCudaTest, EveryNumberOfBits) { every_number_of_bits(agrees); }
TEST_F(QuantizedNetworkCudaTest, EveryVariant) { every_variant(agrees); }
TEST_F(QuantizedNetworkCudaTest, EveryGraphSize) { every_graph_size(agrees); }
TEST_F(QuantizedNetworkCudaTest, FeaturesOfMoreBitsThanStates) { features_of_more_bits_than_states(agrees); }
TEST_F(QuantizedNetworkCudaTest, LargestProducts) { largest_products(agrees); }
TEST_F(QuantizedNetworkCudaTest, PrunedNetworks) { pruned_networks(agrees); }
TEST_F(QuantizedNetworkCudaTest, MasksOfBlocks) { masks_of_blocks(agrees); }
TEST_F(QuantizedNetworkCudaTest, SumsBeyond32Bits) { sums_beyond_32_bits(agrees); }
TEST_F(QuantizedNetworkCudaTest, ValuesOutsideEveryRange) { values_outside_every_range(agrees); }
TEST_F(QuantizedNetworkCudaTest, RowsWithoutVariance) { rows_without_variance(agrees); }
TEST_F(QuantizedNetworkCudaTest, WaysInWhichEdgesMeetNodes) { ways_in_which_edges_meet_nodes(agrees); }

TEST_F(QuantizedNetworkCudaTest, WidthsBeyondATile) {
  for (const int hidden : {129, 200, 1024})
    agrees("width " + std::to_string(hidden), quantized(plain(hidden, 1), {}), random_graph({}, 20, 40, 1));
}

// Every block takes several tiles, and rare values, which only the exact form decides, come up.
TEST_F(QuantizedNetworkCudaTest, LargeGraphs) {
  for (const auto& [hidden, per_channel] : {std::pair(48, false), {48, true}, {24, false}, {64, false}, {128, false}}) {
    const Settings settings{.bias_bits = 32, .per_channel = per_channel, .threshold = 2.f};
    agrees("width " + std::to_string(hidden), quantized(plain(hidden, 4), settings),
           random_graph({}, 20'000, 100'000, 5));
  }
  InteractionNetworkShape batch = plain(48, 2);
  batch.norm = Norm::batch;
  agrees("batch normalisation", quantized(batch, {}), random_graph({}, 5'000, 20'000, 6));
}

TEST_F(QuantizedNetworkCudaTest, ACountBelowTheCapacityGivesTheSameBytes) {
  for (const int number : {0, 1, 12}) {
    const InteractionNetworkShape shape = variant(20, 3, number);
    const QuantizedNetwork network = quantized(shape, {});
    for (const int edges : {0, 1, 33, 200}) {
      SCOPED_TRACE(testing::Message() << "variant " << number << ", " << edges << " edges");
      const Graph graph = random_graph(shape, 50, edges, 4);
      EXPECT_TRUE(same_bytes(run_on_device(network, graph, 100).logits, run_on_host(network, graph)));
    }
  }
}

TEST_F(QuantizedNetworkCudaTest, AnEdgeThatEndsAtNoNodeIsNamedAndNoLogitIsWritten) {
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(8, 2);
    shape.norm = norm;
    const QuantizedNetwork network = quantized(shape, {});
    Graph graph = random_graph(shape, 10, 40, 1);
    graph.dst[17] = 10;
    EXPECT_EQ(run_on_device(network, graph).bad_row, 17);
    EXPECT_EQ(run_on_device(network, random_graph(shape, 0, 3, 1)).bad_row, 0) << "a graph without nodes";
  }
}

TEST_F(QuantizedNetworkCudaTest, AnOrderThatIsNoneReachesNoMemoryOfOthers) {
  Graph graph = random_graph({}, 10, 40, 1);
  graph.order = {0, 0, -5, 1 << 30, 4, 4, 4, 4, 9, 9};
  EXPECT_EQ(run_on_device(quantized(plain(8, 2), {}), graph).bad_row, -1);  // its logits are unspecified
}

TEST_F(QuantizedNetworkCudaTest, WrongArgumentsAreNamed) {
  const QuantizedNetwork network = quantized(plain(8, 2), {});
  const OnDevice<std::byte> weights(QuantizedCudaPlan::weights_bytes(network));
  expect_usage([&] { QuantizedCudaPlan(network, weights.span().first(100)); }, "workspace of 100 bytes");
  QuantizedNetwork wrong = network;
  wrong.layers.erase("edge_output.1");
  expect_usage([&] { QuantizedCudaPlan(wrong, weights.span()); }, "layer edge_output.1 is missing");
  const QuantizedCudaPlan plan(network, weights.span());
  EXPECT_EQ(plan.shape(), network.shape);
  const DeviceGraph there(random_graph({}, 10, 20, 1), network.shape, 0);
  const GraphView view = there.view(false);
  const OnDevice<float> logits(20);
  const OnDevice<std::int32_t> bad_row(1);
  const OnDevice<std::byte> workspace(plan.workspace_bytes(10, 20));
  const Execution execution{.device = Device::cuda, .bad_row = bad_row.data()};
  expect_usage([&] { plan.run(view, logits.data(), workspace.span().first(100), execution); },
               "workspace of 100 bytes");
  expect_usage([&] { plan.run(view, nullptr, workspace.span(), execution); }, "logits is null");
  expect_usage([&] { plan.run(view, logits.data(), workspace.span(), {}); }, "on a CUDA device");
  // Sums of so many codes of 8 bits may not fit.
  const std::int32_t* const edges = view.src.data();
  GraphView large = view;
  large.src = large.dst = {edges, 20'000'000};
  large.edge_features = {view.edge_features.data(), 6 * large.src.size()};
  const OnDevice<std::byte> more(plan.workspace_bytes(10, 20'000'000));
  expect_usage([&] { plan.run(large, logits.data(), more.span(), execution); }, "expected at most 16843009");
}

}  // namespace
}  // namespace starling
