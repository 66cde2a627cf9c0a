#pragma once

#include <functional>
#include <string>

#include "starling/error.h"
#include "starling/interaction_network.h"

namespace starling::interaction_network {

inline constexpr int kMaxHidden = 1024, kMaxSteps = 64, kMaxInputs = 1024;

/// Throws `kind`, the message starting with `where`, for a value out of range.
void check(const InteractionNetworkShape& shape, ErrorKind kind, const std::string& where);

/// The shape in the section `architecture`. Throws ErrorKind::input, naming the model's file.
InteractionNetworkShape shape_of(const Model& model);

/// Throws `kind` unless the network holds exactly the arrays of its shape, every value finite.
void check_weights(const InteractionNetwork& network, ErrorKind kind, const std::string& where);

/// Throws ErrorKind::usage for a network of other features than those of a hit graph.
void check_reads_hit_graphs(const InteractionNetworkShape& shape);

/// Throws ErrorKind::usage for counts outside 0..2^31 - 1.
void check_size(std::int32_t num_nodes, std::int64_t num_edges);

/// Throws ErrorKind::usage for arrays whose sizes do not fit the shape or each other, and for an edge that ends at no
/// node of the graph. For a graph in memory of the host.
void check_graph(const GraphView& graph, const InteractionNetworkShape& shape);

/// The part of check_graph() that reads no array: sizes.
void check_arrays(const GraphView& graph, const InteractionNetworkShape& shape);

/// How many threads a run on a checked graph may use, at most `most`: a workspace that was measured in a smaller arena
/// serves, with fewer. bytes(n) is what n threads need. Throws ErrorKind::usage where the logits are not one per edge,
/// or the workspace is too small for one thread.
int slots_of(const GraphView& graph, std::span<const float> logits, std::span<const std::byte> workspace, int most,
             const std::function<std::size_t(int)>& bytes);

}  // namespace starling::interaction_network
