#include "simulate/generator.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace starling::simulate {

namespace {

using Vector = std::array<double, 3>;

double length(const Vector& v) { return std::sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2]); }

Vector isotropic(Random& random) {
  const double cosine = random.uniform(-1, 1), sine = std::sqrt(1 - cosine * cosine);
  const double phi = random.uniform(-std::numbers::pi, std::numbers::pi);
  return {sine * std::cos(phi), sine * std::sin(phi), cosine};
}

Vector momentum_of(const Particle& particle) {
  const double pt = particle.pt();
  return {pt * particle.helix.tx, pt * particle.helix.ty, pt * particle.helix.cot};
}

/// A momentum boosted from the rest frame of a particle with this momentum and mass.
Vector boosted(const Vector& rest, double rest_energy, const Vector& frame, double mass) {
  const double energy = std::hypot(length(frame), mass);
  const double along = (rest[0] * frame[0] + rest[1] * frame[1] + rest[2] * frame[2]) / mass;
  const double scale = (along / (energy / mass + 1) + rest_energy) / mass;
  return {rest[0] + scale * frame[0], rest[1] + scale * frame[1], rest[2] + scale * frame[2]};
}

}  // namespace

// Masses, lifetimes and codes: Particle Data Group.
const Generator::Species Generator::kPion{211, 1, 0.13957, 0, 1}, Generator::kKaon{321, 1, 0.49368, 0, 1},
    Generator::kProton{2212, 1, 0.93827, 0, 1}, Generator::kElectron{-11, 1, 0.000511, 0, 1},
    Generator::kKshort{310, 0, 0.49761, 26.84, 1.1}, Generator::kLambda{3122, 0, 1.11568, 78.9, 1.5},
    Generator::kNeutron{2112, 0, 0.93957, 0, 1}, Generator::kKlong{130, 0, 0.49761, 0, 1};

Random stream(const SimulationSettings& settings, std::uint64_t event, Purpose purpose, std::uint64_t group,
              std::uint64_t member) {
  return {settings.seed, event, static_cast<std::uint64_t>(purpose) << 56 | group << 24 | member};
}

Generator::Generator(const SimulationSettings& settings, const Tracker& tracker, std::uint64_t event,
                     Particles& particles, std::vector<SimulatedHit>& hits)
    : settings_(settings),
      tracker_(tracker),
      event_(event),
      particles_(particles),
      hits_(hits),
      soft_{Spectrum(settings.min_pt, settings.median_pt, settings.pt_power), 6, settings.heavy_fraction},
      hard_{Spectrum(settings.min_pt, settings.hard_median_pt, settings.hard_pt_power), 2.2,
            settings.hard_heavy_fraction} {}

void Generator::collision(int number) {
  const auto group = static_cast<std::uint64_t>(number);
  Random random = stream(settings_, event_, Purpose::collision, group);
  const Vertex vertex{settings_.vertex_sigma_xy * random.normal(), settings_.vertex_sigma_xy * random.normal(),
                      settings_.vertex_sigma_z * random.normal()};
  const bool hard = number == 0;
  // The multiplicities of soft collisions spread like a negative binomial: a Poisson number around a gamma-distributed
  // mean. Its shape is that of event 1000, collisions without any particle included.
  constexpr double kShape = 0.8;
  const double mean = hard ? settings_.hard_particles : settings_.particles / kShape * random.gamma(kShape);
  const double others = settings_.electron_fraction + settings_.strange_fraction + settings_.neutral_fraction;
  const int count = random.poisson(mean * (1 + others));
  for (int member = 0; member < count; ++member) {
    primary(vertex, hard ? hard_ : soft_, group, static_cast<std::uint64_t>(member));
  }
}

Generator::Species Generator::draw_species(Random& random) const {
  const double electrons = settings_.electron_fraction, strange = settings_.strange_fraction;
  double draw = random.uniform() * (1 + electrons + strange + settings_.neutral_fraction);
  const std::array<std::pair<double, const Species*>, 7> shares{{{0.86, &kPion},
                                                                 {0.095, &kKaon},
                                                                 {0.045, &kProton},
                                                                 {electrons, &kElectron},
                                                                 {0.65 * strange, &kKshort},
                                                                 {0.35 * strange, &kLambda},
                                                                 {0.6 * settings_.neutral_fraction, &kNeutron}}};
  for (const auto& [share, species] : shares) {
    if ((draw -= share) < 0) return *species;
  }
  return kKlong;
}

