#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "condensation/backends.h"
#include "condensation/host/check.h"
#include "condensation/object.h"
#include "memory/layout.h"

namespace starling::condensation::host {
namespace {

/// A hit's own part of the repulsion from all other objects, without its charge: Σ c r(u), and its gradient along x.
template <typename T>
struct Pushed {
  T value;
  T along[kMaxCondensationDimensions];
};

template <typename T>
struct Arrays {
  std::int32_t* order;      // [hits] rows by event, object, row; an event's noise last
  std::int32_t* object_of;  // [hits] −1 = noise
  std::int32_t* event_of;   // [hits]
  Object<T>* objects;       // [hits] at most
  Event<T>* events;         // [events]
  T* charge;                // [hits]
  Pushed<T>* pushed;        // [hits]
};

template <typename T>
std::size_t lay_out(const CondensationHits<T>& hits, std::span<std::byte> memory, Arrays<T>& arrays) {
  memory::Layout layout(memory);
  const auto n = static_cast<std::size_t>(hits.num_hits);
  arrays.order = layout.take<std::int32_t>(n);
  arrays.object_of = layout.take<std::int32_t>(n);
  arrays.event_of = layout.take<std::int32_t>(n);
  arrays.objects = layout.take<Object<T>>(n);
  arrays.events = layout.take<Event<T>>(static_cast<std::size_t>(hits.num_events));
  arrays.charge = layout.take<T>(n);
  arrays.pushed = layout.take<Pushed<T>>(n);
  return layout.bytes();
}

// oneTBB's templates once.
void for_each(std::int32_t count, std::int32_t each, const std::function<void(std::int32_t)>& action) {
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, count, each), [&](const auto& range) {
    for (std::int32_t i = range.begin(); i < range.end(); ++i) action(i);
  });
}

template <typename T>
class Loss {
 public:
  Loss(const CondensationHits<T>& hits, const CondensationOptions& options, std::span<std::byte> workspace)
      : hits_(hits), options_(options), dimensions_(hits.dimensions), channels_(hits.payload_channels) {
    lay_out(hits, workspace, arrays_);
    check_values();
    find_objects();
    for_each(hits_.num_hits, 256, [&](std::int32_t h) { arrays_.charge[h] = charge(hits_.beta[h], options_).value; });
    for_each(num_objects_, 4, [&](std::int32_t o) { describe(arrays_.objects[o]); });
    for_each(hits_.num_events, 1, [&](std::int32_t e) { pool_payload(arrays_.events[e]); });
    for_each(hits_.num_hits, 64, [&](std::int32_t h) { push(h); });
  }

  void terms(const CondensationTerms<T>& out) const {
    for_each(hits_.num_events, 1, [&](std::int32_t e) { sum_event(e, out); });
  }

  void gradient(const CondensationTerms<const T>& g, const CondensationGradients<T>& out) {
    for_each(num_objects_, 1, [&](std::int32_t o) { differentiate(arrays_.objects[o], g); });
    for_each(hits_.num_hits, 64, [&](std::int32_t h) { finish(h, g, out); });
  }

 private:
  void check_values() const {
    check_row_splits(hits_.row_splits, hits_.num_events, hits_.num_hits);
    check_beta(hits_.beta, hits_.num_hits);
    check_finite("x", hits_.x, hits_.num_hits, dimensions_);
    check_finite("weight", hits_.weight, hits_.num_hits, 1);
    check_scale(hits_.scale, hits_.num_hits);
    if (channels_ > 0) check_finite("payload", hits_.payload, hits_.num_hits, channels_);
  }

  void find_objects() {
    const auto first_hit = [&](std::int32_t e) { return hits_.row_splits != nullptr ? hits_.row_splits[e] : 0; };
    for_each(hits_.num_events, 1, [&](std::int32_t e) {
      Event<T>& event = arrays_.events[e];
      event = {};
      event.first_hit = first_hit(e);
      event.last_hit = hits_.row_splits != nullptr ? hits_.row_splits[e + 1] : hits_.num_hits;
      for (std::int32_t h = event.first_hit; h < event.last_hit; ++h) {
        arrays_.order[h] = h;
        arrays_.event_of[h] = e;
      }
      // As unsigned numbers all noise comes last.
      std::sort(arrays_.order + event.first_hit, arrays_.order + event.last_hit, [&](std::int32_t a, std::int32_t b) {
        const auto of_a = object_key(a), of_b = object_key(b);
        return of_a < of_b || (of_a == of_b && a < b);
      });
    });
    num_objects_ = 0;
    for (std::int32_t e = 0; e < hits_.num_events; ++e) {
      Event<T>& event = arrays_.events[e];
      event.first_object = num_objects_;
      for (std::int32_t place = event.first_hit; place < event.last_hit; ++place) {
        const std::int32_t row = arrays_.order[place];
        if (hits_.truth[row] < 0) {
          arrays_.object_of[row] = -1;
          ++event.noise_hits;
          continue;
        }
        const bool begins = place == event.first_hit || hits_.truth[arrays_.order[place - 1]] != hits_.truth[row];
        if (begins) {
          arrays_.objects[num_objects_] = {};
          arrays_.objects[num_objects_].first = place;
          arrays_.objects[num_objects_].event = e;
          ++num_objects_;
        }
        arrays_.object_of[row] = num_objects_ - 1;
        arrays_.objects[num_objects_ - 1].last = place + 1;
      }
      event.last_object = num_objects_;
    }
  }

