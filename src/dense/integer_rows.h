// Integer kernels as plain loops, for the level `reference` and for what is rare at others. Included by one file per
// level: everything is in an anonymous namespace.

#include "dense/integer_kernels.h"

namespace {

using namespace starling::dense;

template <typename Sum>
void rescale(const IntegerQuantize& q) {
  if (q.ratio == nullptr) return;
  for (int row = 0; row < q.rows; ++row) {
    Sum* const sums = static_cast<Sum*>(q.sums) + std::ptrdiff_t{row} * q.columns;
    for (int c = 0; c < q.columns; ++c) sums[c] = static_cast<Sum>(rescaled(sums[c], q.ratio[c]));
  }
}

/// Columns first .. end - 1 of one row, by the definition.
template <typename Code, typename Sum>
void quantize_exactly(const IntegerQuantize& q, int row, int first, int end) {
  const Sum* const sums = static_cast<const Sum*>(q.sums) + std::ptrdiff_t{row} * q.columns;
  Code* const codes = static_cast<Code*>(q.codes) + row * q.stride;
  if (!q.normalise) {
    for (int c = first; c < end; ++c) codes[c] = static_cast<Code>(code_of(value_of(sums[c], q.scale[c]), q.grid));
    return;
  }
  IntegerMoments moments;
  moments.count = q.width;
  for (int c = 0; c < q.width; ++c) add_to(moments, sums[c]);
  const double deviation = integer_deviation(moments, q.floor);
  for (int c = first; c < end; ++c) {
    codes[c] =
        static_cast<Code>(code_of(static_cast<float>(difference_from_mean(moments, sums[c]) / deviation), q.grid));
  }
}

template <typename Code>
void requantize_by_table(const Requantize& r, std::int64_t first) {
  const Code *const in = static_cast<const Code*>(r.in), *const table = static_cast<const Code*>(r.table);
  Code* const out = static_cast<Code*>(r.out);
  for (std::int64_t i = first; i < r.count; ++i) out[i] = table[in[i]];
}

}  // namespace
