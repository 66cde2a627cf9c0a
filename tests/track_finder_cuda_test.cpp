#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>
#include <variant>

#include "on_device.h"
#include "quantized_cases.h"
#include "starling/track_finder.h"
#include "track_finder_cases.h"

namespace starling {
namespace {

const TrackFinder& finder() {
  static const TrackFinder made = made_track_finder();
  return made;
}

class TrackFinderCudaTest : public CudaTest {};

/// The hits that are ends of the edges, each so many times, close by: many edges per hit.
Hits crowded(const Hits& hits, const EdgeListView& edges, int times) {
  std::set<std::int32_t> on_edges(edges.src.begin(), edges.src.end());
  on_edges.insert(edges.dst.begin(), edges.dst.end());
  Hits result;
  for (const std::int32_t hit : on_edges) {
    const auto i = static_cast<std::size_t>(hit);
    for (int copy = 0; copy < times; ++copy) {
      result.hit_id.push_back(static_cast<std::int64_t>(result.hit_id.size()));
      result.x.push_back(hits.x[i]);
      result.y.push_back(hits.y[i]);
      result.z.push_back(hits.z[i] + 0.01F * static_cast<float>(copy));
      result.volume_id.push_back(hits.volume_id[i]);
      result.layer_id.push_back(hits.layer_id[i]);
      result.module_id.push_back(hits.module_id[i]);
    }
  }
  return result;
}

TEST_F(TrackFinderCudaTest, AnEventWithMoreEdgesThanASessionHasRoomForIsRunAgain) {
  TrackSession host(finder()), device(finder(), Device::cuda);
  const Event event = made_event(0, 42);
  host.run(event.hits);
  const Hits hits = crowded(event.hits, host.found().edges, 8);
  const Tracks expected = host.run(hits);
  ASSERT_GT(host.found().edges.size(), 2 * hits.size());
  for (int run = 0; run < 2; ++run) {
    const Tracks found = device.run(hits);
    EXPECT_EQ(found.row_splits, expected.row_splits);
    EXPECT_EQ(found.hits, expected.hits);
    EXPECT_THAT(device.found().scores, testing::ElementsAreArray(host.found().scores));
  }
}

TEST_F(TrackFinderCudaTest, ASessionFindsTheSameTracksAsOnTheHost) {
  TrackSession host(finder()), device(finder(), Device::cuda);
  for (const double pileup : {0., 12., 3.}) {  // memory grows and is used again
    SCOPED_TRACE(pileup);
    const Event event = made_event(pileup, 40);
    const Tracks expected = host.run(event.hits), found = device.run(event.hits);
    EXPECT_GT(found.size(), 0);
    EXPECT_EQ(found.row_splits, expected.row_splits);
    EXPECT_EQ(found.hits, expected.hits);
    const TrackSession::Found of_host = host.found(), of_device = device.found();
    EXPECT_THAT(of_device.edges.src, testing::ElementsAreArray(of_host.edges.src));
    EXPECT_THAT(of_device.edges.dst, testing::ElementsAreArray(of_host.edges.dst));
    EXPECT_THAT(of_device.scores, testing::ElementsAreArray(of_host.scores));
    EXPECT_EQ(of_device.edges.num_nodes, of_host.edges.num_nodes);
    EXPECT_EQ(of_device.hits_outside, of_host.hits_outside);
  }
  EXPECT_GT(device.device_bytes(), 0U);
  EXPECT_EQ(device.run(Hits{}).size(), 0);
  EXPECT_EQ(device.found().edges.size(), 0);
}

TEST_F(TrackFinderCudaTest, ANetworkInCodesFindsTheSameTracksAsOnTheHost) {
  TrackFinder codes = finder();
  const auto& network = std::get<InteractionNetwork>(finder().network);
  for (const int bits : {8, 12}) {  // in bytes on tensor cores, and in plain integers
    SCOPED_TRACE(bits);
    const quantized_cases::Settings settings{.weight_bits = bits, .activation_bits = bits, .bias_bits = 32};
    codes.network = quantize(network, quantized_cases::learned(network, settings, 1));
    TrackSession host(codes), device(codes, Device::cuda);
    for (const double pileup : {3., 0.}) {
      const Event event = made_event(pileup, 40);
      const Tracks expected = host.run(event.hits), found = device.run(event.hits);
      EXPECT_EQ(found.row_splits, expected.row_splits);
      EXPECT_EQ(found.hits, expected.hits);
      EXPECT_THAT(device.found().scores, testing::ElementsAreArray(host.found().scores));
    }
  }
  expect_usage([&] { TrackSession(codes, Device::cuda, NumberType::half); }, "expected float32, which leaves codes");
}

TEST_F(TrackFinderCudaTest, EveryBuilderFindsTheSameTracksAsOnTheHost) {
  const Event event = made_event(3, 41);
  TrackFinder other = finder();
  for (const TrackBuilder builder : {TrackBuilder::components, TrackBuilder::junction_removal}) {
    other.cuts.builder = builder;
    const Tracks expected = TrackSession(other).run(event.hits),
                 found = TrackSession(other, Device::cuda).run(event.hits);
    EXPECT_EQ(found.row_splits, expected.row_splits);
    EXPECT_EQ(found.hits, expected.hits);
  }
}

TEST_F(TrackFinderCudaTest, ErrorsAreThoseOfTheHostAndTheNextEventGoesOn) {
  Event event = made_event(0, 1);
  const Tracks expected = TrackSession(finder()).run(event.hits);
  TrackSession session(finder(), Device::cuda);
  const auto message = [](TrackSession& of, const HitsView& hits) -> std::string {
    try {
      of.run(hits);
    } catch (const Error& error) {
      return std::to_string(error.exit_code()) + " " + error.what();
    }
    return "none";
  };
  TrackSession host(finder());
  const float y = std::exchange(event.hits.y[2], std::nanf(""));
  for (TrackSession* const each : {&session, &host}) {
    EXPECT_THAT(message(*each, event.hits),
                testing::AllOf(testing::StartsWith("3 "), testing::HasSubstr("hit 2 is n")));
  }
  EXPECT_EQ(session.found().edges.size(), 0);
  event.hits.y[2] = y;
  EXPECT_EQ(session.run(event.hits).hits, expected.hits);
  HitsView uneven = event.hits;
  uneven.layer_id = uneven.layer_id.first(3);
  EXPECT_EQ(message(session, uneven), message(host, uneven));
}

TEST_F(TrackFinderCudaTest, AnEventThatNeedsMoreMemoryThanIsFreeIsBadInputAndTheNextGoesOn) {
  const Event event = made_event(3, 2);
  const Tracks expected = TrackSession(finder()).run(event.hits);
  TrackSession session(finder(), Device::cuda);
  std::size_t left = 0, total = 0;
  expect_ok(cudaMemGetInfo(&left, &total));
  void* taken = nullptr;
  expect_ok(cudaMalloc(&taken, left - std::min<std::size_t>(left, 4 << 20)));
  try {
    session.run(event.hits);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), testing::HasSubstr("of the GPU's memory are needed"));
  }
  expect_ok(cudaFree(taken));
  EXPECT_EQ(session.run(event.hits).hits, expected.hits);
}

