// starling-learn compress from outside: its stages, runs that are killed and go on, and what it refuses.
// STARLING_LEARN_PROGRAM is the program under test.
#include <string>
#include <utility>
#include <variant>

#include "learn_program.h"
#include "starling/track_finder.h"

namespace starling {
namespace {

const Words kStages = {"01-teacher", "02-student", "03-quantized", "04-kept-0.6000", "05-kept-0.3000"};

class Compress : public LearnProgram {
 protected:
  static void SetUpTestSuite() {
    LearnProgram::SetUpTestSuite();
    const std::string training = kEvents +
                                 "[training]\nepochs = 2\nevents_per_epoch = 6\nvalidation_events = 2\n"
                                 "[quantization]\nbits = 6\nbiases = 16\ncollect_steps = 4\n"
                                 "[distillation]\nalpha = 0.5\n"
                                 "[pruning]\nfloor = [{name = \"edge_output\", kept = 0.5}]\n";
    std::ofstream(path("run.toml")) << "[network]\nhidden = 8\nsteps = 2\n" + training +
                                           "[compress]\nkept = [0.6, 0.3]\n"
                                           "[stage.student]\nnetwork.hidden = 6\n"
                                           "[stage.rung]\ntraining.epochs = 3\ntraining.flat_epochs = 2\n"
                                           "training.flat_spread = 1\n"
                                           "[stage.quantized]\ntraining.epochs = 3\n";
    ASSERT_EQ(run("whole"), 0) << errors("whole");
    // From the teacher of "whole": fewer stages.
    std::ofstream(path("from_teacher.toml")) << training +
                                                    "[compress]\nteacher = \"whole/01-teacher/model.safetensors\"\n"
                                                    "[stage.rung]\ntraining.epochs = 1\n"
                                                    "[stage.quantized]\ntraining.epochs = 1\n";
  }

  static TrackFinder model(const std::string& run, const std::string& stage) {
    return TrackFinder::load(path(run) / stage / "model.safetensors");
  }

  static int run(const std::string& name, const Words& more = {}) {
    return spawned::wait(start("compress", name, more));
  }

  // Runs until a stage has so many epochs, then sends `signal`.
  static int stopped(const std::string& name, const std::string& stage, int epochs, int signal, const Words& more) {
    return end(start("compress", name, more), path(name) / stage, epochs, signal);
  }

