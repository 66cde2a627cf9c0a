// Training of shower finders: labels, symmetry, loss, and a run from a configuration to a model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "learn/tasks/showers/batch.h"
#include "learn/tasks/showers/loss.h"
#include "learn/tasks/showers/sample.h"
#include "learn/tasks/train.h"
#include "learn/train/monitor.h"
#include "starling/error.h"
#include "starling/shower_finder.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using namespace starling::learn::showers;
using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

// Three showers, of which the last is the largest in no hit, and two hits of noise.
CalorimeterEvent small_event() {
  CalorimeterEvent event;
  event.name = "small";
  event.hits.hit_id = {0, 1, 2, 3, 4};
  event.hits.x = {100, 110, -300, 50, 0};
  event.hits.y = {200, 190, 0, 60, 0};
  event.hits.z = {3000, 3100, -3200, 3000, 3500};
  event.hits.energy = {1, 3, 2, 0.5f, 0.25f};
  event.truth = ShowerTruth{{0, 2, 3, 4, 5, 5}, {0, 2, 0, 1, 2}, {0.6f, 0.4f, 1, 0.9f, 0.2f}};
  event.showers = Showers{{7, 8, 9}, {6, 400, 1}, {3.f, -2.5f, 2}, {1.1f, 3.1f, 0}, {22, 13, 211}, {1, 1, 0}};
  return event;
}

TEST(ShowerSample, LabelsHitsByTheirLargestShower) {
  const CalorimeterEvent event = small_event();
  const Sample sample = make_sample(event, {});
  EXPECT_EQ(sample.num_hits, 5);
  EXPECT_EQ(sample.features, shower_features(event.hits, ShowerFeatures{}));
  EXPECT_THAT(sample.object, ElementsAre(0, 0, 1, -1, -1));
  const auto target = [&](int hit, Target column) {
    return sample.targets[static_cast<std::size_t>(hit * kTargets + column)];
  };
  for (const int hit : {0, 1}) {
    EXPECT_NEAR(target(hit, kLogCorrection), std::log(6. / 4), 1e-6);
    EXPECT_EQ(target(hit, kKnownEnergy), 1);
    EXPECT_EQ(target(hit, kClass), static_cast<float>(ShowerKind::electromagnetic));
    EXPECT_EQ(target(hit, kOthers), 3);
  }
  // A muon of 400 GeV leaves 2: the hits do not tell that.
  EXPECT_EQ(target(2, kKnownEnergy), 0);
  EXPECT_EQ(target(2, kClass), static_cast<float>(ShowerKind::muon));
  EXPECT_EQ(target(2, kOthers), 4);
  for (const int hit : {3, 4}) {
    EXPECT_EQ(target(hit, kClass), -1);
    EXPECT_EQ(target(hit, kKnownEnergy), 0);
  }
  // The corrected position lies on the axis, as far from the origin as the mean of the hits.
  const double x = 107.5 + target(0, kCorrectionX), y = 192.5 + target(0, kCorrectionY),
               z = 3075 + target(0, kCorrectionZ);
  EXPECT_NEAR(std::hypot(x, y, z), std::hypot(107.5, 192.5, 3075), 0.01);
  EXPECT_NEAR(std::atan2(y, x), 1.1, 1e-5);
  EXPECT_NEAR(std::asinh(z / std::hypot(x, y)), 3, 1e-5);
}

TEST(ShowerSample, NeedsTruth) {
  CalorimeterEvent event = small_event();
  event.truth.reset();
  try {
    make_sample(event, {});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("small: training needs truth"));
  }
}

TEST(ShowerBatch, TurnedKeepsWhatDoesNotDependOnDirections) {
  const ShowerBatch batch = to_tensors({make_sample(small_event(), {}), make_sample(small_event(), {})}, false);
  EXPECT_TRUE(torch::equal(batch.labels.splits, torch::tensor({0, 5, 10}, torch::kInt)));
  EXPECT_TRUE(torch::equal(turned(batch, 0).features, batch.features));
  for (const std::uint64_t draw : {1ull, 2ull, 3ull, 0x123456789abcdef0ull, ~0ull}) {
    const ShowerBatch other = turned(batch, draw);
    const torch::Tensor before = batch.features.narrow(1, kUnitVectorFeature, 3),
                        after = other.features.narrow(1, kUnitVectorFeature, 3);
    EXPECT_TRUE(torch::allclose(torch::mm(before, before.t()), torch::mm(after, after.t()), 1e-5, 1e-6));
    EXPECT_TRUE(torch::equal(after.select(1, 2), (draw & 2) != 0 ? -before.select(1, 2) : before.select(1, 2)));
    // A corrected position turns with its hits.
    const torch::Tensor old_correction = batch.labels.targets.narrow(1, kCorrectionX, 3),
                        correction = other.labels.targets.narrow(1, kCorrectionX, 3);
    EXPECT_TRUE(torch::allclose((before * old_correction).sum(1), (after * correction).sum(1), 1e-4, 1e-3));
    EXPECT_TRUE(
        torch::equal(other.labels.targets.narrow(1, 0, kCorrectionX), batch.labels.targets.narrow(1, 0, kCorrectionX)));
    EXPECT_TRUE(torch::equal(other.features.select(1, 0), batch.features.select(1, 0)));
  }
}