void Generator::primary(const Vertex& vertex, const Source& source, std::uint64_t collision, std::uint64_t member) {
  const std::uint64_t id = static_cast<std::uint64_t>(Purpose::particle) << 56 | collision << 24 | member;
  Random random(settings_.seed, event_, id);
  Species species = draw_species(random);
  if (species.charge != 0 && random.uniform() < 0.5) {
    species.charge = -species.charge;
    species.code = -species.code;
  }
  const double pt = species.hardness * source.spectrum.draw(random);
  // Nearly flat for soft collisions, central for the hard one.
  double eta;
  do {
    eta = random.uniform(-settings_.max_abs_eta, settings_.max_abs_eta);
  } while (random.uniform() > std::exp(-0.5 * eta * eta / (source.eta_width * source.eta_width)));
  const double phi = random.uniform(-std::numbers::pi, std::numbers::pi);

  Particle particle;
  particle.helix = {vertex.x, vertex.y, vertex.z, std::cos(phi), std::sin(phi), std::sinh(eta), 0};
  particle.momentum = pt * std::cosh(eta);
  if (species.charge != 0 && random.uniform() < source.heavy_fraction) {
    // A parent of about 2 GeV/c² with twice the momentum went some way, and gave its daughter a kick.
    constexpr double kDecayLength = 0.3, kMass = 2, kKick = 0.5;  // mm, GeV, GeV
    Helix& helix = particle.helix;
    helix.curvature = 0;
    helix.advance(kDecayLength * 2 * pt / kMass * random.exponential());
    const double turn = kKick / pt * random.normal();
    helix.turn(std::sin(turn), std::cos(turn));
  }
  transport(species, particle, id, 0, true, random);
}

void Generator::transport(const Species& species, Particle& particle, std::uint64_t stream_id, int generation,
                          bool primary, Random& random) {
  // TrackML's events show every hadron losing energy and scattering as a pion of its momentum does.
  particle.mass = std::min(species.mass, kPion.mass);
  particle.charge = species.charge;
  particle.electron = std::abs(species.code) == 11;
  if (species.decay_length > 0) {
    particle.mass = species.mass;
    decay(species, particle, stream_id, random);
    return;
  }
  std::int64_t id = 0;
  std::size_t row = 0;
  if (species.charge != 0) {
    row = particles_.particle_id.size();
    id = static_cast<std::int64_t>(row) + 1;
    const Vector momentum = momentum_of(particle);
    particles_.particle_id.push_back(id);
    particles_.vx.push_back(static_cast<float>(particle.helix.x));
    particles_.vy.push_back(static_cast<float>(particle.helix.y));
    particles_.vz.push_back(static_cast<float>(particle.helix.z));
    particles_.px.push_back(static_cast<float>(momentum[0]));
    particles_.py.push_back(static_cast<float>(momentum[1]));
    particles_.pz.push_back(static_cast<float>(momentum[2]));
    particles_.q.push_back(species.charge);
    particles_.nhits.push_back(0);
    particles_.particle_type.push_back(species.code);
    particles_.primary.push_back(primary ? 1 : 0);
  }
  const std::size_t before = hits_.size();
  const End end = tracker_.follow(particle, id, random, hits_);
  if (species.charge != 0) particles_.nhits[row] = static_cast<std::int32_t>(hits_.size() - before);
  if (end == End::interacted) interact(particle, stream_id, generation, random);
}

