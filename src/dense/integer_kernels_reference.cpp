#include <limits>

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

constexpr int kLanes = 4;

template <typename Code, typename Sum>
void product(const IntegerProduct& p) {
  using Wrapping = typename Unsigned<Sum>::Type;
  for (int row = 0; row < p.rows; ++row) {
    Sum* const sums = static_cast<Sum*>(p.sums) + std::ptrdiff_t{row} * p.columns;
    const std::int16_t* weights = static_cast<const std::int16_t*>(p.weights);
    for (int column = 0; column < p.columns; column += kLanes) {
      Wrapping sum[kLanes];
      for (int i = 0; i < kLanes; ++i) sum[i] = static_cast<Wrapping>(static_cast<const Sum*>(p.start)[column + i]);
      for (int input = 0; input < p.num_inputs; ++input) {
        const CodeRows& in = p.inputs[input];
        const Code* const codes = static_cast<const Code*>(in.data) + row * in.stride;
        for (int k = 0; k < in.width; ++k, weights += kLanes) {
          for (int i = 0; i < kLanes; ++i) {
            sum[i] += static_cast<Wrapping>(std::int32_t{codes[k]} * std::int32_t{weights[i]});
          }
        }
      }
      if (p.by_src != nullptr) {
        const Sum* const src = static_cast<const Sum*>(p.by_src) + std::ptrdiff_t{p.src[row]} * p.columns + column;
        const Sum* const dst = static_cast<const Sum*>(p.by_dst) + std::ptrdiff_t{p.dst[row]} * p.columns + column;
        for (int i = 0; i < kLanes; ++i) sum[i] += static_cast<Wrapping>(src[i]) + static_cast<Wrapping>(dst[i]);
      }
      for (int i = 0; i < kLanes; ++i) sums[column + i] = static_cast<Sum>(sum[i]);
    }
  }
}

template <typename Code, typename Sum>
void quantize(const IntegerQuantize& q) {
  rescale<Sum>(q);
  for (int row = 0; row < q.rows; ++row) {
    quantize_exactly<Code, Sum>(q, row, 0, q.width);
    Code* const codes = static_cast<Code*>(q.codes) + row * q.stride;
    for (int c = q.width; c < q.stride; ++c) codes[c] = 0;
  }
}

template <typename Code>
void requantize(const Requantize& r) {
  requantize_by_table<Code>(r, 0);
}

template <typename Code>
void sum_rows(const CodeSums& s) {
  for (int row = 0; row < s.rows; ++row) {
    std::int32_t* const out = s.out + std::ptrdiff_t{row} * s.columns;
    for (int c = 0; c < s.columns; ++c) out[c] = 0;
    for (std::int32_t i = s.splits[row]; i < s.splits[row + 1]; ++i) {
      const std::int32_t edge = s.edges == nullptr ? i : s.edges[i];
      const Code* const in = static_cast<const Code*>(s.codes) + std::ptrdiff_t{edge} * s.columns;
      for (int c = 0; c < s.columns; ++c) out[c] += in[c];
    }
  }
}

template <typename Code>
void quantize_sums(const QuantizeSums& q) {
  Code* const out = static_cast<Code*>(q.out);
  for (std::int64_t i = 0; i < q.count; ++i) {
    out[i] = static_cast<Code>(code_of(value_of(q.sums[i], q.scale), q.grid) - q.grid.lowest);
  }
}

template <typename Code>
void quantize_values(const QuantizeValues& q) {
  Code* const out = static_cast<Code*>(q.out);
  for (std::int64_t i = 0; i < q.count; ++i) {
    out[i] = static_cast<Code>(code_of(q.values[i], q.grid) - q.grid.lowest);
  }
}

template <typename Code, typename Sum>
constexpr IntegerKernels kernels(const char* name) {
  return {name,
          sizeof(Code),
          sizeof(Sum),
          kLanes,
          1,
          1,
          sizeof(std::int16_t),
          std::numeric_limits<int>::max(),
          product<Code, Sum>,
          quantize<Code, Sum>,
          requantize<Code>,
          sum_rows<Code>,
          quantize_sums<Code>,
          quantize_values<Code>};
}

}  // namespace

const IntegerKernels starling::dense::kIntegerReference8 = kernels<std::uint8_t, std::int32_t>("reference");
const IntegerKernels starling::dense::kIntegerReference16 = kernels<std::uint16_t, std::int32_t>("reference");
const IntegerKernels starling::dense::kIntegerWide16 = kernels<std::uint16_t, std::int64_t>("reference, 64 bits");
