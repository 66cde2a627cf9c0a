// Integer kernels as plain loops, for the level `reference` and for what is rare at others. Included by one file per
// level, with the rows of its tiles: everything is in an anonymous namespace.

#include "dense/integer_kernels.h"

namespace {

using namespace starling::dense;

template <typename Sum, int kTile>
void rescale(const IntegerQuantize& q) {
  if (q.ratio == nullptr) return;
  for (int c = 0; c < q.columns; ++c) {
    Sum* const sums = static_cast<Sum*>(q.sums) + c * kTile;
    for (int row = 0; row < q.count; ++row) sums[row] = static_cast<Sum>(rescaled(sums[row], q.ratio[c]));
  }
}

/// The place of a code in a tile.
template <int kTile, int kGroup>
int place(int row, int column) {
  return (column / kGroup * kTile + row) * kGroup + column % kGroup;
}

/// Normalised values of one row, by the definition.
template <typename Sum, int kTile>
class ExactRow {
 public:
  ExactRow(const IntegerQuantize& q, int row) : q_(q), sums_(static_cast<const Sum*>(q.sums) + row) {
    moments_.count = q.width;
    if (q.bounded) {  // 64 bits hold all: width times any sum is below 2^31
      std::int64_t squares = 0;
      for (int c = 0; c < q.width; ++c) {
        const std::int64_t a = sums_[c * kTile];
        moments_.sum += a;
        squares += a * a;
      }
      deviation_ =
          __builtin_sqrt(static_cast<double>(moments_.count * squares - moments_.sum * moments_.sum) + q.floor);
    } else {
      for (int c = 0; c < q.width; ++c) add_to(moments_, sums_[c * kTile]);
      deviation_ = integer_deviation(moments_, q.floor);
    }
  }

  std::int32_t code(int column) const {
    return code_of(static_cast<float>(difference_from_mean(moments_, sums_[column * kTile]) / deviation_), q_.grid);
  }

 private:
  const IntegerQuantize& q_;
  const Sum* sums_;
  IntegerMoments moments_{0, 0, 0};
  double deviation_;
};

/// Codes of one row, by the definition.
template <typename Code, typename Sum, int kTile, int kGroup>
void quantize_exactly(const IntegerQuantize& q, int row) {
  const Sum* const sums = static_cast<const Sum*>(q.sums) + row;
  Code* const codes = static_cast<Code*>(q.codes);
  if (q.normalise) {
    const ExactRow<Sum, kTile> exact(q, row);
    for (int c = 0; c < q.width; ++c) codes[place<kTile, kGroup>(row, c)] = static_cast<Code>(exact.code(c));
  } else {
    for (int c = 0; c < q.width; ++c) {
      codes[place<kTile, kGroup>(row, c)] = static_cast<Code>(code_of(value_of(sums[c * kTile], q.scale[c]), q.grid));
    }
  }
  for (int c = q.width; c < q.columns; ++c) codes[place<kTile, kGroup>(row, c)] = 0;
}

template <typename Code, int kTile, int kGroup>
void requantize_by_table(const Requantize& r) {
  const Code *const in = static_cast<const Code*>(r.in), *const table = static_cast<const Code*>(r.table);
  Code* const out = static_cast<Code*>(r.out);
  for (int first = 0; first < r.columns * kTile; first += kTile * kGroup) {
    for (int i = first; i < first + r.count * kGroup; ++i) out[i] = table[in[i]];
  }
}

}  // namespace
