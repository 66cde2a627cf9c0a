#include "showers/particles.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace starling::showers {

namespace {

struct Vertex {
  double z, time;
};

struct Direction {
  double eta, phi;  ///< of |eta|
  bool back;
};

double draw(Range range, Random& random) {
  return range.low == range.high ? range.low : random.uniform(range.low, range.high);
}

Vertex draw_vertex(const ShowerSettings& settings, Random& random) {
  const double z = settings.vertex_sigma_z * random.normal();
  return {z, settings.vertex_sigma_time * random.normal()};
}

Line line_of(const Vertex& vertex, const Direction& direction) {
  const double slope = 1 / std::sinh(direction.eta);
  return {.z = direction.back ? -vertex.z : vertex.z,
          .slope_x = slope * std::cos(direction.phi),
          .slope_y = slope * std::sin(direction.phi),
          .time = vertex.time,
          .back = direction.back};
}

double wrapped(double phi) { return std::remainder(phi, 2 * std::numbers::pi); }

double squared_distance(const Direction& a, const Direction& b) {
  if (a.back != b.back) return std::numeric_limits<double>::infinity();
  const double eta = a.eta - b.eta, phi = wrapped(a.phi - b.phi);
  return eta * eta + phi * phi;
}

/// Draws until a direction is far enough from the others; after so many times it is the farthest of them.
constexpr int kMaxDraws = 200;

class Directions {
 public:
  Directions(const ShowerSettings& settings, Random& random) : settings_(settings), random_(random) {}

  /// One on its own.
  void single() {
    const std::size_t end = all_.size();
    all_.push_back(placed(end, [&] { return anywhere(); }));
  }

  /// `count` around a common middle.
  void group(int count) {
    const Direction middle = anywhere();
    const std::size_t end = all_.size();
    for (int i = 0; i < count; ++i) all_.push_back(placed(end, [&] { return near(middle); }));
  }

  const std::vector<Direction>& all() const { return all_; }

 private:
  Direction anywhere() {
    const double eta = random_.uniform(settings_.min_eta, settings_.max_eta);
    const double phi = random_.uniform(-settings_.max_abs_phi, settings_.max_abs_phi);
    return {eta, phi, settings_.endcaps == 2 && random_.uniform() < 0.5};
  }

  Direction near(const Direction& middle) {
    for (int draws = 0; draws < kMaxDraws; ++draws) {
      const double eta = middle.eta + settings_.group_spread * random_.normal();
      const double phi = wrapped(middle.phi + settings_.group_spread * random_.normal());
      if (eta >= settings_.min_eta && eta <= settings_.max_eta && std::abs(phi) <= settings_.max_abs_phi) {
        return {eta, phi, middle.back};
      }
    }
    return middle;
  }

  template <class Draw>
  Direction placed(std::size_t others, const Draw& draw_one) const {
    const double least = settings_.separation * settings_.separation;
    Direction best{};
    double farthest = -1;
    for (int draws = 0; draws < kMaxDraws && farthest < least; ++draws) {
      const Direction one = draw_one();
      double distance = std::numeric_limits<double>::infinity();
      for (std::size_t i = 0; i < others; ++i) distance = std::min(distance, squared_distance(one, all_[i]));
      if (distance > farthest) {
        farthest = distance;
        best = one;
      }
    }
    return best;
  }

