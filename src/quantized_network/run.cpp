#include "quantized_network/run.h"

#include <algorithm>
#include <initializer_list>

#include "dense/tiles.h"

namespace starling::quantized_network {
namespace {

using dense::CodeRows, dense::IntegerProduct;
using interaction_network::GraphOrder;

constexpr int kGroup = dense::kCodeGroup;
constexpr int kMostAhead = 8;  // edges per node whose rows are fetched early: a hub's would throw out everything else

int padded_inputs(int width) { return (width + kGroup - 1) / kGroup * kGroup; }

// Rows that a tile holds: its sums and codes stay in the innermost cache.
int tile_rows(int hidden) { return hidden <= 64 ? 64 : 32; }

// Rows first .. first + count - 1 of all rows of a pass.
struct Range {
  std::int64_t first;
  int count;
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
        width_(network.shape.hidden),
        stride_(dense::padded_codes(network.shape.hidden)),
        columns_(dense::padded(network.shape.hidden, kernels_)),
        tile_(tile_rows(network.shape.hidden)),
        concat_(network.shape.concat),
        batch_(network.shape.norm == Norm::batch),
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
      mlp(network_.node_encoder, node_features(range, tile), row(work_.x0, range.first), tile);
      project(0, range, tile);
    });
    for (int step = 0; step < steps; ++step) {
      const bool last = step + 1 == steps;
      for_tiles(graph_.num_edges(), [&](const Range& range, Tile& tile) {
        std::byte* const e = row(work_.e, range.first);
        if (step == 0) mlp(network_.edge_encoder, edge_features(range, tile), row(work_.e0, range.first), tile);
        mlp(network_.step(step).edge, edge_inputs(step, range, tile), e, tile, edges_ahead(range));
        if (!last) return;
        mlp(network_.edge_decoder, reading(network_.decoder_of_e, e, range.count, tile), e, tile);
        mlp(network_.edge_output, reading(network_.output_of_decoded, e, range.count, tile), nullptr, tile);
        write_logits(range, tile.sums);
      });
      if (last) return;
      for_tiles(order_.rows, [&](const Range& range, Tile& tile) {
        mlp(network_.step(step).node, node_inputs(step, range, tile), row(work_.x, range.first), tile,
            nodes_ahead(range));
        project(step + 1, range, tile);
      });
    }
  }

  // Batch normalisation needs every row of a layer before the next: one pass per layer.
  void by_layers() {
    layers(network_.node_encoder, order_.rows, work_.x0,
           [&](const Range& range, Tile& tile) { return node_features(range, tile); });
    layers(network_.edge_encoder, graph_.num_edges(), work_.e0,
           [&](const Range& range, Tile& tile) { return edge_features(range, tile); });
    for (int step = 0; step < network_.shape.steps; ++step) {
      for_tiles(order_.rows, [&](const Range& range, Tile& tile) { project(step, range, tile); });
      layers(network_.step(step).edge, graph_.num_edges(), work_.e,
             [&](const Range& range, Tile& tile) { return edge_inputs(step, range, tile); });
      if (step + 1 == network_.shape.steps) break;
      layers(network_.step(step).node, order_.rows, work_.x,
             [&](const Range& range, Tile& tile) { return node_inputs(step, range, tile); });
    }
    layers(network_.edge_decoder, graph_.num_edges(), work_.e, [&](const Range& range, Tile& tile) {
      return reading(network_.decoder_of_e, row(work_.e, range.first), range.count, tile);
    });
    layers(network_.edge_output, graph_.num_edges(), nullptr, [&](const Range& range, Tile& tile) {
      return reading(network_.output_of_decoded, row(work_.e, range.first), range.count, tile);
    });
  }

  // Calls body(range, tile) for all rows.
  template <typename Body>
  void for_tiles(std::int64_t rows, const Body& body) {
    dense::for_tiles(rows, tile_, slots_, [&](std::int64_t first, int count, int slot) {
      body(Range{first, count}, work_.tiles[slot]);
    });
  }

  // Rows of states and of sums.
  std::byte* row(std::byte* codes, std::int64_t at) const { return codes + at * stride_ * kernels_.code_bytes; }
  std::byte* sums_row(std::byte* sums, std::int64_t at) const { return sums + at * columns_ * kernels_.sum_bytes; }
  CodeRows state(const std::byte* codes) const { return {codes, stride_, padded_inputs(width_)}; }

  static IntegerProduct product_of(std::initializer_list<CodeRows> inputs, int rows) {
    IntegerProduct product{};
    std::copy(inputs.begin(), inputs.end(), product.inputs);
    product.num_inputs = static_cast<int>(inputs.size());
    product.rows = rows;
    return product;
  }

  void apply(const dense::PackedCodes& layer, IntegerProduct& product, std::byte* sums) const {
    product.weights = layer.weights;
    product.start = layer.start;
    product.chain = layer.chain;
    product.columns = layer.columns;
    product.sums = sums;
    layer.kernels->product(product);
  }

  // Codes of `count` rows, as another quantiser has them.
  CodeRows read(dense::Requantize requantize, const std::byte* codes, int count, std::byte* out) const {
    requantize.in = codes;
    requantize.out = out;
    requantize.count = std::int64_t{count} * stride_;
    kernels_.requantize(requantize);
    return state(out);
  }

  // What an MLP with one input reads.
  IntegerProduct reading(const dense::Requantize& requantize, const std::byte* codes, int count, Tile& tile) const {
    return product_of({read(requantize, codes, count, tile.inputs[0])}, count);
  }

  IntegerProduct features(const float* source, const std::int32_t* places, int inputs, const dense::CodeGrid& grid,
                          const Range& range, Tile& tile) const {
    const int stride = dense::padded_codes(inputs);
    for (int i = 0; i < range.count; ++i) {
      float* const to = tile.features + i * stride;
      std::copy_n(source + std::int64_t{places[range.first + i]} * inputs, inputs, to);
      std::fill_n(to + inputs, stride - inputs, 0.f);
    }
    network_.feature_kernels->quantize_values(
        {tile.features, std::int64_t{range.count} * stride, grid, tile.inputs[0]});
    return product_of({{tile.inputs[0], stride, padded_inputs(inputs)}}, range.count);
  }
  IntegerProduct node_features(const Range& range, Tile& tile) const {
    return features(graph_.node_features.data(), order_.node, network_.shape.node_inputs, network_.node_features, range,
                    tile);
  }
  IntegerProduct edge_features(const Range& range, Tile& tile) const {
    return features(graph_.edge_features.data(), order_.edge, network_.shape.edge_inputs, network_.edge_features, range,
                    tile);
  }

  IntegerProduct edge_inputs(int index, const Range& range, Tile& tile) const {
    const Step& step = network_.step(index);
    const std::byte* const states = row(index == 0 ? work_.e0 : work_.e, range.first);
    const CodeRows e = read(step.edge_of_e, states, range.count, tile.inputs[0]);
    IntegerProduct product = product_of({e}, range.count);
    if (concat_) {
      // In the first step state and encoded state are equal.
      product.inputs[1] =
          index == 0 ? e : read(step.edge_of_e0, row(work_.e0, range.first), range.count, tile.inputs[1]);
      product.num_inputs = 2;
    }
    product.by_src = work_.by_src;
    product.by_dst = work_.by_dst;
    product.src = order_.src + range.first;
    product.dst = order_.dst + range.first;
    return product;
  }

  IntegerProduct node_inputs(int index, const Range& range, Tile& tile) const {
    const Step& step = network_.step(index);
    const auto messages = [&](const std::int32_t* splits, const std::int32_t* edges, std::byte* out) {
      kernels_.sum_rows({work_.e, splits + range.first, edges, range.count, stride_, tile.messages});
      dense::QuantizeSums quantize = step.node_of_messages;
      quantize.sums = tile.messages;
      quantize.count = std::int64_t{range.count} * stride_;
      quantize.out = out;
      kernels_.quantize_sums(quantize);
      return state(out);
    };
    const CodeRows in = messages(order_.in_splits, order_.in_edges, tile.inputs[0]);
    const CodeRows out = messages(order_.out_splits, nullptr, tile.inputs[1]);
    const std::byte* const states = row(index == 0 ? work_.x0 : work_.x, range.first);
    const CodeRows x = read(step.node_of_x, states, range.count, tile.inputs[2]);
    if (!concat_) return product_of({in, out, x}, range.count);
    return product_of({in, out, x, read(step.node_of_x0, row(work_.x0, range.first), range.count, tile.inputs[3])},
                      range.count);
  }

  // What the edges of a step read from the nodes; nothing reads by_src of a node without edges out.
  void project(int index, const Range& range, Tile& tile) const {
    const Step& step = network_.step(index);
    const std::byte* const states = row(index == 0 ? work_.x0 : work_.x, range.first);
    IntegerProduct product = product_of({read(step.edge_of_x, states, range.count, tile.inputs[0])}, range.count);
    if (concat_) {
      product.inputs[1] = read(step.edge_of_x0, row(work_.x0, range.first), range.count, tile.inputs[1]);
      product.num_inputs = 2;
    }
    if (range.first < order_.end_with_out) apply(step.by_src, product, sums_row(work_.by_src, range.first));
    if (range.first + range.count > order_.first_with_in && range.first < order_.end_with_in) {
      apply(step.by_dst, product, sums_row(work_.by_dst, range.first));
    }
  }

  // What the tile after an edge or a node tile will gather.
  dense::CodeAhead edges_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count;
    return {work_.by_dst, order_.dst + after,
            static_cast<int>(std::min<std::int64_t>(tile_, graph_.num_edges() - after)), columns_ * kernels_.sum_bytes};
  }
  dense::CodeAhead nodes_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count, end = std::min<std::int64_t>(after + tile_, order_.rows);
    const std::int32_t first = order_.in_splits[after];
    return {work_.e, order_.in_edges + first, std::min(order_.in_splits[end] - first, kMostAhead * tile_),
            stride_ * kernels_.code_bytes};
  }

  // All layers on one tile, the last into `out`, which may be an input; null: what it leaves is tile.sums.
  // `ahead` is what the next tile gathers.
  void mlp(const Mlp& layers, IntegerProduct product, std::byte* out, Tile& tile,
           const dense::CodeAhead& ahead = {}) const {
    for (std::size_t k = 0; k < layers.size(); ++k) {
      if (k == 1) product.ahead = ahead;
      const PackedLayer& layer = layers[k];
      apply(layer.product, product, tile.sums);
      if (!layer.relu) return;
      dense::IntegerQuantize quantize = layer.quantize;
      quantize.sums = tile.sums;
      quantize.rows = product.rows;
      quantize.codes = k + 1 == layers.size() ? out : tile.hidden[k % 2];
      kernels_.quantize(quantize);
      product = product_of({{quantize.codes, quantize.stride, padded_inputs(layer.width)}}, product.rows);
    }
  }

  // All layers, each over all rows before the next. first(range, tile) is the product of the first with its inputs;
  // `out`, [rows, stride], may be one of them.
  template <typename First>
  void layers(const Mlp& mlp, std::int64_t rows, std::byte* out, const First& first) {
    for (std::size_t k = 0; k < mlp.size(); ++k) {
      const PackedLayer& layer = mlp[k];
      const bool normalised = layer.norm == Norm::batch;
      for (int slot = 0; normalised && slot < slots_; ++slot) {
        std::fill_n(work_.tiles[slot].moments, layer.product.columns, dense::IntegerMoments{});
      }
      for_tiles(rows, [&](const Range& range, Tile& tile) {
        IntegerProduct product =
            k == 0 ? first(range, tile) : product_of({state(row(work_.layer_codes, range.first))}, range.count);
        std::byte* const sums = normalised ? sums_row(work_.layer_sums, range.first) : tile.sums;
        apply(layer.product, product, sums);
        if (normalised) return add_moments(layer, range, sums, tile);
        if (!layer.relu) return write_logits(range, sums);
        dense::IntegerQuantize quantize = layer.quantize;
        quantize.sums = sums;
        quantize.rows = range.count;
        quantize.codes = row(out, range.first);
        kernels_.quantize(quantize);
      });
      if (normalised) normalise(layer, rows);
    }
  }

  std::int64_t sum_at(const std::byte* sums, std::int64_t at) const {
    return kernels_.sum_bytes == 8 ? reinterpret_cast<const std::int64_t*>(sums)[at]
                                   : reinterpret_cast<const std::int32_t*>(sums)[at];
  }

  void add_moments(const PackedLayer& layer, const Range& range, const std::byte* sums, Tile& tile) const {
    for (int r = 0; r < range.count; ++r) {
      for (int c = 0; c < layer.width; ++c) {
        dense::add_to(tile.moments[c], sum_at(sums, std::int64_t{r} * layer.product.columns + c));
      }
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
      for (int c = 0; c < stride_; ++c) {
        const double deviation =
            c < layer.width ? dense::integer_deviation(all[c], batch_floor(rows, layer.scales[c])) : 1.;
        for (std::int64_t r = range.first; r < range.first + range.count; ++r) {
          int code = 0;
          if (c < layer.width) {
            const std::int64_t sum = sum_at(work_.layer_sums, r * layer.product.columns + c);
            code = dense::code_of(dense::batch_normalised(dense::difference_from_mean(all[c], sum) / deviation,
                                                          layer.norm_weight[c], layer.norm_bias[c]),
                                  layer.quantize.grid);
          }
          std::byte* const at = row(work_.layer_codes, r) + std::int64_t{c} * kernels_.code_bytes;
          if (kernels_.code_bytes == 1) {
            *reinterpret_cast<std::uint8_t*>(at) = static_cast<std::uint8_t>(code);
          } else {
            *reinterpret_cast<std::uint16_t*>(at) = static_cast<std::uint16_t>(code);
          }
        }
      }
    });
  }

  void write_logits(const Range& range, const std::byte* sums) const {
    const PackedLayer& layer = network_.edge_output.back();
    for (int i = 0; i < range.count; ++i) {
      logits_[order_.edge[range.first + i]] =
          dense::value_of(sum_at(sums, std::int64_t{i} * layer.product.columns), layer.scale);
    }
  }

  const PackedNetwork& network_;
  const dense::IntegerKernels& kernels_;
  const GraphView& graph_;
  Workspace& work_;
  GraphOrder& order_;
  int slots_, width_, stride_, columns_, tile_;
  bool concat_, batch_;
  float* logits_;
};

}  // namespace

