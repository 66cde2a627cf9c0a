// The kernels over a vector type V, included by one file per instruction level, which defines V in an anonymous
// namespace first: nothing here is visible to another file.
//
// V has: Float, kWidth (a divisor of kPartialSums), kPanel (most vectors in a panel), rows_at_once(panel), load, store,
// zero, broadcast, add, mul, fma(a, b, c) = a b + c rounded once, relu (NaN stays NaN).

#include "dense/float_kernels.h"

namespace {

using namespace starling::dense;

static_assert(kPartialSums % V::kWidth == 0);

template <int kVectors, int kRows>
void product_block(const Product& p, const float* weights, int row, int column) {
  if (column == 0) {
    const int from = row * p.ahead.count / p.rows, to = (row + kRows) * p.ahead.count / p.rows;
    for (int i = from; i < to; ++i) {
      const float* const next = p.ahead.data + std::ptrdiff_t{p.ahead.rows[i]} * p.ahead.columns;
      for (int c = 0; c < p.ahead.columns; c += 16) __builtin_prefetch(next + c);
    }
  }
  V::Float sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[r][v] = V::zero();
  }
  for (int input = 0; input < p.num_inputs; ++input) {
    const Rows& in = p.inputs[input];
    if (in.data == nullptr) {
      weights += std::ptrdiff_t{in.width} * kVectors * V::kWidth;
      continue;
    }
    const float* a = in.data + row * in.stride;
    const std::ptrdiff_t stride = in.stride;
#pragma GCC unroll 4
    for (int k = 0; k < in.width; ++k, ++a, weights += kVectors * V::kWidth) {
      V::Float w[kVectors];
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) w[v] = V::load(weights + v * V::kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        const V::Float value = V::broadcast(a[r * stride]);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) sum[r][v] = V::fma(value, w[v], sum[r][v]);
      }
    }
  }

  if (p.row_scale != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const V::Float scale = V::broadcast(p.row_scale[row + r]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = V::mul(sum[r][v], scale);
    }
  }
  if (p.bias != nullptr) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const V::Float bias = V::load(p.bias + column + v * V::kWidth);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) sum[r][v] = V::add(sum[r][v], bias);
    }
  }
  if (p.by_src != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const float* const src = p.by_src + std::ptrdiff_t{p.src[row + r]} * p.columns + column;
      const float* const dst = p.by_dst + std::ptrdiff_t{p.dst[row + r]} * p.columns + column;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        sum[r][v] = V::add(sum[r][v], V::add(V::load(src + v * V::kWidth), V::load(dst + v * V::kWidth)));
      }
    }
  }
  if (p.inverse_deviation != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      // A panel begins at a multiple of kPartialSums, so its vector v belongs to vector v % kSums of the partial sums.
      constexpr int kSums = kPartialSums / V::kWidth, kTouched = kVectors < kSums ? kVectors : kSums;
      float* const squares = p.squares + (row + r) * kPartialSums;
      V::Float square[kTouched];
#pragma GCC unroll 4
      for (int v = 0; v < kTouched; ++v) square[v] = column == 0 ? V::zero() : V::load(squares + v * V::kWidth);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) square[v % kSums] = V::fma(sum[r][v], sum[r][v], square[v % kSums]);
#pragma GCC unroll 4
      for (int v = 0; v < kTouched; ++v) V::store(squares + v * V::kWidth, square[v]);
      if (column == 0) {
#pragma GCC unroll 4
        for (int v = kTouched; v < kSums; ++v) V::store(squares + v * V::kWidth, V::zero());
      }
    }
  }
  if (p.relu) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[r][v] = V::relu(sum[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    float* const out = p.out + (row + r) * p.out_stride + column;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::store(out + v * V::kWidth, sum[r][v]);
  }
}

