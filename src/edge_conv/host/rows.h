#pragma once

#include <cstdint>

#include "edge_conv/formulas.h"
#include "edge_conv/host/kernels.h"

// The loops, compiled once for each instruction set: everything here has internal linkage. Features are the inner
// loops, which the compiler turns into vectors; no sum crosses them.
namespace starling::edgeconv {
namespace {

constexpr int kBlock = 128;  // features at once

// Not the standard library's, whose code could be linked from here into sources for other instruction sets.
int lesser(int a, int b) { return a < b ? a : b; }
template <typename U>
void fill(U* values, std::int64_t count, U value) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = value;
}

template <typename T>
void add(const T* __restrict terms, int count, T* __restrict sum) {
  for (int i = 0; i < count; ++i) sum[i] += terms[i];
}

template <typename T>
void take_maximum(const T* __restrict message, std::int32_t place, int count, T* __restrict best,
                  std::int32_t* __restrict slot) {
  for (int f = 0; f < count; ++f) {
    const T value = message[f];
    const bool wins = (slot[f] < 0) | (value > best[f]) | ((value != value) & (best[f] == best[f]));
    best[f] = wins ? value : best[f];
    slot[f] = wins ? place : slot[f];
  }
}

/// Sums of up to kBlock features in kSumParts parts, and how many terms are above 0.
template <typename T>
struct Sums {
  T part[kSumParts][kBlock];
  std::int32_t positive[kBlock];

  void add(const T* __restrict p, const T* __restrict q, int place, int count, bool relu) {
    T* __restrict const sum = part[place % kSumParts];
    if (!relu) {
      for (int f = 0; f < count; ++f) sum[f] += p[f] + q[f];
      return;
    }
    for (int f = 0; f < count; ++f) {
      const T message = p[f] + q[f];
      sum[f] += relu_of(message);
      positive[f] += message > T(0);
    }
  }
  T total(int f) const { return (part[0][f] + part[2][f]) + (part[1][f] + part[3][f]); }
};

template <typename T>
void aggregate_rows(const EdgeConv<T>& conv, const EdgeConvResult<T>& result, std::int32_t begin, std::int32_t end) {
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = first_entry(conv, row), last = first_entry(conv, row + 1);
    std::int32_t found = 0;
    for (std::int64_t e = first; e < last; ++e) found += conv.index[e] >= 0;
    if (result.found != nullptr) result.found[row] = found;
    for (int at = 0; at < conv.hidden; at += kBlock) {
      const int count = lesser(kBlock, conv.hidden - at);
      const std::int64_t here = row * conv.hidden + at;
      const T* const p = conv.target + here;
      T* const out = result.out + here;
      if (is_max) {
        T best[kBlock], message[kBlock];
        std::int32_t slot[kBlock];
        fill(best, count, T(0));
        fill(slot, count, kNone);
        for (std::int64_t e = first; e < last; ++e) {
          if (conv.index[e] < 0) continue;
          const T* const q = conv.source + std::int64_t{conv.index[e]} * conv.hidden + at;
          for (int f = 0; f < count; ++f) message[f] = p[f] + q[f];
          take_maximum(message, static_cast<std::int32_t>(e - first), count, best, slot);
        }
        for (int f = 0; f < count; ++f) out[f] = best[f];
        if (result.kept == nullptr) continue;
        for (int f = 0; f < count; ++f) result.kept[here + f] = slot[f];
        continue;
      }
      Sums<T> sums;
      for (int part = 0; part < kSumParts; ++part) fill(sums.part[part], count, T(0));
      fill(sums.positive, count, 0);
      for (std::int64_t e = first; e < last; ++e) {
        if (conv.index[e] < 0) continue;
        sums.add(p, conv.source + std::int64_t{conv.index[e]} * conv.hidden + at,
                 static_cast<int>((e - first) % kSumParts), count, conv.relu);
      }
      const T divisor = conv.aggregation == EdgeAggregation::mean && found > 0 ? T(found) : T(1);
      for (int f = 0; f < count; ++f) out[f] = sums.total(f) / divisor;
      if (result.kept == nullptr || !conv.relu) continue;
      for (int f = 0; f < count; ++f) result.kept[here + f] = sums.positive[f];
    }
  }
}

