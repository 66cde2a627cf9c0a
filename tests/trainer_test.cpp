// The trainer without physics: a toy task that it trains, interrupts and resumes, and the parts it is made of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "expect_error.h"
#include "learn/nn/flat_parameters.h"
#include "learn/train/adamw.h"
#include "learn/train/checkpoint.h"
#include "learn/train/folder.h"
#include "learn/train/kept_batches.h"
#include "learn/train/monitor.h"
#include "learn/train/random.h"
#include "learn/train/stream.h"
#include "learn/train/torch_errors.h"
#include "learn/train/trainer.h"
#include "starling/config.h"
#include "starling/error.h"
#include "starling/safetensors.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using namespace starling::learn;
using testing::HasSubstr;

namespace fs = std::filesystem;

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

ErrorKind kind_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::internal;
}

/// Interrupts a run after `steps` questions whether it does.
class TestMonitor : public Monitor {
 public:
  bool interrupted() override { return steps-- <= 0; }
  bool due() override { return true; }
  void show(double, const std::string&) override {}
  void say(const std::string& text) override { said += text + '\n'; }
  [[noreturn]] void end(const Error&) override { std::abort(); }
  void draw(const TrainingCurves& all, const fs::path&) override { curves = all; }

  int steps = 0;
  std::string said;
  TrainingCurves curves;
};

/// y = w·x, with a mask over w that a later epoch sets: a pruned network in small.
class MaskedLinear : public torch::nn::Module {
 public:
  MaskedLinear()
      : parameters(register_module(
            "parameters", FlatParameters(std::vector<FlatParametersImpl::Named>{
                              {"weight", torch::tensor({0.5f, -0.25f, 0.125f, 1.f})}, {"bias", torch::zeros({1})}}))),
        mask(register_buffer("mask", torch::ones({4}))) {}

  torch::Tensor forward(const torch::Tensor& x) {
    const std::vector<torch::Tensor> parts = parameters->unpack(torch::kFloat);
    return torch::mv(x, parts[0] * mask) + parts[1];
  }

  FlatParameters parameters;
  torch::Tensor mask;
};

class ToyTask : public Task {
 public:
  torch::nn::Module& network() override { return network_; }
  void prepare(const RunContext& run) override {
    run.stop_if_interrupted("preparing");
    ++prepared;
  }
  Batch make_batch(std::uint64_t number) const override {
    std::vector<float> x;
    for (std::uint64_t i = 0; i < 32; ++i) x.push_back(static_cast<float>(random_unit(number, 1, i) - 0.5));
    const torch::Tensor inputs = to_tensor(x, {8, 4}, false);
    return {{inputs, torch::mv(inputs, torch::tensor({1.f, -2.f, 0.01f, 3.f}))}};
  }
  Batch augment(const Batch& batch, std::uint64_t draw) const override {
    const float sign = (draw & 1) != 0 ? -1.f : 1.f;
    return {{batch.tensors[0] * sign, batch.tensors[1] * sign}};
  }
  void start_epoch(int epoch) override {
    epochs.push_back(epoch);
    if (epoch != 2) return;
    const torch::NoGradGuard guard;
    const torch::Tensor weight = network_.parameters->unpack(torch::kFloat)[0];
    network_.mask[weight.abs().argmin()] = 0.f;
  }
  torch::Tensor loss(const Batch& batch) override {
    if (batch.tensors[1][0].item<float>() > 0.9f) return {};
    return torch::mse_loss(network_.forward(batch.tensors[0]), batch.tensors[1]);
  }
  Validation validate() override {
    EXPECT_FALSE(torch::GradMode::is_enabled());
    const Batch held_out = make_batch(~0ull);
    const torch::Tensor error = network_.forward(held_out.tensors[0]) - held_out.tensors[1];
    return {error.square().mean().item<double>(),
            {{"largest_error", error.abs().max().item<double>()}, {"values", error.numel()}}};
  }
  std::vector<std::string> shown_metrics() const override { return {"largest_error"}; }
  std::string provenance() const override { return R"({"toy":true})"; }
  void save_model(const fs::path& file, const std::string& provenance) override {
    TensorFile model;
    for (const auto& [name, values] : network_.parameters->values()) {
      model.tensors[name] = starling::Tensor::of(values, {static_cast<std::int64_t>(values.size())});
    }
    const float* const mask = network_.mask.const_data_ptr<float>();
    model.tensors["mask"] = starling::Tensor::of(std::vector<float>(mask, mask + 4), {4});
    model.metadata["provenance"] = provenance;
    write_safetensors(file, model);
  }