template <int kVectors>
void product_panel(const Product& p, const float* weights, int column) {
  constexpr int kRows = V::rows_at_once(kVectors);
  int row = 0;
  for (; row + kRows <= p.rows; row += kRows) product_block<kVectors, kRows>(p, weights, row, column);
  for (; row + 2 <= p.rows; row += 2) product_block<kVectors, 2>(p, weights, row, column);
  for (; row < p.rows; ++row) product_block<kVectors, 1>(p, weights, row, column);
}

void product(const Product& p) {
  int depth = 0;
  for (int input = 0; input < p.num_inputs; ++input) depth += p.inputs[input].width;
  const float* weights = p.weights;
  for (int column = 0; column < p.columns;) {
    const int vectors = panel_vectors((p.columns - column) / V::kWidth, V::kPanel);
    switch (vectors) {
      case 1:
        product_panel<1>(p, weights, column);
        break;
      case 2:
        product_panel<2>(p, weights, column);
        break;
      case 3:
        product_panel < V::kPanel<3 ? V::kPanel : 3>(p, weights, column);
        break;
      default:
        product_panel<V::kPanel>(p, weights, column);
    }
    column += vectors * V::kWidth;
    weights += std::ptrdiff_t{depth} * vectors * V::kWidth;
  }
  if (p.inverse_deviation == nullptr) return;
  const float width = static_cast<float>(p.normalised_width);
  for (int row = 0; row < p.rows; ++row) {
    float* const squares = p.squares + row * kPartialSums;
    for (int half = kPartialSums / 2; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) squares[i] += squares[i + half];
    }
    p.inverse_deviation[row] = 1.f / __builtin_sqrtf(squares[0] / width + p.epsilon);
  }
}

void sum_rows(const RowSums& s) {
  constexpr int kAhead = 8;  // rows between a prefetch and its use
  const std::int32_t last = s.splits[s.rows];
  for (int row = 0; row < s.rows; ++row) {
    float* const out = s.out + std::ptrdiff_t{row} * s.columns;
    for (int c = 0; c < s.columns; c += V::kWidth) V::store(out + c, V::zero());
    for (std::int32_t i = s.splits[row]; i < s.splits[row + 1]; ++i) {
      const std::int32_t edge = s.edges == nullptr ? i : s.edges[i];
      if (s.edges != nullptr && i + kAhead < last) {
        const float* const ahead = s.data + std::ptrdiff_t{s.edges[i + kAhead]} * s.columns;
        for (int c = 0; c < s.columns; c += 16) __builtin_prefetch(ahead + c);
      }
      const float* const in = s.data + std::ptrdiff_t{edge} * s.columns;
      for (int c = 0; c < s.columns; c += V::kWidth) V::store(out + c, V::add(V::load(out + c), V::load(in + c)));
    }
  }
}

void moments(const float* data, int rows, int columns, float* mean, float* m2) {
  const V::Float share = V::broadcast(1.f / static_cast<float>(rows));
  const V::Float minus = V::broadcast(-1.f);
  for (int c = 0; c < columns; c += V::kWidth) {
    V::Float sum = V::zero(), squares = V::zero();
    for (int r = 0; r < rows; ++r) sum = V::add(sum, V::load(data + std::ptrdiff_t{r} * columns + c));
    sum = V::mul(sum, share);
    for (int r = 0; r < rows; ++r) {
      const V::Float difference = V::fma(sum, minus, V::load(data + std::ptrdiff_t{r} * columns + c));
      squares = V::fma(difference, difference, squares);
    }
    V::store(mean + c, sum);
    V::store(m2 + c, squares);
  }
}

void scale_shift_relu(const float* data, int rows, int columns, const float* scale, const float* shift, float* out) {
  for (int c = 0; c < columns; c += V::kWidth) {
    const V::Float by = V::load(scale + c), plus = V::load(shift + c);
    for (int r = 0; r < rows; ++r) {
      const std::ptrdiff_t at = std::ptrdiff_t{r} * columns + c;
      V::store(out + at, V::relu(V::fma(V::load(data + at), by, plus)));
    }
  }
}

constexpr FloatKernels kKernels{V::kWidth, V::kPanel, product, sum_rows, moments, scale_shift_relu};

}  // namespace
