#include <algorithm>
#include <limits>
#include <map>
#include <string>

#include "quantized_network/cuda/content.h"
#include "quantized_network/cuda/network.h"
#include "quantized_network/cuda/tile_pass.h"
#include "quantized_network/factor.h"
#include "quantized_network/structure.h"

namespace starling::quantized_network::cuda {
namespace {

using dense::cuda::QuantizeSums, dense::cuda::Requantizer, dense::cuda::code_index;

/// The part of a pass that does not depend on the graph.
struct PassWeights {
  const std::uint8_t* matrices = nullptr;
  int count = 0;
};
struct EdgeWeights : PassWeights {
  Requantizer e, e0;
};
/// Of the encoder, or of a step's node network, and of what the edges of the next step gather.
struct NodeWeights : PassWeights {
  Requantizer x, x0;
  TileSums sums;
  Requantizer project_x, project_x0;
  const std::int32_t* by_src_start = nullptr;
};

struct TileWeights {
  std::map<std::string, TileLayer> layers;  ///< by name; without parts, and without what depends on the graph
  std::vector<EdgeWeights> edges;           ///< per step
  std::vector<NodeWeights> nodes;           ///< the encoder, then per step
  Requantizer decoder, output;
  const std::uint32_t* output_weights = nullptr;
  std::int32_t output_start = 0;
  float output_scale = 1.f;
  std::int32_t highest_message = 0;
};

class TilePacker {
 public:
  TilePacker(const QuantizedNetwork& network, const std::byte* base)
      : shape_(network.shape), columns_(tile_columns(network.shape.hidden)), content(base) {
    for (Layer& layer : arithmetic(network)) layers_[layer.dense.name] = std::move(layer);
    for (const auto& [name, layer] : layers_) {
      if (layer.dense.relu) weights.layers[name] = packed(layer);
    }
    weights.nodes.push_back(node_pass(-1));
    for (int step = 0; step < shape_.steps; ++step) {
      weights.edges.push_back(edge_pass(step));
      if (step + 1 < shape_.steps) weights.nodes.push_back(node_pass(step));
    }
    weights.decoder = requantizer(message(shape_.steps - 1), layer("edge_decoder.0").input);
    weights.output = requantizer(layer("edge_decoder.2").output, layer("edge_output.0").input);
    const Layer& last = layer("edge_output.1");
    std::vector<std::uint32_t> words(columns() / 4);
    for (int in = 0; in < shape_.hidden; ++in) {
      const auto byte = static_cast<std::uint8_t>(last.weight_at(0, in));
      words[static_cast<std::size_t>(code_index(in) / 4)] |= std::uint32_t{byte} << 8 * (code_index(in) % 4);
    }
    weights.output_weights = content.add(words);
    weights.output_start = last.bias_at(0);
    weights.output_scale = last.scale_of(0);
  }

 private:
  std::size_t columns() const { return static_cast<std::size_t>(columns_); }
  const Layer& layer(const std::string& name) const { return layers_.at(name); }
  std::string number(int step) const { return std::to_string(shape_.recurrent ? 0 : step); }
  /// What states after `step` are in, −1 being those of the encoders.
  const dense::CodeGrid& message(int step) const {
    return layer(step < 0 ? "edge_encoder.2" : "edge_network." + number(step) + ".2").output;
  }
  const dense::CodeGrid& state(int step) const {
    return layer(step < 0 ? "node_encoder.2" : "node_network." + number(step) + ".2").output;
  }

  /// Padded with zeros, in the order of the outputs.
  template <typename T, typename Value>
  const T* vector(const Value& value) {
    std::vector<T> values(columns());
    for (int c = 0; c < shape_.hidden; ++c) values[static_cast<std::size_t>(c)] = value(c);
    return content.add(values);
  }
  const std::int32_t* start(const Layer& of) {
    return vector<std::int32_t>([&](int c) { return of.bias_at(c) + shift_of(of); });
  }

  static std::int32_t shift_of(const Layer& of) {
    if (of.dense.norm != Norm::layer || !of.ratio.empty()) return 0;
    const dense::CodeGrid codes = of.reachable();
    for (int out = 0; out < of.dense.out; ++out) {
      std::int64_t most = of.bias_at(out), least = most;
      for (int in = 0; in < of.dense.in; ++in) {
        const std::int64_t weight = of.weight_at(out, in);
        most += std::max(weight * codes.lowest, weight * codes.highest);
        least += std::min(weight * codes.lowest, weight * codes.highest);
      }
      if (std::max(most, -least) > dense::cuda::kMostShifted) return 0;
    }
    return dense::cuda::kShift;
  }

