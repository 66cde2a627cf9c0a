#include "starling/condensation.h"

#include <cmath>
#include <limits>
#include <string>

#include "condensation/backends.h"
#include "memory/arguments.h"
#include "memory/layout.h"
#include "starling/error.h"

namespace starling {
namespace {

using memory::check_count;
using memory::check_there;
using memory::usage;

/// Of the loss and of clustering.
template <typename Hits>
void check_sizes(const Hits& hits, const char* function) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  check_count(function, "num_hits", hits.num_hits, 0, kMost);
  check_count(function, "num_events", hits.num_events, 0, kMost);
  check_count(function, "dimensions", hits.dimensions, 1, kMaxCondensationDimensions);
  check_there(function, "beta", hits.beta, hits.num_hits);
  check_there(function, "x", hits.x, hits.num_hits);
  if (hits.row_splits == nullptr && hits.num_events != 1)
    usage(function, "num_events is " + std::to_string(hits.num_events) + " without row_splits: expected 1");
  if (hits.num_events == 0 && hits.num_hits > 0)
    usage(function, "num_events is 0 with num_hits " + std::to_string(hits.num_hits) + ": expected no hits");
}

template <typename T>
void check(const CondensationHits<T>& hits, const CondensationOptions& options, const char* function) {
  check_sizes(hits, function);
  check_count(function, "payload_channels", hits.payload_channels, 0, kMaxPayloadChannels);
  check_there(function, "truth", hits.truth, hits.num_hits);
  check_there(function, "payload", hits.payload, std::int64_t{hits.num_hits} * hits.payload_channels);
  if (!(options.q_min >= kLeastQMin && options.q_min <= static_cast<double>(std::numeric_limits<T>::max())))
    usage(function, "q_min is " + std::to_string(options.q_min) + ": expected a finite number of at least 1e-6");
  if (!(options.centre >= 0 && options.centre <= 1))
    usage(function, "centre is " + std::to_string(options.centre) + ": expected 0 to 1");
  if (options.form == CondensationForm::paper && options.centre != 0)
    usage(function, "centre is " + std::to_string(options.centre) + ": expected 0, since the paper's form has none");
}

template <typename Terms>
void check_terms(const Terms& terms, int channels, std::int32_t events, const char* function) {
  check_there(function, "attraction", terms.attraction, events);
  check_there(function, "repulsion", terms.repulsion, events);
  check_there(function, "objects", terms.objects, events);
  check_there(function, "noise", terms.noise, events);
  check_there(function, "payload of the terms", terms.payload, std::int64_t{events} * channels);
}

template <typename T>
std::size_t bytes(const CondensationHits<T>& hits, const Execution& execution) {
  return execution.device == Device::cuda ? condensation::cuda::workspace_bytes(hits)
                                          : condensation::host::workspace_bytes(hits);
}

template <typename T>
void check(const CondenseHits<T>& hits, const CondenseOptions& options, const char* function) {
  check_sizes(hits, function);
  if (std::isnan(options.t_beta)) usage(function, "t_beta is nan: expected a number");
  if (!(options.t_d >= 0)) usage(function, "t_d is " + std::to_string(options.t_d) + ": expected at least 0");
}

template <typename T>
std::size_t bytes(const CondenseHits<T>& hits, const CondenseOptions& options, const Execution& execution) {
  return execution.device == Device::cuda ? condensation::cuda::condense_workspace_bytes(hits)
                                          : condensation::host::condense_workspace_bytes(hits, options);
}

}  // namespace

template <typename T>
std::size_t condensation_workspace_bytes(const CondensationHits<T>& hits, const CondensationOptions& options,
                                         const Execution& execution) {
  check(hits, options, "condensation_workspace_bytes");
  return bytes(hits, execution);
}

template <typename T>
void condensation_loss(const CondensationHits<T>& hits, const CondensationOptions& options,
                       const CondensationTerms<T>& terms, std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "condensation_loss";
  check(hits, options, function);
  check_terms(terms, hits.payload_channels, hits.num_events, function);
  memory::check_workspace(workspace, bytes(hits, execution), function);
  if (execution.device == Device::cuda) return condensation::cuda::loss(hits, options, terms, workspace, execution);
  condensation::host::loss(hits, options, terms, workspace);
}

template <typename T>
void condensation_gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
                           const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
                           std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "condensation_gradient";
  check(hits, options, function);
  check_terms(gradients, hits.payload_channels, hits.num_events, function);
  check_there(function, "gradient of beta", out.beta, hits.num_hits);
  check_there(function, "gradient of x", out.x, hits.num_hits);
  memory::check_workspace(workspace, bytes(hits, execution), function);
  if (execution.device == Device::cuda)
    return condensation::cuda::gradient(hits, options, gradients, out, workspace, execution);
  condensation::host::gradient(hits, options, gradients, out, workspace);
}

template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits, const CondenseOptions& options,
                                     const Execution& execution) {
  check(hits, options, "condense_workspace_bytes");
  return bytes(hits, options, execution);
}

template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "condense";
  check(hits, options, function);
  check_there(function, "id", out.id, hits.num_hits);
  check_there(function, "point", out.point, hits.num_hits);
  memory::check_workspace(workspace, bytes(hits, options, execution), function);
  if (execution.device == Device::cuda) return condensation::cuda::condense(hits, options, out, workspace, execution);
  condensation::host::condense(hits, options, out, workspace);
}

#define STARLING_INSTANTIATE(T)                                                                                        \
  template std::size_t condensation_workspace_bytes(const CondensationHits<T>&, const CondensationOptions&,            \
                                                    const Execution&);                                                 \
  template void condensation_loss(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<T>&, \
                                  std::span<std::byte>, const Execution&);                                             \
  template void condensation_gradient(const CondensationHits<T>&, const CondensationOptions&,                          \
                                      const CondensationTerms<const T>&, const CondensationGradients<T>&,              \
                                      std::span<std::byte>, const Execution&);                                         \
  template std::size_t condense_workspace_bytes(const CondenseHits<T>&, const CondenseOptions&, const Execution&);     \
  template void condense(const CondenseHits<T>&, const CondenseOptions&, const Condensed&, std::span<std::byte>,       \
                         const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling
