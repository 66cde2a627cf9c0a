#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

struct CUstream_st;

namespace starling {

inline constexpr int kMaxDimensions = 16;

/// What a point may take part in, one byte a point.
enum class Direction : std::int8_t {
  both = 0,
  only_neighbor = 1,       ///< may be a neighbour, has none itself
  only_has_neighbors = 2,  ///< has neighbours, is none
  neither = 3,
};

/// A neighbour search: for each query the nearest points of the same event, by squared Euclidean distance. T is float
/// or double. All pointers are host memory for the host calls and device memory for the CUDA calls.
///
/// d² is computed in T as s = fma(q_d − p_d, q_d − p_d, s) over ascending d from s = 0, so that every backend gives the
/// same bytes. Neighbours stand in ascending order of (d², index), which is unique.
template <typename T>
struct NeighborSearch {
  const T* points = nullptr;  ///< [num_points, dimensions], row-major, finite
  std::int32_t num_points = 0;
  int dimensions = 0;  ///< 1..kMaxDimensions
  /// [num_events + 1] first rows of each event and num_points; nullptr = one event.
  const std::int32_t* row_splits = nullptr;
  std::int32_t num_events = 1;

  /// [num_queries, dimensions]; nullptr = the points themselves are the queries (num_queries and query_row_splits are
  /// then ignored).
  const T* queries = nullptr;
  std::int32_t num_queries = 0;
  const std::int32_t* query_row_splits = nullptr;  ///< [num_events + 1]; nullptr = one event

  /// Queries that are the points: true = the point itself is always the first neighbour, before its duplicates and even
  /// where `direction` bars it as a neighbour of others; false = it is left out.
  bool loop = true;
  /// Points with d² > max_radius² (the square rounded to T) are no neighbours. Not negative.
  T max_radius = std::numeric_limits<T>::infinity();
  /// [num_points]; nullptr = all both. Only where the queries are the points; a point that has no neighbours gets a row
  /// without any, itself included.
  const Direction* direction = nullptr;
};

/// Bytes of workspace of knn(): O(num_points + num_queries + num_events), whatever k is. Reads the row splits. Throws
/// as knn() does for wrong arguments.
template <typename T>
std::size_t knn_workspace_bytes(const NeighborSearch<T>& search, int k);

/// The k nearest of each query, exactly. Writes index [queries, k] and distance2 [queries, k]. Where fewer than k are
/// found: index −1, d² = +infinity. Runs in the caller's TBB arena and allocates nothing for k ≤ 500 (beyond, two rows
/// a running thread). Throws ErrorKind::usage naming sizes and rule for wrong arguments, ErrorKind::input naming the
/// row for a coordinate that is not finite or an unknown direction.
template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace);

/// Bytes of workspace of radius_count() and of radius_fill().
template <typename T>
std::size_t radius_workspace_bytes(const NeighborSearch<T>& search);

/// All points within max_radius of each query (which must be finite), in two calls. radius_count writes the number of
/// each query's neighbours, at most max_neighbors (the nearest are kept), to count [queries]; found [queries], where
/// not null, receives the number before truncation. Errors as knn().
template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace);

/// The second call: writes the neighbours of query i to index and distance2 from neighbor_row_splits[i] to
/// neighbor_row_splits[i + 1] − 1, the running sum [queries + 1] of the counts.
template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace);

/// knn() on a CUDA device, the same bytes: all pointers are device memory, row splits too. Allocates nothing, waits for
/// nothing and may be captured in a CUDA graph. What only the device can see is told there: *bad_row (device memory)
/// becomes the smallest row of a point, or num_points + row of a query, that is not finite, else −1. Neighbours are
/// then unspecified, but in range. Row splits must ascend from 0 to the number of rows. Throws ErrorKind::usage for
/// wrong sizes and ErrorKind::device for what the CUDA runtime reports.
template <typename T>
void knn_cuda(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::int32_t* bad_row,
              std::span<std::byte> workspace, CUstream_st* stream);
/// At most 64 bytes a point and 64 KiB, whatever k is. Reads no array.
template <typename T>
std::size_t knn_cuda_workspace_bytes(const NeighborSearch<T>& search, int k);

