#include "interaction_network/run.h"

#include <algorithm>
#include <cmath>

#include "dense/tiles.h"

namespace starling::interaction_network {

namespace {

using dense::apply, dense::chunk_count, dense::kTilesPerChunk, dense::Product, dense::product_of, dense::Rows;

constexpr int kMostAhead = 8;  // edges per node whose rows are fetched early: a hub's would throw out everything else

// Rows first .. first + count - 1 of all rows of a pass.
struct Range {
  std::int64_t first;
  int count;
  std::int64_t chunk;
  bool opens_chunk;
};

class Runner {
 public:
  Runner(const InteractionNetworkShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GraphView& graph, Workspace& workspace, int slots, float* logits)
      : shape_(shape),
        weights_(weights),
        kernels_(kernels),
        graph_(graph),
        work_(workspace),
        order_(workspace.order),
        slots_(slots),
        width_(shape.hidden),
        padded_(dense::padded(shape.hidden, kernels)),
        tile_(dense::tile_rows(shape.hidden)),
        batch_(shape.norm == Norm::batch),
        logits_(logits) {}

  void run() {
    order_.fill(graph_, batch_);
    batch_ ? by_layers() : by_tiles();
  }

 private:
  using Tile = Workspace::Tile;

  // One pass over the nodes and one over the edges per step: a tile goes through all its layers while it is in the
  // cache.
  void by_tiles() {
    for_tiles(order_.rows, [&](const Range& range, Tile& tile) {
      mlp(weights_.node_encoder, node_features(range, tile), row(work_.x0, range.first), tile);
      project(0, range);
    });
    for (int step = 0; step < shape_.steps; ++step) {
      const bool last = step + 1 == shape_.steps;
      for_tiles(graph_.num_edges(), [&](const Range& range, Tile& tile) {
        float* const e = row(work_.e, range.first);
        if (step == 0) mlp(weights_.edge_encoder, edge_features(range, tile), row(work_.e0, range.first), tile);
        mlp(weights_.step(step).edge, edge_inputs(step, range), e, tile, edges_ahead(range));
        if (!last) return;
        mlp(weights_.edge_decoder, one_input(e, range.count), e, tile);
        write_logits(range, mlp(weights_.edge_output, one_input(e, range.count), nullptr, tile));
      });
      if (last) return;
      for_tiles(order_.rows, [&](const Range& range, Tile& tile) {
        mlp(weights_.step(step).node, node_inputs(step, range, tile), row(work_.x, range.first), tile,
            nodes_ahead(range));
        project(step + 1, range);
      });
    }
  }

  // Batch normalisation needs every row of a layer before the next: one pass per layer.
  void by_layers() {
    layers(weights_.node_encoder, order_.rows, work_.x0,
           [&](const Range& range, Tile& tile) { return node_features(range, tile); });
    layers(weights_.edge_encoder, graph_.num_edges(), work_.e0,
           [&](const Range& range, Tile& tile) { return edge_features(range, tile); });
    for (int step = 0; step < shape_.steps; ++step) {
      for_tiles(order_.rows, [&](const Range& range, Tile&) { project(step, range); });
      layers(weights_.step(step).edge, graph_.num_edges(), work_.e,
             [&](const Range& range, Tile&) { return edge_inputs(step, range); });
      if (step + 1 == shape_.steps) break;
      layers(weights_.step(step).node, order_.rows, work_.x,
             [&](const Range& range, Tile& tile) { return node_inputs(step, range, tile); });
    }
    const auto edges = [&](const Range& range, Tile&) { return one_input(row(work_.e, range.first), range.count); };
    layers(weights_.edge_decoder, graph_.num_edges(), work_.e, edges);
    layers(weights_.edge_output, graph_.num_edges(), work_.e, edges);
  }

  // Calls body(range, tile) for all rows.
  template <typename Body>
  void for_tiles(std::int64_t rows, const Body& body) {
    dense::for_tiles(rows, tile_, slots_, [&](std::int64_t first, int count, int slot) {
      const std::int64_t chunk_rows = std::int64_t{tile_} * kTilesPerChunk;
      body(Range{first, count, first / chunk_rows, first % chunk_rows == 0}, work_.tiles[slot]);
    });
  }

  float* row(float* array, std::int64_t at) const { return array + at * padded_; }
  Rows state(const float* array, std::int64_t at) const { return {array + at * padded_, padded_, width_}; }

  Product one_input(const float* rows, int count) const { return product_of({{rows, padded_, width_}}, count); }

  Product features(const float* source, const std::int32_t* places, int inputs, const Range& range, Tile& tile) const {
    for (int i = 0; i < range.count; ++i) {
      std::copy_n(source + std::int64_t{places[range.first + i]} * inputs, inputs, tile.features + i * inputs);
    }
    return product_of({{tile.features, inputs, inputs}}, range.count);
  }
  Product node_features(const Range& range, Tile& tile) const {
    return features(graph_.node_features.data(), order_.node, shape_.node_inputs, range, tile);
  }
  Product edge_features(const Range& range, Tile& tile) const {
    return features(graph_.edge_features.data(), order_.edge, shape_.edge_inputs, range, tile);
  }

