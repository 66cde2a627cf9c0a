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

/// The same numbers in double.
template <typename S>
StepValues<double> in_double(const StepCase& one, const StepValues<S>& values) {
  StepValues<double> wide(one);
  wide.x = widened(values.x);
  wide.x0 = widened(values.x0);
  wide.e = widened(values.e);
  wide.e0 = widened(values.e0);
  wide.edges_gradient = widened(values.edges_gradient);
  wide.nodes_gradient = widened(values.nodes_gradient);
  wide.edge_parameters = widened(values.edge_parameters);
  wide.node_parameters = widened(values.node_parameters);
  return wide;
}

// Message sums add up e' as it is stored.
template <typename S>
void expect_as_in_double(double tolerance) {
  for (const StepCase& one : step_cases()) {
    SCOPED_TRACE(one.name);
    const StepValues<S> values(one);
    const StepResult<S> result = run_on_host(one, values);
    const StepResult<double> wide = run_on_host(one, in_double(one, values));
    EXPECT_TRUE(result.edges == stored<S>(wide.edges));
    EXPECT_LE(distance(widened(result.nodes), wide.nodes), tolerance);
    EXPECT_LE(distance(widened(result.x), wide.x), 10 * tolerance);
    EXPECT_LE(distance(widened(result.x0), wide.x0), 10 * tolerance);
    EXPECT_LE(distance(widened(result.e), wide.e), 10 * tolerance);
    EXPECT_LE(distance(widened(result.e0), wide.e0), 10 * tolerance);
    EXPECT_LE(distance(widened(result.edge_parameters), wide.edge_parameters), 10 * tolerance);
    EXPECT_LE(distance(widened(result.node_parameters), wide.node_parameters), 10 * tolerance);
  }
}

TEST(InteractionStep, FloatIsDoubleRounded) { expect_as_in_double<float>(1e-6); }

TEST(InteractionStep, BFloat16IsDoubleRounded) { expect_as_in_double<BFloat16>(1e-2); }

TEST(InteractionStep, MlpsInFloatAndBFloat16AreThoseOfDoubleRounded) {
  const auto check = []<typename In, typename Out>(In, Out) {
    for (const MlpCase& one : mlp_cases()) {
      SCOPED_TRACE(one.name);
      const MlpValues<In, Out> values(one);
      MlpValues<double, double> wide(one);
      wide.inputs = widened(values.inputs);
      wide.out_gradient = widened(values.out_gradient);
      wide.parameters = widened(values.parameters);
      const MlpResult<In, Out> result = run_on_host(one, values);
      const MlpResult<double, double> expected = run_on_host(one, wide);
      EXPECT_TRUE(result.out == stored<Out>(expected.out));
      EXPECT_TRUE(result.inputs == stored<In>(expected.inputs));
      EXPECT_EQ(result.parameters, stored<float>(expected.parameters));
    }
  };
  check(float(), float());
  check(float(), BFloat16());
  check(BFloat16(), BFloat16());
  check(BFloat16(), float());
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
