#include <functional>

#include "interaction_network/shape.h"
#include "quantized_network/structure.h"

namespace starling {
namespace {

using quantized_network::Layer;

// Rows of codes, or of sums before they are codes, and what one of them is worth.
struct Codes {
  std::int64_t rows = 0;
  int columns = 0;
  float scale = 1.f;
  std::vector<std::int64_t> values;

  const std::int64_t* row(std::int64_t r) const { return values.data() + r * columns; }
};

Codes make(std::int64_t rows, int columns, float scale) {
  return {rows, columns, scale, std::vector<std::int64_t>(static_cast<std::size_t>(rows * columns))};
}

class Reference {
 public:
  Reference(const QuantizedNetwork& network, const GraphView& graph,
            std::map<std::string, std::vector<std::int32_t>>* codes)
      : network_(network), graph_(graph), kept_(codes) {
    for (Layer& layer : quantized_network::arithmetic(network)) layers_[layer.dense.name] = std::move(layer);
  }

  std::vector<float> run() {
    const InteractionNetworkShape& shape = network_.shape;
    const std::int64_t nodes = graph_.num_nodes, edges = graph_.num_edges();
    const int h = shape.hidden;
    const Codes x0 = mlp("node_encoder", features("node_encoder", graph_.node_features, nodes, shape.node_inputs));
    const Codes e0 = mlp("edge_encoder", features("edge_encoder", graph_.edge_features, edges, shape.edge_inputs));
    Codes x = x0, e = e0;
    for (int step = 0; step < shape.steps; ++step) {
      const std::string number = std::to_string(shape.recurrent ? 0 : step);
      const std::string edge = "edge_network." + number, node = "node_network." + number;
      using Source = std::pair<const Codes*, const std::int32_t*>;  // rows, and which of them (null: each)
      const std::int32_t *const src = graph_.src.data(), *const dst = graph_.dst.data();
      const std::vector<Source> edge_parts =
          shape.concat
              ? std::vector<Source>{{&e, nullptr}, {&e0, nullptr}, {&x, src}, {&x0, src}, {&x, dst}, {&x0, dst}}
              : std::vector<Source>{{&e, nullptr}, {&x, src}, {&x, dst}};
      e = mlp(edge, read(edge, edges, h, edge_parts));
      if (step + 1 == shape.steps) break;
      const Codes in = sums(e, dst, nodes), out = sums(e, src, nodes);
      std::vector<Source> node_parts = {{&in, nullptr}, {&out, nullptr}, {&x, nullptr}};
      if (shape.concat) node_parts.push_back({&x0, nullptr});
      x = mlp(node, read(node, nodes, h, node_parts));
    }
    const Codes decoded = mlp("edge_decoder", read("edge_decoder", edges, h, {{&e, nullptr}}));
    const Codes last = mlp("edge_output", read("edge_output", edges, h, {{&decoded, nullptr}}));
    const float scale = layers_.at("edge_output.1").scale.front();
    std::vector<float> logits;
    for (const std::int64_t sum : last.values) logits.push_back(dense::value_of(sum, scale));
    return logits;
  }

 private:
  void keep(const std::string& name, const Codes& codes) {
    if (kept_ != nullptr) (*kept_)[name].assign(codes.values.begin(), codes.values.end());
  }

  Codes features(const std::string& name, std::span<const float> values, std::int64_t rows, int columns) {
    const dense::CodeGrid grid = quantized_network::signed_grid(network_.inputs.at(name));
    Codes codes = make(rows, columns, grid.scale);
    for (std::size_t i = 0; i < values.size(); ++i) codes.values[i] = dense::code_of(values[i], grid);
    keep(name + ".in", codes);
    return codes;
  }

  // What the MLP `name` reads of states side by side: their values, in its own codes.
  Codes read(const std::string& name, std::int64_t rows, int width,
             const std::vector<std::pair<const Codes*, const std::int32_t*>>& parts) {
    const dense::CodeGrid grid = quantized_network::signed_grid(network_.inputs.at(name));
    Codes codes = make(rows, width * static_cast<int>(parts.size()), grid.scale);
    auto out = codes.values.begin();
    for (std::int64_t r = 0; r < rows; ++r) {
      for (const auto& [source, places] : parts) {
        const std::int64_t* const row = source->row(places == nullptr ? r : places[r]);
        for (int c = 0; c < width; ++c) *out++ = dense::code_of(dense::value_of(row[c], source->scale), grid);
      }
    }
    keep(name + ".in", codes);
    return codes;
  }

