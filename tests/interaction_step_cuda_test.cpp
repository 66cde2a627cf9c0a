#include <gtest/gtest.h>

#include "interaction_step_cases.h"
#include "on_device.h"
#include "starling/interaction_step.h"

namespace starling {
namespace {

using namespace interaction_step_cases;

template <typename T>
T* or_null(const OnDevice<T>& array) {
  return array.span().empty() ? nullptr : array.data();
}

template <typename S>
StepResult<S> run_on_device(const StepCase& one, const StepValues<S>& values, bool tf32) {
  const Turned outgoing(one.ends.src, one.ends.num_nodes), incoming(one.ends.dst, one.ends.num_nodes);
  const OnDevice<S> x(values.x), x0(values.x0), e(values.e), e0(values.e0), edges_gradient(values.edges_gradient),
      nodes_gradient(values.nodes_gradient);
  const OnDevice<float> edge_parameters(values.edge_parameters), node_parameters(values.node_parameters);
  const OnDevice<std::int32_t> src(one.ends.src), dst(one.ends.dst);
  const OnDevice<std::uint32_t> out_begin(outgoing.begin), out_entry(outgoing.entry), in_begin(incoming.begin),
      in_entry(incoming.entry);
  InteractionStep<S> step = sizes_of<S>(one);
  step.tf32 = tf32;
  step.x = x.data();
  step.x0 = or_null(x0);
  step.e = e.data();
  step.e0 = or_null(e0);
  step.src = src.data();
  step.dst = dst.data();
  step.outgoing = {out_begin.data(), out_entry.data()};
  step.incoming = {in_begin.data(), in_entry.data()};
  step.edge_parameters = edge_parameters.data();
  step.node_parameters = or_null(node_parameters);
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<S> edges(values.e.size()), nodes(values.nodes_gradient.size()), of_x(values.x.size()),
      of_x0(values.x0.size()), of_e(values.e.size()), of_e0(values.e0.size());
  const OnDevice<float> of_edge_parameters(values.edge_parameters.size()),
      of_node_parameters(values.node_parameters.size());
  const OnDevice<std::byte> workspace(interaction_step_workspace_bytes(step, execution)),
      gradient_workspace(interaction_step_gradient_workspace_bytes(step, execution));
  replay_twice(stream, [&] {
    interaction_step(step, edges.data(), nodes.data(), workspace.span(), execution);
    interaction_step_gradient(step, edges.data(), or_null(edges_gradient), or_null(nodes_gradient),
                              {of_x.data(), or_null(of_x0), of_e.data(), or_null(of_e0), of_edge_parameters.data(),
                               or_null(of_node_parameters)},
                              gradient_workspace.span(), execution);
  });
  return {edges.get(),
          nodes.get(),
          of_x.get(),
          of_x0.get(),
          of_e.get(),
          of_e0.get(),
          of_edge_parameters.get(),
          of_node_parameters.get()};
}

template <typename In, typename Out>
MlpResult<In, Out> run_on_device(const MlpCase& one, const MlpValues<In, Out>& values, bool tf32) {
  const OnDevice<In> inputs(values.inputs);
  const OnDevice<Out> out_gradient(values.out_gradient), out(values.out_gradient.size());
  const OnDevice<float> parameters(values.parameters), of_parameters(values.parameters.size());
  const OnDevice<In> of_inputs(one.wants_inputs ? values.inputs.size() : 0);
  const MlpRows<In, Out> rows{one.shape, parameters.data(), inputs.data(), one.num_rows, tf32};
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<std::byte> workspace(mlp_rows_workspace_bytes(rows, execution)),
      gradient_workspace(mlp_rows_gradient_workspace_bytes(rows, execution));
  replay_twice(stream, [&] {
    mlp_rows(rows, out.data(), workspace.span(), execution);
    mlp_rows_gradient(rows, out_gradient.data(), one.wants_inputs ? of_inputs.data() : nullptr, of_parameters.data(),
                      gradient_workspace.span(), execution);
  });
  return {out.get(), of_inputs.get(), of_parameters.get()};
}

/// Distances from the host's. A ReLU whose sum is next to 0 may turn, as rounding decides: then a gradient is further
/// away than `gradient`, but within `turned`. That is seldom.
struct Tolerance {
  double value, gradient, turned;
};
constexpr Tolerance kSplit{2e-5, 1e-4, 3e-2}, kTf32{5e-3, 1e-1, 1e-1}, kBFloat16{2e-2, 2e-1, 2e-1};

class Comparison {
 public:
  explicit Comparison(const Tolerance& tolerance) : tolerance_(tolerance) {}
  ~Comparison() { EXPECT_LE(turned_, gradients_ / 10) << "of " << gradients_; }

