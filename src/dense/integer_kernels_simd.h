// The integer kernels over a vector type V, included by one file per instruction level, which defines V in an anonymous
// namespace first: nothing here is visible to another file.
//
// V has: Int (of std::int32_t), Float, kWidth lanes, kPanel (most vectors in a panel), rows_at_once(panel); load,
// store, broadcast and zero of either; add(Int, Int); dot(Int sum, weights, Int inputs) per type of a code; max, min,
// to_float and to_int (rint) between them; mul, sub, fma, sqrt, div of Float; less (a bit per lane); each sum of kWidth
// vectors that lie one behind the other (sums_of); store_codes; any_differs.

#include "dense/float_kernels.h"
#include "dense/integer_rows.h"

namespace {

template <typename Code>
constexpr int kGroup = 4 / sizeof(Code);  // inputs per lane: the bytes of a sum

static_assert(kCodeGroup % kGroup<std::uint8_t> == 0 && kCodeColumns % V::kWidth == 0);

/// kGroup codes as one lane.
template <typename Code>
V::Int inputs_of(const Code* codes) {
  std::int32_t together;
  __builtin_memcpy(&together, codes, sizeof together);
  return V::broadcast(together);
}

/// Adds the products of one input. A level may have a more special form for a type of code.
template <typename Code, int kVectors, int kRows>
void accumulate(V::Int (&sum)[kRows][kVectors], const Code* codes, std::ptrdiff_t stride, int width,
                const char* weights, int /*chain*/) {
#pragma GCC unroll 2
  for (int k = 0; k < width; k += kGroup<Code>) {
    V::Int w[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) w[v] = V::load(reinterpret_cast<const std::int32_t*>(weights) + v * V::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const V::Int value = inputs_of(codes + r * stride + k);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = V::dot(sum[r][v], w[v], value, Code{});
    }
    weights += sizeof(std::int32_t) * kVectors * V::kWidth;
  }
}

template <typename Code, int kVectors, int kRows>
void product_block(const IntegerProduct& p, const char* weights, int row, int column) {
  using Int = V::Int;
  if (column == 0) {
    const int from = row * p.ahead.count / p.rows, to = (row + kRows) * p.ahead.count / p.rows;
    for (int i = from; i < to; ++i) {
      const char* const next = static_cast<const char*>(p.ahead.data) + std::ptrdiff_t{p.ahead.rows[i]} * p.ahead.bytes;
      for (int byte = 0; byte < p.ahead.bytes; byte += 64) __builtin_prefetch(next + byte);
    }
  }
  Int sum[kRows][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const Int start = V::load(static_cast<const std::int32_t*>(p.start) + column + v * V::kWidth);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) sum[r][v] = start;
  }
  for (int input = 0; input < p.num_inputs; ++input) {
    const CodeRows& in = p.inputs[input];
    accumulate(sum, static_cast<const Code*>(in.data) + row * in.stride, in.stride, in.width, weights, p.chain);
    weights += sizeof(std::int32_t) * (in.width / kGroup<Code>)*kVectors * V::kWidth;
  }
  if (p.by_src != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const auto* const src =
          static_cast<const std::int32_t*>(p.by_src) + std::ptrdiff_t{p.src[row + r]} * p.columns + column;
      const auto* const dst =
          static_cast<const std::int32_t*>(p.by_dst) + std::ptrdiff_t{p.dst[row + r]} * p.columns + column;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sum[r][v] = V::add(sum[r][v], V::add(V::load(src + v * V::kWidth), V::load(dst + v * V::kWidth)));
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    std::int32_t* const out = static_cast<std::int32_t*>(p.sums) + std::ptrdiff_t{row + r} * p.columns + column;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::store(out + v * V::kWidth, sum[r][v]);
  }
}

template <typename Code, int kVectors>
void product_panel(const IntegerProduct& p, const char* weights, int column) {
  constexpr int kRows = V::rows_at_once(kVectors, Code{});
  int row = 0;
  for (; row + kRows <= p.rows; row += kRows) product_block<Code, kVectors, kRows>(p, weights, row, column);
  for (; row + 2 <= p.rows; row += 2) product_block<Code, kVectors, 2>(p, weights, row, column);
  for (; row < p.rows; ++row) product_block<Code, kVectors, 1>(p, weights, row, column);
}