  int prepared = 0;
  std::vector<int> epochs;

 private:
  MaskedLinear network_;
};

class Trainer : public testing::Test {
 protected:
  void run(const std::string& name, bool resume = false, int steps = 1 << 30, const std::string& more = "") {
    Config config = Config::parse(
        "[training]\nevents_per_epoch = 7\nreuse = 3\nreuse_window = 2\nlearning_rate = 0.05\nworkers = "
        "2\n" +
        more);
    config.set("training.epochs=" + std::to_string(epochs_));
    config.set("training.output=" + (folder_.path() / name).string());
    const TrainerSettings settings = read_trainer_settings(config);
    RunOptions options;
    options.resume = resume;
    options.monitor = &monitor_;
    monitor_.steps = steps;
    task_ = std::make_unique<ToyTask>();
    Group alone(torch::kCPU);
    train(*task_, settings, config.resolved(), options, alone);
  }
  fs::path file(const std::string& name) const { return folder_.path() / name; }

  TemporaryFolder folder_;
  TestMonitor monitor_;
  std::unique_ptr<ToyTask> task_;
  int epochs_ = 5;
};

TEST_F(Trainer, TrainsATaskThatItDoesNotKnow) {
  run("whole", false, 1 << 30, "decay = 1.0\nwarmup_epochs = 0\nweight_decay = 0.0\n");
  EXPECT_EQ(task_->prepared, 1);
  EXPECT_EQ(task_->epochs, (std::vector<int>{0, 1, 2, 3, 4}));
  ASSERT_EQ(monitor_.curves.validation_loss.size(), 5u);
  EXPECT_LT(monitor_.curves.validation_loss.back(), 0.5 * monitor_.curves.validation_loss.front());
  ASSERT_EQ(monitor_.curves.metrics.size(), 1u);
  EXPECT_EQ(monitor_.curves.metrics[0].first, "largest_error");
  EXPECT_EQ(monitor_.curves.metrics[0].second.size(), 5u);
  EXPECT_THAT(monitor_.said, HasSubstr("largest error 0."));
  EXPECT_THAT(content(file("whole/metrics.jsonl")), HasSubstr("\"values\":8"));

  const TensorFile model = read_safetensors(file("whole/model.safetensors"));
  EXPECT_EQ(model.at("mask").f32(), (std::vector<float>{1, 1, 0, 1}));
  EXPECT_THAT(model.metadata.at("provenance"), HasSubstr("\"steps\":35,\"toy\":true,\"last\":"));
}

TEST_F(Trainer, ResumesToTheSameBytesFromAnyStep) {
  run("whole");
  const std::string model = content(file("whole/model.safetensors"));
  for (const int steps : {1, 6, 8, 14, 16, 17, 24, 33}) {
    const std::string name = "stopped" + std::to_string(steps);
    EXPECT_EQ(kind_of([&] { run(name, true, steps); }), ErrorKind::interrupted);
    EXPECT_EQ(kind_of([&] { run(name, true, 4); }), ErrorKind::interrupted);
    run(name, true);
    EXPECT_EQ(content(file(name + "/model.safetensors")), model) << steps;
  }
}

TEST_F(Trainer, AWholeRunIsNotPreparedAgain) {
  run("whole");
  const std::string model = content(file("whole/model.safetensors"));
  run("whole", true);
  EXPECT_EQ(task_->prepared, 0);
  EXPECT_EQ(content(file("whole/model.safetensors")), model);
  EXPECT_EQ(kind_of([&] { run("whole"); }), ErrorKind::usage);
}

