#include <gtest/gtest.h>

#include <cmath>

#include "condensation_cases.h"
#include "on_device.h"

namespace starling {
namespace {

using namespace condensation_cases;

template <typename T>
struct Result {
  Terms<T> terms;
  Gradients<T> gradients;
  std::int32_t bad_row = 0;
};

template <typename T>
Result<T> on_host(const Hits<T>& hits, const CondensationOptions& options, const Terms<T>& upstream) {
  Result<T> result{Terms<T>(hits, 0), Gradients<T>(hits, 0)};
  std::vector<std::byte> workspace(condensation_workspace_bytes(hits.view(), options));
  condensation_loss(hits.view(), options, result.terms.view(), workspace);
  condensation_gradient<T>(hits.view(), options, upstream.view(), result.gradients.view(), workspace);
  return result;
}

template <typename T>
Result<T> on_device(const Hits<T>& hits, const CondensationOptions& options, const Terms<T>& upstream) {
  const OnDevice<T> beta(hits.beta), x(hits.x), scale(hits.scale), weight(hits.weight), payload(hits.payload);
  const OnDevice<std::int32_t> truth(hits.truth), splits(hits.row_splits), bad_row(1);
  CondensationHits<T> view = hits.view();
  view.beta = beta.data();
  view.x = x.data();
  view.truth = truth.data();
  view.row_splits = splits.data();
  view.scale = scale.data();
  view.weight = weight.data();
  view.payload = payload.data();
  const OnDevice<T> terms[5] = {OnDevice<T>(upstream.attraction), OnDevice<T>(upstream.repulsion),
                                OnDevice<T>(upstream.objects), OnDevice<T>(upstream.noise),
                                OnDevice<T>(upstream.payload)};
  const OnDevice<T> out[5] = {OnDevice<T>(upstream.attraction.size()), OnDevice<T>(upstream.repulsion.size()),
                              OnDevice<T>(upstream.objects.size()), OnDevice<T>(upstream.noise.size()),
                              OnDevice<T>(upstream.payload.size())};
  const OnDevice<T> of[4] = {OnDevice<T>(hits.beta.size()), OnDevice<T>(hits.x.size()), OnDevice<T>(hits.scale.size()),
                             OnDevice<T>(hits.payload.size())};
  const Stream stream;
  const Execution execution{.device = Device::cuda, .stream = stream, .bad_row = bad_row.data()};
  const OnDevice<std::byte> workspace(condensation_workspace_bytes(view, options, execution));
  replay_twice(stream, [&] {
    condensation_loss<T>(view, options, {out[0].data(), out[1].data(), out[2].data(), out[3].data(), out[4].data()},
                         workspace.span(), execution);
    condensation_gradient<T>(view, options,
                             {terms[0].data(), terms[1].data(), terms[2].data(), terms[3].data(), terms[4].data()},
                             {of[0].data(), of[1].data(), of[2].data(), of[3].data()}, workspace.span(), execution);
  });
  Result<T> result{Terms<T>(hits, 0), Gradients<T>(hits, 0)};
  result.terms.attraction = out[0].get();
  result.terms.repulsion = out[1].get();
  result.terms.objects = out[2].get();
  result.terms.noise = out[3].get();
  result.terms.payload = out[4].get();
  result.gradients.beta = of[0].get();
  result.gradients.x = of[1].get();
  result.gradients.scale = of[2].get();
  result.gradients.payload = of[3].get();
  result.bad_row = bad_row.get()[0];
  return result;
}

template <typename T>
void expect_near(const std::vector<T>& device, const std::vector<T>& host, const char* what) {
  ASSERT_EQ(device.size(), host.size());
  double largest = 0;
  for (const T value : host) largest = std::max(largest, std::abs(static_cast<double>(value)));
  const double bound = (std::is_same_v<T, float> ? 2e-5 : 1e-11) * (largest > 0 ? largest : 1);
  for (std::size_t i = 0; i < host.size(); ++i) ASSERT_NEAR(device[i], host[i], bound) << what << " " << i;
}

template <typename T>
void expect_like_host(const Hits<T>& hits, const CondensationOptions& options) {
  Terms<T> upstream(hits, T(0.5));
  for (std::size_t i = 0; i < upstream.repulsion.size(); ++i) upstream.repulsion[i] = T(0.25) * T(i + 1);
  const Result<T> host = on_host(hits, options, upstream), device = on_device(hits, options, upstream);
  EXPECT_EQ(device.bad_row, -1);
  expect_near(device.terms.attraction, host.terms.attraction, "attraction");
  expect_near(device.terms.repulsion, host.terms.repulsion, "repulsion");
  expect_near(device.terms.objects, host.terms.objects, "objects");
  expect_near(device.terms.noise, host.terms.noise, "noise");
  expect_near(device.terms.payload, host.terms.payload, "payload");
  expect_near(device.gradients.beta, host.gradients.beta, "gradient of beta");
  expect_near(device.gradients.x, host.gradients.x, "gradient of x");
  expect_near(device.gradients.scale, host.gradients.scale, "gradient of the scale");
  expect_near(device.gradients.payload, host.gradients.payload, "gradient of the payload");
}

template <typename T>
class CondensationCudaTest : public CudaTest {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CondensationCudaTest, Types);

TYPED_TEST(CondensationCudaTest, AgreesWithTheHost) {
  const std::vector<Hits<TypeParam>> samples = {random_hits<TypeParam>({300, 0, 1, 500, 7}, 12, 4, 1, 1),
                                                random_hits<TypeParam>({1000}, 300, 3, 2, 2),
                                                random_hits<TypeParam>({5000, 3000}, 40, 2, 0, 3),
                                                random_hits<TypeParam>({40, 1, 1, 1, 50}, 1, 1, 8, 4),
                                                random_hits<TypeParam>({}, 1, 3, 1, 5),
                                                random_hits<TypeParam>({0, 0}, 1, 3, 1, 6),
                                                random_hits<TypeParam>({2000}, 5, 8, 1, 7)};
  for (const Hits<TypeParam>& hits : samples) {
    for (const auto& [name, options] : golden_options()) {
      SCOPED_TRACE(name + ", " + std::to_string(hits.size()) + " hits");
      expect_like_host(hits, options);
    }
  }
}

TYPED_TEST(CondensationCudaTest, SameBytesInEveryRun) {
  const Hits<TypeParam> hits = random_hits<TypeParam>({4000, 2000}, 60, 3, 1, 8);
  for (const auto& [name, options] : golden_options()) {
    const Terms<TypeParam> upstream(hits, TypeParam(1));
    const Result<TypeParam> first = on_device(hits, options, upstream), second = on_device(hits, options, upstream);
    EXPECT_EQ(first.terms, second.terms);
    EXPECT_EQ(first.gradients, second.gradients);
  }
}

TYPED_TEST(CondensationCudaTest, NamesTheFirstBadRow) {
  Hits<TypeParam> hits = random_hits<TypeParam>({400}, 5, 3, 1, 9);
  const Terms<TypeParam> upstream(hits, TypeParam(1));
  hits.x[3 * 321 + 1] = std::numeric_limits<TypeParam>::infinity();
  hits.scale[123] = 0;
  EXPECT_EQ(on_device(hits, {}, upstream).bad_row, 123);
  hits.beta[99] = TypeParam(1.25);
  EXPECT_EQ(on_device(hits, {}, upstream).bad_row, 99);
  hits.beta[77] = TypeParam(-0.5);
  EXPECT_EQ(on_device(hits, {}, upstream).bad_row, 77);
}

}  // namespace
}  // namespace starling
