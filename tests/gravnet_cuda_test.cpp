#include <gtest/gtest.h>

#include "data.h"
#include "gravnet_cases.h"
#include "on_device.h"
#include "starling/gravnet.h"

namespace starling {
namespace {

std::vector<float> run_on_host(const GravNetCase& one) {
  const GravNetPlan plan(one.network);
  std::vector<float> outputs(static_cast<std::size_t>(one.hits().num_hits) * plan.shape().outputs);
  std::vector<std::byte> workspace(plan.workspace_bytes(one.hits()));
  plan.run(one.hits(), outputs.data(), workspace);
  return outputs;
}

struct Result {
  std::vector<float> outputs;
  std::int32_t bad_row;
};

Result run_on_device(const GravNetCase& one) {
  const OnDevice<std::byte> weights(GravNetCudaPlan::weights_bytes(one.network.shape));
  const GravNetCudaPlan plan(one.network, weights.span());
  const OnDevice<float> features(one.features);
  const OnDevice<std::int32_t> row_splits(one.row_splits), bad_row(1);
  GravNetHits hits = one.hits();
  hits.features = features.data();
  hits.row_splits = row_splits.data();
  const OnDevice<float> outputs(static_cast<std::size_t>(hits.num_hits) * plan.shape().outputs);
  const OnDevice<std::byte> workspace(plan.workspace_bytes(hits));
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  replay_twice(stream, [&] { plan.run(hits, outputs.data(), workspace.span(), execution); });
  return {outputs.get(), bad_row.get()[0]};
}

class GravNetCudaTest : public CudaTest {};

TEST_F(GravNetCudaTest, SameBytesAsOnTheHost) {
  for (const GravNetCase& one : gravnet_cases()) {
    SCOPED_TRACE(one.name);
    const Result device = run_on_device(one);
    EXPECT_EQ(device.outputs, run_on_host(one));
    EXPECT_EQ(device.bad_row, -1);
  }
}

TEST_F(GravNetCudaTest, TheSeedModelGivesTheGoldenOutputs) {
  STARLING_NEEDS_DATA("dynamic_networks");
  for (const char* const set : {"mini", "full"}) {
    const GoldenModel golden(data_folder() / "dynamic_networks", set);
    EXPECT_LT(relative_difference(run_on_device(golden.model).outputs, golden.outputs), 1e-4) << set;
  }
}

TEST_F(GravNetCudaTest, ARowThatIsNotFiniteIsNamed) {
  GravNetCase one = random_case("", {.inputs = 3, .hidden = 8, .width = 8, .blocks = 3, .k = 5, .outputs = 2}, {50}, 5);
  one.features[3 * 17 + 1] = std::nanf("");
  EXPECT_EQ(run_on_device(one).bad_row, 17);
}

TEST_F(GravNetCudaTest, WrongArgumentsAreNamed) {
  const GravNetCase one =
      random_case("", {.inputs = 3, .hidden = 8, .width = 8, .blocks = 1, .k = 5, .outputs = 2}, {20}, 5);
  const OnDevice<std::byte> weights(GravNetCudaPlan::weights_bytes(one.network.shape));
  expect_usage([&] { GravNetCudaPlan(one.network, weights.span().first(100)); }, "workspace of 100 bytes");
  GravNet wrong = one.network;
  wrong.weights.erase("fc1.bias");
  expect_usage([&] { GravNetCudaPlan(wrong, weights.span()); }, "tensor fc1.bias is missing");
  const GravNetCudaPlan plan(one.network, weights.span());
  const OnDevice<float> features(one.features), outputs(40);
  const OnDevice<std::int32_t> bad_row(1);
  GravNetHits hits{features.data(), 20};
  const OnDevice<std::byte> workspace(plan.workspace_bytes(hits));
  const Execution execution{.device = Device::cuda, .bad_row = bad_row.data()};
  const auto run = [&](std::span<std::byte> memory, const Execution& how) {
    return [&, memory, how] { plan.run(hits, outputs.data(), memory, how); };
  };
  expect_usage(run(workspace.span().first(100), execution), "workspace of 100 bytes");
  expect_usage(run(workspace.span(), {.device = Device::cuda}), "with a bad_row");
  expect_usage(run(workspace.span(), {}), "on a CUDA device");
  hits.num_hits = -1;
  expect_usage(run(workspace.span(), execution), "num_hits is -1");
}

}  // namespace
}  // namespace starling
