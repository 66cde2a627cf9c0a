#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "dense/cuda/chain.h"
#include "dense/kernels.h"
#include "dense/mlp.h"
#include "on_device.h"

namespace starling {
namespace {

struct Layers {
  std::string name;
  std::vector<int> widths;
  int rows;
  bool bias = true;
};

// Widths and rows that fill tiles, that do not, and that are beyond what stays on the chip.
const Layers kTable[] = {
    {"one of everything", {1, 1}, 1},
    {"a narrow output", {128, 128, 10}, 300},
    {"widths of whole tiles", {64, 128, 64}, 256},
    {"one row more than a tile", {7, 33, 65, 17}, 129},
    {"one row less", {31, 64, 16}, 127},
    {"many inputs", {700, 40}, 150},
    {"many outputs", {20, 300}, 150},
    {"a kept layer wider than the chip", {50, 300, 129, 20}, 200},
    {"the widest", {1024, 1024, 5}, 130},
    {"without bias", {33, 40, 12}, 70, false},
    {"no rows", {3, 4}, 0},
};

class DenseCudaTest : public CudaTest, public testing::WithParamInterface<Layers> {
 protected:
  // The layers with their inputs in two parts; rows of inputs and outputs lie `gap` floats further apart than needed.
  static void expect_same(const Layers& test, int gap) {
    std::mt19937 random(7);
    std::normal_distribution<float> normal;
    std::vector<DenseLayer> layers;
    Weights weights;
    for (std::size_t k = 0; k + 1 < test.widths.size(); ++k) {
      layers.push_back({.name = std::to_string(k),
                        .in = test.widths[k],
                        .out = test.widths[k + 1],
                        .bias = test.bias,
                        .relu = k + 2 < test.widths.size()});
      for (const ArrayShape& array : arrays(layers.back())) {
        for (std::int64_t i = 0; i < array.count(); ++i) weights[array.name].push_back(normal(random));
      }
    }
    const int in = test.widths.front(), out = test.widths.back(), first = in / 3, in_stride = in + gap;
    std::vector<float> inputs(static_cast<std::size_t>(test.rows) * in_stride);
    for (float& value : inputs) value = normal(random);
    if (test.rows > 3) inputs[static_cast<std::size_t>(3) * in_stride] = std::nanf("");

    const dense::FloatKernels& kernels = dense::float_kernels(SimdLevel::reference);
    dense::FloatPacker packer(kernels);
    dense::Mlp mlp;
    int most = 0;
    for (const DenseLayer& layer : layers) {
      mlp.push_back(packer.pack(layer, weights));
      most = std::max(most, mlp.back().columns);
    }
    std::vector<float> hidden[2], expected;
    for (auto& buffer : hidden) buffer.resize(static_cast<std::size_t>(test.rows) * most + 1);
    const dense::TileBuffers buffers{{hidden[0].data(), hidden[1].data()}, {}, nullptr};
    if (test.rows > 0) {
      const dense::Product product = dense::product_of({{inputs.data(), in_stride, in}}, test.rows);
      const float* const result = dense::run_mlp(kernels, mlp, product, nullptr, 0, buffers);
      for (int row = 0; row < test.rows; ++row) {
        expected.insert(expected.end(), result + row * mlp.back().columns, result + row * mlp.back().columns + out);
      }
    }

    std::vector<float> content;
    std::vector<dense::cuda::Place> places;
    for (const DenseLayer& layer : layers) places.push_back(dense::cuda::pack({layer}, weights, content));
    const OnDevice<float> packed(content), rows(inputs);
    const int out_stride = out + gap;
    const OnDevice<float> outputs(static_cast<std::size_t>(test.rows) * out_stride);
    dense::cuda::Chain chain;
    for (const dense::cuda::Place& place : places) {
      dense::cuda::Step& step = chain.steps[chain.num_steps++];
      step.layer = dense::cuda::at(place, packed.data());
      step.keep = true;
    }
    dense::cuda::Step &begin = chain.steps[0], &end = chain.steps[chain.num_steps - 1];
    if (first > 0) begin.sources[begin.num_sources++] = {rows.data(), in_stride, first};
    begin.sources[begin.num_sources++] = {rows.data() + first, in_stride, in - first};
    end.keep = false;
    // Two places, so that one begins in the middle of the columns.
    end.stores[end.num_stores++] = {outputs.data(), out_stride, 0, out / 2};
    end.stores[end.num_stores++] = {outputs.data() + out / 2, out_stride, out / 2, out - out / 2};
    const OnDevice<float> scratch(dense::cuda::scratch_floats(chain, test.rows));
    const Stream stream;
    replay_twice(stream, [&] {
      if (test.rows > 0) dense::cuda::run(chain, test.rows, scratch.data(), stream);
    });
    const std::vector<float> got = outputs.get();
    for (int row = 0; row < test.rows; ++row) {
      for (int c = 0; c < out; ++c) {
        const float a = got[static_cast<std::size_t>(row) * out_stride + c],
                    b = expected[static_cast<std::size_t>(row) * out + c];
        ASSERT_TRUE(std::memcmp(&a, &b, sizeof(a)) == 0 || (std::isnan(a) && std::isnan(b)))
            << "row " << row << ", column " << c << ": " << a << ", expected " << b;
      }
    }
    // Nothing is written between the rows.
    const std::vector<float> untouched = OnDevice<float>(1).get();
    for (int row = 0; row + 1 < test.rows && gap > 0; ++row) {
      EXPECT_EQ(std::memcmp(&got[static_cast<std::size_t>(row) * out_stride + out], untouched.data(), sizeof(float)),
                0);
    }
  }
};

TEST_P(DenseCudaTest, SameBytesAsOnTheHost) {
  for (const int gap : {0, 4, 3}) {
    SCOPED_TRACE(gap);
    expect_same(GetParam(), gap);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, DenseCudaTest, testing::ValuesIn(kTable), [](const auto& test) {
  std::string name = test.param.name;
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
});

}  // namespace
}  // namespace starling