Workspace::Workspace(memory::Layout& layout, const PackedNetwork& network, std::int32_t num_nodes,
                     std::int64_t num_edges, int slots) {
  const InteractionNetworkShape& shape = network.shape;
  const dense::IntegerKernels& kernels = *network.kernels;
  const bool batch = shape.norm == Norm::batch;
  const std::size_t stride = dense::padded_codes(shape.hidden), columns = dense::padded(shape.hidden, kernels),
                    edges = num_edges, rows = tile_rows(shape.hidden);
  const auto codes = [&](std::size_t count) { return layout.take<std::byte>(count * stride * kernels.code_bytes); };
  const auto sums = [&](std::size_t count) { return layout.take<std::byte>(count * columns * kernels.sum_bytes); };
  order.take(layout, num_nodes, num_edges, batch);
  const std::size_t nodes = interaction_network::GraphOrder::most_rows(num_nodes, num_edges, batch);
  x0 = codes(nodes);
  by_src = sums(nodes);
  by_dst = sums(nodes);
  e0 = codes(edges);
  // Without concat the encoded states are read once, as the first states.
  x = shape.concat ? codes(nodes) : x0;
  e = shape.concat && shape.steps > 1 ? codes(edges) : e0;
  layer_sums = batch ? sums(std::max(nodes, edges)) : nullptr;
  layer_codes = batch ? codes(std::max(nodes, edges)) : nullptr;
  tiles = layout.take<Tile>(slots);
  const std::size_t code_bytes = std::max(kernels.code_bytes, network.feature_kernels->code_bytes);
  const std::size_t widest =
      std::max<std::size_t>(stride, dense::padded_codes(std::max(shape.node_inputs, shape.edge_inputs)));
  for (int i = 0; i < slots; ++i) {
    Tile tile;
    for (std::byte*& buffer : tile.inputs) buffer = layout.take<std::byte>(rows * widest * code_bytes);
    for (std::byte*& buffer : tile.hidden) buffer = codes(rows);
    tile.features = layout.take<float>(rows * widest);
    tile.sums = sums(rows);
    tile.messages = layout.take<std::int32_t>(rows * stride);
    tile.moments = batch ? layout.take<dense::IntegerMoments>(columns) : nullptr;
    if (tiles != nullptr) tiles[i] = tile;
  }
}

void run(const PackedNetwork& network, const GraphView& graph, Workspace& workspace, int slots, float* logits) {
  Runner(network, graph, workspace, slots, logits).run();
}

}  // namespace starling::quantized_network
