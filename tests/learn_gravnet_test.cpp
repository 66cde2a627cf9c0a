// The GravNet network of learn/nn: golden vectors, batch normalisation and its folding.
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data.h"
#include "learn/nn/gravnet.h"
#include "starling/error.h"

namespace {

using namespace starling;

/// The golden file as torch's tensors. It holds 16-bit integers, which model files never do: no TensorFile.
class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(in), {});
    std::uint64_t size = 0;
    std::memcpy(&size, bytes_.data(), sizeof size);
    start_ = sizeof size + size;
    header_ = nlohmann::json::parse(bytes_.data() + sizeof size, bytes_.data() + start_);
  }
  bool contains(const std::string& name) const { return header_.contains(name); }
  torch::Tensor at(const std::string& name) {
    static const std::map<std::string, torch::ScalarType> kTypes = {{"F64", torch::kDouble},
                                                                    {"F32", torch::kFloat},
                                                                    {"F16", torch::kHalf},
                                                                    {"I32", torch::kInt},
                                                                    {"I64", torch::kLong}};
    const nlohmann::json& entry = header_.at(name);
    return torch::from_blob(bytes_.data() + start_ + entry.at("data_offsets")[0].get<std::size_t>(),
                            entry.at("shape").get<std::vector<std::int64_t>>(), kTypes.at(entry.at("dtype")))
        .clone();
  }

 private:
  std::vector<char> bytes_;
  std::size_t start_ = 0;
  nlohmann::json header_;
};

double largest(const torch::Tensor& values) { return values.abs().max().item<double>(); }

// The fixed vector that the golden file multiplies gradients by.
torch::Tensor ramp(std::int64_t size) {
  torch::Tensor values = torch::empty({size}, torch::kDouble);
  for (std::int64_t i = 0; i < size; ++i) values[i] = static_cast<double>((7919 * i) % 17 - 8) / 8;
  return values;
}

struct Golden {
  const char* set;
  GravNetShape shape;
};

GravNetShape seed_shape(int inputs, int hidden, int space, int propagate, int k, int outputs) {
  GravNetShape shape;
  shape.inputs = inputs;
  shape.hidden = hidden;
  shape.width = 2 * propagate;
  shape.space = space;
  shape.propagate = propagate;
  shape.k = k;
  shape.outputs = outputs;
  return shape;
}

class GoldenGravNet : public testing::TestWithParam<torch::ScalarType> {};