  static int run_from_teacher(const std::string& name, const Words& more) {
    Words words = command("compress", name, more);
    words[2] = path("from_teacher.toml");
    return spawned::wait(spawned::start(words, path(name)));
  }
};

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
  EXPECT_THAT(output("whole"), HasSubstr("kept-0.3000"));
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
}

TEST_F(Compress, GoesOnOnlyWithTheSameConfiguration) {
  EXPECT_EQ(run("whole"), 2);
  EXPECT_THAT(errors("whole"), HasSubstr("a run is here already; go on with --resume"));
  const std::string results = content(path("whole/compress.jsonl"));
  const auto refused = [&](const std::string& setting, const std::string& what) {
    EXPECT_EQ(run("whole", Words{"--resume"} + set({setting})), 2) << what;
    EXPECT_THAT(errors("whole"), HasSubstr(what));
    EXPECT_EQ(lines(path("whole.err")), 1) << errors("whole");
  };
  refused("compress.kept=[0.5, 0.3]", "`[compress] kept = [0.6, 0.3]`, now it is `[compress] kept = [0.5, 0.3]`");
  refused("training.epochs=3", "[training] epochs = 3");
  EXPECT_EQ(content(path("whole/compress.jsonl")), results);
}

TEST_F(Compress, ReplacesNothingOfOthers) {
  const std::pair<std::string, Words> all[] = {
      {"compress.jsonl", {"--resume"}}, {"compress.jsonl", {}}, {"compress.toml", {}}, {"curves.csv", {}}};
  for (const auto& [file, more] : all) {
    fs::create_directories(path("others"));
    std::ofstream(path("others") / file) << "mine\n";
    EXPECT_EQ(run("others", more), 2) << file;
    EXPECT_THAT(errors("others"), HasSubstr(file));
    EXPECT_EQ(lines(path("others.err")), 1) << errors("others");
    EXPECT_EQ(content(path("others") / file), "mine\n");
    fs::remove_all(path("others"));
  }
}

TEST_F(Compress, MeetsABudgetOrSaysWhatItReached) {
  EXPECT_EQ(run_from_teacher("met", set({"compress.amount=0.5", "compress.max_bops=7e7",
                                         "compress.curves=[\"kept-0.5000\", \"kept-0.4000\"]"})),
            0)
      << errors("met");
  EXPECT_THAT(errors("met"), HasSubstr("warning: compress.curves: no stage is called \"kept-0.4000\""));
  EXPECT_THAT(content(path("met/curves.csv")), HasSubstr("\nkept-0.5000,"));
  EXPECT_THAT(output("met"), HasSubstr("budget met: "));
  EXPECT_GE(lines(path("met/compress.jsonl")), 3);  // it was not met without a rung
  EXPECT_EQ(run_from_teacher("unmet", set({"compress.amount=0.9", "compress.max_bytes=10"})), 2);
  EXPECT_THAT(errors("unmet"), HasSubstr("the budget cannot be met: reached "));
  EXPECT_THAT(output("unmet"), HasSubstr("kept-0.0100"));
}

// Of any width and bits. Without [quantization] it stays in codes.
TEST_F(Compress, TakesATeacherInCodes) {
  const std::string teacher = path("whole/03-quantized/model.safetensors").string();
  EXPECT_EQ(run_from_teacher("codes", set({"compress.teacher=" + teacher, "compress.kept=[0.5]"})), 0)
      << errors("codes");
  const auto given = std::get<QuantizedNetwork>(TrackFinder::load(teacher).network);
  const TrackFinder validated = model("codes", "01-teacher");
  ASSERT_TRUE(std::holds_alternative<QuantizedNetwork>(validated.network));
  for (const auto& [name, layer] : std::get<QuantizedNetwork>(validated.network).layers) {
    EXPECT_EQ(layer.weight, given.layers.at(name).weight) << name;
  }
  EXPECT_THAT(content(path("codes/compress.jsonl")), HasSubstr("{\"stage\":\"teacher\",\"kept\":1.0,"));
}

TEST_F(Compress, RewindsTheWeightsButNotTheMasks) {
  EXPECT_EQ(run_from_teacher("rewound", set({"compress.kept=[0.5]", "compress.rewind=once"})), 0) << errors("rewound");
  const auto pruned = std::get<QuantizedNetwork>(model("rewound", "03-kept-0.5000").network);
  const auto rewound = std::get<QuantizedNetwork>(model("rewound", "04-rewound").network);
  EXPECT_FALSE(rewound.layers.at("edge_network.0.0").kept.empty());
  // The only rung began with those weights too.
  EXPECT_TRUE(rewound == pruned);
}

// Masks of 2:4 leave half of the weights, whatever the ladder says.
TEST_F(Compress, NamesRungsByWhatTheyKeep) {
  EXPECT_EQ(run_from_teacher("two_of_four", set({"pruning.two_of_four=true", "compress.rounds=1", "compress.amount=0.1",
                                                 "training.epochs=1"})),
            0)
      << errors("two_of_four");
  EXPECT_NEAR(kept_part(std::get<QuantizedNetwork>(model("two_of_four", "03-kept-0.4500").network)), 0.45, 0.001);
}

TEST_F(Compress, HasTheCurvesOfChosenStages) {
  const std::string curves = content(path("whole/curves.csv"));
  EXPECT_TRUE(curves.starts_with("network,metric,particles,axis,"));
  const auto has = [&](const std::string& rows) { return curves.find('\n' + rows + ',') != std::string::npos; };
  for (const std::string stage : {"teacher", "quantized", "kept-0.3000"}) {
    for (const std::string axis : {"pt", "eta"}) {
      EXPECT_TRUE(has(stage + ",edge_efficiency,all," + axis)) << stage;
      EXPECT_TRUE(has(stage + ",track_efficiency,all," + axis)) << stage;
    }
  }
  for (const std::string axis : {"pt", "eta"}) {
    EXPECT_TRUE(has("teacher,edge_target_purity,hits," + axis));
    EXPECT_TRUE(has("teacher,edge_total_purity,hits," + axis));
  }
  EXPECT_EQ(curves.find("student"), std::string::npos);
}

// What else may be wrong in a configuration: tests/learn_threads_test.cpp.
TEST_F(Compress, RefusesWhatIsNotRight) {
  const auto refused = [&](const std::string& setting, const std::string& what, int code = 2) {
    EXPECT_EQ(run("refused", set({setting})), code) << what;
    EXPECT_THAT(errors("refused"), HasSubstr(what));
    EXPECT_EQ(lines(path("refused.err")), 1) << errors("refused");
  };
  refused("compress.kept=[0.5, 0.6]", "0.600000 after 0.500000: expected fractions above 0");
  refused("compress.teacher=absent.safetensors", "absent.safetensors", 3);
  refused("stage.rung.training.epoch=3", "unknown");
  refused("stage.student.network.width=3", "unknown");
  const Words words = command("compress", "refused");
  EXPECT_EQ(spawned::wait(spawned::start(words, path("refused"),
                                         {"WORLD_SIZE=2", "RANK=0", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"})),
            2);
  EXPECT_EQ(errors("refused"),
            "starling-learn: compress: WORLD_SIZE = 2: expected one process; `train` alone shares its work between "
            "several\n");
  EXPECT_FALSE(fs::exists(path("refused")));
}

}  // namespace
}  // namespace starling
