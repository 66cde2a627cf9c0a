#include <cmath>

#include "interaction_network/reference.h"
#include "interaction_network/shape.h"

namespace starling {

namespace {

struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double* row(std::int64_t r) { return values.data() + r * columns; }
  const double* row(std::int64_t r) const { return values.data() + r * columns; }
};

Matrix widen(std::span<const float> values, std::int64_t rows, std::int64_t columns) {
  Matrix matrix(rows, columns);
  matrix.values.assign(values.begin(), values.end());
  return matrix;
}

Matrix linear(const InteractionNetwork& network, const DenseLayer& layer, const Matrix& in) {
  const std::vector<float>& weight = network.weights.at(layer.name + ".weight");
  Matrix out(in.rows, layer.out);
  for (std::int64_t r = 0; r < in.rows; ++r) {
    for (int o = 0; o < layer.out; ++o) {
      double sum = layer.bias ? network.weights.at(layer.name + ".bias")[o] : 0.;
      for (int i = 0; i < layer.in; ++i) sum += double{weight[std::size_t(o) * layer.in + i]} * in.row(r)[i];
      out.row(r)[o] = sum;
    }
  }
  return out;
}

void normalise(double* first, std::int64_t count, std::int64_t stride, double epsilon) {
  double mean = 0., variance = 0.;
  for (std::int64_t i = 0; i < count; ++i) mean += first[i * stride];
  mean /= double(count);
  for (std::int64_t i = 0; i < count; ++i) variance += (first[i * stride] - mean) * (first[i * stride] - mean);
  variance /= double(count);
  for (std::int64_t i = 0; i < count; ++i) {
    first[i * stride] = (first[i * stride] - mean) / std::sqrt(variance + epsilon);
  }
}

// The layers whose names start with `name`.
Matrix mlp(const InteractionNetwork& network, const std::vector<DenseLayer>& all, const std::string& name, Matrix x,
           const interaction_network::Listener& listener) {
  listener(name + ".in", x.values);
  for (const DenseLayer& layer : all) {
    if (!layer.name.starts_with(name + ".")) continue;
    x = linear(network, layer, x);
    if (layer.norm == Norm::layer) {
      for (std::int64_t r = 0; r < x.rows; ++r) normalise(x.row(r), x.columns, 1, double{kLayerNormEpsilon});
    }
    if (layer.norm == Norm::batch && x.rows > 0) {
      const std::vector<float>& weight = network.weights.at(layer.name + ".norm_weight");
      const std::vector<float>& bias = network.weights.at(layer.name + ".norm_bias");
      for (std::int64_t c = 0; c < x.columns; ++c) {
        normalise(x.row(0) + c, x.rows, x.columns, double{kBatchNormEpsilon});
        for (std::int64_t r = 0; r < x.rows; ++r) x.row(r)[c] = x.row(r)[c] * double{weight[c]} + double{bias[c]};
      }
    }
    if (layer.relu) {
      for (double& value : x.values) value = value < 0. ? 0. : value;
    }
    listener(layer.name, x.values);
  }
  return x;
}

void append(double*& out, const Matrix& matrix, std::int64_t row) {
  for (std::int64_t c = 0; c < matrix.columns; ++c) *out++ = matrix.row(row)[c];
}

}  // namespace

std::vector<double> interaction_network::reference(const InteractionNetwork& network, const GraphView& graph,
                                                   const Listener& listener) {
  const InteractionNetworkShape& shape = network.shape;
  const std::vector<DenseLayer> all = layers(shape);
  check_weights(network, ErrorKind::usage, "");
  check_graph(graph, shape);
  const auto run = [&](const std::string& name, Matrix x) { return mlp(network, all, name, std::move(x), listener); };

  const Matrix x0 = run("node_encoder", widen(graph.node_features, graph.num_nodes, shape.node_inputs));
  const Matrix e0 = run("edge_encoder", widen(graph.edge_features, graph.num_edges(), shape.edge_inputs));
  Matrix x = x0, e = e0;
  for (int step = 0; step < shape.steps; ++step) {
    const std::string weights = std::to_string(shape.recurrent ? 0 : step);
    Matrix edge_in(graph.num_edges(), (shape.concat ? 6 : 3) * shape.hidden);
    for (std::int64_t edge = 0; edge < graph.num_edges(); ++edge) {
      double* out = edge_in.row(edge);
      append(out, e, edge);
      if (shape.concat) append(out, e0, edge);
      for (const std::int32_t node : {graph.src[edge], graph.dst[edge]}) {
        append(out, x, node);
        if (shape.concat) append(out, x0, node);
      }
    }
    e = run("edge_network." + weights, std::move(edge_in));
    if (step + 1 == shape.steps) break;  // the last node network feeds nothing

    Matrix into(graph.num_nodes, shape.hidden), out_of(graph.num_nodes, shape.hidden);
    for (std::int64_t edge = 0; edge < graph.num_edges(); ++edge) {
      for (int c = 0; c < shape.hidden; ++c) {
        into.row(graph.dst[edge])[c] += e.row(edge)[c];
        out_of.row(graph.src[edge])[c] += e.row(edge)[c];
      }
    }
    Matrix node_in(graph.num_nodes, (shape.concat ? 4 : 3) * shape.hidden);
    for (std::int32_t node = 0; node < graph.num_nodes; ++node) {
      double* out = node_in.row(node);
      append(out, into, node);
      append(out, out_of, node);
      append(out, x, node);
      if (shape.concat) append(out, x0, node);
    }
    x = run("node_network." + weights, std::move(node_in));
  }
  return run("edge_output", run("edge_decoder", std::move(e))).values;
}

std::vector<double> network_reference(const InteractionNetwork& network, const GraphView& graph) {
  return interaction_network::reference(network, graph, [](const std::string&, std::span<const double>) {});
}

}  // namespace starling
