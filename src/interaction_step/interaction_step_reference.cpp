#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "half/storage.h"
#include "interaction_step/backends.h"
#include "starling/dense.h"
#include "starling/error.h"

// The definitions as they stand, in double: one row after the other, inputs put side by side. What the device is
// compared with.
namespace starling::interactionstep::host {
namespace {

using Values = std::vector<double>;

template <typename T>
Values widened(const T* values, std::int64_t count) {
  Values result(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    result[static_cast<std::size_t>(i)] = static_cast<double>(storage::computed(values[i]));
  return result;
}

template <typename T>
void narrow(const Values& values, T* out) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<T, double>)
      out[i] = values[i];
    else
      storage::store(out[i], static_cast<float>(values[i]));
  }
}

/// An MLP on one row at a time.
class Mlp {
 public:
  template <typename P>
  Mlp(const MlpShape& shape, const P* parameters)
      : shape_(shape), parameters_(widened(parameters, count_of(shape))), gradient_(parameters_.size(), 0.) {
    for (int l = 0; l < shape.layers; ++l) layers_.push_back(layer_of(shape, l));
    states_.resize(layers_.size());
  }

  /// Keeps what backward() needs of this row.
  const Values& forward(const Values& inputs) {
    const Values* from = &inputs;
    for (std::size_t l = 0; l < layers_.size(); ++l) {
      const LayerShape& layer = layers_[l];
      State& state = states_[l];
      state.inputs = *from;
      state.sums.assign(static_cast<std::size_t>(layer.out), 0.);
      for (int o = 0; o < layer.out; ++o) {
        double sum = layer.bias >= 0 ? parameters_[static_cast<std::size_t>(layer.bias + o)] : 0.;
        for (int i = 0; i < layer.in; ++i) sum += weight(layer, o, i) * state.inputs[static_cast<std::size_t>(i)];
        state.sums[static_cast<std::size_t>(o)] = sum;
      }
      if (layer.norm) normalise(state);
      state.outputs = state.sums;
      if (layer.relu) {
        for (double& value : state.outputs) value = value < 0 ? 0 : value;
      }
      from = &state.outputs;
    }
    return *from;
  }

  /// The gradient of the inputs of the row that forward() has seen last; adds to that of the parameters.
  Values backward(Values gradient) {
    for (std::size_t l = layers_.size(); l-- > 0;) {
      const LayerShape& layer = layers_[l];
      const State& state = states_[l];
      if (layer.relu) {
        for (std::size_t o = 0; o < gradient.size(); ++o) gradient[o] = state.sums[o] > 0 ? gradient[o] : 0;
      }
      if (layer.norm) {
        const double width = static_cast<double>(gradient.size());
        double mean = 0, along = 0;  // of the gradient, and of its product with the normalised values
        for (std::size_t o = 0; o < gradient.size(); ++o) {
          mean += gradient[o] / width;
          along += gradient[o] * state.sums[o] / width;
        }
        for (std::size_t o = 0; o < gradient.size(); ++o)
          gradient[o] = (gradient[o] - mean - state.sums[o] * along) * state.scale;
      }
      Values of_inputs(static_cast<std::size_t>(layer.in), 0.);
      for (int o = 0; o < layer.out; ++o) {
        const double g = gradient[static_cast<std::size_t>(o)];
        if (layer.bias >= 0) gradient_[static_cast<std::size_t>(layer.bias + o)] += g;
        for (int i = 0; i < layer.in; ++i) {
          gradient_[place(layer, o, i)] += g * state.inputs[static_cast<std::size_t>(i)];
          of_inputs[static_cast<std::size_t>(i)] += g * weight(layer, o, i);
        }
      }
      gradient = std::move(of_inputs);
    }
    return gradient;
  }

  const Values& parameters_gradient() const { return gradient_; }

 private:
  struct State {
    Values inputs, sums, outputs;  ///< sums: after the normalisation where there is one
    double scale = 1;              ///< 1 / √(variance + ε)
  };

  static std::size_t place(const LayerShape& layer, int o, int i) {
    return static_cast<std::size_t>(layer.weight + std::int64_t{o} * layer.in + i);
  }
  double weight(const LayerShape& layer, int o, int i) const { return parameters_[place(layer, o, i)]; }

  static void normalise(State& state) {
    const double width = static_cast<double>(state.sums.size());
    double mean = 0, variance = 0;
    for (const double value : state.sums) mean += value / width;
    for (const double value : state.sums) variance += (value - mean) * (value - mean) / width;
    state.scale = 1 / std::sqrt(variance + static_cast<double>(kLayerNormEpsilon));
    for (double& value : state.sums) value = (value - mean) * state.scale;
  }