template <typename Code>
void product(const IntegerProduct& p) {
  int groups = 0;
  for (int input = 0; input < p.num_inputs; ++input) groups += p.inputs[input].width / kGroup<Code>;
  const char* weights = static_cast<const char*>(p.weights);
  for (int column = 0; column < p.columns;) {
    const int vectors = panel_vectors((p.columns - column) / V::kWidth, V::kPanel);
    switch (vectors) {
      case 1:
        product_panel<Code, 1>(p, weights, column);
        break;
      case 2:
        product_panel<Code, 2>(p, weights, column);
        break;
      default:
        product_panel<Code, 3>(p, weights, column);
    }
    column += vectors * V::kWidth;
    weights += sizeof(std::int32_t) * groups * vectors * V::kWidth;
  }
}

constexpr float kEpsilon = 0x1p-24f;  // the rounding of one operation, as a part of its result

/// Codes of one row from the two ends of an interval that holds every value in steps of the grid:
/// sums · factor + from and sums · factor + to. Where both ends have one code it is the code. Where they differ the
/// definition decides, which is rare.
template <typename Code>
struct RowCodes {
  const IntegerQuantize& q;
  V::Int highest, none;

  explicit RowCodes(const IntegerQuantize& quantize)
      : q(quantize),
        highest(V::broadcast_code(static_cast<Code>(quantize.grid.highest))),
        none(V::broadcast(std::int32_t{0})) {}

  template <typename Ends>
  void row(int row, const Ends& ends) const {
    constexpr int kVectors = V::packed_vectors(Code{});
    const std::int32_t* const sums = static_cast<const std::int32_t*>(q.sums) + std::ptrdiff_t{row} * q.columns;
    Code* const codes = static_cast<Code*>(q.codes) + row * q.stride;
    for (int first = 0; first < q.columns; first += kVectors * V::kWidth) {
      V::Int from[kVectors], to[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        const int c = first + v * V::kWidth;
        from[v] = to[v] = none;
        if (c >= q.columns) continue;  // the last few vectors of a row
        const V::Float value = V::to_float(V::load(sums + c));
        from[v] = V::to_int(ends.from(value, c));
        to[v] = V::to_int(ends.to(value, c));
      }
      // Packing takes what is below 0 to 0.
      const auto packed = V::least(V::pack(from, Code{}), highest, Code{});
      V::store_packed(codes + first, packed, static_cast<int>(q.stride) - first);
      std::uint64_t doubtful = V::differing(packed, V::least(V::pack(to, Code{}), highest, Code{}), Code{});
      for (; __builtin_expect(doubtful != 0, 0); doubtful &= doubtful - 1) {
        const int c = first + __builtin_ctzll(doubtful);
        quantize_exactly<Code, std::int32_t>(q, row, c, c + 1);
      }
    }
    for (int c = q.columns; c < q.stride; ++c) codes[c] = 0;
  }
};

/// With layer normalisation: one factor per row.
struct RowEnds {
  V::Float factor, lower, upper;
  V::Float from(V::Float value, int) const { return V::fma(value, factor, lower); }
  V::Float to(V::Float value, int) const { return V::fma(value, factor, upper); }
};

/// Without: one factor per column.
struct ColumnEnds {
  const float* scale;
  V::Float low, high;  // 1 / step, made smaller and larger by what rounding can do
  V::Float from(V::Float value, int c) const { return V::mul(value, V::mul(V::load(scale + c), low)); }
  V::Float to(V::Float value, int c) const { return V::mul(value, V::mul(V::load(scale + c), high)); }
};

