#include "quantized_network/run.h"

#include <algorithm>

#include "dense/tiles.h"

namespace starling::quantized_network {
namespace {

using interaction_network::GraphOrder;

constexpr int kMostAhead = 8;  // edges per node whose rows are fetched early: a hub's would throw out everything else

// Rows first .. first + count - 1 of all rows of a pass: a tile.
struct Range {
  std::int64_t first;
  int count;
};

// What an MLP reads: codes of its inputs side by side; with sums that the first layer adds its own to.
struct Input {
  const std::byte* codes;
  bool onto_sums = false;
};

class Runner {
 public:
  Runner(const PackedNetwork& network, const GraphView& graph, Workspace& workspace, int slots, float* logits)
      : network_(network),
        kernels_(*network.kernels),
        graph_(graph),
        work_(workspace),
        order_(workspace.order),
        slots_(slots),
        columns_(dense::padded_codes(network.shape.hidden)),
        tile_(kernels_.tile),
        concat_(network.shape.concat),
        batch_(network.shape.norm == Norm::batch),
        per_edge_(multiplies_per_edge(graph.num_nodes, graph.num_edges())),
        logits_(logits) {}

  void run() {
    order_.fill(graph_, batch_);
    check_degrees();
    batch_ ? by_layers() : by_tiles();
  }

 private:
  using Tile = Workspace::Tile;

  void check_degrees() const {
    if (network_.highest_message == 0) return;
    const std::int64_t most = ((std::int64_t{1} << 31) - 1) / network_.highest_message;
    if (graph_.num_edges() <= most) return;
    for (std::int32_t row = 0; row < order_.rows; ++row) {
      const std::int64_t degree = std::max(order_.in_splits[row + 1] - order_.in_splits[row],
                                           order_.out_splits[row + 1] - order_.out_splits[row]);
      if (degree <= most) continue;
      throw Error(ErrorKind::usage, "node " + std::to_string(order_.node[row]) + " has " + std::to_string(degree) +
                                        " edges one way, expected at most " + std::to_string(most) +
                                        ": the sum of their codes has 32 bits");
    }
  }

  // One pass over the nodes and one over the edges per step: a tile goes through all its layers while it is in the
  // cache.
  void by_tiles() {
    const int steps = network_.shape.steps;
    for_tiles(order_.rows, [&](const Range& range, Tile& tile) {
      mlp(network_.node_encoder, node_features(range, tile), range, codes(work_.x0, range.first), tile);
      project(0, range, tile);
    });
    for (int step = 0; step < steps; ++step) {
      const bool last = step + 1 == steps;
      for_tiles(graph_.num_edges(), [&](const Range& range, Tile& tile) {
        std::byte* const e = codes(work_.e, range.first);
        if (step == 0)
          mlp(network_.edge_encoder, edge_features(range, tile), range, codes(work_.e0, range.first), tile);
        mlp(network_.step(step).edge, edge_inputs(step, range, tile, tile.sums), range, e, tile, edges_ahead(range),
            whole(step));
        if (!last) return send(range);
        mlp(network_.edge_decoder, reading(network_.decoder_of_e, range, tile), range, e, tile);
        mlp(network_.edge_output, reading(network_.output_of_decoded, range, tile), range, nullptr, tile);
        write_logits(range, tile.sums);
      });
      if (last) return;
      for_tiles(order_.rows, [&](const Range& range, Tile& tile) {
        mlp(network_.step(step).node, node_inputs(step, range, tile), range, codes(work_.x, range.first), tile,
            nodes_ahead(range));
        project(step + 1, range, tile);
      });
    }
  }

