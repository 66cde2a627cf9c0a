#pragma once

#include <cstdint>

namespace starling {

/// Numbers of 16 bits as arrays hold them. Nothing is computed in them: values are converted to float as they are read,
/// and rounded to the nearest, ties to even, as they are written; a NaN becomes the one of these types.
struct Float16 {  ///< IEEE binary16, torch.float16, __half
  std::uint16_t bits = 0;
  bool operator==(const Float16&) const = default;
};
struct BFloat16 {  ///< the upper half of a float: torch.bfloat16, __nv_bfloat16
  std::uint16_t bits = 0;
  bool operator==(const BFloat16&) const = default;
};

}  // namespace starling