  template <typename T>
  void value(const char* name, const std::vector<T>& device, const std::vector<T>& host) const {
    EXPECT_LE(distance(widened(device), widened(host)), tolerance_.value) << name;
  }
  template <typename T>
  void gradient(const char* name, const std::vector<T>& device, const std::vector<T>& host) {
    const double far = distance(widened(device), widened(host));
    EXPECT_LE(far, tolerance_.turned) << name;
    ++gradients_;
    turned_ += far > tolerance_.gradient;
  }

  template <typename S>
  void compare(const StepCase& one, bool tf32) {
    SCOPED_TRACE(one.name);
    const StepValues<S> values(one);
    const StepResult<S> host = run_on_host(one, values), device = run_on_device(one, values, tf32);
    value("edges", device.edges, host.edges);
    value("nodes", device.nodes, host.nodes);
    gradient("x", device.x, host.x);
    gradient("x0", device.x0, host.x0);
    gradient("e", device.e, host.e);
    gradient("e0", device.e0, host.e0);
    gradient("edge parameters", device.edge_parameters, host.edge_parameters);
    gradient("node parameters", device.node_parameters, host.node_parameters);
    EXPECT_EQ(device, run_on_device(one, values, tf32));
  }

  template <typename In, typename Out>
  void compare(const MlpCase& one, bool tf32) {
    SCOPED_TRACE(one.name);
    const MlpValues<In, Out> values(one);
    const MlpResult<In, Out> host = run_on_host(one, values), device = run_on_device(one, values, tf32);
    value("out", device.out, host.out);
    gradient("inputs", device.inputs, host.inputs);
    gradient("parameters", device.parameters, host.parameters);
    EXPECT_EQ(device, run_on_device(one, values, tf32));
  }

 private:
  Tolerance tolerance_;
  int gradients_ = 0, turned_ = 0;
};

class InteractionStepCudaTest : public CudaTest {};

TEST_F(InteractionStepCudaTest, AFloatStepIsTheHostsAndRepeatsItsBytes) {
  Comparison comparison(kSplit);
  for (const StepCase& one : step_cases()) comparison.compare<float>(one, false);
}

TEST_F(InteractionStepCudaTest, AStepInTf32IsNearTheHosts) {
  Comparison comparison(kTf32);
  for (const StepCase& one : step_cases()) comparison.compare<float>(one, true);
}

TEST_F(InteractionStepCudaTest, AStepInBFloat16IsNearTheHosts) {
  Comparison comparison(kBFloat16);
  for (const StepCase& one : step_cases()) comparison.compare<BFloat16>(one, false);
}

TEST_F(InteractionStepCudaTest, MlpsInFloatAreTheHostsAndRepeatTheirBytes) {
  Comparison comparison(kSplit);
  for (const MlpCase& one : mlp_cases()) comparison.compare<float, float>(one, false);
}

TEST_F(InteractionStepCudaTest, MlpsInTf32AreNearTheHosts) {
  Comparison comparison(kTf32);
  for (const MlpCase& one : mlp_cases()) comparison.compare<float, float>(one, true);
}

TEST_F(InteractionStepCudaTest, MlpsInBFloat16AreNearTheHosts) {
  Comparison comparison(kBFloat16);
  for (const MlpCase& one : mlp_cases()) {
    comparison.compare<float, BFloat16>(one, false);
    comparison.compare<BFloat16, BFloat16>(one, false);
    comparison.compare<BFloat16, float>(one, false);
  }
}

TEST_F(InteractionStepCudaTest, AnEndThatIsNoNodeGivesNothing) {
  StepCase one{"", 32, random_ends(20, 60, 1)};
  const StepValues<float> values(one);
  const StepResult<float> whole = run_on_device(one, values, false);
  one.ends.src[5] = -1;
  one.ends.dst[6] = 20;
  const StepResult<float> result = run_on_device(one, values, false);
  for (std::size_t i = 0; i < whole.edges.size(); ++i) {
    const std::size_t edge = i / 32;
    if (edge == 5 || edge == 6) continue;
    ASSERT_EQ(result.edges[i], whole.edges[i]) << edge;
  }
  EXPECT_NE(result.edges, whole.edges);
  for (const auto* const gradient : {&result.x, &result.x0, &result.e, &result.e0, &result.edge_parameters})
    for (const float number : *gradient) ASSERT_TRUE(std::isfinite(number));
}

TEST_F(InteractionStepCudaTest, MoreRowsThanAChunkHas) {
  Comparison(kSplit).compare<float, float>({"", {128, 2, 1, 2, true, false, false}, (1 << 15) + 50}, false);
}

}  // namespace
}  // namespace starling
