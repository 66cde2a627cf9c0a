#pragma once

#include <cstring>
#include <vector>

namespace starling {

/// NaN equals NaN of the same bits, and 0 does not equal −0.
template <typename T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

}  // namespace starling
