#include "starling/network.h"

#include <sys/mman.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <new>

#include "network/architecture.h"
#include "network/run.h"
#include "starling/error.h"

namespace starling {

namespace {

const network::Kernels& kernels_for(SimdLevel level) {
  require_simd_level(level);
  switch (level) {
#if defined(__x86_64__)
    case SimdLevel::avx2:
      return network::kAvx2Kernels;
    case SimdLevel::avx512:
      return network::kAvx512Kernels;
#endif
    default:
      return network::kReferenceKernels;
  }
}

const Model& checked(const Model& model) {
  network::check_weights(model, ErrorKind::usage, "");
  return model;
}

void check_size(std::int32_t num_nodes, std::int64_t num_edges) {
  if (num_nodes < 0 || num_edges < 0 || num_edges > std::numeric_limits<std::int32_t>::max()) {
    throw Error(ErrorKind::usage, "a graph of " + std::to_string(num_nodes) + " nodes and " +
                                      std::to_string(num_edges) + " edges, expected counts in 0..2^31 - 1");
  }
}

}  // namespace

struct Plan::Packed {
  Architecture architecture;
  const network::Kernels& kernels;
  network::PackedWeights weights;

  // The workspace with `slots` threads, and the bytes that takes.
  std::size_t bytes(std::int32_t num_nodes, std::int64_t num_edges, int slots) const {
    network::Arena arena;
    network::Workspace(arena, architecture, kernels, num_nodes, num_edges, slots);
    return arena.used() + network::kAlignment;
  }
};

Plan::Plan(const Model& model, SimdLevel level)
    : packed_(new Packed{model.architecture, kernels_for(level),
                         network::PackedWeights(checked(model), kernels_for(level))}) {}

Plan::~Plan() = default;

std::size_t Plan::workspace_bytes(std::int32_t num_nodes, std::int64_t num_edges) const {
  check_size(num_nodes, num_edges);
  return packed_->bytes(num_nodes, num_edges, tbb::this_task_arena::max_concurrency());
}

void Plan::run(const GraphView& graph, std::span<float> logits, std::span<std::byte> workspace) const {
  check_size(graph.num_nodes, graph.num_edges);
  if (logits.size() != static_cast<std::size_t>(graph.num_edges)) {
    throw Error(ErrorKind::usage, "room for " + std::to_string(logits.size()) +
                                      " logits, expected one an edge: " + std::to_string(graph.num_edges));
  }
  network::check_edges(graph);
  if (graph.num_edges == 0) return;

  // A workspace that was measured in a smaller arena serves, with fewer threads.
  const std::size_t one = packed_->bytes(graph.num_nodes, graph.num_edges, 1);
  const std::size_t each = packed_->bytes(graph.num_nodes, graph.num_edges, 2) - one;
  if (workspace.size() < one) {
    throw Error(ErrorKind::usage, "a workspace of " + std::to_string(workspace.size()) + " bytes, expected at least " +
                                      std::to_string(one) + ": see Plan::workspace_bytes");
  }
  const int slots = static_cast<int>(
      std::min<std::size_t>(tbb::this_task_arena::max_concurrency(), 1 + (workspace.size() - one) / each));

  void* begin = workspace.data();
  std::size_t left = workspace.size();
  std::align(network::kAlignment, 1, begin, left);
  network::Arena arena(static_cast<std::byte*>(begin));
  network::Workspace arrays(arena, packed_->architecture, packed_->kernels, graph.num_nodes, graph.num_edges, slots);
  network::run(packed_->architecture, packed_->weights, packed_->kernels, graph, arrays, slots, logits.data());
}

// Memory as the system hands it out: pages that a graph does not reach cost nothing. Large ones, where there are any,
// since nodes and edges are gathered from all over it.
class Session::Memory {
 public:
  explicit Memory(std::size_t size)
      : size_(size), data_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (data_ == MAP_FAILED) throw std::bad_alloc();
    madvise(data_, size_, MADV_HUGEPAGE);  // a wish: refused where the system has none
  }
  Memory(const Memory&) = delete;
  ~Memory() { munmap(data_, size_); }

  std::span<std::byte> bytes() const { return {static_cast<std::byte*>(data_), size_}; }

 private:
  std::size_t size_;
  void* data_;
};

Session::~Session() = default;

Session::Session(const Model& model, SimdLevel level) : plan_(model, level) {
  const Architecture& architecture = model.architecture;
  if (architecture.node_inputs != kNodeFeatures || architecture.edge_inputs != kEdgeFeatures) {
    throw Error(ErrorKind::usage, "a network of " + std::to_string(architecture.node_inputs) + " node and " +
                                      std::to_string(architecture.edge_inputs) +
                                      " edge features, expected those of a hit graph: " +
                                      std::to_string(kNodeFeatures) + " and " + std::to_string(kEdgeFeatures));
  }
}

std::vector<float> Session::logits(const HitGraph& graph) {
  const std::size_t nodes = graph.edges.num_nodes, edges = graph.edges.src.size();
  if (graph.edges.dst.size() != edges || graph.node_features.size() != nodes * kNodeFeatures ||
      graph.edge_features.size() != edges * kEdgeFeatures) {
    throw Error(ErrorKind::usage, "a hit graph whose arrays do not fit together");
  }
  const GraphView view{graph.edges.num_nodes,  graph.edges.size(),         graph.edges.src.data(),
                       graph.edges.dst.data(), graph.node_features.data(), graph.edge_features.data()};
  const std::size_t bytes = plan_.workspace_bytes(view.num_nodes, view.num_edges);
  if (workspace_ == nullptr || workspace_->bytes().size() < bytes) {
    workspace_.reset();
    workspace_ = std::make_unique<Memory>(bytes);
  }
  std::vector<float> out(edges);
  plan_.run(view, out, workspace_->bytes());
  return out;
}

std::vector<float> Session::run(const HitGraph& graph) {
  std::vector<float> scores = logits(graph);
  for (float& score : scores) score = 1.f / (1.f + std::exp(-score));
  return scores;
}

}  // namespace starling
