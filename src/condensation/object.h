#pragma once

#include <cstdint>

#include "condensation/formulas.h"
#include "starling/condensation.h"

namespace starling::condensation {

/// One object of one event, of `order`'s hits first..last−1.
template <typename T>
struct Object {
  std::int32_t first, last, event;
  std::int32_t alpha;  ///< the hit of largest β, then of the smallest row
  T alpha_charge;
  T weight;      ///< w of α
  T charge_sum;  ///< Σ q
  T scale;       ///< φ̄
  T inverse;     ///< 1 / (2 φ̄² + ε)
  T attraction;  ///< Σ q a(u) over its hits
  T beta_sum;    ///< fgc: Σ β, and the largest β with Σ exp((β − largest) / 1e-3)
  T exponential_sum;
  T payload_weight_sum;                        ///< Σ ξ
  T payload[kMaxPayloadChannels];              ///< Σ ξ L / Σ ξ
  T centre[kMaxCondensationDimensions];        ///< x̄
  T mean[kMaxCondensationDimensions];          ///< Σ q x / Σ q
  T alpha_coefficient, repulsion_coefficient;  ///< of the sums of attraction and repulsion: share · w, without q_α

  // Gradients of L.
  T of_alpha_charge;
  T of_scale;  ///< φ̄
  T of_centre[kMaxCondensationDimensions];
};

constexpr double kTemperature = 1e-3;  // of fgc's soft maximum of β

template <typename T>
struct Event {
  std::int32_t first_hit, last_hit;        // rows
  std::int32_t first_object, last_object;  // without noise
  std::int32_t noise_hits;
  T payload_weight_sum;  // of all but noise
  T payload[kMaxPayloadChannels];
};

}  // namespace starling::condensation
