#include "gravnet/run.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>

#include "dense/tiles.h"
#include "gravnet/shape.h"
#include "starling/error.h"

namespace starling::gravnet {

using dense::Product, dense::product_of, dense::Rows;

PackedWeights::PackedWeights(const GravNet& network, const dense::FloatKernels& kernels) : packer_(kernels) {
  const JoinedLayers joined(network);
  encoder = pack(joined.encoder, joined.weights);
  head = pack(joined.head, joined.weights);
  for (const JoinedLayers::Block& block : joined.blocks) {
    blocks.push_back({.space = pack(block.space, joined.weights),
                      .features = pack(block.features, joined.weights),
                      .update = pack(block.update, joined.weights)});
  }
}

dense::PackedLayer PackedWeights::pack(const DenseLayer& layer, const Weights& weights) {
  const dense::PackedLayer packed = packer_.pack(layer, weights);
  most_columns_ = std::max(most_columns_, packed.columns);
  return packed;
}

dense::Mlp PackedWeights::pack(const std::vector<DenseLayer>& layers, const Weights& weights) {
  dense::Mlp packed;
  for (const DenseLayer& layer : layers) packed.push_back(pack(layer, weights));
  return packed;
}

NeighborSearch<float> search_of(const GravNetShape& shape, const GravNetHits& hits) {
  static constexpr float kSomewhere = 0;  // a size query asks only whether the points are there
  NeighborSearch<float> search;
  search.points = &kSomewhere;
  search.num_points = hits.num_hits;
  search.dimensions = shape.space;
  search.row_splits = hits.row_splits;
  search.num_events = hits.num_events;
  return search;
}

Messages<float> messages_of(const GravNetShape& shape, std::int32_t num_hits) {
  Messages<float> messages;
  messages.num_rows = messages.num_sources = num_hits;
  messages.k = shape.k;
  messages.width = shape.propagate;
  messages.factor = shape.factor;
  messages.subtract = shape.subtract;
  return messages;
}

namespace {

class Runner {
 public:
  Runner(const GravNetShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GravNetHits& hits, Workspace& workspace, int slots, float* outputs)
      : shape_(shape),
        weights_(weights),
        kernels_(kernels),
        hits_(hits),
        work_(workspace),
        slots_(slots),
        outputs_(outputs) {}

  void run() {
    for_tiles([&](std::int64_t first, int count, Tile& tile) {
      const Rows features{hits_.features + first * shape_.inputs, shape_.inputs, shape_.inputs};
      mlp(weights_.encoder, product_of({features}, count), work_.x + first * work_.x_stride, work_.x_stride, tile);
      project(0, first, count, tile);
    });
    for (int block = 0; block < shape_.blocks; ++block) {
      require_finite_space(block);
      gather();
      for_tiles([&](std::int64_t first, int count, Tile& tile) {
        update(block, first, count, tile);
        if (block + 1 < shape_.blocks)
          project(block + 1, first, count, tile);
        else
          finish(first, count, tile);
      });
    }
  }

 private:
  using Tile = Workspace::Tile;

  template <typename Body>
  void for_tiles(const Body& body) {
    dense::for_tiles(hits_.num_hits, work_.tile_rows, slots_,
                     [&](std::int64_t first, int count, int slot) { body(first, count, work_.tiles[slot]); });
  }

  void mlp(const dense::Mlp& layers, const Product& first, float* out, std::ptrdiff_t stride, Tile& tile) const {
    dense::run_mlp(kernels_, layers, first, out, stride, tile.layers);
  }

  /// Where stands what block `block` reads of the hits from `first` on; block = shape.blocks: what the last one gave.
  float* place(int block, std::int64_t first) const {
    if (block == 0 || !shape_.concat) return work_.x + first * work_.x_stride;
    return work_.joined + first * work_.joined_stride + (block - 1) * shape_.width;
  }
  std::ptrdiff_t stride(int block) const { return block == 0 || !shape_.concat ? work_.x_stride : work_.joined_stride; }
  Rows state(int block, std::int64_t first) const {
    return {place(block, first), stride(block), block == 0 ? shape_.hidden : shape_.width};
  }

  /// s and h of a block, which stand without padding.
  void project(int block, std::int64_t first, int count, Tile& tile) const {
    const Rows in = state(block, first);
    narrow(weights_.blocks[block].space, in, work_.space + first * shape_.space, count, tile);
    narrow(weights_.blocks[block].features, in, work_.features + first * shape_.propagate, count, tile);
  }

  void narrow(const dense::PackedLayer& layer, const Rows& in, float* out, int count, Tile& tile) const {
    Product product = product_of({in}, count);
    product.relu = layer.relu;
    const bool fits = layer.columns == layer.width;
    dense::apply(kernels_, layer, product, fits ? out : tile.narrow, layer.columns);
    for (int row = 0; row < count && !fits; ++row) {
      std::copy_n(tile.narrow + std::ptrdiff_t{row} * layer.columns, layer.width,
                  out + std::ptrdiff_t{row} * layer.width);
    }
  }

