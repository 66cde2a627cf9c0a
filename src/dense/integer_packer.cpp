#include "dense/integer_packer.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "dense/float_kernels.h"

namespace starling::dense {

int padded(int width, const IntegerKernels& kernels) {
  return (width + kernels.width - 1) / kernels.width * kernels.width;
}

int padded_codes(int width) { return (width + kCodeColumns - 1) / kCodeColumns * kCodeColumns; }

void* IntegerPacker::allocate(std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  const std::size_t size = std::max<std::size_t>(1, (bytes + kLine - 1) / kLine) * kLine;
  void* const memory = std::aligned_alloc(kLine, size);
  if (memory == nullptr) throw std::bad_alloc();
  memory_.emplace_back(memory);
  std::memset(memory, 0, size);
  return memory;
}

PackedCodes IntegerPacker::pack(const CodeMatrix& matrix, const std::vector<int>& inputs, int width, bool with_bias) {
  // For each place among the padded inputs the column of the matrix; -1 = none.
  std::vector<int> columns_of_inputs;
  for (const int first : inputs) {
    for (int k = 0; k < (width + kCodeGroup - 1) / kCodeGroup * kCodeGroup; ++k) {
      columns_of_inputs.push_back(k < width ? first + k : -1);
    }
  }
  PackedCodes packed;
  packed.kernels = &kernels_;
  packed.columns = padded(matrix.out, kernels_);
  const auto weight = [&](int out, int column) -> int {
    return out < matrix.out && column >= 0 ? matrix.weight[std::size_t(out) * matrix.in + column] : 0;
  };

  const std::size_t depth = columns_of_inputs.size();
  char* const weights = static_cast<char*>(allocate(depth * packed.columns * kernels_.weight_bytes));
  char* next = weights;
  for (int first = 0; first < packed.columns;) {
    const int panel = panel_vectors((packed.columns - first) / kernels_.width, kernels_.panel_vectors) * kernels_.width;
    for (std::size_t k = 0; k < depth; k += kernels_.group) {
      for (int out = first; out < first + panel; ++out) {
        for (int i = 0; i < kernels_.group; ++i, next += kernels_.weight_bytes) {
          const int code = weight(out, columns_of_inputs[k + i]);
          if (kernels_.weight_bytes == 1) {
            *reinterpret_cast<std::int8_t*>(next) = static_cast<std::int8_t>(code);
          } else {
            const auto wide = static_cast<std::int16_t>(code);
            std::memcpy(next, &wide, sizeof wide);
          }
        }
      }
    }
    first += panel;
  }
  packed.weights = weights;
  std::int64_t largest = 1;
  for (int i = 0; i < matrix.out * matrix.in; ++i)
    largest = std::max<std::int64_t>(largest, std::abs(matrix.weight[i]));
  packed.chain = static_cast<int>(
      std::max<std::int64_t>(1, INT16_MAX / (2 * largest * std::max(1, matrix.highest - matrix.lowest))));

  std::vector<std::int64_t> start(packed.columns);
  for (int out = 0; out < matrix.out; ++out) {
    if (with_bias && matrix.bias != nullptr) start[out] = matrix.bias[out];
    for (const int column : columns_of_inputs) start[out] += std::int64_t{weight(out, column)} * matrix.lowest;
  }
  // In 32 bits it may wrap around, as sums do.
  packed.start = kernels_.sum_bytes == 8 ? static_cast<const void*>(copy(start, packed.columns))
                                         : copy(std::vector<std::int32_t>(start.begin(), start.end()), packed.columns);
  return packed;
}

}  // namespace starling::dense