/// u = (a - mean) / (step · √(variance + floor)) for the sums a of a row, in float. With κ = mean of a² / (variance +
/// floor), at least ½, rounding moves the variance by at most (vectors + log2 lanes + 12) κ units of its last place,
/// and with it the factor by half as many; a and the mean move u by at most 8 units of mean · factor. What the sum of
/// these makes of the largest code, doubled where terms of second order count, is the half width of the interval.
template <typename Code>
void normalise(const IntegerQuantize& q) {
  constexpr int kRows = V::kWidth;
  const RowCodes<Code> codes(q);
  const float width = static_cast<float>(q.width), share = 1.f / width;
  const float floor = static_cast<float>(q.floor / (double(q.width) * double(q.width)));
  const float steps = 1.f / q.grid.scale, largest = static_cast<float>(q.grid.highest + 1);
  const float uncertain = 0.5f * static_cast<float>(q.columns / V::kWidth + 5 + 12);
  for (int first = 0; first < q.rows; first += kRows) {
    const int rows = q.rows - first < kRows ? q.rows - first : kRows;
    alignas(64) std::int32_t sum_parts[kRows * V::kWidth];
    alignas(64) float square_parts[kRows * V::kWidth];
    for (int r = 0; r < kRows; ++r) {
      V::Int sum = V::broadcast(std::int32_t{0});
      V::Float squares = V::broadcast(0.f);
      if (r < rows) {
        const std::int32_t* const sums =
            static_cast<const std::int32_t*>(q.sums) + std::ptrdiff_t{first + r} * q.columns;
        for (int c = 0; c < q.columns; c += V::kWidth) {
          const V::Int a = V::load(sums + c);
          sum = V::add(sum, a);
          const V::Float value = V::to_float(a);
          squares = V::fma(value, value, squares);
        }
      }
      V::store(sum_parts + r * V::kWidth, sum);
      V::store(square_parts + r * V::kWidth, squares);
    }
    const V::Float mean = V::mul(V::to_float(V::sums_of(sum_parts)), V::broadcast(share));
    const V::Float square = V::mul(V::sums_of(square_parts), V::broadcast(share));
    const V::Float variance = V::add(V::sub(square, V::mul(mean, mean)), V::broadcast(floor));
    const V::Float factor = V::div(V::broadcast(steps), V::sqrt(variance));
    const V::Float middle = V::mul(V::sub(V::broadcast(0.f), mean), factor);
    const V::Float kappa = V::div(square, variance);
    // Twice the bound of the comment above.
    const V::Float half_width =
        V::mul(V::broadcast(2.f * kEpsilon),
               V::add(V::mul(V::broadcast(largest), V::fma(kappa, V::broadcast(uncertain), V::broadcast(16.f))),
                      V::mul(V::broadcast(8.f), V::magnitude(middle))));
    // Where the interval says nothing, as for a variance that rounding has made of nothing, all of a row is doubtful.
    const unsigned sure = V::less(V::broadcast(1e-30f), variance) & V::less(kappa, V::broadcast(1e4f)) &
                          V::less(half_width, V::broadcast(0.25f));
    alignas(64) float factors[kRows], lower[kRows], upper[kRows];
    V::store(factors, factor);
    V::store(lower, V::sub(middle, half_width));
    V::store(upper, V::add(middle, half_width));
    for (int r = 0; r < rows; ++r) {
      if (__builtin_expect((sure >> r & 1u) == 0, 0)) {
        for (int c = q.width; c < q.stride; ++c) (static_cast<Code*>(q.codes) + (first + r) * q.stride)[c] = 0;
        quantize_exactly<Code, std::int32_t>(q, first + r, 0, q.width);
        continue;
      }
      codes.row(first + r, RowEnds{V::broadcast(factors[r]), V::broadcast(lower[r]), V::broadcast(upper[r])});
    }
  }
}

template <typename Code>
void quantize(const IntegerQuantize& q) {
  rescale<std::int32_t>(q);
  if (!q.bounded) {
    for (int row = 0; row < q.rows; ++row) {
      quantize_exactly<Code, std::int32_t>(q, row, 0, q.width);
      for (int c = q.width; c < q.stride; ++c) (static_cast<Code*>(q.codes) + row * q.stride)[c] = 0;
    }
    return;
  }
  if (q.normalise) return normalise<Code>(q);
  const RowCodes<Code> codes(q);
  const float steps = 1.f / q.grid.scale;
  const ColumnEnds ends{q.scale, V::broadcast(steps * (1.f - 16.f * kEpsilon)),
                        V::broadcast(steps * (1.f + 16.f * kEpsilon))};
  for (int row = 0; row < q.rows; ++row) codes.row(row, ends);
}

