// starling-learn compress from outside: its stages, runs that are killed and go on, and what it refuses.
// STARLING_LEARN_PROGRAM is the program under test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "spawned.h"
#include "starling/track_finder.h"
#include "temporary_folder.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using spawned::content;
using spawned::lines;
using Words = std::vector<std::string>;

const Words kStages = {"01-teacher", "02-student", "03-quantized", "04-kept-0.6000", "05-kept-0.3000"};

class Compress : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    std::ofstream(path("run.toml")) << "[network]\nhidden = 8\nsteps = 2\n"
                                       "[graph]\nevents = 6\nbackground_events = 2\n"
                                       "[simulation]\npileup = 3\ndetector = \"" STARLING_SOURCE_DIR
                                       "/detectors/trackml.toml\"\n"
                                       "[target]\nprimary = false\n"
                                       "[training]\nepochs = 2\nevents_per_epoch = 6\nvalidation_events = 2\n"
                                       "[quantization]\nbits = 6\nbiases = 16\ncollect_steps = 4\n"
                                       "[distillation]\nalpha = 0.5\n"
                                       "[pruning]\nfloor = [{name = \"edge_output\", kept = 0.5}]\n"
                                       "[compress]\nkept = [0.6, 0.3]\n"
                                       "[stage.student]\nnetwork.hidden = 6\n"
                                       "[stage.rung]\ntraining.epochs = 3\ntraining.flat_epochs = 2\n"
                                       "training.flat_spread = 1\n"
                                       "[stage.quantized]\ntraining.epochs = 8\n";
    ASSERT_EQ(run("whole"), 0) << errors("whole");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static fs::path path(const std::string& name) { return folder_->path() / name; }
  static std::string errors(const std::string& name) { return content(path(name + ".err")); }
  static TrackFinder model(const std::string& run, const std::string& stage) {
    return TrackFinder::load(path(run) / stage / "model.safetensors");
  }

  static pid_t start(const std::string& name, const Words& more = {}) {
    Words arguments = {STARLING_LEARN_PROGRAM, "compress", path("run.toml"), "--set",
                       "training.output=" + path(name).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return spawned::start(arguments, path(name));
  }
  static int run(const std::string& name, const Words& more = {}) { return spawned::wait(start(name, more)); }

  // Runs until a stage has so many epochs, then sends `signal`.
  static int stopped(const std::string& name, const std::string& stage, int epochs, int signal, const Words& more) {
    const pid_t child = start(name, more);
    for (int i = 0; i < 60000 && lines(path(name) / stage / "metrics.jsonl") < epochs; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    kill(child, signal);
    return spawned::wait(child);
  }

  // A run from the teacher of "whole": fewer stages.
  static int run_from_teacher(const std::string& name, Words more) {
    const std::string text = content(path("run.toml"));
    const auto without = [](std::string all, const std::string& from, const std::string& to) {
      const auto begin = all.find(from);
      return all.erase(begin, all.find(to) - begin);
    };
    std::ofstream(path(name + ".toml")) << without(
        without(without(text, "[network]", "[graph]"), "[graph]", "[simulation]"), "[compress]", "[stage.rung]");
    Words arguments = {STARLING_LEARN_PROGRAM,
                       "compress",
                       path(name + ".toml"),
                       "--set",
                       "training.output=" + path(name).string(),
                       "--set",
                       "compress.teacher=" + path("whole/01-teacher/model.safetensors").string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return spawned::wait(spawned::start(arguments, path(name)));
  }

  static TemporaryFolder* folder_;
};

TemporaryFolder* Compress::folder_ = nullptr;

double kept_part(const QuantizedNetwork& network) {
  double all = 0, kept = 0;
  for (const auto& [name, layer] : network.layers) {
    for (std::size_t i = 0; i < layer.weight.size(); ++i) {
      ++all;
      kept += layer.kept.empty() || layer.kept[i] != 0 ? 1 : 0;
    }
  }
  return kept / all;
}

TEST_F(Compress, LeavesAModelPerStage) {
  EXPECT_EQ(lines(path("whole/compress.jsonl")), 5);
  EXPECT_THAT(content(path("whole.out")), HasSubstr("kept-0.3000"));
  EXPECT_EQ(std::get<InteractionNetwork>(model("whole", kStages[0]).network).shape.hidden, 8);
  EXPECT_EQ(std::get<InteractionNetwork>(model("whole", kStages[1]).network).shape.hidden, 6);
  const auto quantized = std::get<QuantizedNetwork>(model("whole", kStages[2]).network);
  EXPECT_EQ(quantized.layers.at("edge_network.1.0").weight_bits, 6);
  EXPECT_EQ(quantized.layers.at("edge_network.1.0").bias_bits, 16);
  EXPECT_EQ(quantized.inputs.at("edge_encoder").bits, 12);
  EXPECT_EQ(quantized.inputs.at("edge_decoder").bits, 6);
  EXPECT_EQ(kept_part(quantized), 1.);
  const auto first = std::get<QuantizedNetwork>(model("whole", kStages[3]).network);
  const auto second = std::get<QuantizedNetwork>(model("whole", kStages[4]).network);
  EXPECT_NEAR(kept_part(first), 0.6, 0.001);
  EXPECT_NEAR(kept_part(second), 0.3, 0.001);
  // The last node network never runs; the floor holds; what was pruned stays so.
  const auto& unused = second.layers.at("node_network.1.0").kept;
  EXPECT_THAT(unused, testing::Each(0));
  const auto& floored = second.layers.at("edge_output.1").kept;
  EXPECT_GE(floored.empty() ? 6 : std::count(floored.begin(), floored.end(), 1), 3);
  for (const auto& [name, layer] : first.layers) {
    if (layer.kept.empty()) continue;
    const auto& later = second.layers.at(name).kept;
    for (std::size_t i = 0; i < layer.kept.size(); ++i) EXPECT_LE(later[i], layer.kept[i]) << name;
  }
  // Flat after two epochs of three.
  EXPECT_EQ(lines(path("whole/05-kept-0.3000/metrics.jsonl")), 2);
}

TEST_F(Compress, GoesOnWhereItWasKilled) {
  EXPECT_EQ(stopped("killed", kStages[0], 1, SIGKILL, {}), -SIGKILL) << errors("killed");
  EXPECT_EQ(stopped("killed", kStages[2], 1, SIGTERM, {"--resume"}), 130) << errors("killed");
  EXPECT_THAT(errors("killed"), HasSubstr("go on with --resume"));
  EXPECT_EQ(stopped("killed", kStages[3], 1, SIGKILL, {"--resume"}), -SIGKILL) << errors("killed");
  EXPECT_EQ(run("killed", {"--resume"}), 0) << errors("killed");
  for (const std::string& stage : kStages) {
    EXPECT_TRUE(model("killed", stage).network == model("whole", stage).network) << stage;
  }
  EXPECT_EQ(lines(path("killed/compress.jsonl")), 5);
  EXPECT_EQ(run("killed"), 2);
  EXPECT_THAT(errors("killed"), HasSubstr("a run is here already"));
}

TEST_F(Compress, MeetsABudgetOrSaysWhatItReached) {
  const Words quick = {"--set", "compress.amount=0.5", "--set", "stage.rung.training.epochs=1"};
  Words met = quick, unmet = quick;
  met.insert(met.end(), {"--set", "compress.max_bops=7e7"});
  unmet.insert(unmet.end(), {"--set", "compress.max_bytes=10"});
  EXPECT_EQ(run_from_teacher("met", met), 0) << errors("met");
  EXPECT_THAT(content(path("met.out")), HasSubstr("budget met: "));
  EXPECT_GE(lines(path("met/compress.jsonl")), 3);  // it was not met without a rung
  EXPECT_EQ(run_from_teacher("unmet", unmet), 2);
  EXPECT_THAT(errors("unmet"), HasSubstr("the budget cannot be met: reached "));
  EXPECT_THAT(content(path("unmet.out")), HasSubstr("kept-0.0078"));
}

TEST_F(Compress, RewindsTheWeightsButNotTheMasks) {
  EXPECT_EQ(run_from_teacher("rewound", {"--set", "compress.kept=[0.5]", "--set", "compress.rewind=once", "--set",
                                         "stage.rung.training.epochs=1"}),
            0)
      << errors("rewound");
  const auto pruned = std::get<QuantizedNetwork>(model("rewound", "03-kept-0.5000").network);
  const auto rewound = std::get<QuantizedNetwork>(model("rewound", "04-rewound").network);
  EXPECT_FALSE(rewound.layers.at("edge_network.0.0").kept.empty());
  // The only rung began with those weights too.
  EXPECT_TRUE(rewound == pruned);
}

TEST_F(Compress, RefusesWhatIsNotRight) {
  const auto refused = [&](const std::string& setting, const std::string& what, int code = 2) {
    EXPECT_EQ(run("refused", {"--set", setting}), code) << what;
    EXPECT_THAT(errors("refused"), HasSubstr(what));
    EXPECT_EQ(lines(path("refused.err")), 1) << errors("refused");
  };
  refused("compress.kept=[0.5, 0.6]", "0.600000 after 0.500000: expected fractions above 0");
  refused("compress.kept=[0.5, 0.5]", "each below the one before");
  refused("compress.rounds=3", "expected one of them");
  refused("compress.max_bytes=100", "expected one of them");
  refused("compress.teacher=absent.safetensors", "absent.safetensors", 3);
  refused("compress.rewind=often", "expected");
  refused("compress.step=1", "unknown");
  refused("stage.rung.training.epoch=3", "unknown");
  refused("network.kind=gravnet", "network.kind");
  for (const std::string bits : {"1", "13", "0", "-4"}) refused("quantization.bits=" + bits, "quantization.bits");
  EXPECT_FALSE(fs::exists(path("refused")));
}

}  // namespace
}  // namespace starling
