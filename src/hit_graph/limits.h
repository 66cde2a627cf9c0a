#pragma once

#include <cstdint>

namespace starling {

/// An event with more than so many is none that the windows are for.
inline constexpr std::int64_t kMostDoublets = std::int64_t{1} << 25;
inline constexpr std::int64_t kMostTested = std::int64_t{1} << 28;  ///< pairs of doublets
inline constexpr std::int64_t kMostFound = std::int64_t{1} << 25;   ///< triplets
inline constexpr std::int64_t kMostEdges = std::int64_t{1} << 25;   ///< overlaps included

[[noreturn]] void refuse_doublets(std::int32_t num_hits);  ///< throws ErrorKind::input
[[noreturn]] void refuse_tested(std::int32_t num_hits);
[[noreturn]] void refuse_found(std::int32_t num_hits);
[[noreturn]] void refuse_edges(std::int32_t num_hits);

}  // namespace starling