/// radius_count() and radius_fill() in the same way. The second call needs the workspace as the first one left it.
template <typename T>
void radius_count_cuda(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count,
                       std::int32_t* found, std::int32_t* bad_row, std::span<std::byte> workspace, CUstream_st* stream);
template <typename T>
void radius_fill_cuda(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                      T* distance2, std::span<std::byte> workspace, CUstream_st* stream);
template <typename T>
std::size_t radius_cuda_workspace_bytes(const NeighborSearch<T>& search);

/// Neighbour lists as knn() or radius_fill() wrote them, on the host or the device as the call says. At most 2^31 − 1
/// entries.
template <typename T>
struct NeighborLists {
  const T* points = nullptr;  ///< [num_points, dimensions], row-major
  std::int32_t num_points = 0;
  int dimensions = 0;          ///< 1..kMaxDimensions
  const T* queries = nullptr;  ///< [num_queries, dimensions]; nullptr = the points (num_queries is then ignored)
  std::int32_t num_queries = 0;

  /// Row of the point of each entry, or −1 for none: [queries, k], or CSR where neighbor_row_splits is not null.
  const std::int32_t* index = nullptr;
  int k = 0;                                          ///< ignored where neighbor_row_splits is not null
  const std::int64_t* neighbor_row_splits = nullptr;  ///< [queries + 1]
  std::int64_t num_entries = 0;                       ///< the last row split; ignored where there are none
};

/// Bytes of workspace of distance_gradient(): at most 4 an entry (8 with row splits) and 68 a point. Reads no array.
template <typename T>
std::size_t distance_gradient_workspace_bytes(const NeighborLists<T>& lists);

/// The gradient of L = Σ_ij weight_ij d²_ij over all entries ij that are not −1, d²_ij = |q_i − p_j|²:
///   ∂L/∂q_i = Σ_j 2 weight_ij (q_i − p_j) to queries_gradient [num_queries, dimensions],
///   ∂L/∂p_j = Σ_i 2 weight_ij (p_j − q_i) to points_gradient [num_points, dimensions].
/// Where the queries are the points, the sum of both goes to points_gradient and queries_gradient is ignored. Either
/// may be null: not wanted. `weight` is laid out as the index is; weights of −1 are not read as numbers.
///
/// Each sum is of kGradientParts parts, entries at place n of a list in part n mod kGradientParts in ascending order (a
/// point's own entries first, then those that hold it), combined by halves, without fused multiply-adds: the same bytes
/// on any number of threads and on the device. Runs in the caller's TBB arena and allocates nothing. Throws
/// ErrorKind::usage naming sizes and rule for wrong arguments, ErrorKind::input naming the entry for an index that is
/// no row of the points.
template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace);
inline constexpr int kGradientParts = 8;

/// The derivative of each d²_ij where points and queries move along tangents v [num_points, dimensions] and u
/// [num_queries, dimensions]: out_ij = 2 (q_i − p_j)·(u_i − v_j), laid out as the index is, 0 where that is −1. Where
/// the queries are the points, u = v and queries_tangent is ignored. A null tangent is zero. Errors as
/// distance_gradient().
///
/// With B(x, g) = distance_gradient at points x and weights g, <u, B(x, g)> has the derivatives distance_tangent(x, u)
/// along g and B(u, g) along x: so derivatives of every order are made of these two.
template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out);

/// The same on a CUDA device, the same bytes: all pointers are device memory. Allocate nothing, wait for nothing, may
/// be captured in a CUDA graph. An index that is no row of the points counts as −1; row splits must ascend from 0 to
/// num_entries. Throws ErrorKind::usage for wrong sizes and ErrorKind::device for what the CUDA runtime reports.
template <typename T>
void distance_gradient_cuda(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                            std::span<std::byte> workspace, CUstream_st* stream);
/// About 16 bytes an entry (20 with row splits): the lists are sorted by point. Reads no array.
template <typename T>
std::size_t distance_gradient_cuda_workspace_bytes(const NeighborLists<T>& lists);
template <typename T>
void distance_tangent_cuda(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out,
                           CUstream_st* stream);

}  // namespace starling
