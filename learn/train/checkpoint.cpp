#include "learn/train/checkpoint.h"

#include <algorithm>
#include <array>
#include <exception>
#include <sstream>
#include <utility>
#include <vector>

#include "starling/error.h"
#include "starling/safetensors.h"

namespace starling::learn {
namespace {

constexpr const char* kFormat = "starling checkpoint 1";

std::array<std::pair<const char*, torch::Tensor>, 5> state_of(InteractionNetwork& network, const AdamW& optimiser) {
  return {{{"parameters", network->flat().detach()},
           {"mean", optimiser.mean},
           {"square", optimiser.square},
           {"largest_square", optimiser.largest_square},
           {"steps", optimiser.steps}}};
}

std::vector<std::string> lines_that_matter(const std::string& configuration) {
  std::vector<std::string> lines;
  std::istringstream text(configuration);
  for (std::string line; std::getline(text, line);) {
    const auto is = [&](const char* key) { return line.rfind(std::string(key) + " = ", 0) == 0; };
    if (!is("epochs") && !is("output") && !is("workers")) lines.push_back(line);
  }
  return lines;
}

void check_configuration(const std::filesystem::path& file, const std::string& then, const std::string& now) {
  const auto old_lines = lines_that_matter(then), new_lines = lines_that_matter(now);
  const auto [was, is] = std::mismatch(old_lines.begin(), old_lines.end(), new_lines.begin(), new_lines.end());
  if (was == old_lines.end() && is == new_lines.end()) return;
  throw Error(ErrorKind::usage, file.string() + ": the run was started with `" + (was == old_lines.end() ? "" : *was) +
                                    "`, now it is `" + (is == new_lines.end() ? "" : *is) +
                                    "`: expected the same configuration");
}

}  // namespace

void save_checkpoint(const std::filesystem::path& file, const Progress& progress, InteractionNetwork& network,
                     const AdamW& optimiser) {
  TensorFile content;
  for (const auto& [name, tensor] : state_of(network, optimiser)) {
    const torch::Tensor values = tensor.to(torch::kCPU).contiguous();
    const float* const data = values.const_data_ptr<float>();
    content.tensors[name] = Tensor::of(std::vector<float>(data, data + values.numel()), {values.numel()});
  }
  content.tensors["loss_sum"] = Tensor::of(std::vector<float>{progress.loss_sum}, {1});
  content.tensors["position"] = Tensor::of(std::vector<std::int32_t>{progress.epoch, progress.step}, {2});
  content.metadata["format"] = kFormat;
  content.metadata["seconds"] = std::to_string(progress.seconds);
  content.metadata["metrics"] = progress.metrics;
  content.metadata["configuration"] = progress.configuration;
  write_safetensors(file, content);
}

Progress load_checkpoint(const std::filesystem::path& file, const std::string& configuration,
                         InteractionNetwork& network, AdamW& optimiser) {
  const TensorFile content = read_safetensors(file);
  const auto metadata = [&](const std::string& key) {
    const auto found = content.metadata.find(key);
    if (found == content.metadata.end()) throw Error(ErrorKind::input, file.string() + ": no metadata " + key);
    return found->second;
  };
  if (metadata("format") != kFormat)
    throw Error(ErrorKind::input, file.string() + ": not a checkpoint of this version");
  check_configuration(file, metadata("configuration"), configuration);

  const auto values = [&](const std::string& name, std::int64_t count) {
    if (content.at(name).count() != count) {
      throw Error(ErrorKind::input, file.string() + ": " + name + " has " + std::to_string(content.at(name).count()) +
                                        " values, expected " + std::to_string(count));
    }
    return content.at(name).f32();
  };
  const torch::NoGradGuard guard;
  for (auto& [name, tensor] : state_of(network, optimiser)) {
    std::vector<float> data = values(name, tensor.numel());
    tensor.copy_(torch::from_blob(data.data(), tensor.sizes()));
  }
  Progress progress;
  const std::vector<std::int32_t> position = content.at("position").i32();
  if (position.size() != 2 || position[0] < 0 || position[1] < 0) {
    throw Error(ErrorKind::input, file.string() + ": position: expected an epoch and a step");
  }
  progress.epoch = position[0];
  progress.step = position[1];
  progress.loss_sum = values("loss_sum", 1)[0];
  try {
    progress.seconds = std::stod(metadata("seconds"));
  } catch (const std::logic_error&) {
    throw Error(ErrorKind::input, file.string() + ": seconds: expected a number");
  }
  progress.metrics = metadata("metrics");
  if (std::count(progress.metrics.begin(), progress.metrics.end(), '\n') != progress.epoch) {
    throw Error(ErrorKind::input,
                file.string() + ": metrics: expected a line for each of " + std::to_string(progress.epoch) + " epochs");
  }
  progress.configuration = configuration;
  return progress;
}

}  // namespace starling::learn
