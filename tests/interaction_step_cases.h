#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "half/storage.h"
#include "starling/interaction_step.h"

// One table of message-passing steps and MLPs for host and device.
namespace starling::interaction_step_cases {

using storage::computed;
using storage::store;
using Values = std::vector<double>;

inline Values random_values(std::size_t count, double low, double high, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  Values values(count);
  for (double& value : values) value = uniform(generator);
  return values;
}

/// As a type stores them.
template <typename T>
std::vector<T> stored(const Values& values) {
  std::vector<T> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<T, double>)
      result[i] = values[i];
    else
      store(result[i], static_cast<float>(values[i]));
  }
  return result;
}
template <typename T>
Values widened(const std::vector<T>& values) {
  Values result;
  for (const T& value : values) result.push_back(static_cast<double>(computed(value)));
  return result;
}

/// |a − b| / |b| as vectors; infinite where a value is not a number.
inline double distance(const Values& a, const Values& b) {
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i]) < 1e30)) return std::numeric_limits<double>::infinity();
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / size);
}

struct Ends {
  std::int32_t num_nodes = 0;
  std::vector<std::int32_t> src = {}, dst = {};
};

inline Ends random_ends(std::int32_t num_nodes, std::int32_t num_edges, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<std::int32_t> node(0, std::max(0, num_nodes - 1));
  Ends ends{num_nodes};
  for (std::int32_t i = 0; i < num_edges; ++i) {
    ends.src.push_back(node(generator));
    ends.dst.push_back(node(generator));
  }
  return ends;
}

/// The edges of each node, in ascending order.
struct Turned {
  std::vector<std::uint32_t> begin, entry;
  Turned(const std::vector<std::int32_t>& ends, std::int32_t num_nodes) : begin(1, 0U) {
    for (std::int32_t node = 0; node < num_nodes; ++node) {
      for (std::size_t r = 0; r < ends.size(); ++r)
        if (ends[r] == node) entry.push_back(static_cast<std::uint32_t>(r));
      begin.push_back(static_cast<std::uint32_t>(entry.size()));
    }
  }
};

struct StepCase {
  std::string name;
  int hidden = 48;
  Ends ends = {};
  bool bias = true, norm = true, concat = true, has_nodes = true, has_edges_gradient = true;
};

/// The arrays of a step in one memory; `Array<T>` holds and frees them.
template <typename S>
struct StepValues {
  explicit StepValues(const StepCase& one) {
    InteractionStep<S> sizes;
    sizes.hidden = one.hidden;
    sizes.bias = one.bias;
    sizes.concat = one.concat;
    const auto nodes = static_cast<std::size_t>(one.ends.num_nodes * one.hidden),
               edges = one.ends.src.size() * static_cast<std::size_t>(one.hidden);
    const auto parameters = [&](std::int64_t count, unsigned seed) {
      const double bound = 1.5 / std::sqrt(3. * one.hidden);
      return stored<ParameterOf<S>>(random_values(static_cast<std::size_t>(count), -bound, bound, seed));
    };
    x = stored<S>(random_values(nodes, 0, 1, 1));
    x0 = stored<S>(random_values(one.concat ? nodes : 0, 0, 1, 2));
    e = stored<S>(random_values(edges, 0, 1, 3));
    e0 = stored<S>(random_values(one.concat ? edges : 0, 0, 1, 4));
    edge_parameters = parameters(edge_parameter_count(sizes), 5);
    if (one.has_nodes) node_parameters = parameters(node_parameter_count(sizes), 6);
    edges_gradient = stored<S>(random_values(one.has_edges_gradient ? edges : 0, -1, 1, 7));
    nodes_gradient = stored<S>(random_values(one.has_nodes ? nodes : 0, -1, 1, 8));
  }
  std::vector<S> x, x0, e, e0, edges_gradient, nodes_gradient;
  std::vector<ParameterOf<S>> edge_parameters, node_parameters;
};

template <typename S>
struct StepResult {
  std::vector<S> edges, nodes, x, x0, e, e0;
  std::vector<ParameterOf<S>> edge_parameters, node_parameters;
  bool operator==(const StepResult&) const = default;
};

template <typename S>
StepResult<S> empty_result(const StepValues<S>& values) {
  StepResult<S> result;
  result.edges.resize(values.e.size());
  result.nodes.resize(values.nodes_gradient.size());
  result.x.resize(values.x.size());
  result.x0.resize(values.x0.size());
  result.e.resize(values.e.size());
  result.e0.resize(values.e0.size());
  result.edge_parameters.resize(values.edge_parameters.size());
  result.node_parameters.resize(values.node_parameters.size());
  return result;
}

template <typename S>
InteractionStep<S> sizes_of(const StepCase& one) {
  InteractionStep<S> step;
  step.hidden = one.hidden;
  step.bias = one.bias;
  step.norm = one.norm;
  step.concat = one.concat;
  step.num_nodes = one.ends.num_nodes;
  step.num_edges = static_cast<std::int32_t>(one.ends.src.size());
  return step;
}

template <typename T>
T* or_null(std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}
template <typename T>
const T* or_null(const std::vector<T>& values) {
  return values.empty() ? nullptr : values.data();
}

