#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "starling/device.h"
#include "starling/lists.h"

namespace starling {

inline constexpr int kMaxDimensions = 1024;

/// What a point may take part in, one byte per point.
enum class Direction : std::int8_t {
  both = 0,
  only_neighbor = 1,       ///< may be a neighbour, has none itself
  only_has_neighbors = 2,  ///< has neighbours, is nobody's neighbour
  neither = 3,
};

/// A neighbour search: for each query the nearest points of the same event, by squared Euclidean distance. T is float
/// or double. All pointers are memory of the device that the search runs on.
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
  /// Points with d² > max_radius² are no neighbours: the square is computed in double, then rounded to T. Not negative.
  /// d² is computed in T: one that overflows is +infinity, within an infinite max_radius only.
  double max_radius = std::numeric_limits<double>::infinity();
  /// [num_points]; nullptr = all both. Only where the queries are the points; a point that has no neighbours gets a row
  /// without any, itself included.
  const Direction* direction = nullptr;
};

/// Bytes of workspace of knn(), whatever k is: O((num_points + num_queries + num_events) dimensions) on the host, where
/// it reads the row splits. On a CUDA device, where it reads no array, at most 72 per point and 64 KiB in all up to 12
/// dimensions; above, 112 + 2 D per point and per query that is no point (D rounded up to 64 or a multiple of 128), D
/// coordinates per event and 600 D in all. Throws as knn() does for wrong arguments.
template <typename T>
std::size_t knn_workspace_bytes(const NeighborSearch<T>& search, int k, const Execution& execution = {});

/// The k nearest of each query, exactly. Writes index [queries, k] and distance2 [queries, k]: the same bytes on every
/// device. Where fewer than k are found: index −1, d² = +infinity. Throws ErrorKind::usage naming sizes and rule for
/// wrong arguments.
///
/// On the host: throws ErrorKind::input naming the row for a coordinate that is not finite or an unknown direction.
/// Allocates nothing for k ≤ 500 (beyond, two rows per running thread).
///
/// On a CUDA device: needs execution.bad_row, which becomes the smallest row of a point, or num_points + row of a
/// query, that is not finite; neighbours are then unspecified, but in range. An unknown direction counts as `neither`.
/// Row splits cannot be checked there: see check_row_splits(). Throws ErrorKind::device for what the CUDA runtime
/// reports.
template <typename T>
void knn(const NeighborSearch<T>& search, int k, std::int32_t* index, T* distance2, std::span<std::byte> workspace,
         const Execution& execution = {});

/// Bytes of workspace of radius_count() and of radius_fill(), which share one: as for knn().
template <typename T>
std::size_t radius_workspace_bytes(const NeighborSearch<T>& search, const Execution& execution = {});

/// All points within max_radius of each query (all of its event where that is infinite), in two calls. radius_count
/// writes the number of each query's neighbours, at most max_neighbors (the nearest are kept), to count [queries];
/// found [queries], where not null, receives the number before truncation. Errors as knn().
template <typename T>
void radius_count(const NeighborSearch<T>& search, std::int32_t max_neighbors, std::int32_t* count, std::int32_t* found,
                  std::span<std::byte> workspace, const Execution& execution = {});

/// The second call: writes the neighbours of query i to index and distance2 from neighbor_row_splits[i] to
/// neighbor_row_splits[i + 1] − 1, the running sum [queries + 1] of the counts. Needs the same search, and the
/// workspace as radius_count() left it: the tree is in there. bad_row is not written.
template <typename T>
void radius_fill(const NeighborSearch<T>& search, const std::int64_t* neighbor_row_splits, std::int32_t* index,
                 T* distance2, std::span<std::byte> workspace, const Execution& execution = {});

/// Throws ErrorKind::usage naming the entry unless row_splits, in host memory, begin at 0, never fall and end at
/// num_rows. The searches on the host do so themselves; those on a device cannot, so it is for whoever puts row splits
/// there. `name` begins the message.
void check_row_splits(std::span<const std::int32_t> row_splits, std::int32_t num_rows, const std::string& name);

/// Neighbour lists as knn() or radius_fill() wrote them, in memory of the device that the call runs on. At most
/// 2^31 − 1 entries.
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

  Holders holders = {};  ///< of the lists, for distance_gradient(), where the caller has them
};

/// Bytes of workspace of distance_gradient(): on the host about 4 per entry (8 with row splits) and 68 per point, on a
/// CUDA device about 16 per entry (20 with row splits); none to speak of where `holders` are given. Reads no array.
template <typename T>
std::size_t distance_gradient_workspace_bytes(const NeighborLists<T>& lists, const Execution& execution = {});

/// The gradient of L = Σ_ij weight_ij d²_ij over all entries ij that are not −1, d²_ij = |q_i − p_j|²:
///   ∂L/∂q_i = Σ_j 2 weight_ij (q_i − p_j) to queries_gradient [num_queries, dimensions],
///   ∂L/∂p_j = Σ_i 2 weight_ij (p_j − q_i) to points_gradient [num_points, dimensions].
/// Where the queries are the points, the sum of both goes to points_gradient and queries_gradient is ignored. Either
/// may be null: not wanted. `weight` is laid out as the index is; weights of −1 are not read as numbers.
///
/// Each sum is of kGradientParts parts, entries at place n of a list in part n mod kGradientParts in ascending order (a
/// point's own entries first, then those that hold it), combined by halves, without fused multiply-adds: the same bytes
/// on any number of threads and on a CUDA device. Throws ErrorKind::usage naming sizes and rule for wrong arguments
/// and, on the host, ErrorKind::input naming the entry for an index that is no row of the points. On a CUDA device such
/// an index counts as −1, row splits must ascend from 0 to num_entries, and bad_row is not written.
template <typename T>
void distance_gradient(const NeighborLists<T>& lists, const T* weight, T* points_gradient, T* queries_gradient,
                       std::span<std::byte> workspace, const Execution& execution = {});
inline constexpr int kGradientParts = 8;

/// The derivative of each d²_ij where points and queries move along tangents v [num_points, dimensions] and u
/// [num_queries, dimensions]: out_ij = 2 (q_i − p_j)·(u_i − v_j), laid out as the index is, 0 where that is −1. Where
/// the queries are the points, u = v and queries_tangent is ignored. A null tangent is zero. Errors as
/// distance_gradient().
///
/// With B(x, g) = distance_gradient at points x and weights g, <u, B(x, g)> has the derivatives distance_tangent(x, u)
/// along g and B(u, g) along x: so derivatives of every order are made of these two.
template <typename T>
void distance_tangent(const NeighborLists<T>& lists, const T* points_tangent, const T* queries_tangent, T* out,
                      const Execution& execution = {});

}  // namespace starling
