#pragma once

#include <cstdint>

#include "half/storage.h"
#include "message/arithmetic.h"
#include "message/host/kernels.h"

// The loops over rows, compiled once for each instruction set: everything here has internal linkage. Features are the
// inner loops, which the compiler turns into vectors; no sum crosses them but that of the weights' gradients, whose
// order is written out.
namespace starling::message {

using storage::computed, storage::store;
namespace {

constexpr int kBlock = 128;  // features at once
constexpr int kQuads = kBlock / 4;

// Not the standard library's, whose code could be linked from here into sources for other instruction sets.
int lesser(int a, int b) { return a < b ? a : b; }
template <typename U>
void fill(U* values, std::int64_t count, U value) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = value;
}

/// Stored values in the type of the computation: where they lie, or converted in `buffer`.
template <typename T>
const T* read(const T* stored, int, T*) {
  return stored;
}
template <typename T, typename S>
const T* read(const S* stored, int count, T* buffer) {
  for (int i = 0; i < count; ++i) buffer[i] = computed(stored[i]);
  return buffer;
}

/// By halves: parts 0 + 2 and 1 + 3, then both.
template <typename T>
T combine(const T* parts, int stride) {
  return (parts[0] + parts[2 * stride]) + (parts[stride] + parts[3 * stride]);
}

template <typename T>
struct RowSums {
  T weights = 0;
  std::int32_t found = 0;
};

template <typename T, typename S>
RowSums<T> row_sums(const Messages<T, S>& messages, std::int64_t first, std::int64_t end) {
  T parts[kMessageParts] = {};
  RowSums<T> sums;
  for (std::int64_t e = first; e < end; ++e) {
    if (messages.index[e] < 0) continue;
    ++sums.found;
    if (messages.divisor == MeanDivisor::weights) parts[(e - first) % kMessageParts] += weight_of(messages, e);
  }
  sums.weights = combine(parts, 1);
  return sums;
}

/// Mean and maximum of `count` ≤ kBlock features from feature `begin` on.
template <typename T>
struct Block {
  T sum[kMessageParts][kBlock];
  T best[kBlock];
  std::int32_t slot[kBlock];

  std::int32_t found = 0;
  T weights[kMessageParts] = {};

  template <typename S>
  void gather(const Messages<T, S>& messages, std::int64_t first, std::int64_t end, int begin, int count) {
    T buffer[kBlock];
    for (int part = 0; part < kMessageParts; ++part) fill(sum[part], count, T(0));
    fill(best, count, T(0));
    fill(slot, count, kNoSlot);
    for (std::int64_t e = first; e < end; ++e) {
      const std::int32_t source = messages.index[e];
      if (source < 0) continue;
      const T weight = weight_of(messages, e);
      const auto place = static_cast<std::int32_t>(e - first);
      weights[place % kMessageParts] += weight;
      const S* const stored = messages.features + std::int64_t{source} * messages.width + begin;
      add(read(stored, count, buffer), weight, place, count);
      ++found;
    }
  }

 private:
  void add(const T* __restrict h, T weight, std::int32_t place, int count) {
    T* __restrict const part = sum[place % kMessageParts];
    const bool is_first = found == 0;
    for (int f = 0; f < count; ++f) {
      const T message = weight * h[f];
      part[f] += message;
      const bool wins = is_first | (message > best[f]) | ((message != message) & (best[f] == best[f]));
      best[f] = wins ? message : best[f];
      slot[f] = wins ? place : slot[f];
    }
  }
};

template <typename T, typename S>
void aggregate_rows(const Messages<T, S>& messages, const Aggregates<S>& out, std::int32_t begin, std::int32_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = first_entry(messages, row), last = first_entry(messages, row + 1);
    for (int at = 0; at < messages.width; at += kBlock) {
      const int count = lesser(kBlock, messages.width - at);
      Block<T> block;
      block.gather(messages, first, last, at, count);
      const T divisor = divisor_of(messages, block.found, combine(block.weights, 1));
      const bool zero_takes_part = messages.absent_is_zero && block.found < messages.k;
      T buffer[kBlock];
      // Rows need not be sources, where nothing is subtracted.
      const T* const own =
          messages.subtract ? read(messages.features + row * messages.width + at, count, buffer) : nullptr;
      for (int f = 0; f < count; ++f) {
        const T sum = combine(&block.sum[0][f], kBlock);
        const T mean = divisor == T(0) ? T(0) : sum / divisor;
        if (zero_takes_part && (block.found == 0 || later_wins(block.best[f], T(0)))) {
          block.best[f] = 0;
          block.slot[f] = kNoSlot;
        }
        const std::int64_t place = row * out.stride + at + f;
        if (out.mean != nullptr) store(out.mean[place], own != nullptr ? own[f] - mean : mean);
        if (out.max != nullptr) store(out.max[place], own != nullptr ? own[f] - block.best[f] : block.best[f]);
        if (out.max_slot != nullptr) out.max_slot[row * messages.width + at + f] = block.slot[f];
      }
    }
  }
}

