#include "interaction_network/shape.h"
#include "quantized_network/cuda/network.h"
#include "quantized_network/structure.h"

namespace starling {
namespace {

using quantized_network::cuda::DeviceNetwork;

std::unique_ptr<DeviceNetwork> make_network(const QuantizedNetwork& network) {
  namespace forms = quantized_network::cuda;
  quantized_network::check(network, ErrorKind::usage, "");
  return forms::is_tiled(network) ? forms::make_tile_network(network) : forms::make_layered_network(network);
}

}  // namespace

struct QuantizedCudaPlan::Packed {
  InteractionNetworkShape shape;
  std::unique_ptr<DeviceNetwork> network;
};

std::size_t QuantizedCudaPlan::weights_bytes(const QuantizedNetwork& network) {
  return make_network(network)->weights_bytes();
}

QuantizedCudaPlan::QuantizedCudaPlan(const QuantizedNetwork& network, std::span<std::byte> memory)
    : packed_(new Packed{network.shape, make_network(network)}) {
  interaction_network::cuda::upload(*packed_->network, memory, "QuantizedCudaPlan");
}

QuantizedCudaPlan::~QuantizedCudaPlan() = default;

const InteractionNetworkShape& QuantizedCudaPlan::shape() const { return packed_->shape; }

std::size_t QuantizedCudaPlan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  interaction_network::check_size(num_nodes, num_edges);
  return packed_->network->workspace_bytes(num_nodes, num_edges);
}

void QuantizedCudaPlan::run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
                            const Execution& execution) const {
  interaction_network::cuda::run(*packed_->network, packed_->shape, graph, logits, workspace, execution,
                                 "QuantizedCudaPlan::run");
}

}  // namespace starling
