#include <algorithm>
#include <cmath>
#include <string>

#include "numbers/numbers.h"
#include "showers/cells.h"
#include "showers/settings.h"
#include "starling/error.h"
#include "starling/showers.h"

namespace starling {
namespace showers {
namespace {

constexpr double kFar = 1e5;  ///< mm

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::usage, message); }

// Calls use(key, value, least, most) for the numbers of a section.
template <class Model, class Use>
void for_each_number_electromagnetic(Model& model, const Use& use) {
  use("critical_energy", model.critical_energy, 1e-4, 1.);
  use("atomic_number", model.atomic_number, 1., 100.);
  use("sampling", model.sampling, 0., 10.);
  use("sampling_depth", model.sampling_depth, 1e-3, 100.);
}

template <class Model, class Use>
void for_each_number_hadrons(Model& model, const Use& use) {
  use("step", model.step, 1e-3, 100.);
  use("generations", model.generations, 1, 20);
  use("least_energy", model.least_energy, 0.05, 100.);
  use("secondaries", model.secondaries, 0., 10.);
  use("share_shape", model.share_shape, 0.05, 100.);
  use("neutral_pions", model.neutral_pions, 0., 1.);
  use("charged", model.charged, 0., 1.);
  use("transverse_momentum", model.transverse_momentum, 0., 10.);
  use("invisible", model.invisible, 0., 1.);
  use("invisible_spread", model.invisible_spread, 0., 1.);
  use("nuclear", model.nuclear, 0., 1.);
  use("nuclear_mips", model.nuclear_mips, 0.1, 100.);
  use("nuclear_radius", model.nuclear_radius, 0., 1000.);
  use("neutrons", model.neutrons, 0., 100.);
  use("neutron_power", model.neutron_power, 0., 1.);
  use("neutron_radius", model.neutron_radius, 0., 1000.);
  use("neutron_delay", model.neutron_delay, 0., 1000.);
}

template <class Model, class Use>
void for_each_number_readout(Model& model, const Use& use) {
  use("threshold", model.threshold, 0., 100.);
  use("noise", model.noise, 0., 100.);
  use("noise_hits", model.noise_hits, 0., 1e6);
  use("noise_energy", model.noise_energy, 0., 100.);
  use("time_constant", model.time_constant, 0., 1000.);
  use("time_noise", model.time_noise, 0., 1000.);
  use("time_window", model.time_window, 0., 1000.);
}

/// Calls use(section, key, value, least, most) for every number but those of the layers.
template <class Detector, class Use>
void for_each_detector_number(Detector& detector, const Use& use) {
  const auto within = [&](const char* section) {
    return [&use, section](const char* key, auto& value, auto least, auto most) {
      use(std::string(section) + "." + key, value, least, most);
    };
  };
  for_each_number_electromagnetic(detector.electromagnetic, within("electromagnetic"));
  for_each_number_hadrons(detector.hadrons, within("hadrons"));
  for_each_number_readout(detector.readout, within("readout"));
}

/// The regions of cells that a section lists.
std::vector<CellRegion> read_cells(Config& config, const std::string& prefix, double inner_radius) {
  std::vector<double> radii, areas;
  std::vector<std::string> shapes;
  config.get(prefix + "cell_radii", radii, 0, kFar);
  config.get(prefix + "cell_areas", areas, 0.1, 1e6);
  config.get(prefix + "cell_shapes", shapes);
  const auto refuse = [&](const std::string& key, const std::string& why) {
    fail(config.name() + ": " + prefix + key + ": " + why);
  };
  if (radii.empty() || radii.size() > kMaxRegions) {
    refuse("cell_radii", std::to_string(radii.size()) + " values, expected 1 to " + std::to_string(kMaxRegions));
  }
  if (radii.front() > inner_radius) {
    refuse("cell_radii", numbers::to_text(radii.front()) +
                             " first, expected at most inner_radius = " + numbers::to_text(inner_radius));
  }
  const std::string count = ", expected " + std::to_string(radii.size()) + ", as many as cell_radii";
  if (areas.size() != radii.size()) refuse("cell_areas", std::to_string(areas.size()) + " values" + count);
  if (shapes.size() != radii.size()) refuse("cell_shapes", std::to_string(shapes.size()) + " values" + count);
  std::vector<CellRegion> cells;
  for (std::size_t i = 0; i < radii.size(); ++i) {
    if (i > 0 && radii[i] <= radii[i - 1]) refuse("cell_radii", "expected ascending numbers");
    if (shapes[i] != "hexagon" && shapes[i] != "square") {
      refuse("cell_shapes", "\"" + shapes[i] + "\": expected one of hexagon, square");
    }
    const auto shape = shapes[i] == "hexagon" ? CellRegion::Shape::hexagon : CellRegion::Shape::square;
    cells.push_back({radii[i], areas[i], shape});
  }
  return cells;
}

void read_section(Config& config, int index, std::vector<CalorimeterLayer>& layers) {
  const std::string prefix = "section[" + std::to_string(index) + "].";
  std::vector<double> positions;
  config.get(prefix + "positions", positions, 1, kFar);
  if (positions.empty()) fail(config.name() + ": " + prefix + "positions: missing, expected at least one");
  const auto number = [&](const char* key, double low, double high) {
    double value = -1;
    config.get(prefix + key, value, low, high);
    if (value < low) fail(config.name() + ": " + prefix + key + ": missing");
    return value;
  };
  CalorimeterLayer layer;
  layer.absorber = number("absorber", 0, 1e4);
  layer.radiation_lengths = number("radiation_lengths", 1e-3, 100);
  layer.interaction_lengths = number("interaction_lengths", 1e-4, 100);
  layer.mip_energy = number("mip_energy", 1e-5, 10);
  layer.moliere_radius = number("moliere_radius", 0.1, 1000);
  layer.inner_radius = number("inner_radius", 0, kFar);
  layer.outer_radius = number("outer_radius", 1, kFar);
  if (layer.outer_radius <= layer.inner_radius) {
    fail(config.name() + ": " + prefix + "outer_radius = " + numbers::to_text(layer.outer_radius) +
         ": expected more than inner_radius = " + numbers::to_text(layer.inner_radius));
  }
  layer.cells = read_cells(config, prefix, layer.inner_radius);
  for (const double position : positions) {
    layer.position = position;
    if (!layers.empty() && position <= layers.back().position) {
      fail(config.name() + ": " + prefix + "positions: " + numbers::to_text(position) + ", expected more than " +
           numbers::to_text(layers.back().position) + ", the layer before");
    }
    layers.push_back(layer);
  }
}

}  // namespace
}  // namespace showers

