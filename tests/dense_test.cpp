#include "starling/dense.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "dense/kernels.h"
#include "dense/mlp.h"
#include "expect_error.h"
#include "starling/device.h"
#include "starling/error.h"

namespace {

using namespace starling;

TEST(NumberType, IsNamed) {
  for (const NumberType type : {NumberType::float32, NumberType::half, NumberType::bfloat16})
    EXPECT_EQ(parse_number_type(to_string(type)), type);
  expect_error(ErrorKind::usage, "number type 'float': expected float32, half or bfloat16",
               [] { parse_number_type("float"); });
  expect_error(ErrorKind::usage, "number type 3: expected", [] { (void)to_string(static_cast<NumberType>(3)); });
}

TEST(DenseLayer, ListsItsArrays) {
  const DenseLayer plain{.name = "a", .in = 3, .out = 2};
  ASSERT_EQ(arrays(plain).size(), 2u);
  EXPECT_EQ(arrays(plain)[0].name, "a.weight");
  EXPECT_EQ(arrays(plain)[0].shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(arrays(plain)[1].name, "a.bias");
  EXPECT_EQ(parameter_count(plain), 8);
  const DenseLayer batch{.name = "a", .in = 3, .out = 2, .bias = false, .norm = Norm::batch};
  ASSERT_EQ(arrays(batch).size(), 3u);
  EXPECT_EQ(arrays(batch)[1].name, "a.norm_weight");
  EXPECT_EQ(arrays(batch)[2].name, "a.norm_bias");
  EXPECT_EQ(parameter_count(batch), 10);
}

TEST(DenseLayer, NamesOfNormalisations) {
  for (const Norm norm : {Norm::none, Norm::layer, Norm::batch}) EXPECT_EQ(parse_norm(to_string(norm)), norm);
  EXPECT_THROW(parse_norm("group"), Error);
}

// Rows through layers whose widths all differ, as in a pruned network.
struct Chain {
  std::vector<DenseLayer> layers;
  Weights weights;
  std::vector<float> inputs;
  int rows;
};

Chain random_chain(const std::vector<int>& widths, int rows) {
  Chain chain{.layers = {}, .weights = {}, .inputs = {}, .rows = rows};
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (std::size_t k = 0; k + 1 < widths.size(); ++k) {
    const bool last = k + 2 == widths.size();
    chain.layers.push_back({.name = std::to_string(k),
                            .in = widths[k],
                            .out = widths[k + 1],
                            .norm = last ? Norm::none : Norm::layer,
                            .relu = !last});
    for (const ArrayShape& array : arrays(chain.layers.back())) {
      for (std::int64_t i = 0; i < array.count(); ++i) chain.weights[array.name].push_back(normal(random));
    }
  }
  for (int i = 0; i < rows * widths[0]; ++i) chain.inputs.push_back(normal(random));
  return chain;
}

std::vector<double> plain_loops(const Chain& chain) {
  std::vector<double> x(chain.inputs.begin(), chain.inputs.end());
  for (const DenseLayer& layer : chain.layers) {
    std::vector<double> y;
    for (int r = 0; r < chain.rows; ++r) {
      std::vector<double> row;
      for (int o = 0; o < layer.out; ++o) {
        double sum = chain.weights.at(layer.name + ".bias")[o];
        for (int i = 0; i < layer.in; ++i) {
          sum += double{chain.weights.at(layer.name + ".weight")[o * layer.in + i]} * x[r * layer.in + i];
        }
        row.push_back(sum);
      }
      if (layer.norm == Norm::layer) {
        double mean = 0., variance = 0.;
        for (const double value : row) mean += value / layer.out;
        for (const double value : row) variance += (value - mean) * (value - mean) / layer.out;
        for (double& value : row) value = (value - mean) / std::sqrt(variance + double{kLayerNormEpsilon});
      }
      for (const double value : row) y.push_back(layer.relu ? std::max(0., value) : value);
    }
    x = y;
  }
  return x;
}

std::vector<float> run(const Chain& chain, SimdLevel level) {
  const dense::FloatKernels& kernels = dense::float_kernels(level);
  dense::FloatPacker packer(kernels);
  dense::Mlp layers;
  int most = 0;
  for (const DenseLayer& layer : chain.layers) {
    layers.push_back(packer.pack(layer, chain.weights));
    most = std::max(most, layers.back().columns);
  }
  const auto memory = [&](int columns) { return std::vector<float>(std::size_t(chain.rows) * columns); };
  std::vector<float> hidden[2] = {memory(most), memory(most)}, scale[2] = {memory(1), memory(1)};
  std::vector<float> squares = memory(dense::kPartialSums);
  const dense::TileBuffers buffers{
      {hidden[0].data(), hidden[1].data()}, {scale[0].data(), scale[1].data()}, squares.data()};
  const int in = chain.layers.front().in, out = layers.back().width;
  const float* const values = dense::run_mlp(
      kernels, layers, dense::product_of({{chain.inputs.data(), in, in}}, chain.rows), nullptr, 0, buffers);
  std::vector<float> result;
  for (int r = 0; r < chain.rows; ++r) {
    const float* const row = values + std::ptrdiff_t{r} * layers.back().columns;
    result.insert(result.end(), row, row + out);
  }
  return result;
}

TEST(Dense, LayersOfAnyWidthFollowEachOther) {
  const std::vector<int> chains[] = {{7, 20, 5, 33, 1}, {3, 1, 48}, {64, 16, 17, 15, 100, 4}, {1, 8, 9, 40, 24}};
  for (const std::vector<int>& widths : chains) {
    for (const int rows : {1, 2, 13, 24}) {
      SCOPED_TRACE(testing::Message() << widths.size() << " widths from " << widths[0] << ", " << rows << " rows");
      const Chain chain = random_chain(widths, rows);
      const std::vector<double> expected = plain_loops(chain);
      const std::vector<float> reference = run(chain, SimdLevel::reference);
      ASSERT_EQ(reference.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(reference[i], expected[i], 1e-4) << i;
      for (const SimdLevel level : simd_levels()) {
        const std::vector<float> values = run(chain, level);
        EXPECT_EQ(std::memcmp(values.data(), reference.data(), values.size() * sizeof(float)), 0) << to_string(level);
      }
    }
  }
}

}  // namespace
