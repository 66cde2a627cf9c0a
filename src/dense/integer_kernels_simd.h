// The integer kernels over a vector type V, included by one file per instruction level, which defines V in an anonymous
// namespace first: nothing here is visible to another file.
//
// V has: Int (of std::int32_t), Float, kWidth lanes, kTile rows of a tile, kPanel outputs in a panel (4 or 12); load,
// store, broadcast of either; add(Int, Int); dot(Int sum, weights, codes) per type of a code; to_float and to_int
// (rint) between them; min, max, mul, sub, fma, sqrt, div, magnitude of Float; less (a bit per lane); load_codes,
// store_codes: kWidth codes that lie side by side. By quarters of 16 bytes, of which a vector has kWidth / 4:
// load_quarters and store_quarters (of rows), transpose (4 vectors, within each quarter); pack (the group of codes of
// each row, quarter by quarter column after column), least, differing (a bit per code) of such, and by_rows: the same
// with the codes of each row side by side.

#include <cstring>

#include "dense/integer_rows.h"
// Second: it needs what the first defines.
#include "dense/integer_product_simd.h"

namespace {

static_assert(V::kTile <= 64);

/// Four columns of one vector of rows, from rows and back. Rows are `columns` numbers long.
template <typename Row>
void rows_to_columns(const Row& row, int columns, std::int32_t* tile) {
  for (int c = 0; c < columns; c += 4, tile += 4 * V::kTile) {
    V::Int four[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) four[j] = row(j, c);
    V::transpose(four);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) V::store(tile + j * V::kTile, four[j]);
  }
}

inline void columns_to_rows(const std::int32_t* tile, int columns, int count, std::int32_t* rows) {
  for (int first = 0; first < count; first += V::kWidth) {
    std::int32_t* const out = rows + std::ptrdiff_t{first} * columns;
    if (first + V::kWidth <= count) {
      for (int c = 0; c < columns; c += 4) {
        V::Int four[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) four[j] = V::load(tile + (c + j) * V::kTile + first);
        V::transpose(four);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) V::store_quarters(out + std::ptrdiff_t{j} * columns + c, 4 * columns, four[j]);
      }
    } else {
      for (int row = first; row < count; ++row) {
        for (int c = 0; c < columns; ++c) rows[std::ptrdiff_t{row} * columns + c] = tile[c * V::kTile + row];
      }
    }
  }
}

/// The rows that a vector of a tile gathers, each of `columns` numbers; those behind the last one are that one.
struct GatheredRows {
  const std::int32_t* row[V::kWidth];

  GatheredRows(const void* rows, int columns, const std::int32_t* places, int first, int count) {
    for (int i = 0; i < V::kWidth; ++i) {
      row[i] = words(rows) + std::ptrdiff_t{places[first + i < count ? first + i : count - 1]} * columns;
    }
  }
  V::Int quarters(int j, int column) const { return V::load_quarters(row + j, column); }
};

inline void gather_sums(const GatheredSums& g) {
  for (int first = 0; first < g.count; first += V::kWidth) {
    const GatheredRows src(g.by_src, g.columns, g.src, first, g.count), dst(g.by_dst, g.columns, g.dst, first, g.count);
    rows_to_columns([&](int j, int c) { return V::add(src.quarters(j, c), dst.quarters(j, c)); }, g.columns,
                    static_cast<std::int32_t*>(g.sums) + first);
  }
}

template <typename Code>
void gather_codes(const GatheredCodes& g) {
  const int columns = g.columns / kGroup<Code>;
  for (int first = 0; first < g.count; first += V::kWidth) {
    const GatheredRows rows(g.rows, columns, g.places, first, g.count);
    rows_to_columns([&](int j, int c) { return rows.quarters(j, c); }, columns,
                    static_cast<std::int32_t*>(g.tile) + first);
  }
}

inline void sums_to_rows(const TileToRows& t) {
  columns_to_rows(words(t.tile), t.columns, t.count, static_cast<std::int32_t*>(t.rows));
}

template <typename Code>
void codes_to_rows(const TileToRows& t) {
  columns_to_rows(words(t.tile), t.columns / kGroup<Code>, t.count, static_cast<std::int32_t*>(t.rows));
}

constexpr float kEpsilon = 0x1p-24f;  // the rounding of one operation, as a part of its result

