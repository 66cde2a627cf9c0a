// Times one training step (forward, loss, backward, AdamW) of the interaction network on a random graph, beside the
// same network written plainly with LibTorch: concatenated [E, 6H] inputs, one parameter tensor a layer,
// torch::optim::AdamW. usage: bench_train_step [cpu|cuda] [hidden] [steps] [nodes] [edges] [float|bfloat16]
// [both|ours|plain] With a seventh argument, `ours` or `plain`, one form runs alone, and on a CPU its peak memory is
// printed.
#include <torch/torch.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "learn/nn/interaction_network.h"
#include "learn/train/adamw.h"
#include "timing.h"

namespace {

using namespace starling;
using namespace starling::learn;

class Plain : public torch::nn::Module {
 public:
  explicit Plain(const Architecture& architecture) : architecture_(architecture), layers_(layers(architecture)) {
    for (const Layer& layer : layers_) {
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
      const Layer& layer = layers_[i];
      if (!layer.name.starts_with(name + ".")) continue;
      x = linear_[i]->forward(x);
      if (layer.normalised) x = torch::layer_norm(x, {layer.out}, {}, {}, double{kLayerNormEpsilon});
      if (layer.activated) x = torch::relu(x);
    }
    return x;
  }

  Architecture architecture_;
  std::vector<Layer> layers_;
  std::vector<torch::nn::Linear> linear_;
};

double resident_gib(const char* key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key)) return std::strtod(line.c_str() + line.find(':') + 1, nullptr) / (1 << 20);
  }
  return 0;
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
  Architecture architecture;
  architecture.hidden = std::stoi(argument(2, "48"));
  architecture.steps = std::stoi(argument(3, "8"));
  const std::int64_t nodes = std::stol(argument(4, "30000")), edges = std::stol(argument(5, "75000"));
  const bool mixed = argument(6, "float") == "bfloat16";
  const std::string which = argument(7, "both");

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
  const double before = resident_gib("VmRSS");
  double ours_ms = 0, plain_ms = 0;
  if (which != "plain") {
    InteractionNetwork network(architecture);
    network->to(device);
    AdamW optimiser(network->flat(), 0.01, true);
    ours_ms = time_step(device, [&] {
      network->flat().mutable_grad().reset();
      edge_loss(network->forward(graph, mixed ? torch::kBFloat16 : torch::kFloat), labels, weights).backward();
      optimiser.step(5e-4);
    });
    std::printf("ours: %.1f ms a step\n", ours_ms);
  }
  if (which != "ours") {
    Plain network(architecture);
    network.to(device);
    torch::optim::AdamW optimiser(network.parameters(),
                                  torch::optim::AdamWOptions(5e-4).weight_decay(0.01).amsgrad(true));
    plain_ms = time_step(device, [&] {
      optimiser.zero_grad();
      edge_loss(network.forward(graph), labels, weights).backward();
      optimiser.step();
    });
    std::printf("plain: %.1f ms a step\n", plain_ms);
  }
  if (which == "both") {
    std::printf("ratio: %.2fx\n", plain_ms / ours_ms);
  } else if (!device.is_cuda()) {
    std::printf("peak memory of a step: %.2f GiB\n", resident_gib("VmHWM") - before);
  }
}
