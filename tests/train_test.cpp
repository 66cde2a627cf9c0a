// starling-learn train from outside: runs that are stopped, killed, resumed or wrongly asked for.
// STARLING_LEARN_PROGRAM is the program under test.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "spawned.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"
#include "temporary_folder.h"

namespace starling {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

using spawned::content;
using spawned::lines;

class Train : public testing::Test {
 protected:
  // Learns the windows of all runs once.
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    std::ofstream(path("run.toml")) << "[network]\nhidden = 8\nsteps = 2\n"
                                       "[graph]\nevents = 6\nbackground_events = 2\n"
                                       "[simulation]\npileup = 3\ndetector = \"" STARLING_SOURCE_DIR
                                       "/detectors/trackml.toml\"\n"
                                       "[target]\nprimary = false\n"
                                       "[training]\nepochs = 12\nevents_per_epoch = 6\nvalidation_events = 2\n"
                                       "reuse = 2\nreuse_window = 4\n"
                                       "[tracks]\nwalk_min = 0.25\nmin_hits = 4\n";
    ASSERT_EQ(run("whole"), 0) << errors("whole");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }

  static fs::path path(const std::string& name) { return folder_->path() / name; }
  static std::string errors(const std::string& name) { return content(path(name + ".err")); }

  // Starts a run, in a process group of its own, whose output folder is `name`; it finds the windows of the run "whole"
  // there.
  static pid_t start(const std::string& name, const std::vector<std::string>& more = {}) {
    if (fs::exists(path("whole/windows.safetensors")) && !fs::exists(path(name))) {
      fs::create_directory(path(name));
      fs::copy_file(path("whole/windows.safetensors"), path(name) / "windows.safetensors");
    }
    std::vector<std::string> arguments = {STARLING_LEARN_PROGRAM, "train", path("run.toml"), "--set",
                                          "training.output=" + path(name).string()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return spawned::start(arguments, path(name));
  }

  static int run(const std::string& name, const std::vector<std::string>& more = {}) {
    return spawned::wait(start(name, more));
  }

  // Runs until `epochs` epochs are done, then sends `signal`.
  static int stopped(const std::string& name, int epochs, int signal, const std::vector<std::string>& more = {}) {
    const pid_t child = start(name, more);
    for (int i = 0; i < 12000 && lines(path(name) / "metrics.jsonl") < epochs; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    kill(child, signal);
    return spawned::wait(child);
  }

  static TemporaryFolder* folder_;
};

TemporaryFolder* Train::folder_ = nullptr;

TEST_F(Train, LeavesAModelAndWhatLedToIt) {
  const TrackFinder model = TrackFinder::load(path("whole/model.safetensors"));
  EXPECT_EQ(model.shape().hidden, 8);
  EXPECT_EQ(model.cuts.walk_min, 0.25f);
  EXPECT_EQ(model.cuts.min_hits, 4);
  EXPECT_GT(model.windows.layer_pairs(), 10);
  EXPECT_THAT(model.provenance, HasSubstr("\"epochs\":12"));
  EXPECT_EQ(lines(path("whole/metrics.jsonl")), 12);
  EXPECT_THAT(content(path("whole/config.toml")), HasSubstr("decay_epochs = 15"));
  EXPECT_THAT(content(path("whole.out")), HasSubstr("least validation loss"));
}

TEST_F(Train, ResumesToTheSameBytesWhenStopped) {
  EXPECT_EQ(stopped("stopped", 2, SIGINT), 130) << errors("stopped");
  EXPECT_THAT(errors("stopped"), HasSubstr("go on with --resume"));
  EXPECT_EQ(stopped("stopped", 5, SIGTERM, {"--resume"}), 130) << errors("stopped");
  EXPECT_EQ(run("stopped", {"--resume"}), 0) << errors("stopped");
  EXPECT_EQ(content(path("stopped/model.safetensors")), content(path("whole/model.safetensors")));
  EXPECT_EQ(lines(path("stopped/metrics.jsonl")), 12);
}

// Ctrl-C goes to every program of the terminal's group: to gnuplot too, while it draws the curves.
TEST_F(Train, IsSavedWhenStoppedWhileItDraws) {
  fs::create_directory(path("bin"));
  std::ofstream(path("bin/gnuplot")) << "#!/bin/sh\ntouch '" << path("drawing").string()
                                     << "'\nsleep 1\nhead -c 4096 /dev/zero\n";
  fs::permissions(path("bin/gnuplot"), fs::perms::owner_all);
  const std::string before = std::getenv("PATH");
  setenv("PATH", (path("bin").string() + ":" + before).c_str(), 1);
  const pid_t child = start("drawn");
  setenv("PATH", before.c_str(), 1);
  for (int i = 0; i < 12000 && !fs::exists(path("drawing")); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(-child, SIGINT);
  EXPECT_EQ(spawned::wait(child), 130) << errors("drawn");
  EXPECT_THAT(errors("drawn"), HasSubstr("saved, go on with --resume"));
}

TEST_F(Train, ResumesToTheSameBytesWhenKilled) {
  EXPECT_EQ(stopped("killed", 2, SIGKILL), -SIGKILL);
  EXPECT_EQ(run("killed", {"--resume", "--set", "training.workers=3"}), 0) << errors("killed");
  EXPECT_EQ(content(path("killed/model.safetensors")), content(path("whole/model.safetensors")));
  EXPECT_EQ(lines(path("killed/metrics.jsonl")), 12);
}

TEST_F(Train, DoesNotOverwriteARun) {
  EXPECT_EQ(run("whole"), 2);
  EXPECT_THAT(errors("whole"), HasSubstr("--resume"));
}

TEST_F(Train, ResumesOnlyTheSameConfiguration) {
  EXPECT_EQ(run("whole", {"--resume", "--set", "training.learning_rate=0.1"}), 2);
  EXPECT_THAT(errors("whole"), HasSubstr("learning_rate = 0.1"));
}

TEST_F(Train, RefusesADamagedCheckpoint) {
  fs::create_directory(path("damaged"));
  const std::string whole = content(path("whole/checkpoint.safetensors"));
  std::ofstream(path("damaged/checkpoint.safetensors"), std::ios::binary) << whole.substr(0, whole.size() / 2);
  EXPECT_EQ(run("damaged", {"--resume"}), 3);
  EXPECT_THAT(errors("damaged"), HasSubstr("checkpoint.safetensors"));
  EXPECT_FALSE(fs::exists(path("damaged/model.safetensors")));
}

TEST_F(Train, RefusesFilesThatNoRunLeft) {
  const auto expect_refused = [](const std::string& name, const std::string& file, const std::string& before) {
    fs::create_directory(path(name));
    std::ofstream(path(name) / file, std::ios::binary) << before;
    EXPECT_EQ(run(name), 2) << file;
    EXPECT_THAT(errors(name), HasSubstr(file));
    EXPECT_EQ(lines(path(name + ".err")), 1) << errors(name);
    EXPECT_EQ(content(path(name) / file), before);
    EXPECT_FALSE(fs::exists(path(name) / "config.toml"));
  };
  expect_refused("other_picture", "training.png", "\x89PNG of something else");
  expect_refused("other_windows", "windows.safetensors", content(path("whole/model.safetensors")));
  const std::string windows = content(path("whole/windows.safetensors"));
  expect_refused("cut_windows", "windows.safetensors", windows.substr(0, windows.size() / 2));
}

// gnuplot finds no range for curves that are 0 throughout.
TEST_F(Train, IsSavedWhereNoPictureCanBeDrawn) {
  fs::create_directory(path("failing"));
  std::ofstream(path("failing/gnuplot")) << "#!/bin/sh\necho 'all points y value undefined!' >&2\nexit 1\n";
  fs::permissions(path("failing/gnuplot"), fs::perms::owner_all);
  const std::string before = std::getenv("PATH");
  setenv("PATH", (path("failing").string() + ":" + before).c_str(), 1);
  EXPECT_EQ(run("undrawn", {"--set", "training.epochs=2"}), 0) << errors("undrawn");
  setenv("PATH", before.c_str(), 1);
  EXPECT_THAT(errors("undrawn"),
              HasSubstr("warning: " + path("undrawn/training.png").string() + ": gnuplot failed: all"));
  EXPECT_EQ(lines(path("undrawn/metrics.jsonl")), 2);
  EXPECT_TRUE(fs::exists(path("undrawn/model.safetensors")));
}

TEST_F(Train, StopsWhereTheLossIsNotFinite) {
  EXPECT_EQ(
      run("diverged", {"--set", "training.target_weight=1e6", "--set", "network.norm=none", "--set",
                       "training.learning_rate=10", "--set", "training.warmup_epochs=0", "--set", "network.steps=12"}),
      2);
  EXPECT_THAT(errors("diverged"), HasSubstr("not finite"));
  EXPECT_FALSE(fs::exists(path("diverged/model.safetensors")));
}

TEST_F(Train, LearnsFromFiles) {
  const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings simulation;
  simulation.pileup = 3;
  for (std::uint64_t event = 0; event < 6; ++event) {
    fs::create_directories(path("events"));
    write_event(path("events"), simulate_event(detector, simulation, event));
  }
  const std::string data = "training.data=[\"" + path("events").string() + "\"]";
  EXPECT_EQ(run("files", {"--set", data, "--set", "training.epochs=2"}), 0) << errors("files");
  EXPECT_EQ(lines(path("files/metrics.jsonl")), 2);
  EXPECT_EQ(run("files", {"--set", data, "--set", "training.validation_events=6"}), 2);
  EXPECT_THAT(errors("files"), HasSubstr("expected fewer than the 6 events"));
  EXPECT_EQ(run("files", {"--set", data, "--set", "training.events=5"}), 2);
  EXPECT_THAT(errors("files"), HasSubstr("training.events = 5: expected at most the 4 events"));
  // The two files after the first two are not read.
  for (const char* const event : {"event000000002", "event000000003"}) {
    std::ofstream(path("events") / (std::string(event) + "-hits.csv")) << "nothing\n";
  }
  EXPECT_EQ(run("first_files", {"--set", data, "--set", "training.epochs=2", "--set", "training.events=2"}), 0)
      << errors("first_files");
}

TEST_F(Train, ResumesOnSoManyEvents) {
  const std::vector<std::string> three = {"--set", "training.events=3", "--set", "training.epochs=6"};
  EXPECT_EQ(run("three", three), 0) << errors("three");
  EXPECT_EQ(stopped("three_stopped", 2, SIGTERM, three), 130) << errors("three_stopped");
  std::vector<std::string> more = three;
  more.push_back("--resume");
  EXPECT_EQ(run("three_stopped", more), 0) << errors("three_stopped");
  EXPECT_EQ(content(path("three_stopped/model.safetensors")), content(path("three/model.safetensors")));
  more[1] = "training.events=4";
  EXPECT_EQ(run("three", more), 2);
  EXPECT_THAT(errors("three"), HasSubstr("[training] events = 4"));
}

// Events that are held out now may be among those that the windows were learned of.
TEST_F(Train, LearnsWindowsAnewWithMoreEventsHeldOut) {
  const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings simulation;
  simulation.pileup = 3;
  fs::create_directories(path("few"));
  for (std::uint64_t event = 10; event < 16; ++event) {
    write_event(path("few"), simulate_event(detector, simulation, event));
  }
  const auto train = [](const std::string& held_out) {
    fs::remove(path("again/checkpoint.safetensors"));
    EXPECT_EQ(run("again", {"--set", "training.data=[\"" + path("few").string() + "\"]", "--set", "training.epochs=1",
                            "--set", "training.validation_events=" + held_out}),
              0)
        << errors("again");
    return errors("again");
  };
  EXPECT_THAT(train("2"), HasSubstr("triples, learned in"));
  const std::string windows = content(path("again/windows.safetensors"));
  EXPECT_THAT(train("2"), testing::Not(HasSubstr("triples, learned in")));
  EXPECT_THAT(train("3"), HasSubstr("triples, learned in"));
  EXPECT_NE(content(path("again/windows.safetensors")), windows);
  // Other events under the same names.
  for (std::uint64_t event = 10; event < 16; ++event) {
    Event other = simulate_event(detector, simulation, event + 100);
    other.name = simulate_event(detector, simulation, event).name;
    write_event(path("few"), other);
  }
  EXPECT_THAT(train("3"), HasSubstr("triples, learned in"));
}

TEST_F(Train, NamesEventsWithoutTruth) {
  const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings simulation;
  simulation.pileup = 3;
  for (std::uint64_t event = 0; event < 6; ++event) {
    fs::create_directories(path("blind"));
    write_event(path("blind"), simulate_event(detector, simulation, event));
  }
  const std::string prefix = path("blind/event000000001").string();
  const std::vector<std::string> data = {"--set", "training.data=[\"" + path("blind").string() + "\"]"};
  fs::remove(prefix + "-particles.csv");
  EXPECT_EQ(run("no_particles", data), 3);
  EXPECT_THAT(errors("no_particles"), HasSubstr(prefix + ": has no particles with px and py"));
  fs::remove(prefix + "-truth.csv");
  EXPECT_EQ(run("no_truth", data), 3);
  EXPECT_THAT(errors("no_truth"), HasSubstr(prefix + ": has no truth"));
}

TEST_F(Train, TrainsAtEightBits) {
  const std::vector<std::string> bits = {"--set", "quantization.bits=8", "--set", "quantization.collect_steps=20",
                                         "--set", "training.epochs=6"};
  EXPECT_EQ(run("bits", bits), 0) << errors("bits");
  const TrackFinder model = TrackFinder::load(path("bits/model.safetensors"));
  EXPECT_EQ(std::get<QuantizedNetwork>(model.network).layers.at("edge_network.0.1").weight_bits, 8);
  const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings simulation;
  simulation.pileup = 3;
  const HitGraph graph = build_hit_graph(simulate_event(detector, simulation, 1).hits, model.windows, model.scales);
  const std::vector<float> scores = Session(model.plan()).run(graph);
  EXPECT_GT(scores.size(), 10u);
  EXPECT_THAT(scores, testing::Each(testing::AllOf(testing::Ge(0.f), testing::Le(1.f))));

  EXPECT_EQ(stopped("bits_stopped", 2, SIGTERM, bits), 130) << errors("bits_stopped");
  std::vector<std::string> more = bits;
  more.push_back("--resume");
  EXPECT_EQ(run("bits_stopped", more), 0) << errors("bits_stopped");
  EXPECT_EQ(content(path("bits_stopped/model.safetensors")), content(path("bits/model.safetensors")));
}

TEST_F(Train, BeginsWithAModelOrARun) {
  const std::string model = path("whole/model.safetensors");
  const std::vector<std::string> from = {"--set", "training.from=" + model, "--set", "training.epochs=1"};
  std::vector<std::string> bits = from;
  bits.insert(bits.end(), {"--set", "quantization.bits=8", "--set", "quantization.collect_steps=2"});
  EXPECT_EQ(run("from", bits), 0) << errors("from");
  EXPECT_THAT(errors("from"), HasSubstr("windows: those of"));
  EXPECT_EQ(TrackFinder::load(path("from/model.safetensors")).shape().hidden, 8);
  // Half of it, and not more of it than that again.
  EXPECT_EQ(run("pruned", {"--set", "training.from=" + path("from").string(), "--set", "training.epochs=1", "--set",
                           "quantization.bits=6", "--set", "pruning.kept=0.5"}),
            0)
      << errors("pruned");
  EXPECT_EQ(run("more", {"--set", "training.from=" + path("pruned").string(), "--set", "quantization.bits=6", "--set",
                         "pruning.kept=0.6"}),
            2);
  EXPECT_THAT(errors("more"), HasSubstr("pruning.kept = 0.600000: expected at most the"));
  // A teacher in codes, and a student wider than it.
  EXPECT_EQ(run("taught", {"--set", "distillation.teacher=" + path("pruned").string(), "--set", "training.epochs=1",
                           "--set", "network.hidden=10"}),
            0)
      << errors("taught");
  EXPECT_THAT(errors("taught"), HasSubstr("wider than its teacher"));

  std::vector<std::string> other = from;
  other.insert(other.end(), {"--set", "network.hidden=9"});
  EXPECT_EQ(run("other", other), 2);
  EXPECT_THAT(errors("other"), HasSubstr("expected that of training.from"));
}

TEST_F(Train, ValidatesAModelWithoutTrainingIt) {
  EXPECT_EQ(run("validated", {"--set", "training.from=" + path("whole").string(), "--set", "training.epochs=0"}), 0)
      << errors("validated");
  EXPECT_EQ(lines(path("validated/metrics.jsonl")), 1);
  const TrackFinder before = TrackFinder::load(path("whole/model.safetensors"));
  EXPECT_TRUE(TrackFinder::load(path("validated/model.safetensors")).network == before.network);
}

TEST_F(Train, EndsOnceTheValidationLossIsFlat) {
  EXPECT_EQ(run("flat", {"--set", "training.flat_epochs=3", "--set", "training.flat_spread=1"}), 0) << errors("flat");
  EXPECT_EQ(lines(path("flat/metrics.jsonl")), 3);
  EXPECT_EQ(run("flat", {"--resume", "--set", "training.flat_epochs=3", "--set", "training.flat_spread=1"}), 0);
  EXPECT_EQ(lines(path("flat/metrics.jsonl")), 3);
}

TEST_F(Train, MoreThreadsThanProcessorsAreNoSlower) {
  EXPECT_EQ(run("workers",
                {"--set", "training.workers=1024", "--set", "training.threads=1024", "--set", "training.epochs=1"}),
            0)
      << errors("workers");
  EXPECT_THAT(errors("workers"), HasSubstr("training.workers = 1024: using "));
  EXPECT_THAT(errors("workers"), HasSubstr("training.threads = 1024: using "));
  EXPECT_EQ(lines(path("workers/metrics.jsonl")), 1);
}

TEST_F(Train, SaysWhatIsWrong) {
  EXPECT_EQ(run("wrong", {"--set", "training.epoch=1"}), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("training.epochs"));
  EXPECT_EQ(run("wrong", {"--set", "network.norm=group"}), 2);
  EXPECT_EQ(run("wrong", {"--set", "simulation.detector=nowhere.toml"}), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("nowhere.toml"));
  EXPECT_EQ(run("wrong", {"--set", "training.pileup=[3]"}), 2);
  for (const std::string key : {"bits=1", "bits=13", "weights=0", "features=99", "biases=33", "percentile=0"}) {
    EXPECT_EQ(run("wrong", {"--set", "quantization." + key}), 2);
    EXPECT_THAT(errors("wrong"), HasSubstr("quantization." + key.substr(0, key.find('='))));
  }
  EXPECT_EQ(run("wrong", {"--set", "quantization.layer=[{name=\"edge_network.2\", weights=4}]"}), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("\"edge_network.2\": expected a layer or an MLP"));
  EXPECT_EQ(run("wrong", {"--set", "pruning.floor=[{name=\"edges\", kept=0.4}]"}), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("\"edges\": expected a layer or an MLP"));
  EXPECT_EQ(run("wrong", {"--set", "distillation.alpha=0.5"}), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("distillation.teacher: expected a model"));
  EXPECT_EQ(run("wrong", {"--set", "training.from=nothing.safetensors"}), 3);
  EXPECT_THAT(errors("wrong"), HasSubstr("nothing.safetensors"));
  EXPECT_EQ(run("wrong", {"--resum"}), 2);
  EXPECT_EQ(errors("wrong"),
            "starling-learn: train: --resum: no such option, did you mean --resume? (--help lists them)\n");
  EXPECT_EQ(run("wrong", {"--device"}), 2);
  EXPECT_EQ(errors("wrong"), "starling-learn: train: --device: expected a value\n");
}

TEST_F(Train, NeedsTheDeviceItIsAskedFor) {
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(run("device", {"--device", "cuda"}), 4);
  EXPECT_THAT(errors("device"), HasSubstr("CUDA"));
  EXPECT_EQ(run("device", {"--device", "tpu"}), 2);
}

}  // namespace
}  // namespace starling