  std::uint32_t object_key(std::int32_t row) const {
    return hits_.truth[row] < 0 ? 0xFFFFFFFFU : static_cast<std::uint32_t>(hits_.truth[row]);
  }

  T phi(std::int32_t row) const { return hits_.scale != nullptr ? hits_.scale[row] : T(1); }
  T q(std::int32_t row) const { return arrays_.charge[row]; }
  const T* x(std::int32_t row) const { return hits_.x + std::int64_t{row} * dimensions_; }
  bool is_slide() const { return options_.form == CondensationForm::slide; }

  T distance2(std::int32_t row, const Object<T>& object) const {
    T sum = 0;
    for (int d = 0; d < dimensions_; ++d) {
      const T apart = x(row)[d] - object.centre[d];
      sum += apart * apart;
    }
    return sum;
  }

  void describe(Object<T>& object) const {
    object.alpha = arrays_.order[object.first];
    T largest = hits_.beta[object.alpha];
    for (std::int32_t place = object.first; place < object.last; ++place) {
      const std::int32_t row = arrays_.order[place];
      if (hits_.beta[row] > largest) {
        largest = hits_.beta[row];
        object.alpha = row;
      }
      const T charge_of_row = q(row);
      object.charge_sum += charge_of_row;
      object.scale += charge_of_row * phi(row);
      for (int d = 0; d < dimensions_; ++d) object.mean[d] += charge_of_row * x(row)[d];
      if (channels_ == 0) continue;
      const T xi = payload_weight(hits_.beta[row], options_).value;
      object.payload_weight_sum += xi;
      for (int p = 0; p < channels_; ++p) object.payload[p] += xi * hits_.payload[std::int64_t{row} * channels_ + p];
    }
    for (int p = 0; p < channels_; ++p) object.payload[p] /= object.payload_weight_sum;
    object.alpha_charge = q(object.alpha);
    object.weight = is_slide() && hits_.weight != nullptr ? hits_.weight[object.alpha] : T(1);
    object.scale = options_.scale == CondensationScale::mean ? object.scale / object.charge_sum : phi(object.alpha);
    object.inverse = inverse_scale(object.scale, options_.form).value;
    const T share = static_cast<T>(options_.centre);
    for (int d = 0; d < dimensions_; ++d) {
      object.mean[d] /= object.charge_sum;
      object.centre[d] = (T(1) - share) * x(object.alpha)[d] + share * object.mean[d];
    }
    const Event<T>& event = arrays_.events[object.event];
    const Shares<T> parts = shares<T>(options_.form, event.last_hit - event.first_hit,
                                      event.last_object - event.first_object, object.last - object.first);
    object.alpha_coefficient = parts.attraction * object.weight;
    object.repulsion_coefficient = parts.repulsion * object.weight;
    for (std::int32_t place = object.first; place < object.last; ++place) {
      const std::int32_t row = arrays_.order[place];
      object.attraction += q(row) * attraction(distance2(row, object) * object.inverse, options_.form).value;
      object.beta_sum += hits_.beta[row];
      object.exponential_sum += std::exp((hits_.beta[row] - largest) / static_cast<T>(kTemperature));
    }
  }

  void pool_payload(Event<T>& event) const {
    for (std::int32_t o = event.first_object; o < event.last_object; ++o) {
      const Object<T>& object = arrays_.objects[o];
      event.payload_weight_sum += object.payload_weight_sum;
      for (int p = 0; p < channels_; ++p) event.payload[p] += object.payload[p] * object.payload_weight_sum;
    }
    if (event.payload_weight_sum == T(0)) return;
    for (int p = 0; p < channels_; ++p) event.payload[p] /= event.payload_weight_sum;
  }

