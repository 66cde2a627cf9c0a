// starling-learn sweep from outside, and the grid that it reads. STARLING_LEARN_PROGRAM is the program under test.
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "expect_error.h"
#include "learn_program.h"
#include "starling/config.h"
#include "starling/quantized_network.h"
#include "starling/track_finder.h"
#include "sweep_grid.h"

namespace starling {
namespace {

using testing::ElementsAre;

cli::SweepGrid grid_of(const std::string& text) {
  Config config = Config::parse(text, "sweep.toml");
  return cli::read_sweep_grid(config);
}

std::vector<std::string> names(const cli::SweepGrid& grid) {
  std::vector<std::string> result;
  for (const cli::SweepPoint& point : grid.points) result.push_back(point.name);
  return result;
}

TEST(SweepGrid, IsTheProductOfItsLists) {
  const cli::SweepGrid grid = grid_of("[sweep]\nnetwork.steps = [2, 4]\nnetwork.norm = ['layer', 'none']\n");
  EXPECT_THAT(grid.keys, ElementsAre("network.steps", "network.norm"));
  EXPECT_THAT(names(grid),
              ElementsAre("steps=2,norm=layer", "steps=2,norm=none", "steps=4,norm=layer", "steps=4,norm=none"));
  EXPECT_THAT(grid.points[1].assignments(grid.keys), ElementsAre("network.steps=2", "network.norm='none'"));
}

TEST(SweepGrid, HasPointsThatStandAlone) {
  const cli::SweepGrid grid = grid_of(
      "[sweep]\nnetwork.hidden = [16]\n[sweep.points.short]\nnetwork.steps = 2\n[sweep.points.wide]\n"
      "network.hidden = 96\nnetwork.steps = 1\n");
  EXPECT_THAT(names(grid), ElementsAre("hidden=16", "short", "wide"));
  EXPECT_THAT(grid.points[0].assignments(grid.keys), ElementsAre("network.hidden=16"));
  EXPECT_THAT(grid.points[1].assignments(grid.keys), ElementsAre("network.steps=2"));
  EXPECT_THAT(grid.points[2].assignments(grid.keys), ElementsAre("network.hidden=96", "network.steps=1"));
}

TEST(SweepGrid, NamesFoldersWithoutWhatShellsTakeAmiss) {
  EXPECT_THAT(names(grid_of("[sweep]\ngraph.min_pt = [0.5]\ntarget.min_pt = [1]\ntraining.pileup = [[0, 10]]\n"
                            "simulation.detector = ['../a b/$c.toml']\n")),
              ElementsAre("graph.min_pt=0.5,target.min_pt=1,pileup=0_10,detector=.._ab__c.toml"));
}

TEST(SweepGrid, SaysWhatIsWrong) {
  const auto expect = [](const std::string& text, const std::string& part) {
    expect_error(ErrorKind::usage, part, [&] { grid_of(text); });
  };
  expect("[training]\nseed = 1\n", "sweep.toml: expected a section [sweep]");
  expect("[sweep]\n", "expected a section [sweep]");
  expect("sweep = 3\n", "sweep.toml:1: sweep = 3: expected a section");
  expect("[sweep]\nnetwork.hidden = []\n", "sweep.toml:2: sweep.network.hidden = []: expected a list of values");
  expect("[sweep]\nnetwork.hidden = 3\n", "expected a list of values");
  expect("[sweep]\nnetwork.hidden = [3, 4, 3]\n", "each value once, and 3 is there twice");
  expect("[sweep]\ntraining.learning_rate = [1e-3, 0.001]\n", "is there twice");
  expect("[sweep]\ntraining.output = ['a']\n", "each run of a sweep has a folder of its own");
  expect("[sweep.points.a]\ntraining.output = 'a'\n", "each run of a sweep has a folder of its own");
  expect("[sweep]\npoints.a = 3\n", "expected a section [sweep.points.NAME]");
  expect("[sweep.points.'a/b']\nnetwork.hidden = 3\n", "a name of letters");
  expect("[sweep]\n[[sweep.points]]\nnetwork.hidden = 3\n", "expected a value, a list or a section");
  std::string many = "[0";
  for (int i = 1; i < 101; ++i) many += ", " + std::to_string(i);
  expect("[sweep]\na.b = " + many + "]\na.c = " + many + "]\n", "at most 10000 points");
}

class Sweep : public LearnProgram {
 protected:
  // Two widths on two and on three events; the folder "whole" is never disturbed.
  static void SetUpTestSuite() {
    LearnProgram::SetUpTestSuite();
    std::ofstream(path("run.toml")) << "[network]\nhidden = 4\nsteps = 1\n" + kEvents +
                                           "[training]\nepochs = 3\nevents_per_epoch = 6\nvalidation_events = 2\n"
                                           "[sweep]\nnetwork.hidden = [4, 8]\ntraining.events = [2, 3]\n";
    ASSERT_EQ(run("whole", {"--jobs", "2"}), 0) << errors("whole");
  }

