#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/block.cuh"
#include "cuda/launch.cuh"
#include "hit_graph/layout.h"
#include "starling/hit_graph.h"

// The steps of a hit graph on the device, each a kernel. They communicate through arrays of the workspace. Where a step
// takes places in an array, it does so in any order; what is written in the end is ordered by place and index.
namespace starling::hit_graph::cuda {

using starling::cuda::kScanned;

inline constexpr int kThreads = 256;
inline constexpr std::int32_t kBinsPerLayer = HitLayout::kPhiBins * HitLayout::kLongBins;

/// Content of Windows, in device memory.
struct Tables {
  const std::int32_t *volume_id, *layer_id, *out_pairs, *pair_dst, *pair_cells, *triple_rows, *triple_of, *triple_cells;
  const float *pair_cot, *pair_k, *pair_z0, *triple_cot, *triple_k, *triple_d0, *triple_bend, *overlap_distance,
      *overlap_rphi;
  std::int32_t layers;
};

/// All zero before an event. The extent of a layer is kept as maxima of ordered bits, for minima of their complements.
struct Extent {
  std::uint32_t hits, r_least, r_most, z_least, z_most;
};

struct Totals {
  unsigned long long doublets, pairs, edges, triplets;
  std::uint32_t outside;
  std::uint32_t bad;  ///< num_hits minus the first bad hit; 0 = none
};

/// A hit's row of doublets.
struct Row {
  std::int32_t first, size;
};

struct Doublet {
  std::int32_t dst, pair;  ///< position; pair of layers
};

struct alignas(16) Edge {
  std::int32_t src, dst;  ///< hits
  std::int32_t doublet;   ///< −1 = an overlap
  std::int32_t rank;      ///< how many edges of src end before it does; ~ where those begin, if that is to be counted
};

/// The layout as for_each_overlap_in_row() takes it.
struct Layout {
  HitLayout::Layer* layers;
  std::int32_t* bins;  ///< [layers + 1, kBinsPerLayer] and the end; the hits outside are behind those of all layers
  Point* points;
  float* phi;
  std::int32_t *layer, *module;  ///< by position
};

struct Job {
  const float *x, *y, *z;
  const std::int32_t *volume_id, *layer_id, *module_id;
  std::int32_t num_hits;
  Tables windows;
  FeatureScales scales;
  HitGraphCapacity capacity;
  HitGraphMemory out;

  // All zero before an event.
  Totals* totals;
  Extent* extents;                            // [layers + 1], the last for the hits outside: their number alone
  std::uint8_t *on_edge, *kept;               // by position; by doublet
  std::int32_t *sums_of_edges, *sums_of_out;  // of kScanned triplet counts by edge; of edges by hit

  Layout layout;
  Point* point;             // by hit
  float* angle;             // by hit
  std::int32_t *bin, *nth;  // by hit: its bin, and how many hits had come to it before
  std::int32_t* gathered;   // hits by bin, in no order
  Row* doublets_from;       // by position
  Doublet* doublets;
  std::int32_t* doublet_src;  // position
  std::int32_t* triplets_of;  // by doublet, how many begin with it
  Edge* edges;                // hit by hit, in no order
  std::int32_t* edges_from;   // by hit, how many
  std::int32_t* first_edge;   // [num_hits + 1]
  std::int32_t* edge_pair;    // by edge, −1 = an overlap
  std::int32_t* edge_triplets;

  /// Number of hits on layers: they have the first positions.
  __device__ std::int32_t placed() const { return layout.bins[windows.layers * kBinsPerLayer]; }
  __device__ bool doublets_fit() const {
    return totals->doublets <= static_cast<unsigned long long>(capacity.doublets);
  }
  /// Once all is counted.
  __device__ bool whole() const;
};

/// Starts the kernels of an event one after another, each while the one ahead is still running.
class Launches {
 public:
  explicit Launches(cudaStream_t stream) : stream_(stream) {}

  /// One thread per item, at least one block.
  void operator()(void (*kernel)(Job), std::int64_t items, const Job& job, int threads = kThreads,
                  int shared_bytes = 0) {
    const int blocks = items > threads ? starling::cuda::blocks_of(items, threads) : 1;
    if (first_) {
      kernel<<<blocks, threads, shared_bytes, stream_>>>(job);
      starling::cuda::call(cudaGetLastError());
    } else {
      starling::cuda::launch_after(kernel, blocks, threads, shared_bytes, stream_, job);
    }
    first_ = false;
  }

 private:
  cudaStream_t stream_;
  bool first_ = true;
};

void place_hits(const Job& job, Launches& launch);
void find_doublets(const Job& job, Launches& launch);
void find_triplets(const Job& job, Launches& launch);
void write_edges(const Job& job, Launches& launch);

}  // namespace starling::hit_graph::cuda
