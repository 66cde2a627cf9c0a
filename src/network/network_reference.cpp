#include <cmath>

#include "network/architecture.h"
#include "starling/network.h"

namespace starling {

namespace {

struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;

  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double* row(std::int64_t r) { return values.data() + r * columns; }
  const double* row(std::int64_t r) const { return values.data() + r * columns; }
};

Matrix widen(const float* values, std::int64_t rows, std::int64_t columns) {
  Matrix matrix(rows, columns);
  matrix.values.assign(values, values + rows * columns);
  return matrix;
}

Matrix linear(const Model& model, const Layer& layer, const Matrix& in) {
  const std::vector<float>& weight = model.weights.at(layer.name + ".weight");
  Matrix out(in.rows, layer.out);
  for (std::int64_t r = 0; r < in.rows; ++r) {
    for (int o = 0; o < layer.out; ++o) {
      double sum = model.architecture.bias ? model.weights.at(layer.name + ".bias")[o] : 0.;
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
Matrix mlp(const Model& model, const std::vector<Layer>& all, const std::string& name, Matrix x) {
  for (const Layer& layer : all) {
    if (!layer.name.starts_with(name + ".")) continue;
    x = linear(model, layer, x);
    if (layer.normalised && model.architecture.norm == Norm::layer) {
      for (std::int64_t r = 0; r < x.rows; ++r) normalise(x.row(r), x.columns, 1, double{kLayerNormEpsilon});
    }
    if (layer.normalised && model.architecture.norm == Norm::batch && x.rows > 0) {
      const std::vector<float>& weight = model.weights.at(layer.name + ".norm_weight");
      const std::vector<float>& bias = model.weights.at(layer.name + ".norm_bias");
      for (std::int64_t c = 0; c < x.columns; ++c) {
        normalise(x.row(0) + c, x.rows, x.columns, double{kBatchNormEpsilon});
        for (std::int64_t r = 0; r < x.rows; ++r) x.row(r)[c] = x.row(r)[c] * double{weight[c]} + double{bias[c]};
      }
    }
    if (layer.activated) {
      for (double& value : x.values) value = value < 0. ? 0. : value;
    }
  }
  return x;
}

void append(double*& out, const Matrix& matrix, std::int64_t row) {
  for (std::int64_t c = 0; c < matrix.columns; ++c) *out++ = matrix.row(row)[c];
}

}  // namespace

std::vector<double> network_reference(const Model& model, const GraphView& graph) {
  const Architecture& architecture = model.architecture;
  const std::vector<Layer> all = layers(architecture);
  network::check_weights(model, ErrorKind::usage, "");
  network::check_edges(graph);

  const Matrix x0 =
      mlp(model, all, "node_encoder", widen(graph.node_features, graph.num_nodes, architecture.node_inputs));
  const Matrix e0 =
      mlp(model, all, "edge_encoder", widen(graph.edge_features, graph.num_edges, architecture.edge_inputs));
  Matrix x = x0, e = e0;
  for (int step = 0; step < architecture.steps; ++step) {
    const std::string weights = std::to_string(architecture.recurrent ? 0 : step);
    Matrix edge_in(graph.num_edges, (architecture.concat ? 6 : 3) * architecture.hidden);
    for (std::int64_t edge = 0; edge < graph.num_edges; ++edge) {
      double* out = edge_in.row(edge);
      append(out, e, edge);
      if (architecture.concat) append(out, e0, edge);
      for (const std::int32_t node : {graph.src[edge], graph.dst[edge]}) {
        append(out, x, node);
        if (architecture.concat) append(out, x0, node);
      }
    }
    e = mlp(model, all, "edge_network." + weights, std::move(edge_in));
    if (step + 1 == architecture.steps) break;  // the last node network feeds nothing

    Matrix into(graph.num_nodes, architecture.hidden), out_of(graph.num_nodes, architecture.hidden);
    for (std::int64_t edge = 0; edge < graph.num_edges; ++edge) {
      for (int c = 0; c < architecture.hidden; ++c) {
        into.row(graph.dst[edge])[c] += e.row(edge)[c];
        out_of.row(graph.src[edge])[c] += e.row(edge)[c];
      }
    }
    Matrix node_in(graph.num_nodes, (architecture.concat ? 4 : 3) * architecture.hidden);
    for (std::int32_t node = 0; node < graph.num_nodes; ++node) {
      double* out = node_in.row(node);
      append(out, into, node);
      append(out, out_of, node);
      append(out, x, node);
      if (architecture.concat) append(out, x0, node);
    }
    x = mlp(model, all, "node_network." + weights, std::move(node_in));
  }
  return mlp(model, all, "edge_output", mlp(model, all, "edge_decoder", std::move(e))).values;
}

}  // namespace starling