  Product edge_inputs(int step, const Range& range) const {
    const Rows e = state(step == 0 ? work_.e0 : work_.e, range.first), e0 = state(work_.e0, range.first);
    Product product = weights_.has_encoded(step) ? product_of({e, e0}, range.count) : product_of({e}, range.count);
    product.by_src = work_.by_src;
    product.by_dst = work_.by_dst;
    product.src = order_.src + range.first;
    product.dst = order_.dst + range.first;
    return product;
  }

  Product node_inputs(int step, const Range& range, Tile& tile) const {
    Rows in{nullptr, padded_, width_}, out{nullptr, padded_, width_};
    if (range.first + range.count > order_.first_with_in && range.first < order_.end_with_in) {
      kernels_.sum_rows({work_.e, order_.in_splits + range.first, order_.in_edges, range.count, padded_, tile.sums[0]});
      in.data = tile.sums[0];
    }
    if (range.first < order_.end_with_out) {
      kernels_.sum_rows({work_.e, order_.out_splits + range.first, nullptr, range.count, padded_, tile.sums[1]});
      out.data = tile.sums[1];
    }
    const Rows x = state(step == 0 ? work_.x0 : work_.x, range.first), x0 = state(work_.x0, range.first);
    return weights_.has_encoded(step) ? product_of({in, out, x, x0}, range.count)
                                      : product_of({in, out, x}, range.count);
  }

  // What the edges of a step read from the nodes; nothing reads by_src of a node without edges out.
  void project(int step, const Range& range) const {
    const Rows x = state(step == 0 ? work_.x0 : work_.x, range.first), x0 = state(work_.x0, range.first);
    const auto product = [&](const dense::PackedLayer& layer, float* out) {
      Product p = weights_.has_encoded(step) ? product_of({x, x0}, range.count) : product_of({x}, range.count);
      apply(kernels_, layer, p, row(out, range.first), padded_);
    };
    if (range.first < order_.end_with_out) product(weights_.step(step).by_src, work_.by_src);
    if (range.first + range.count > order_.first_with_in && range.first < order_.end_with_in) {
      product(weights_.step(step).by_dst, work_.by_dst);
    }
  }

  // What the tile after an edge or a node tile will gather.
  dense::Ahead edges_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count;
    return {work_.by_dst, order_.dst + after,
            static_cast<int>(std::min<std::int64_t>(tile_, graph_.num_edges() - after)), padded_};
  }
  dense::Ahead nodes_ahead(const Range& range) const {
    const std::int64_t after = range.first + range.count, end = std::min<std::int64_t>(after + tile_, order_.rows);
    const std::int32_t first = order_.in_splits[after];
    return {work_.e, order_.in_edges + first, std::min(order_.in_splits[end] - first, kMostAhead * tile_), padded_};
  }

  // All layers on one tile, the last into `out` (null: a buffer of the tile), which may be the input.
  const float* mlp(const dense::Mlp& layers, const Product& product, float* out, Tile& tile,
                   const dense::Ahead& ahead = {}) const {
    return run_mlp(kernels_, layers, product, out, padded_, tile.layers, ahead);
  }

  // All layers on all rows, one behind the other, through `array`: it holds each layer's outputs before their
  // normalisation, at last the outputs themselves. `first(range, tile)` gives the inputs, which may lie in it.
  template <typename First>
  void layers(const dense::Mlp& mlp, std::int64_t rows, float* array, const First& first) {
    for (std::size_t k = 0; k < mlp.size(); ++k) {
      const dense::PackedLayer& layer = mlp[k];
      const bool logit = &mlp == &weights_.edge_output && k + 1 == mlp.size(), normalised = layer.norm == Norm::batch;
      for_tiles(rows, [&](const Range& range, Tile& tile) {
        float *const in = tile.layers.hidden[0], *const out = tile.layers.hidden[1];
        Product product;
        if (k == 0) {
          product = first(range, tile);
        } else {
          kernels_.scale_shift_relu(row(array, range.first), range.count, padded_, work_.norm_scale, work_.norm_shift,
                                    in);
          product = one_input(in, range.count);
        }
        product.relu = layer.relu && !normalised;
        apply(kernels_, layer, product, out, layer.columns);
        if (logit) return write_logits(range, out);
        if (normalised) add_moments(range, tile);
        std::copy_n(out, std::int64_t{range.count} * padded_, row(array, range.first));
      });
      if (normalised) finish_moments(layer, rows);
    }
  }

