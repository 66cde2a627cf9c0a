#pragma once

#include <cstdint>

namespace starling::learn {

/// Streams of random numbers that the trainer draws; a task's have other numbers.
enum RandomStream : std::uint64_t { kChoice = 4, kAugmentation = 5 };

/// Random bits that depend on the three numbers alone (the finaliser of SplitMix64, Steele, Lea and Flood, OOPSLA
/// 2014, over a Weyl sequence of each).
inline std::uint64_t random_bits(std::uint64_t seed, std::uint64_t stream, std::uint64_t number) {
  std::uint64_t state = seed;
  for (const std::uint64_t part : {stream, number}) {
    state += (part + 1) * 0x9E3779B97F4A7C15ull;
    state = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9ull;
    state = (state ^ (state >> 27)) * 0x94D049BB133111EBull;
    state ^= state >> 31;
  }
  return state;
}

/// The same as a number in [0, 1).
inline double random_unit(std::uint64_t seed, std::uint64_t stream, std::uint64_t number) {
  return static_cast<double>(random_bits(seed, stream, number) >> 11) * 0x1p-53;
}

}  // namespace starling::learn