/// The lower form: all memory, and the stream, is lent.
struct Lent {
  OnDevice<float> x, y, z;
  OnDevice<std::int32_t> volume_id, layer_id, module_id;
  OnDevice<std::byte> model;
  TrackCudaPlan plan;
  OnDevice<HitGraphCounts> counts{1};
  OnDevice<std::int32_t> row_splits, hits, count{1};
  Stream stream;

  Lent(const TrackFinder& finder, const Hits& of, NumberType type)
      : x(of.x),
        y(of.y),
        z(of.z),
        volume_id(of.volume_id),
        layer_id(of.layer_id),
        module_id(of.module_id),
        model(TrackCudaPlan::model_bytes(finder, type)),
        plan(finder, type, model.span()),
        row_splits(of.x.size() + 1),
        hits(of.x.size()) {}

  HitsView view() const { return {x.span(), y.span(), z.span(), volume_id.span(), layer_id.span(), module_id.span()}; }
  TracksMemory tracks() const { return {row_splits.data(), hits.data(), count.data()}; }

  /// Counts, after two launches of one captured run.
  HitGraphCounts run(const HitGraphCapacity& capacity, std::vector<float>* scores = nullptr) {
    const OnDevice<std::byte> workspace(plan.workspace_bytes(view().size(), capacity));
    ScoredGraphView scored;
    replay_twice(stream, [&] {
      scored = plan.run(view(), capacity, counts.data(), tracks(), workspace.span(),
                        {.device = Device::cuda, .stream = stream});
    });
    const HitGraphCounts found = counts.get()[0];
    if (scores != nullptr) {
      scores->resize(static_cast<std::size_t>(found.edges));
      expect_ok(cudaMemcpy(scores->data(), scored.scores, scores->size() * sizeof(float), cudaMemcpyDeviceToHost));
    }
    return found;
  }

