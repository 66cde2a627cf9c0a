#include "showers/hadrons.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "showers/electromagnetic.h"

namespace starling::showers {

namespace {

/// Moves a charged particle through the sensors of a layer. False where its energy does not last.
bool cross(const CalorimeterLayer& layer, std::int32_t index, const Line& line, double stretch, double& energy,
           Random& random, Deposits& deposits) {
  energy -= stretch * layer.mip_energy;
  if (energy <= 0) return false;
  const Line here = line.at(layer.position);
  deposits.add(index, line.back, here.x, here.y, stretch * ionisation(random), here.time);
  return true;
}

/// One cascade. A hadron of it is followed to its end before the next: the order of random numbers is that of a tree.
class Cascade {
 public:
  Cascade(const ShowerDetector& detector, Random& random, Deposits& deposits)
      : detector_(detector), model_(detector.hadrons), random_(random), deposits_(deposits) {}

  void fly(const Line& line, Depth depth, double energy, bool charged, int generation) {
    const bool interacts = energy >= model_.least_energy;
    if (!interacts && !charged) return;
    const double stretch = line.stretch();
    double way = interacts ? model_.step * random_.exponential() : 0;
    for (const auto count = static_cast<std::int32_t>(detector_.layers.size()); depth.layer < count;
         depth = {depth.layer + 1, 0}) {
      const CalorimeterLayer& layer = detector_.layers[static_cast<std::size_t>(depth.layer)];
      if (interacts) {
        const double whole = stretch * layer.interaction_lengths, left = whole * (1 - depth.part);
        if (way < left) {
          depth.part += way / whole;
          const Line vertex = line.at(layer.position - (1 - depth.part) * layer.absorber);
          interact(vertex, depth, energy, generation);
          return;
        }
        way -= left;
      }
      if (charged && !cross(layer, depth.layer, line, stretch, energy, random_, deposits_)) return;
    }
  }

 private:
  // Deposits of `mips` each, normally distributed around the line with this σ.
  void scatter(const Line& line, std::int32_t index, int count, double mips, double radius, double delay) {
    const Line here = line.at(detector_.layers[static_cast<std::size_t>(index)].position);
    for (; count > 0; --count) {
      const double x = here.x + radius * random_.normal(), y = here.y + radius * random_.normal();
      const double late = delay > 0 ? delay * random_.exponential() : 0;
      deposits_.add(index, line.back, x, y, mips * ionisation(random_), here.time + late);
    }
  }

  void interact(const Line& vertex, Depth depth, double energy, int generation) {
    const CalorimeterLayer& layer = detector_.layers[static_cast<std::size_t>(depth.layer)];
    const double invisible = std::clamp(model_.invisible + model_.invisible_spread * random_.normal(), 0.0, 1.0);
    const double nuclear = std::min(1 - invisible, model_.nuclear * 0.5 * random_.gamma(2));
    const double quantum = model_.nuclear_mips * layer.mip_energy;
    scatter(vertex, depth.layer, random_.poisson(nuclear * energy / quantum), model_.nuclear_mips,
            model_.nuclear_radius, 0);
    // Slow neutrons go as far along as across.
    for (int left = random_.poisson(model_.neutrons * std::pow(energy, model_.neutron_power)); left > 0; --left) {
      const double target = layer.position + model_.neutron_radius * random_.normal();
      std::int32_t index = depth.layer;
      const auto last = static_cast<std::int32_t>(detector_.layers.size()) - 1;
      const auto position = [&](std::int32_t i) { return detector_.layers[static_cast<std::size_t>(i)].position; };
      while (index < last && position(index) < target) ++index;
      while (index > 0 && position(index - 1) > target) --index;
      scatter(vertex, index, 1, 1, model_.neutron_radius, model_.neutron_delay);
    }

    const double left = energy * (1 - invisible - nuclear);
    if (generation + 1 >= model_.generations) {
      scatter(vertex, depth.layer, random_.poisson(left / layer.mip_energy), 1, model_.nuclear_radius, 0);
      return;
    }
    const int count = 2 + random_.poisson(model_.secondaries * std::log(std::max(1.0, energy)));
    const std::size_t first = shares_.size();
    double sum = 0;
    for (int i = 0; i < count; ++i) {
      shares_.push_back(random_.gamma(model_.share_shape));
      sum += shares_.back();
    }
    for (int i = 0; i < count; ++i) {
      const double share = sum > 0 ? shares_[first + static_cast<std::size_t>(i)] / sum : 1. / count;
      secondary(vertex, depth, left * share, generation + 1);
    }
    shares_.resize(first);
  }

  void secondary(const Line& vertex, Depth depth, double energy, int generation) {
    // A kick across the line; never further than 45 degrees of it.
    Line line = vertex;
    const double scale = model_.transverse_momentum / std::max(energy, 1e-3);
    double kick_x = scale * random_.normal(), kick_y = scale * random_.normal();
    const double size = std::hypot(kick_x, kick_y);
    if (size > 1) {
      kick_x /= size;
      kick_y /= size;
    }
    line.slope_x += kick_x * line.stretch();
    line.slope_y += kick_y * line.stretch();
    const double draw = random_.uniform();
    if (draw < model_.neutral_pions) {
      electromagnetic_shower(detector_, line, depth, energy, Shower::photon, random_, deposits_);
    } else {
      fly(line, depth, energy, draw < model_.neutral_pions + model_.charged, generation);
    }
  }

  const ShowerDetector& detector_;
  const HadronShowers& model_;
  Random& random_;
  Deposits& deposits_;
  std::vector<double> shares_;  ///< of the interactions that are under way, innermost last
};

}  // namespace

void hadron_shower(const ShowerDetector& detector, const Line& line, Depth depth, double energy, bool charged,
                   Random& random, Deposits& deposits) {
  Cascade(detector, random, deposits).fly(line, depth, energy, charged, 0);
}

void muon_track(const ShowerDetector& detector, const Line& line, double energy, Random& random, Deposits& deposits) {
  const double stretch = line.stretch();
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    if (!cross(detector.layers[i], static_cast<std::int32_t>(i), line, stretch, energy, random, deposits)) return;
  }
}

}  // namespace starling::showers
