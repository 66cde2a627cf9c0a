#pragma once

#include <cstdint>

#include "neighbors/host/tree.h"

// The searches at each instruction level. The files that define them are compiled with that level's flags. What they
// compile must not serve another file, which may run where the instructions are missing: so they include nothing but
// intrinsics and plain headers, and all functions but get_kernels_*() have internal linkage, those here too.
namespace starling::neighbors::host {

/// Rows of the largest k that a search keeps on its stack.
inline constexpr int kStackRow = 512;

/// A search of many queries for their nearest points.
template <typename T>
struct Job {
  const Tree<T>* tree;
  const T* queries;  ///< [queries, dimensions]
  std::int64_t num_points;
  bool self;                       ///< the queries are the points
  bool loop;                       ///< then each is its own first neighbour
  T max_distance2;                 ///< candidates beyond are none
  int k;                           ///< neighbours per row, where `row_splits` is null
  const std::int64_t* row_splits;  ///< [queries + 1] or nullptr: where each row begins in the output
  std::int32_t* index;
  T* distance2;
};

/// A buffer for scratch_entries(k) candidates.
template <typename T>
struct Scratch {
  T* distance2;
  std::int32_t* index;
};

namespace {

/// Most neighbours that a search for a row of k looks for, before the query itself is taken out.
template <typename T>
std::int64_t wanted(const Job<T>& job, std::int64_t k) {
  const std::int64_t most = k + (job.self && !job.loop ? 1 : 0);
  return most < job.num_points ? most : job.num_points;
}

/// Candidates are gathered up to this number before all but the nearest are dropped.
constexpr std::int64_t gathered(std::int64_t wanted) { return wanted + (wanted < 32 ? 32 : wanted); }

/// Entries of a scratch buffer: two sorted rows, or candidates, a leaf more and a vector's overhang.
constexpr std::int64_t scratch_entries(std::int64_t wanted) { return 2 * (gathered(wanted) + 4 * kLeafSize); }

}  // namespace

/// Writes the rows of the queries starts[0..count−1].
template <typename T>
using Nearest = void (*)(const Job<T>& job, const Start* starts, std::int64_t count, const Scratch<T>& scratch);

/// Writes the number of points of the tree within job.max_distance2 of the queries starts[0..count−1] to found[row].
template <typename T>
using Count = void (*)(const Job<T>& job, const Start* starts, std::int64_t count, std::int32_t* found);

/// Sets the leaves of starts[0..count−1] to one near each query, in the tree whose root is `root`.
template <typename T>
using FindLeaves = void (*)(const Job<T>& job, std::int32_t root, Start* starts, std::int64_t count);

template <typename T>
struct Kernels {
  Nearest<T> nearest;
  Count<T> count;
  FindLeaves<T> find_leaves;
};

void get_kernels_reference(Kernels<float>& kernels);
void get_kernels_reference(Kernels<double>& kernels);
void get_kernels_avx2(Kernels<float>& kernels);
void get_kernels_avx2(Kernels<double>& kernels);
void get_kernels_avx512(Kernels<float>& kernels);
void get_kernels_avx512(Kernels<double>& kernels);

}  // namespace starling::neighbors::host
