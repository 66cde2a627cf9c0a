#include <cuda_runtime.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cuda/call.h"
#include "dense/cuda/chain.h"
#include "gravnet/check.h"
#include "gravnet/joined.h"
#include "gravnet/run.h"
#include "gravnet/shape.h"
#include "memory/layout.h"
#include "starling/error.h"

namespace starling {
namespace {

using dense::cuda::Chain, dense::cuda::Layer, dense::cuda::Place, dense::cuda::Source, dense::cuda::Step,
    dense::cuda::Store;
using starling::cuda::call;

/// Where the layers of a network stand in packed memory, and the memory's content.
struct PackedLayers {
  struct Block {
    Place projections;  ///< lin_s and lin_h side by side
    std::vector<Place> update;
  };
  std::vector<Place> encoder, head;
  std::vector<Block> blocks;
  std::vector<float> content;

  explicit PackedLayers(const GravNet& network) {
    const gravnet::JoinedLayers joined(network);
    const auto pack = [&](const std::vector<DenseLayer>& layers) {
      std::vector<Place> places;
      for (const DenseLayer& layer : layers) places.push_back(dense::cuda::pack({layer}, joined.weights, content));
      return places;
    };
    encoder = pack(joined.encoder);
    for (const gravnet::JoinedLayers::Block& block : joined.blocks) {
      const Place projections = dense::cuda::pack({block.space, block.features}, joined.weights, content);
      blocks.push_back({projections, pack(block.update)});
    }
    head = pack(joined.head);
  }
};

/// As the plan lays it out: an aligned place for the content.
std::size_t lay_out_weights(std::size_t floats, std::span<std::byte> memory, float*& content) {
  memory::Layout layout(memory);
  content = layout.take<float>(floats);
  return layout.bytes();
}

struct Workspace {
  float *x, *joined, *space, *features, *aggregates, *distance2, *scratch;
  std::int32_t *index, *bad_rows;
  int x_stride, joined_stride;
  std::span<std::byte> search;
};

__global__ void first_bad_row(const std::int32_t* rows, int count, std::int32_t* bad_row) {
  std::int32_t found = -1;
  for (int i = 0; i < count && found < 0; ++i) found = rows[i];
  *bad_row = found;
}

}  // namespace

struct GravNetCudaPlan::Packed {
  GravNetShape shape;
  PackedLayers layers;
  float* weights;

  std::size_t lay_out(const GravNetHits& hits, std::span<std::byte> memory, Workspace& work) const {
    const auto rows = static_cast<std::size_t>(hits.num_hits);
    memory::Layout layout(memory);
    work.x_stride = shape.concat ? shape.hidden : std::max(shape.hidden, shape.width);
    work.joined_stride = shape.blocks * shape.width;
    work.x = layout.take<float>(rows * work.x_stride);
    work.joined = shape.concat ? layout.take<float>(rows * work.joined_stride) : nullptr;
    work.space = layout.take<float>(rows * shape.space);
    work.features = layout.take<float>(rows * shape.propagate);
    work.aggregates = layout.take<float>(rows * 2 * shape.propagate);
    work.index = layout.take<std::int32_t>(rows * shape.k);
    work.distance2 = layout.take<float>(rows * shape.k);
    work.bad_rows = layout.take<std::int32_t>(shape.blocks);
    const std::size_t bytes = knn_workspace_bytes(gravnet::search_of(shape, hits), shape.k, {.device = Device::cuda});
    work.search = {layout.take<std::byte>(bytes), bytes};
    std::size_t scratch = dense::cuda::scratch_floats(encode(hits, work), hits.num_hits);
    for (int block = 0; block < shape.blocks; ++block) {
      scratch = std::max(scratch, dense::cuda::scratch_floats(update(block, work, nullptr), hits.num_hits));
    }
    work.scratch = layout.take<float>(scratch);
    return layout.bytes();
  }

  /// Where stands what block `block` reads; block = shape.blocks: what the last one gave.
  Source state(int block, const Workspace& work) const {
    const int width = block == 0 ? shape.hidden : shape.width;
    if (block == 0 || !shape.concat) return {work.x, work.x_stride, width};
    return {work.joined + (block - 1) * shape.width, work.joined_stride, width};
  }

  Layer layer(const Place& place) const { return dense::cuda::at(place, weights); }

  /// Appends a step that reads `sources`, or without any the step before.
  static Step& append(Chain& chain, const Layer& layer, std::initializer_list<Source> sources, bool keep) {
    Step& step = chain.steps[chain.num_steps++];
    step.layer = layer;
    step.keep = keep;
    for (const Source& source : sources) step.sources[step.num_sources++] = source;
    return step;
  }
  static void store(Step& step, const Store& to) { step.stores[step.num_stores++] = to; }

  /// s and h of a block from what the chain keeps.
  void project(int block, const Workspace& work, Chain& chain) const {
    Step& step = append(chain, layer(layers.blocks[block].projections), {}, false);
    store(step, {work.space, shape.space, 0, shape.space});
    store(step, {work.features, shape.propagate, shape.space, shape.propagate});
  }