  static Codes sums(const Codes& messages, const std::int32_t* ends, std::int64_t nodes) {
    Codes codes = make(nodes, messages.columns, messages.scale);
    for (std::int64_t edge = 0; edge < messages.rows; ++edge) {
      for (int c = 0; c < messages.columns; ++c) {
        codes.values[ends[edge] * std::int64_t{codes.columns} + c] += messages.row(edge)[c];
      }
    }
    return codes;
  }

  Codes mlp(const std::string& name, Codes codes) {
    for (int k = 0;; ++k) {
      const auto layer = layers_.find(name + "." + std::to_string(k));
      if (layer == layers_.end()) return codes;
      codes = linear(layer->second, codes);
      if (!layer->second.dense.relu) continue;
      codes = quantized(layer->second, codes);
      keep(layer->first, codes);
    }
  }

  static Codes linear(const Layer& layer, const Codes& in) {
    Codes sums = make(in.rows, layer.dense.out, 0.f);
    for (std::int64_t r = 0; r < in.rows; ++r) {
      for (int out = 0; out < layer.dense.out; ++out) {
        std::int64_t sum = layer.bias_at(out);
        for (int i = 0; i < layer.dense.in; ++i) sum += in.row(r)[i] * layer.weight_at(out, i);
        sums.values[r * layer.dense.out + out] = sum;
      }
    }
    return sums;
  }

  static Codes quantized(const Layer& layer, Codes& sums) {
    const int width = sums.columns;
    Codes codes = make(sums.rows, width, layer.output.scale);
    const auto for_all = [&](const std::function<float(std::int64_t, int)>& value) {
      for (std::int64_t r = 0; r < sums.rows; ++r) {
        for (int c = 0; c < width; ++c) codes.values[r * width + c] = dense::code_of(value(r, c), layer.output);
      }
    };
    switch (layer.dense.norm) {
      case Norm::none:
        for_all([&](std::int64_t r, int c) { return dense::value_of(sums.row(r)[c], layer.scale_of(c)); });
        break;
      case Norm::layer: {
        if (!layer.ratio.empty()) {
          for (std::size_t i = 0; i < sums.values.size(); ++i) {
            sums.values[i] = dense::rescaled(sums.values[i], layer.ratio[i % width]);
          }
        }
        dense::IntegerMoments moments;
        double deviation = 1.;
        for_all([&](std::int64_t r, int c) {
          if (c == 0) {
            moments = {.count = width};
            for (int i = 0; i < width; ++i) dense::add_to(moments, sums.row(r)[i]);
            deviation = dense::integer_deviation(moments, layer.floor);
          }
          return static_cast<float>(dense::difference_from_mean(moments, sums.row(r)[c]) / deviation);
        });
        break;
      }
      case Norm::batch: {
        std::vector<dense::IntegerMoments> moments(width);
        std::vector<double> deviation;
        for (std::int64_t r = 0; r < sums.rows; ++r) {
          for (int c = 0; c < width; ++c) dense::add_to(moments[c], sums.row(r)[c]);
        }
        for (int c = 0; c < width; ++c) {
          moments[c].count = sums.rows;
          deviation.push_back(dense::batch_deviation(moments[c], double{kBatchNormEpsilon}, layer.scale_of(c)));
        }
        for_all([&](std::int64_t r, int c) {
          return dense::batch_normalised(dense::difference_from_mean(moments[c], sums.row(r)[c]) / deviation[c],
                                         layer.codes->norm_weight[c], layer.codes->norm_bias[c]);
        });
        break;
      }
    }
    return codes;
  }

  const QuantizedNetwork& network_;
  const GraphView& graph_;
  std::map<std::string, std::vector<std::int32_t>>* kept_;
  std::map<std::string, Layer> layers_;
};

}  // namespace

std::vector<float> quantized_network_reference(const QuantizedNetwork& network, const GraphView& graph,
                                               std::map<std::string, std::vector<std::int32_t>>* codes) {
  quantized_network::check(network, ErrorKind::usage, "");
  interaction_network::check_graph(graph, network.shape);
  return Reference(network, graph, codes).run();
}

}  // namespace starling
