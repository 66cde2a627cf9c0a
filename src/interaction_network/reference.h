#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "starling/interaction_network.h"

namespace starling::interaction_network {

/// Hears values of a network, rows one after the other: what an MLP reads ("edge_network.3.in") and what leaves a layer
/// ("edge_network.3.1").
using Listener = std::function<void(const std::string& name, std::span<const double> values)>;

/// network_reference(), which tells what it computes.
std::vector<double> reference(const InteractionNetwork& network, const GraphView& graph, const Listener& listener);

}  // namespace starling::interaction_network
