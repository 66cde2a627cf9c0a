#include "dense/integer_packer.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace starling::dense {
namespace {

using WeightCodes = std::vector<std::int16_t>;  // [columns, inputs]

/// What is listed of each output; see ListedWeights.
struct Lists {
  std::vector<std::int32_t> ends;
  std::vector<ListedWeights> items;
};

ListedWeights listed(const std::int16_t* weights, int group, const IntegerKernels& kernels) {
  const int bits = 8 * kernels.weight_bytes;
  std::uint32_t together = 0;
  for (int i = 0; i < kernels.group; ++i) {
    together |= (static_cast<std::uint32_t>(weights[i]) & ((1u << bits) - 1)) << i * bits;
  }
  return {group, static_cast<std::int32_t>(together)};
}

bool any(const std::int16_t* weights, int count) {
  return std::any_of(weights, weights + count, [](std::int16_t weight) { return weight != 0; });
}

/// Takes off the weights of so many groups of 4 what exceeds `limit` in the sums of the magnitudes that meet in one
/// place of 16 bits, the first two of each group and the last two, and adds it to `excess`.
void clip(std::int16_t* weights, int groups, int limit, std::int16_t* excess) {
  for (const int half : {0, 2}) {
    int left = limit;
    for (int k = 0; k < groups; ++k) {
      for (int i = 4 * k + half; i < 4 * k + half + 2; ++i) {
        const int kept = std::clamp<int>(weights[i], -left, left);
        left -= std::abs(kept);
        excess[i] = static_cast<std::int16_t>(excess[i] + weights[i] - kept);
        weights[i] = static_cast<std::int16_t>(kept);
      }
    }
  }
}

/// Lists all weights, each item within `limit` as clip() has it where sums saturate.
Lists list_all(WeightCodes weights, int inputs, int limit, const IntegerKernels& kernels) {
  Lists lists;
  const int g = kernels.group;
  for (std::size_t first = 0; first < weights.size(); first += inputs) {
    for (int k = 0; k < inputs; k += g) {
      std::int16_t* const group = weights.data() + first + k;
      while (any(group, g)) {
        std::int16_t excess[4] = {};
        if (kernels.saturates) clip(group, 1, limit, excess);
        lists.items.push_back(listed(group, k / g, kernels));
        std::copy_n(excess, g, group);
      }
    }
    lists.ends.push_back(static_cast<std::int32_t>(lists.items.size()));
  }
  return lists;
}

}  // namespace

int padded_codes(int width) { return (width + kCodeColumns - 1) / kCodeColumns * kCodeColumns; }

void* IntegerPacker::allocate(std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  const std::size_t size = std::max<std::size_t>(1, (bytes + kLine - 1) / kLine) * kLine;
  void* const memory = std::aligned_alloc(kLine, size);
  if (memory == nullptr) throw std::bad_alloc();
  memory_.emplace_back(memory);
  std::memset(memory, 0, size);
  return memory;
}

// In 32 bits they may wrap around, as sums do.
const void* IntegerPacker::start(const std::vector<std::int64_t>& sums) {
  std::vector<std::int64_t> copies;
  for (const std::int64_t sum : sums) copies.insert(copies.end(), kernels_.start_lanes, sum);
  if (kernels_.sum_bytes == 8) return copy(copies, copies.size());
  return copy(std::vector<std::int32_t>(copies.begin(), copies.end()), copies.size());
}

const void* IntegerPacker::panels(const WeightCodes& weights, int columns) {
  const int inputs = static_cast<int>(weights.size()) / columns;
  const int depth = kernels_.depth;
  const std::size_t bytes = std::size_t((inputs + depth - 1) / depth) * depth * columns * kernels_.weight_bytes;
  char* const packed = static_cast<char*>(allocate(bytes));
  char* next = packed;
  for (int first = 0; first < columns;) {
    const int panel = panel_columns(columns - first, kernels_.panel);
    for (int k = 0; k < inputs; k += depth) {
      for (int out = first; out < first + panel; ++out, next += std::ptrdiff_t{depth} * kernels_.weight_bytes) {
        for (int i = 0; i < std::min(depth, inputs - k); ++i) {
          const std::int16_t code = weights[std::size_t(out) * inputs + k + i];
          if (kernels_.weight_bytes == 1) {
            next[i] = static_cast<char>(code);
          } else {
            std::memcpy(next + 2 * i, &code, sizeof code);
          }
        }
      }
    }
    first += panel;
  }
  return packed;
}

PackedCodes IntegerPacker::pack(const CodeMatrix& matrix, const std::vector<int>& inputs, int width, bool with_bias) {
  const int columns = padded_codes(matrix.out), padded = padded_codes(width);
  const int depth = padded * static_cast<int>(inputs.size());
  WeightCodes weights(std::size_t(columns) * depth);
  std::vector<std::int64_t> sums(columns);
  for (int out = 0; out < matrix.out; ++out) {
    if (with_bias && matrix.bias != nullptr) sums[out] = matrix.bias[out];
    for (std::size_t input = 0; input < inputs.size(); ++input) {
      for (int k = 0; k < width; ++k) {
        const std::int16_t code = matrix.weight[std::size_t(out) * matrix.in + inputs[input] + k];
        weights[std::size_t(out) * depth + input * padded + k] = code;
        sums[out] += std::int64_t{code} * matrix.lowest;
      }
    }
  }
  PackedCodes packed;
  packed.kernels = &kernels_;
  packed.weights.inputs = depth;
  packed.weights.columns = columns;
  packed.weights.start = start(sums);

  const int limit = INT16_MAX / std::max(1, matrix.highest - matrix.lowest);
  Lists lists;
  if (kernels_.listed_part > 0.) lists = list_all(weights, depth, limit, kernels_);
  const std::size_t groups = weights.size() / kernels_.group;
  if (static_cast<double>(lists.items.size()) >= kernels_.listed_part * static_cast<double>(groups)) {
    lists = {};
    if (kernels_.saturates) {
      // The longest chain whose excess is cheap: an item of a list takes as long as two groups of a panel.
      double least = 0.;
      WeightCodes best;
      for (const int chain : {1, 2, 4}) {
        WeightCodes clipped = weights, excess(weights.size());
        for (std::size_t k = 0; k < weights.size(); k += 4 * chain) {
          clip(clipped.data() + k, chain, limit, excess.data() + k);
        }
        Lists rest = list_all(std::move(excess), depth, limit, kernels_);
        const double cost = static_cast<double>(groups) * (1. + 1. / chain) / 2. + 2. * double(rest.items.size());
        if (chain > 1 && cost >= least) continue;
        least = cost;
        best = std::move(clipped);
        lists = std::move(rest);
        packed.weights.chain = chain;
      }
      weights = std::move(best);
    }
    packed.weights.panels = panels(weights, columns);
  }
  if (!lists.items.empty() || packed.weights.panels == nullptr) {
    packed.weights.list_ends = copy(lists.ends, lists.ends.size());
    packed.weights.listed = copy(lists.items, lists.items.size());
  }
  return packed;
}

}  // namespace starling::dense
