#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "neighbor_gradient_cases.h"
#include "on_device.h"

// The table of neighbor_gradient_cases.h on the device: the bytes of the host.
namespace {

using namespace starling;
using neighbor_gradient_cases::Case;

template <typename T>
struct Answer {
  std::vector<T> points, queries, tangent;
};

template <typename T>
Answer<T> on_host(const Case<T>& test) {
  const NeighborLists<T> lists = test.lists();
  Answer<T> answer{std::vector<T>(test.points.size()), std::vector<T>(test.queries.size()),
                   std::vector<T>(test.index.size())};
  std::vector<std::byte> workspace(distance_gradient_workspace_bytes(lists));
  distance_gradient(lists, test.weight.data(), answer.points.data(), answer.queries.data(), std::span(workspace));
  distance_tangent(lists, test.points_tangent.data(), test.queries_tangent.data(), answer.tangent.data());
  return answer;
}

/// The lists of a case in device memory.
template <typename T>
class DeviceLists {
 public:
  explicit DeviceLists(const Case<T>& test)
      : points_(test.points),
        queries_(test.queries),
        index_(test.index),
        splits_(test.row_splits),
        lists_(test.lists()) {
    lists_.points = points_.data();
    if (test.separate_queries) lists_.queries = queries_.data();
    lists_.index = index_.data();
    if (!test.row_splits.empty()) lists_.neighbor_row_splits = splits_.data();
  }
  const NeighborLists<T>& operator*() const { return lists_; }

 private:
  OnDevice<T> points_, queries_;
  OnDevice<std::int32_t> index_;
  OnDevice<std::int64_t> splits_;
  NeighborLists<T> lists_;
};

template <typename T>
Answer<T> on_device(const Case<T>& test, bool captured) {
  const DeviceLists<T> lists(test);
  const OnDevice<T> weight(test.weight), points_tangent(test.points_tangent), queries_tangent(test.queries_tangent);
  const OnDevice<T> points(test.points.size()), queries(test.queries.size()), tangent(test.index.size());
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream};
  const OnDevice<std::byte> workspace(distance_gradient_workspace_bytes(*lists, execution));
  const auto run = [&] {
    distance_gradient(*lists, weight.data(), points.data(), queries.data(), workspace.span(), execution);
    distance_tangent(*lists, points_tangent.data(), queries_tangent.data(), tangent.data(), execution);
  };
  if (captured)
    replay_twice(stream, run);
  else
    run();
  expect_ok(cudaStreamSynchronize(stream));
  return {points.get(), queries.get(), tangent.get()};
}

template <typename T>
void expect_bytes(const std::vector<T>& got, const std::vector<T>& expected, const char* what) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_EQ(std::memcmp(&got[i], &expected[i], sizeof(T)), 0)
        << what << " " << i << ": expected " << expected[i] << ", got " << got[i];
  }
}

template <typename T>
void expect_host_bytes(const Case<T>& test, bool captured) {
  SCOPED_TRACE(test.name);
  const Answer<T> expected = on_host(test), got = on_device(test, captured);
  expect_bytes(got.points, expected.points, "points");
  expect_bytes(got.queries, expected.queries, "queries");
  expect_bytes(got.tangent, expected.tangent, "tangent");
}

template <typename T>
class NeighborGradientCuda : public CudaTest {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NeighborGradientCuda, Scalars);

TYPED_TEST(NeighborGradientCuda, HasTheBytesOfTheHost) {
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) expect_host_bytes(test, false);
}

TYPED_TEST(NeighborGradientCuda, HasTheBytesOfTheHostAsAGraph) {
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) expect_host_bytes(test, true);
}

TYPED_TEST(NeighborGradientCuda, WhatIsNotWantedIsLeftOut) {
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Answer<TypeParam> expected = on_host(test);
    const DeviceLists<TypeParam> lists(test);
    const OnDevice<TypeParam> weight(test.weight), points(test.points.size()), queries(test.queries.size());
    const Stream stream;
    const Execution execution{.device = Device::cuda, .stream = stream};
    const OnDevice<std::byte> workspace(distance_gradient_workspace_bytes(*lists, execution) + 1);
    const auto unaligned = workspace.span().subspan(1);
    distance_gradient<TypeParam>(*lists, weight.data(), points.data(), nullptr, unaligned, execution);
    distance_gradient<TypeParam>(*lists, weight.data(), nullptr, queries.data(), unaligned, execution);
    expect_ok(cudaStreamSynchronize(stream));
    expect_bytes(points.get(), expected.points, "points");
    if (test.separate_queries) expect_bytes(queries.get(), expected.queries, "queries");

    Case<TypeParam> still = test;
    still.points_tangent.assign(test.points.size(), TypeParam(0));
    const OnDevice<TypeParam> along(test.queries_tangent), out(test.index.size());
    distance_tangent<TypeParam>(*lists, nullptr, along.data(), out.data(), execution);
    expect_ok(cudaStreamSynchronize(stream));
    expect_bytes(out.get(), on_host(still).tangent, "tangent");
  }
}

TYPED_TEST(NeighborGradientCuda, AnIndexThatIsNoRowCountsAsNone) {
  Case<TypeParam> test{.name = "wild",
                       .dimensions = 3,
                       .points = clouds::uniform<TypeParam>(50, 3, 1),
                       .index = neighbor_gradient_cases::random_index(50 * 6, 50, 1),
                       .k = 6,
                       .weight = neighbor_gradient_cases::random_values<TypeParam>(50 * 6, 2),
                       .points_tangent = clouds::uniform<TypeParam>(50, 3, 3)};
  Case<TypeParam> none = test;
  for (std::size_t i = 0; i < test.index.size(); i += 11) {
    test.index[i] = i % 2 == 0 ? 50 : -2'000'000'000;
    none.index[i] = -1;
  }
  const Answer<TypeParam> expected = on_host(none), got = on_device(test, false);
  expect_bytes(got.points, expected.points, "points");
  expect_bytes(got.tangent, expected.tangent, "tangent");
}

TYPED_TEST(NeighborGradientCuda, WrongArgumentsAreUsageErrors) {
  NeighborLists<TypeParam> lists;
  lists.dimensions = 1025;
  const Execution execution{.device = Device::cuda};
  expect_usage([&] { distance_gradient_workspace_bytes(lists, execution); }, "dimensions is 1025: expected 1 to 1024");
  expect_usage([&] { distance_tangent<TypeParam>(lists, nullptr, nullptr, nullptr, execution); }, "dimensions is 1025");
  lists.dimensions = 2;
  expect_usage([&] { distance_gradient<TypeParam>(lists, nullptr, nullptr, nullptr, {}, execution); },
               "workspace of 0 bytes");
}

}  // namespace
