#include "starling/simulate.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "random/random.h"
#include "simulate/generator.h"
#include "simulate/settings.h"
#include "simulate/tracker.h"
#include "starling/error.h"

namespace starling {

namespace simulate {
namespace {

/// Hits that no particle made: evenly spread over the modules, as in TrackML's events.
void add_noise(const Detector& detector, const SimulationSettings& settings, std::uint64_t event,
               const Tracker& tracker, std::vector<SimulatedHit>& hits) {
  for (std::size_t i = 0; i < detector.layers.size(); ++i) {
    const auto layer = static_cast<std::int32_t>(i);
    Random random = stream(settings, event, Purpose::noise, i);
    const double mean = settings.noise * detector.layers[i].noise * tracker.modules(layer);
    for (int left = random.poisson(mean); left > 0; --left) hits.push_back(tracker.noise_hit(layer, random));
  }
}

/// The hits in the order of TrackML's files: by volume, layer and module.
void fill_event(const Detector& detector, std::vector<SimulatedHit>& hits, Event& event) {
  const auto key = [&](const SimulatedHit& hit) {
    const DetectorLayer& layer = detector.layers[static_cast<std::size_t>(hit.layer)];
    return static_cast<std::uint64_t>(layer.volume_id) << 44 | static_cast<std::uint64_t>(layer.layer_id) << 24 |
           static_cast<std::uint64_t>(hit.module);
  };
  std::vector<std::pair<std::uint64_t, std::int32_t>> order(hits.size());
  for (std::size_t i = 0; i < hits.size(); ++i) order[i] = {key(hits[i]), static_cast<std::int32_t>(i)};
  std::sort(order.begin(), order.end());

  Hits& out = event.hits;
  Truth& truth = event.truth.emplace();
  for (auto* column : {&out.x, &out.y, &out.z}) column->reserve(hits.size());
  for (auto* column : {&out.volume_id, &out.layer_id, &out.module_id}) column->reserve(hits.size());
  out.hit_id.resize(hits.size());
  std::iota(out.hit_id.begin(), out.hit_id.end(), std::int64_t{1});
  truth.particle_id.reserve(hits.size());
  for (const auto& entry : order) {
    const SimulatedHit& hit = hits[static_cast<std::size_t>(entry.second)];
    const DetectorLayer& layer = detector.layers[static_cast<std::size_t>(hit.layer)];
    out.x.push_back(hit.x);
    out.y.push_back(hit.y);
    out.z.push_back(hit.z);
    out.volume_id.push_back(layer.volume_id);
    out.layer_id.push_back(layer.layer_id);
    out.module_id.push_back(hit.module);
    truth.particle_id.push_back(hit.particle_id);
  }
}

}  // namespace
}  // namespace simulate

Event simulate_event(const Detector& detector, const SimulationSettings& settings, std::uint64_t event_number) {
  using namespace simulate;
  check_settings(settings, "");
  if (detector.layers.empty()) throw Error(ErrorKind::usage, "simulation: the detector has no layers");

  Event event;
  std::string digits = std::to_string(event_number);
  if (digits.size() < 9) digits.insert(0, 9 - digits.size(), '0');
  event.name = "event" + digits;
  std::vector<SimulatedHit> hits;

  const Tracker tracker(detector, settings.max_turn, settings.overlaps);
  Generator generator(settings, tracker, event_number, event.particles.emplace(), hits);
  Random random = stream(settings, event_number, Purpose::event);
  const Range pileup = settings.pileup;
  const double mean = pileup.low == pileup.high ? pileup.low : random.uniform(pileup.low, pileup.high);
  const int collisions = 1 + random.poisson(mean);
  for (int number = 0; number < collisions; ++number) generator.collision(number);
  add_noise(detector, settings, event_number, tracker, hits);
  fill_event(detector, hits, event);
  return event;
}

}  // namespace starling
