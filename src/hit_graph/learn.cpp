#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>

#include "hit_graph/doublets.h"
#include "hit_graph/layout.h"
#include "hit_graph/overlaps.h"
#include "hit_graph/triplets.h"
#include "hit_graph/window_search.h"
#include "hit_graph/windows.h"
#include "starling/error.h"
#include "starling/hit_graph.h"

namespace starling {
namespace {

constexpr double kRarest = 1e-4;   // layer pairs and triples on a smaller share of the signal are left out
constexpr int kCells = 8;          // in |cot θ|, of a pair or triple
constexpr int kDoubletSteps = 32;  // of k and z0
constexpr int kTripletSteps = 16;  // of k, d0 and bend
constexpr int kOverlapSteps = 32;  // of the distances along and across
constexpr std::int64_t kMostCounted = std::int64_t{1} << 28;  // background doublets in one event: seconds of work
constexpr int kSourceStride = 4;                              // background doublets are counted from every fourth hit

using LayerKey = std::pair<std::int32_t, std::int32_t>;
using LayerPair = std::pair<std::int32_t, std::int32_t>;

/// What one simulated event teaches: the hits of each track of interest, in order.
struct TrackPoints {
  std::vector<std::size_t> first{0};  ///< row splits
  std::vector<Point> points;
  std::vector<LayerKey> keys;
  std::vector<std::int32_t> layer;  ///< of each point, once the layers are numbered
  std::vector<LayerKey> met;        ///< layers that any hit of the event is on
  std::vector<std::pair<LayerKey, OverlapFit>> overlaps;
};

/// Pairs of hits of one particle on one layer, in different modules; `particles` in ascending order.
std::vector<std::pair<LayerKey, OverlapFit>> find_overlaps(const Event& event,
                                                           const std::vector<std::int64_t>& particles) {
  const HitsView hits = event.hits;
  struct Row {
    std::int64_t particle;
    LayerKey layer;
    std::int32_t hit;
    bool operator<(const Row& other) const {
      return std::tie(particle, layer, hit) < std::tie(other.particle, other.layer, other.hit);
    }
  };
  std::vector<Row> rows;
  for (std::int32_t i = 0; i < hits.size(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const std::int64_t particle = event.truth->particle_id[at];
    if (std::binary_search(particles.begin(), particles.end(), particle)) {
      rows.push_back({particle, {hits.volume_id[at], hits.layer_id[at]}, i});
    }
  }
  std::sort(rows.begin(), rows.end());
  std::vector<std::pair<LayerKey, OverlapFit>> overlaps;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const Row &a = rows[i - 1], &b = rows[i];
    if (a.particle != b.particle || a.layer != b.layer) continue;
    if (hits.module_id[static_cast<std::size_t>(a.hit)] == hits.module_id[static_cast<std::size_t>(b.hit)]) continue;
    overlaps.emplace_back(a.layer, fit_overlap(make_point(hits, a.hit), make_point(hits, b.hit)));
  }
  return overlaps;
}

TrackPoints find_tracks(const Event& event, const WindowSettings& settings) {
  if (!event.truth || !event.particles || event.particles->px.empty() || event.particles->py.empty()) {
    throw Error(ErrorKind::usage, "learn_windows: event " + event.name + " has no particles with momenta");
  }
  const Particles& particles = *event.particles;
  particles.check();
  std::vector<std::int64_t> wanted;
  for (std::size_t p = 0; p < particles.particle_id.size(); ++p) {
    if (std::hypot(particles.px[p], particles.py[p]) >= settings.min_pt) wanted.push_back(particles.particle_id[p]);
  }
  std::sort(wanted.begin(), wanted.end());

  TrackPoints tracks;
  const HitsView hits = event.hits;
  for (std::size_t i = 0; i < hits.x.size(); ++i) {
    const LayerKey key{hits.volume_id[i], hits.layer_id[i]};
    if (tracks.met.empty() || tracks.met.back() != key) tracks.met.push_back(key);
  }
  std::sort(tracks.met.begin(), tracks.met.end());
  tracks.met.erase(std::unique(tracks.met.begin(), tracks.met.end()), tracks.met.end());

  const Segments segments = true_segments(event);
  const auto add = [&](std::int32_t hit) {
    const auto i = static_cast<std::size_t>(hit);
    tracks.points.push_back(make_point(hits, hit));
    tracks.keys.emplace_back(hits.volume_id[i], hits.layer_id[i]);
  };
  std::vector<std::int64_t> long_enough;
  for (std::size_t s = 0; s < segments.src.size();) {
    std::size_t end = s + 1;
    while (end < segments.src.size() && segments.particle_id[end] == segments.particle_id[s]) ++end;
    const auto layers = static_cast<int>(end - s + 1);
    if (layers >= settings.min_hits && std::binary_search(wanted.begin(), wanted.end(), segments.particle_id[s])) {
      add(segments.src[s]);
      for (std::size_t k = s; k < end; ++k) add(segments.dst[k]);
      tracks.first.push_back(tracks.points.size());
      long_enough.push_back(segments.particle_id[s]);
    }
    s = end;
  }
  if (settings.overlaps) tracks.overlaps = find_overlaps(event, long_enough);
  return tracks;
}

/// Calls visit(i) for every point of a track that has `after` more points behind it.
template <class Visit>
void for_each_step(const TrackPoints& tracks, std::size_t after, Visit&& visit) {
  for (std::size_t t = 0; t + 1 < tracks.first.size(); ++t) {
    for (std::size_t i = tracks.first[t]; i + after < tracks.first[t + 1]; ++i) visit(i);
  }
}

/// Keys that hold at least a share kRarest of all counts, in ascending order.
template <class Key>
std::vector<Key> frequent(const std::map<Key, std::int64_t>& counts) {
  std::int64_t total = 0;
  for (const auto& [key, count] : counts) total += count;
  std::vector<Key> keys;
  for (const auto& [key, count] : counts) {
    if (static_cast<double>(count) >= kRarest * static_cast<double>(total)) keys.push_back(key);
  }
  return keys;
}

template <class Key>
std::int32_t find(const std::vector<Key>& keys, const Key& key) {
  const auto at = std::lower_bound(keys.begin(), keys.end(), key);
  return at != keys.end() && *at == key ? static_cast<std::int32_t>(at - keys.begin()) : -1;
}

/// An event whose hits are background.
struct Background {
  std::string event;
  Hits hits;
};

class Learner {
 public:
  Learner(const WindowSettings& settings, std::vector<TrackPoints> tracks, std::vector<Background> background,
          const std::function<void(double)>& progress)
      : settings_(settings), tracks_(std::move(tracks)), background_(std::move(background)), progress_(progress) {
    content_.min_pt = settings.min_pt;
  }