  const ShowerSettings& settings_;
  Random& random_;
  std::vector<Direction> all_;
};

std::int32_t draw_species(const ShowerSettings& settings, Random& random) {
  const std::array<std::pair<double, std::int32_t>, 5> shares{{{settings.photons, 22},
                                                               {settings.electrons, 11},
                                                               {settings.charged_hadrons, 211},
                                                               {settings.neutral_hadrons, 130},
                                                               {settings.muons, 13}}};
  double sum = 0;
  for (const auto& [share, code] : shares) sum += share;
  double left = sum * random.uniform();
  std::int32_t species = 22;
  for (const auto& [share, code] : shares) {
    if (share == 0) continue;
    species = code;
    if ((left -= share) < 0) break;
  }
  const bool neutral = species == 22 || species == 130;
  return !neutral && random.uniform() < 0.5 ? -species : species;
}

void draw_hard(const ShowerSettings& settings, std::uint64_t event, std::vector<Particle>& particles) {
  Random random = stream(settings, event, Purpose::hard);
  const Vertex vertex = draw_vertex(settings, random);
  // Every whole number of the range is as likely.
  const int count = settings.showers.low == settings.showers.high
                        ? static_cast<int>(settings.showers.low)
                        : static_cast<int>(random.uniform(settings.showers.low, settings.showers.high + 1));
  Directions directions(settings, random);
  for (int left = static_cast<int>(std::lround(settings.grouped * count)); left > 0; left -= settings.group_size) {
    directions.group(std::min(left, settings.group_size));
  }
  while (directions.all().size() < static_cast<std::size_t>(count)) directions.single();
  for (std::size_t i = 0; i < directions.all().size(); ++i) {
    Random own = stream(settings, event, Purpose::particle, 0, i);
    const std::int32_t species = draw_species(settings, own);
    const double energy = settings.min_energy * std::pow(settings.max_energy / settings.min_energy, own.uniform());
    particles.push_back({line_of(vertex, directions.all()[i]), energy, species, true, own});
  }
}

void draw_collision(const ShowerSettings& settings, std::uint64_t event, std::uint64_t number,
                    std::vector<Particle>& particles) {
  Random random = stream(settings, event, Purpose::collision, number);
  const Vertex vertex = draw_vertex(settings, random);
  std::uint64_t member = 0;
  const double part = settings.max_abs_phi / std::numbers::pi;
  for (int endcap = 0; endcap < settings.endcaps; ++endcap) {
    for (const auto& [mean, code] : {std::pair{settings.pileup_charged, 211}, std::pair{settings.pileup_photons, 22},
                                     std::pair{settings.pileup_neutral, 130}}) {
      for (int left = random.poisson(part * mean); left > 0; --left) {
        Random own = stream(settings, event, Purpose::particle, number + 1, member++);
        const double eta = own.uniform(settings.pileup_min_eta, settings.pileup_max_eta);
        const double phi = own.uniform(-settings.max_abs_phi, settings.max_abs_phi);
        const bool photon = code == 22;
        double pt;
        if (own.uniform() < settings.pileup_tail) {
          pt = std::pow(own.uniform(), -1 / (settings.pileup_tail_power - 1));
        } else {
          pt = photon ? settings.pileup_photon_pt * own.gamma(1.6) : settings.pileup_hadron_pt * own.gamma(2);
        }
        constexpr double kBeam = 7000;  // GeV: no particle has more
        const double energy = std::min(kBeam, pt * std::cosh(eta));
        const std::int32_t species = code == 211 && own.uniform() < 0.5 ? -code : code;
        particles.push_back({line_of(vertex, {eta, phi, endcap == 1}), energy, species, false, own});
      }
    }
  }
}

}  // namespace

Random stream(const ShowerSettings& settings, std::uint64_t event, Purpose purpose, std::uint64_t group,
              std::uint64_t member) {
  return {settings.seed, event, static_cast<std::uint64_t>(purpose) << 56 | group << 24 | member};
}

std::vector<Particle> draw_particles(const ShowerSettings& settings, std::uint64_t event) {
  std::vector<Particle> particles;
  draw_hard(settings, event, particles);
  Random random = stream(settings, event, Purpose::event);
  const int collisions = random.poisson(draw(settings.pileup, random));
  for (int number = 0; number < collisions; ++number) {
    draw_collision(settings, event, static_cast<std::uint64_t>(number), particles);
  }
  return particles;
}

}  // namespace starling::showers
