#include <gtest/gtest.h>

#include "starling/error.h"
#include "starling/neighbors.h"

namespace {

using namespace starling;

template <typename Action>
void expect_device_error(const Action& action) {
  try {
    action();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
  }
}

TEST(NeighborsWithoutCuda, AreADeviceError) {
  const NeighborSearch<float> search;
  expect_device_error([&] { knn_cuda_workspace_bytes(search, 1); });
  expect_device_error([&] { knn_cuda<float>(search, 1, nullptr, nullptr, nullptr, {}, nullptr); });
  expect_device_error([&] { radius_cuda_workspace_bytes(search); });
  expect_device_error([&] { radius_count_cuda<float>(search, 1, nullptr, nullptr, nullptr, {}, nullptr); });
  expect_device_error([&] { radius_fill_cuda<float>(search, nullptr, nullptr, nullptr, {}, nullptr); });
  const NeighborLists<float> lists;
  expect_device_error([&] { distance_gradient_cuda_workspace_bytes(lists); });
  expect_device_error([&] { distance_gradient_cuda<float>(lists, nullptr, nullptr, nullptr, {}, nullptr); });
  expect_device_error([&] { distance_tangent_cuda<float>(lists, nullptr, nullptr, nullptr, nullptr); });
}

}  // namespace