template <typename S>
StepResult<S> run_on_host(const StepCase& one, const StepValues<S>& values) {
  const Turned outgoing(one.ends.src, one.ends.num_nodes), incoming(one.ends.dst, one.ends.num_nodes);
  InteractionStep<S> step = sizes_of<S>(one);
  step.x = values.x.data();
  step.x0 = or_null(values.x0);
  step.e = values.e.data();
  step.e0 = or_null(values.e0);
  step.src = one.ends.src.data();
  step.dst = one.ends.dst.data();
  step.outgoing = {outgoing.begin.data(), outgoing.entry.data()};
  step.incoming = {incoming.begin.data(), incoming.entry.data()};
  step.edge_parameters = values.edge_parameters.data();
  step.node_parameters = or_null(values.node_parameters);
  StepResult<S> result = empty_result(values);
  interaction_step(step, result.edges.data(), result.nodes.data(), {});
  interaction_step_gradient(step, result.edges.data(), or_null(values.edges_gradient), or_null(values.nodes_gradient),
                            {result.x.data(), or_null(result.x0), result.e.data(), or_null(result.e0),
                             result.edge_parameters.data(), or_null(result.node_parameters)},
                            {});
  return result;
}

/// All variants, widths and numbers of rows.
inline std::vector<StepCase> step_cases() {
  const Ends some = random_ends(40, 210, 1);
  Ends one_node = random_ends(30, 300, 2);
  std::fill(one_node.dst.begin(), one_node.dst.end(), 17);
  std::fill(one_node.src.begin(), one_node.src.begin() + 150, 17);
  return {
      {"width 48", 48, some},
      {"no node network", 48, some, true, true, true, false},
      {"no gradient of edges", 48, some, true, true, true, true, false},
      {"no bias", 48, some, false},
      {"no normalisation", 48, some, true, false},
      {"no concat", 48, some, true, true, false},
      {"none of the three", 32, some, false, false, false},
      {"no concat, no node network", 16, some, true, true, false, false},
      {"width 1, without normalisation", 1, some, true, false},
      {"width 7", 7, some},
      {"width 33", 33, some},
      {"width 64", 64, some},
      {"width 80", 80, random_ends(20, 70, 3)},
      {"width 96", 96, random_ends(20, 70, 3)},
      {"width 128", 128, random_ends(20, 70, 3)},
      {"no edges", 48, random_ends(5, 0, 4)},
      {"one edge", 48, random_ends(2, 1, 4)},
      {"one node", 48, random_ends(1, 5, 4)},
      {"no nodes", 48, {}},
      {"all edges on one node", 48, one_node},
      {"several parts", 8, random_ends(300, 3000, 5)},
  };
}

struct MlpCase {
  std::string name;
  MlpShape shape;
  std::int32_t num_rows = 100;
  bool wants_inputs = true;
};

inline std::vector<MlpCase> mlp_cases() {
  return {
      {"node encoder", {12, 48, 48, 3, true, true, true}, 130, false},
      {"edge encoder", {6, 48, 48, 3, true, true, true}, 130, false},
      {"decoder", {48, 48, 48, 3, true, true, true}, 130},
      {"output", {48, 48, 1, 2, true, true, false}, 130},
      {"output, width 128", {128, 128, 1, 2, true, true, false}, 33},
      {"odd widths", {5, 7, 3, 3, true, true, true}, 37},
      {"no bias", {12, 32, 32, 3, false, true, true}, 37},
      {"no normalisation", {12, 32, 32, 3, true, false, true}, 37},
      {"more inputs than hidden", {100, 16, 20, 3, true, true, true}, 37},
      {"no rows", {12, 48, 48, 3, true, true, true}, 0},
      {"one row", {12, 48, 48, 3, true, true, true}, 1},
      {"several parts", {12, 16, 16, 3, true, true, true}, 3000},
  };
}

template <typename In, typename Out>
struct MlpValues {
  explicit MlpValues(const MlpCase& one) {
    const auto rows = static_cast<std::size_t>(one.num_rows);
    const double bound = 1.5 / std::sqrt(static_cast<double>(one.shape.hidden));
    inputs = stored<In>(random_values(rows * static_cast<std::size_t>(one.shape.inputs), -1, 1, 1));
    parameters =
        stored<ParameterOf<Out>>(random_values(static_cast<std::size_t>(parameter_count(one.shape)), -bound, bound, 2));
    out_gradient = stored<Out>(random_values(rows * static_cast<std::size_t>(one.shape.outputs), -1, 1, 3));
  }
  std::vector<In> inputs;
  std::vector<Out> out_gradient;
  std::vector<ParameterOf<Out>> parameters;
};

template <typename In, typename Out>
struct MlpResult {
  std::vector<Out> out;
  std::vector<In> inputs;
  std::vector<ParameterOf<Out>> parameters;
  bool operator==(const MlpResult&) const = default;
};

template <typename In, typename Out>
MlpResult<In, Out> run_on_host(const MlpCase& one, const MlpValues<In, Out>& values) {
  MlpResult<In, Out> result;
  result.out.resize(values.out_gradient.size());
  if (one.wants_inputs) result.inputs.resize(values.inputs.size());
  result.parameters.resize(values.parameters.size());
  const MlpRows<In, Out> rows{one.shape, values.parameters.data(), values.inputs.data(), one.num_rows};
  mlp_rows(rows, result.out.data(), {});
  mlp_rows_gradient(rows, values.out_gradient.data(), or_null(result.inputs), result.parameters.data(), {});
  return result;
}

}  // namespace starling::interaction_step_cases
