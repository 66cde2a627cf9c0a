// Times one message-passing step of the interaction network and its gradient on the GPU: medians of CUDA events after
// warm-up, as one CUDA graph each. A random graph whose edges are sorted by source. The peer, plain LibTorch, is in
// bench_train_step, which times whole steps of training.
//
//   build/release/bench/bench_interaction_step_cuda [NODES EDGES H]
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "cuda_timing.h"
#include "starling/interaction_step.h"

using namespace starling;
using namespace starling::bench;

namespace {

template <typename T>
void copy(const OnDevice<T>& to, const std::vector<T>& values) {
  check(cudaMemcpy(to.data(), values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice));
}

void set(float& number, float value) { number = value; }
void set(BFloat16& number, float value) {
  number.bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(value) >> 16);
}

template <typename T>
void fill(const OnDevice<T>& numbers, float low, float high, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(low, high);
  std::vector<T> host(numbers.span().size());
  for (T& number : host) set(number, uniform(random));
  copy(numbers, host);
}

/// The lists of both ends, which lie in `workspace`.
Holders turn_round(const OnDevice<std::int32_t>& ends, std::int32_t num_nodes, const OnDevice<std::byte>& workspace,
                   const Execution& execution) {
  Lists lists;
  lists.index = ends.data();
  lists.num_rows = static_cast<std::int32_t>(ends.span().size());
  lists.k = 1;
  lists.num_entries = lists.num_rows;
  lists.num_points = num_nodes;
  return find_holders(lists, workspace.span(), execution);
}

template <typename S>
void time(const char* name, std::int32_t num_nodes, std::int32_t num_edges, int hidden, bool tf32) {
  const Timer timer;
  const Execution execution = timer.on_stream();
  const std::size_t of_nodes = std::size_t(num_nodes) * hidden, of_edges = std::size_t(num_edges) * hidden;
  InteractionStep<S> step;
  step.hidden = hidden;
  step.tf32 = tf32;
  step.num_nodes = num_nodes;
  step.num_edges = num_edges;
  const auto edge_count = static_cast<std::size_t>(edge_parameter_count(step)),
             node_count = static_cast<std::size_t>(node_parameter_count(step));
  const OnDevice<S> x(of_nodes), x0(of_nodes), e(of_edges), e0(of_edges), edges(of_edges), nodes(of_nodes),
      edges_gradient(of_edges), nodes_gradient(of_nodes), of_x(of_nodes), of_x0(of_nodes), of_e(of_edges),
      of_e0(of_edges);
  const OnDevice<float> edge_parameters(edge_count), node_parameters(node_count), of_edge(edge_count),
      of_node(node_count);
  unsigned seed = 1;
  for (const OnDevice<S>* states : {&x, &x0, &e, &e0}) fill(*states, 0, 1, seed++);
  for (const OnDevice<S>* gradients : {&edges_gradient, &nodes_gradient}) fill(*gradients, -1, 1, seed++);
  for (const OnDevice<float>* parameters : {&edge_parameters, &node_parameters}) fill(*parameters, -0.1f, 0.1f, seed++);

  std::mt19937 random(seed);
  std::uniform_int_distribution<std::int32_t> node(0, num_nodes - 1);
  std::vector<std::int32_t> ends[2];
  for (auto& end : ends) {
    for (std::int32_t i = 0; i < num_edges; ++i) end.push_back(node(random));
  }
  std::sort(ends[0].begin(), ends[0].end());
  const OnDevice<std::int32_t> src(static_cast<std::size_t>(num_edges)), dst(static_cast<std::size_t>(num_edges));
  copy(src, ends[0]);
  copy(dst, ends[1]);
  Lists lists;
  lists.num_rows = num_edges;
  lists.k = 1;
  lists.num_entries = num_edges;
  lists.num_points = num_nodes;
  lists.index = src.data();
  const std::size_t list_bytes = find_holders_workspace_bytes(lists, execution);
  const OnDevice<std::byte> outgoing(list_bytes), incoming(list_bytes);

  step.x = x.data();
  step.x0 = x0.data();
  step.e = e.data();
  step.e0 = e0.data();
  step.src = src.data();
  step.dst = dst.data();
  step.outgoing = turn_round(src, num_nodes, outgoing, execution);
  step.incoming = turn_round(dst, num_nodes, incoming, execution);
  step.edge_parameters = edge_parameters.data();
  step.node_parameters = node_parameters.data();
  const OnDevice<std::byte> forward(interaction_step_workspace_bytes(step, execution)),
      backward(interaction_step_gradient_workspace_bytes(step, execution));
  const float forward_ms =
      timer.run_graph(15, [&] { interaction_step(step, edges.data(), nodes.data(), forward.span(), execution); })[7];
  const float backward_ms = timer.run_graph(15, [&] {
    interaction_step_gradient(step, edges.data(), edges_gradient.data(), nodes_gradient.data(),
                              {of_x.data(), of_x0.data(), of_e.data(), of_e0.data(), of_edge.data(), of_node.data()},
                              backward.span(), execution);
  })[7];
  // Per edge e, e⁰ and two further layers, per node the products for both ends and the node network, each H²
  // multiply-adds. The gradient has three times as many: forward anew, then those for inputs and for weights.
  const double products =
      2. * (double(num_edges) * (2 + 1 + 1) + double(num_nodes) * (4 + 4 + 1 + 1)) * hidden * hidden;
  std::printf(
      "H %d, %d nodes, %d edges, %-8s forward %.3f ms (%.1f TFLOP/s), gradient %.3f ms (%.1f TFLOP/s), "
      "workspace %.1f and %.1f MB\n",
      hidden, num_nodes, num_edges, name, double(forward_ms), products / double(forward_ms) * 1e-9, double(backward_ms),
      3 * products / double(backward_ms) * 1e-9, double(forward.span().size()) * 1e-6,
      double(backward.span().size()) * 1e-6);
}

void time_all(std::int32_t num_nodes, std::int32_t num_edges, int hidden) {
  time<float>("split", num_nodes, num_edges, hidden, false);
  time<float>("tf32", num_nodes, num_edges, hidden, true);
  time<BFloat16>("bfloat16", num_nodes, num_edges, hidden, false);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4) {
    time_all(std::atoi(argv[1]), std::atoi(argv[2]), std::atoi(argv[3]));
    return 0;
  }
  time_all(30'000, 75'000, 48);
  time_all(100'000, 1'000'000, 48);
  time_all(100'000, 1'000'000, 128);
}