  QuantizeSums quantize(const Layer& of) {
    QuantizeSums q;
    q.shift = shift_of(of);
    q.grid = of.output;
    q.width = of.dense.out;
    q.normalise = of.dense.norm == Norm::layer;
    q.floor = of.floor;
    q.bounded = of.bounded();
    if (!of.ratio.empty()) q.ratio = vector<double>([&](int c) { return of.ratio[static_cast<std::size_t>(c)]; });
    const float off = dense::cuda::fast_form(q, columns_);
    if (!q.normalise) {
      q.scale = vector<float>([&](int c) { return of.scale_of(c); });
      q.factor = vector<float>([&](int c) {
        return static_cast<float>(double{of.scale_of(c)} / (double{of.output.scale} * of.output.highest) * double{off});
      });
    }
    return q;
  }

  TileLayer packed(const Layer& of) {
    TileLayer result;
    // The first layers of edge networks begin at what edges gather: see by_src_start.
    if (!of.dense.name.starts_with("edge_network.") || place_of(of.dense.name) > 0) result.start = start(of);
    result.quantize = quantize(of);
    if (!of.reads_features()) return result;
    result.inputs = of.dense.in;
    result.grid = of.input;
    std::vector<std::int32_t> rows(static_cast<std::size_t>(of.dense.in) * columns());
    for (int in = 0; in < of.dense.in; ++in) {
      for (int out = 0; out < of.dense.out; ++out) {
        rows[static_cast<std::size_t>(in) * columns() + static_cast<std::size_t>(code_index(out))] =
            of.weight_at(out, in);
      }
    }
    result.weights = content.add(rows);
    return result;
  }

  Requantizer requantizer(const dense::CodeGrid& from, const dense::CodeGrid& to) const {
    std::vector<std::int32_t> codes;
    for (int code = 0; code <= from.highest; ++code) {
      codes.push_back(dense::code_of(dense::value_of(code, from.scale), to));
    }
    const auto highest = static_cast<float>(to.highest);
    const auto factor = one_factor(codes, from.scale / to.scale / highest, [&](float code, float any) {
      return static_cast<std::int32_t>(dense::cuda::requantized_by(code, any, highest));
    });
    return {from.scale, to, factor.value_or(0.f)};
  }

  /// The matrix of a layer that multiplies the inputs from `first` on.
  void add(const std::string& name, int first = 0) {
    const std::size_t at = matrices_.size();
    matrices_.resize(at + columns() * columns());
    const Layer& of = layer(name);
    for (int in = 0; in < shape_.hidden; ++in) {
      for (int out = 0; out < shape_.hidden; ++out) {
        const auto index = static_cast<std::size_t>(dense::cuda::matrix_index(code_index(in), out, columns_ / 16));
        matrices_[at + index] = static_cast<std::uint8_t>(of.weight_at(out, first + in));
      }
    }
  }
  void end(PassWeights& pass) {
    pass.count = static_cast<int>(matrices_.size() / (columns() * columns()));
    pass.matrices = content.add(matrices_);
    matrices_.clear();
  }
  void add_rest(const std::string& mlp) {
    for (const char* const k : {".1", ".2"}) add(mlp + k);
  }

  EdgeWeights edge_pass(int step) {
    EdgeWeights pass;
    const std::string name = "edge_network." + number(step);
    const dense::CodeGrid& reads = layer(name + ".0").input;
    pass.e = requantizer(message(step - 1), reads);
    pass.e0 = requantizer(message(-1), reads);
    if (step == 0) add_rest("edge_encoder");
    add(name + ".0");
    if (shape_.concat) add(name + ".0", shape_.hidden);
    add_rest(name);
    if (step + 1 == shape_.steps) {
      add("edge_decoder.0");
      add_rest("edge_decoder");
      add("edge_output.0");
    } else {
      weights.highest_message = std::max(weights.highest_message, message(step).highest);
    }
    end(pass);
    return pass;
  }

  NodeWeights node_pass(int step) {
    NodeWeights pass;
    const int h = shape_.hidden;
    if (step < 0) {
      add_rest("node_encoder");
    } else {
      const std::string name = "node_network." + number(step);
      const dense::CodeGrid& reads = layer(name + ".0").input;
      pass.x = requantizer(state(step - 1), reads);
      pass.x0 = requantizer(state(-1), reads);
      pass.sums.columns = columns_;
      pass.sums.scale = message(step).scale;
      pass.sums.grid = reads;
      for (int part = 0; part < (shape_.concat ? 4 : 3); ++part) add(name + ".0", part * h);
      add_rest(name);
    }
    const std::string next = "edge_network." + number(step + 1) + ".0";
    pass.project_x = requantizer(state(step), layer(next).input);
    pass.project_x0 = requantizer(state(-1), layer(next).input);
    const int states = shape_.concat ? 2 : 1;
    for (int end = 1; end <= 2; ++end) {
      for (int i = 0; i < states; ++i) add(next, (states * end + i) * h);
    }
    pass.by_src_start = start(layer(next));
    end(pass);
    return pass;
  }