  // Batch normalisation needs every row of a layer before the next: one pass per layer.
  void by_layers() {
    layers(network_.node_encoder, order_.rows, work_.x0,
           [&](const Range& range, Tile& tile, std::byte*) { return node_features(range, tile); });
    layers(network_.edge_encoder, graph_.num_edges(), work_.e0,
           [&](const Range& range, Tile& tile, std::byte*) { return edge_features(range, tile); });
    for (int step = 0; step < network_.shape.steps; ++step) {
      for_tiles(order_.rows, [&](const Range& range, Tile& tile) { project(step, range, tile); });
      layers(
          network_.step(step).edge, graph_.num_edges(), work_.e,
          [&](const Range& range, Tile& tile, std::byte* sums) { return edge_inputs(step, range, tile, sums); },
          whole(step));
      if (step + 1 == network_.shape.steps) break;
      for_tiles(graph_.num_edges(), [&](const Range& range, Tile&) { send(range); });
      layers(network_.step(step).node, order_.rows, work_.x,
             [&](const Range& range, Tile& tile, std::byte*) { return node_inputs(step, range, tile); });
    }
    layers(network_.edge_decoder, graph_.num_edges(), work_.e,
           [&](const Range& range, Tile& tile, std::byte*) { return reading(network_.decoder_of_e, range, tile); });
    layers(network_.edge_output, graph_.num_edges(), nullptr, [&](const Range& range, Tile& tile, std::byte*) {
      return reading(network_.output_of_decoded, range, tile);
    });
  }

  // Calls body(range, tile) for all rows.
  template <typename Body>
  void for_tiles(std::int64_t rows, const Body& body) {
    const dense::IntegerKernels& entered = kernels_.enter != nullptr ? kernels_ : *network_.feature_kernels;
    dense::for_tiles(
        rows, tile_, slots_,
        [&](std::int64_t first, int count, int slot) {
          body(Range{first, count}, work_.tiles[slot]);
        },
        entered.enter, entered.leave);
  }

  // The tile, or the row, that begins with row `at`.
  std::byte* codes(std::byte* all, std::int64_t at) const { return all + at * columns_ * kernels_.code_bytes; }
  std::byte* sums(std::byte* all, std::int64_t at) const { return all + at * columns_ * kernels_.sum_bytes; }
  // What an MLP reads as its input number i.
  std::byte* input(const Tile& tile, int i) const { return codes(tile.inputs, std::int64_t{i} * tile_); }

  void apply(const dense::PackedCodes& layer, const Input& input, std::byte* sums,
             const dense::CodeAhead& ahead = {}) const {
    layer.kernels->product(
        {.weights = &layer.weights, .codes = input.codes, .sums = sums, .onto_sums = input.onto_sums, .ahead = ahead});
  }

  // A tile of codes, as another quantiser has them, as input number i.
  void read(dense::Requantize requantize, std::byte* state, const Range& range, const Tile& tile, int i) const {
    requantize.in = codes(state, range.first);
    requantize.out = input(tile, i);
    requantize.count = range.count;
    kernels_.requantize(requantize);
  }

  // What an MLP reads of edges alone.
  Input reading(const dense::Requantize& requantize, const Range& range, const Tile& tile) const {
    read(requantize, work_.e, range, tile, 0);
    return {tile.inputs};
  }

  Input features(const float* source, const std::int32_t* places, int inputs, const dense::CodeGrid& grid,
                 const Range& range, const Tile& tile) const {
    const int padded = dense::padded_codes(inputs);
    std::fill_n(tile.features, std::ptrdiff_t{padded} * tile_, 0.f);
    for (int i = 0; i < range.count; ++i) {
      const float* const row = source + std::int64_t{places[range.first + i]} * inputs;
      for (int c = 0; c < inputs; ++c) tile.features[c * tile_ + i] = row[c];
    }
    network_.feature_kernels->quantize_values({tile.features, padded, grid, tile.inputs});
    return {tile.inputs};
  }
  Input node_features(const Range& range, const Tile& tile) const {
    return features(graph_.node_features.data(), order_.node, network_.shape.node_inputs, network_.node_features, range,
                    tile);
  }
  Input edge_features(const Range& range, const Tile& tile) const {
    return features(graph_.edge_features.data(), order_.edge, network_.shape.edge_inputs, network_.edge_features, range,
                    tile);
  }

