#include <ATen/Functions.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "learn/ops/operands.h"

// Masks of pruned weights (docs/definitions.md, Pruning): on the host, where there are few enough weights.
namespace starling::ops {
namespace {

constexpr int kGroup = 4, kKeptOfGroup = 2;

/// A weight matrix and its mask in host memory.
struct Matrix {
  at::Tensor sizes, mask;  ///< |w| in double, bool
  std::int64_t rows = 0, columns = 0, least = 0;

  const double* size() const { return sizes.const_data_ptr<double>(); }
  bool* kept() const { return mask.mutable_data_ptr<bool>(); }
  std::int64_t remaining() const { return std::count(kept(), kept() + rows * columns, true); }
};

/// Weights that are pruned together: the rows and columns of one matrix from `row` and `column` on.
struct Block {
  double size;  ///< mean |w| of what is left of it
  std::int32_t matrix;
  std::int64_t row, column, left;
};

Matrix make_matrix(const char* op, const at::Tensor& weight, const at::Tensor& mask) {
  check_floating(op, "weight", weight);
  TORCH_CHECK_VALUE(weight.dim() == 2, op, ": a weight has shape ", weight.sizes(), ": expected [outputs, inputs]");
  TORCH_CHECK_VALUE(mask.scalar_type() == at::kBool && mask.sizes() == weight.sizes(), op, ": a mask is ",
                    mask.scalar_type(), " ", mask.sizes(), ": expected bool ", weight.sizes(), " as the weight");
  Matrix matrix{.sizes = weight.detach().cpu().to(at::kDouble).abs().contiguous(),
                .mask = mask.to(at::kCPU, at::kBool, /*non_blocking=*/false, /*copy=*/true).contiguous(),
                .rows = weight.size(0),
                .columns = weight.size(1)};
  TORCH_CHECK_VALUE(matrix.sizes.isfinite().all().item<bool>(), op,
                    ": a weight is not finite: expected finite numbers");
  return matrix;
}

template <typename Call>
void for_block(const Matrix& matrix, const Block& block, std::int64_t height, std::int64_t width, const Call& call) {
  for (std::int64_t row = block.row; row < std::min(block.row + height, matrix.rows); ++row) {
    for (std::int64_t column = block.column; column < std::min(block.column + width, matrix.columns); ++column) {
      call(row * matrix.columns + column);
    }
  }
}

std::vector<at::Tensor> prune(at::TensorList weights, at::TensorList masks, double amount, c10::ArrayRef<double> floors,
                              std::int64_t height, std::int64_t width) {
  constexpr const char* kOp = "starling::prune";
  TORCH_CHECK_VALUE(masks.size() == weights.size() && floors.size() == weights.size(), kOp, ": ", weights.size(),
                    " weights, ", masks.size(), " masks and ", floors.size(), " floors: expected as many of each");
  TORCH_CHECK_VALUE(amount >= 0 && amount <= 1, kOp, ": amount is ", amount, ": expected 0 to 1");
  TORCH_CHECK_VALUE(height >= 1 && width >= 1, kOp, ": a block is [", height, ", ", width, "]: expected at least 1");
  std::vector<Matrix> matrices;
  std::vector<Block> blocks;
  std::int64_t remaining = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    TORCH_CHECK_VALUE(floors[i] >= 0 && floors[i] <= 1, kOp, ": floor ", i, " is ", floors[i], ": expected 0 to 1");
    Matrix matrix = make_matrix(kOp, weights[i], masks[i]);
    matrix.least = static_cast<std::int64_t>(std::ceil(floors[i] * static_cast<double>(matrix.rows * matrix.columns)));
    remaining += matrix.remaining();
    for (std::int64_t row = 0; row < matrix.rows; row += height) {
      for (std::int64_t column = 0; column < matrix.columns; column += width) {
        Block block{0., static_cast<std::int32_t>(i), row, column, 0};
        for_block(matrix, block, height, width, [&](std::int64_t place) {
          if (!matrix.kept()[place]) return;
          block.size += matrix.size()[place];
          ++block.left;
        });
        if (block.left == 0) continue;
        block.size /= static_cast<double>(block.left);
        blocks.push_back(block);
      }
    }
    matrices.push_back(std::move(matrix));
  }
  // Equal ones go in the order of the matrices and of their rows.
  std::stable_sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.size < b.size; });
  auto count = static_cast<std::int64_t>(std::nearbyint(amount * static_cast<double>(remaining)));
  std::vector<std::int64_t> left;
  for (const Matrix& matrix : matrices) left.push_back(matrix.remaining());
  for (const Block& block : blocks) {
    const Matrix& matrix = matrices[static_cast<std::size_t>(block.matrix)];
    std::int64_t& of_matrix = left[static_cast<std::size_t>(block.matrix)];
    if (block.left > count || of_matrix - block.left < matrix.least) continue;
    for_block(matrix, block, height, width, [&](std::int64_t place) { matrix.kept()[place] = false; });
    of_matrix -= block.left;
    count -= block.left;
  }
  std::vector<at::Tensor> result;
  for (std::size_t i = 0; i < matrices.size(); ++i) result.push_back(matrices[i].mask.to(masks[i].device()));
  return result;
}

at::Tensor prune_2_of_4(const at::Tensor& weight, const at::Tensor& mask) {
  const Matrix matrix = make_matrix("starling::prune_2_of_4", weight, mask);
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    for (std::int64_t begin = 0; begin < matrix.columns; begin += kGroup) {
      const double* const size = matrix.size() + row * matrix.columns + begin;
      bool* const kept = matrix.kept() + row * matrix.columns + begin;
      const std::int64_t width = std::min<std::int64_t>(kGroup, matrix.columns - begin);
      std::vector<std::int64_t> order(static_cast<std::size_t>(width));
      std::iota(order.begin(), order.end(), 0);
      // Kept ones first, the largest of them first, of equal ones the first.
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        return kept[a] != kept[b] ? kept[a] : size[a] > size[b];
      });
      for (std::int64_t place = kKeptOfGroup; place < width; ++place)
        kept[order[static_cast<std::size_t>(place)]] = false;
    }
  }
  return matrix.mask.to(mask.device());
}

}  // namespace

TORCH_LIBRARY_IMPL(starling, CompositeExplicitAutograd, m) {
  m.impl("prune", TORCH_FN(prune));
  m.impl("prune_2_of_4", TORCH_FN(prune_2_of_4));
}

}  // namespace starling::ops
