#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "neighbor_gradient_cases.h"
#include "starling/error.h"

namespace {

using namespace starling;
using neighbor_gradient_cases::Case;
using neighbor_gradient_cases::Expected;
using neighbor_gradient_cases::Sums;

template <typename T>
struct Answer {
  std::vector<T> points, queries, tangent;
  bool operator==(const Answer&) const = default;
};

template <typename T>
Answer<T> run(const Case<T>& test) {
  const NeighborLists<T> lists = test.lists();
  const T nothing = T(77);
  Answer<T> answer{std::vector<T>(test.points.size(), nothing), std::vector<T>(test.queries.size(), nothing),
                   std::vector<T>(test.index.size(), nothing)};
  std::vector<std::byte> workspace(distance_gradient_workspace_bytes(lists), std::byte(0xCD));
  distance_gradient(lists, test.weight.data(), answer.points.data(), answer.queries.data(), std::span(workspace));
  distance_tangent(lists, test.points_tangent.data(), test.queries_tangent.data(), answer.tangent.data());
  return answer;
}

template <typename T>
void expect_near(const std::vector<T>& got, const Sums& expected, const char* what) {
  ASSERT_EQ(got.size(), expected.value.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    // A rounding a term and one for each of the few hundred that a part of a sum has.
    ASSERT_NEAR(got[i], expected.value[i], 300 * std::numeric_limits<T>::epsilon() * expected.size[i]) << what << i;
  }
}

template <typename T>
class NeighborGradient : public testing::Test {};
using Scalars = testing::Types<float, double>;
TYPED_TEST_SUITE(NeighborGradient, Scalars);

TYPED_TEST(NeighborGradient, IsThatOfPlainLoops) {
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const Expected expected = brute_force(test);
    const Answer<TypeParam> answer = run(test);
    expect_near(answer.points, expected.points, "points ");
    expect_near(answer.queries, expected.queries, "queries ");
    expect_near(answer.tangent, expected.tangent, "tangent ");
  }
}

TYPED_TEST(NeighborGradient, DoesNotDependOnThreads) {
  tbb::task_arena one(1);
  tbb::task_arena four(4);
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) {
    EXPECT_EQ(one.execute([&] { return run(test); }), four.execute([&] { return run(test); })) << test.name;
  }
}

TYPED_TEST(NeighborGradient, WhatIsNotWantedIsLeftOut) {
  for (const Case<TypeParam>& test : neighbor_gradient_cases::table<TypeParam>()) {
    SCOPED_TRACE(test.name);
    const NeighborLists<TypeParam> lists = test.lists();
    const Answer<TypeParam> both = run(test);
    std::vector<std::byte> workspace(distance_gradient_workspace_bytes(lists) + 1);
    const auto unaligned = std::span(workspace).subspan(1);
    std::vector<TypeParam> points(test.points.size()), queries(test.queries.size());
    distance_gradient<TypeParam>(lists, test.weight.data(), points.data(), nullptr, unaligned);
    EXPECT_EQ(points, both.points);
    distance_gradient<TypeParam>(lists, test.weight.data(), nullptr, queries.data(), unaligned);
    if (test.separate_queries) {
      EXPECT_EQ(queries, both.queries);
    }

    Case<TypeParam> still = test;
    still.points_tangent.assign(test.points.size(), TypeParam(0));
    std::vector<TypeParam> out(test.index.size());
    distance_tangent<TypeParam>(lists, nullptr, test.queries_tangent.data(), out.data());
    EXPECT_EQ(out, run(still).tangent);
    still = test;
    still.queries_tangent.assign(test.queries.size(), TypeParam(0));
    distance_tangent<TypeParam>(lists, test.points_tangent.data(), nullptr, out.data());
    EXPECT_EQ(out, run(still).tangent);
  }
}

// Σ weight d² is a quadratic form, so that differences in the middle are exact but for rounding.
TEST(NeighborGradientInDouble, IsThatOfFiniteDifferences) {
  for (const Case<double>& test : neighbor_gradient_cases::table<double>()) {
    if (test.points.size() > 1000) continue;
    SCOPED_TRACE(test.name);
    const auto loss = [](const Case<double>& moved) {
      const std::vector<double>& queries = moved.separate_queries ? moved.queries : moved.points;
      const auto dimensions = static_cast<std::size_t>(moved.dimensions);
      double sum = 0;
      for_each_edge(moved, [&](std::size_t e, std::size_t row, std::size_t point) {
        sum += moved.weight[e] * neighbor_cases::squared_distance(&queries[row * dimensions],
                                                                  &moved.points[point * dimensions], moved.dimensions);
      });
      return sum;
    };
    const auto slope = [&](std::vector<double> Case<double>::*moving, std::size_t i) {
      Case<double> left = test, right = test;
      (left.*moving)[i] -= 0.5;
      (right.*moving)[i] += 0.5;
      return loss(right) - loss(left);
    };
    const Answer<double> answer = run(test);
    for (std::size_t i = 0; i < test.points.size(); i += 7)
      ASSERT_NEAR(answer.points[i], slope(&Case<double>::points, i), 1e-9);
    for (std::size_t i = 0; i < test.queries.size(); i += 7)
      ASSERT_NEAR(answer.queries[i], slope(&Case<double>::queries, i), 1e-9);
  }
}