  // Per node the first layer's sums begin with what the nodes add to them.
  Input edge_inputs(int index, const Range& range, const Tile& tile, std::byte* sums) const {
    const Step& step = network_.step(index);
    read(step.edge_of_e, index == 0 ? work_.e0 : work_.e, range, tile, 0);
    if (concat_) read(step.edge_of_e0, work_.e0, range, tile, 1);
    if (per_edge_) {
      const int states = concat_ ? 2 : 1;
      const auto gather = [&](const std::int32_t* places, int i) {
        kernels_.gather_codes({work_.node_codes, places + range.first, range.count, states * columns_, input(tile, i)});
      };
      gather(order_.src, states);
      gather(order_.dst, 2 * states);
      return {tile.inputs};
    }
    kernels_.gather_sums({.by_src = work_.by_src,
                          .by_dst = work_.by_dst,
                          .src = order_.src + range.first,
                          .dst = order_.dst + range.first,
                          .count = range.count,
                          .columns = columns_,
                          .sums = sums});
    return {tile.inputs, true};
  }

  // The first product of a step's edges, where it is not that of edges alone.
  const dense::PackedCodes* whole(int step) const { return per_edge_ ? &network_.step(step).whole : nullptr; }

  // What nodes gather of a tile of edges.
  void send(const Range& range) const {
    kernels_.codes_to_rows({codes(work_.e, range.first), columns_, range.count, codes(work_.messages, range.first)});
  }

  Input node_inputs(int index, const Range& range, const Tile& tile) const {
    const Step& step = network_.step(index);
    const auto sum = [&](const std::int32_t* splits, const std::int32_t* edges, int i) {
      dense::Messages messages = step.node_of_messages;
      messages.codes = work_.messages;
      messages.splits = splits + range.first;
      messages.edges = edges;
      messages.count = range.count;
      messages.columns = columns_;
      messages.scratch = tile.scratch;
      messages.out = input(tile, i);
      kernels_.messages(messages);
    };
    sum(order_.in_splits, order_.in_edges, 0);
    sum(order_.out_splits, nullptr, 1);
    read(step.node_of_x, index == 0 ? work_.x0 : work_.x, range, tile, 2);
    if (concat_) read(step.node_of_x0, work_.x0, range, tile, 3);
    return {tile.inputs};
  }

  // What the edges of a step gather from the nodes; nothing reads by_src of a node without edges out.
  void project(int index, const Range& range, const Tile& tile) const {
    const Step& step = network_.step(index);
    read(step.edge_of_x, index == 0 ? work_.x0 : work_.x, range, tile, 0);
    if (concat_) read(step.edge_of_x0, work_.x0, range, tile, 1);
    if (per_edge_) {
      const int columns = concat_ ? 2 * columns_ : columns_;
      std::byte* const rows = work_.node_codes + range.first * columns * kernels_.code_bytes;
      return kernels_.codes_to_rows({tile.inputs, columns, range.count, rows});
    }
    const auto make = [&](const dense::PackedCodes& layer, std::byte* rows) {
      apply(layer, {tile.inputs}, tile.sums);
      kernels_.sums_to_rows({tile.sums, columns_, range.count, sums(rows, range.first)});
    };
    if (range.first < order_.end_with_out) make(step.by_src, work_.by_src);
    if (range.first + range.count > order_.first_with_in && range.first < order_.end_with_in) {
      make(step.by_dst, work_.by_dst);
    }
  }

  // What the tile after an edge or a node tile will gather.
  dense::CodeAhead edges_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count;
    return {per_edge_ ? work_.node_codes : work_.by_dst, order_.dst + after,
            static_cast<int>(std::min<std::int64_t>(tile_, graph_.num_edges() - after)),
            columns_ * (per_edge_ ? (concat_ ? 2 : 1) * kernels_.code_bytes : kernels_.sum_bytes)};
  }
  dense::CodeAhead nodes_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count, end = std::min<std::int64_t>(after + tile_, order_.rows);
    const std::int32_t first = order_.in_splits[after];
    return {work_.messages, order_.in_edges + first, std::min(order_.in_splits[end] - first, kMostAhead * tile_),
            columns_ * kernels_.code_bytes};
  }

  void quantize(dense::IntegerQuantize quantize, const Range& range, std::byte* sums, std::byte* out) const {
    quantize.sums = sums;
    quantize.count = range.count;
    quantize.codes = out;
    kernels_.quantize(quantize);
  }

