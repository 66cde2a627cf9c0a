#include <string>

#include "interaction_network/cuda/device_weights.h"
#include "interaction_network/cuda/network.h"
#include "interaction_network/shape.h"

namespace starling {

namespace {

using interaction_network::cuda::DeviceNetwork;

std::unique_ptr<DeviceNetwork> make_network(const InteractionNetwork& network, NumberType type) {
  namespace forms = interaction_network::cuda;
  (void)to_string(type);  // throws for one that is not known
  interaction_network::check_weights(network, ErrorKind::usage, "");
  if (network.shape.norm == Norm::batch || network.shape.hidden > forms::kMostFused)
    return forms::make_layered_network(network);
  switch (type) {
    case NumberType::half:
      return forms::make_half_network(network);
    case NumberType::bfloat16:
      return forms::make_bfloat16_network(network);
    default:
      return forms::make_float_network(network);
  }
}

}  // namespace

struct InteractionNetworkCudaPlan::Packed {
  InteractionNetworkShape shape;
  NumberType type;
  std::unique_ptr<DeviceNetwork> network;
};

std::size_t InteractionNetworkCudaPlan::weights_bytes(const InteractionNetworkShape& shape, NumberType type) {
  InteractionNetwork zeros{shape, {}};
  for (const ArrayShape& array : arrays(layers(shape))) {
    zeros.weights[array.name].resize(static_cast<std::size_t>(array.count()));
  }
  return make_network(zeros, type)->weights_bytes();
}

InteractionNetworkCudaPlan::InteractionNetworkCudaPlan(const InteractionNetwork& network, NumberType type,
                                                       std::span<std::byte> memory)
    : packed_(new Packed{network.shape, type, make_network(network, type)}) {
  interaction_network::cuda::upload(*packed_->network, memory, "InteractionNetworkCudaPlan");
}

InteractionNetworkCudaPlan::~InteractionNetworkCudaPlan() = default;

const InteractionNetworkShape& InteractionNetworkCudaPlan::shape() const { return packed_->shape; }
NumberType InteractionNetworkCudaPlan::type() const { return packed_->type; }

std::size_t InteractionNetworkCudaPlan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  interaction_network::check_size(num_nodes, num_edges);
  return packed_->network->workspace_bytes(num_nodes, num_edges);
}

void InteractionNetworkCudaPlan::run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
                                     const Execution& execution) const {
  interaction_network::cuda::run(*packed_->network, packed_->shape, graph, logits, workspace, execution,
                                 "InteractionNetworkCudaPlan::run");
}

}  // namespace starling