template <typename T>
void hidden_layer(const EdgeConv<T>& conv, std::int64_t row, const std::int32_t* sources, int count, T* tile) {
  const T* __restrict const p = conv.target + row * conv.hidden;
  for (int n = 0; n < count; ++n) {
    const T* __restrict const q = conv.source + std::int64_t{sources[n]} * conv.hidden;
    T* __restrict const out = tile + std::int64_t{n} * conv.hidden;
    for (int h = 0; h < conv.hidden; ++h) out[h] = relu_of(p[h] + q[h]);
  }
}

template <typename T>
void product(const T* tile, int count, int hidden, const T* packed, const T* bias, int columns, T* out) {
  for (int n = 0; n < count; ++n) {
    T* __restrict const sum = out + std::int64_t{n} * columns;
    fill(sum, columns, T(0));
    for (int h = 0; h < hidden; ++h) {
      const T value = tile[std::int64_t{n} * hidden + h];
      const T* __restrict const weights = packed + std::int64_t{h} * columns;
      for (int c = 0; c < columns; ++c) sum[c] += value * weights[c];
    }
    for (int c = 0; c < columns; ++c) sum[c] += bias[c];
  }
}

template <typename T>
void take_max(const T* messages, int stride, const std::int32_t* places, int count, int width, T* best,
              std::int32_t* slot) {
  for (int n = 0; n < count; ++n) take_maximum(messages + std::int64_t{n} * stride, places[n], width, best, slot);
}

template <typename T>
void target_gradient_rows(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept, T* scale,
                          T* target_gradient, std::int32_t begin, std::int32_t end) {
  for (std::int64_t row = begin; row < end; ++row) {
    std::int32_t found = 0;
    for (std::int64_t e = first_entry(conv, row); e < first_entry(conv, row + 1); ++e) found += conv.index[e] >= 0;
    scale[row] = scale_of(conv, found);
    if (target_gradient == nullptr) continue;
    const std::int64_t here = row * conv.hidden;
    const T* __restrict const gradient = out_gradient + here;
    T* __restrict const out = target_gradient + here;
    if (conv.aggregation == EdgeAggregation::max) {
      for (int f = 0; f < conv.hidden; ++f) out[f] = found > 0 ? gradient[f] : T(0);
    } else {
      for (int f = 0; f < conv.hidden; ++f)
        out[f] = target_gradient_of(conv, gradient[f], found, conv.relu ? kept[here + f] : 0);
    }
  }
}

template <typename T>
void weight_gradient_rows(const EdgeConv<T>& conv, const T* out_gradient, const std::int32_t* kept, T* weight_part,
                          T* bias_part, T* target_gradient, std::int32_t begin, std::int32_t end) {
  const int hidden = conv.hidden;
  fill(weight_part, std::int64_t{conv.outputs} * hidden, T(0));
  fill(bias_part, conv.outputs, T(0));
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t first = first_entry(conv, row);
    const T* __restrict const p = conv.target + row * hidden;
    T of_target[kMaxFusedEdgeWidth], block[kMaxFusedEdgeWidth];
    fill(of_target, hidden, T(0));
    fill(block, hidden, T(0));
    for (int o = 0; o < conv.outputs; ++o) {
      if (o % kOutputBlock == 0) {
        add(block, hidden, of_target);
        fill(block, hidden, T(0));
      }
      const std::int32_t place = kept[row * conv.outputs + o];
      if (place < 0) continue;
      const T gradient = out_gradient[row * conv.outputs + o];
      const T* __restrict const q = conv.source + std::int64_t{conv.index[first + place]} * hidden;
      const T* __restrict const weights = conv.weight + std::int64_t{o} * hidden;
      T* __restrict const part = weight_part + std::int64_t{o} * hidden;
      bias_part[o] += gradient;
      for (int h = 0; h < hidden; ++h) {
        const T before = p[h] + q[h];
        part[h] += gradient * relu_of(before);
        const T sum = block[h] + gradient * weights[h];
        block[h] = before > T(0) ? sum : block[h];
      }
    }
    add(block, hidden, of_target);
    if (target_gradient == nullptr) continue;
    for (int h = 0; h < hidden; ++h) target_gradient[row * hidden + h] = of_target[h];
  }
}

