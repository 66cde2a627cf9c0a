#include "starling/detector.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "starling/config.h"
#include "starling/error.h"

namespace starling {

namespace {

/// Reads the keys of one table, "volume[3].".
class Table {
 public:
  Table(Config& config, const std::string& name, int index)
      : config_(config), prefix_(name + "[" + std::to_string(index) + "].") {}

  double number(const char* key, double low, double high, double value = 0) {
    config_.get(prefix_ + key, value, low, high);
    return value;
  }
  int integer(const char* key, int low, int high, int value) {
    config_.get(prefix_ + key, value, low, high);
    return value;
  }
  std::string word(const char* key, const std::vector<std::string>& choices) {
    std::string value;
    config_.get(prefix_ + key, value, choices);
    if (value.empty()) reject(key, "missing");
    return value;
  }
  /// A list of `count` values; of any length but 0 where `count` is 0.
  std::vector<double> list(const char* key, double low, double high, std::size_t count) {
    std::vector<double> values;
    config_.get(prefix_ + key, values, low, high);
    if (values.empty() || (count != 0 && values.size() != count)) {
      reject(key, std::to_string(values.size()) + " values, expected " +
                      (count == 0 ? "at least one" : std::to_string(count)));
    }
    return values;
  }
  std::vector<std::int32_t> counts(const char* key, int low, int high, std::size_t count) {
    std::vector<std::int32_t> whole;
    for (const double value : list(key, low, high, count)) {
      if (value != std::floor(value)) reject(key, std::to_string(value) + ", expected a whole number");
      whole.push_back(static_cast<std::int32_t>(value));
    }
    return whole;
  }
  [[noreturn]] void reject(const char* key, const std::string& why) const {
    throw Error(ErrorKind::usage, config_.name() + ": " + prefix_ + key + ": " + why);
  }

 private:
  Config& config_;
  std::string prefix_;
};

constexpr double kFar = 1e5;          ///< mm
constexpr int kMaxModules = 100'000;  ///< of one ring

std::vector<DetectorLayer> read_barrel(Table& table, const std::vector<double>& positions, double half_length) {
  const auto modules = table.counts("modules_phi", 1, kMaxModules, positions.size());
  const int rings = table.integer("modules_z", 1, kMaxModules, 1);
  const double distance = table.number("module_distance_z", 0, kFar);
  const double half_width = table.number("half_width", 1e-3, kFar, 1e-3);
  const double tilt = table.number("tilt", -1.5, 1.5);
  const double offset = table.number("ring_offset", 0, kFar);
  std::vector<DetectorLayer> layers(positions.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].shape = DetectorLayer::Shape::barrel;
    layers[i].tilt = tilt;
    if (positions[i] <= offset + half_width) table.reject("positions", "a radius inside its own modules");
    for (int ring = 0; ring < rings; ++ring) {
      layers[i].rings.push_back({.center = (ring - 0.5 * (rings - 1)) * distance,
                                 .offset = ring % 2 == 0 ? offset : -offset,
                                 .half_length = half_length,
                                 .half_width_low = half_width,
                                 .half_width_high = half_width,
                                 .modules = modules[i]});
    }
  }
  return layers;
}

std::vector<DetectorLayer> read_discs(Table& table, const std::vector<double>& positions, double half_length) {
  const auto centers = table.list("ring_radii", 0, kFar, 0);
  const auto modules = table.counts("ring_modules", 1, kMaxModules, centers.size());
  const auto low = table.list("ring_half_widths_inner", 0, kFar, centers.size());
  const auto high = table.list("ring_half_widths_outer", 0, kFar, centers.size());
  const auto offsets = table.list("ring_offsets", -kFar, kFar, centers.size());
  const double stagger = table.number("stagger", 0, kFar);
  std::vector<DetectorLayer> layers(positions.size());
  for (std::size_t i = 0; i < layers.size(); ++i) {
    layers[i].shape = DetectorLayer::Shape::disc;
    // Offsets are given along |z|.
    const double side = positions[i] < 0 ? -1 : 1;
    for (std::size_t ring = 0; ring < centers.size(); ++ring) {
      if (centers[ring] <= half_length) table.reject("ring_radii", "a ring that reaches the beam line");
      layers[i].rings.push_back({.center = centers[ring],
                                 .offset = side * offsets[ring],
                                 .stagger = side * stagger,
                                 .half_length = half_length,
                                 .half_width_low = low[ring],
                                 .half_width_high = high[ring],
                                 .modules = modules[ring]});
    }
  }
  return layers;
}

std::vector<DetectorLayer> read_volume(Config& config, int index) {
  Table table(config, "volume", index);
  const int volume = table.integer("id", 0, 1 << 20, 0);
  const bool barrel = table.word("shape", {"barrel", "disc"}) == "barrel";
  const auto positions = table.list("positions", barrel ? 0 : -kFar, kFar, 0);
  const auto ids = table.counts("layers", 0, 1 << 20, positions.size());
  const double half_length = table.number("half_length", 1e-3, kFar, 1e-3);
  std::vector<DetectorLayer> layers =
      barrel ? read_barrel(table, positions, half_length) : read_discs(table, positions, half_length);

  const auto radiation = table.list("radiation_lengths", 0, 1, positions.size());
  const auto interaction = table.list("interaction_lengths", 0, 1, positions.size());
  const double rphi = table.number("resolution_rphi", 0, 100), rz = table.number("resolution_rz", 0, 100);
  const double strip = table.number("strip_length", 0, kFar);
  const double efficiency = table.number("efficiency", 0, 1, 1);
  const double incidence = table.number("max_incidence", 0, 1e9, 1e9);
  const double noise = table.number("noise", 0, 1000);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    DetectorLayer& layer = layers[i];
    layer.volume_id = volume;
    layer.layer_id = ids[i];
    layer.position = positions[i];
    layer.radiation_lengths = radiation[i];
    layer.interaction_lengths = interaction[i];
    layer.resolution_rphi = rphi;
    layer.resolution_rz = rz;
    layer.strip_length = strip;
    layer.efficiency = efficiency;
    layer.max_incidence = incidence;
    layer.noise = noise;
  }
  return layers;
}

}  // namespace