  void number_layers() {
    std::vector<LayerKey> keys;
    for (const auto& tracks : tracks_) keys.insert(keys.end(), tracks.met.begin(), tracks.met.end());
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (const auto& key : keys) {
      content_.volume_id.push_back(key.first);
      content_.layer_id.push_back(key.second);
    }
    content_.overlap_distance.assign(keys.size(), 0.f);
    content_.overlap_rphi.assign(keys.size(), 0.f);
    for (auto& tracks : tracks_) {
      for (const auto& key : tracks.keys) tracks.layer.push_back(find(keys, key));
    }
  }

  void learn_doublets() {
    std::map<LayerPair, std::int64_t> counts;
    for (const auto& tracks : tracks_) {
      for_each_step(tracks, 1, [&](std::size_t i) { ++counts[{tracks.layer[i], tracks.layer[i + 1]}]; });
    }
    const auto pairs = frequent(counts);
    if (pairs.empty()) {
      throw Error(ErrorKind::usage, "learn_windows: no track above " + std::to_string(settings_.min_pt) + " GeV in " +
                                        std::to_string(tracks_.size()) + " events");
    }
    for (const auto& [src, dst] : pairs) {
      content_.pair_src.push_back(src);
      content_.pair_dst.push_back(dst);
    }
    std::vector<std::vector<Candidate>> signal(pairs.size());
    for (const auto& tracks : tracks_) {
      for_each_step(tracks, 1, [&](std::size_t i) {
        const std::int32_t pair = find(pairs, {tracks.layer[i], tracks.layer[i + 1]});
        DoubletFit fit;
        if (pair < 0 || !fit_doublet(tracks.points[i], tracks.points[i + 1], fit)) return;
        signal[static_cast<std::size_t>(pair)].push_back(
            {{std::fabs(fit.k), std::fabs(fit.z0), 0.f}, std::fabs(fit.cot)});
      });
    }
    WindowSearch search(signal, 2, kDoubletSteps, kCells);
    use_doublets(search.widest());
    for_each_background(0.8, 0.9, [&](const HitLayout& layout) {
      std::atomic<std::int64_t> total{0};
      tbb::parallel_for(
          tbb::blocked_range<std::int32_t>(0, layout.size() / kSourceStride, 256), [&](const auto& range) {
            DoubletCandidates candidates;
            for (std::int32_t i = range.begin(); i < range.end(); ++i) {
              std::int64_t added = 0;
              for_each_doublet(
                  layout, content_, i * kSourceStride, candidates,
                  [&](std::int32_t, std::int32_t pair, const DoubletFit& fit) {
                    search.add_background(pair, {{std::fabs(fit.k), std::fabs(fit.z0), 0.f}, std::fabs(fit.cot)});
                    ++added;
                  });
              if (total.fetch_add(added, std::memory_order_relaxed) + added > kMostCounted) {
                throw Error(ErrorKind::input, "more than " + std::to_string(kMostCounted) +
                                                  " doublets from a quarter of " + std::to_string(layout.size()) +
                                                  " hits: too dense to learn from");
              }
            }
          });
    });
    use_doublets(search.best(settings_.lambda_doublets, static_cast<double>(tracks_.size()),
                             static_cast<double>(background_.size()) / kSourceStride));
  }

