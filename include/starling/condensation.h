#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "starling/device.h"

namespace starling {

/// Object condensation (arXiv:2002.03605), as docs/definitions.md, Object condensation, writes it down.
enum class CondensationForm {
  paper,  ///< the paper's potentials, summed over objects and divided by the hits of the event
  slide,  ///< ln(e u + 1) and exp(−u) in units of a learned scale, means over objects and hits
  fgc,    ///< FastGraphCompute's with soft_charge: means of the paper's potentials, and a term for β of its own
};

enum class CondensationScale {
  mean,   ///< of the object's hits, weighted by charge
  alpha,  ///< of the hit of largest β
};

inline constexpr double kLeastQMin = 1e-6;

struct CondensationOptions {
  CondensationForm form = CondensationForm::slide;
  /// Charge q = arctanh²(β / 1.001) + q_min instead of β cut at 1 − 2^−13. No form implies it: the loss of
  /// FastGraphCompute is form = fgc with soft_charge = true.
  bool soft_charge = false;
  double q_min = 0.1;  ///< the least charge: at least kLeastQMin, so that no object has charge 0, and finite in T
  /// Of slide and fgc: an object's centre is (1 − centre) x_α + centre · the mean of its hits, weighted by charge.
  double centre = 0;
  CondensationScale scale = CondensationScale::mean;  ///< of the slide form
  bool payload_per_event = false;                     ///< payload averaged over an event's hits, not its objects first
};

/// The hits of events. T is float or double; all pointers are memory of the device that the operation runs on.
template <typename T>
struct CondensationHits {
  const T* beta = nullptr;              ///< [num_hits], in 0 to 1, both included
  const T* x = nullptr;                 ///< [num_hits, dimensions] cluster coordinates
  const std::int32_t* truth = nullptr;  ///< [num_hits] object of the hit's event, any number ≥ 0; negative = noise
  std::int32_t num_hits = 0;
  int dimensions = 0;                        ///< 1..kMaxCondensationDimensions
  const std::int32_t* row_splits = nullptr;  ///< [num_events + 1]; null = one event
  std::int32_t num_events = 1;
  /// [num_hits] φ > 0, of the slide form; null = 1. Other forms do not use it: their gradient of it is 0.
  const T* scale = nullptr;
  /// [num_hits] w of an object, read at its hit of largest β, of the slide form; null = 1. Other forms do not use it.
  const T* weight = nullptr;
  const T* payload = nullptr;  ///< [num_hits, payload_channels] losses of the hits; null = none
  int payload_channels = 0;    ///< 0..kMaxPayloadChannels
};

inline constexpr int kMaxCondensationDimensions = 8;
inline constexpr int kMaxPayloadChannels = 8;

/// Terms of each event, [num_events], and [num_events, payload_channels]. An event without hits has zeros.
template <typename T>
struct CondensationTerms {
  T* attraction = nullptr;
  T* repulsion = nullptr;
  T* objects = nullptr;
  T* noise = nullptr;
  T* payload = nullptr;  ///< may be null without payload
};

/// Bytes of workspace of both operations: about 100 + 12 dimensions per hit in float. Reads no array.
template <typename T>
std::size_t condensation_workspace_bytes(const CondensationHits<T>& hits, const CondensationOptions& options,
                                         const Execution& execution = {});

/// Computes the terms. Sums have a fixed order: the same bytes in every run, on any number of threads. No [objects,
/// hits] array is made; the time of repulsion is that of objects times hits. Throws ErrorKind::usage naming sizes and
/// rule for wrong arguments; on the host ErrorKind::input naming the row for a value that is not finite, a β outside 0
/// to 1 or a scale that is not above 0. On a device execution.bad_row receives such a row, or −1.
template <typename T>
void condensation_loss(const CondensationHits<T>& hits, const CondensationOptions& options,
                       const CondensationTerms<T>& terms, std::span<std::byte> workspace,
                       const Execution& execution = {});

/// Gradients of the hits' arrays, laid out as they are.
template <typename T>
struct CondensationGradients {
  T* beta = nullptr;
  T* x = nullptr;
  T* scale = nullptr;    ///< may be null
  T* payload = nullptr;  ///< may be null
};

/// Writes the gradients of L = Σ gradient · term over all events and terms, where `gradients` holds those of the terms.
template <typename T>
void condensation_gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
                           const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
                           std::span<std::byte> workspace, const Execution& execution = {});

/// The hits of events to cluster. T is float or double; all pointers are memory of the device that it runs on.
template <typename T>
struct CondenseHits {
  const T* beta = nullptr;  ///< [num_hits], in 0 to 1, both included
  const T* x = nullptr;     ///< [num_hits, dimensions] cluster coordinates
  std::int32_t num_hits = 0;
  int dimensions = 0;                        ///< 1..kMaxCondensationDimensions
  const std::int32_t* row_splits = nullptr;  ///< [num_events + 1]; null = one event
  std::int32_t num_events = 1;
  const T* scale = nullptr;  ///< [num_hits] φ > 0; null = 1
};

enum class CondenseAssign {
  collect,  ///< a hit goes to the first point within reach
  nearest,  ///< a hit goes to the nearest of the points within reach, the earlier one where d² is equal
};

struct CondenseOptions {
  double t_beta = 0;  ///< a condensation point has β ≥ t_beta, compared in T; not NaN
  double t_d = 0;     ///< reach of a point of scale 1, in the coordinates' unit; ≥ 0, may be infinite
  CondenseAssign assign = CondenseAssign::collect;
};

struct Condensed {
  std::int32_t* id = nullptr;          ///< [num_hits] number of the hit's point in its event, from 0; −1 = none
  std::int32_t* point = nullptr;       ///< [num_hits] row of that point; −1 = none
  std::int32_t* num_points = nullptr;  ///< [num_events]; may be null
};

/// Bytes of workspace of condense(): in float of 3 dimensions, about 15 per hit on the host and 60 on a device. Reads
/// no array.
template <typename T>
std::size_t condense_workspace_bytes(const CondenseHits<T>& hits, const CondenseOptions& options,
                                     const Execution& execution = {});

/// Clusters hits (docs/definitions.md, Object condensation, Inference): again and again the free hit of largest β among
/// those with β ≥ t_beta, of the smallest row where β is equal, becomes a condensation point and takes every free hit
/// of its event with d² ≤ r², r = t_d · φ of the point. A point always has its own number.
///
/// d² is computed in T as in knn() (neighbors.h), r² in double and then rounded to T, to the largest finite T where it
/// overflows and t_d is finite: the same bytes on every device
/// and on any number of threads. β and d² are compared in T.
///
/// Time at worst: on a device one round per 512 candidates of an event, candidates being the hits of β ≥ t_beta, and
/// points · hits tests of d² in each event. On the host a search in a tree per point: of order log(hits) + the hits
/// within reach that are free, or with `nearest` all hits within reach. Events run side by side.
///
/// Throws ErrorKind::usage naming sizes and rule for wrong arguments; on the host ErrorKind::input naming the row for a
/// value that is not finite, a β outside 0 to 1 or a scale that is not above 0. On a device execution.bad_row, where
/// not null, receives the smallest such row, or −1; ids are then unspecified, but in range.
template <typename T>
void condense(const CondenseHits<T>& hits, const CondenseOptions& options, const Condensed& out,
              std::span<std::byte> workspace, const Execution& execution = {});

}  // namespace starling