  InteractionNetworkShape shape_;
  int columns_;
  std::map<std::string, Layer> layers_;
  std::vector<std::uint8_t> matrices_;  ///< of the pass that is being packed

 public:
  Content content;
  TileWeights weights;
};

/// Rows of codes and sums have tile_columns(H) columns. Between the edges' pass of a step and the nodes', `in` and
/// `out` hold what the nodes read of the messages.
struct TileWorkspace {
  interaction_network::cuda::DeviceOrder order;
  std::uint8_t *x, *x0, *in, *out;  ///< [N]
  std::int32_t *by_src, *by_dst;    ///< [N] sums
  std::uint8_t *e, *e0;             ///< [E]
};

class TileNetwork : public DeviceNetwork {
 public:
  explicit TileNetwork(const QuantizedNetwork& network)
      : shape_(network.shape), columns_(tile_columns(shape_.hidden)), upload_(network) {}

  std::size_t weights_bytes() const override { return upload_.bytes(); }
  void upload(std::span<std::byte> memory) override { weights_ = upload_.run(memory); }

  std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const override {
    TileWorkspace work{};
    return lay_out(num_nodes, num_edges, {}, work);
  }

  void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
           const Execution& execution) const override {
    const std::int64_t most = std::numeric_limits<std::uint32_t>::max() / std::max(1, weights_.highest_message);
    if (graph.num_edges() > most) {
      throw Error(ErrorKind::usage, "a graph of " + std::to_string(graph.num_edges()) + " edges, expected at most " +
                                        std::to_string(most) + ": sums of their codes have 32 bits on a CUDA device");
    }
    TileWorkspace work{};
    lay_out(graph.num_nodes, graph.num_edges(), workspace, work);
    work.order.fill(graph, false, execution.bad_row, execution.stream);
    if (graph.num_nodes == 0 || graph.num_edges() == 0) return;
    cuda::run(node_pass(-1, graph, work), execution.stream);
    for (int step = 0; step < shape_.steps; ++step) {
      cuda::run(edge_pass(step, graph, work, logits), execution.stream);
      if (step + 1 == shape_.steps) break;
      TileSums sums = nodes(step).sums;
      sums.messages = work.e;
      sums.in = work.in;
      sums.out = work.out;
      cuda::run(sums, work.order, graph.num_nodes, execution.stream);
      cuda::run(node_pass(step, graph, work), execution.stream);
    }
  }

 private:
  bool keeps_encoded() const { return shape_.concat && shape_.steps > 1; }
  const NodeWeights& nodes(int step) const { return weights_.nodes[static_cast<std::size_t>(step + 1)]; }

  std::size_t lay_out(std::int32_t num_nodes, std::int64_t num_edges, std::span<std::byte> memory,
                      TileWorkspace& work) const {
    memory::Layout layout(memory);
    work.order.take(layout, num_nodes, num_edges);
    const auto columns = static_cast<std::size_t>(columns_);
    const std::size_t node_codes = static_cast<std::size_t>(num_nodes) * columns,
                      edge_codes = static_cast<std::size_t>(num_edges) * columns;
    for (std::uint8_t** const array : {&work.x0, &work.in, &work.out}) *array = layout.take<std::uint8_t>(node_codes);
    for (std::int32_t** const array : {&work.by_src, &work.by_dst}) *array = layout.take<std::int32_t>(node_codes);
    work.x = keeps_encoded() ? layout.take<std::uint8_t>(node_codes) : work.x0;
    work.e = layout.take<std::uint8_t>(edge_codes);
    work.e0 = keeps_encoded() ? layout.take<std::uint8_t>(edge_codes) : nullptr;
    return layout.bytes();
  }

  /// A layer that reads the codes that the layer before left.
  static TileLayer reading(TileLayer layer) {
    layer.parts[layer.num_parts++] = {};
    return layer;
  }
  static TileLayer reading(TileLayer layer, const Requantizer& reader, const std::uint8_t* rows = nullptr) {
    layer.parts[layer.num_parts++] = {rows, true, reader};
    return layer;
  }
  const TileLayer& layer(const std::string& name) const { return weights_.layers.at(name); }
  std::string mlp(const char* name, int step) const {
    return std::string(name) + "." + std::to_string(shape_.recurrent ? 0 : step);
  }