TEST_F(Trainer, ResumesOnlyTheSameConfiguration) {
  EXPECT_EQ(kind_of([&] { run("one", false, 9); }), ErrorKind::interrupted);
  const std::string configuration = content(file("one/config.toml"));
  EXPECT_EQ(kind_of([&] { run("one", true, 1 << 30, "weight_decay = 0.5\n"); }), ErrorKind::usage);
  EXPECT_EQ(content(file("one/config.toml")), configuration);
}

TEST_F(Trainer, ValidatesOnceWithNoEpochs) {
  run("whole");
  epochs_ = 0;
  run("none");
  EXPECT_THAT(content(file("none/metrics.jsonl")), HasSubstr("{\"epoch\":0,"));
  EXPECT_THAT(read_safetensors(file("none/model.safetensors")).metadata.at("provenance"),
              HasSubstr("\"epochs\":0,\"steps\":0,"));
  EXPECT_EQ(kind_of([&] { run("none"); }), ErrorKind::usage);
  expect_error(ErrorKind::usage, "with `[training] weight_decay = 0.01`, now it is `[training] weight_decay = 0.5`",
               [&] { run("none", true, 1 << 30, "weight_decay = 0.5\n"); });
  run("none", true);
  EXPECT_EQ(task_->prepared, 0);
  // It goes on like a run that has not begun.
  epochs_ = 5;
  run("none", true);
  EXPECT_EQ(content(file("none/model.safetensors")), content(file("whole/model.safetensors")));
}

TEST(Configurations, AreTheSameButForFreeKeys) {
  const std::string one = "[a]\nk = 1\n\n[[b]]\nx = 1\n\n[[b]]\nx = 2\n\n[training]\nepochs = 1\n";
  check_same("f", one, "[a]\nk = 1\n\n[[b]]\nx = 1\n\n[[b]]\nx = 2\n\n[training]\nepochs = 9\nworkers = 2\n");
  const auto expect = [&](const std::string& now, const std::string& what) {
    expect_error(ErrorKind::usage, "f: the run was started " + what + ": expected the same",
                 [&] { check_same("f", one, now); });
  };
  expect("[a]\nk = 2\n\n[[b]]\nx = 1\n\n[[b]]\nx = 2\n", "with `[a] k = 1`, now it is `[a] k = 2`");
  expect("[[b]]\nx = 1\n\n[[b]]\nx = 2\n", "with `[a] k = 1`, now it is without");
  expect("[a]\nj = 1\nk = 1\n\n[[b]]\nx = 1\n\n[[b]]\nx = 2\n", "without `[a] j = 1`");
  expect("[a]\nk = 1\n\n[[b]]\nx = 1\n", "with `[[b]] x = 2`, now it is without");
  expect("[a]\nk = 1\n\n[[b]]\nx = 1\n\n[[b]]\nx = 2\n\n[c]\ny = 1\n", "without `[c] y = 1`");
}

TEST_F(Trainer, ReplacesOnlyTheFilesOfARun) {
  for (const std::string name : {"config.toml", "metrics.jsonl", "model.safetensors"}) {
    fs::create_directories(file(name + "_there"));
    const std::string text = "[training]  # mine\nepochs = 3\n";
    std::ofstream(file(name + "_there/" + name)) << text;
    EXPECT_EQ(kind_of([&] { run(name + "_there"); }), ErrorKind::usage) << name;
    EXPECT_EQ(content(file(name + "_there/" + name)), text) << name;
  }
  // Killed before the first checkpoint.
  run("killed");
  fs::remove(file("killed/checkpoint.safetensors"));
  run("killed");
}

TEST(Checkpoint, AKeyOfTheSameNameInAnotherSectionMatters) {
  TemporaryFolder folder;
  MaskedLinear network;
  AdamW optimiser(flat_parameter(network), 0, false);
  RunState state;
  state.configuration = "[graph]\nepochs = 1\n\n[training]\nepochs = 1\noutput = 'a'\nworkers = 1\n";
  save_checkpoint(folder.path() / "one", state, network, optimiser);
  load_checkpoint(folder.path() / "one", "[graph]\nepochs = 1\n\n[training]\nepochs = 9\noutput = 'b'\nworkers = 2\n",
                  network, optimiser);
  try {
    load_checkpoint(folder.path() / "one", "[graph]\nepochs = 2\n\n[training]\nepochs = 1\noutput = 'a'\nworkers = 1\n",
                    network, optimiser);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("`[graph] epochs = 1`, now it is `[graph] epochs = 2`"));
  }
}

