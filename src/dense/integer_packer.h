#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "dense/integer_kernels.h"

namespace starling::dense {

/// A layer's matrix, or some of its columns, as the kernels of one level read it.
struct PackedCodes {
  const IntegerKernels* kernels = nullptr;
  IntegerWeights weights;
};

/// The matrix that IntegerPacker takes apart: row-major codes.
struct CodeMatrix {
  const std::int16_t* weight;  ///< [out, in]
  int out, in;
  const std::int32_t* bias;      ///< [out], or null
  std::int32_t lowest, highest;  ///< what codes of the inputs can be
};

/// `width` padded to whole rows of codes.
int padded_codes(int width);

/// Packs layers in codes and owns what it packed.
class IntegerPacker {
 public:
  explicit IntegerPacker(const IntegerKernels& kernels) : kernels_(kernels) {}

  /// The columns that multiply some of a layer's inputs: of each input, `width` columns from the first that is given.
  PackedCodes pack(const CodeMatrix& matrix, const std::vector<int>& inputs, int width, bool with_bias);

  /// A copy, padded with zeros.
  template <typename T>
  const T* copy(const std::vector<T>& values, std::size_t count) {
    T* const out = static_cast<T*>(allocate(count * sizeof(T)));
    if (!values.empty()) std::memcpy(out, values.data(), values.size() * sizeof(T));
    return out;
  }

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };

  void* allocate(std::size_t bytes);
  const void* start(const std::vector<std::int64_t>& sums);
  const void* panels(const std::vector<std::int16_t>& weights, int columns);

  const IntegerKernels& kernels_;
  std::vector<std::unique_ptr<void, Free>> memory_;
};

}  // namespace starling::dense
