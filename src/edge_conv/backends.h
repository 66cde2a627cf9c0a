#pragma once

#include <cstddef>
#include <span>

#include "edge_conv/formulas.h"
#include "lists/lists.h"
#include "starling/edge_conv.h"

// What stands behind the public functions of edge_conv.h once they have checked their arguments: on the host (host/),
// or on a CUDA device (cuda/; without CUDA in the build no_cuda.cpp, which throws).
namespace starling::edgeconv {

template <typename T>
lists::Lists lists_of(const EdgeConv<T>& conv) {
  return {conv.index, conv.num_rows, conv.k, conv.neighbor_row_splits, num_entries(conv), conv.num_sources};
}

namespace host {

template <typename T>
std::size_t workspace_bytes(const EdgeConv<T>& conv);
template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace);
template <typename T>
std::size_t gradient_workspace_bytes(const EdgeConv<T>& conv);
template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace);

}  // namespace host

namespace cuda {

template <typename T>
std::size_t workspace_bytes(const EdgeConv<T>& conv);
template <typename T>
void edge_conv(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::span<std::byte> workspace,
               const Execution& execution);
template <typename T>
std::size_t gradient_workspace_bytes(const EdgeConv<T>& conv);
template <typename T>
void edge_conv_gradient(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept,
                        const EdgeConvGradients<T>& gradients, std::span<std::byte> workspace,
                        const Execution& execution);

}  // namespace cuda
}  // namespace starling::edgeconv
