#pragma once

#include <cstdint>

#include "arithmetic/elementary.h"

struct CUstream_st;

namespace starling::interaction_network {

/// 1 / (1 + exp(−x)).
STARLING_HOST_DEVICE float sigmoid(float x) { return 1.f / (1.f + arithmetic::exponential(-x)); }

namespace cuda {
/// edge_scores() behind its checks.
void edge_scores(const float* logits, std::int64_t num_edges, const std::int32_t* count, float* scores,
                 CUstream_st* stream);
}  // namespace cuda

}  // namespace starling::interaction_network
