#include "metrics/check.h"

#include <string>

#include "starling/error.h"

namespace starling {
namespace {

[[noreturn]] void refuse(const char* caller, const std::string& what) {
  throw Error(ErrorKind::usage, std::string(caller) + ": " + what);
}

void check_size(const char* caller, const char* what, std::size_t size, std::size_t expected, const char* of) {
  if (size == expected) return;
  refuse(caller, std::string(what) + " has " + std::to_string(size) + " entries, expected one for each of " +
                     std::to_string(expected) + " " + of);
}

}  // namespace

void check_event(const Event& event, const char* caller) {
  const std::size_t hits = event.hits.hit_id.size();
  if (event.truth) {
    check_size(caller, "truth.particle_id", event.truth->particle_id.size(), hits, "hits");
    if (!event.truth->weight.empty()) check_size(caller, "truth.weight", event.truth->weight.size(), hits, "hits");
  }
  if (!event.particles) return;
  const Particles& p = *event.particles;
  const auto check_column = [&](const char* name, std::size_t size) {
    if (size != 0) check_size(caller, name, size, p.particle_id.size(), "particles");
  };
  check_column("particles.vx", p.vx.size());
  check_column("particles.vy", p.vy.size());
  check_column("particles.vz", p.vz.size());
  check_column("particles.px", p.px.size());
  check_column("particles.py", p.py.size());
  check_column("particles.pz", p.pz.size());
  check_column("particles.q", p.q.size());
  check_column("particles.nhits", p.nhits.size());
  check_column("particles.particle_type", p.particle_type.size());
  check_column("particles.primary", p.primary.size());
}

void check_table(const TruthTable& truth, std::int64_t num_hits, const char* caller) {
  const std::size_t rows = truth.particle_id.size();
  check_size(caller, "truth table: hits", truth.hits.size(), rows, "particles");
  check_size(caller, "truth table: target", truth.target.size(), rows, "particles");
  check_size(caller, "truth table: pt", truth.pt.size(), rows, "particles");
  check_size(caller, "truth table: eta", truth.eta.size(), rows, "particles");
  check_size(caller, "truth table: radius", truth.radius.size(), rows, "particles");
  check_size(caller, "truth table: of_hit", truth.of_hit.size(), static_cast<std::size_t>(num_hits), "hits");
  for (std::size_t hit = 0; hit < truth.of_hit.size(); ++hit) {
    const std::int32_t row = truth.of_hit[hit];
    if (row < -2 || row >= truth.size()) {
      refuse(caller, "truth table: hit " + std::to_string(hit) + " is of row " + std::to_string(row) +
                         ", expected one of " + std::to_string(rows) + " rows, -1 or -2");
    }
  }
}

void check_labels(const EdgeTruth& truth, std::size_t num_edges, const char* caller) {
  check_size(caller, "edge truth: same_particle", truth.same_particle.size(), num_edges, "edges");
  check_size(caller, "edge truth: target", truth.target.size(), num_edges, "edges");
  check_size(caller, "edge truth: unknown", truth.unknown.size(), num_edges, "edges");
}

}  // namespace starling
