#include "starling/detector.h"

#include <algorithm>
#include <set>
#include <utility>

#include "starling/config.h"
#include "starling/error.h"

namespace starling {

namespace {

DetectorLayer read_layer(Config& config, int index) {
  const std::string table = "layer[" + std::to_string(index) + "].";
  const auto key = [&](const char* name) { return table + name; };
  const auto reject = [&](const char* name, double value, const std::string& expected) {
    throw Error(ErrorKind::usage,
                config.name() + ": " + key(name) + " = " + std::to_string(value) + ": expected " + expected);
  };

  DetectorLayer layer;
  std::string shape;
  config.get(key("volume"), layer.volume_id, 0, 1 << 20);
  config.get(key("layer"), layer.layer_id, 0, 1 << 20);
  config.get(key("shape"), shape, {"barrel", "disc"});
  if (shape.empty()) throw Error(ErrorKind::usage, config.name() + ": " + key("shape") + " is missing: barrel or disc");
  layer.shape = shape == "barrel" ? DetectorLayer::Shape::barrel : DetectorLayer::Shape::disc;
  const bool barrel = layer.shape == DetectorLayer::Shape::barrel;

  config.get(key("position"), layer.position, -1e5, 1e5);
  config.get(key("spread"), layer.spread, 0, 1e3);
  config.get(key("min"), layer.min, -1e5, 1e5);
  config.get(key("max"), layer.max, -1e5, 1e5);
  config.get(key("radiation_lengths"), layer.radiation_lengths, 0, 1);
  config.get(key("resolution_rphi"), layer.resolution_rphi, 0, 100);
  config.get(key("resolution_rz"), layer.resolution_rz, 0, 100);
  config.get(key("pitch_rz"), layer.pitch_rz, 0, 1e4);
  config.get(key("efficiency"), layer.efficiency, 0, 1);
  config.get(key("overlap"), layer.overlap, 0, 1);
  config.get(key("modules_phi"), layer.modules_phi, 1, 1 << 14);
  config.get(key("modules_rz"), layer.modules_rz, 1, 1 << 14);
  config.get(key("noise_hits"), layer.noise_hits, 0, 1e6);
  config.get(key("unlabelled_hits"), layer.unlabelled_hits, 0, 1e6);

  if (!(layer.max > layer.min)) reject("max", layer.max, "more than min");
  if (barrel && !(layer.position - layer.spread > 0)) reject("position", layer.position, "a radius above the spread");
  if (!barrel && layer.min < 0) reject("min", layer.min, "a radius of at least 0");
  return layer;
}

}  // namespace

Detector read_detector(const std::filesystem::path& file) {
  Config config = Config::load(file);
  Detector detector;
  config.get("name", detector.name);
  config.get("field", detector.field, -20, 20);
  config.get("beam_pipe_radius", detector.beam_pipe_radius, 0, 1e4);
  config.get("beam_pipe_radiation_lengths", detector.beam_pipe_radiation_lengths, 0, 1);

  const int count = config.table_count("layer");
  if (count == 0) throw Error(ErrorKind::usage, config.name() + ": no [[layer]]: expected at least one");
  std::set<std::pair<std::int32_t, std::int32_t>> seen;
  for (int index = 0; index < count; ++index) {
    detector.layers.push_back(read_layer(config, index));
    const DetectorLayer& layer = detector.layers.back();
    if (!seen.insert({layer.volume_id, layer.layer_id}).second) {
      throw Error(ErrorKind::usage, config.name() + ": layer[" + std::to_string(index) + "]: volume " +
                                        std::to_string(layer.volume_id) + ", layer " + std::to_string(layer.layer_id) +
                                        " is there twice");
    }
  }
  config.finish();
  return detector;
}

}  // namespace starling