  // All layers on one tile, the last into `out`, which may be what an input was read from; null: what it leaves is
  // tile.sums. `ahead` is what the next tile gathers, `first` the first layer's product where it is another.
  void mlp(const Mlp& layers, Input input, const Range& range, std::byte* out, Tile& tile,
           const dense::CodeAhead& ahead = {}, const dense::PackedCodes* first = nullptr) const {
    for (std::size_t k = 0; k < layers.size(); ++k) {
      const PackedLayer& layer = layers[k];
      apply(k == 0 && first != nullptr ? *first : layer.product, input, tile.sums, k == 1 ? ahead : dense::CodeAhead{});
      if (!layer.relu) return;
      input = {k + 1 == layers.size() ? out : tile.hidden[k % 2]};
      quantize(layer.quantize, range, tile.sums, const_cast<std::byte*>(input.codes));
    }
  }

  // All layers, each over all rows before the next. first(range, tile, sums) is what the first one reads; `out`, tiles
  // of codes, may be what it is read from.
  template <typename First>
  void layers(const Mlp& mlp, std::int64_t rows, std::byte* out, const First& first,
              const dense::PackedCodes* first_product = nullptr) {
    for (std::size_t k = 0; k < mlp.size(); ++k) {
      const PackedLayer& layer = mlp[k];
      const bool normalised = layer.norm == Norm::batch;
      for (int slot = 0; normalised && slot < slots_; ++slot) {
        std::fill_n(work_.tiles[slot].moments, columns_, dense::IntegerMoments{});
      }
      for_tiles(rows, [&](const Range& range, Tile& tile) {
        std::byte* const to = normalised ? sums(work_.layer_sums, range.first) : tile.sums;
        apply(k == 0 && first_product != nullptr ? *first_product : layer.product,
              k == 0 ? first(range, tile, to) : Input{codes(work_.layer_codes, range.first)}, to);
        if (normalised) return add_moments(layer, range, to, tile);
        if (!layer.relu) return write_logits(range, to);
        quantize(layer.quantize, range, to, codes(out, range.first));
      });
      if (normalised) normalise(layer, rows);
    }
  }

  std::int64_t sum_at(const std::byte* sums, int row, int column) const {
    const std::ptrdiff_t at = std::ptrdiff_t{column} * tile_ + row;
    return kernels_.sum_bytes == 8 ? reinterpret_cast<const std::int64_t*>(sums)[at]
                                   : reinterpret_cast<const std::int32_t*>(sums)[at];
  }
  void set_code(std::byte* codes, int row, int column, int code) const {
    const int group = kernels_.group;
    const std::ptrdiff_t at = (std::ptrdiff_t{column} / group * tile_ + row) * group + column % group;
    if (kernels_.code_bytes == 1) {
      reinterpret_cast<std::uint8_t*>(codes)[at] = static_cast<std::uint8_t>(code);
    } else {
      reinterpret_cast<std::uint16_t*>(codes)[at] = static_cast<std::uint16_t>(code);
    }
  }

  void add_moments(const PackedLayer& layer, const Range& range, const std::byte* sums, Tile& tile) const {
    for (int c = 0; c < layer.width; ++c) {
      for (int row = 0; row < range.count; ++row) dense::add_to(tile.moments[c], sum_at(sums, row, c));
    }
  }

  // layer_sums to layer_codes. Sums of integers do not depend on which thread added which rows.
  void normalise(const PackedLayer& layer, std::int64_t rows) {
    dense::IntegerMoments* const all = work_.tiles[0].moments;
    for (int c = 0; c < layer.width; ++c) {
      for (int slot = 1; slot < slots_; ++slot) {
        all[c].sum += work_.tiles[slot].moments[c].sum;
        all[c].squares += work_.tiles[slot].moments[c].squares;
      }
      all[c].count = rows;
    }
    for_tiles(rows, [&](const Range& range, Tile&) {
      const std::byte* const from = sums(work_.layer_sums, range.first);
      std::byte* const to = codes(work_.layer_codes, range.first);
      for (int c = 0; c < columns_; ++c) {
        const double deviation =
            c < layer.width ? dense::batch_deviation(all[c], double{kBatchNormEpsilon}, layer.scales[c]) : 1.;
        for (int row = 0; row < range.count; ++row) {
          int code = 0;
          if (c < layer.width) {
            code = dense::code_of(
                dense::batch_normalised(dense::difference_from_mean(all[c], sum_at(from, row, c)) / deviation,
                                        layer.norm_weight[c], layer.norm_bias[c]),
                layer.quantize.grid);
          }
          set_code(to, row, c, code);
        }
      }
    });
  }