  void learn_triplets() {
    std::vector<LayerPair> pairs;
    for (std::size_t p = 0; p < content_.pair_src.size(); ++p) {
      pairs.emplace_back(content_.pair_src[p], content_.pair_dst[p]);
    }
    struct Sample {
      LayerPair triple;
      Candidate candidate;
    };
    std::vector<std::vector<Sample>> samples(tracks_.size());
    tbb::parallel_for(std::size_t{0}, tracks_.size(), [&](std::size_t event) {
      const TrackPoints& tracks = tracks_[event];
      for_each_step(tracks, 2, [&](std::size_t i) {
        const std::int32_t first = find(pairs, {tracks.layer[i], tracks.layer[i + 1]});
        const std::int32_t second = find(pairs, {tracks.layer[i + 1], tracks.layer[i + 2]});
        const Point &a = tracks.points[i], &b = tracks.points[i + 1], &c = tracks.points[i + 2];
        if (first < 0 || second < 0 || !passes_doublet(first, a, b) || !passes_doublet(second, b, c)) return;
        samples[event].push_back({{first, second}, triplet_candidate(a, make_step(a, b), make_step(b, c))});
      });
    });
    std::map<LayerPair, std::int64_t> counts;
    for (const auto& event : samples) {
      for (const auto& sample : event) ++counts[sample.triple];
    }
    const auto triples = frequent(counts);
    for (const auto& [first, second] : triples) {
      content_.triple_first.push_back(first);
      content_.triple_second.push_back(second);
    }
    std::vector<std::vector<Candidate>> signal(triples.size());
    for (const auto& event : samples) {
      for (const auto& sample : event) {
        const std::int32_t triple = find(triples, sample.triple);
        if (triple >= 0) signal[static_cast<std::size_t>(triple)].push_back(sample.candidate);
      }
    }
    WindowSearch search(signal, 3, kTripletSteps, kCells);
    use_triplets(search.widest());
    for_each_background(0.9, 0.99, [&](const HitLayout& layout) {
      const Doublets doublets = find_doublets(layout, content_);
      const Csr into = group_edges(doublets.dst, layout.size());
      check_candidates(layout, doublets, into);
      tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, layout.size(), 512), [&](const auto& range) {
        std::vector<TripletArm> in, out;
        for (std::int32_t b = range.begin(); b < range.end(); ++b) {
          for_each_triplet(
              layout, content_, doublets, into, b, in, out,
              [&](const TripletArm& ab, const TripletArm* first, const TripletArm* last, std::int32_t triple) {
                const Point& a = layout.points[static_cast<std::size_t>(ab.other)];
                for (const TripletArm* bc = first; bc != last; ++bc) {
                  search.add_background(triple, triplet_candidate(a, ab.step, bc->step));
                }
              });
        }
      });
    });
    use_triplets(search.best(settings_.lambda_triplets, static_cast<double>(tracks_.size()),
                             static_cast<double>(background_.size())));
  }