  Chain encode(const GravNetHits& hits, const Workspace& work) const {
    Chain chain;
    append(chain, layer(layers.encoder[0]), {{hits.features, shape.inputs, shape.inputs}}, true);
    Step& last = append(chain, layer(layers.encoder[1]), {}, true);
    store(last, {work.x, work.x_stride, 0, shape.hidden});
    project(0, work, chain);
    return chain;
  }

  /// A block's layers, then the next one's projections or the head.
  Chain update(int block, const Workspace& work, float* outputs) const {
    Chain chain;
    const std::vector<Place>& places = layers.blocks[block].update;
    const Source aggregates{work.aggregates, 2 * shape.propagate, 2 * shape.propagate};
    append(chain, layer(places[0]), {state(block, work), aggregates}, true);
    for (std::size_t i = 1; i < places.size(); ++i) append(chain, layer(places[i]), {}, true);
    const Source out = state(block + 1, work);
    store(chain.steps[chain.num_steps - 1], {const_cast<float*>(out.data), out.stride, 0, out.width});
    if (block + 1 < shape.blocks) {
      project(block + 1, work, chain);
      return chain;
    }
    const Source joined{work.joined, work.joined_stride, work.joined_stride};
    if (shape.concat)
      append(chain, layer(layers.head[0]), {joined}, true);
    else
      append(chain, layer(layers.head[0]), {}, true);
    store(append(chain, layer(layers.head[1]), {}, false), {outputs, shape.outputs, 0, shape.outputs});
    return chain;
  }

  /// Mean and maximum of the messages of a block.
  void gather(int block, const GravNetHits& hits, const Workspace& work, Execution execution) const {
    execution.bad_row = work.bad_rows + block;
    NeighborSearch<float> search = gravnet::search_of(shape, hits);
    search.points = work.space;
    knn(search, shape.k, work.index, work.distance2, work.search, execution);
    Messages<float> messages = gravnet::messages_of(shape, hits.num_hits);
    messages.index = work.index;
    messages.distance2 = work.distance2;
    messages.features = work.features;
    aggregate(messages,
              {.mean = work.aggregates,
               .max = work.aggregates + shape.propagate,
               .stride = 2 * std::int64_t{shape.propagate},
               .max_slot = nullptr},
              execution);
  }
};

std::size_t GravNetCudaPlan::weights_bytes(const GravNetShape& shape) {
  GravNet zeros{shape, {}};
  for (const ArrayShape& array : arrays(layers(shape))) {
    zeros.weights[array.name].resize(static_cast<std::size_t>(array.count()));
  }
  float* content = nullptr;
  return lay_out_weights(PackedLayers(zeros).content.size(), {}, content);
}

GravNetCudaPlan::GravNetCudaPlan(const GravNet& network, std::span<std::byte> memory)
    : packed_(new Packed{network.shape, PackedLayers(gravnet::checked(network)), nullptr}) {
  require_cuda();
  std::vector<float>& content = packed_->layers.content;
  memory::check_workspace(memory, lay_out_weights(content.size(), {}, packed_->weights), "GravNetCudaPlan");
  lay_out_weights(content.size(), memory, packed_->weights);
  call(cudaMemcpy(packed_->weights, content.data(), content.size() * sizeof(float), cudaMemcpyHostToDevice));
  // A copy from pageable memory may return before the device is done.
  call(cudaStreamSynchronize(cudaStreamLegacy));
  content = {};
}

GravNetCudaPlan::~GravNetCudaPlan() = default;

const GravNetShape& GravNetCudaPlan::shape() const { return packed_->shape; }

std::size_t GravNetCudaPlan::workspace_bytes(const GravNetHits& hits) const {
  gravnet::check_counts(hits, "GravNetCudaPlan::workspace_bytes");
  Workspace work{};
  return packed_->lay_out(hits, {}, work);
}

void GravNetCudaPlan::run(const GravNetHits& hits, float* outputs, std::span<std::byte> workspace,
                          const Execution& execution) const {
  const char* const function = "GravNetCudaPlan::run";
  gravnet::check_hits(hits, outputs, function);
  if (execution.device != Device::cuda || execution.bad_row == nullptr) {
    throw Error(ErrorKind::usage, std::string(function) + ": expected an execution on a CUDA device with a bad_row");
  }
  memory::check_workspace(workspace, workspace_bytes(hits), function);
  Workspace work{};
  packed_->lay_out(hits, workspace, work);
  dense::cuda::run(packed_->encode(hits, work), hits.num_hits, work.scratch, execution.stream);
  for (int block = 0; block < shape().blocks; ++block) {
    packed_->gather(block, hits, work, execution);
    dense::cuda::run(packed_->update(block, work, outputs), hits.num_hits, work.scratch, execution.stream);
  }
  first_bad_row<<<1, 1, 0, execution.stream>>>(work.bad_rows, shape().blocks, execution.bad_row);
  call(cudaGetLastError());
}

}  // namespace starling