  /// Asked before the search, which would speak of points that the caller never gave.
  void require_finite_space(int block) const {
    const std::span<const float> space(work_.space, static_cast<std::size_t>(hits_.num_hits) * shape_.space);
    const auto wrong = std::find_if(space.begin(), space.end(), [](float value) { return !std::isfinite(value); });
    if (wrong == space.end()) return;
    const std::ptrdiff_t at = wrong - space.begin();
    throw Error(ErrorKind::input, "hit " + std::to_string(at / shape_.space) + ": learned coordinate " +
                                      std::to_string(at % shape_.space) + " of block " + std::to_string(block) +
                                      " is " + std::to_string(*wrong) + ": the network does not fit this event");
  }

  /// Mean and maximum of the messages of a block.
  void gather() const {
    NeighborSearch<float> search = search_of(shape_, hits_);
    search.points = work_.space;
    knn(search, shape_.k, work_.index, work_.distance2, work_.search);
    Messages<float> messages = messages_of(shape_, hits_.num_hits);
    messages.index = work_.index;
    messages.distance2 = work_.distance2;
    messages.features = work_.features;
    aggregate(messages, {.mean = work_.aggregates,
                         .max = work_.aggregates + shape_.propagate,
                         .stride = 2 * std::int64_t{shape_.propagate},
                         .max_slot = nullptr});
  }

  /// The block's outputs. Their padding reaches into what the next block writes later, and not beyond the row.
  void update(int block, std::int64_t first, int count, Tile& tile) const {
    const int gathered = 2 * shape_.propagate;
    const Rows aggregates{work_.aggregates + first * gathered, gathered, gathered};
    mlp(weights_.blocks[block].update, product_of({state(block, first), aggregates}, count), place(block + 1, first),
        stride(block + 1), tile);
  }

  void finish(std::int64_t first, int count, Tile& tile) const {
    const Rows in = shape_.concat
                        ? Rows{work_.joined + first * work_.joined_stride, work_.joined_stride, head_inputs(shape_)}
                        : state(shape_.blocks, first);
    Product product = product_of({in}, count);
    product.relu = weights_.head[0].relu;
    dense::apply(kernels_, weights_.head[0], product, tile.layers.hidden[0], weights_.head[0].columns);
    narrow(weights_.head[1], {tile.layers.hidden[0], weights_.head[0].columns, weights_.head[0].width},
           outputs_ + first * shape_.outputs, count, tile);
  }

  const GravNetShape& shape_;
  const PackedWeights& weights_;
  const dense::FloatKernels& kernels_;
  const GravNetHits& hits_;
  Workspace& work_;
  int slots_;
  float* outputs_;
};

}  // namespace

Workspace::Workspace(memory::Layout& layout, const GravNetShape& shape, const PackedWeights& weights,
                     const dense::FloatKernels& kernels, const GravNetHits& hits, int slots) {
  const auto rows = static_cast<std::size_t>(hits.num_hits);
  x_stride = dense::padded(shape.concat ? shape.hidden : std::max(shape.hidden, shape.width), kernels);
  joined_stride = (shape.blocks - 1) * shape.width + dense::padded(shape.width, kernels);
  x = layout.take<float>(rows * x_stride);
  joined = shape.concat ? layout.take<float>(rows * joined_stride) : nullptr;
  space = layout.take<float>(rows * shape.space);
  features = layout.take<float>(rows * shape.propagate);
  aggregates = layout.take<float>(rows * 2 * shape.propagate);
  index = layout.take<std::int32_t>(rows * shape.k);
  distance2 = layout.take<float>(rows * shape.k);
  const std::size_t bytes = knn_workspace_bytes(search_of(shape, hits), shape.k);
  search = {layout.take<std::byte>(bytes), bytes};
  tile_rows = dense::tile_rows(std::max(shape.hidden, shape.width));
  const std::size_t buffer = static_cast<std::size_t>(tile_rows) * weights.most_columns();
  tiles = layout.take<Tile>(slots);
  for (int i = 0; i < slots; ++i) {
    Tile tile{};
    for (float*& hidden : tile.layers.hidden) hidden = layout.take<float>(buffer);
    tile.narrow = layout.take<float>(buffer);
    if (tiles != nullptr) tiles[i] = tile;
  }
}

void run(const GravNetShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GravNetHits& hits, Workspace& workspace, int slots, float* outputs) {
  Runner(shape, weights, kernels, hits, workspace, slots, outputs).run();
}

}  // namespace starling::gravnet