/// Codes of one vector of rows from the two ends of an interval that holds every value in steps of the grid. Where both
/// ends have one code it is the code. Where they differ the definition decides, which is rare: exact(row, column).
template <typename Code, typename Ends, typename Exact>
void interval_codes(const IntegerQuantize& q, int first, const Ends& ends, const Exact& exact) {
  constexpr int g = kGroup<Code>;
  const V::Int highest = V::broadcast_code(static_cast<Code>(q.grid.highest));
  const std::int32_t* sums = words(q.sums) + first;
  Code* codes = static_cast<Code*>(q.codes) + first * g;
  for (int column = 0; column < q.columns; column += g, sums += g * V::kTile, codes += g * V::kTile) {
    V::Int from[g], to[g];
#pragma GCC unroll 4
    for (int i = 0; i < g; ++i) {
      const V::Float value = V::to_float(V::load(sums + i * V::kTile));
      from[i] = V::to_int(ends.from(value, column + i));
      to[i] = V::to_int(ends.to(value, column + i));
    }
    // Packing takes what is below 0 to 0.
    const V::Int packed = V::pack(from, Code{});
    V::store(reinterpret_cast<std::int32_t*>(codes), V::by_rows(V::least(packed, highest, Code{}), Code{}));
    std::uint64_t doubtful = V::differing(packed, V::pack(to, Code{}), Code{});
    for (; __builtin_expect(doubtful != 0, 0); doubtful &= doubtful - 1) {
      const int at = __builtin_ctzll(doubtful), quarter = at / (4 * g), in_quarter = at % (4 * g);
      const int row = 4 * quarter + in_quarter % 4, i = in_quarter / 4;
      if (first + row < q.count && column + i < q.width) {
        codes[row * g + i] = static_cast<Code>(exact(first + row, column + i));
      }
    }
  }
}

/// Values times the factors of an interval's ends, per row with layer normalisation, per column without.
struct RowEnds {
  V::Float low, lower, high, upper;
  V::Float from(V::Float value, int) const { return V::fma(value, low, lower); }
  V::Float to(V::Float value, int) const { return V::fma(value, high, upper); }
};
struct ColumnEnds {
  const float *low, *high;
  V::Float from(V::Float value, int c) const { return V::mul(value, V::broadcast(low[c])); }
  V::Float to(V::Float value, int c) const { return V::mul(value, V::broadcast(high[c])); }
};

constexpr int kChains = 4;  // sums of squares per row

struct RowMoments {
  RowEnds ends;
  unsigned sure;  // a bit per row: the interval says something
};

/// u = (a - mean) · factor for the sums a of a row, factor = 1 / (step · √(variance + floor)), in float. With κ = mean
/// of a² / (variance + floor), at least ½, rounding moves the variance by at most (columns / kChains + 2 + 12) κ units
/// of its last place, and with it the factor by half as many: a part of u. a and the mean move u by at most 8 units of
/// mean · factor, and the last rounding by half a unit of itself. Both ends have twice of that. Where u is below 0, the
/// ends change places, and both have the code 0 or are closer to it than to 1.
inline RowMoments moments_of(const IntegerQuantize& q, int first) {
  V::Int sum[kChains];
  V::Float squares[kChains];
#pragma GCC unroll 4
  for (int i = 0; i < kChains; ++i) {
    sum[i] = V::broadcast(std::int32_t{0});
    squares[i] = V::broadcast(0.f);
  }
  const std::int32_t* sums = words(q.sums) + first;
  for (int column = 0; column < q.columns; column += kChains, sums += kChains * V::kTile) {
#pragma GCC unroll 4
    for (int i = 0; i < kChains; ++i) {
      const V::Int a = V::load(sums + i * V::kTile);
      const V::Float value = V::to_float(a);
      sum[i] = V::add(sum[i], a);
      squares[i] = V::fma(value, value, squares[i]);
    }
  }
  const float width = static_cast<float>(q.width);
  const V::Float share = V::broadcast(1.f / width), zero = V::broadcast(0.f);
  const float uncertain = 0.5f * static_cast<float>(q.columns / kChains + 2 + 12);
  const V::Int all = V::add(V::add(sum[0], sum[1]), V::add(sum[2], sum[3]));
  const V::Float mean = V::mul(V::to_float(all), share);
  const V::Float square = V::mul(V::add(V::add(squares[0], squares[1]), V::add(squares[2], squares[3])), share);
  const V::Float floor = V::broadcast(static_cast<float>(q.floor / (double(q.width) * double(q.width))));
  const V::Float variance = V::add(V::sub(square, V::mul(mean, mean)), floor);
  const V::Float factor = V::div(V::broadcast(1.f / q.grid.scale), V::sqrt(variance));
  const V::Float middle = V::mul(V::sub(zero, mean), factor);
  const V::Float kappa = V::div(square, variance);
  const V::Float part =
      V::mul(V::broadcast(2.f * kEpsilon), V::fma(kappa, V::broadcast(uncertain), V::broadcast(16.f)));
  const V::Float shift = V::mul(V::broadcast(16.f * kEpsilon), V::magnitude(middle));
  const V::Float one = V::broadcast(1.f), below = V::sub(one, part), above = V::add(one, part);
  // Where the interval says nothing, as for a variance that rounding has made of nothing, all of a row is doubtful.
  const V::Float largest = V::broadcast(static_cast<float>(q.grid.highest + 1));
  const unsigned sure = V::less(V::broadcast(1e-30f), variance) & V::less(kappa, V::broadcast(1e4f)) &
                        V::less(V::fma(largest, part, shift), V::broadcast(0.25f));
  return {{V::mul(factor, below), V::sub(V::mul(middle, below), shift), V::mul(factor, above),
           V::add(V::mul(middle, above), shift)},
          sure};
}

