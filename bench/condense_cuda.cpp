// Times the clustering of object condensation on the GPU: medians of CUDA events after warm-up, as a CUDA graph and by
// itself, and once on one core of the host, which must give the same. By default one event of 200,000 hits with 2,000
// objects in 3 dimensions.
//
//   build/release/bench/bench_condense_cuda [HITS OBJECTS]
#include <tbb/task_arena.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "cuda_timing.h"
#include "point_clouds.h"
#include "starling/condensation.h"

using namespace starling;
using namespace starling::bench;

namespace {

struct Sample {
  std::string name;
  std::vector<float> beta, x;
  std::vector<std::int32_t> row_splits;
  double t_beta, t_d;
};

constexpr int kDimensions = 3;
constexpr double kReach = 0.6;

/// Objects on a lattice of step 1, hits at most `width` from the middle in each dimension: for 0.15 each object is
/// within reach of each of its hits, and of no other's. `noise` of the hits lie anywhere.
Sample objects(std::string name, int events, int hits, int objects, double width, double noise) {
  clouds::Random random(1);
  Sample sample{std::move(name), {}, {}, {0}, 0.1, kReach};
  const auto side = static_cast<std::int64_t>(std::ceil(std::cbrt(objects)));
  for (int e = 0; e < events; ++e) {
    for (int h = 0; h < hits; ++h) {
      const std::int64_t object = random.below(objects);
      const std::int64_t at[kDimensions] = {object % side, object / side % side, object / side / side};
      const bool is_noise = random.uniform() < noise;
      for (const std::int64_t middle : at) {
        const double place = random.uniform();
        sample.x.push_back(static_cast<float>(is_noise ? place * static_cast<double>(side)
                                                       : static_cast<double>(middle) + width * (2 * place - 1)));
      }
      sample.beta.push_back(static_cast<float>(random.uniform()));
    }
    sample.row_splits.push_back(static_cast<std::int32_t>(sample.beta.size()));
  }
  return sample;
}

template <typename U>
const OnDevice<U>& upload(const std::vector<U>& values, const OnDevice<U>& to) {
  check(cudaMemcpy(to.data(), values.data(), values.size() * sizeof(U), cudaMemcpyHostToDevice));
  return to;
}

void run(const Sample& sample, CondenseAssign assign, const Timer& timer) {
  const std::size_t n = sample.beta.size(), events = sample.row_splits.size() - 1;
  const CondenseOptions options{sample.t_beta, sample.t_d, assign};
  CondenseHits<float> hits{
      sample.beta.data(),       sample.x.data(), static_cast<std::int32_t>(n), kDimensions, sample.row_splits.data(),
      static_cast<int>(events), nullptr};
  std::vector<std::int32_t> id(n), point(n), num_points(events);
  std::vector<std::byte> memory(condense_workspace_bytes(hits, options));
  const auto start = std::chrono::steady_clock::now();
  tbb::task_arena(1).execute([&] { condense(hits, options, {id.data(), point.data(), num_points.data()}, memory); });
  const std::chrono::duration<double, std::milli> host = std::chrono::steady_clock::now() - start;

  const OnDevice<float> beta(n), x(sample.x.size());
  const OnDevice<std::int32_t> splits(events + 1), out(2 * n), counts(events), bad_row(1);
  hits.beta = upload(sample.beta, beta).data();
  hits.x = upload(sample.x, x).data();
  hits.row_splits = upload(sample.row_splits, splits).data();
  const Execution execution = timer.on_stream(bad_row.data());
  const OnDevice<std::byte> workspace(condense_workspace_bytes(hits, options, execution));
  const auto on_device = [&] {
    condense(hits, options, {out.data(), out.data() + n, counts.data()}, workspace.span(), execution);
  };
  const auto alone = timer.run(25, on_device), graph = timer.run_graph(25, on_device);
  std::vector<std::int32_t> found(n);
  check(cudaMemcpy(found.data(), out.data(), n * sizeof(std::int32_t), cudaMemcpyDeviceToHost));
  std::int64_t points = 0;
  for (const std::int32_t count : num_points) points += count;
  std::printf(
      "%-40s %-7s %7zu hits, %5zu events, %6lld points: %7.3f ms, as a graph %7.3f, one core %7.1f, %s; %.1f MB\n",
      sample.name.c_str(), assign == CondenseAssign::collect ? "collect" : "nearest", n, events,
      static_cast<long long>(points), alone[12], graph[12], host.count(), found == id ? "equal" : "NOT EQUAL",
      static_cast<double>(workspace.span().size()) / 1e6);
}

}  // namespace

int main(int argc, char** argv) {
  const int hits = argc > 1 ? std::atoi(argv[1]) : 200'000, count = argc > 2 ? std::atoi(argv[2]) : 2'000;
  const Timer timer;
  std::vector<Sample> samples;
  samples.push_back(objects("any beta", 1, hits, count, 0.15, 0));
  samples.push_back(samples.back());
  samples.back().name = "trained: one hit in 20 above t_beta";
  for (float& beta : samples.back().beta) beta *= beta * beta;
  samples.back().t_beta = std::pow(0.95, 3);
  samples.push_back(objects("t_beta 0, 5 % noise", 1, hits, count, 0.15, 0.05));
  samples.back().t_beta = 0;
  samples.push_back(objects("hits of an object at one place", 1, hits, count, 0, 0));
  samples.push_back(objects("many events", std::max(1, hits / 200), 200, 4, 0.15, 0.05));
  samples.push_back(objects("ten events", 10, hits / 10, count / 10, 0.15, 0.05));
  samples.push_back(objects("nearly every hit a point", 1, hits, count, 0.15, 0));
  samples.back().t_d = 1e-6;
  samples.back().t_beta = 0;
  for (const Sample& sample : samples) {
    for (const CondenseAssign assign : {CondenseAssign::collect, CondenseAssign::nearest}) run(sample, assign, timer);
  }
}