ShowerDetector read_shower_detector(const std::filesystem::path& file) {
  using namespace showers;
  Config config = Config::load(file);
  ShowerDetector detector;
  std::string kind;
  config.get("kind", kind, {"calorimeter"});
  if (kind.empty()) fail(config.name() + ": kind: missing, expected \"calorimeter\"");
  config.get("name", detector.name);
  for_each_detector_number(detector, [&](const std::string& key, auto& value, auto least, auto most) {
    config.get(key, value, least, most);
  });
  const int sections = config.table_count("section");
  if (sections == 0) fail(config.name() + ": no [[section]]: expected at least one");
  for (int index = 0; index < sections; ++index) read_section(config, index, detector.layers);
  config.finish();
  check_detector(detector);
  return detector;
}

namespace showers {

void check_detector(const ShowerDetector& detector) {
  const auto refuse = [](const std::string& what, double value, const std::string& expected) {
    fail("calorimeter: " + what + " = " + numbers::to_text(value) + ": expected " + expected);
  };
  if (detector.layers.empty() || detector.layers.size() > kMaxLayers) {
    fail("calorimeter: " + std::to_string(detector.layers.size()) + " layers, expected 1 to " +
         std::to_string(kMaxLayers));
  }
  for_each_detector_number(detector, [&](const std::string& key, const auto& value, auto least, auto most) {
    if (!(value >= least && value <= most)) refuse(key, value, numbers::range("a number", least, most));
  });
  double before = 0;
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const CalorimeterLayer& layer = detector.layers[i];
    const std::string name = "layer " + std::to_string(i + 1) + ": ";
    const auto within = [&](const char* what, double value, double least, double most) {
      if (!(value >= least && value <= most)) refuse(name + what, value, numbers::range("a number", least, most));
    };
    within("position", layer.position, before, kFar);
    before = layer.position;
    within("absorber", layer.absorber, 0, layer.position);
    within("radiation_lengths", layer.radiation_lengths, 1e-3, 100);
    within("interaction_lengths", layer.interaction_lengths, 1e-4, 100);
    within("mip_energy", layer.mip_energy, 1e-5, 10);
    within("moliere_radius", layer.moliere_radius, 0.1, 1000);
    within("inner_radius", layer.inner_radius, 0, kFar);
    within("outer_radius", layer.outer_radius, 0, kFar);
    if (layer.outer_radius <= layer.inner_radius) {
      refuse(name + "outer_radius", layer.outer_radius, "more than " + numbers::to_text(layer.inner_radius));
    }
    if (layer.cells.empty() || layer.cells.size() > kMaxRegions) {
      fail("calorimeter: " + name + std::to_string(layer.cells.size()) + " regions of cells, expected 1 to " +
           std::to_string(kMaxRegions));
    }
    within("inner_radius of the first cells", layer.cells.front().inner_radius, 0, layer.inner_radius);
    for (std::size_t k = 0; k < layer.cells.size(); ++k) {
      within("area of cells", layer.cells[k].area, 0.1, 1e6);
      if (k == 0) continue;
      within("inner_radius of cells", layer.cells[k].inner_radius, 0, kFar);
      if (layer.cells[k].inner_radius <= layer.cells[k - 1].inner_radius) {
        refuse(name + "inner_radius of cells", layer.cells[k].inner_radius,
               "more than " + numbers::to_text(layer.cells[k - 1].inner_radius));
      }
    }
  }
}

}  // namespace showers
}  // namespace starling