template <typename Code>
void quantize(const IntegerQuantize& q) {
  using Sum = std::int32_t;
  constexpr int kTile = V::kTile, g = kGroup<Code>;
  rescale<Sum, kTile>(q);
  if (!q.bounded) {
    for (int row = 0; row < q.count; ++row) quantize_exactly<Code, Sum, kTile, g>(q, row);
  } else if (q.normalise) {
    // One vector of rows ahead: its square root and quotients are on their way while codes are made.
    RowMoments next = moments_of(q, 0);
    for (int first = 0; first < q.count; first += V::kWidth) {
      const RowMoments moments = next;
      if (first + V::kWidth < q.count) next = moments_of(q, first + V::kWidth);
      interval_codes<Code>(q, first, moments.ends,
                           [&](int row, int column) { return ExactRow<Sum, kTile>(q, row).code(column); });
      unsigned unsure = ~moments.sure & ((1u << V::kWidth) - 1);
      for (; __builtin_expect(unsure != 0, 0); unsure &= unsure - 1) {
        const int row = first + __builtin_ctz(unsure);
        if (row < q.count) quantize_exactly<Code, Sum, kTile, g>(q, row);
      }
    }
  } else {
    const ColumnEnds ends{q.low, q.high};
    for (int first = 0; first < q.count; first += V::kWidth) {
      interval_codes<Code>(q, first, ends, [&](int row, int column) {
        return code_of(value_of(words(q.sums)[column * kTile + row], q.scale[column]), q.grid);
      });
    }
  }
}

template <typename Code>
void requantize(const Requantize& r) {
  if (V::requantized(r, Code{})) return;
  if (!r.linear) return requantize_by_table<Code, V::kTile, kGroup<Code>>(r);
  constexpr int kVectors = kGroup<Code>;
  const V::Float factor = V::broadcast(r.factor);
  const V::Int highest = V::broadcast_code(static_cast<Code>(r.highest));
  for (int i = 0; i < r.columns * V::kTile; i += kVectors * V::kWidth) {
    V::Int codes[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V::Int in = V::load_codes(static_cast<const Code*>(r.in) + i + v * V::kWidth);
      codes[v] = V::to_int(V::mul(V::to_float(in), factor));
    }
    const V::Int packed = V::least(V::in_order(V::pack(codes, Code{}), Code{}), highest, Code{});
    V::store(reinterpret_cast<std::int32_t*>(static_cast<Code*>(r.out) + i), packed);
  }
}