  MlpShape shape_;
  Values parameters_, gradient_;
  std::vector<LayerShape> layers_;
  std::vector<State> states_;
};

Values row_of(const Values& rows, std::int64_t row, int width) {
  const auto from = rows.begin() + row * width;
  return {from, from + width};
}
void append(Values& values, const Values& rows, std::int64_t row, int width) {
  const auto from = rows.begin() + row * width;
  values.insert(values.end(), from, from + width);
}
void set(Values& rows, std::int64_t row, const Values& values) {
  std::copy(values.begin(), values.end(), rows.begin() + row * static_cast<std::int64_t>(values.size()));
}
/// Adds part number `part` of a row of several side by side.
void add(Values& rows, std::int64_t row, int width, const Values& values, int part) {
  for (int f = 0; f < width; ++f)
    rows[static_cast<std::size_t>(row * width + f)] += values[static_cast<std::size_t>(part * width + f)];
}

/// The arrays of a step in double.
template <typename S>
class Step {
 public:
  explicit Step(const InteractionStep<S>& step)
      : step_(step),
        width_(step.hidden),
        x_(widened(step.x, numbers(step.num_nodes))),
        e_(widened(step.e, numbers(step.num_edges))),
        x0_(step.concat ? widened(step.x0, numbers(step.num_nodes)) : Values()),
        e0_(step.concat ? widened(step.e0, numbers(step.num_edges)) : Values()) {
    for (std::int32_t r = 0; r < step.num_edges; ++r) {
      for (const std::int32_t node : {step.src[r], step.dst[r]}) {
        if (node >= 0 && node < step.num_nodes) continue;
        throw Error(ErrorKind::input, "interaction_step: edge " + std::to_string(r) + " ends at node " +
                                          std::to_string(node) + ": expected 0 to " +
                                          std::to_string(step.num_nodes - 1));
      }
    }
  }

  std::int64_t numbers(std::int64_t rows) const { return rows * step_.hidden; }

  Values edge_inputs(std::int32_t edge) const {
    Values inputs;
    append(inputs, e_, edge, width_);
    if (step_.concat) append(inputs, e0_, edge, width_);
    for (const std::int32_t node : {step_.src[edge], step_.dst[edge]}) {
      append(inputs, x_, node, width_);
      if (step_.concat) append(inputs, x0_, node, width_);
    }
    return inputs;
  }

  /// [in, out] of each node.
  Values message_sums(const Values& edges) const {
    Values sums(static_cast<std::size_t>(2 * numbers(step_.num_nodes)), 0.);
    for (std::int32_t r = 0; r < step_.num_edges; ++r) {
      const Values row = row_of(edges, r, width_);
      add(sums, 2 * std::int64_t{step_.dst[r]}, width_, row, 0);
      add(sums, 2 * std::int64_t{step_.src[r]} + 1, width_, row, 0);
    }
    return sums;
  }

  Values node_inputs(const Values& sums, std::int32_t node) const {
    Values inputs = row_of(sums, node, 2 * width_);
    append(inputs, x_, node, width_);
    if (step_.concat) append(inputs, x0_, node, width_);
    return inputs;
  }

 private:
  const InteractionStep<S>& step_;
  int width_;
  Values x_, e_, x0_, e0_;
};

}  // namespace

template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out) {
  Mlp mlp(rows.shape, rows.parameters);
  for (std::int64_t r = 0; r < rows.num_rows; ++r) {
    narrow(mlp.forward(widened(rows.inputs + r * rows.shape.inputs, rows.shape.inputs)), out + r * rows.shape.outputs);
  }
}

template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient) {
  Mlp mlp(rows.shape, rows.parameters);
  for (std::int64_t r = 0; r < rows.num_rows; ++r) {
    mlp.forward(widened(rows.inputs + r * rows.shape.inputs, rows.shape.inputs));
    const Values gradient = mlp.backward(widened(out_gradient + r * rows.shape.outputs, rows.shape.outputs));
    if (inputs_gradient != nullptr) narrow(gradient, inputs_gradient + r * rows.shape.inputs);
  }
  narrow(mlp.parameters_gradient(), parameters_gradient);
}

template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes) {
  const Step<S> arrays(step);
  const int width = step.hidden;
  Mlp edge_network(edge_shape(step), step.edge_parameters);
  for (std::int32_t r = 0; r < step.num_edges; ++r)
    narrow(edge_network.forward(arrays.edge_inputs(r)), edges + std::int64_t{r} * width);
  if (step.node_parameters == nullptr) return;
  // Of e' as it is stored.
  const Values sums = arrays.message_sums(widened(edges, arrays.numbers(step.num_edges)));
  Mlp node_network(node_shape(step), step.node_parameters);
  for (std::int32_t v = 0; v < step.num_nodes; ++v)
    narrow(node_network.forward(arrays.node_inputs(sums, v)), nodes + std::int64_t{v} * width);
}

