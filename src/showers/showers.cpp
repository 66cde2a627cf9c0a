#include "starling/showers.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "showers/cells.h"
#include "showers/deposits.h"
#include "showers/electromagnetic.h"
#include "showers/hadrons.h"
#include "showers/particles.h"
#include "showers/settings.h"
#include "starling/error.h"

namespace starling {

namespace showers {
namespace {

/// What one particle, or noise, left in a cell.
struct Part {
  CellKey cell;
  std::int32_t particle;  ///< −1 = noise
  double mips, time_mips;
};

void shower(const ShowerDetector& detector, Particle& particle, Deposits& deposits) {
  const Depth front;
  switch (std::abs(particle.pdg)) {
    case 22:
      return electromagnetic_shower(detector, particle.line, front, particle.energy, Shower::photon, particle.random,
                                    deposits);
    case 11:
      return electromagnetic_shower(detector, particle.line, front, particle.energy, Shower::electron, particle.random,
                                    deposits);
    case 13:
      return muon_track(detector, particle.line, particle.energy, particle.random, deposits);
    default:
      return hadron_shower(detector, particle.line, front, particle.energy, particle.pdg != 130, particle.random,
                           deposits);
  }
}

/// Hits that no particle made: evenly spread over the cells.
void add_noise(const ShowerDetector& detector, const ShowerSettings& settings, std::uint64_t event, const Cells& cells,
               std::vector<Part>& parts) {
  const CalorimeterReadout& readout = detector.readout;
  std::vector<double> upto;  // numbers of cells, summed
  double sum = 0;
  for (const Cells::Group& group : cells.groups()) {
    sum += (group.outer_radius * group.outer_radius - group.inner_radius * group.inner_radius) / group.area;
    upto.push_back(sum);
  }
  const double mean = settings.noise * readout.noise_hits * settings.max_abs_phi / std::numbers::pi;
  for (int endcap = 0; endcap < settings.endcaps; ++endcap) {
    Random random = stream(settings, event, Purpose::noise, static_cast<std::uint64_t>(endcap));
    for (int left = random.poisson(mean); left > 0; --left) {
      const auto found = std::upper_bound(upto.begin(), upto.end() - 1, sum * random.uniform());
      const Cells::Group& group = cells.groups()[static_cast<std::size_t>(found - upto.begin())];
      const double inner = group.inner_radius * group.inner_radius, outer = group.outer_radius * group.outer_radius;
      const double radius = std::sqrt(random.uniform(inner, outer));
      const double phi = random.uniform(-settings.max_abs_phi, settings.max_abs_phi);
      const double mips = readout.threshold + readout.noise_energy * random.exponential();
      const double time = random.uniform(0, readout.time_window);
      const CellKey cell = cells.find(group.layer, endcap == 1, radius * std::cos(phi), radius * std::sin(phi));
      if (cell != kNoCell) parts.push_back({cell, -1, mips, mips * time});
    }
  }
}

/// The hits, and which parts made each.
struct Readout {
  CalorimeterHits hits;
  std::vector<std::size_t> first, end;  ///< per hit, into the sorted parts
  std::vector<double> mips;             ///< deposited, per hit
};

Readout read_out(const ShowerDetector& detector, const ShowerSettings& settings, std::uint64_t event,
                 const Cells& cells, const std::vector<Part>& parts) {
  const CalorimeterReadout& readout = detector.readout;
  Readout out;
  CalorimeterHits& hits = out.hits;
  std::size_t end = 0;
  for (std::size_t begin = 0; begin < parts.size(); begin = end) {
    const CellKey cell = parts[begin].cell;
    double mips = 0, time = 0;
    bool only_noise = true;
    for (end = begin; end < parts.size() && parts[end].cell == cell; ++end) {
      mips += parts[end].mips;
      time += parts[end].time_mips;
      only_noise &= parts[end].particle < 0;
    }
    double measured = mips;
    Random random(settings.seed, event, static_cast<std::uint64_t>(Purpose::electronics) << 56 | cell);
    if (!only_noise) measured += readout.noise * random.normal();
    if (!(measured >= readout.threshold) || mips <= 0) continue;
    const std::int32_t layer = Cells::layer_of(cell);
    const CalorimeterLayer& geometry = detector.layers[static_cast<std::size_t>(layer)];
    const Cells::Place place = cells.center(cell);
    hits.x.push_back(static_cast<float>(place.x));
    hits.y.push_back(static_cast<float>(place.y));
    hits.z.push_back(static_cast<float>(Cells::is_back(cell) ? -geometry.position : geometry.position));
    hits.energy.push_back(static_cast<float>(measured * geometry.mip_energy));
    const double sigma = std::hypot(readout.time_constant, readout.time_noise / measured);
    hits.time.push_back(static_cast<float>(time / mips + sigma * random.normal()));
    hits.layer.push_back(layer + 1);
    out.first.push_back(begin);
    out.end.push_back(end);
    out.mips.push_back(mips);
  }
  hits.hit_id.resize(hits.x.size());
  std::iota(hits.hit_id.begin(), hits.hit_id.end(), std::int64_t{1});
  return out;
}

/// Which particles leave enough to be found.
std::vector<bool> find_objects(const ShowerSettings& settings, const std::vector<Particle>& particles,
                               const std::vector<Part>& parts, const Readout& readout) {
  std::vector<double> visible(particles.size());
  std::vector<std::int32_t> dominated(particles.size());
  for (std::size_t hit = 0; hit < readout.first.size(); ++hit) {
    double most = 0;
    std::int32_t dominant = -1;
    for (std::size_t i = readout.first[hit]; i < readout.end[hit]; ++i) {
      const Part& part = parts[i];
      if (part.particle >= 0) {
        visible[static_cast<std::size_t>(part.particle)] +=
            part.mips / readout.mips[hit] * static_cast<double>(readout.hits.energy[hit]);
      }
      if (part.mips > most) {
        most = part.mips;
        dominant = part.particle;
      }
    }
    if (dominant >= 0) ++dominated[static_cast<std::size_t>(dominant)];
  }
  std::vector<bool> found(particles.size());
  for (std::size_t i = 0; i < particles.size(); ++i) {
    const double least = particles[i].hard ? settings.min_visible : settings.min_pileup_visible;
    found[i] = dominated[i] >= settings.min_hits && visible[i] >= least;
  }
  return found;
}

void fill_truth(const ShowerDetector& detector, const std::vector<Particle>& particles, const std::vector<bool>& found,
                const std::vector<Part>& parts, const Readout& readout, CalorimeterEvent& event) {
  Showers& showers = event.showers.emplace();
  std::vector<std::int32_t> index(particles.size(), -1);
  for (std::size_t i = 0; i < particles.size(); ++i) {
    if (!found[i]) continue;
    const Particle& particle = particles[i];
    index[i] = showers.size();
    showers.shower_id.push_back(showers.size() + 1);
    showers.energy.push_back(static_cast<float>(particle.energy));
    const Line front = particle.line.at(detector.layers.front().position);
    const double eta = std::asinh(front.z / std::hypot(front.x, front.y));
    showers.eta.push_back(static_cast<float>(particle.line.back ? -eta : eta));
    showers.phi.push_back(static_cast<float>(std::atan2(front.y, front.x)));
    showers.pdg.push_back(particle.pdg);
    showers.hard.push_back(particle.hard ? 1 : 0);
  }
  ShowerTruth& truth = event.truth.emplace();
  for (std::size_t hit = 0; hit < readout.first.size(); ++hit) {
    for (std::size_t i = readout.first[hit]; i < readout.end[hit]; ++i) {
      const std::int32_t object = parts[i].particle < 0 ? -1 : index[static_cast<std::size_t>(parts[i].particle)];
      if (object < 0) continue;
      truth.shower.push_back(object);
      truth.fraction.push_back(static_cast<float>(parts[i].mips / readout.mips[hit]));
    }
    truth.row_splits.push_back(static_cast<std::int32_t>(truth.shower.size()));
  }
}

}  // namespace
}  // namespace showers

CalorimeterEvent simulate_showers(const ShowerDetector& detector, const ShowerSettings& settings,
                                  std::uint64_t event_number) {
  using namespace showers;
  check_settings(settings, "");
  check_detector(detector);

  std::vector<Particle> particles = draw_particles(settings, event_number);
  const Cells cells(detector);
  Deposits deposits(cells);
  std::vector<Part> parts;
  for (std::size_t i = 0; i < particles.size(); ++i) {
    deposits.clear();
    shower(detector, particles[i], deposits);
    for (const Deposits::Entry& entry : deposits.entries()) {
      parts.push_back({entry.cell, static_cast<std::int32_t>(i), entry.mips, entry.time_mips});
    }
  }
  add_noise(detector, settings, event_number, cells, parts);
  // By cell, in a cell by particle, noise last.
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return a.cell != b.cell ? a.cell < b.cell
                            : static_cast<std::uint32_t>(a.particle) < static_cast<std::uint32_t>(b.particle);
  });

  CalorimeterEvent event;
  std::string digits = std::to_string(event_number);
  if (digits.size() < 9) digits.insert(0, 9 - digits.size(), '0');
  event.name = "event" + digits;
  Readout readout = read_out(detector, settings, event_number, cells, parts);
  fill_truth(detector, particles, find_objects(settings, particles, parts, readout), parts, readout, event);
  event.hits = std::move(readout.hits);
  return event;
}

}  // namespace starling
