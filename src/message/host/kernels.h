#pragma once

#include <cstdint>

#include "lists/lists.h"
#include "starling/message.h"

namespace starling::message {

/// The loops over rows `begin` to `end` − 1 at one instruction level.
template <typename T, typename S>
struct Kernels {
  void (*aggregate)(const Messages<T, S>& messages, const Aggregates<S>& out, std::int32_t begin, std::int32_t end);
  void (*weight_gradient)(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, T* inverse,
                          T* weight_gradient, std::int32_t begin, std::int32_t end);
  void (*features_gradient)(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, const T* inverse,
                            const Holders& holders, S* features_gradient, std::int32_t begin, std::int32_t end);
};

void get_kernels_reference(Kernels<float, float>& kernels);
void get_kernels_reference(Kernels<double, double>& kernels);
void get_kernels_reference(Kernels<float, Float16>& kernels);
void get_kernels_reference(Kernels<float, BFloat16>& kernels);
void get_kernels_avx2(Kernels<float, float>& kernels);
void get_kernels_avx2(Kernels<double, double>& kernels);
void get_kernels_avx2(Kernels<float, Float16>& kernels);
void get_kernels_avx2(Kernels<float, BFloat16>& kernels);
void get_kernels_avx512(Kernels<float, float>& kernels);
void get_kernels_avx512(Kernels<double, double>& kernels);
void get_kernels_avx512(Kernels<float, Float16>& kernels);
void get_kernels_avx512(Kernels<float, BFloat16>& kernels);

}  // namespace starling::message
