#pragma once

#include <memory>

#include "interaction_network/cuda/order.h"

namespace starling::interaction_network::cuda {

/// A network in the form in which a device runs it: one class per form.
class DeviceNetwork {
 public:
  virtual ~DeviceNetwork() = default;

  /// Bytes of device memory that the weights take.
  virtual std::size_t weights_bytes() const = 0;
  /// Copies them there, once, and lets go of them on the host. The copies are ordered with the legacy default stream.
  virtual void upload(std::span<std::byte> memory) = 0;

  virtual std::size_t workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const = 0;
  /// InteractionNetworkCudaPlan::run() behind its checks.
  virtual void run(const GraphView& graph, float* logits, std::span<std::byte> workspace,
                   const Execution& execution) const = 0;
};

/// What the plans of all number types do: the checks of InteractionNetworkCudaPlan's constructor and run(), named as
/// those of `function`, then the network's own. upload() returns once the weights are there.
void upload(DeviceNetwork& network, std::span<std::byte> memory, const char* function);
void run(const DeviceNetwork& network, const InteractionNetworkShape& shape, const GraphView& graph, float* logits,
         std::span<std::byte> workspace, const Execution& execution, const char* function);

/// Floats, all layers of a step in one kernel: at most kMostFused wide, no batch normalisation.
std::unique_ptr<DeviceNetwork> make_float_network(const InteractionNetwork& network);
/// States and matrices of 16 bits, products on tensor cores: the same networks.
std::unique_ptr<DeviceNetwork> make_half_network(const InteractionNetwork& network);
std::unique_ptr<DeviceNetwork> make_bfloat16_network(const InteractionNetwork& network);
/// Floats, a kernel per layer: any network.
std::unique_ptr<DeviceNetwork> make_layered_network(const InteractionNetwork& network);

}  // namespace starling::interaction_network::cuda
