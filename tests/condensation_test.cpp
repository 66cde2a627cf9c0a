#include "starling/condensation.h"

#include <gtest/gtest.h>
#include <tbb/task_arena.h>

#include <cmath>

#include "condensation_cases.h"
#include "starling/error.h"

namespace starling {
namespace {

using namespace condensation_cases;

template <typename T>
Terms<T> loss(const Hits<T>& hits, const CondensationOptions& options) {
  Terms<T> terms(hits, T(-777));
  std::vector<std::byte> workspace(condensation_workspace_bytes(hits.view(), options), std::byte{0xCD});
  condensation_loss(hits.view(), options, terms.view(), workspace);
  return terms;
}

template <typename T>
Gradients<T> gradient(const Hits<T>& hits, const CondensationOptions& options, const Terms<T>& upstream) {
  Gradients<T> gradients(hits, T(-777));
  std::vector<std::byte> workspace(condensation_workspace_bytes(hits.view(), options), std::byte{0xCD});
  condensation_gradient<T>(hits.view(), options, upstream.view(), gradients.view(), workspace);
  return gradients;
}

template <typename T>
double bound() {
  return std::is_same_v<T, float> ? 1e-5 : 1e-10;
}

template <typename T>
void expect_golden(const std::vector<T>& values, const std::vector<double>& golden, const std::string& what) {
  ASSERT_EQ(values.size(), golden.size()) << what;
  double largest = 0;
  for (const double value : golden) largest = std::max(largest, std::abs(value));
  for (std::size_t i = 0; i < golden.size(); ++i)
    ASSERT_NEAR(values[i], golden[i], bound<T>() * (largest > 0 ? largest : 1)) << what << " " << i;
}

template <typename T>
class CondensationTest : public testing::Test {};
using Types = testing::Types<float, double>;
TYPED_TEST_SUITE(CondensationTest, Types);

TYPED_TEST(CondensationTest, GoldenTermsAndGradients) {
  STARLING_NEEDS_DATA("dynamic_networks");
  using T = TypeParam;
  const TensorFile file = read_safetensors(data_folder() / "dynamic_networks" / "condensation.safetensors");
  for (const std::string set : {"plain", "edge"}) {
    const Hits<T> hits = golden_hits<T>(file, set);
    for (const auto& [name, options] : golden_options()) {
      const std::string at = set + "/" + name + "/";
      SCOPED_TRACE(at);
      Terms<T> terms = loss(hits, options);
      const std::pair<const char*, std::vector<T> Terms<T>::*> names[] = {{"att", &Terms<T>::attraction},
                                                                          {"rep", &Terms<T>::repulsion},
                                                                          {"obj", &Terms<T>::objects},
                                                                          {"noise", &Terms<T>::noise},
                                                                          {"payload", &Terms<T>::payload}};
      for (const auto& [term, member] : names) {
        expect_golden(terms.*member, file.at(at + term).f64(), term);
        Terms<T> upstream(hits, T(0));
        std::fill((upstream.*member).begin(), (upstream.*member).end(), T(1) / T(hits.events()));
        // Of the payload's channels, the golden gradient is of the first and half the second.
        if (std::string(term) == "payload")
          for (std::size_t i = 1; i < upstream.payload.size(); i += 2) upstream.payload[i] /= 2;
        const Gradients<T> gradients = gradient(hits, options, upstream);
        const std::pair<const char*, const std::vector<T>*> inputs[] = {
            {"beta", &gradients.beta}, {"x", &gradients.x}, {"phi", &gradients.scale}, {"payload", &gradients.payload}};
        for (const auto& [input, values] : inputs) {
          const std::string tensor = at + "grad/" + term + "/" + input;
          const auto golden = file.tensors.find(tensor);
          expect_golden(*values,
                        golden != file.tensors.end() ? golden->second.f64() : std::vector<double>(values->size()),
                        tensor);
        }
      }
    }
  }
}

TYPED_TEST(CondensationTest, SameBytesOnAnyNumberOfThreadsAndInAnyWorkspace) {
  const Hits<TypeParam> hits = random_hits<TypeParam>({300, 0, 1, 500}, 12, 4, 1, 1);
  for (const auto& [name, options] : golden_options()) {
    const Terms<TypeParam> first = loss(hits, options), upstream(hits, TypeParam(0.5));
    const Gradients<TypeParam> first_gradients = gradient(hits, options, upstream);
    for (const int threads : {1, 3}) {
      tbb::task_arena(threads).execute([&, &options = options] {
        EXPECT_EQ(loss(hits, options), first);
        EXPECT_EQ(gradient(hits, options, upstream), first_gradients);
      });
    }
  }
}

// An event's terms do not depend on the events beside it.
TYPED_TEST(CondensationTest, EventsAreAlone) {
  const Hits<TypeParam> both = random_hits<TypeParam>({200, 150}, 9, 3, 2, 2);
  Hits<TypeParam> second;
  second.row_splits = {0, 150};
  const auto tail = [](const auto& values, std::size_t each) {
    return std::decay_t<decltype(values)>(values.begin() + static_cast<std::ptrdiff_t>(200 * each), values.end());
  };
  second.beta = tail(both.beta, 1);
  second.x = tail(both.x, 3);
  second.scale = tail(both.scale, 1);
  second.weight = tail(both.weight, 1);
  second.payload = tail(both.payload, 2);
  second.truth = tail(both.truth, 1);
  for (const auto& [name, options] : golden_options()) {
    const Terms<TypeParam> together = loss(both, options), alone = loss(second, options);
    EXPECT_EQ(together.repulsion[1], alone.repulsion[0]);
    EXPECT_EQ(together.attraction[1], alone.attraction[0]);
    EXPECT_EQ(together.objects[1], alone.objects[0]);
  }
}

TYPED_TEST(CondensationTest, NothingIsZero) {
  for (const std::vector<std::int32_t>& sizes : {std::vector<std::int32_t>{}, {0}, {0, 0}}) {
    const Hits<TypeParam> hits = random_hits<TypeParam>(sizes, 1, 2, 0, 3);
    const Terms<TypeParam> terms = loss(hits, {});
    EXPECT_EQ(terms.attraction, std::vector<TypeParam>(sizes.size(), 0));
    EXPECT_EQ(terms.noise, std::vector<TypeParam>(sizes.size(), 0));
    gradient(hits, {}, terms);
  }
}

TYPED_TEST(CondensationTest, BetaOfZeroAndOneIsFinite) {
  Hits<TypeParam> hits = random_hits<TypeParam>({60, 20}, 3, 2, 1, 5);
  for (std::size_t h = 0; h < hits.beta.size(); ++h) hits.beta[h] = TypeParam(h % 2);
  for (const auto& [name, options] : golden_options()) {
    SCOPED_TRACE(name);
    const Terms<TypeParam> terms = loss(hits, options);
    const Gradients<TypeParam> gradients = gradient(hits, options, Terms<TypeParam>(hits, TypeParam(1)));
    for (const auto* values : {&terms.attraction, &terms.repulsion, &terms.objects, &terms.noise, &terms.payload,
                               &gradients.beta, &gradients.x, &gradients.scale, &gradients.payload})
      for (const TypeParam value : *values) ASSERT_TRUE(std::isfinite(value));
  }
}

TYPED_TEST(CondensationTest, RefusesWhatDoesNotFit) {
  const Hits<TypeParam> good = random_hits<TypeParam>({20, 10}, 3, 2, 1, 4);
  const auto expect = [&](ErrorKind kind, const char* text, auto change) {
    Hits<TypeParam> hits = good;
    CondensationHits<TypeParam> view = hits.view();
    CondensationOptions options;
    change(hits, view, options);
    Terms<TypeParam> terms(good, 0);
    std::vector<std::byte> workspace(condensation_workspace_bytes(good.view(), CondensationOptions{}));
    try {
      condensation_loss(view, options, terms.view(), workspace);
      ADD_FAILURE() << "no error: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(text), std::string::npos) << error.what();
    }
  };
  using H = Hits<TypeParam>;
  using V = CondensationHits<TypeParam>;
  using O = CondensationOptions;
  const TypeParam nan = std::numeric_limits<TypeParam>::quiet_NaN();
  expect(ErrorKind::usage, "dimensions is 9", [](H&, V& v, O&) { v.dimensions = 9; });
  expect(ErrorKind::usage, "payload_channels is 9", [](H&, V& v, O&) { v.payload_channels = 9; });
  expect(ErrorKind::usage, "num_hits is -1", [](H&, V& v, O&) { v.num_hits = -1; });
  expect(ErrorKind::usage, "beta is null", [](H&, V& v, O&) { v.beta = nullptr; });
  expect(ErrorKind::usage, "centre is 2", [](H&, V&, O& o) { o.centre = 2; });
  expect(ErrorKind::usage, "the paper's form has none",
         [](H&, V&, O& o) { o.centre = 0.5, o.form = CondensationForm::paper; });
  expect(ErrorKind::usage, "q_min is nan", [](H&, V&, O& o) { o.q_min = std::nan(""); });
  expect(ErrorKind::usage, "q_min is 0.000000: expected a finite number of at least 1e-6",
         [](H&, V&, O& o) { o.q_min = 0; });
  if (std::is_same_v<TypeParam, float>)
    expect(ErrorKind::usage, "expected a finite number", [](H&, V&, O& o) { o.q_min = 1e39; });
  expect(ErrorKind::input, "beta of row 5 is 1.25", [](H& h, V&, O&) { h.beta[5] = TypeParam(1.25); });
  expect(ErrorKind::input, "beta of row 6 is -0.5", [](H& h, V&, O&) { h.beta[6] = TypeParam(-0.5); });
  expect(ErrorKind::input, "beta of row 3 is nan", [&](H& h, V&, O&) { h.beta[3] = nan; });
  expect(ErrorKind::input, "x of row 2 is nan", [&](H& h, V&, O&) { h.x[5] = nan; });
  expect(ErrorKind::input, "scale of row 7 is 0", [](H& h, V&, O&) { h.scale[7] = 0; });
  expect(ErrorKind::usage, "the last row split is 29", [](H& h, V&, O&) { h.row_splits[2] = 29; });
  expect(ErrorKind::usage, "row_splits[2] is less", [](H& h, V&, O&) { h.row_splits[1] = 31, h.row_splits[2] = 30; });
}

}  // namespace
}  // namespace starling
