#pragma once

#include <cstdint>

#include "lists/lists.h"
#include "starling/message.h"

namespace starling::message {

/// The loops over rows `begin` to `end` − 1 at one instruction level.
template <typename T>
struct Kernels {
  void (*aggregate)(const Messages<T>& messages, const Aggregates<T>& out, std::int32_t begin, std::int32_t end);
  void (*weight_gradient)(const Messages<T>& messages, const AggregateGradients<T>& gradients, T* inverse,
                          T* weight_gradient, std::int32_t begin, std::int32_t end);
  void (*features_gradient)(const Messages<T>& messages, const AggregateGradients<T>& gradients, const T* inverse,
                            const lists::Holders& holders, T* features_gradient, std::int32_t begin, std::int32_t end);
};

void get_kernels_reference(Kernels<float>& kernels);
void get_kernels_reference(Kernels<double>& kernels);
void get_kernels_avx2(Kernels<float>& kernels);
void get_kernels_avx2(Kernels<double>& kernels);
void get_kernels_avx512(Kernels<float>& kernels);
void get_kernels_avx512(Kernels<double>& kernels);

}  // namespace starling::message
