#include "hit_graph/window_search.h"

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "hit_graph/windows.h"

namespace starling {
namespace {

constexpr std::size_t kSignalPerCell = 1500;
constexpr double kWidestTail = 0.5, kSmallestTail = 0.0005;  // signal outside a window along one observable

float quantile(const std::vector<float>& sorted, double fraction) {
  const auto last = static_cast<double>(sorted.size() - 1);
  return sorted[static_cast<std::size_t>(std::ceil(last * fraction))];
}

}  // namespace

WindowSearch::WindowSearch(const std::vector<std::vector<Candidate>>& signal_of_group, int observables, int steps,
                           int cells)
    : observables_(observables), steps_(steps) {
  for (int k = 0; k < observables; ++k) bins_per_cell_ *= steps;
  cells_.push_back(0);
  for (const auto& signal : signal_of_group) {
    std::vector<float> cots;
    for (const auto& candidate : signal) cots.push_back(candidate.abs_cot);
    std::sort(cots.begin(), cots.end());
    const std::size_t count =
        std::clamp<std::size_t>(signal.size() / kSignalPerCell, 1, static_cast<std::size_t>(cells));
    for (std::size_t c = 1; c < count; ++c) cot_.push_back(cots[cots.size() * c / count]);
    cot_.push_back(std::numeric_limits<float>::max());
    cells_.push_back(static_cast<std::int32_t>(cot_.size()));
  }

  const std::size_t cell_count = cot_.size();
  edges_.assign(cell_count * static_cast<std::size_t>(observables * steps), 0.f);
  signal_.assign(cell_count * static_cast<std::size_t>(bins_per_cell_), 0);
  background_ = std::make_unique<std::atomic<std::int32_t>[]>(signal_.size());
  tbb::parallel_for(std::size_t{0}, signal_of_group.size(), [&](std::size_t group) {
    const auto& signal = signal_of_group[group];
    std::vector<std::int32_t> cell_of;
    for (const auto& candidate : signal) {
      cell_of.push_back(find_cell(cot_, cells_[group], cells_[group + 1], candidate.abs_cot));
    }
    for (std::int32_t cell = cells_[group]; cell < cells_[group + 1]; ++cell) {
      for (int k = 0; k < observables_; ++k) {
        std::vector<float> values;
        for (std::size_t i = 0; i < signal.size(); ++i) {
          if (cell_of[i] == cell) values.push_back(signal[i].value[static_cast<std::size_t>(k)]);
        }
        if (values.empty()) continue;
        std::sort(values.begin(), values.end());
        float* const edges = edges_.data() + (cell * observables_ + k) * steps_;
        for (int s = 0; s < steps_; ++s) {
          const double tail = kWidestTail * std::pow(kSmallestTail / kWidestTail, s / (steps_ - 1.));
          edges[s] = quantile(values, 1. - tail);
        }
      }
    }
    for (std::size_t i = 0; i < signal.size(); ++i) {
      const std::int64_t at = bin(cell_of[i], signal[i]);
      if (at >= 0) ++signal_[static_cast<std::size_t>(at)];
    }
  });
}

std::int64_t WindowSearch::bin(std::int32_t cell, const Candidate& candidate) const {
  std::int64_t at = cell;
  for (int k = 0; k < observables_; ++k) {
    const float* const edges = edges_.data() + (cell * observables_ + k) * steps_;
    const auto step = std::lower_bound(edges, edges + steps_, candidate.value[static_cast<std::size_t>(k)]) - edges;
    if (step == steps_) return -1;
    at = at * steps_ + step;
  }
  return at;
}

void WindowSearch::add_background(std::int32_t group, const Candidate& candidate) {
  const std::int32_t cell = find_cell(cot_, cells_[static_cast<std::size_t>(group)],
                                      cells_[static_cast<std::size_t>(group) + 1], candidate.abs_cot);
  const std::int64_t at = bin(cell, candidate);
  if (at >= 0) background_[static_cast<std::size_t>(at)].fetch_add(1, std::memory_order_relaxed);
}

WindowSearch::Windows WindowSearch::widest() const {
  Windows windows;
  windows.cells = cells_;
  windows.cot = cot_;
  for (int k = 0; k < observables_; ++k) {
    for (std::size_t cell = 0; cell < cot_.size(); ++cell) {
      windows.width[static_cast<std::size_t>(k)].push_back(
          edges_[(cell * static_cast<std::size_t>(observables_) + static_cast<std::size_t>(k) + 1) *
                     static_cast<std::size_t>(steps_) -
                 1]);
    }
  }
  return windows;
}

WindowSearch::Windows WindowSearch::best(double lambda, double signal_events, double background_events) const {
  Windows windows;
  windows.cells = cells_;
  windows.cot = cot_;
  const std::size_t cell_count = cot_.size();
  for (auto& width : windows.width) width.assign(cell_count, 0.f);
  tbb::parallel_for(std::size_t{0}, cell_count, [&](std::size_t cell) {
    const auto first = static_cast<std::int64_t>(cell) * bins_per_cell_;
    std::vector<double> s(static_cast<std::size_t>(bins_per_cell_)), b(s.size());
    for (std::size_t i = 0; i < s.size(); ++i) {
      s[i] = signal_[static_cast<std::size_t>(first) + i] / signal_events;
      b[i] = background_[static_cast<std::size_t>(first) + i].load(std::memory_order_relaxed) / background_events;
    }
    std::int64_t stride = 1;
    for (int k = observables_ - 1; k >= 0; --k, stride *= steps_) {  // running sums along each observable
      for (std::int64_t i = 0; i < bins_per_cell_; ++i) {
        if (i / stride % steps_ == 0) continue;
        s[static_cast<std::size_t>(i)] += s[static_cast<std::size_t>(i - stride)];
        b[static_cast<std::size_t>(i)] += b[static_cast<std::size_t>(i - stride)];
      }
    }
    std::size_t best_at = 0;
    double best_gain = 0.;
    for (std::size_t i = 0; i < s.size(); ++i) {
      const double gain = s[i] - lambda * b[i];
      if (gain > best_gain) {
        best_gain = gain;
        best_at = i;
      }
    }
    if (!(best_gain > 0.)) return;
    auto rest = static_cast<std::int64_t>(best_at);
    for (int k = observables_ - 1; k >= 0; --k, rest /= steps_) {
      windows.width[static_cast<std::size_t>(k)][cell] =
          edges_[(cell * static_cast<std::size_t>(observables_) + static_cast<std::size_t>(k)) *
                     static_cast<std::size_t>(steps_) +
                 static_cast<std::size_t>(rest % steps_)];
    }
  });
  return windows;
}

}  // namespace starling
