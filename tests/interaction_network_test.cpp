#include "starling/interaction_network.h"

#include <gmock/gmock.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "expect_error.h"
#include "interaction_network_cases.h"
#include "same_bytes.h"
#include "starling/error.h"

namespace {

using namespace starling;

struct Published {
  InteractionNetworkShape shape;
  std::int64_t parameters;
};

TEST(Network, ThePublishedParameterCounts) {
  const auto recurrent = [](int hidden) {
    InteractionNetworkShape shape = plain(hidden, 8);
    shape.recurrent = true;
    return shape;
  };
  InteractionNetworkShape batch = plain(48, 8), no_bias = plain(48, 8);
  batch.norm = Norm::batch;
  no_bias.bias = false;
  const Published published[] = {{plain(16, 8), 31'953},     {plain(32, 8), 125'345},  {plain(48, 8), 280'177},
                                 {plain(64, 8), 496'449},    {plain(80, 8), 774'161},  {plain(96, 8), 1'113'313},
                                 {plain(128, 8), 1'975'937}, {no_bias, 277'392},       {batch, 283'921},
                                 {plain(48, 4), 150'001},    {plain(48, 2), 84'913},   {plain(64, 4), 265'537},
                                 {plain(64, 2), 150'081},    {recurrent(48), 52'369},  {recurrent(64), 92'353},
                                 {recurrent(96), 206'113},   {recurrent(128), 364'929}};
  ASSERT_EQ(std::size(published), 17u);
  for (const Published& entry : published) {
    EXPECT_EQ(parameter_count(entry.shape), entry.parameters)
        << "H " << entry.shape.hidden << ", N " << entry.shape.steps;
  }
}

TEST(Network, AShapeOutOfRangeIsAUsageError) {
  expect_error(ErrorKind::usage, "hidden = 0, expected 1..1024", [] { layers(plain(0, 8)); });
  expect_error(ErrorKind::usage, "hidden = 1025", [] { layers(plain(1025, 8)); });
  InteractionNetworkShape shape = plain(8, 2);
  shape.norm = static_cast<Norm>(3);
  const std::string message = "normalisation 3: expected none, layer or batch";
  expect_error(ErrorKind::usage, message, [&] { layers(shape); });
  expect_error(ErrorKind::usage, message, [&] { (void)to_string(shape.norm); });
  expect_error(ErrorKind::usage, "steps = 65, expected 1..64", [] { parameter_count(plain(48, 65)); });
}

TEST(Network, EverySimdLevelIsTested) {
  for (const SimdLevel level : {SimdLevel::avx2, SimdLevel::avx512}) {
    if (std::ranges::count(simd_levels(), level) == 0) GTEST_SKIP() << to_string(level) << " does not run here";
  }
}

TEST(Network, GoldenLogitsOfEveryVariant) {
  STARLING_NEEDS_DATA("interaction_network");
  for (const GoldenNetwork& golden : golden_networks()) {
    SCOPED_TRACE(golden.name);
    const std::vector<double> reference = network_reference(golden.network, golden.graph.view());
    ASSERT_EQ(reference.size(), golden.logits.size());
    for (std::size_t i = 0; i < reference.size(); ++i) EXPECT_NEAR(reference[i], golden.logits[i], 1e-9) << i;
    for (const SimdLevel level : simd_levels()) {
      EXPECT_LT(difference(run(Plan(golden.network, level), golden.graph), golden.logits), 1e-4) << to_string(level);
    }
  }
}

// One arithmetic: every level agrees with the reference, and with the others to the last bit.
TEST(Network, EveryCaseAgreesWithTheReferenceAndGivesTheSameBytesAtEveryLevel) {
  for (const NetworkCase& one : network_cases()) {
    SCOPED_TRACE(one.name);
    const std::vector<float> expected = run(Plan(one.network, SimdLevel::reference), one.graph);
    EXPECT_LT(difference(expected, network_reference(one.network, one.graph.view())), 1e-4);
    for (const SimdLevel level : simd_levels()) {  // EverySimdLevelIsTested says which are not
      EXPECT_TRUE(same_bytes(run(Plan(one.network, level), one.graph), expected)) << to_string(level);
    }
  }
}

TEST(Network, AGraphWithoutEdgesHasNoLogits) {
  const InteractionNetwork network = random_network(plain(8, 2), 1);
  for (const std::int32_t nodes : {0, 1, 1000}) EXPECT_TRUE(run(Plan(network), random_graph({}, nodes, 0, 1)).empty());
  HitGraph graph;
  EXPECT_TRUE(Session(network).run(graph).empty());
}

TEST(Network, ResultsDoNotDependOnThreadsOrMemory) {
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(16, 3);
    shape.norm = norm;
    const InteractionNetwork network = random_network(shape, 8);
    const Graph graph = random_graph(shape, 5000, 20000, 9);
    const Plan plan(network);
    std::vector<float> expected(graph.src.size());
    tbb::task_arena(1).execute([&] { expected = run(plan, graph); });
    for (const int threads : {2, 3, 8}) {
      tbb::task_arena arena(threads);
      EXPECT_EQ(arena.execute([&] { return run(plan, graph); }), expected) << threads;
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

TEST(Network, NumbersOfNodesAndTheOrderOfEdgesDoNotMatter) {
  Graph graph = random_graph({}, 500, 3000, 9);
  for (std::size_t e = 0; e < graph.src.size(); ++e) {  // no edge twice: those stay in the order that they have
    graph.src[e] = static_cast<std::int32_t>(e / 6);
    graph.dst[e] = static_cast<std::int32_t>((e / 6 + e % 6 * 83) % 490);  // ten nodes have no edge in
  }
  auto [shuffled, number, order] = shuffle(graph);
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    InteractionNetworkShape shape = plain(16, 2);
    shape.norm = norm;
    const Plan plan(random_network(shape, 8));
    const std::vector<float> before = run(plan, graph), unordered = run(plan, shuffled);
    shuffled.order = number;
    const std::vector<float> after = run(plan, shuffled);
    shuffled.order.clear();
    for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(after[i], before[order[i]]) << to_string(norm);
    int differ = 0;
    for (std::size_t i = 0; i < order.size(); ++i) differ += unordered[i] != before[order[i]];
    EXPECT_GT(differ, 100) << "without an order, sums run in that of the numbers";
  }
}

TEST(Network, AnOrderHoldsEachNodeOnce) {
  const Plan plan(random_network(plain(8, 2), 1));
  Graph graph = random_graph({}, 4, 7, 1);
  const std::vector<float> expected = run(plan, graph);
  graph.order = {0, 1, 2, 3};
  EXPECT_EQ(run(plan, graph), expected);
  graph.order = {0, 1, 2, 1};
  expect_error(ErrorKind::usage, "order holds 1 at entry 3, expected each of 0..3 once", [&] { run(plan, graph); });
  graph.order = {0, 1, 2, 4};
  expect_error(ErrorKind::usage, "order holds 4 at entry 3, expected each of 0..3 once", [&] { run(plan, graph); });
  graph.order = {-1, 1, 2, 3};
  expect_error(ErrorKind::usage, "order holds -1 at entry 0, expected each of 0..3 once", [&] { run(plan, graph); });
  graph.order = {0, 1, 2};
  expect_error(ErrorKind::usage, "order has 3 values, expected 4 x 1", [&] { run(plan, graph); });
}

TEST(Network, ALargerGraphsWorkspaceServesASmallerOne) {
  InteractionNetworkShape shape = plain(9, 3);
  for (const Norm norm : {Norm::layer, Norm::batch}) {
    shape.norm = norm;
    const Plan plan(random_network(shape, 1));
    std::size_t before = 0;
    for (const std::int64_t edges : {0, 1, 10, 100, 1000, 100000}) {
      EXPECT_GE(plan.workspace_bytes(500, edges), before);
      before = plan.workspace_bytes(500, edges);
    }
    EXPECT_GE(plan.workspace_bytes(501, 100000), before);
  }
}

TEST(Network, WrongArgumentsAreUsageErrors) {
  const Plan plan(random_network(plain(8, 2), 1));
  Graph graph = random_graph({}, 10, 20, 1);
  std::vector<float> logits(20);
  std::vector<std::byte> workspace(plan.workspace_bytes(10, 20));
  expect_error(ErrorKind::usage, "room for 19 logits",
               [&] { plan.run(graph.view(), std::span(logits).first(19), workspace); });
  expect_error(ErrorKind::usage, "a workspace of 100 bytes",
               [&] { plan.run(graph.view(), logits, std::span(workspace).first(100)); });
  for (const std::int32_t node : {-1, 10}) {
    graph.dst[7] = node;
    expect_error(ErrorKind::usage, "edge 7 ends at node " + std::to_string(node) + ", expected 0..9",
                 [&] { plan.run(graph.view(), logits, workspace); });
    expect_error(ErrorKind::usage, "edge 7 ends at",
                 [&] { network_reference(random_network(plain(8, 2), 1), graph.view()); });
  }
  if (std::ranges::count(simd_levels(), SimdLevel::avx512) == 0) {
    expect_error(ErrorKind::device, "avx512: does not run on this processor, expected reference",
                 [] { Plan(random_network(plain(8, 2), 1), SimdLevel::avx512); });
  }
  InteractionNetwork network = random_network(plain(8, 2), 1);
  network.weights.erase("edge_output.1.bias");
  expect_error(ErrorKind::usage, "edge_output.1.bias is missing", [&] { Plan{network}; });
  InteractionNetworkShape other = plain(8, 2);
  other.node_inputs = 4;
  expect_error(ErrorKind::usage, "4 node and 6 edge features", [&] { Session(random_network(other, 1)); });
  Graph short_arrays = random_graph({}, 10, 20, 1);
  short_arrays.node_features.pop_back();
  expect_error(ErrorKind::usage, "node_features has 119 values, expected 10 x 12",
               [&] { plan.run(short_arrays.view(), logits, workspace); });
  short_arrays = random_graph({}, 10, 20, 1);
  short_arrays.dst.pop_back();
  expect_error(ErrorKind::usage, "dst has 19 values, expected 20 x 1",
               [&] { plan.run(short_arrays.view(), logits, workspace); });
  short_arrays = random_graph({}, 10, 20, 1);
  short_arrays.edge_features.push_back(0.f);
  expect_error(ErrorKind::usage, "edge_features has 121 values, expected 20 x 6",
               [&] { plan.run(short_arrays.view(), logits, workspace); });
  const Graph counted = random_graph({}, 10, 20, 1);
  GraphView on_device = counted.view();
  on_device.count = counted.src.data();
  expect_error(ErrorKind::usage, "with a count of edges, which only a device reads",
               [&] { plan.run(on_device, logits, workspace); });
  HitGraph uneven;
  uneven.edges.num_nodes = 2;
  expect_error(ErrorKind::usage, "do not fit together", [&] { Session(random_network(plain(8, 2), 1)).run(uneven); });
}

TEST(Network, ASessionWithoutAPlanIsAUsageError) {
  expect_error(ErrorKind::usage, "a session without a plan", [] { Session(std::shared_ptr<const Plan>{}); });
  Session session(random_network(plain(8, 2), 1));
  const Session taken = std::move(session);
  expect_error(ErrorKind::usage, "a session that was moved from", [&] { session.run(HitGraph{}); });
  expect_error(ErrorKind::usage, "a session that was moved from", [&] { session.logits(HitGraph{}); });
}

TEST(Network, SessionsShareAPlan) {
  const auto plan = std::make_shared<const Plan>(random_network(plain(8, 2), 1));
  HitGraph graph;
  graph.edges = {2, {0}, {1}};
  graph.node_features.resize(2 * kNodeFeatures, 0.5f);
  graph.edge_features.resize(kEdgeFeatures, 0.5f);
  Session one(plan), two(plan);
  EXPECT_EQ(one.run(graph), two.run(graph));
  EXPECT_EQ(plan.use_count(), 3);
}

TEST(Network, ASessionServesGraphsOfAnySize) {
  const auto plan = std::make_shared<const Plan>(random_network(plain(48, 3), 1));
  Session session(plan);
  for (const int edges : {10, 20000, 0, 300, 60000, 60000, 7}) {
    const Graph random = random_graph({}, edges / 2 + 1, edges, 2);
    HitGraph graph;
    graph.edges = {random.num_nodes, random.src, random.dst};
    graph.node_features = random.node_features;
    graph.edge_features = random.edge_features;
    EXPECT_EQ(session.logits(graph), run(*plan, random)) << edges;
  }
}

TEST(Network, ASessionGivesTheSigmoidOfTheLogits) {
  const InteractionNetwork network = random_network(plain(8, 2), 1);
  const Graph random = random_graph({}, 30, 70, 2);
  HitGraph graph;
  graph.edges = {random.num_nodes, random.src, random.dst};
  graph.node_features = random.node_features;
  graph.edge_features = random.edge_features;
  Session session(network);
  const std::vector<float> logits = session.logits(graph), scores = session.run(graph);
  EXPECT_EQ(logits, run(Plan(network), random));
  for (std::size_t i = 0; i < logits.size(); ++i)
    EXPECT_NEAR(scores[i], 1. / (1. + std::exp(-double{logits[i]})), 1e-6);
}

TEST(EdgeScores, AreTheSigmoidOfTheLogits) {
  const std::vector<float> logits = {-INFINITY, -200.f, -89.f, -1.f, -1e-8f, 0.f, 1e-8f, 3.f, 17.f, 200.f, INFINITY};
  std::vector<float> scores(logits.size());
  edge_scores(logits.data(), std::ssize(logits), nullptr, scores.data(), {});
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const double expected = 1. / (1. + std::exp(-double{logits[i]}));
    EXPECT_NEAR(scores[i], expected, 2e-7 * expected + 1e-38) << logits[i];
  }
  float in_place = std::nanf("");
  edge_scores(&in_place, 1, nullptr, &in_place, {});
  EXPECT_TRUE(std::isnan(in_place));
  edge_scores(nullptr, 0, nullptr, nullptr, {});
  expect_error(ErrorKind::usage, "logits is null", [&] { edge_scores(nullptr, 1, nullptr, &in_place, {}); });
  expect_error(ErrorKind::usage, "num_edges is -1", [&] { edge_scores(&in_place, -1, nullptr, &in_place, {}); });
  const std::int32_t count = 1;
  expect_error(ErrorKind::usage, "a count, which only a device reads",
               [&] { edge_scores(&in_place, 1, &count, &in_place, {}); });
}

TEST(Network, AFeatureThatIsNotANumberIsSeenInTheLogits) {
  Graph graph = random_graph({}, 30, 70, 2);
  graph.edge_features[6 * 11] = std::nanf("");
  for (const SimdLevel level : simd_levels()) {
    EXPECT_TRUE(std::isnan(run(Plan(random_network(plain(8, 2), 1), level), graph)[11])) << to_string(level);
  }
}

}  // namespace
