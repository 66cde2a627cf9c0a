#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "starling/error.h"
#include "starling/neighbors.h"

namespace {

using namespace starling;

/// One line that says that CUDA is not built in.
template <typename Action>
void expect_device_error(const Action& action) {
  try {
    action();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_THAT(error.what(), testing::HasSubstr("device 'cuda': this Starling was built without CUDA"));
  }
}

TEST(NeighborsWithoutCuda, AreADeviceError) {
  const float points[] = {1, 2, 3, 4};
  NeighborSearch<float> search;
  search.points = points;
  search.num_points = 2;
  search.dimensions = 2;
  search.max_radius = 1;
  const Execution execution{.device = Device::cuda};
  expect_device_error([&] { knn_workspace_bytes(search, 1, execution); });
  expect_device_error([&] { knn<float>(search, 1, nullptr, nullptr, {}, execution); });
  expect_device_error([&] { radius_workspace_bytes(search, execution); });
  expect_device_error([&] { radius_count<float>(search, 1, nullptr, nullptr, {}, execution); });
  expect_device_error([&] { radius_fill<float>(search, nullptr, nullptr, nullptr, {}, execution); });
  NeighborLists<float> lists;
  lists.points = points;
  lists.dimensions = 2;
  expect_device_error([&] { distance_gradient_workspace_bytes(lists, execution); });
  expect_device_error([&] { distance_gradient<float>(lists, nullptr, nullptr, nullptr, {}, execution); });
  expect_device_error([&] { distance_tangent<float>(lists, nullptr, nullptr, nullptr, execution); });
}

}  // namespace