// The tangent is the transpose of the gradient, which is linear in the points: what second derivatives rest on.
TEST(NeighborGradientInDouble, TangentAndGradientFitTogether) {
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  };
  for (const Case<double>& test : neighbor_gradient_cases::table<double>()) {
    SCOPED_TRACE(test.name);
    const Answer<double> answer = run(test);
    const double along = dot(test.points_tangent, answer.points) + dot(test.queries_tangent, answer.queries);
    double by_tangent = 0;
    for_each_edge(test,
                  [&](std::size_t e, std::size_t, std::size_t) { by_tangent += test.weight[e] * answer.tangent[e]; });
    EXPECT_NEAR(along, by_tangent, 1e-8);
    Case<double> moved = test;
    moved.points = test.points_tangent;
    moved.queries = test.queries_tangent;
    const Answer<double> other = run(moved);
    EXPECT_NEAR(dot(test.points, other.points) + dot(test.queries, other.queries), by_tangent, 1e-8);
  }
}

TEST(NeighborGradientErrors, NameTheSizesAndTheRule) {
  const std::vector<float> points(20, 1.0F);
  std::vector<std::int32_t> index = {0, 1, 2, -1, 4, 5, 6, 7, 8, 9};
  const std::vector<std::int64_t> fewer = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9};
  const std::vector<std::int64_t> falling = {0, 1, 2, 1, 4, 5, 6, 7, 8, 9, 10};
  const std::vector<std::int64_t> late = {1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  NeighborLists<float> right;
  right.points = points.data();
  right.num_points = 10;
  right.dimensions = 2;
  right.index = index.data();
  right.k = 1;
  std::vector<std::byte> workspace(10000);
  const auto message = [&](ErrorKind kind, const NeighborLists<float>& lists) -> std::string {
    std::vector<float> out(20);
    std::string texts[2];
    for (int call = 0; call < 2; ++call) {
      try {
        if (call == 0) distance_gradient(lists, out.data(), out.data(), out.data(), std::span(workspace));
        if (call == 1) distance_tangent<float>(lists, nullptr, nullptr, out.data());
        texts[call] = ": no error";
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), kind);
        texts[call] = error.what();
      }
      texts[call] = texts[call].substr(texts[call].find(": "));
    }
    EXPECT_EQ(texts[0], texts[1]);
    return texts[0];
  };
  EXPECT_EQ(message(ErrorKind::usage, right), ": no error");
  NeighborLists<float> lists = right;
  lists.dimensions = 1025;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": dimensions is 1025: expected 1 to 1024");
  lists = right;
  lists.num_points = -1;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": num_points is -1: expected ≥ 0");
  lists = right;
  lists.points = nullptr;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": points is null, num_points 10");
  lists = right;
  lists.index = nullptr;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": index is null, entries 10");
  lists = right;
  lists.k = -1;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": k is -1: expected ≥ 0");
  lists.k = 1 << 30;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": 10737418240 entries: expected 0 to 2147483647");
  lists = right;
  lists.queries = points.data();
  lists.num_queries = -1;
  EXPECT_EQ(message(ErrorKind::usage, lists), ": num_queries is -1: expected ≥ 0");
  lists = right;
  lists.num_entries = 10;
  lists.neighbor_row_splits = fewer.data();
  EXPECT_EQ(message(ErrorKind::usage, lists), ": neighbor_row_splits[10] is 9: expected the number of entries, 10");
  lists.neighbor_row_splits = falling.data();
  EXPECT_EQ(message(ErrorKind::usage, lists),
            ": neighbor_row_splits[3] is 1, less than the entry before, 2: expected ascending rows");
  lists.neighbor_row_splits = late.data();
  EXPECT_EQ(message(ErrorKind::usage, lists), ": neighbor_row_splits[0] is 1: expected 0");
  index[8] = 10;
  EXPECT_EQ(message(ErrorKind::input, right), ": index entry 8 is 10: expected -1 or the row of one of 10 points");
  index[7] = -2;
  EXPECT_EQ(message(ErrorKind::input, right), ": index entry 7 is -2: expected -1 or the row of one of 10 points");
  index[7] = index[8] = 0;
  workspace.resize(distance_gradient_workspace_bytes(right) - 1);
  EXPECT_THROW(distance_gradient<float>(right, nullptr, nullptr, nullptr, std::span(workspace)), Error);
}

}  // namespace
