#include <cuda_runtime_api.h>

#include "cuda/call.h"
#include "interaction_network/shape.h"
#include "memory/arguments.h"
#include "memory/layout.h"
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
  require_cuda();
  memory::check_workspace(memory, packed_->network->weights_bytes(), "QuantizedCudaPlan");
  packed_->network->upload(memory);
  // A copy from pageable memory may return before the device is done.
  cuda::call(cudaStreamSynchronize(cudaStreamLegacy));
}

QuantizedCudaPlan::~QuantizedCudaPlan() = default;

const InteractionNetworkShape& QuantizedCudaPlan::shape() const { return packed_->shape; }

std::size_t QuantizedCudaPlan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  interaction_network::check_size(num_nodes, num_edges);
  return packed_->network->workspace_bytes(num_nodes, num_edges);
}

void QuantizedCudaPlan::run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
                            const Execution& execution) const {
  const char* const function = "QuantizedCudaPlan::run";
  interaction_network::check_arrays(graph, packed_->shape);
  memory::check_there(function, "logits", logits, graph.num_edges());
  if (execution.device != Device::cuda || execution.bad_row == nullptr)
    memory::usage(function, "expected an execution on a CUDA device with a bad_row");
  memory::check_workspace(workspace, workspace_bytes(graph.num_nodes, graph.num_edges()), function);
  packed_->network->run(graph, logits, workspace, execution);
}

}  // namespace starling