/// Writes inverse_of() of each row and, where wanted, the gradient of each entry's weight or d².
template <typename T, typename S>
void weight_gradient_rows(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, T* inverse,
                          T* weight_gradient, std::int32_t begin, std::int32_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = first_entry(messages, row), last = first_entry(messages, row + 1);
    const RowSums<T> sums = row_sums(messages, first, last);
    inverse[row] = inverse_of(divisor_of(messages, sums.found, sums.weights));
    if (weight_gradient == nullptr) continue;
    fill(weight_gradient + first, last - first, T(0));
    for (int at = 0; at < messages.width; at += kBlock) {
      const int count = lesser(kBlock, messages.width - at);
      int quads = 1;
      while (4 * quads < count) quads *= 2;
      T scaled[kBlock] = {}, max_gradient[kBlock] = {}, mean[kBlock] = {};
      std::int32_t slot[kBlock];
      fill(slot, kBlock, kNoSlot);
      const T sign = messages.subtract ? T(-1) : T(1);
      for (int f = 0; f < count; ++f) {
        if (gradients.mean != nullptr)
          scaled[f] = sign * computed(gradients.mean[row * gradients.stride + at + f]) * inverse[row];
        if (gradients.max == nullptr) continue;
        max_gradient[f] = sign * computed(gradients.max[row * gradients.stride + at + f]);
        slot[f] = gradients.max_slot[row * messages.width + at + f];
      }
      if (messages.divisor == MeanDivisor::weights) {
        Block<T> block;
        block.gather(messages, first, last, at, count);
        const T divisor = divisor_of(messages, sums.found, sums.weights);
        for (int f = 0; f < count; ++f) mean[f] = divisor == T(0) ? T(0) : combine(&block.sum[0][f], kBlock) / divisor;
      }
      for (std::int64_t e = first; e < last; ++e) {
        if (messages.index[e] < 0) continue;
        T buffer[kBlock];
        const T* const h =
            read(messages.features + std::int64_t{messages.index[e]} * messages.width + at, count, buffer);
        const auto place = static_cast<std::int32_t>(e - first);
        T term[kBlock] = {}, sum[kQuads];
        for (int f = 0; f < count; ++f)
          term[f] = scaled[f] * (h[f] - mean[f]) + (slot[f] == place ? max_gradient[f] * h[f] : T(0));
        for (int q = 0; q < quads; ++q) sum[q] = (term[4 * q] + term[4 * q + 1]) + (term[4 * q + 2] + term[4 * q + 3]);
        for (int half = quads / 2; half > 0; half /= 2)
          for (int q = 0; q < half; ++q) sum[q] += sum[q + half];
        weight_gradient[e] += sum[0];
      }
    }
    if (messages.distance2 == nullptr) continue;
    for (std::int64_t e = first; e < last; ++e) {
      if (messages.index[e] >= 0)
        weight_gradient[e] = distance_gradient_of(messages.factor, weight_of(messages, e), weight_gradient[e]);
    }
  }
}

/// Gathers the features' gradients of the sources from the entries that hold them.
template <typename T, typename S>
void features_gradient_rows(const Messages<T, S>& messages, const AggregateGradients<S>& gradients, const T* inverse,
                            const Holders& holders, S* features_gradient, std::int32_t begin, std::int32_t end) {
  const T sign = messages.subtract ? T(-1) : T(1);
  for (std::int64_t source = begin; source < end; ++source) {
    const std::uint32_t first = holders.begin[source], last = holders.begin[source + 1];
    for (int at = 0; at < messages.width; at += kBlock) {
      const int count = lesser(kBlock, messages.width - at);
      T sum[kMessageParts][kBlock];
      for (int part = 0; part < kMessageParts; ++part) fill(sum[part], count, T(0));
      for (std::uint32_t i = first; i < last; ++i) {
        const std::int64_t e = holders.entry[i], row = lists::row_of_entry(holders, holders.entry[i], messages.k);
        const auto place = static_cast<std::int32_t>(e - first_entry(messages, row));
        const T weight = sign * weight_of(messages, e), scale = inverse[row];
        T* __restrict const part = sum[(i - first) % kMessageParts];
        const std::int64_t first_value = row * gradients.stride + at;
        T mean_buffer[kBlock], max_buffer[kBlock];
        const T* const mean =
            gradients.mean != nullptr ? read(gradients.mean + first_value, count, mean_buffer) : nullptr;
        const T* const max = gradients.max != nullptr ? read(gradients.max + first_value, count, max_buffer) : nullptr;
        const std::int32_t* const slot = max != nullptr ? gradients.max_slot + row * messages.width + at : nullptr;
        for (int f = 0; f < count; ++f) {
          const T scaled = mean != nullptr ? mean[f] * scale : T(0);
          part[f] +=
              weight * message_gradient(scaled, max != nullptr && slot[f] == place, max != nullptr ? max[f] : T(0));
        }
      }
      S* const out = features_gradient + source * messages.width + at;
      const std::int64_t own = source * gradients.stride + at;
      for (int f = 0; f < count; ++f) {
        T gradient = combine(&sum[0][f], kBlock);
        if (messages.subtract) {
          const T mean = gradients.mean != nullptr ? computed(gradients.mean[own + f]) : T(0);
          const T max = gradients.max != nullptr ? computed(gradients.max[own + f]) : T(0);
          gradient += mean + max;
        }
        store(out[f], gradient);
      }
    }
  }
}

template <typename T, typename S>
void fill_kernels(Kernels<T, S>& kernels) {
  kernels = {aggregate_rows<T, S>, weight_gradient_rows<T, S>, features_gradient_rows<T, S>};
}

}  // namespace
}  // namespace starling::message