  // Merges the moments of tile.layers.hidden[1] into those of its chunk (Chan, Golub and LeVeque's pairwise update).
  void add_moments(const Range& range, Tile& tile) const {
    kernels_.moments(tile.layers.hidden[1], range.count, padded_, tile.moments[0], tile.moments[1]);
    double* const mean = work_.chunk_moments + range.chunk * 2 * padded_;
    double* const m2 = mean + padded_;
    const double before = range.opens_chunk ? 0. : double(range.first % (std::int64_t{tile_} * kTilesPerChunk));
    merge(before, mean, m2, range.count, tile.moments[0], tile.moments[1]);
  }

  // Merges `count` rows into `before` rows.
  template <typename T>
  void merge(double before, double* mean, double* m2, double count, const T* other_mean, const T* other_m2) const {
    for (int c = 0; c < padded_; ++c) {
      if (before == 0.) mean[c] = m2[c] = 0.;
      const double difference = double(other_mean[c]) - mean[c];
      mean[c] += difference * (count / (before + count));
      m2[c] += double(other_m2[c]) + difference * difference * (before * count / (before + count));
    }
  }

  void finish_moments(const dense::PackedLayer& layer, std::int64_t rows) const {
    const std::int64_t chunk_rows = std::int64_t{tile_} * kTilesPerChunk;
    double* const mean = work_.chunk_moments;
    double* const m2 = mean + padded_;
    for (std::int64_t chunk = 1; chunk < chunk_count(rows, tile_); ++chunk) {
      const std::int64_t before = chunk * chunk_rows;
      const double* const other = work_.chunk_moments + chunk * 2 * padded_;
      merge(double(before), mean, m2, double(std::min(chunk_rows, rows - before)), other, other + padded_);
    }
    for (int c = 0; c < padded_; ++c) {
      const double scale = double{layer.norm_weight[c]} / std::sqrt(m2[c] / double(rows) + double{kBatchNormEpsilon});
      work_.norm_scale[c] = static_cast<float>(scale);
      work_.norm_shift[c] = static_cast<float>(double{layer.norm_bias[c]} - mean[c] * scale);
    }
  }

  void write_logits(const Range& range, const float* values) const {
    for (int i = 0; i < range.count; ++i) logits_[order_.edge[range.first + i]] = values[i * kernels_.width];
  }

  const InteractionNetworkShape& shape_;
  const PackedWeights& weights_;
  const dense::FloatKernels& kernels_;
  const GraphView& graph_;
  Workspace& work_;
  GraphOrder& order_;
  int slots_, width_, padded_, tile_;
  bool batch_;
  float* logits_;
};

}  // namespace

Workspace::Workspace(memory::Layout& layout, const InteractionNetworkShape& shape, const PackedWeights& weights,
                     const dense::FloatKernels& kernels, std::int32_t num_nodes, std::int64_t num_edges, int slots) {
  const bool batch = shape.norm == Norm::batch;
  const std::size_t padded = dense::padded(shape.hidden, kernels), rows = dense::tile_rows(shape.hidden),
                    edges = num_edges;
  order.take(layout, num_nodes, num_edges, batch);
  const std::size_t nodes = GraphOrder::most_rows(num_nodes, num_edges, batch);
  for (float** const array : {&x0, &by_src, &by_dst}) *array = layout.take<float>(nodes * padded);
  e0 = layout.take<float>(edges * padded);
  // Without concat the encoded states are read once, as the first states.
  x = shape.concat ? layout.take<float>(nodes * padded) : x0;
  e = shape.concat && shape.steps > 1 ? layout.take<float>(edges * padded) : e0;
  chunk_moments = nullptr;
  if (batch) {
    const std::int64_t chunks = chunk_count(std::max<std::int64_t>(nodes, num_edges), static_cast<int>(rows));
    chunk_moments = layout.take<double>(chunks * 2 * padded);
  }
  norm_scale = layout.take<float>(padded);
  norm_shift = layout.take<float>(padded);
  tiles = layout.take<Tile>(slots);
  for (int i = 0; i < slots; ++i) {
    Tile tile;
    tile.features = layout.take<float>(rows * std::max(shape.node_inputs, shape.edge_inputs));
    for (float** const buffer : {&tile.sums[0], &tile.sums[1]}) *buffer = layout.take<float>(rows * padded);
    for (float*& buffer : tile.layers.hidden) buffer = layout.take<float>(rows * weights.most_columns());
    for (float*& buffer : tile.layers.scale) buffer = layout.take<float>(rows);
    tile.layers.squares = layout.take<float>(rows * dense::kPartialSums);
    for (float*& buffer : tile.moments) buffer = layout.take<float>(padded);
    if (tiles != nullptr) tiles[i] = tile;
  }
}

void run(const InteractionNetworkShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GraphView& graph, Workspace& workspace, int slots, float* logits) {
  Runner(shape, weights, kernels, graph, workspace, slots, logits).run();
}

}  // namespace starling::interaction_network