// Where no process had a loss, each finds out on its device alone.
TEST(AdamW, MaySkipAStep) {
  torch::Tensor parameters = torch::ones({3});
  parameters.mutable_grad() = torch::full({3}, 0.5f);
  AdamW optimiser(parameters, 0.1, true);
  optimiser.step(0.1, torch::ones({}));
  EXPECT_TRUE(torch::equal(parameters, torch::ones({3})));
  EXPECT_EQ(optimiser.steps.item<float>(), 0);
  EXPECT_EQ(optimiser.mean.abs().max().item<float>(), 0);
  optimiser.step(0.1, torch::zeros({}));
  EXPECT_EQ(optimiser.steps.item<float>(), 1);
  const torch::Tensor skipped_first = parameters.clone();
  parameters.fill_(1);
  AdamW(parameters, 0.1, true).step(0.1);
  EXPECT_TRUE(torch::equal(parameters, skipped_first));
}

TEST(Provenance, LeavesOutOnlyThePlaceOfTheRun) {
  Provenance provenance;
  provenance.task = "{}";
  provenance.configuration = "\n[graph]\noutput = 'wires'\n\n[training]\nepochs = 1\noutput = 'a'\nworkers = 1\n";
  provenance.metrics = to_json(EpochRecord{}) + "\n";
  EXPECT_THAT(to_json(provenance),
              HasSubstr(R"("configuration":"\n[graph]\noutput = 'wires'\n\n[training]\nepochs = 1\n")"));
}

TEST(Record, SaysWhenTheValidationLossIsFlat) {
  const auto metrics = [](const std::vector<double>& losses) {
    std::string text;
    for (const double loss : losses) {
      EpochRecord record;
      record.validation.loss = loss;
      text += to_json(record) + '\n';
    }
    return text;
  };
  EXPECT_FALSE(is_flat("", 1, 1));
  EXPECT_FALSE(is_flat(metrics({1, 1}), 3, 0));
  EXPECT_TRUE(is_flat(metrics({1, 1, 1}), 3, 0));
  EXPECT_FALSE(is_flat(metrics({1, 1, 1}), 0, 1));
  EXPECT_TRUE(is_flat(metrics({9, 2, 1.875, 2}), 3, 0.07));
  EXPECT_FALSE(is_flat(metrics({9, 2, 1.875, 2}), 3, 0.06));
  EXPECT_FALSE(is_flat(metrics({1, NAN, 1}), 3, 1));
}

TEST(FlatParameters, ReadPrunedValuesAsZero) {
  FlatParameters parameters(
      std::vector<FlatParametersImpl::Named>{{"a", torch::tensor({1.f, 2.f, 3.f})}, {"b", torch::tensor({4.f})}});
  EXPECT_TRUE(parameters->kept("a").empty());
  parameters->register_masks();
  EXPECT_TRUE(parameters->kept("a").empty());
  EXPECT_EQ(parameters->values().at("a"), (std::vector<float>{1, 2, 3}));
  parameters->split(parameters->mask()).at("a")[1] = 0;
  EXPECT_EQ(parameters->values().at("a"), (std::vector<float>{1, 0, 3}));
  EXPECT_EQ(parameters->kept("a"), (std::vector<std::uint8_t>{1, 0, 1}));
  EXPECT_TRUE(parameters->kept("b").empty());
  EXPECT_EQ(parameters->named_buffers().size(), 1u);
  parameters->unpack(torch::kFloat)[0].sum().backward();
  EXPECT_TRUE(parameters->flat().grad().equal(torch::tensor({1.f, 0.f, 1.f, 0.f})));
}