TEST_P(GoldenGravNet, OutputsAndGradients) {
  STARLING_NEEDS_DATA("dynamic_networks");
  GoldenFile file(data_folder() / "dynamic_networks/models.safetensors");
  const double bound = GetParam() == torch::kDouble ? 1e-9 : 1e-4;
  for (const Golden& golden :
       {Golden{"mini", seed_shape(8, 16, 3, 8, 8, 4)}, Golden{"full", seed_shape(64, 128, 4, 32, 64, 10)}}) {
    SCOPED_TRACE(golden.set);
    const std::string set = golden.set, kind = set + "/gravnet/";
    learn::GravNet network(golden.shape);
    std::map<std::string, std::vector<float>> weights;
    for (const auto& [name, unused] : network->weights()->values()) {
      const torch::Tensor stored = file.at(set + "/weights/" + name).to(torch::kFloat).contiguous();
      weights[name].assign(stored.const_data_ptr<float>(), stored.const_data_ptr<float>() + stored.numel());
    }
    network->weights()->set_values(weights);
    network->to(GetParam());

    const torch::Tensor x = file.at(kind + "x").to(GetParam()).requires_grad_();
    const torch::Tensor out = network->forward(x, file.at(kind + "row_splits").to(torch::kInt));
    const torch::Tensor expected = file.at(kind + "out");
    EXPECT_LE(largest(out - expected), bound * largest(expected));
    (out * file.at(kind + "g").to(GetParam())).sum().backward();

    std::map<std::string, torch::Tensor> gradients = network->weights()->split(network->weights()->flat().grad());
    gradients["x"] = x.grad();
    for (const auto& [name, gradient] : gradients) {
      // The bias of a projection to coordinates changes no distance.
      const bool none = name.ends_with("lin_s.bias");
      const auto expect_near = [&, of = name](const torch::Tensor& values, const torch::Tensor& wanted) {
        EXPECT_LE(largest(values - wanted), bound * (none ? 1 : largest(wanted))) << of;
      };
      if (file.contains(kind + "grad/" + name)) {
        expect_near(gradient, file.at(kind + "grad/" + name));
        continue;
      }
      const torch::Tensor exact = gradient.to(torch::kDouble);
      expect_near(torch::mv(exact, ramp(exact.size(1))), file.at(kind + "proj/" + name + "/row"));
      expect_near(torch::mv(exact.t(), ramp(exact.size(0))), file.at(kind + "proj/" + name + "/col"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GoldenGravNet, testing::Values(torch::kDouble, torch::kFloat),
                         [](const auto& type) { return type.param == torch::kDouble ? "double" : "float"; });

GravNetShape small_shape(bool concat) {
  GravNetShape shape = seed_shape(5, 12, 2, 4, 6, 3);
  shape.width = 7;
  shape.blocks = 2;
  shape.concat = concat;
  return shape;
}

TEST(GravNetModule, RunningStatisticsFollowTheBatch) {
  torch::manual_seed(1);
  learn::GravNet network(small_shape(false), 4, /*batch_norm=*/true);
  const torch::Tensor x = torch::randn({40, 5}), splits = torch::tensor({0, 40}, torch::kInt);
  const auto train = [&](const torch::Tensor& inputs) {
    network->start_step();
    network->forward(inputs, splits);
  };
  network->train();
  train(x);
  const std::map<std::string, std::vector<float>> values = network->weights()->values();
  const auto values_of = [&](const std::string& name) { return torch::tensor(values.at(name)); };
  const torch::Tensor sums = torch::addmm(values_of("fc1.bias"), x, values_of("fc1.weight").view({12, 5}).t());
  const auto buffers = network->named_buffers();
  // The first batch is all that has been seen; later ones count less and less.
  EXPECT_LT(largest(buffers["means"].narrow(0, 0, 12) - sums.mean(0)), 1e-5);
  EXPECT_LT(largest(buffers["variances"].narrow(0, 0, 12) - sums.var(0)), 1e-5);
  train(x + 1);
  const torch::Tensor weight = values_of("fc1.weight").view({12, 5});
  EXPECT_LT(largest(buffers["means"].narrow(0, 0, 12) - (sums.mean(0) + weight.sum(1) / 2)), 1e-5);
  for (int i = 0; i < 200; ++i) train(x);
  const torch::Tensor before_last = buffers["means"].clone();
  train(x + 1);
  EXPECT_LT(largest(buffers["means"].narrow(0, 0, 12) - before_last.narrow(0, 0, 12) -
                    learn::GravNetImpl::kMomentum * (sums.mean(0) + weight.sum(1) - before_last.narrow(0, 0, 12))),
            1e-5);
  EXPECT_EQ(buffers["batches"].item<float>(), 203);

  // Normalised over the batch, shift and scale of the inputs to a normalised layer change nothing.
  const torch::Tensor before = network->forward(x, splits);
  const torch::NoGradGuard guard;
  network->weights()->split(network->weights()->flat())["fc1.bias"].add_(3);
  EXPECT_LT(largest(network->forward(x, splits) - before), 1e-4);
  network->eval();
  EXPECT_GT(largest(network->forward(x, splits) - before), 1e-2);
}

TEST(GravNetModule, FoldedIsTheSameNetwork) {
  for (const bool concat : {false, true}) {
    torch::manual_seed(2);
    learn::GravNet network(small_shape(concat), 5, /*batch_norm=*/true);
    // Events of fewer hits than k, of none, and one alone.
    const torch::Tensor x = 2 * torch::randn({60, 5}) + 1, splits = torch::tensor({0, 4, 4, 5, 60}, torch::kInt);
    const torch::NoGradGuard guard;
    for (int i = 0; i < 20; ++i) {
      network->start_step();
      network->forward(x, splits);
    }
    network->weights()->flat().add_(0.3 * torch::randn({network->weights()->flat().numel()}));
    network->eval();
    const starling::GravNet folded = network->folded();
    learn::GravNet plain(small_shape(concat));
    plain->weights()->set_values(folded.weights);
    const torch::Tensor expected = network->forward(x, splits);
    EXPECT_LE(largest(plain->forward(x, splits) - expected), 1e-5 * largest(expected));
    EXPECT_EQ(plain->folded().weights, folded.weights);

    // The runtime without torch gives the same.
    const std::int32_t row_splits[] = {0, 4, 4, 5, 60};
    const GravNetHits hits{x.const_data_ptr<float>(), 60, row_splits, 4};
    const GravNetPlan plan(folded);
    std::vector<std::byte> workspace(plan.workspace_bytes(hits));
    torch::Tensor outputs = torch::empty({60, 3});
    plan.run(hits, outputs.mutable_data_ptr<float>(), workspace);
    EXPECT_LE(largest(outputs - expected), 1e-4 * largest(expected));
    EXPECT_EQ(plain->weights()->flat().numel(), parameter_count(small_shape(concat)));
  }
}

// With k = 1 a hit hears of itself alone, so the network is written down in a few lines.
TEST(GravNetModule, CoordinatesBeginAsFeatures) {
  torch::manual_seed(3);
  learn::GravNet network(small_shape(false), 6);
  network->start_from({{3, 2.f, 4.f}, {0, 5.f, 1.f}});
  std::map<std::string, torch::Tensor> weights = network->weights()->split(network->weights()->flat().detach());
  const auto dense = [&](const torch::Tensor& x, const std::string& name) {
    const torch::Tensor sums = torch::mm(x, weights.at(name + ".weight").t());
    return weights.contains(name + ".bias") ? sums + weights.at(name + ".bias") : sums;
  };
  const torch::Tensor inputs = torch::randn({20, 5});
  torch::Tensor x = torch::relu(dense(torch::relu(dense(inputs, "fc1")), "fc2"));
  for (const std::string block : {"0", "1"}) {
    const std::string graph = "gravnet_layers." + block, after = "dense_after_gravnet." + block;
    const torch::Tensor first = inputs.select(1, 3), second = inputs.select(1, 0), s = dense(x, graph + ".lin_s"),
                        h = dense(x, graph + ".lin_h");
    EXPECT_TRUE(torch::allclose(s.select(1, 0), (block == "0" ? 2 : 4) * first, 1e-5, 1e-5)) << block;
    EXPECT_TRUE(torch::allclose(s.select(1, 1), (block == "0" ? 5 : 1) * second, 1e-5, 1e-5)) << block;
    EXPECT_TRUE(torch::allclose(h.select(1, 0), learn::GravNetImpl::kMessageGain * first, 1e-5, 1e-4)) << block;
    x = dense(x, graph + ".lin_out1") + dense(torch::cat({h, h}, 1), graph + ".lin_out2");
    for (const char* const layer : {".0", ".2", ".4"}) x = torch::relu(dense(x, after + layer));
  }
  EXPECT_THROW(network->start_from({{0}, {1}, {2}}), Error);
  EXPECT_THROW(network->start_from({{5}}), Error);
}

// Products in bfloat16 keep about 3 digits; the first and the last layer, coordinates and statistics stay in float.
TEST(GravNetModule, MixedPrecisionIsNear) {
  torch::manual_seed(7);
  learn::GravNet network(small_shape(true), 8, /*batch_norm=*/true);
  const torch::Tensor x = torch::randn({50, 5}), splits = torch::tensor({0, 5, 50}, torch::kInt);
  const torch::Tensor expected = network->forward(x, splits), mixed = network->forward(x, splits, torch::kBFloat16);
  EXPECT_EQ(mixed.scalar_type(), torch::kFloat);
  EXPECT_LT((mixed - expected).abs().mean().item<double>(), 0.05 * largest(expected));
  mixed.sum().backward();
  EXPECT_TRUE(torch::isfinite(network->weights()->flat().grad()).all().item<bool>());
}

TEST(GravNetModule, NoHitsGiveNoOutputs) {
  learn::GravNet network(small_shape(true), 1, /*batch_norm=*/true);
  EXPECT_EQ(network->forward(torch::zeros({0, 5}), torch::zeros({2}, torch::kInt)).sizes(), at::IntArrayRef({0, 3}));
  const torch::Tensor one = network->forward(torch::ones({1, 5}), torch::tensor({0, 1}, torch::kInt));
  EXPECT_TRUE(torch::isfinite(one).all().item<bool>());
}

}  // namespace