DetectorKind detector_kind(const std::filesystem::path& file) {
  Config config = Config::load(file);
  std::string kind = "tracker";
  config.get("kind", kind, {"tracker", "calorimeter"});
  return kind == "tracker" ? DetectorKind::tracker : DetectorKind::calorimeter;
}

Detector read_detector(const std::filesystem::path& file) {
  Config config = Config::load(file);
  Detector detector;
  std::string kind = "tracker";
  config.get("kind", kind, {"tracker"});
  config.get("name", detector.name);
  config.get("field", detector.field, -20, 20);
  config.get("solenoid_length", detector.solenoid_length, 0, kFar);
  config.get("solenoid_radius", detector.solenoid_radius, 0, kFar);
  std::vector<double> center;
  config.get("solenoid_center", center, -kFar, kFar);
  if (!center.empty() && center.size() != 3) {
    throw Error(ErrorKind::usage, config.name() + ": solenoid_center: " + std::to_string(center.size()) +
                                      " values, expected 3: x, y and z");
  }
  std::copy(center.begin(), center.end(), detector.solenoid_center.begin());
  for (int index = 0; index < config.table_count("cylinder"); ++index) {
    Table table(config, "cylinder", index);
    detector.cylinders.push_back({.radius = table.number("radius", 1e-3, kFar, 1e-3),
                                  .half_length = table.number("half_length", 0, kFar, kFar),
                                  .radiation_lengths = table.number("radiation_lengths", 0, 1),
                                  .interaction_lengths = table.number("interaction_lengths", 0, 1)});
  }

  const int volumes = config.table_count("volume");
  if (volumes == 0) throw Error(ErrorKind::usage, config.name() + ": no [[volume]]: expected at least one");
  std::set<std::pair<std::int32_t, std::int32_t>> seen;
  for (int index = 0; index < volumes; ++index) {
    for (DetectorLayer& layer : read_volume(config, index)) {
      if (!seen.insert({layer.volume_id, layer.layer_id}).second) {
        throw Error(ErrorKind::usage, config.name() + ": volume[" + std::to_string(index) + "]: volume " +
                                          std::to_string(layer.volume_id) + ", layer " +
                                          std::to_string(layer.layer_id) + " is there twice");
      }
      detector.layers.push_back(std::move(layer));
    }
  }
  config.finish();
  return detector;
}

}  // namespace starling