  Tracks found() const {
    const std::vector<std::int32_t> splits = row_splits.get(), all = hits.get();
    Tracks result;
    result.row_splits.assign(splits.begin(), splits.begin() + count.get()[0] + 1);
    result.hits.assign(all.begin(), all.begin() + result.row_splits.back());
    return result;
  }
};

TEST_F(TrackFinderCudaTest, WhatDoesNotFitIsSaidByCountsAndNeverCut) {
  const Event event = made_event(3, 43);
  TrackSession host(finder());
  const Tracks expected = host.run(event.hits);
  const auto edges = static_cast<std::int32_t>(host.found().edges.size());
  Lent lent(finder(), event.hits, NumberType::float32);
  constexpr std::int32_t kMany = 1 << 16;

  const HitGraphCounts needed = lent.run({kMany, kMany, kMany});
  ASSERT_TRUE(fits(needed, {kMany, kMany, kMany}, event.hits.size()));
  EXPECT_EQ(needed.edges, edges);
  EXPECT_EQ(lent.found().row_splits, expected.row_splits);
  EXPECT_EQ(lent.found().hits, expected.hits);

  const HitGraphCapacity exact{needed.doublets, needed.edges, needed.triplets};
  for (std::int32_t HitGraphCapacity::*const part :
       {&HitGraphCapacity::doublets, &HitGraphCapacity::edges, &HitGraphCapacity::triplets}) {
    HitGraphCapacity less = exact;
    less.*part -= 1;
    const HitGraphCounts counts = lent.run(less);
    EXPECT_FALSE(fits(counts, less, event.hits.size()));
    EXPECT_EQ(counts.doublets, needed.doublets);
    EXPECT_EQ(lent.found().size(), 0);
  }
  lent.run(exact);
  EXPECT_EQ(lent.found().row_splits, expected.row_splits);
  EXPECT_EQ(lent.found().hits, expected.hits);
}

TEST_F(TrackFinderCudaTest, SixteenBitNumbersScoreAboutTheSame) {
  const Event event = made_event(3, 44);
  TrackSession host(finder());
  host.run(event.hits);
  const TrackSession::Found exact = host.found();
  for (const NumberType type : {NumberType::half, NumberType::bfloat16}) {
    TrackSession session(finder(), Device::cuda, type);
    EXPECT_GT(session.run(event.hits).size(), 0);
    const TrackSession::Found found = session.found();
    ASSERT_EQ(found.scores.size(), exact.scores.size());
    double largest = 0;
    for (std::size_t i = 0; i < exact.scores.size(); ++i) {
      largest = std::max(largest, std::abs(double{found.scores[i]} - double{exact.scores[i]}));
    }
    EXPECT_LT(largest, type == NumberType::half ? 0.02 : 0.1);
  }
}

TEST_F(TrackFinderCudaTest, TheLowerFormRefusesWhatItCannotDo) {
  const Event event = made_event(0, 45);
  Lent lent(finder(), event.hits, NumberType::float32);
  const HitGraphCapacity capacity{1024, 1024, 1024};
  const OnDevice<std::byte> small(lent.plan.workspace_bytes(event.hits.size(), capacity) - 1);
  const auto run = [&](Device device) {
    lent.plan.run(lent.view(), capacity, lent.counts.data(), lent.tracks(), small.span(), {.device = device});
  };
  expect_usage([&] { run(Device::cuda); }, "workspace of");
  expect_usage([&] { run(Device::cpu); }, "expected device 'cuda'");
  TrackFinder other = finder();
  std::get<InteractionNetwork>(other.network).shape.node_inputs = 3;
  expect_usage([&] { TrackSession(other, Device::cuda); }, "3 node and 6 edge features");
  expect_usage([&] { TrackCudaPlan(finder(), NumberType::float32, lent.model.span().first(64)); }, "workspace of 64");
}

}  // namespace
}  // namespace starling
