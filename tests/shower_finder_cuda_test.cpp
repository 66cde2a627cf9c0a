#include <gtest/gtest.h>

#include <random>

#include "on_device.h"
#include "shower_finder_cases.h"
#include "starling/shower_finder.h"

namespace starling {
namespace {

class ShowerFinderCudaTest : public CudaTest {};

/// The hits of an event in device memory.
struct DeviceHits {
  OnDevice<float> x, y, z, energy, time;
  OnDevice<std::int32_t> layer;

  explicit DeviceHits(const CalorimeterHits& hits)
      : x(hits.x), y(hits.y), z(hits.z), energy(hits.energy), time(hits.time), layer(hits.layer) {}
  CalorimeterHitsView view() const { return {x.span(), y.span(), z.span(), energy.span(), time.span(), layer.span()}; }
};

TEST_F(ShowerFinderCudaTest, FeaturesAndPointsHaveTheSameBytesAsOnTheHost) {
  for (const int count : {0, 1, 1000}) {
    SCOPED_TRACE(count);
    const CalorimeterHits hits = made_hits(count, 3);
    const DeviceHits on_device(hits);
    for (const ShowerFeatures& features : {ShowerFeatures{}, ShowerFeatures{0.02F, 700, 20, 0.3F}}) {
      const OnDevice<float> out(static_cast<std::size_t>(count) * kShowerFeatures);
      const Stream stream;
      replay_twice(stream, [&] {
        shower_features(on_device.view(), features, out.data(), {.device = Device::cuda, .stream = stream});
      });
      EXPECT_EQ(out.get(), shower_features(hits, features));
    }
    for (const ShowerOutputs& layout : {ShowerOutputs{}, ShowerOutputs{5, 7, false, false, 3, {"a", "b"}}}) {
      std::mt19937 random(1);
      std::normal_distribution<float> normal(0, 5);
      const auto n = static_cast<std::size_t>(count), c = static_cast<std::size_t>(layout.coordinates);
      std::vector<float> outputs(n * static_cast<std::size_t>(layout.columns())), beta(n), x(n * c), scale(n);
      for (float& value : outputs) value = normal(random);
      shower_points(hits, layout, outputs.data(), {beta.data(), x.data(), scale.data()});
      const OnDevice<float> rows(outputs), device_beta(n), device_x(n * c), device_scale(n);
      const Stream stream;
      replay_twice(stream, [&] {
        shower_points(on_device.view(), layout, rows.data(), {device_beta.data(), device_x.data(), device_scale.data()},
                      {.device = Device::cuda, .stream = stream});
      });
      EXPECT_EQ(device_beta.get(), beta);
      EXPECT_EQ(device_x.get(), x);
      EXPECT_EQ(layout.scale ? device_scale.get() : scale, scale);
    }
  }
}

TEST_F(ShowerFinderCudaTest, ASessionFindsTheSameShowersAsOnTheHost) {
  ShowerFinder finder = made_finder();
  for (const CondenseAssign assign : {CondenseAssign::collect, CondenseAssign::nearest}) {
    finder.cuts.assign = assign;
    ShowerSession host(finder), device(finder, Device::cuda);
    for (const int count : {300, 0, 3000, 1, 40}) {  // memory grows and is used again
      SCOPED_TRACE(count);
      const CalorimeterHits hits = made_hits(count, 5);
      const FoundShowers expected = host.run(hits), found = device.run(hits);
      EXPECT_EQ(found.cluster, expected.cluster);
      EXPECT_EQ(found.beta, expected.beta);
      EXPECT_EQ(found.energy, expected.energy);
      EXPECT_EQ(found.x, expected.x);
      EXPECT_EQ(found.z, expected.z);
      EXPECT_EQ(found.kind, expected.kind);
      EXPECT_EQ(found.hits, expected.hits);
    }
  }
}

TEST_F(ShowerFinderCudaTest, ErrorsAreThoseOfTheHost) {
  const ShowerFinder finder = made_finder();
  ShowerSession session(finder, Device::cuda);
  CalorimeterHits hits = made_hits(30, 5);
  hits.layer.clear();
  EXPECT_THROW(session.run(hits), Error);
  hits = made_hits(30, 5);
  hits.energy[3] = -1;
  expect_usage([&] { session.run(hits); }, "energy[3]");
}

}  // namespace
}  // namespace starling