  static int run(const std::string& name, const Words& more = {}) { return spawned::wait(start("sweep", name, more)); }

  // Runs until one of the runs has this many epochs done, then sends `signal`.
  static int stopped(const std::string& name, const std::string& one, int epochs, int signal) {
    return end(start("sweep", name, {"--jobs", "2"}), path(name) / one, epochs, signal);
  }

  static std::string without_times(const std::string& csv) {
    return std::regex_replace(csv, std::regex(",[^,\n]*\n"), "\n");
  }

  static inline const std::vector<std::string> kRuns = {"hidden=4,events=2", "hidden=4,events=3", "hidden=8,events=2",
                                                        "hidden=8,events=3"};
};

TEST_F(Sweep, LeavesARunPerPointAndATable) {
  std::istringstream csv(content(path("whole/sweep.csv"))), json(content(path("whole/sweep.jsonl")));
  std::string header, row;
  std::getline(csv, header);
  EXPECT_EQ(header,
            "run,network.hidden,training.events,parameters,nonzero_parameters,bytes,bops_per_event,validation_loss,"
            "efficiency,target_purity,total_purity,masked_purity,track_efficiency,track_fakes,seconds");
  for (const std::string& name : kRuns) {
    const TrackFinder model = TrackFinder::load(path("whole") / name / "model.safetensors");
    std::getline(csv, row);
    EXPECT_THAT(row, HasSubstr('"' + name + "\"," + name[7] + ',' + name.back() + ',' +
                               std::to_string(parameter_count(model.shape())) + ','));
    std::getline(json, row);
    const auto line = nlohmann::json::parse(row);
    EXPECT_EQ(line["run"], name);
    EXPECT_EQ(line["network.hidden"], model.shape().hidden);
    const auto last = nlohmann::json::parse(model.provenance)["last"];
    for (const char* const metric : {"validation_loss", "efficiency", "track_efficiency", "track_fakes"}) {
      EXPECT_EQ(line[metric], last[metric]) << metric;
    }
    const auto graph = nlohmann::json::parse(model.provenance)["validation_graph"];
    double bops = 0;
    for (const LayerCost& layer : layer_costs(std::get<InteractionNetwork>(model.network))) {
      bops += graph["nodes"].get<double>() / 2 * layer.bops_per_node +
              graph["edges"].get<double>() / 2 * layer.bops_per_edge;
    }
    EXPECT_NEAR(line["bops_per_event"].get<double>() / bops, 1, 1e-12);
    EXPECT_THAT(output("whole"), HasSubstr(name));
    EXPECT_THAT(content(path("whole") / name / "train.log"), HasSubstr("least validation loss"));
    EXPECT_EQ(content(path("whole") / name / "windows.safetensors"),
              content(path("whole") / kRuns[0] / "windows.safetensors"));
  }
  EXPECT_FALSE(std::getline(csv, row));
  EXPECT_FALSE(std::getline(json, row));
  EXPECT_THAT(output("whole"), HasSubstr("track efficiency"));
}

TEST_F(Sweep, KeepsWhatIsDone) {
  const std::string csv = content(path("whole/sweep.csv")), table = output("whole");
  const auto written = fs::last_write_time(path("whole") / kRuns[0] / "model.safetensors");
  EXPECT_EQ(run("whole"), 0) << errors("whole");
  EXPECT_EQ(content(path("whole/sweep.csv")), csv);
  EXPECT_EQ(output("whole"), table);
  EXPECT_EQ(fs::last_write_time(path("whole") / kRuns[0] / "model.safetensors"), written);
}

// However it ends, its runs end too, and the next call goes on to the same models.
TEST_F(Sweep, GoesOnWhereItWasKilledOrStopped) {
  EXPECT_EQ(stopped("cut", kRuns[0], 1, SIGKILL), -SIGKILL);
  EXPECT_EQ(stopped("cut", kRuns[1], 1, SIGINT), 130) << errors("cut");
  EXPECT_THAT(errors("cut"), HasSubstr("the same command goes on"));
  EXPECT_EQ(stopped("cut", kRuns[2], 1, SIGKILL), -SIGKILL);
  EXPECT_EQ(run("cut", {"--jobs", "2"}), 0) << errors("cut");
  EXPECT_EQ(without_times(content(path("cut/sweep.csv"))), without_times(content(path("whole/sweep.csv"))));
  for (const std::string& name : kRuns) {
    EXPECT_TRUE(content(path("cut") / name / "model.safetensors") ==
                content(path("whole") / name / "model.safetensors"))
        << name;
    EXPECT_EQ(lines(path("cut") / name / "metrics.jsonl"), 3) << name;
  }
}

TEST_F(Sweep, GoesOnAfterARunThatFails) {
  const Words diverging = set({"sweep.training.learning_rate=[10, 1e-3]", "sweep.network.hidden=[8]",
                               "sweep.training.events=[2]", "training.target_weight=1e6", "network.norm=none",
                               "training.warmup_epochs=0", "network.steps=12", "training.epochs=1"});
  for (int call = 0; call < 2; ++call) {
    EXPECT_EQ(run("failing", diverging), 2);
    EXPECT_THAT(errors("failing"), HasSubstr("1 of 2 runs failed; the first, hidden=8,events=2,learning_rate=10"));
    EXPECT_THAT(errors("failing"), HasSubstr("the loss is not finite"));
    EXPECT_EQ(lines(path("failing/sweep.csv")), 2) << errors("failing");
    EXPECT_THAT(output("failing"), HasSubstr("hidden=8,events=2,learning_rate=0.001"));
  }
}

TEST_F(Sweep, GoesOnOnlyWithTheSameConfiguration) {
  EXPECT_EQ(run("whole", set({"training.seed=2"})), 2);
  EXPECT_THAT(errors("whole"), HasSubstr("seed = 2"));
  EXPECT_EQ(lines(path("whole.err")), 1) << errors("whole");
  EXPECT_EQ(lines(path("whole/sweep.csv")), 5);
}

TEST_F(Sweep, SaysWhatIsWrongBeforeAnythingIsTrained) {
  const auto expect = [](const Words& more, const std::string& part, const Words& variables = {}) {
    EXPECT_EQ(spawned::wait(spawned::start(command("sweep", "wrong", more), path("wrong"), variables)), 2) << part;
    EXPECT_THAT(errors("wrong"), HasSubstr(part));
    EXPECT_EQ(lines(path("wrong.err")), 1) << errors("wrong");
    EXPECT_FALSE(fs::exists(path("wrong")));
  };
  expect(set({"sweep.network.hiden=[4]"}), "network.hidden");
  expect(set({"sweep.network.hidden=[4, 0]"}), "sweep: events=2,hidden=0: --set network.hidden=0: expected");
  expect(set({"sweep.points.small.network.hidden=8", "sweep.points.small.training.events=2"}),
         "hidden=8,events=2 and small are the same training");
  expect({"--jobs", "0"}, "--jobs");
  expect({}, "sweep: WORLD_SIZE = 2: expected one process",
         {"WORLD_SIZE=2", "RANK=0", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=1"});
}

// Nor of a sweep in another folder.
TEST_F(Sweep, ReplacesNothingOfOthers) {
  for (const std::string file : {"sweep.csv", "sweep.jsonl"}) {
    for (const std::string& before : {std::string("mine\n"), content(path("whole") / file)}) {
      fs::create_directories(path("others"));
      std::ofstream(path("others") / file) << before;
      EXPECT_EQ(run("others"), 2);
      EXPECT_THAT(errors("others"), HasSubstr(file + ": is there and is not"));
      EXPECT_EQ(content(path("others") / file), before);
      fs::remove_all(path("others"));
    }
  }
}

// With no epochs too: what is there may be of other settings.
TEST_F(Sweep, ValidatesWithoutTraining) {
  const Words validating = set({"training.epochs=0", "sweep.network.hidden=[4]", "sweep.training.events=[2]"});
  EXPECT_EQ(run("validating", validating), 0) << errors("validating");
  EXPECT_EQ(lines(path("validating/sweep.csv")), 2);
  EXPECT_EQ(run("validating", validating + set({"training.seed=2"})), 2);
  EXPECT_THAT(errors("validating"), HasSubstr("`[training] seed = 1`, now it is `[training] seed = 2`"));
}

}  // namespace
}  // namespace starling
