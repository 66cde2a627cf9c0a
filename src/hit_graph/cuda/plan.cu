#include <cuda_runtime.h>

#include <limits>
#include <string>
#include <vector>

#include "cuda/call.h"
#include "hit_graph/check.h"
#include "hit_graph/cuda/job.cuh"
#include "hit_graph/limits.h"
#include "hit_graph/windows.h"
#include "memory/arguments.h"
#include "memory/layout.h"
#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

using hit_graph::cuda::Edge, hit_graph::cuda::Extent, hit_graph::cuda::Job, hit_graph::cuda::kBinsPerLayer,
    hit_graph::cuda::kScanned, hit_graph::cuda::Launches, hit_graph::cuda::Row, hit_graph::cuda::Tables,
    hit_graph::cuda::Totals;
using starling::cuda::call;

/// The most that a file may have (windows_file.cpp); the extents of all must fit in a block's shared memory.
constexpr std::int32_t kMostLayers = 1024;

/// Without memory it measures, with memory it copies.
std::size_t lay_out_windows(const Windows::Content& content, std::span<std::byte> memory, Tables& tables) {
  memory::Layout layout(memory);
  const auto put = [&]<typename T>(const std::vector<T>& values) -> const T* {
    T* const array = layout.take<T>(values.size());
    if (array != nullptr && !values.empty()) {
      call(cudaMemcpy(array, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
    }
    return array;
  };
  tables.layers = content.layers();
  tables.volume_id = put(content.volume_id);
  tables.layer_id = put(content.layer_id);
  tables.out_pairs = put(content.out_pairs);
  tables.pair_dst = put(content.pair_dst);
  tables.pair_cells = put(content.pair_cells);
  tables.pair_cot = put(content.pair_cot);
  tables.pair_k = put(content.pair_k);
  tables.pair_z0 = put(content.pair_z0);
  tables.triple_rows = put(content.triple_rows);
  tables.triple_of = put(content.triple_of);
  tables.triple_cells = put(content.triple_cells);
  tables.triple_cot = put(content.triple_cot);
  tables.triple_k = put(content.triple_k);
  tables.triple_d0 = put(content.triple_d0);
  tables.triple_bend = put(content.triple_bend);
  tables.overlap_distance = put(content.overlap_distance);
  tables.overlap_rphi = put(content.overlap_rphi);
  return layout.bytes();
}

/// The arrays that begin at job.totals and must be zero before an event take `zeros` bytes.
std::size_t lay_out_workspace(std::span<std::byte> memory, Job& job, std::size_t& zeros) {
  const auto n = static_cast<std::size_t>(job.num_hits);
  const auto doublets = static_cast<std::size_t>(job.capacity.doublets);
  const auto edges = static_cast<std::size_t>(job.capacity.edges);
  const auto layers = static_cast<std::size_t>(job.windows.layers);
  memory::Layout layout(memory);
  job.totals = layout.take<Totals>(1);
  job.extents = layout.take<Extent>(layers + 1);
  job.layout.bins = layout.take<std::int32_t>((layers + 1) * kBinsPerLayer + 1);
  job.on_edge = layout.take<std::uint8_t>(n);
  job.kept = layout.take<std::uint8_t>(doublets);
  job.sums_of_out = layout.take<std::int32_t>(n / kScanned + 1);
  job.sums_of_edges = layout.take<std::int32_t>(edges / kScanned + 1);
  zeros = layout.bytes() - (memory::Layout::kAlignment - 1);

  job.layout.layers = layout.take<HitLayout::Layer>(layers);
  job.layout.points = layout.take<Point>(n);
  job.layout.phi = layout.take<float>(n);
  job.layout.layer = layout.take<std::int32_t>(n);
  job.layout.module = layout.take<std::int32_t>(n);
  job.point = layout.take<Point>(n);
  job.angle = layout.take<float>(n);
  job.bin = layout.take<std::int32_t>(n);
  job.nth = layout.take<std::int32_t>(n);
  job.gathered = layout.take<std::int32_t>(n);
  job.doublets_from = layout.take<Row>(n);
  job.edges_from = layout.take<std::int32_t>(n);
  job.first_edge = layout.take<std::int32_t>(n + 1);
  job.doublets = layout.take<hit_graph::cuda::Doublet>(doublets);
  job.doublet_src = layout.take<std::int32_t>(doublets);
  job.triplets_of = layout.take<std::int32_t>(doublets);
  job.edges = layout.take<Edge>(edges);
  job.edge_pair = layout.take<std::int32_t>(edges);
  job.edge_triplets = layout.take<std::int32_t>(edges);
  return layout.bytes();
}

void check_capacity(const char* function, const HitGraphCapacity& capacity) {
  memory::check_count(function, "capacity.doublets", capacity.doublets, 0, kMostDoublets);
  memory::check_count(function, "capacity.edges", capacity.edges, 0, kMostEdges);
  memory::check_count(function, "capacity.triplets", capacity.triplets, 0, kMostFound);
}

template <typename T>
void check_array(const char* function, const char* name, const T* array, std::int64_t count,
                 std::size_t alignment = alignof(T)) {
  memory::check_there(function, name, array, count);
  if (reinterpret_cast<std::uintptr_t>(array) % alignment == 0) return;
  memory::usage(function, std::string(name) + " is not aligned to " + std::to_string(alignment) + " bytes");
}

void check_arrays(const char* function, const HitsView& hits, const HitGraphCapacity& capacity,
                  const HitGraphMemory& memory) {
  const std::int64_t n = hits.size();
  check_array(function, "hits.x", hits.x.data(), n);
  check_array(function, "hits.y", hits.y.data(), n);
  check_array(function, "hits.z", hits.z.data(), n);
  check_array(function, "hits.volume_id", hits.volume_id.data(), n);
  check_array(function, "hits.layer_id", hits.layer_id.data(), n);
  check_array(function, "hits.module_id", hits.module_id.data(), n);
  check_array(function, "memory.src", memory.src, capacity.edges);
  check_array(function, "memory.dst", memory.dst, capacity.edges);
  check_array(function, "memory.node_features", memory.node_features, n, alignof(float4));
  check_array(function, "memory.edge_features", memory.edge_features, capacity.edges, alignof(float2));
  check_array(function, "memory.layer", memory.layer, n);
  check_array(function, "memory.order", memory.order, n);
  check_array(function, "memory.triplet_splits", memory.triplet_splits, 1);
  check_array(function, "memory.triplets", memory.triplets, capacity.triplets);
  check_array(function, "memory.counts", memory.counts, 1);
  check_array(function, "memory.edge_count", memory.edge_count, 1);
}

}  // namespace

struct HitGraphCudaPlan::Packed {
  Tables tables{};
  FeatureScales scales;
};

std::size_t HitGraphCudaPlan::windows_bytes(const Windows& windows) {
  Tables tables{};
  return lay_out_windows(windows.content(), {}, tables);
}

HitGraphCudaPlan::HitGraphCudaPlan(const Windows& windows, const FeatureScales& scales, std::span<std::byte> memory)
    : packed_(std::make_unique<Packed>()) {
  const char* const function = "HitGraphCudaPlan";
  require_cuda();
  check_scales(scales, function);
  memory::check_count(function, "the number of layers", windows.content().layers(), 0, kMostLayers);
  memory::check_workspace(memory, windows_bytes(windows), function);
  packed_->scales = scales;
  lay_out_windows(windows.content(), memory, packed_->tables);
  // A copy from pageable memory may return before the device is done.
  call(cudaStreamSynchronize(cudaStreamLegacy));
}

HitGraphCudaPlan::~HitGraphCudaPlan() = default;

std::size_t HitGraphCudaPlan::workspace_bytes(std::int32_t num_hits, const HitGraphCapacity& capacity) const {
  const char* const function = "HitGraphCudaPlan::workspace_bytes";
  memory::check_count(function, "num_hits", num_hits, 0, std::numeric_limits<std::int32_t>::max());
  check_capacity(function, capacity);
  Job job{};
  job.num_hits = num_hits;
  job.capacity = capacity;
  job.windows = packed_->tables;
  std::size_t zeros = 0;
  return lay_out_workspace({}, job, zeros);
}

HitGraphView HitGraphCudaPlan::run(const HitsView& hits, const HitGraphCapacity& capacity, const HitGraphMemory& memory,
                                   std::span<std::byte> workspace, const Execution& execution) const {
  const char* const function = "HitGraphCudaPlan::run";
  if (execution.device != Device::cuda) memory::usage(function, "expected an execution on a CUDA device");
  hits.check();
  check_capacity(function, capacity);
  check_arrays(function, hits, capacity, memory);
  const std::int32_t n = hits.size();
  memory::check_workspace(workspace, workspace_bytes(n, capacity), function);

  Job job{};
  job.x = hits.x.data();
  job.y = hits.y.data();
  job.z = hits.z.data();
  job.volume_id = hits.volume_id.data();
  job.layer_id = hits.layer_id.data();
  job.module_id = hits.module_id.data();
  job.num_hits = n;
  job.windows = packed_->tables;
  job.scales = packed_->scales;
  job.capacity = capacity;
  job.out = memory;
  std::size_t zeros = 0;
  lay_out_workspace(workspace, job, zeros);

  call(cudaMemsetAsync(job.totals, 0, zeros, execution.stream));
  Launches launch(execution.stream);
  if (n > 0) {
    place_hits(job, launch);
    find_doublets(job, launch);
    find_triplets(job, launch);
  }
  write_edges(job, launch);

  const auto nodes = static_cast<std::size_t>(n), edges = static_cast<std::size_t>(capacity.edges);
  return {{n, {memory.src, edges}, {memory.dst, edges}, memory.edge_count},
          {memory.node_features, nodes * kNodeFeatures},
          {memory.edge_features, edges * kEdgeFeatures},
          {memory.layer, nodes},
          {memory.order, nodes},
          {memory.triplet_splits, edges + 1},
          {memory.triplets, static_cast<std::size_t>(capacity.triplets)}};
}

}  // namespace starling
