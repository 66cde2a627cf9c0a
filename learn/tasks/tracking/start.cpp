#include "learn/tasks/tracking/start.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "starling/error.h"
#include "starling/safetensors.h"

namespace starling::learn::tracking {
namespace {

std::filesystem::path model_in(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_directory(path, ignored) ? path / "model.safetensors" : path;
}

// The parameters of a checkpoint begin with those of the network, in the order of its layers; its masks lie alike.
std::vector<float> flat(const TensorFile& checkpoint, const std::string& name, std::int64_t least) {
  const starling::Tensor& tensor = checkpoint.at(name);
  if (tensor.count() < least) {
    throw Error(ErrorKind::input, checkpoint.name + ": " + name + " has " + std::to_string(tensor.count()) +
                                      " values, expected " + std::to_string(least) + " at least");
  }
  return tensor.f32();
}

void take_trained_values(const std::filesystem::path& file, Start& start) {
  const TensorFile checkpoint = read_safetensors(file);
  const std::vector<DenseLayer> all = layers(start.network.shape);
  const std::int64_t count = parameter_count(start.network.shape);
  const std::vector<float> values = flat(checkpoint, "parameters", count);
  const bool masked = checkpoint.tensors.contains("buffer.weights.mask");
  const std::vector<float> mask =
      masked ? flat(checkpoint, "buffer.weights.mask", count) : std::vector<float>(values.size(), 1.f);
  std::ptrdiff_t at = 0;
  for (const DenseLayer& layer : all) {
    for (const ArrayShape& array : arrays(layer)) {
      const auto end = at + static_cast<std::ptrdiff_t>(array.count());
      start.network.weights.at(array.name).assign(values.begin() + at, values.begin() + end);
      if (array.name.ends_with(".weight")) {
        std::vector<std::uint8_t> kept;
        for (std::ptrdiff_t i = at; i < end; ++i) kept.push_back(mask[static_cast<std::size_t>(i)] != 0);
        if (std::count(kept.begin(), kept.end(), 0) > 0) start.kept[layer.name] = std::move(kept);
      }
      at = end;
    }
  }
}

}  // namespace

Start read_start(const std::filesystem::path& path) {
  const std::filesystem::path model = model_in(path);
  Start start;
  start.finder = TrackFinder::load(model);
  if (const auto* const network = std::get_if<QuantizedNetwork>(&start.finder.network)) {
    DequantizedNetwork values = dequantized(*network);
    start.network = std::move(values.network);
    for (auto& [name, layer] : values.learned.layers) {
      if (!layer.kept.empty()) start.kept[name] = std::move(layer.kept);
    }
    start.learned = std::move(values.learned);
  } else {
    start.network = std::get<starling::InteractionNetwork>(start.finder.network);
  }
  if (model != path) {
    start.kept.clear();
    take_trained_values(path / "checkpoint.safetensors", start);
  }
  return start;
}

InteractionNetworkShape read_shape(const std::filesystem::path& path) {
  return TrackFinder::load(model_in(path)).shape();
}

}  // namespace starling::learn::tracking
