#pragma once

#include "starling/edge_conv.h"

namespace starling::edgeconv::cuda {

/// Max of messages with weight, by tensor cores.
template <typename T>
void max_of_products(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, const Execution& execution);

}  // namespace starling::edgeconv::cuda
