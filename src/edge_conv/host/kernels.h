#pragma once

#include <cstdint>

#include "edge_conv/formulas.h"
#include "lists/lists.h"
#include "starling/edge_conv.h"

namespace starling::edgeconv {

/// The loops at one instruction level, over rows or sources `begin` to `end` − 1.
template <typename T>
struct Kernels {
  /// The whole operation without weight.
  void (*aggregate)(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::int32_t begin, std::int32_t end);
  /// tile [count, hidden] = ReLU(p_row + q_j) of `count` sources j.
  void (*hidden_layer)(const EdgeConv<T>& conv, std::int64_t row, const std::int32_t* sources, int count, T* tile);
  /// out [count, columns] = tile · packed [hidden, columns] + bias [columns].
  void (*product)(const T* tile, int count, int hidden, const T* packed, const T* bias, int columns, T* out);
  /// Takes the maximum of `best` [width], where slot is not kNone, and messages [count, stride] at `places` of a list.
  void (*take_max)(const T* messages, int stride, const std::int32_t* places, int count, int width, T* best,
                   std::int32_t* slot);
  /// Without weight: writes scale_of() of each row, and where it is wanted the gradient of p.
  void (*target_gradient)(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept, T* scale,
                          T* target_gradient, std::int32_t begin, std::int32_t end);
  /// With weight: the rows' share of the gradients of weight and bias, and the gradient of p; the last may be null.
  void (*weight_gradient)(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept, T* weight_part,
                          T* bias_part, T* target_gradient, std::int32_t begin, std::int32_t end);
  /// The gradient of q from the entries that hold each source; `records` for max, `scale` for mean and sum.
  void (*source_gradient)(const EdgeConv<T>& conv, const T* out_gradient, const Record* records, const T* scale,
                          const lists::Holders& holders, T* source_gradient, std::int32_t begin, std::int32_t end);
};

inline constexpr std::int32_t kNone = -1;

void get_kernels_reference(Kernels<float>& kernels);
void get_kernels_reference(Kernels<double>& kernels);
void get_kernels_avx2(Kernels<float>& kernels);
void get_kernels_avx2(Kernels<double>& kernels);
void get_kernels_avx512(Kernels<float>& kernels);
void get_kernels_avx512(Kernels<double>& kernels);

}  // namespace starling::edgeconv
