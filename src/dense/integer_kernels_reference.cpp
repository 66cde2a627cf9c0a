#include "dense/integer_rows.h"

namespace {

template <typename Sum>
struct Unsigned;
template <>
struct Unsigned<std::int32_t> {
  using Type = std::uint32_t;  // whose sums may wrap around
};
template <>
struct Unsigned<std::int64_t> {
  using Type = std::uint64_t;
};

constexpr int kTile = 32, kPanel = 4;

template <typename Code, typename Sum>
void product(const IntegerProduct& p) {
  using Wrapping = typename Unsigned<Sum>::Type;
  const std::int16_t* weights = static_cast<const std::int16_t*>(p.weights->panels);
  for (int column = 0; column < p.weights->columns; column += kPanel) {
    for (int i = 0; i < kPanel; ++i) {
      Sum* const sums = static_cast<Sum*>(p.sums) + (column + i) * kTile;
      for (int row = 0; row < kTile; ++row) {
        Wrapping sum =
            static_cast<Wrapping>(p.onto_sums ? sums[row] : static_cast<const Sum*>(p.weights->start)[column + i]);
        for (int k = 0; k < p.weights->inputs; ++k) {
          sum += static_cast<Wrapping>(std::int32_t{static_cast<const Code*>(p.codes)[k * kTile + row]} *
                                       std::int32_t{weights[k * kPanel + i]});
        }
        sums[row] = static_cast<Sum>(sum);
      }
    }
    weights += p.weights->inputs * kPanel;
  }
}

template <typename Sum>
void gather_sums(const GatheredSums& g) {
  using Wrapping = typename Unsigned<Sum>::Type;
  for (int row = 0; row < g.count; ++row) {
    const Sum* const src = static_cast<const Sum*>(g.by_src) + std::ptrdiff_t{g.src[row]} * g.columns;
    const Sum* const dst = static_cast<const Sum*>(g.by_dst) + std::ptrdiff_t{g.dst[row]} * g.columns;
    for (int c = 0; c < g.columns; ++c) {
      static_cast<Sum*>(g.sums)[c * kTile + row] =
          static_cast<Sum>(static_cast<Wrapping>(src[c]) + static_cast<Wrapping>(dst[c]));
    }
  }
}

template <typename Code>
void gather_codes(const GatheredCodes& g) {
  for (int row = 0; row < g.count; ++row) {
    const Code* const in = static_cast<const Code*>(g.rows) + std::ptrdiff_t{g.places[row]} * g.columns;
    for (int c = 0; c < g.columns; ++c) static_cast<Code*>(g.tile)[c * kTile + row] = in[c];
  }
}

template <typename T>
void to_rows(const TileToRows& t) {
  for (int row = 0; row < t.count; ++row) {
    for (int c = 0; c < t.columns; ++c) {
      static_cast<T*>(t.rows)[std::ptrdiff_t{row} * t.columns + c] = static_cast<const T*>(t.tile)[c * kTile + row];
    }
  }
}

template <typename Code, typename Sum>
void quantize(const IntegerQuantize& q) {
  rescale<Sum, kTile>(q);
  for (int row = 0; row < q.count; ++row) quantize_exactly<Code, Sum, kTile, 1>(q, row);
}

template <typename Code>
void messages(const Messages& m) {
  for (int row = 0; row < m.count; ++row) {
    for (int c = 0; c < m.columns; ++c) {
      std::int32_t sum = 0;
      for (std::int32_t i = m.splits[row]; i < m.splits[row + 1]; ++i) {
        const std::ptrdiff_t edge = m.edges == nullptr ? i : m.edges[i];
        sum += static_cast<const Code*>(m.codes)[edge * m.columns + c];
      }
      static_cast<Code*>(m.out)[c * kTile + row] = static_cast<Code>(code_of(value_of(sum, m.scale), m.grid));
    }
  }
}

template <typename Code>
void quantize_values(const QuantizeValues& q) {
  Code* const out = static_cast<Code*>(q.out);
  for (int i = 0; i < q.columns * kTile; ++i) {
    out[i] = static_cast<Code>(code_of(q.values[i], q.grid) - q.grid.lowest);
  }
}

template <typename Code, typename Sum>
constexpr IntegerKernels kernels(const char* name) {
  return {.name = name,
          .code_bytes = sizeof(Code),
          .sum_bytes = sizeof(Sum),
          .tile = kTile,
          .panel = kPanel,
          .group = 1,
          .depth = 1,
          .start_lanes = 1,
          .weight_bytes = sizeof(std::int16_t),
          .saturates = false,
          .listed_part = 0.,
          .enter = nullptr,
          .leave = nullptr,
          .product = product<Code, Sum>,
          .gather_sums = gather_sums<Sum>,
          .gather_codes = gather_codes<Code>,
          .sums_to_rows = to_rows<Sum>,
          .codes_to_rows = to_rows<Code>,
          .quantize = quantize<Code, Sum>,
          .requantize = requantize_by_table<Code, kTile, 1>,
          .messages = messages<Code>,
          .quantize_values = quantize_values<Code>};
}

}  // namespace

const IntegerKernels starling::dense::kIntegerReference8 = kernels<std::uint8_t, std::int32_t>("reference");
const IntegerKernels starling::dense::kIntegerReference16 = kernels<std::uint16_t, std::int32_t>("reference");
const IntegerKernels starling::dense::kIntegerWide16 = kernels<std::uint16_t, std::int64_t>("reference, 64 bits");
