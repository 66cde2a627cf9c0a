#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "starling/error.h"
#include "starling/network.h"

namespace starling::network {

inline constexpr int kMaxHidden = 1024, kMaxSteps = 64, kMaxInputs = 1024;

/// Throws `kind`, the message starting with `where`, for a value out of range.
void check(const Architecture& architecture, ErrorKind kind, const std::string& where);

struct NamedTensor {
  std::string name;
  std::vector<std::int64_t> shape;
};

/// Every tensor that a network of this architecture has.
std::vector<NamedTensor> tensors(const Architecture& architecture);

/// Throws ErrorKind::usage for an edge that touches no node of the graph.
void check_edges(const GraphView& graph);

/// Throws `kind` unless `model` holds exactly the tensors of its architecture, every value finite.
void check_weights(const Model& model, ErrorKind kind, const std::string& where);

}  // namespace starling::network