template <typename Code, int kVectors>
void sum_columns(const CodeSums& s, int column) {
  constexpr int kAhead = 8;  // rows between a prefetch and its use
  const std::int32_t last = s.splits[s.rows];
  for (int row = 0; row < s.rows; ++row) {
    V::Int sum[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[v] = V::broadcast(std::int32_t{0});
    for (std::int32_t i = s.splits[row]; i < s.splits[row + 1]; ++i) {
      const std::int32_t edge = s.edges == nullptr ? i : s.edges[i];
      if (s.edges != nullptr && i + kAhead < last) {
        __builtin_prefetch(static_cast<const Code*>(s.codes) + std::ptrdiff_t{s.edges[i + kAhead]} * s.columns +
                           column);
      }
      const Code* const in = static_cast<const Code*>(s.codes) + std::ptrdiff_t{edge} * s.columns + column;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[v] = V::add(sum[v], V::load_codes(in + v * V::kWidth));
    }
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      V::store(s.out + std::ptrdiff_t{row} * s.columns + column + v * V::kWidth, sum[v]);
  }
}

template <typename Code>
void sum_rows(const CodeSums& s) {
  for (int column = 0; column < s.columns;) {
    const int vectors = (s.columns - column) / V::kWidth;
    if (vectors >= 3) {
      sum_columns<Code, 3>(s, column);
      column += 3 * V::kWidth;
    } else if (vectors == 2) {
      sum_columns<Code, 2>(s, column);
      column += 2 * V::kWidth;
    } else {
      sum_columns<Code, 1>(s, column);
      column += V::kWidth;
    }
  }
}

/// The definition's operations, each on a vector: both roundings are those of value_of() and code_of().
template <typename Code>
void quantize_sums(const QuantizeSums& q) {
  const V::Float scale = V::broadcast(q.scale), step = V::broadcast(q.grid.scale);
  const V::Float lowest = V::broadcast(static_cast<float>(q.grid.lowest)),
                 highest = V::broadcast(static_cast<float>(q.grid.highest));
  const V::Int offset = V::broadcast(-q.grid.lowest);
  for (std::int64_t i = 0; i < q.count; i += V::kWidth) {
    V::Float value = V::div(V::mul(V::to_float(V::load(q.sums + i)), scale), step);
    value = V::min(V::max(value, lowest), highest);
    V::store_codes(static_cast<Code*>(q.out) + i, V::add(V::to_int(value), offset));
  }
}

template <typename Code>
void quantize_values(const QuantizeValues& q) {
  const V::Float step = V::broadcast(q.grid.scale);
  const V::Float lowest = V::broadcast(static_cast<float>(q.grid.lowest)),
                 highest = V::broadcast(static_cast<float>(q.grid.highest));
  const V::Int offset = V::broadcast(-q.grid.lowest);
  for (std::int64_t i = 0; i < q.count; i += V::kWidth) {
    const V::Float steps = V::min(V::max(V::div(V::load(q.values + i), step), lowest), highest);
    V::store_codes(static_cast<Code*>(q.out) + i, V::add(V::to_int(steps), offset));
  }
}

template <typename Code>
void requantize(const Requantize& r) {
  if (V::requantized(r, Code{})) return;
  if (!r.linear) return requantize_by_table<Code>(r, 0);
  const V::Float factor = V::broadcast(r.factor);
  const V::Int offset = V::broadcast(r.offset), highest = V::broadcast(r.highest);
  for (std::int64_t i = 0; i < r.count; i += V::kWidth) {
    const V::Int code = V::to_int(V::mul(V::to_float(V::load_codes(static_cast<const Code*>(r.in) + i)), factor));
    V::store_codes(static_cast<Code*>(r.out) + i, V::min(V::add(code, offset), highest));
  }
}

}  // namespace