/// Adds to `sum` the gradient that one entry of a row brings to its source, with weight.
template <typename T>
void add_through_weight(const EdgeConv<T>& conv, const T* out_gradient, const Record* records, std::uint32_t entry,
                        std::int64_t row, const T* __restrict q, T* __restrict sum) {
  const int hidden = conv.hidden;
  const std::int64_t entries = num_entries(conv);
  T term[kMaxFusedEdgeWidth];
  bool any = false;
  for (int block = 0; block < record_blocks(conv.outputs); ++block) {
    for (Record bits = records[block * entries + entry]; bits != 0; bits &= bits - 1) {
      const int o = block * kBitsPerRecord + __builtin_ctzll(bits);
      const T gradient = out_gradient[row * conv.outputs + o];
      const T* __restrict const weights = conv.weight + std::int64_t{o} * hidden;
      if (!any) fill(term, hidden, T(0));
      any = true;
      for (int h = 0; h < hidden; ++h) term[h] += gradient * weights[h];
    }
  }
  if (!any) return;
  const T* __restrict const p = conv.target + row * hidden;
  for (int h = 0; h < hidden; ++h) {
    const T more = sum[h] + term[h];
    sum[h] = p[h] + q[h] > T(0) ? more : sum[h];
  }
}

template <typename T>
void source_gradient_rows(const EdgeConv<T>& conv, const T* out_gradient, const Record* records, const T* scale,
                          const lists::Holders& holders, T* source_gradient, std::int32_t begin, std::int32_t end) {
  const int hidden = conv.hidden;
  const std::int64_t entries = num_entries(conv);
  const bool is_max = conv.aggregation == EdgeAggregation::max;
  for (std::int64_t source = begin; source < end; ++source) {
    T* __restrict const sum = source_gradient + source * hidden;
    const T* __restrict const q = conv.source + source * hidden;
    fill(sum, hidden, T(0));
    for (std::uint32_t i = holders.begin[source]; i < holders.begin[source + 1]; ++i) {
      const std::uint32_t entry = holders.entry[i];
      const std::int64_t row = lists::row_of_entry(holders, entry, conv.k);
      if (conv.weight != nullptr) {
        add_through_weight(conv, out_gradient, records, entry, row, q, sum);
        continue;
      }
      const T* __restrict const gradient = out_gradient + row * hidden;
      if (is_max) {
        for (int block = 0; block < record_blocks(hidden); ++block) {
          for (Record bits = records[block * entries + entry]; bits != 0; bits &= bits - 1) {
            const int f = block * kBitsPerRecord + __builtin_ctzll(bits);
            sum[f] += gradient[f];
          }
        }
        continue;
      }
      const T factor = scale[row];
      if (!conv.relu) {
        for (int f = 0; f < hidden; ++f) sum[f] += gradient[f] * factor;
        continue;
      }
      const T* __restrict const p = conv.target + row * hidden;
      for (int f = 0; f < hidden; ++f) {
        const T more = sum[f] + gradient[f] * factor;
        sum[f] = p[f] + q[f] > T(0) ? more : sum[f];
      }
    }
  }
}

template <typename T>
void fill_kernels(Kernels<T>& kernels) {
  kernels = {aggregate_rows<T>,       hidden_layer<T>,        product<T>, take_max<T>, target_gradient_rows<T>,
             weight_gradient_rows<T>, source_gradient_rows<T>};
}

}  // namespace
}  // namespace starling::edgeconv
