#pragma once

#include <cstdint>

#include "starling/edge_conv.h"

namespace starling::edgeconv::cuda {

/// Max of messages with weight, by tensor cores; the rows in `order`, or where it is null as they stand.
template <typename T>
void max_of_products(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, const std::uint32_t* order,
                     const Execution& execution);

}  // namespace starling::edgeconv::cuda
