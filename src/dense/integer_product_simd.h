// Products of integer kernels over a vector type V: see integer_kernels_simd.h, which includes this.
//
// A vector holds one group of codes of each of its rows, and a weight group is broadcast: the sums of kPanel outputs
// and two vectors of rows stay in registers while the inputs pass by.

namespace {

template <typename Code>
constexpr int kGroup = 4 / sizeof(Code);  // codes side by side: the bytes of a sum

constexpr int kTileVectors = V::kTile / V::kWidth;
static_assert(kTileVectors % 2 == 0);

inline const std::int32_t* words(const void* p) { return static_cast<const std::int32_t*>(p); }

/// Adds the products of all inputs; V may have a more special form for a type of code.
template <typename Code, int kOutputs>
void accumulate(V::Int (&sum)[kOutputs][2], const std::int32_t* codes, int groups, const std::int32_t* weights) {
#pragma GCC unroll 2
  for (int k = 0; k < groups; ++k, codes += V::kTile, weights += kOutputs) {
    const V::Int x0 = V::load(codes), x1 = V::load(codes + V::kWidth);
#pragma GCC unroll 12
    for (int o = 0; o < kOutputs; ++o) {
      const V::Int w = V::broadcast(weights[o]);
      sum[o][0] = V::dot(sum[o][0], w, x0, Code{});
      sum[o][1] = V::dot(sum[o][1], w, x1, Code{});
    }
  }
}

template <typename Code, int kOutputs>
void product_panel(const IntegerProduct& p, const std::int32_t* weights, int column) {
  const int groups = p.weights->inputs / kGroup<Code>;
  for (int row = 0; row < V::kTile; row += 2 * V::kWidth) {
    std::int32_t* const sums = static_cast<std::int32_t*>(p.sums) + column * V::kTile + row;
    V::Int sum[kOutputs][2];
#pragma GCC unroll 12
    for (int o = 0; o < kOutputs; ++o) {
      if (p.onto_sums) {
        sum[o][0] = V::load(sums + o * V::kTile);
        sum[o][1] = V::load(sums + o * V::kTile + V::kWidth);
      } else {
        sum[o][0] = sum[o][1] = V::broadcast(words(p.weights->start)[column + o]);
      }
    }
    const std::int32_t* const codes = words(p.codes) + row;
    if constexpr (sizeof(Code) == 1 && V::kSaturates) {
      accumulate_pairs(sum, codes, groups, weights, p.weights->chain);
    } else {
      accumulate<Code>(sum, codes, groups, weights);
    }
#pragma GCC unroll 12
    for (int o = 0; o < kOutputs; ++o) {
      V::store(sums + o * V::kTile, sum[o][0]);
      V::store(sums + o * V::kTile + V::kWidth, sum[o][1]);
    }
  }
}

/// Adds what is listed of one output; `first`: nothing of it is there yet.
template <typename Code>
void product_list(const IntegerProduct& p, int column, bool first) {
  const IntegerWeights& w = *p.weights;
  const ListedWeights* item = w.listed + (column == 0 ? 0 : w.list_ends[column - 1]);
  const ListedWeights* const end = w.listed + w.list_ends[column];
  if (item == end && !first) return;
  std::int32_t* const sums = static_cast<std::int32_t*>(p.sums) + column * V::kTile;
  V::Int sum[kTileVectors], other[kTileVectors];  // two, since one waits for its last product
#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v) {
    sum[v] = first && !p.onto_sums ? V::broadcast(words(w.start)[column]) : V::load(sums + v * V::kWidth);
    other[v] = V::broadcast(std::int32_t{0});
  }
  const auto add = [&](V::Int(&to)[kTileVectors], const ListedWeights& listed) {
    const V::Int weights = V::broadcast(listed.weights);
    const std::int32_t* const codes = words(p.codes) + std::ptrdiff_t{listed.group} * V::kTile;
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) to[v] = V::dot(to[v], weights, V::load(codes + v * V::kWidth), Code{});
  };
  for (; end - item >= 2; item += 2) {
    add(sum, item[0]);
    add(other, item[1]);
  }
  if (item != end) add(sum, *item);
#pragma GCC unroll 4
  for (int v = 0; v < kTileVectors; ++v) V::store(sums + v * V::kWidth, V::add(sum[v], other[v]));
}

/// Fetches the part of what lies ahead that falls to columns column .. end - 1.
inline void fetch_ahead(const IntegerProduct& p, int column, int end) {
  const CodeAhead& ahead = p.ahead;
  for (int i = column * ahead.count / p.weights->columns; i < end * ahead.count / p.weights->columns; ++i) {
    const char* const next = static_cast<const char*>(ahead.data) + std::ptrdiff_t{ahead.rows[i]} * ahead.bytes;
    for (int byte = 0; byte < ahead.bytes; byte += 64) __builtin_prefetch(next + byte);
  }
}

template <typename Code>
void product(const IntegerProduct& p) {
  const IntegerWeights& w = *p.weights;
  const std::int32_t* panel = words(w.panels);
  for (int column = 0; panel != nullptr && column < w.columns;) {
    const int outputs = panel_columns(w.columns - column, V::kPanel);
    fetch_ahead(p, column, column + outputs);
    switch (outputs) {
      case 12:
        product_panel<Code, V::kPanel == 12 ? 12 : 4>(p, panel, column);
        break;
      case 8:
        product_panel<Code, V::kPanel == 12 ? 8 : 4>(p, panel, column);
        break;
      default:
        product_panel<Code, 4>(p, panel, column);
    }
    column += outputs;
    panel += w.inputs / kGroup<Code> * outputs;
  }
  for (int column = 0; w.list_ends != nullptr && column < w.columns; ++column) {
    if (w.panels == nullptr) fetch_ahead(p, column, column + 1);
    product_list<Code>(p, column, w.panels == nullptr);
  }
}

}  // namespace
