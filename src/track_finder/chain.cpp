#include "track_finder/chain.h"

#include <algorithm>
#include <variant>

#include "interaction_network/shape.h"
#include "starling/error.h"

namespace starling::track_finder {
namespace {

constexpr const char* kFunction = "TrackCudaPlan";

/// The network, where it is in codes; those are integers whatever the type.
const QuantizedNetwork* codes_of(const TrackFinder& finder, NumberType type) {
  const auto* const codes = std::get_if<QuantizedNetwork>(&finder.network);
  if (codes != nullptr && type != NumberType::float32) {
    throw Error(ErrorKind::usage, "a network in codes with numbers of the type " + to_string(type) +
                                      ": expected float32, which leaves codes as they are");
  }
  return codes;
}

std::size_t network_bytes(const TrackFinder& finder, NumberType type) {
  if (const QuantizedNetwork* const codes = codes_of(finder, type)) return QuantizedCudaPlan::weights_bytes(*codes);
  return InteractionNetworkCudaPlan::weights_bytes(finder.shape(), type);
}

NetworkPlan network_plan(const TrackFinder& finder, NumberType type, std::span<std::byte> memory) {
  if (const QuantizedNetwork* const codes = codes_of(finder, type)) {
    return std::make_unique<const QuantizedCudaPlan>(*codes, memory);
  }
  return std::make_unique<const InteractionNetworkCudaPlan>(std::get<InteractionNetwork>(finder.network), type, memory);
}

/// The model in the lent memory.
struct ModelMemory {
  std::span<std::byte> windows, network;
  std::size_t bytes;

  ModelMemory(const TrackFinder& finder, NumberType type, std::span<std::byte> memory) {
    const std::size_t windows_bytes = HitGraphCudaPlan::windows_bytes(finder.windows);
    const std::size_t size = network_bytes(finder, type);
    memory::Layout layout(memory);
    windows = {layout.take<std::byte>(windows_bytes), windows_bytes};
    network = {layout.take<std::byte>(size), size};
    bytes = layout.bytes();
  }
};

/// The finder, whose network must read hit graphs, and memory that must hold it.
ModelMemory checked(const TrackFinder& finder, NumberType type, std::span<std::byte> memory) {
  interaction_network::check_reads_hit_graphs(finder.shape());
  memory::check_workspace(memory, ModelMemory(finder, type, {}).bytes, kFunction);
  return {finder, type, memory};
}

}  // namespace

std::size_t Chain::model_bytes(const TrackFinder& finder, NumberType type) {
  return ModelMemory(finder, type, {}).bytes;
}

bool Chain::counts_all_hits(const TrackFinder& finder) { return finder.shape().norm == Norm::batch; }

Chain::Chain(const TrackFinder& finder, NumberType type, std::span<std::byte> memory)
    : graph_(finder.windows, finder.scales, checked(finder, type, memory).windows),
      network_(network_plan(finder, type, ModelMemory(finder, type, memory).network)),
      cuts_(finder.cuts) {}

ChainMemory Chain::lay_out(memory::Layout& layout, std::int32_t num_hits, const HitGraphCapacity& capacity) const {
  const auto hits = static_cast<std::size_t>(num_hits), edges = static_cast<std::size_t>(capacity.edges);
  ChainMemory memory;
  HitGraphMemory& graph = memory.graph;
  graph.src = layout.take<std::int32_t>(edges);
  graph.dst = layout.take<std::int32_t>(edges);
  graph.node_features = layout.take<float>(hits * kNodeFeatures);
  graph.edge_features = layout.take<float>(edges * kEdgeFeatures);
  graph.layer = layout.take<std::int32_t>(hits);
  graph.order = layout.take<std::int32_t>(hits);
  graph.triplet_splits = layout.take<std::int32_t>(edges + 1);
  graph.triplets = layout.take<std::int32_t>(static_cast<std::size_t>(capacity.triplets));
  graph.counts = layout.take<HitGraphCounts>(1);
  graph.edge_count = layout.take<std::int32_t>(1);
  memory.scores = layout.take<float>(edges);
  memory.bad_edge = layout.take<std::int32_t>(1);
  const std::size_t of_network =
      std::visit([&](const auto& plan) { return plan->workspace_bytes(num_hits, capacity.edges); }, network_);
  const std::size_t workspace =
      std::max({graph_.workspace_bytes(num_hits, capacity), of_network,
                build_tracks_bytes(num_hits, capacity.edges, cuts_, {.device = Device::cuda})});
  memory.workspace = {layout.take<std::byte>(workspace), workspace};
  return memory;
}

HitGraphView Chain::build_graph(const HitsView& hits, const HitGraphCapacity& capacity, const ChainMemory& memory,
                                const Execution& execution) const {
  return graph_.run(hits, capacity, memory.graph, memory.workspace, execution);
}

void Chain::score(const HitGraphView& graph, const ChainMemory& memory, const Execution& execution) const {
  Execution checked = execution;
  checked.bad_row = memory.bad_edge;
  const GraphView view = network_view(graph);
  std::visit([&](const auto& plan) { plan->run(view, memory.scores, memory.workspace, checked); }, network_);
  edge_scores(memory.scores, view.num_edges(), view.count, memory.scores, checked);
}

void Chain::find_tracks(const HitGraphView& graph, const ChainMemory& memory, const TracksMemory& tracks,
                        const Execution& execution) const {
  Execution unchecked = execution;
  unchecked.bad_row = nullptr;
  build_tracks(graph, memory.scores, cuts_, tracks, memory.workspace, unchecked);
}

}  // namespace starling::track_finder

namespace starling {

struct TrackCudaPlan::Stages : track_finder::Chain {
  using Chain::Chain;
};

std::size_t TrackCudaPlan::model_bytes(const TrackFinder& finder, NumberType type) {
  return track_finder::Chain::model_bytes(finder, type);
}

TrackCudaPlan::TrackCudaPlan(const TrackFinder& finder, NumberType type, std::span<std::byte> memory)
    : stages_(std::make_unique<const Stages>(finder, type, memory)) {}

TrackCudaPlan::~TrackCudaPlan() = default;

std::size_t TrackCudaPlan::workspace_bytes(std::int32_t num_hits, const HitGraphCapacity& capacity) const {
  memory::Layout layout;
  stages_->lay_out(layout, num_hits, capacity);
  return layout.bytes();
}

ScoredGraphView TrackCudaPlan::run(const HitsView& hits, const HitGraphCapacity& capacity, HitGraphCounts* counts,
                                   const TracksMemory& tracks, std::span<std::byte> workspace,
                                   const Execution& execution) const {
  hits.check();
  if (execution.device != Device::cuda) {
    throw Error(ErrorKind::usage, "TrackCudaPlan: a run on the CPU: expected device 'cuda', or a TrackSession");
  }
  memory::check_workspace(workspace, workspace_bytes(hits.size(), capacity), "TrackCudaPlan");
  memory::Layout layout(workspace);
  track_finder::ChainMemory memory = stages_->lay_out(layout, hits.size(), capacity);
  memory.graph.counts = counts;
  const HitGraphView graph = stages_->build_graph(hits, capacity, memory, execution);
  stages_->score(graph, memory, execution);
  stages_->find_tracks(graph, memory, tracks, execution);
  return {graph, memory.scores};
}

}  // namespace starling
