#pragma once

#include <cstddef>
#include <span>

#include "dense/mlp.h"
#include "gravnet/joined.h"
#include "memory/layout.h"
#include "starling/gravnet.h"
#include "starling/message.h"
#include "starling/neighbors.h"

namespace starling::gravnet {

/// A network's weights as the kernels of one instruction level read them.
class PackedWeights {
 public:
  PackedWeights(const GravNet& network, const dense::FloatKernels& kernels);

  struct Block {
    dense::PackedLayer space, features;
    dense::Mlp update;
  };
  dense::Mlp encoder, head;
  std::vector<Block> blocks;

  /// The widest layer's columns, padding included.
  int most_columns() const { return most_columns_; }

 private:
  dense::PackedLayer pack(const DenseLayer& layer, const Weights& weights);
  dense::Mlp pack(const std::vector<DenseLayer>& layers, const Weights& weights);

  dense::FloatPacker packer_;
  int most_columns_ = 0;
};

/// The neighbour search and the messages of every block, but for the arrays of a run.
NeighborSearch<float> search_of(const GravNetShape& shape, const GravNetHits& hits);
Messages<float> messages_of(const GravNetShape& shape, std::int32_t num_hits);

/// The caller's memory, as one run uses it.
struct Workspace {
  /// What one thread at a time works in. Aligned, so that each takes the same number of bytes.
  struct alignas(memory::Layout::kAlignment) Tile {
    dense::TileBuffers layers;
    float* narrow;  ///< [tile rows, most columns]: what a layer gives, with the padding that its place does not have
  };

  float* x;       ///< [N, x_stride]: what the encoder gives and, without concat, each block in its place
  float* joined;  ///< [N, joined_stride]: what the blocks give, side by side; null without concat
  int x_stride, joined_stride;
  float* space;       ///< [N, S]
  float* features;    ///< [N, P]
  float* aggregates;  ///< [N, 2 P]
  std::int32_t* index;
  float* distance2;  ///< [N, k]
  std::span<std::byte> search;
  Tile* tiles;  ///< [slots]
  int tile_rows;

  Workspace(memory::Layout& layout, const GravNetShape& shape, const PackedWeights& weights,
            const dense::FloatKernels& kernels, const GravNetHits& hits, int slots);
};

/// All of GravNetPlan::run() behind its checks. `slots` is how many threads work at most.
void run(const GravNetShape& shape, const PackedWeights& weights, const dense::FloatKernels& kernels,
         const GravNetHits& hits, Workspace& workspace, int slots, float* outputs);

}  // namespace starling::gravnet