template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients) {
  const Step<S> arrays(step);
  const int width = step.hidden;
  Values of_x(static_cast<std::size_t>(arrays.numbers(step.num_nodes)), 0.), of_x0 = of_x;
  Values of_sums(2 * of_x.size(), 0.);
  if (step.node_parameters != nullptr) {
    const Values sums = arrays.message_sums(widened(edges, arrays.numbers(step.num_edges)));
    Mlp node_network(node_shape(step), step.node_parameters);
    for (std::int32_t v = 0; v < step.num_nodes; ++v) {
      node_network.forward(arrays.node_inputs(sums, v));
      const Values gradient = node_network.backward(widened(nodes_gradient + std::int64_t{v} * width, width));
      set(of_sums, v, row_of(gradient, 0, 2 * width));
      add(of_x, v, width, gradient, 2);
      if (step.concat) add(of_x0, v, width, gradient, 3);
    }
    narrow(node_network.parameters_gradient(), gradients.node_parameters);
  }
  Mlp edge_network(edge_shape(step), step.edge_parameters);
  for (std::int32_t r = 0; r < step.num_edges; ++r) {
    const std::int64_t at = std::int64_t{r} * width;
    edge_network.forward(arrays.edge_inputs(r));
    Values from =
        edges_gradient != nullptr ? widened(edges_gradient + at, width) : Values(static_cast<std::size_t>(width), 0.);
    add(from, 0, width, row_of(of_sums, 2 * std::int64_t{step.dst[r]}, width), 0);
    add(from, 0, width, row_of(of_sums, 2 * std::int64_t{step.src[r]} + 1, width), 0);
    const Values gradient = edge_network.backward(std::move(from));
    int part = 0;
    narrow(row_of(gradient, part++, width), gradients.e + at);
    if (step.concat) narrow(row_of(gradient, part++, width), gradients.e0 + at);
    for (const std::int32_t node : {step.src[r], step.dst[r]}) {
      add(of_x, node, width, gradient, part++);
      if (step.concat) add(of_x0, node, width, gradient, part++);
    }
  }
  narrow(edge_network.parameters_gradient(), gradients.edge_parameters);
  narrow(of_x, gradients.x);
  if (step.concat) narrow(of_x0, gradients.x0);
}

void gather_ends(const EdgeEnds& ends, const float* nodes, float* edges) {
  const std::int64_t width = ends.width;
  for (std::int64_t e = 0; e < ends.num_edges; ++e) {
    const float* const first = nodes + 2 * width * ends.first[e];
    const float* const second = nodes + 2 * width * ends.second[e] + width;
    for (std::int64_t c = 0; c < width; ++c) edges[e * width + c] = first[c] + second[c];
  }
}

void sum_ends(const EdgeEnds& ends, const float* edges, float* nodes) {
  const std::int64_t width = ends.width;
  std::fill_n(nodes, 2 * width * ends.num_nodes, 0.f);
  for (std::int64_t node = 0; node < ends.num_nodes; ++node) {
    float* sums = nodes + 2 * width * node;
    for (const Holders& holders : {ends.at_first, ends.at_second}) {
      for (std::uint32_t i = holders.begin[node]; i < holders.begin[node + 1]; ++i) {
        const float* const edge = edges + width * holders.entry[i];
        for (std::int64_t c = 0; c < width; ++c) sums[c] += edge[c];
      }
      sums += width;
    }
  }
}

#define STARLING_INSTANTIATE(In, Out)                    \
  template void mlp_rows(const MlpRows<In, Out>&, Out*); \
  template void mlp_rows_gradient(const MlpRows<In, Out>&, const Out*, In*, ParameterOf<Out>*)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(float, BFloat16);
STARLING_INSTANTIATE(BFloat16, BFloat16);
STARLING_INSTANTIATE(BFloat16, float);
STARLING_INSTANTIATE(double, double);
#undef STARLING_INSTANTIATE

#define STARLING_INSTANTIATE(S)                                                                    \
  template void interaction_step(const InteractionStep<S>&, S*, S*);                               \
  template void interaction_step_gradient(const InteractionStep<S>&, const S*, const S*, const S*, \
                                          const InteractionStepGradients<S>&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(BFloat16);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::interactionstep::host
