#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data.h"
#include "point_clouds.h"
#include "starling/condensation.h"
#include "starling/safetensors.h"

// The golden vectors of object condensation, and events of our own, for every backend.
namespace starling::condensation_cases {

/// The cases of the golden file by name.
inline std::vector<std::pair<std::string, CondensationOptions>> golden_options() {
  const auto of = [](CondensationForm form, auto change) {
    CondensationOptions options{.form = form};
    change(options);
    return options;
  };
  const auto plain = [](CondensationOptions&) {};
  const auto soft = [](CondensationOptions& o) { o.soft_charge = true; };
  constexpr auto paper = CondensationForm::paper, slide = CondensationForm::slide, fgc = CondensationForm::fgc;
  return {
      {"paper", of(paper, plain)},
      {"paper_soft", of(paper, soft)},
      {"paper_payload_event", of(paper, [](CondensationOptions& o) { o.payload_per_event = true; })},
      {"paper_qmin1", of(paper, [](CondensationOptions& o) { o.q_min = 1; })},
      {"slide", of(slide, plain)},
      {"slide_alpha_scale", of(slide, [](CondensationOptions& o) { o.scale = CondensationScale::alpha; })},
      {"slide_mean_centre", of(slide, [](CondensationOptions& o) { o.centre = 1; })},
      {"slide_half_centre", of(slide, [](CondensationOptions& o) { o.centre = 0.5; })},
      {"slide_soft", of(slide, soft)},
      {"fgc", of(fgc, soft)},
  };
}

/// The arrays of some events, and what they are to give.
template <typename T>
struct Hits {
  std::vector<T> beta, x, scale, weight, payload;
  std::vector<std::int32_t> truth, row_splits;
  int dimensions = 3, channels = 2;

  std::int32_t size() const { return static_cast<std::int32_t>(beta.size()); }
  std::int32_t events() const { return static_cast<std::int32_t>(row_splits.size()) - 1; }

  CondensationHits<T> view() const {
    CondensationHits<T> hits;
    hits.beta = beta.data();
    hits.x = x.data();
    hits.truth = truth.data();
    hits.num_hits = size();
    hits.dimensions = dimensions;
    hits.row_splits = row_splits.data();
    hits.num_events = events();
    hits.scale = scale.data();
    hits.weight = weight.data();
    hits.payload = payload.data();
    hits.payload_channels = channels;
    return hits;
  }
};

template <typename T>
std::vector<T> as(const Tensor& tensor) {
  const std::vector<float> values = tensor.f32();
  return {values.begin(), values.end()};
}

template <typename T>
Hits<T> golden_hits(const TensorFile& file, const std::string& set) {
  const auto at = [&](const char* name) -> const Tensor& { return file.at(set + "/inputs/" + name); };
  Hits<T> hits;
  hits.beta = as<T>(at("beta"));
  hits.x = as<T>(at("x"));
  hits.scale = as<T>(at("phi"));
  hits.weight = as<T>(at("w"));
  hits.payload = as<T>(at("payload"));
  hits.truth = at("truth").i32();
  hits.row_splits = at("row_splits").i32();
  return hits;
}

/// Events of `sizes` hits with about `objects` objects each; a tenth of the hits is noise.
template <typename T>
Hits<T> random_hits(const std::vector<std::int32_t>& sizes, std::int32_t objects, int dimensions, int channels,
                    std::uint64_t seed) {
  clouds::Random random(seed);
  Hits<T> hits;
  hits.dimensions = dimensions;
  hits.channels = channels;
  hits.row_splits = {0};
  for (const std::int32_t size : sizes) {
    for (std::int32_t h = 0; h < size; ++h) {
      const auto object = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(objects)));
      hits.truth.push_back(random.uniform() < 0.1 ? -1 : 7 * object + 3);
      hits.beta.push_back(static_cast<T>(random.uniform()));
      hits.scale.push_back(static_cast<T>(0.5 + random.uniform()));
      hits.weight.push_back(static_cast<T>(random.uniform()));
      for (int d = 0; d < dimensions; ++d) hits.x.push_back(static_cast<T>(object % (d + 2) + 0.3 * random.normal()));
      for (int p = 0; p < channels; ++p) hits.payload.push_back(static_cast<T>(random.uniform()));
    }
    hits.row_splits.push_back(hits.size());
  }
  return hits;
}

template <typename T>
struct Terms {
  std::vector<T> attraction, repulsion, objects, noise, payload;
  Terms(const Hits<T>& hits, T value)
      : attraction(hits.events(), value),
        repulsion(attraction),
        objects(attraction),
        noise(attraction),
        payload(attraction.size() * static_cast<std::size_t>(hits.channels), value) {}
  CondensationTerms<T> view() {
    return {attraction.data(), repulsion.data(), objects.data(), noise.data(), payload.data()};
  }
  CondensationTerms<const T> view() const {
    return {attraction.data(), repulsion.data(), objects.data(), noise.data(), payload.data()};
  }
  bool operator==(const Terms&) const = default;
};

template <typename T>
struct Gradients {
  std::vector<T> beta, x, scale, payload;
  Gradients(const Hits<T>& hits, T value)
      : beta(hits.beta.size(), value),
        x(hits.x.size(), value),
        scale(hits.scale.size(), value),
        payload(hits.payload.size(), value) {}
  CondensationGradients<T> view() { return {beta.data(), x.data(), scale.data(), payload.data()}; }
  bool operator==(const Gradients&) const = default;
};

}  // namespace starling::condensation_cases