  void learn_overlaps() {
    std::vector<std::vector<Candidate>> signal(static_cast<std::size_t>(content_.layers()));
    for (const auto& tracks : tracks_) {
      for (const auto& [key, fit] : tracks.overlaps) {
        signal[static_cast<std::size_t>(content_.find_layer(key.first, key.second))].push_back(
            {{fit.distance, fit.rphi, 0.f}, 0.f});
      }
    }
    WindowSearch search(signal, 2, kOverlapSteps, 1);
    use_overlaps(search.widest());
    for_each_background(0.99, 1, [&](const HitLayout& layout) {
      tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, layout.size(), 1024), [&](const auto& range) {
        for (std::int32_t source = range.begin(); source < range.end(); ++source) {
          for_each_overlap(layout, content_, source, [&](std::int32_t, bool starts, const OverlapFit& fit) {
            if (!starts) return;  // every pair is met from both sides
            search.add_background(layout.layer[static_cast<std::size_t>(source)], {{fit.distance, fit.rphi, 0.f}, 0.f});
          });
        }
      });
    });
    use_overlaps(search.best(settings_.lambda_triplets, static_cast<double>(tracks_.size()),
                             static_cast<double>(background_.size())));
  }

  Windows::Content take() { return std::move(content_); }

 private:
  /// Calls visit(layout) for every background event, and reports progress between the fractions `from` and `to`. What
  /// an event is the cause of names it.
  template <class Visit>
  void for_each_background(double from, double to, const Visit& visit) const {
    for (std::size_t i = 0; i < background_.size(); ++i) {
      try {
        visit(HitLayout(background_[i].hits, content_));
      } catch (const Error& error) {
        throw Error(error.kind(), background_[i].event + ": " + error.what());
      }
      const double done = static_cast<double>(i + 1) / static_cast<double>(background_.size());
      if (progress_) progress_(from + (to - from) * done);
    }
  }

  static Candidate triplet_candidate(const Point& a, const Step& ab, const Step& bc) {
    const TripletFit fit = fit_triplet(a, ab, bc);
    return {{std::fabs(fit.k), std::fabs(fit.d0), std::fabs(fit.bend)}, triplet_cot(ab)};
  }

  bool passes_doublet(std::int32_t pair, const Point& a, const Point& b) const {
    DoubletFit fit;
    if (!fit_doublet(a, b, fit)) return false;
    const auto p = static_cast<std::size_t>(pair);
    const auto cell = static_cast<std::size_t>(
        find_cell(content_.pair_cot, content_.pair_cells[p], content_.pair_cells[p + 1], std::fabs(fit.cot)));
    return std::fabs(fit.k) <= content_.pair_k[cell] && std::fabs(fit.z0) <= content_.pair_z0[cell];
  }

  void use_doublets(WindowSearch::Windows windows) {
    content_.pair_cells = std::move(windows.cells);
    content_.pair_cot = std::move(windows.cot);
    content_.pair_k = std::move(windows.width[0]);
    content_.pair_z0 = std::move(windows.width[1]);
    content_.index();
  }

  void use_overlaps(WindowSearch::Windows windows) {
    content_.overlap_distance = std::move(windows.width[0]);
    content_.overlap_rphi = std::move(windows.width[1]);
  }

  void use_triplets(WindowSearch::Windows windows) {
    content_.triple_cells = std::move(windows.cells);
    content_.triple_cot = std::move(windows.cot);
    content_.triple_k = std::move(windows.width[0]);
    content_.triple_d0 = std::move(windows.width[1]);
    content_.triple_bend = std::move(windows.width[2]);
    content_.index();
  }

  const WindowSettings& settings_;
  std::vector<TrackPoints> tracks_;
  std::vector<Background> background_;
  const std::function<void(double)>& progress_;
  Windows::Content content_;
};

}  // namespace

Windows learn_windows(const std::function<Event(std::uint64_t)>& event, const WindowSettings& settings,
                      const std::function<void(double)>& progress) {
  if (settings.events < 1 || settings.background_events < 1 || settings.background_events > settings.events) {
    throw Error(ErrorKind::usage, "learn_windows: " + std::to_string(settings.events) + " events, " +
                                      std::to_string(settings.background_events) +
                                      " of them for background, expected 1 <= background <= events");
  }
  const auto count = static_cast<std::size_t>(settings.events);
  const auto background_count = static_cast<std::size_t>(settings.background_events);
  std::vector<TrackPoints> tracks(count);
  std::vector<Background> background(background_count);
  std::mutex reporting;
  int done = 0;
  tbb::parallel_for(std::size_t{0}, count, [&](std::size_t i) {
    Event simulated = event(i);
    tracks[i] = find_tracks(simulated, settings);
    if (i < background_count) background[i] = {simulated.name, std::move(simulated.hits)};
    if (!progress) return;
    const std::lock_guard lock(reporting);
    progress(0.8 * ++done / static_cast<double>(count));
  });
  Learner learner(settings, std::move(tracks), std::move(background), progress);
  learner.number_layers();
  learner.learn_doublets();
  learner.learn_triplets();
  if (settings.overlaps) learner.learn_overlaps();
  if (progress) progress(1.);
  return Windows(std::make_unique<const Windows::Content>(learner.take()));
}

}  // namespace starling
