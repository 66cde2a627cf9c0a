// Times one training step (forward, loss, backward, AdamW) of the interaction network on a random graph, and counts its
// memory, and with fake quantisation to 8 bits, while thresholds are learned and while they are collected, beside the
// same network written plainly with LibTorch: concatenated [E, 6H] inputs, one parameter tensor per layer,
// torch::optim::AdamW. On a CPU with one thread.
//
// usage: bench_train_step [cpu|cuda] [hidden] [steps] [nodes] [edges] [float|bfloat16]
#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "learn/nn/interaction_network.h"
#include "learn/nn/quantized_interaction_network.h"
#include "learn/train/adamw.h"
#include "timing.h"

namespace {

using namespace starling;
using namespace starling::learn;

class Plain : public torch::nn::Module {
 public:
  explicit Plain(const InteractionNetworkShape& architecture)
      : architecture_(architecture), layers_(layers(architecture)) {
    for (const DenseLayer& layer : layers_) {
      std::string name = layer.name;
      std::replace(name.begin(), name.end(), '.', '_');
      linear_.push_back(register_module(name, torch::nn::Linear(layer.in, layer.out)));
    }
  }

  torch::Tensor forward(const GraphTensors& graph) {
    torch::Tensor x = mlp("node_encoder", graph.nodes), e = mlp("edge_encoder", graph.edges);
    const torch::Tensor x0 = x, e0 = e;
    for (int step = 0; step < architecture_.steps; ++step) {
      const std::string number = std::to_string(step);
      const auto at = [](const torch::Tensor& rows, const torch::Tensor& index) { return rows.index_select(0, index); };
      e = mlp("edge_network." + number,
              torch::cat({e, e0, at(x, graph.src), at(x0, graph.src), at(x, graph.dst), at(x0, graph.dst)}, 1));
      if (step + 1 == architecture_.steps) break;
      const torch::Tensor zero = torch::zeros_like(x);
      x = mlp("node_network." + number,
              torch::cat({zero.index_add(0, graph.dst, e), zero.index_add(0, graph.src, e), x, x0}, 1));
    }
    return mlp("edge_output", mlp("edge_decoder", e)).squeeze(1);
  }

 private:
  torch::Tensor mlp(const std::string& name, torch::Tensor x) {
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      const DenseLayer& layer = layers_[i];
      if (!layer.name.starts_with(name + ".")) continue;
      x = linear_[i]->forward(x);
      if (layer.norm == Norm::layer) x = torch::layer_norm(x, {layer.out}, {}, {}, double{kLayerNormEpsilon});
      if (layer.relu) x = torch::relu(x);
    }
    return x;
  }

  InteractionNetworkShape architecture_;
  std::vector<DenseLayer> layers_;
  std::vector<torch::nn::Linear> linear_;
};

// CPU memory of tensors, counted: what the process holds says more about malloc than about the network.
struct CountingAllocator : c10::Allocator {
  static constexpr std::size_t kHeader = 64;
  static inline std::atomic<std::size_t> held = 0, peak = 0;

