#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "interaction_network_cases.h"
#include "on_device.h"

// Networks on a CUDA device, of either kind, on graphs of the host.
namespace starling {

struct Result {
  std::vector<float> logits;
  std::int32_t bad_row = -2;
};

/// A graph in device memory, whose arrays have room for `beyond` edges more than there are.
struct DeviceGraph {
  DeviceGraph(const Graph& graph, const InteractionNetworkShape& shape, std::size_t beyond)
      : num_nodes(graph.num_nodes),
        src(padded(graph.src, beyond)),
        dst(padded(graph.dst, beyond)),
        order(graph.order),
        count(std::vector<std::int32_t>{static_cast<std::int32_t>(graph.src.size())}),
        node_features(graph.node_features),
        edge_features(padded(graph.edge_features, beyond * static_cast<std::size_t>(shape.edge_inputs))) {}

  GraphView view(bool counted) const {
    return {num_nodes,
            src.span(),
            dst.span(),
            node_features.span(),
            edge_features.span(),
            order.span(),
            counted ? count.data() : nullptr};
  }

  // What is beyond the edges would be seen if it were read: no node has such a number.
  template <typename T>
  static std::vector<T> padded(std::vector<T> values, std::size_t beyond) {
    values.resize(values.size() + beyond, static_cast<T>(1 << 30));
    return values;
  }

  std::int32_t num_nodes;
  OnDevice<std::int32_t> src, dst, order, count;
  OnDevice<float> node_features, edge_features;
};

/// Memory that begins anywhere, between bytes that must stay.
class Guarded {
 public:
  explicit Guarded(std::size_t size) : memory_(size + 2 * kGuard), size_(size) {}
  std::span<std::byte> span() const { return memory_.span().subspan(kGuard, size_); }
  void expect_untouched() const {
    const std::vector<std::byte> bytes = memory_.get();
    for (std::size_t i = 0; i < kGuard; ++i) {
      EXPECT_EQ(bytes[i], std::byte{0xCD});
      EXPECT_EQ(bytes[kGuard + size_ + i], std::byte{0xCD});
    }
  }

 private:
  static constexpr std::size_t kGuard = 37;
  OnDevice<std::byte> memory_;
  std::size_t size_;
};

/// A plan in memory whose bytes are given, between bytes that must stay: make(memory) makes it. Logits of a graph that
/// is refused must stay too.
template <typename Make>
Result run_on_device(std::size_t weights_bytes, const Make& make, const Graph& graph, std::size_t beyond = 0) {
  const Guarded weights(weights_bytes);
  const auto plan = make(weights.span());
  const DeviceGraph there(graph, plan.shape(), beyond);
  const GraphView view = there.view(beyond > 0);
  const std::size_t edges = graph.src.size();
  const OnDevice<float> logits(edges + beyond);
  const OnDevice<std::int32_t> bad_row(1);
  const Guarded workspace(plan.workspace_bytes(view.num_nodes, view.num_edges()));
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  replay_twice(stream, [&] { plan.run(view, logits.data(), workspace.span(), execution); });
  Result result{logits.get(), bad_row.get()[0]};
  for (std::size_t i = result.bad_row < 0 ? edges : 0; i < edges + beyond; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &result.logits[i], sizeof(bits));
    EXPECT_EQ(bits, 0xCDCDCDCDu) << "logit " << i << " is written, beyond the count or of a graph that is refused";
  }
  if (result.bad_row < 0) result.logits.resize(edges);
  weights.expect_untouched();
  workspace.expect_untouched();
  return result;
}

}  // namespace starling
