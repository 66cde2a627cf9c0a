#pragma once

#include <cstddef>
#include <span>

#include "starling/condensation.h"

// What stands behind the public functions of condensation.h once they have checked their arguments: on the host
// (host/), or on a CUDA device (cuda/; without CUDA in the build no_cuda.cpp, which throws).
namespace starling::condensation::host {

template <typename T>
std::size_t workspace_bytes(const CondensationHits<T>& hits);
template <typename T>
void loss(const CondensationHits<T>& hits, const CondensationOptions& options, const CondensationTerms<T>& terms,
          std::span<std::byte> workspace);
template <typename T>
void gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
              const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
              std::span<std::byte> workspace);

template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits, const CondenseOptions& options);
template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace);

}  // namespace starling::condensation::host

namespace starling::condensation::cuda {

template <typename T>
std::size_t workspace_bytes(const CondensationHits<T>& hits);
template <typename T>
void loss(const CondensationHits<T>& hits, const CondensationOptions& options, const CondensationTerms<T>& terms,
          std::span<std::byte> workspace, const Execution& execution);
template <typename T>
void gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
              const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
              std::span<std::byte> workspace, const Execution& execution);

template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits);
template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace, const Execution& execution);

}  // namespace starling::condensation::cuda