/// kVectors vectors of columns of the codes of the messages of one row.
template <typename Code, int kVectors>
void message_columns(const Messages& m, int row, int column) {
  constexpr int kAhead = 8;  // rows between a prefetch and its use
  const auto* const codes = static_cast<const Code*>(m.codes) + column;
  const std::int32_t last = m.splits[m.count];
  V::Int sum[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) sum[v] = V::broadcast(std::int32_t{0});
  for (std::int32_t i = m.splits[row]; i < m.splits[row + 1]; ++i) {
    if (m.edges != nullptr && i + kAhead < last) {
      __builtin_prefetch(codes + std::ptrdiff_t{m.edges[i + kAhead]} * m.columns);
    }
    const Code* const in = codes + std::ptrdiff_t{m.edges == nullptr ? i : m.edges[i]} * m.columns;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[v] = V::add(sum[v], V::load_codes(in + v * V::kWidth));
  }
  // Either the product that equals the definition, or its operations: both roundings are those of value_of() and
  // code_of().
  const V::Float highest = V::broadcast(static_cast<float>(m.grid.highest));
  Code* const out = static_cast<Code*>(m.scratch) + std::ptrdiff_t{row} * m.columns + column;
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    V::Float value = V::to_float(sum[v]);
    value = m.linear ? V::mul(value, V::broadcast(m.factor))
                     : V::div(V::mul(value, V::broadcast(m.scale)), V::broadcast(m.grid.scale));
    V::store_codes(out + v * V::kWidth, V::to_int(V::min(value, highest)));
  }
}

template <typename Code>
void messages(const Messages& m) {
  if (m.splits[0] == m.splits[m.count]) {  // rows are sorted by which way their edges go
    std::memset(m.out, 0, std::size_t(m.columns) * V::kTile * sizeof(Code));
    return;
  }
  for (int row = 0; row < m.count; ++row) {
    int column = 0;
    for (; column + 3 * V::kWidth <= m.columns; column += 3 * V::kWidth) message_columns<Code, 3>(m, row, column);
    for (; column < m.columns; column += V::kWidth) message_columns<Code, 1>(m, row, column);
  }
  const int columns = m.columns / kGroup<Code>;
  for (int first = 0; first < m.count; first += V::kWidth) {
    const std::int32_t* rows[V::kWidth];
    for (int i = 0; i < V::kWidth; ++i) rows[i] = words(m.scratch) + (first + i) * columns;
    rows_to_columns([&](int j, int c) { return V::load_quarters(rows + j, c); }, columns,
                    static_cast<std::int32_t*>(m.out) + first);
  }
}

template <typename Code>
void quantize_values(const QuantizeValues& q) {
  constexpr int g = kGroup<Code>;
  const V::Float step = V::broadcast(q.grid.scale);
  const V::Float lowest = V::broadcast(static_cast<float>(q.grid.lowest)),
                 highest = V::broadcast(static_cast<float>(q.grid.highest));
  const V::Int offset = V::broadcast(-q.grid.lowest);
  for (int column = 0; column < q.columns; column += g) {
    for (int first = 0; first < V::kTile; first += V::kWidth) {
      V::Int codes[g];
#pragma GCC unroll 4
      for (int i = 0; i < g; ++i) {
        const V::Float steps = V::div(V::load(q.values + (column + i) * V::kTile + first), step);
        codes[i] = V::add(V::to_int(V::min(V::max(steps, lowest), highest)), offset);
      }
      std::int32_t* const out = static_cast<std::int32_t*>(q.out) + column / g * V::kTile + first;
      V::store(out, V::by_rows(V::pack(codes, Code{}), Code{}));
    }
  }
}

template <typename Code>
constexpr starling::dense::IntegerKernels kernels(const char* name, double listed_part) {
  return {.name = name,
          .code_bytes = sizeof(Code),
          .sum_bytes = sizeof(std::int32_t),
          .tile = V::kTile,
          .panel = V::kPanel,
          .group = kGroup<Code>,
          .depth = kGroup<Code>,
          .start_lanes = 1,
          .weight_bytes = 4 / kGroup<Code>,
          .saturates = V::kSaturates && sizeof(Code) == 1,
          .listed_part = listed_part,
          .enter = nullptr,
          .leave = nullptr,
          .product = product<Code>,
          .gather_sums = gather_sums,
          .gather_codes = gather_codes<Code>,
          .sums_to_rows = sums_to_rows,
          .codes_to_rows = codes_to_rows<Code>,
          .quantize = quantize<Code>,
          .requantize = requantize<Code>,
          .messages = messages<Code>,
          .quantize_values = quantize_values<Code>};
}

}  // namespace
