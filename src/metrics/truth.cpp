#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

#include "metrics/check.h"
#include "starling/error.h"
#include "starling/metrics.h"

namespace starling {
namespace {

constexpr std::int32_t kElectron = 11;  // PDG code

// Decides for one row of the particles file; columns that the file lacks are empty and their cuts skipped.
class Selection {
 public:
  Selection(const Particles& particles, const TargetCuts& cuts, std::vector<std::string>& skipped)
      : particles_(particles), cuts_(cuts) {
    const auto use = [&](bool wanted, bool there, const char* message) {
      if (wanted && !there) skipped.emplace_back(message);
      return wanted && there;
    };
    momentum_ = !particles.px.empty() && !particles.py.empty() && !particles.pz.empty();
    vertex_ = !particles.vx.empty() && !particles.vy.empty();
    use_pt_ = use(cuts.min_pt > 0, momentum_, "min_pt: no columns px, py, pz");
    use_eta_ = use(std::isfinite(cuts.max_abs_eta), momentum_, "max_abs_eta: no columns px, py, pz");
    use_radius_ = use(std::isfinite(cuts.max_radius), vertex_, "max_radius: no columns vx, vy");
    use_primary_ = use(cuts.primary, !particles.primary.empty(), "primary: no such column");
    use_type_ = use(cuts.no_electrons, !particles.particle_type.empty(), "no_electrons: no column particle_type");
  }

  bool has_momentum() const { return momentum_; }
  bool has_vertex() const { return vertex_; }
  double pt(std::size_t row) const { return std::hypot(double{particles_.px[row]}, double{particles_.py[row]}); }
  double eta(std::size_t row) const { return std::asinh(double{particles_.pz[row]} / pt(row)); }
  double radius(std::size_t row) const { return std::hypot(double{particles_.vx[row]}, double{particles_.vy[row]}); }

  bool passes(std::size_t row) const {
    if (use_pt_ && !(pt(row) >= cuts_.min_pt)) return false;
    if (use_eta_ && !(std::abs(eta(row)) <= cuts_.max_abs_eta)) return false;
    if (use_radius_ && !(radius(row) <= cuts_.max_radius)) return false;
    if (use_primary_ && particles_.primary[row] != 1) return false;
    if (use_type_ && std::abs(particles_.particle_type[row]) == kElectron) return false;
    return true;
  }

 private:
  const Particles& particles_;
  const TargetCuts& cuts_;
  bool momentum_, vertex_, use_pt_, use_eta_, use_radius_, use_primary_, use_type_;
};

}  // namespace

TruthTable truth_table(const Event& event, const TargetCuts& cuts) {
  if (!event.truth) throw Error(ErrorKind::input, event.name + ": has no truth (neither a truth nor a tracks file)");
  check_event(event, "truth_table");
  const std::vector<std::int64_t>& id_of_hit = event.truth->particle_id;
  TruthTable table;
  table.min_hits = cuts.min_hits;

  table.particle_id = id_of_hit;
  std::erase_if(table.particle_id, [](std::int64_t id) { return id == kNoise || id == kUnknown; });
  std::sort(table.particle_id.begin(), table.particle_id.end());
  table.particle_id.erase(std::unique(table.particle_id.begin(), table.particle_id.end()), table.particle_id.end());
  const auto row_of = [&](std::int64_t id) {
    const auto place = std::lower_bound(table.particle_id.begin(), table.particle_id.end(), id);
    if (place == table.particle_id.end() || *place != id) return -1;
    return static_cast<std::int32_t>(place - table.particle_id.begin());
  };

  const std::size_t rows = table.particle_id.size();
  table.hits.assign(rows, 0);
  table.of_hit.reserve(id_of_hit.size());
  for (const std::int64_t id : id_of_hit) {
    const std::int32_t row = id == kNoise ? -1 : id == kUnknown ? -2 : row_of(id);
    table.of_hit.push_back(row);
    if (row >= 0) ++table.hits[row];
  }

  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  table.pt.assign(rows, kNaN);
  table.eta.assign(rows, kNaN);
  table.radius.assign(rows, kNaN);
  table.target.assign(rows, cuts.all || !event.particles);
  std::vector<std::string> skipped;
  if (event.particles) {
    event.particles->check();
    const Selection selection(*event.particles, cuts, skipped);
    for (std::size_t i = 0; i < event.particles->particle_id.size(); ++i) {
      const std::int32_t row = row_of(event.particles->particle_id[i]);
      if (row < 0) continue;
      if (selection.has_momentum()) {
        table.pt[row] = static_cast<float>(selection.pt(i));
        table.eta[row] = static_cast<float>(selection.eta(i));
      }
      if (selection.has_vertex()) table.radius[row] = static_cast<float>(selection.radius(i));
      if (selection.passes(i)) table.target[row] = 1;
    }
  } else {
    skipped.emplace_back("min_pt, max_abs_eta, max_radius, primary, no_electrons: the event has no particles");
  }
  if (!cuts.all) {
    table.skipped_cuts = std::move(skipped);
    for (std::size_t row = 0; row < rows; ++row) {
      if (table.hits[row] < cuts.min_hits) table.target[row] = 0;
    }
  }
  return table;
}

}  // namespace starling