  TilePass begin(const PassWeights& weights, const std::int32_t* rows, std::int64_t capacity) const {
    TilePass pass;
    pass.matrices = weights.matrices;
    pass.num_matrices = weights.count;
    pass.columns = columns_;
    pass.rows = rows;
    pass.capacity = static_cast<std::int32_t>(capacity);
    return pass;
  }
  static void add(TilePass& pass, const TileLayer& layer) { pass.layers[pass.num_layers++] = layer; }
  /// The second and third layer of an MLP, the third into `codes`.
  void add_rest(TilePass& pass, const std::string& name, std::uint8_t* codes) const {
    add(pass, reading(layer(name + ".1")));
    TileLayer last = reading(layer(name + ".2"));
    last.codes = codes;
    add(pass, last);
  }
  void add_encoder(TilePass& pass, const std::string& name, const float* features, const std::int32_t* places,
                   std::uint8_t* codes) const {
    TileLayer first = layer(name + ".0");
    first.features = features;
    first.places = places;
    add(pass, first);
    add_rest(pass, name, codes);
  }

  TilePass edge_pass(int step, const GraphView& graph, const TileWorkspace& work, float* logits) const {
    const EdgeWeights& weights = weights_.edges[static_cast<std::size_t>(step)];
    const bool last = step + 1 == shape_.steps;
    TilePass pass = begin(weights, &work.order.counts->edges, graph.num_edges());
    pass.src = work.order.src;
    pass.dst = work.order.dst;
    if (step == 0) add_encoder(pass, "edge_encoder", graph.edge_features.data(), work.order.edge, work.e0);
    const std::string name = mlp("edge_network", step);
    TileLayer first = layer(name + ".0");
    first.by_src = work.by_src;
    first.by_dst = work.by_dst;
    first = reading(first, weights.e, step == 0 ? nullptr : work.e);
    if (shape_.concat) first = reading(first, weights.e0, step == 0 ? nullptr : work.e0);
    add(pass, first);
    add_rest(pass, name, last ? nullptr : work.e);
    if (!last) return pass;
    add(pass, reading(layer("edge_decoder.0"), weights_.decoder));
    add_rest(pass, "edge_decoder", nullptr);
    add(pass, reading(layer("edge_output.0"), weights_.output));
    pass.output_weights = weights_.output_weights;
    pass.output_start = weights_.output_start;
    pass.output_scale = weights_.output_scale;
    pass.edge = work.order.edge;
    pass.logits = logits;
    return pass;
  }

  /// The node network of `step`, or the encoder (step = −1), then what the edges of the next step gather.
  TilePass node_pass(int step, const GraphView& graph, const TileWorkspace& work) const {
    const NodeWeights& weights = nodes(step);
    TilePass pass = begin(weights, &work.order.counts->rows, graph.num_nodes);
    if (step < 0) {
      add_encoder(pass, "node_encoder", graph.node_features.data(), work.order.node, work.x0);
    } else {
      const std::string name = mlp("node_network", step);
      TileLayer first = layer(name + ".0");
      for (const std::uint8_t* const sums : {work.in, work.out}) first.parts[first.num_parts++].rows = sums;
      // In the first step the states are the encoded ones.
      first = reading(first, weights.x, step == 0 ? work.x0 : work.x);
      if (shape_.concat) first = reading(first, weights.x0, work.x0);
      add(pass, first);
      add_rest(pass, name, work.x);
    }
    TileLayer project;
    project = reading(project, weights.project_x);
    if (shape_.concat) project = reading(project, weights.project_x0, step < 0 ? nullptr : work.x0);
    project.sums = work.by_dst;
    TileLayer by_src = project;
    by_src.start = weights.by_src_start;
    by_src.sums = work.by_src;
    add(pass, by_src);
    add(pass, project);
    return pass;
  }

  InteractionNetworkShape shape_;
  int columns_;
  Upload<TilePacker> upload_;
  TileWeights weights_;
};

}  // namespace

bool is_tiled(const QuantizedNetwork& network) {
  const InteractionNetworkShape& shape = network.shape;
  if (shape.hidden < 5 || shape.hidden > kMostTiled || shape.norm == Norm::batch) return false;
  for (const Layer& layer : arithmetic(network)) {
    // Normalised sums of a row add up in 32 bits, and squares of their differences in 64.
    const std::int64_t added = layer.dense.norm == Norm::layer ? layer.dense.out : 1;
    if (layer.bound * added >= std::int64_t{1} << 31) return false;
    if (layer.dense.relu && layer.output.highest > 255) return false;
    if (!layer.reads_features() && (layer.codes->weight_bits > 8 || layer.input.highest > 255)) return false;
  }
  return true;
}

std::unique_ptr<DeviceNetwork> make_tile_network(const QuantizedNetwork& network) {
  return std::make_unique<TileNetwork>(network);
}

}  // namespace starling::quantized_network::cuda
