#include "cuda_timing.h"
#include "network.h"
#include "starling/error.h"

namespace {

using starling::bench::check;
using starling::bench::OnDevice;

template <typename T>
void copy(const std::vector<T>& from, T* to) {
  check(cudaMemcpy(to, from.data(), from.size() * sizeof(T), cudaMemcpyHostToDevice));
}

template <typename Plan>
OnCuda run(const Plan& plan, const BenchGraph& graph) {
  using namespace starling;
  const OnDevice<std::int32_t> src(graph.src.size()), dst(graph.dst.size()), bad_row(1);
  const OnDevice<float> nodes(graph.node_features.size()), edges(graph.edge_features.size()), logits(graph.src.size());
  copy(graph.src, src.data());
  copy(graph.dst, dst.data());
  copy(graph.node_features, nodes.data());
  copy(graph.edge_features, edges.data());
  const GraphView view{graph.num_nodes, src.span(), dst.span(), nodes.span(), edges.span()};
  const OnDevice<std::byte> workspace(plan.workspace_bytes(view.num_nodes, view.num_edges()));
  check(cudaDeviceSynchronize());
  const bench::Timer timer;
  const std::vector<float> times =
      timer.run_graph(20, [&] { plan.run(view, logits.data(), workspace.span(), timer.on_stream(bad_row.data())); });
  OnCuda result{times[times.size() / 2], static_cast<double>(workspace.span().size()) / 1e6, {}};
  result.logits.resize(graph.src.size());
  check(cudaMemcpy(result.logits.data(), logits.data(), result.logits.size() * sizeof(float), cudaMemcpyDeviceToHost));
  return result;
}

}  // namespace

bool has_cuda() {
  try {
    starling::require_cuda();
    return true;
  } catch (const starling::Error&) {
    return false;
  }
}

OnCuda run_cuda(const starling::InteractionNetwork& network, const BenchGraph& graph, starling::NumberType type) {
  using namespace starling;
  const OnDevice<std::byte> weights(InteractionNetworkCudaPlan::weights_bytes(network.shape, type));
  return run(InteractionNetworkCudaPlan(network, type, weights.span()), graph);
}

OnCuda run_cuda(const starling::QuantizedNetwork& network, const BenchGraph& graph) {
  using namespace starling;
  const OnDevice<std::byte> weights(QuantizedCudaPlan::weights_bytes(network));
  return run(QuantizedCudaPlan(network, weights.span()), graph);
}
