#pragma once

#include <memory>

#include "interaction_network/cuda/network.h"
#include "starling/quantized_network.h"

namespace starling::quantized_network::cuda {

using interaction_network::cuda::DeviceNetwork;

/// Whether all codes of states and weights have one byte and all sums 32 bits, in a network of at most kMostTiled
/// columns without batch normalisation. Features may be finer.
bool is_tiled(const QuantizedNetwork& network);
/// Products on tensor cores, all layers of a step in one kernel: the networks that is_tiled() names.
std::unique_ptr<DeviceNetwork> make_tile_network(const QuantizedNetwork& network);
/// Plain integers, a kernel per layer: any network.
std::unique_ptr<DeviceNetwork> make_layered_network(const QuantizedNetwork& network);

}  // namespace starling::quantized_network::cuda