  void write_logits(const Range& range, const std::byte* sums) const {
    const PackedLayer& layer = network_.edge_output.back();
    for (int i = 0; i < range.count; ++i) {
      logits_[order_.edge[range.first + i]] = dense::value_of(sum_at(sums, i, 0), layer.scale);
    }
  }

  const PackedNetwork& network_;
  const dense::IntegerKernels& kernels_;
  const GraphView& graph_;
  Workspace& work_;
  GraphOrder& order_;
  int slots_, columns_, tile_;
  bool concat_, batch_, per_edge_;
  float* logits_;
};

}  // namespace

bool multiplies_per_edge(std::int32_t num_nodes, std::int64_t num_edges) {
  constexpr int kFewEdges = 2;
  return num_edges <= kFewEdges * std::int64_t{num_nodes};
}

Workspace::Workspace(memory::Layout& layout, const PackedNetwork& network, std::int32_t num_nodes,
                     std::int64_t num_edges, int slots) {
  const InteractionNetworkShape& shape = network.shape;
  const dense::IntegerKernels& kernels = *network.kernels;
  const bool batch = shape.norm == Norm::batch;
  const std::size_t columns = dense::padded_codes(shape.hidden), rows = kernels.tile;
  const auto tiled = [&](std::size_t count) { return (count + rows - 1) / rows * rows; };
  const auto codes = [&](std::size_t count) { return layout.take<std::byte>(count * columns * kernels.code_bytes); };
  const auto sums = [&](std::size_t count) { return layout.take<std::byte>(count * columns * kernels.sum_bytes); };
  order.take(layout, num_nodes, num_edges, batch);
  const std::size_t nodes = interaction_network::GraphOrder::most_rows(num_nodes, num_edges, batch), edges = num_edges;
  x0 = codes(tiled(nodes));
  // Taken in both forms, so that a larger graph's workspace serves a smaller one. A sum has room for two codes.
  by_src = sums(nodes);
  by_dst = sums(nodes);
  node_codes = by_src;
  e0 = codes(tiled(edges));
  messages = codes(edges);
  // Without concat the encoded states are read once, as the first states.
  x = shape.concat ? codes(tiled(nodes)) : x0;
  e = shape.concat && shape.steps > 1 ? codes(tiled(edges)) : e0;
  layer_sums = batch ? sums(tiled(std::max(nodes, edges))) : nullptr;
  layer_codes = batch ? codes(tiled(std::max(nodes, edges))) : nullptr;
  tiles = layout.take<Tile>(slots);
  const std::size_t features = dense::padded_codes(std::max(shape.node_inputs, shape.edge_inputs));
  constexpr int kMostInputs = 6;
  // Products read on behind their codes, less than kMostDepth columns: what comes next is long enough.
  for (int i = 0; i < slots; ++i) {
    Tile tile;
    tile.inputs = layout.take<std::byte>(
        rows * std::max(kMostInputs * columns * kernels.code_bytes, features * network.feature_kernels->code_bytes));
    for (std::byte*& buffer : tile.hidden) buffer = codes(rows);
    tile.features = layout.take<float>(rows * features);
    tile.sums = sums(rows);
    tile.scratch = codes(rows);
    tile.moments = batch ? layout.take<dense::IntegerMoments>(columns) : nullptr;
    if (tiles != nullptr) tiles[i] = tile;
  }
}

void run(const PackedNetwork& network, const GraphView& graph, Workspace& workspace, int slots, float* logits) {
  Runner(network, graph, workspace, slots, logits).run();
}

}  // namespace starling::quantized_network
