#include "interaction_network/cuda/network.h"

#include <cuda_runtime_api.h>

#include "cuda/call.h"
#include "interaction_network/shape.h"
#include "memory/arguments.h"

namespace starling::interaction_network::cuda {

void upload(DeviceNetwork& network, std::span<std::byte> memory, const char* function) {
  require_cuda();
  memory::check_workspace(memory, network.weights_bytes(), function);
  network.upload(memory);
  // A copy from pageable memory may return before the device is done.
  starling::cuda::call(cudaStreamSynchronize(cudaStreamLegacy));
}

void run(const DeviceNetwork& network, const InteractionNetworkShape& shape, const GraphView& graph, float* logits,
         std::span<std::byte> workspace, const Execution& execution, const char* function) {
  check_arrays(graph, shape);
  memory::check_there(function, "logits", logits, graph.num_edges());
  if (execution.device != Device::cuda || execution.bad_row == nullptr)
    memory::usage(function, "expected an execution on a CUDA device with a bad_row");
  check_size(graph.num_nodes, graph.num_edges());
  memory::check_workspace(workspace, network.workspace_bytes(graph.num_nodes, graph.num_edges()), function);
  network.run(graph, logits, workspace, execution);
}

}  // namespace starling::interaction_network::cuda
