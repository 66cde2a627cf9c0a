#pragma once

#include <cstdint>
#include <string>

/// Writes the k nearest of each of the points [n, dimensions] among them all, itself included, in ascending order:
/// index and distance2 [n, k]. nanoflann's tree is built by one thread and asked in the caller's TBB arena.
/// `dimensions` must be 2, 3, 4, 6, 8 or 10: nanoflann is fastest where they are known at compile time.
void nanoflann_knn(const float* points, std::int32_t n, int dimensions, int k, std::int32_t* index, float* distance2);

std::string nanoflann_version();
