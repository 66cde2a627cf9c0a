#include "learn/train/checkpoint.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "learn/train/folder.h"
#include "starling/error.h"
#include "starling/safetensors.h"

namespace starling::learn {
namespace {

constexpr const char* kFormat = "starling checkpoint 1";

}  // namespace

std::vector<std::pair<std::string, torch::Tensor>> state_tensors(torch::nn::Module& network, const AdamW& optimiser) {
  std::vector<std::pair<std::string, torch::Tensor>> tensors = {{"parameters", flat_parameter(network).detach()},
                                                                {"mean", optimiser.mean},
                                                                {"square", optimiser.square},
                                                                {"largest_square", optimiser.largest_square},
                                                                {"steps", optimiser.steps}};
  for (const auto& buffer : network.named_buffers()) tensors.emplace_back("buffer." + buffer.key(), buffer.value());
  return tensors;
}

torch::Tensor flat_parameter(torch::nn::Module& network) {
  const std::vector<torch::Tensor> parameters = network.parameters();
  if (parameters.size() != 1) {
    throw Error(ErrorKind::internal,
                "a network with " + std::to_string(parameters.size()) + " parameters, expected one that holds all");
  }
  return parameters[0];
}

void save_checkpoint(const std::filesystem::path& file, const RunState& state, torch::nn::Module& network,
                     const AdamW& optimiser) {
  TensorFile content;
  for (const auto& [name, tensor] : state_tensors(network, optimiser)) {
    const torch::Tensor values = tensor.to(torch::kCPU).contiguous();
    const float* const data = values.const_data_ptr<float>();
    content.tensors[name] = Tensor::of(std::vector<float>(data, data + values.numel()), {values.numel()});
  }
  content.tensors["loss_sum"] = Tensor::of(std::vector<float>{state.loss_sum}, {1});
  content.tensors["position"] = Tensor::of(std::vector<std::int32_t>{state.epoch, state.step}, {2});
  content.metadata["format"] = kFormat;
  content.metadata["seconds"] = std::to_string(state.seconds);
  content.metadata["metrics"] = state.metrics;
  content.metadata["configuration"] = state.configuration;
  write_safetensors(file, content);
}

RunState load_checkpoint(const std::filesystem::path& file, const std::string& configuration,
                         torch::nn::Module& network, AdamW& optimiser) {
  const TensorFile content = read_safetensors(file);
  const auto metadata = [&](const std::string& key) {
    const auto found = content.metadata.find(key);
    if (found == content.metadata.end()) throw Error(ErrorKind::input, file.string() + ": no metadata " + key);
    return found->second;
  };
  if (metadata("format") != kFormat) {
    throw Error(ErrorKind::input, file.string() + ": not a checkpoint of this version");
  }
  check_same(file, metadata("configuration"), configuration);

  const auto values = [&](const std::string& name, std::int64_t count) {
    if (content.at(name).count() != count) {
      throw Error(ErrorKind::input, file.string() + ": " + name + " has " + std::to_string(content.at(name).count()) +
                                        " values, expected " + std::to_string(count));
    }
    return content.at(name).f32();
  };
  const torch::NoGradGuard guard;
  for (auto& [name, tensor] : state_tensors(network, optimiser)) {
    std::vector<float> data = values(name, tensor.numel());
    tensor.copy_(torch::from_blob(data.data(), tensor.sizes()));
  }
  RunState state;
  const std::vector<std::int32_t> position = content.at("position").i32();
  if (position.size() != 2 || position[0] < 0 || position[1] < 0) {
    throw Error(ErrorKind::input, file.string() + ": position: expected an epoch and a step");
  }
  state.epoch = position[0];
  state.step = position[1];
  state.loss_sum = values("loss_sum", 1)[0];
  try {
    state.seconds = std::stod(metadata("seconds"));
  } catch (const std::logic_error&) {
    throw Error(ErrorKind::input, file.string() + ": seconds: expected a number");
  }
  state.metrics = metadata("metrics");
  const auto lines = std::count(state.metrics.begin(), state.metrics.end(), '\n');
  if (lines != state.epoch && !(state.epoch == 0 && lines == 1)) {  // the network as it began, validated
    throw Error(ErrorKind::input,
                file.string() + ": metrics: expected one line for each of " + std::to_string(state.epoch) + " epochs");
  }
  state.configuration = configuration;
  return state;
}

}  // namespace starling::learn