/// K0s → π+ π−, Λ → p π− (or its antiparticles); the decays to neutral particles leave nothing.
void Generator::decay(const Species& species, const Particle& parent, std::uint64_t stream_id, Random& random) {
  const bool lambda = species.code == kLambda.code;
  if (random.uniform() > (lambda ? 0.641 : 0.692)) return;
  const double s = species.decay_length * parent.pt() / parent.mass * random.exponential();
  const Helix& helix = parent.helix;
  const Vertex vertex{helix.x + s * helix.tx, helix.y + s * helix.ty, helix.z + s * helix.cot};
  if (!tracker_.inside(std::hypot(vertex.x, vertex.y), vertex.z)) return;

  const bool anti = random.uniform() < 0.5;
  Species first = lambda ? kProton : kPion, second = kPion;
  Species& negative = lambda && anti ? first : second;
  negative.charge = -1;
  negative.code = -negative.code;
  const double m = species.mass, sum = first.mass + second.mass, difference = first.mass - second.mass;
  const double p = std::sqrt((m * m - sum * sum) * (m * m - difference * difference)) / (2 * m);
  Vector direction = isotropic(random);
  const Vector frame = momentum_of(parent);
  for (std::uint64_t child = 0; child < 2; ++child) {
    const Species& daughter = child == 0 ? first : second;
    const double sign = child == 0 ? p : -p;
    const Vector rest{sign * direction[0], sign * direction[1], sign * direction[2]};
    const Vector momentum = boosted(rest, std::hypot(p, daughter.mass), frame, m);
    secondary(daughter, vertex, momentum.data(), stream_id, child, 1, true);
  }
}

/// A simple picture of a nuclear interaction: a leading hadron that keeps part of the momentum, ever more often above
/// 3 GeV, and slow ones in every direction, half of them protons knocked out of the nucleus. Its figures fit the
/// secondaries of event 1000.
void Generator::interact(const Particle& parent, std::uint64_t stream_id, int generation, Random& random) {
  constexpr int kMaxGeneration = 4;
  if (generation >= kMaxGeneration) return;
  const Vertex vertex{parent.helix.x, parent.helix.y, parent.helix.z};
  const Vector frame = momentum_of(parent);
  const int count = random.poisson(settings_.secondaries);
  for (int child = 0; child < count; ++child) {
    Species species = random.uniform() < 0.45 ? kProton : kPion;
    if (species.code == kPion.code && random.uniform() < 0.45) {
      species.charge = -1;
      species.code = -species.code;
    }
    Vector momentum;
    if (child == 0 && random.uniform() > std::exp(-parent.momentum / 3)) {
      const double kept = random.uniform(0.1, 0.8);
      constexpr double kKick = 0.15;  // GeV, of each component
      for (int axis = 0; axis < 3; ++axis) momentum[axis] = kept * frame[axis] + kKick * random.normal();
    } else {
      const double size = 0.15 + 0.13 * random.exponential();
      momentum = isotropic(random);
      for (double& component : momentum) component *= size;
    }
    secondary(species, vertex, momentum.data(), stream_id, static_cast<std::uint64_t>(child), generation + 1, false);
  }
}

void Generator::secondary(const Species& species, const Vertex& vertex, const double momentum[3],
                          std::uint64_t parent_stream, std::uint64_t child, int generation, bool primary) {
  const double pt = std::hypot(momentum[0], momentum[1]);
  if (pt < settings_.min_pt) return;
  // The stream of a secondary is a hash of its parent's: nothing that happens to others changes it.
  const auto words =
      random::philox({static_cast<std::uint32_t>(parent_stream), static_cast<std::uint32_t>(parent_stream >> 32),
                      static_cast<std::uint32_t>(child), 0},
                     settings_.seed);
  const std::uint64_t id = static_cast<std::uint64_t>(Purpose::secondary) << 56 |
                           (static_cast<std::uint64_t>(words[1]) << 32 | words[0]) >> 8;
  Random random(settings_.seed, event_, id);
  Particle particle;
  particle.helix = {vertex.x, vertex.y, vertex.z, momentum[0] / pt, momentum[1] / pt, momentum[2] / pt, 0};
  particle.momentum = std::sqrt(pt * pt + momentum[2] * momentum[2]);
  // A step of a micrometre says on which side of the surface it was born it flies.
  particle.helix.advance(1e-3);
  transport(species, particle, id, generation, primary, random);
}

}  // namespace starling::simulate