  void push(std::int32_t row) const {
    Pushed<T>& pushed = arrays_.pushed[row];
    pushed = {};
    const Event<T>& event = arrays_.events[arrays_.event_of[row]];
    for (std::int32_t o = event.first_object; o < event.last_object; ++o) {
      if (o == arrays_.object_of[row]) continue;
      const Object<T>& object = arrays_.objects[o];
      const T coefficient = object.repulsion_coefficient * object.alpha_charge;
      const Value<T> r = repulsion(distance2(row, object) * object.inverse, options_.form);
      pushed.value += coefficient * r.value;
      const T along = T(2) * coefficient * r.derivative * object.inverse;
      for (int d = 0; d < dimensions_; ++d) pushed.along[d] += along * (x(row)[d] - object.centre[d]);
    }
  }

  void sum_event(std::int32_t e, const CondensationTerms<T>& out) const {
    const Event<T>& event = arrays_.events[e];
    T attracted = 0, repelled = 0, objects = 0, noise = 0;
    T payload[kMaxPayloadChannels] = {};
    for (std::int32_t o = event.first_object; o < event.last_object; ++o) {
      const Object<T>& object = arrays_.objects[o];
      attracted += object.alpha_coefficient * object.alpha_charge * object.attraction;
      objects += missing_beta(object);
      for (int p = 0; p < channels_; ++p) payload[p] += object.payload[p];
    }
    for (std::int32_t row = event.first_hit; row < event.last_hit; ++row) {
      repelled += q(row) * arrays_.pushed[row].value;
      if (arrays_.object_of[row] < 0) noise += hits_.beta[row];
    }
    const std::int32_t count = event.last_object - event.first_object;
    out.attraction[e] = attracted;
    out.repulsion[e] = repelled;
    out.objects[e] = count == 0 ? T(0) : objects / T(count);
    out.noise[e] = noise * noise_share(event);
    for (int p = 0; p < channels_; ++p) {
      const T mean = count == 0 ? T(0) : payload[p] / T(count);
      out.payload[std::int64_t{e} * channels_ + p] = options_.payload_per_event ? event.payload[p] : mean;
    }
  }

  T noise_share(const Event<T>& event) const {
    if (event.noise_hits == 0) return T(0);
    return T(1) / T(options_.form == CondensationForm::fgc ? event.last_hit - event.first_hit : event.noise_hits);
  }

  T missing_beta(const Object<T>& object) const {
    const T largest = hits_.beta[object.alpha];
    if (options_.form != CondensationForm::fgc) return T(1) - largest;
    const T soft = largest + static_cast<T>(kTemperature) * std::log(object.exponential_sum);
    return (T(1) - soft) + (T(1) - std::min(object.beta_sum, T(1)));
  }

  // The gradients that an object passes on to its hits.
  void differentiate(Object<T>& object, const CondensationTerms<const T>& g) const {
    const T pull = g.attraction[object.event] * object.alpha_coefficient;
    const T push = g.repulsion[object.event] * object.repulsion_coefficient;
    T of_inverse = 0, of_charge = pull * object.attraction;
    T of_centre[kMaxCondensationDimensions] = {};
    const Event<T>& event = arrays_.events[object.event];
    for (std::int32_t row = event.first_hit; row < event.last_hit; ++row) {
      const bool own = &arrays_.objects[std::max(arrays_.object_of[row], 0)] == &object && arrays_.object_of[row] >= 0;
      const T d2 = distance2(row, object);
      const Value<T> potential =
          own ? attraction(d2 * object.inverse, options_.form) : repulsion(d2 * object.inverse, options_.form);
      const T charge_of_row = q(row);
      if (!own) of_charge += push * charge_of_row * potential.value;
      const T of_u = (own ? pull : push) * object.alpha_charge * charge_of_row * potential.derivative;
      of_inverse += of_u * d2;
      for (int d = 0; d < dimensions_; ++d)
        of_centre[d] -= T(2) * of_u * object.inverse * (x(row)[d] - object.centre[d]);
    }
    object.of_alpha_charge = of_charge;
    object.of_scale = of_inverse * inverse_scale(object.scale, options_.form).derivative;
    std::copy_n(of_centre, kMaxCondensationDimensions, object.of_centre);
  }

