#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

struct TrackHit {
  std::int64_t particle;
  double distance2;  ///< from the production vertex
  std::int32_t hit;

  bool operator<(const TrackHit& other) const {
    if (particle != other.particle) return particle < other.particle;
    if (distance2 != other.distance2) return distance2 < other.distance2;
    return hit < other.hit;
  }
};

/// Rows of the particles table in ascending order of particle_id.
std::vector<std::pair<std::int64_t, std::int32_t>> particle_rows(const Event& event) {
  std::vector<std::pair<std::int64_t, std::int32_t>> rows;
  if (!event.particles) return rows;
  for (std::int32_t p = 0; p < event.particles->size(); ++p) {
    rows.emplace_back(event.particles->particle_id[static_cast<std::size_t>(p)], p);
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

Segments true_segments(const Event& event) {
  Segments segments;
  if (!event.truth) return segments;
  const auto& ids = event.truth->particle_id;
  const HitsView hits = event.hits;
  if (ids.size() != static_cast<std::size_t>(hits.size())) {
    throw Error(ErrorKind::usage, "true_segments: truth has " + std::to_string(ids.size()) + " rows for " +
                                      std::to_string(hits.size()) + " hits");
  }
  if (event.particles) event.particles->check();
  std::vector<TrackHit> ordered;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] != kNoise && ids[i] != kUnknown) ordered.push_back({ids[i], 0., static_cast<std::int32_t>(i)});
  }
  std::sort(ordered.begin(), ordered.end());

  const auto rows = particle_rows(event);
  auto row = rows.begin();
  for (auto& entry : ordered) {
    while (row != rows.end() && row->first < entry.particle) ++row;
    double vx = 0., vy = 0., vz = 0.;
    if (row != rows.end() && row->first == entry.particle) {
      const auto p = static_cast<std::size_t>(row->second);
      const auto& particles = *event.particles;
      if (!particles.vx.empty()) vx = particles.vx[p];
      if (!particles.vy.empty()) vy = particles.vy[p];
      if (!particles.vz.empty()) vz = particles.vz[p];
    }
    const auto i = static_cast<std::size_t>(entry.hit);
    const double dx = hits.x[i] - vx, dy = hits.y[i] - vy, dz = hits.z[i] - vz;
    entry.distance2 = dx * dx + dy * dy + dz * dz;
  }
  std::sort(ordered.begin(), ordered.end());

  std::vector<std::int64_t> layers;  // of the particle at hand, those met so far
  std::int32_t last = -1;
  for (std::size_t k = 0; k < ordered.size(); ++k) {
    const auto i = static_cast<std::size_t>(ordered[k].hit);
    if (k == 0 || ordered[k].particle != ordered[k - 1].particle) {
      layers.clear();
      last = -1;
    }
    const auto layer = (static_cast<std::int64_t>(hits.volume_id[i]) << 32) + hits.layer_id[i];
    if (std::find(layers.begin(), layers.end(), layer) != layers.end()) continue;
    layers.push_back(layer);
    if (last >= 0) {
      segments.src.push_back(last);
      segments.dst.push_back(ordered[k].hit);
      segments.particle_id.push_back(ordered[k].particle);
    }
    last = ordered[k].hit;
  }
  return segments;
}

}  // namespace starling