TEST(FlatParameters, NamesViewsOfOneTensor) {
  FlatParameters parameters(
      std::vector<FlatParametersImpl::Named>{{"a", torch::ones({2, 3})}, {"b", torch::zeros({4})}});
  EXPECT_EQ(parameters->parameters().size(), 1u);
  EXPECT_EQ(parameters->flat().numel(), 10);
  const std::vector<torch::Tensor> parts = parameters->unpack(torch::kFloat);
  EXPECT_EQ(parts[0].sizes(), (std::vector<std::int64_t>{2, 3}));
  (parts[0].sum() * 2 + parts[1].sum()).backward();
  const auto gradient = parameters->split(parameters->flat().grad());
  EXPECT_TRUE(torch::equal(gradient.at("a"), torch::full({2, 3}, 2.f)));
  EXPECT_TRUE(torch::equal(gradient.at("b"), torch::ones({4})));
  EXPECT_EQ(parameters->unpack(torch::kBFloat16)[0].scalar_type(), torch::kBFloat16);

  auto values = parameters->values();
  values["b"] = {1, 2, 3, 4};
  parameters->set_values(values);
  EXPECT_EQ(parameters->values(), values);
  values["b"].pop_back();
  EXPECT_EQ(kind_of([&] { parameters->set_values(values); }), ErrorKind::input);
  EXPECT_EQ(kind_of([] {
              FlatParameters(std::vector<FlatParametersImpl::Named>{{"a", torch::ones({2})}, {"a", torch::ones({2})}});
            }),
            ErrorKind::internal);
}

// The numbers of the batches that the steps from `first` to `end` get.
std::vector<int> numbers(const TrainerSettings& settings, std::uint64_t first, std::uint64_t end, int workers,
                         Share share = {}) {
  BatchStream stream([](std::uint64_t number) { return Batch{{torch::tensor(static_cast<int>(number))}}; },
                     [](const Batch& batch, std::uint64_t) { return batch; }, settings, first, end, workers, share);
  std::vector<int> result;
  for (std::uint64_t i = first * stream.per_step(); i < end * stream.per_step(); ++i) {
    result.push_back(stream.next(torch::kCPU).tensors[0].item<int>());
  }
  return result;
}

TEST(KeptBatches, AreMadeOnceAsLongAsThereIsRoom) {
  int made = 0;
  constexpr std::size_t kMost = 3 * 4;  // three batches of one float
  KeptBatches kept;
  const auto get = [&](std::uint64_t number) {
    const Batch batch = kept.get(number, [&] { return ++made, Batch{{torch::full({1}, static_cast<float>(number))}}; });
    EXPECT_EQ(batch.tensors[0].item<float>(), static_cast<float>(number));
  };
  get(5);
  kept.made_of("these", kMost);
  for (const std::uint64_t number : {5, 6, 7, 8, 5, 6, 7}) get(number);
  EXPECT_EQ(made, 5);
  get(8);  // no room was left for it
  EXPECT_EQ(made, 6);
  kept.made_of("these", kMost);
  get(5);
  EXPECT_EQ(made, 6);
  kept.made_of("others", kMost);
  for (const std::uint64_t number : {8, 8, 5}) get(number);
  EXPECT_EQ(made, 8);
}