  static void release(void* data) {
    auto* const block = static_cast<std::byte*>(data) - kHeader;
    held -= *reinterpret_cast<std::size_t*>(block);
    std::free(block);
  }
  c10::DataPtr allocate(std::size_t size) override {
    void* const block = std::aligned_alloc(kHeader, (size + 2 * kHeader - 1) / kHeader * kHeader);
    if (block == nullptr) throw std::bad_alloc();
    *static_cast<std::size_t*>(block) = size;
    peak = std::max(peak.load(), held += size);
    void* const data = static_cast<std::byte*>(block) + kHeader;
    return {data, data, &release, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, std::size_t size) const override { default_copy_data(to, from, size); }
};

// What the tensors of a step come to at its worst, in GB.
double peak_gb(torch::Device device, const std::function<void()>& step) {
  if (device.is_cpu()) {
    CountingAllocator::peak = CountingAllocator::held.load();
    step();
    return static_cast<double>(CountingAllocator::peak) * 1e-9;
  }
  c10::DeviceAllocator* const allocator = c10::getDeviceAllocator(device.type());
  allocator->resetPeakStats(0);
  step();
  return static_cast<double>(allocator->getDeviceStats(0).allocated_bytes[0].peak) * 1e-9;
}

double time_step(torch::Device device, const std::function<void()>& step) {
  step();
  return best_ms(device.is_cuda() ? 20 : 3, [&] {
    step();
    if (device.is_cuda()) torch::cuda::synchronize();
  });
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, const char* otherwise) { return std::string(i < argc ? argv[i] : otherwise); };
  const torch::Device device(argument(1, "cpu"));
  InteractionNetworkShape architecture;
  architecture.hidden = std::stoi(argument(2, "48"));
  architecture.steps = std::stoi(argument(3, "8"));
  const std::int64_t nodes = std::stol(argument(4, "30000")), edges = std::stol(argument(5, "75000"));
  const bool mixed = argument(6, "float") == "bfloat16";

  static CountingAllocator counting;
  c10::SetAllocator(c10::DeviceType::CPU, &counting, 1);
  at::set_num_threads(1);
  torch::manual_seed(1);
  const GraphTensors graph{torch::randn({nodes, kNodeFeatures}).to(device),
                           torch::randn({edges, kEdgeFeatures}).to(device),
                           std::get<0>(torch::randint(nodes, {edges}, torch::kInt).sort()).to(device),
                           torch::randint(nodes, {edges}, torch::kInt).to(device)};
  const torch::Tensor labels = torch::randint(2, {edges}, torch::kFloat).to(device),
                      weights = torch::ones({edges}).to(device);

  print_machine();
  std::printf("peer: LibTorch %s; %s, H = %d, N = %d, %ld nodes, %ld edges, ours in %s, peer in float\n", TORCH_VERSION,
              device.str().c_str(), architecture.hidden, architecture.steps, static_cast<long>(nodes),
              static_cast<long>(edges), mixed ? "bfloat16" : "float");
  double ours_ms = 0, plain_ms = 0;
  {
    learn::InteractionNetwork network(architecture);
    network->to(device);
    AdamW optimiser(network->weights()->flat(), 0.01, true);
    const auto step = [&] {
      network->weights()->flat().mutable_grad().reset();
      edge_loss(network->forward(graph, mixed ? torch::kBFloat16 : torch::kFloat), labels, weights).backward();
      optimiser.step(5e-4);
    };
    ours_ms = time_step(device, step);
    std::printf("ours: %.2f ms per step, %.2f GB\n", ours_ms, peak_gb(device, step));
  }
  for (const bool collects : {false, true}) {
    QuantizationSettings bits;
    bits.collect_steps = collects ? 1000 : 1;
    QuantizedInteractionNetwork network(architecture, bits);
    network->to(device);
    AdamW optimiser(network->weights()->flat(), 0.01, true);
    const auto step = [&] {
      network->start_step();
      network->weights()->flat().mutable_grad().reset();
      edge_loss(network->forward(graph), labels, weights).backward();
      optimiser.step(5e-4);
    };
    const double bits_ms = time_step(device, step);
    std::printf("ours, 8 bits%s: %.2f ms per step, %.2f GB, %.2fx the float step\n",
                collects ? ", collecting thresholds" : "", bits_ms, peak_gb(device, step), bits_ms / ours_ms);
  }
  {
    Plain network(architecture);
    network.to(device);
    torch::optim::AdamW optimiser(network.parameters(),
                                  torch::optim::AdamWOptions(5e-4).weight_decay(0.01).amsgrad(true));
    const auto step = [&] {
      optimiser.zero_grad();
      edge_loss(network.forward(graph), labels, weights).backward();
      optimiser.step();
    };
    plain_ms = time_step(device, step);
    std::printf("plain: %.2f ms per step, %.2f GB\n", plain_ms, peak_gb(device, step));
  }
  std::printf("ratio: %.2fx\n", plain_ms / ours_ms);
}