  void finish(std::int32_t row, const CondensationTerms<const T>& g, const CondensationGradients<T>& out) const {
    const std::int32_t e = arrays_.event_of[row], o = arrays_.object_of[row];
    const Event<T>& event = arrays_.events[e];
    const Pushed<T>& pushed = arrays_.pushed[row];
    const T charge_of_row = q(row);
    T of_charge = g.repulsion[e] * pushed.value, of_beta = 0, of_scale = 0;
    T of_x[kMaxCondensationDimensions];
    for (int d = 0; d < dimensions_; ++d) of_x[d] = g.repulsion[e] * charge_of_row * pushed.along[d];
    T* const of_payload = out.payload != nullptr ? out.payload + std::int64_t{row} * channels_ : nullptr;
    if (o < 0) {
      of_beta = g.noise[e] * noise_share(event);
      for (int p = 0; of_payload != nullptr && p < channels_; ++p) of_payload[p] = 0;
    } else {
      const Object<T>& object = arrays_.objects[o];
      const T count = T(event.last_object - event.first_object);
      const T coefficient = g.attraction[e] * object.alpha_coefficient * object.alpha_charge;
      const Value<T> a = attraction(distance2(row, object) * object.inverse, options_.form);
      of_charge += coefficient * a.value;
      const T share = static_cast<T>(options_.centre);
      for (int d = 0; d < dimensions_; ++d) {
        of_x[d] += T(2) * coefficient * charge_of_row * a.derivative * object.inverse * (x(row)[d] - object.centre[d]);
        of_x[d] += share * charge_of_row / object.charge_sum * object.of_centre[d];
        of_charge += share * (x(row)[d] - object.mean[d]) / object.charge_sum * object.of_centre[d];
        if (row == object.alpha) of_x[d] += (T(1) - share) * object.of_centre[d];
      }
      if (options_.scale == CondensationScale::mean) {
        of_scale = charge_of_row / object.charge_sum * object.of_scale;
        of_charge += (phi(row) - object.scale) / object.charge_sum * object.of_scale;
      } else if (row == object.alpha) {
        of_scale = object.of_scale;
      }
      if (row == object.alpha) of_charge += object.of_alpha_charge;
      of_beta = -g.objects[e] / count * of_missing_beta(row, object);
      const Value<T> xi = payload_weight(hits_.beta[row], options_);
      for (int p = 0; p < channels_; ++p) {
        const T loss = hits_.payload[std::int64_t{row} * channels_ + p],
                upstream = g.payload[std::int64_t{e} * channels_ + p];
        const T sum = options_.payload_per_event ? event.payload_weight_sum : object.payload_weight_sum * count;
        const T mean = options_.payload_per_event ? event.payload[p] : object.payload[p];
        if (of_payload != nullptr) of_payload[p] = upstream * xi.value / sum;
        of_beta += upstream * (loss - mean) / sum * xi.derivative;
      }
    }
    out.beta[row] = of_beta + of_charge * charge(hits_.beta[row], options_).derivative;
    std::copy_n(of_x, dimensions_, out.x + std::int64_t{row} * dimensions_);
    if (out.scale != nullptr) out.scale[row] = of_scale;
  }

  // −∂/∂β of missing_beta.
  T of_missing_beta(std::int32_t row, const Object<T>& object) const {
    if (options_.form != CondensationForm::fgc) return row == object.alpha ? T(1) : T(0);
    const T largest = hits_.beta[object.alpha];
    const T share = std::exp((hits_.beta[row] - largest) / static_cast<T>(kTemperature)) / object.exponential_sum;
    return share + (object.beta_sum <= T(1) ? T(1) : T(0));
  }

  const CondensationHits<T>& hits_;
  const CondensationOptions options_;
  const int dimensions_, channels_;
  Arrays<T> arrays_;
  std::int32_t num_objects_ = 0;
};

}  // namespace

template <typename T>
std::size_t workspace_bytes(const CondensationHits<T>& hits) {
  Arrays<T> arrays;
  return lay_out(hits, {}, arrays);
}

template <typename T>
void loss(const CondensationHits<T>& hits, const CondensationOptions& options, const CondensationTerms<T>& terms,
          std::span<std::byte> workspace) {
  Loss<T>(hits, options, workspace).terms(terms);
}

template <typename T>
void gradient(const CondensationHits<T>& hits, const CondensationOptions& options,
              const CondensationTerms<const T>& gradients, const CondensationGradients<T>& out,
              std::span<std::byte> workspace) {
  Loss<T>(hits, options, workspace).gradient(gradients, out);
}

#define STARLING_INSTANTIATE(T)                                                                                     \
  template std::size_t workspace_bytes(const CondensationHits<T>&);                                                 \
  template void loss(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<T>&,           \
                     std::span<std::byte>);                                                                         \
  template void gradient(const CondensationHits<T>&, const CondensationOptions&, const CondensationTerms<const T>&, \
                         const CondensationGradients<T>&, std::span<std::byte>)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(double);
#undef STARLING_INSTANTIATE

}  // namespace starling::condensation::host