TEST(BatchStream, GivesNewBatchesInOrder) {
  EXPECT_EQ(numbers({}, 0, 6, 3), (std::vector<int>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(numbers({}, 4, 6, 1), (std::vector<int>{4, 5}));
}

TEST(BatchStream, ReusesTheLatestTheSameWayFromAnyStep) {
  TrainerSettings settings;
  settings.reuse = 3;
  settings.reuse_window = 4;
  const std::vector<int> all = numbers(settings, 0, 40, 2);
  for (std::size_t step = 0; step < all.size(); ++step) {
    const int newest = static_cast<int>(step / 3);
    if (step % 3 == 0) {
      EXPECT_EQ(all[step], newest);
    }
    EXPECT_LE(all[step], newest);
    EXPECT_GT(all[step], newest - 4);
  }
  for (const std::uint64_t first : {1u, 2u, 3u, 13u, 15u, 29u}) {
    EXPECT_EQ(numbers(settings, first, 40, 3),
              std::vector<int>(all.begin() + static_cast<std::ptrdiff_t>(first), all.end()));
  }
}

// What each place of a step gets is the same for any number of processes, and from any step on.
TEST(BatchStream, ProcessesShareTheBatches) {
  for (const int reuse : {1, 3}) {
    TrainerSettings settings;
    settings.batch = 6;
    settings.reuse = reuse;
    settings.reuse_window = 14;  // three for each place
    const std::vector<int> all = numbers(settings, 0, 12, 2);
    ASSERT_EQ(all.size(), 72u);
    std::vector<int> fresh, expected(static_cast<std::size_t>(72 / reuse));
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i] % 6, static_cast<int>(i % 6));
      EXPECT_LE(all[i] / 6, static_cast<int>(i / 6) / reuse);
      EXPECT_GT(all[i] / 6, static_cast<int>(i / 6) / reuse - 3);
      if (i / 6 % static_cast<std::size_t>(reuse) == 0) fresh.push_back(all[i]);
    }
    for (std::size_t i = 0; i < expected.size(); ++i) expected[i] = static_cast<int>(i);
    EXPECT_EQ(fresh, expected);
    for (const int world : {1, 2, 3, 4, 6}) {
      for (int rank = 0; rank < world; ++rank) {
        for (const std::size_t first : {0u, 7u}) {
          std::vector<int> mine;
          for (std::size_t i = 6 * first; i < all.size(); ++i) {
            if (static_cast<int>(i % 6) % world == rank) mine.push_back(all[i]);
          }
          EXPECT_EQ(numbers(settings, first, 12, 2, {rank, world}), mine) << reuse << ' ' << world << ' ' << first;
        }
      }
    }
  }
  TrainerSettings settings;
  settings.batch = 2;
  EXPECT_EQ(kind_of([&] { numbers(settings, 0, 1, 1, {2, 2}); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([&] { numbers(settings, 0, 1, 1, {-1, 2}); }), ErrorKind::usage);
  EXPECT_EQ(kind_of([&] { numbers(settings, 0, 1, 1, {0, 3}); }), ErrorKind::usage);
}

TEST(BatchStream, OtherPlacesDrawOtherAugmentations) {
  TrainerSettings settings;
  settings.batch = 3;
  settings.reuse = 4;
  std::set<std::uint64_t> draws;
  for (int rank = 0; rank < 2; ++rank) {
    BatchStream stream([](std::uint64_t) { return Batch{{torch::zeros({1})}}; },
                       [&](const Batch& batch, std::uint64_t draw) {
                         EXPECT_TRUE(draws.insert(draw).second);
                         return batch;
                       },
                       settings, 0, 8, 1, {rank, 2});
    for (std::size_t i = 0; i < 8 * stream.per_step(); ++i) stream.next(torch::kCPU);
  }
  EXPECT_EQ(draws.size(), 18u);
}

TEST(Schedule, WarmsUpDecaysAndHasAFloor) {
  const Schedule schedule;
  EXPECT_DOUBLE_EQ(schedule.rate(0), 1e-4);
  EXPECT_DOUBLE_EQ(schedule.rate(4), 5e-4);
  EXPECT_DOUBLE_EQ(schedule.rate(14), 5e-4);
  EXPECT_DOUBLE_EQ(schedule.rate(15), 4.5e-4);
  EXPECT_DOUBLE_EQ(schedule.rate(30), 5e-4 * 0.81);
  EXPECT_DOUBLE_EQ(schedule.rate(100000), 5e-6);
}

TEST(TorchErrors, AreOneLine) {
  for (const auto& [work, what] : std::vector<std::pair<std::function<void()>, const char*>>{
           {[] { torch::empty({std::int64_t{1} << 50}); },
            "out of memory: can't allocate memory: you tried to allocate "},
           {[] {
              torch::mm(torch::ones({2, 3}), torch::ones({2, 3}));
            },
            "LibTorch: "}}) {
    try {
      with_torch_errors(work);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::internal);
      EXPECT_THAT(error.what(), testing::StartsWith(what));
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    }
  }
}

}  // namespace