// The slide form with the divisor of the repulsion fixed, written down from docs/definitions.md for one event.
double plain_loss(const torch::Tensor& outputs, const Sample& sample, const LossSettings& settings, double residual) {
  const std::size_t n = sample.object.size();
  const auto out = outputs.accessor<double, 2>();
  std::vector<double> beta(n), q(n), phi(n);
  std::vector<std::array<double, 3>> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto row = static_cast<std::int64_t>(i);
    beta[i] = 1 / (1 + std::exp(-out[row][0]));
    q[i] = std::pow(std::atanh(beta[i]), 2) + settings.q_min;
    for (std::size_t c = 0; c < 3; ++c) {
      x[i][c] = out[row][static_cast<std::int64_t>(1 + c)] + residual * sample.features[i * kShowerFeatures + 1 + c];
    }
    phi[i] = std::exp(out[row][4]);
  }
  double attraction = 0, repulsion = 0, objects = 0, noise = 0, payload = 0;
  int num_objects = 0, num_noise = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (sample.object[i] >= 0) continue;
    noise += beta[i];
    ++num_noise;
  }
  for (int t = 0; t < 2; ++t) {
    std::size_t alpha = n;
    double charge = 0, scale = 0, weight = 0, energy = 0, own = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (sample.object[i] != t) continue;
      if (alpha == n || beta[i] > beta[alpha]) alpha = i;
      charge += q[i];
      scale += q[i] * phi[i];
      ++own;
      const double xi = std::max(std::pow(std::atanh(beta[i]), 2), 1e-6);
      const double error =
          std::abs(out[static_cast<std::int64_t>(i)][5] - sample.targets[i * kTargets + kLogCorrection]);
      weight += xi;
      energy += xi * sample.targets[i * kTargets + kKnownEnergy] * settings.energy *
                (error < 0.1 ? 0.5 * error * error / 0.1 : error - 0.05);
    }
    scale /= charge;
    payload += energy / weight;
    objects += 1 - beta[alpha];
    ++num_objects;
    for (std::size_t i = 0; i < n; ++i) {
      double d2 = 0;
      for (std::size_t c = 0; c < 3; ++c) d2 += std::pow(x[i][c] - x[alpha][c], 2);
      const double u = d2 / (2 * scale * scale + 1e-6);
      if (sample.object[i] == t) {
        attraction += q[alpha] * q[i] * std::log(std::exp(1) * u + 1) / own;
      } else {
        repulsion += q[alpha] * q[i] * std::exp(-u) / settings.repulsion_hits;
      }
    }
  }
  return (attraction + settings.repulsion * repulsion + objects + payload) / num_objects +
         settings.noise * noise / num_noise;
}

TEST(ShowerLoss, IsTheSlideFormWithAFixedDivisorOfTheRepulsion) {
  const Sample sample = make_sample(small_event(), {});
  const ShowerBatch batch = to_tensors({sample}, false);
  ShowerOutputs layout;
  layout.residual = 2;
  LossSettings settings;
  settings.repulsion = 1.5f;
  settings.repulsion_hits = 7;
  settings.noise = 0.5f;
  torch::manual_seed(5);
  torch::Tensor outputs = torch::randn({5, layout.columns()});
  const torch::Tensor loss = shower_loss(outputs.requires_grad_(), batch.features, batch.labels, layout, settings);
  const double expected = plain_loss(outputs.detach().to(torch::kDouble), sample, settings, layout.residual);
  EXPECT_NEAR(loss.item<double>(), expected, 1e-5 * std::abs(expected));
  loss.backward();
  EXPECT_TRUE(torch::isfinite(outputs.grad()).all().item<bool>());
}

TEST(ShowerLoss, EveryOutputIsLearned) {
  const ShowerBatch batch = to_tensors({make_sample(small_event(), {})}, false);
  ShowerOutputs layout;
  layout.coordinates = 4;
  layout.position = 10;
  layout.classes = {"electromagnetic", "charged_hadron", "neutral_hadron", "muon"};
  for (const char* const form : {"slide", "paper"}) {
    LossSettings settings;
    settings.form = form;
    torch::manual_seed(6);
    torch::Tensor outputs = 0.1 * torch::randn({5, layout.columns()});
    shower_loss(outputs.requires_grad_(), batch.features, batch.labels, layout, settings).backward();
    const torch::Tensor moved = outputs.grad().abs().amax(0);
    for (int column = 0; column < layout.columns(); ++column) {
      // The paper's form knows no scale.
      const bool scale = column == 1 + layout.coordinates;
      EXPECT_EQ(moved[column].item<float>() > 0, !scale || settings.form == "slide") << form << column;
    }
  }
}

