#include "starling/interaction_step.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "interaction_step_cases.h"

namespace starling {
namespace {

using namespace interaction_step_cases;

double dot(const Values& a, const Values& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

/// L = the outputs times the given gradients.
double loss(const StepCase& one, const StepValues<double>& values) {
  const StepResult<double> result = run_on_host(one, values);
  return dot(values.edges_gradient, result.edges) + dot(values.nodes_gradient, result.nodes);
}

/// Compares each entry of a gradient with the difference of L where its value moves.
template <typename Loss>
void expect_differences(Values& values, const Values& gradient, const Loss& loss_now, const char* name) {
  constexpr double kStep = 1e-6;
  ASSERT_EQ(values.size(), gradient.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double kept = values[i];
    values[i] = kept + kStep;
    const double above = loss_now();
    values[i] = kept - kStep;
    const double below = loss_now();
    values[i] = kept;
    EXPECT_NEAR((above - below) / (2 * kStep), gradient[i], 1e-6 * (1 + std::abs(gradient[i]))) << name << " " << i;
  }
}

TEST(InteractionStep, GradientsAreDifferencesOfTheLoss) {
  const Ends ends = random_ends(4, 7, 3);
  for (const StepCase& one : std::vector<StepCase>{{"all", 3, ends},
                                                   {"no node network", 3, ends, true, true, true, false},
                                                   {"no gradient of edges", 3, ends, true, true, true, true, false},
                                                   {"no bias", 3, ends, false},
                                                   {"no normalisation", 3, ends, true, false},
                                                   {"no concat", 3, ends, true, true, false}}) {
    SCOPED_TRACE(one.name);
    StepValues<double> values(one);
    const StepResult<double> result = run_on_host(one, values);
    const auto loss_now = [&] { return loss(one, values); };
    expect_differences(values.x, result.x, loss_now, "x");
    expect_differences(values.x0, result.x0, loss_now, "x0");
    expect_differences(values.e, result.e, loss_now, "e");
    expect_differences(values.e0, result.e0, loss_now, "e0");
    expect_differences(values.edge_parameters, result.edge_parameters, loss_now, "edge parameter");
    expect_differences(values.node_parameters, result.node_parameters, loss_now, "node parameter");
  }
}

TEST(InteractionStep, GradientsOfMlpsAreDifferencesOfTheLoss) {
  for (const MlpCase& one : std::vector<MlpCase>{{"three layers", {4, 3, 2, 3, true, true, true}, 5},
                                                 {"two layers", {4, 3, 1, 2, true, true, false}, 5},
                                                 {"no bias", {4, 3, 2, 3, false, true, true}, 5},
                                                 {"no normalisation", {4, 3, 2, 3, true, false, true}, 5}}) {
    SCOPED_TRACE(one.name);
    MlpValues<double, double> values(one);
    const MlpResult<double, double> result = run_on_host(one, values);
    const auto loss_now = [&] { return dot(values.out_gradient, run_on_host(one, values).out); };
    expect_differences(values.inputs, result.inputs, loss_now, "input");
    expect_differences(values.parameters, result.parameters, loss_now, "parameter");
  }
}

TEST(InteractionStep, EdgesInFloatAndBFloat16AreThoseOfDoubleRounded) {
  const auto check = [](auto number) {
    using S = decltype(number);
    const StepCase one{"", 8, random_ends(6, 20, 1)};
    const StepValues<S> values(one);
    StepValues<double> wide(one);
    wide.x = widened(values.x);
    wide.x0 = widened(values.x0);
    wide.e = widened(values.e);
    wide.e0 = widened(values.e0);
    wide.edge_parameters = widened(values.edge_parameters);
    const std::vector<S> edges = run_on_host(one, values).edges;
    EXPECT_TRUE(edges == stored<S>(run_on_host(one, wide).edges));
  };
  check(float());
  check(BFloat16());
}

TEST(InteractionStep, CountsParameters) {
  EXPECT_EQ(parameter_count({12, 48, 48}), 12 * 48 + 48 + 2 * (48 * 48 + 48));
  EXPECT_EQ(parameter_count({48, 48, 1, 2, false}), 48 * 48 + 48);
  InteractionStep<float> step;
  step.hidden = 48;
  EXPECT_EQ(edge_parameter_count(step), 8 * 48 * 48 + 3 * 48);
  EXPECT_EQ(node_parameter_count(step), 6 * 48 * 48 + 3 * 48);
  step.concat = step.bias = false;
  EXPECT_EQ(edge_parameter_count(step), 5 * 48 * 48);
  EXPECT_EQ(node_parameter_count(step), 5 * 48 * 48);
}

TEST(InteractionStep, WrongArgumentsAreNamed) {
  expect_error(ErrorKind::usage, "parameter_count: hidden is 0: expected 1 to 128", [&] {
    parameter_count({12, 0, 48});
  });
  expect_error(ErrorKind::usage, "layers is 4: expected 2 to 3", [&] { parameter_count({12, 48, 48, 4}); });
  InteractionStep<float> step;
  step.hidden = 129;
  expect_error(ErrorKind::usage, "hidden is 129: expected 1 to 128", [&] { interaction_step_workspace_bytes(step); });
  step.hidden = 4;
  step.num_nodes = -1;
  expect_error(ErrorKind::usage, "num_nodes is -1", [&] { interaction_step_workspace_bytes(step); });
  step.num_nodes = 3;
  expect_error(ErrorKind::usage, "interaction_step: x is null",
               [&] { interaction_step<float>(step, nullptr, nullptr, {}); });
  InteractionStep<double> wide;
  wide.hidden = 4;
  expect_error(ErrorKind::usage, "double on a device: expected float or bfloat16",
               [&] { interaction_step_workspace_bytes(wide, {.device = Device::cuda}); });
  StepCase one{"", 2, random_ends(3, 4, 1)};
  one.ends.dst[2] = 3;
  expect_error(ErrorKind::input, "edge 2 ends at node 3: expected 0 to 2",
               [&] { run_on_host(one, StepValues<float>(one)); });
}

}  // namespace
}  // namespace starling