class QuietMonitor : public learn::Monitor {
 public:
  bool interrupted() override { return false; }
  bool due() override { return false; }
  void show(double, const std::string&) override {}
  void say(const std::string&) override {}
  [[noreturn]] void end(const Error&) override { std::abort(); }
  void draw(const learn::TrainingCurves&, const fs::path&) override {}
};

std::string content(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(ShowerTraining, RefusesWrongSamples) {
  TemporaryFolder folder;
  const auto message = [&](const std::string& samples) {
    std::ofstream(folder.path() / "run.toml") << "[network]\nkind = \"gravnet\"\n" + samples;
    QuietMonitor monitor;
    learn::TrainingRequest request;
    request.configuration = folder.path() / "run.toml";
    request.assignments = {"training.output=" + (folder.path() / "out").string()};
    request.run.monitor = &monitor;
    try {
      learn::train(request);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      return std::string(error.what());
    }
    return std::string();
  };
  const std::string named = "[[sample]]\nname = \"a\"\n";
  EXPECT_THAT(message(named + named), HasSubstr("run.toml: sample[1].name = \"a\": expected letters"));
  EXPECT_THAT(message("[[sample]]\nname = \"a b\"\n"), HasSubstr("sample[0].name = \"a b\": expected letters"));
  EXPECT_THAT(message("[[sample]]\nshare = 0\n"), HasSubstr("expected one sample with a share above 0"));
  EXPECT_THAT(message("[[sample]]\nshowres = 3\n"), HasSubstr("showres"));
  EXPECT_FALSE(fs::exists(folder.path() / "out"));
}

TEST(ShowerTraining, LeavesAModelAndResumesToTheSameBytes) {
  TemporaryFolder folder;
  std::ofstream(folder.path() / "run.toml")
      << "[network]\nkind = \"gravnet\"\nhidden = 16\nwidth = 8\nblocks = 2\nspace = 3\npropagate = 8\nk = 8\n"
         "[showers]\nshowers = 4\nmax_energy = 20\nnoise = 0.1\nmax_abs_phi = 0.5\ndetector = \"" STARLING_SOURCE_DIR
         "/detectors/hgcal.toml\"\n"
         "[[sample]]\nname = \"alone\"\ngrouped = 0\n[[sample]]\nname = \"groups\"\nshare = 2\ngrouped = 1\n"
         "[training]\nepochs = 3\nevents_per_epoch = 8\nvalidation_events = 1\nbatch_hits = 1000\nreuse = 2\n"
         "reuse_window = 4\nlearning_rate = 0.01\nwarmup_epochs = 0\nworkers = 2\n";
  QuietMonitor monitor;
  const auto train = [&](const std::string& name, int epochs, bool resume) {
    learn::TrainingRequest request;
    request.configuration = folder.path() / "run.toml";
    request.assignments = {"training.output=" + (folder.path() / name).string(),
                           "training.epochs=" + std::to_string(epochs)};
    request.run.resume = resume;
    request.run.monitor = &monitor;
    learn::train(request);
  };
  train("whole", 3, false);
  train("stopped", 1, false);
  train("stopped", 3, true);
  const std::string file = content(folder.path() / "whole/model.safetensors");
  EXPECT_FALSE(file.empty());
  EXPECT_TRUE(file == content(folder.path() / "stopped/model.safetensors"));

  const ShowerFinder model = ShowerFinder::load(folder.path() / "whole/model.safetensors");
  EXPECT_EQ(model.network.shape.hidden, 16);
  EXPECT_TRUE(model.network.shape.concat);
  EXPECT_EQ(model.outputs.classes.size(), 4);
  EXPECT_THAT(model.provenance, HasSubstr("\"validation_sample\":{\"events\":2"));
  std::istringstream metrics(content(folder.path() / "whole/metrics.jsonl"));
  std::vector<nlohmann::json> epochs;
  for (std::string line; std::getline(metrics, line);) epochs.push_back(nlohmann::json::parse(line));
  ASSERT_EQ(epochs.size(), 3);
  EXPECT_LT(epochs[2]["training_loss"].get<double>(), epochs[0]["training_loss"].get<double>());
  EXPECT_TRUE(epochs[2].contains("F_alone") && epochs[2].contains("F_groups"));
  EXPECT_EQ(epochs[2]["t_d"].get<float>(), model.cuts.t_d);
  EXPECT_EQ(epochs[2]["t_beta"].get<float>(), model.cuts.t_beta);
}

}  // namespace
