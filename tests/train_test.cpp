// starling-learn train from outside: runs that are stopped, killed, resumed or wrongly asked for.
// STARLING_LEARN_PROGRAM is the program under test.
#include <string>
#include <variant>

#include "learn_program.h"
#include "starling/detector.h"
#include "starling/event.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"

namespace starling {
namespace {

class Train : public LearnProgram {
 protected:
  // Learns the windows of all runs once.
  static void SetUpTestSuite() {
    LearnProgram::SetUpTestSuite();
    std::ofstream(path("run.toml")) << "[network]\nhidden = 8\nsteps = 2\n" + kEvents +
                                           "[training]\nepochs = 6\nevents_per_epoch = 6\nvalidation_events = 2\n"
                                           "reuse = 2\nreuse_window = 4\n"
                                           "[tracks]\nwalk_min = 0.25\nmin_hits = 4\n";
    ASSERT_EQ(run("whole"), 0) << errors("whole");
  }

  // Starts a run that finds the windows of the run "whole".
  static pid_t start(const std::string& name, const Words& more = {}) {
    if (fs::exists(path("whole/windows.safetensors")) && !fs::exists(path(name))) {
      fs::create_directory(path(name));
      fs::copy_file(path("whole/windows.safetensors"), path(name) / "windows.safetensors");
    }
    return LearnProgram::start("train", name, more);
  }
  static int run(const std::string& name, const Words& more = {}) { return spawned::wait(start(name, more)); }

  // Runs until `epochs` epochs are done, then sends `signal`.
  static int stopped(const std::string& name, int epochs, int signal, const Words& more = {}) {
    return end(start(name, more), path(name), epochs, signal);
  }
};

// The one that small runs are simulated from.
std::vector<Event> simulated(std::uint64_t first, std::uint64_t count) {
  const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings simulation;
  simulation.pileup = 3;
  std::vector<Event> events;
  for (std::uint64_t i = first; i < first + count; ++i) events.push_back(simulate_event(detector, simulation, i));
  return events;
}

void write_all(const fs::path& folder, const std::vector<Event>& events) {
  fs::create_directories(folder);
  for (const Event& event : events) write_event(folder, event);
}

TEST_F(Train, LeavesAModelAndWhatLedToIt) {
  const TrackFinder model = TrackFinder::load(path("whole/model.safetensors"));
  EXPECT_EQ(model.shape().hidden, 8);
  EXPECT_EQ(model.cuts.walk_min, 0.25f);
  EXPECT_EQ(model.cuts.min_hits, 4);
  EXPECT_GT(model.windows.layer_pairs(), 10);
  EXPECT_THAT(model.provenance, HasSubstr("\"epochs\":6"));
  EXPECT_EQ(lines(path("whole/metrics.jsonl")), 6);
  EXPECT_THAT(content(path("whole/config.toml")), HasSubstr("decay_epochs = 15"));
  EXPECT_THAT(content(path("whole.out")), HasSubstr("least validation loss"));
}

TEST_F(Train, ResumesToTheSameBytesWhenStopped) {
  EXPECT_EQ(stopped("stopped", 1, SIGINT), 130) << errors("stopped");
  EXPECT_THAT(errors("stopped"), HasSubstr("go on with --resume"));
  EXPECT_EQ(stopped("stopped", 3, SIGTERM, {"--resume"}), 130) << errors("stopped");
  EXPECT_EQ(run("stopped", {"--resume"}), 0) << errors("stopped");
  EXPECT_EQ(content(path("stopped/model.safetensors")), content(path("whole/model.safetensors")));
  EXPECT_EQ(lines(path("stopped/metrics.jsonl")), 6);
}

// Ctrl-C goes to every program of the terminal's group: to gnuplot too, while it draws the curves.
TEST_F(Train, IsSavedWhenStoppedWhileItDraws) {
  make_gnuplot("touch '" + path("drawing").string() + "'\nsleep 1\nhead -c 4096 /dev/zero\n");
  const pid_t child = start("drawn");
  for (int i = 0; i < 12000 && !fs::exists(path("drawing")); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  kill(-child, SIGINT);
  EXPECT_EQ(spawned::wait(child), 130) << errors("drawn");
  hide_gnuplot();
  EXPECT_THAT(errors("drawn"), HasSubstr("saved, go on with --resume"));
}

TEST_F(Train, ResumesToTheSameBytesWhenKilled) {
  EXPECT_EQ(stopped("killed", 2, SIGKILL), -SIGKILL);
  EXPECT_EQ(run("killed", Words{"--resume"} + set({"training.workers=3"})), 0) << errors("killed");
  EXPECT_EQ(content(path("killed/model.safetensors")), content(path("whole/model.safetensors")));
  EXPECT_EQ(lines(path("killed/metrics.jsonl")), 6);
}

TEST_F(Train, DoesNotOverwriteARun) {
  EXPECT_EQ(run("whole"), 2);
  EXPECT_THAT(errors("whole"), HasSubstr("--resume"));
}

TEST_F(Train, ResumesOnlyTheSameConfiguration) {
  EXPECT_EQ(run("whole", Words{"--resume"} + set({"training.learning_rate=0.1"})), 2);
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
  make_gnuplot("echo 'all points y value undefined!' >&2\nexit 1\n");
  EXPECT_EQ(run("undrawn", set({"training.epochs=1"})), 0) << errors("undrawn");
  hide_gnuplot();
  EXPECT_THAT(errors("undrawn"),
              HasSubstr("warning: " + path("undrawn/training.png").string() + ": gnuplot failed: all"));
  EXPECT_EQ(lines(path("undrawn/metrics.jsonl")), 1);
  EXPECT_TRUE(fs::exists(path("undrawn/model.safetensors")));
}

TEST_F(Train, StopsWhereTheLossIsNotFinite) {
  EXPECT_EQ(run("diverged", set({"training.target_weight=1e6", "network.norm=none", "training.learning_rate=10",
                                 "training.warmup_epochs=0", "network.steps=12"})),
            2);
  EXPECT_THAT(errors("diverged"), HasSubstr("not finite"));
  EXPECT_FALSE(fs::exists(path("diverged/model.safetensors")));
}

TEST_F(Train, LearnsFromFiles) {
  write_all(path("events"), simulated(0, 6));
  // The two files after the first two are not read.
  for (const char* const event : {"event000000002", "event000000003"}) {
    std::ofstream(path("events") / (std::string(event) + "-hits.csv")) << "nothing\n";
  }
  const Words data = set({"training.data=[\"" + path("events").string() + "\"]", "training.epochs=2"});
  EXPECT_EQ(run("files", data + set({"training.events=2"})), 0) << errors("files");
  EXPECT_EQ(lines(path("files/metrics.jsonl")), 2);
  EXPECT_EQ(run("all_files", data), 3);
  EXPECT_THAT(errors("all_files"), HasSubstr("-hits.csv:1: no column hit_id"));
}

TEST_F(Train, ResumesOnSoManyEvents) {
  const Words three = set({"training.events=3", "training.epochs=3"});
  EXPECT_EQ(run("three", three), 0) << errors("three");
  EXPECT_EQ(stopped("three_stopped", 1, SIGTERM, three), 130) << errors("three_stopped");
  EXPECT_EQ(run("three_stopped", three + Words{"--resume"}), 0) << errors("three_stopped");
  EXPECT_EQ(content(path("three_stopped/model.safetensors")), content(path("three/model.safetensors")));
  EXPECT_EQ(run("three", three + Words{"--resume"} + set({"training.events=4"})), 2);
  EXPECT_THAT(errors("three"), HasSubstr("[training] events = 4"));
}

// Events that are held out now may be among those that the windows were learned of.
TEST_F(Train, LearnsWindowsAnewWithMoreEventsHeldOut) {
  write_all(path("few"), simulated(10, 6));
  const auto train = [](const std::string& held_out) {
    fs::remove(path("again/checkpoint.safetensors"));
    EXPECT_EQ(run("again", set({"training.data=[\"" + path("few").string() + "\"]", "training.epochs=0",
                                "training.validation_events=" + held_out})),
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
  std::vector<Event> others = simulated(110, 6);
  const std::vector<Event> before = simulated(10, 6);
  for (std::size_t i = 0; i < 6; ++i) others[i].name = before[i].name;
  write_all(path("few"), others);
  EXPECT_THAT(train("3"), HasSubstr("triples, learned in"));
}

TEST_F(Train, TrainsAtEightBits) {
  const Words bits = set(
      {"quantization.bits=8", "quantization.powers_of_two=true", "quantization.collect_steps=8", "training.epochs=3"});
  EXPECT_EQ(run("bits", bits), 0) << errors("bits");
  const TrackFinder model = TrackFinder::load(path("bits/model.safetensors"));
  const auto& network = std::get<QuantizedNetwork>(model.network);
  EXPECT_EQ(network.layers.at("edge_network.0.1").weight_bits, 8);
  for (const auto& [name, layer] : network.layers) {
    EXPECT_EQ(std::log2(layer.weight_scale[0]), std::rint(std::log2(layer.weight_scale[0]))) << name;
  }
  const HitGraph graph = build_hit_graph(simulated(1, 1)[0].hits, model.windows, model.scales);
  const std::vector<float> scores = Session(model.plan()).run(graph);
  EXPECT_GT(scores.size(), 10u);
  EXPECT_THAT(scores, testing::Each(testing::AllOf(testing::Ge(0.f), testing::Le(1.f))));

  EXPECT_EQ(stopped("bits_stopped", 1, SIGTERM, bits), 130) << errors("bits_stopped");
  EXPECT_EQ(run("bits_stopped", bits + Words{"--resume"}), 0) << errors("bits_stopped");
  EXPECT_EQ(content(path("bits_stopped/model.safetensors")), content(path("bits/model.safetensors")));

  // It stays as it is where nothing else is asked for.
  EXPECT_EQ(
      run("bits_validated", set({"training.from=" + path("bits/model.safetensors").string(), "training.epochs=0"})), 0)
      << errors("bits_validated");
  EXPECT_TRUE(TrackFinder::load(path("bits_validated/model.safetensors")).network == model.network);
}

TEST_F(Train, BeginsWithAModelOrARun) {
  const std::string model = path("whole/model.safetensors");
  const Words one_epoch = set({"training.epochs=1"});
  EXPECT_EQ(
      run("from", one_epoch + set({"training.from=" + model, "quantization.bits=8", "quantization.collect_steps=2"})),
      0)
      << errors("from");
  EXPECT_THAT(errors("from"), HasSubstr("windows: those of"));
  EXPECT_EQ(TrackFinder::load(path("from/model.safetensors")).shape().hidden, 8);
  // Half of it, and not more of it than that again.
  EXPECT_EQ(run("pruned",
                one_epoch + set({"training.from=" + path("from").string(), "quantization.bits=6", "pruning.kept=0.5"})),
            0)
      << errors("pruned");
  EXPECT_EQ(run("more", set({"training.from=" + path("pruned").string(), "quantization.bits=6", "pruning.kept=0.6"})),
            2);
  EXPECT_THAT(errors("more"), HasSubstr("pruning.kept = 0.600000: expected at most the"));
  EXPECT_EQ(run("more", set({"training.from=" + model, "pruning.two_of_four=true", "pruning.kept=0.8"})), 2);
  EXPECT_THAT(errors("more"), HasSubstr("pruning.kept = 0.800000: expected at most the"));
  // A teacher in codes, and a student wider than it.
  EXPECT_EQ(run("taught", one_epoch + set({"distillation.teacher=" + path("pruned").string(), "network.hidden=10"})), 0)
      << errors("taught");
  EXPECT_THAT(errors("taught"), HasSubstr("wider than its teacher"));
  EXPECT_EQ(run("other", set({"training.from=" + model, "network.hidden=9"})), 2);
  EXPECT_THAT(errors("other"), HasSubstr("expected that of training.from"));

  // A network in codes stays in codes where no other bits are asked for.
  EXPECT_EQ(run("validated", set({"training.from=" + path("pruned/model.safetensors").string(), "training.epochs=0"})),
            0)
      << errors("validated");
  const auto before = std::get<QuantizedNetwork>(TrackFinder::load(path("pruned/model.safetensors")).network);
  const TrackFinder after = TrackFinder::load(path("validated/model.safetensors"));
  ASSERT_TRUE(std::holds_alternative<QuantizedNetwork>(after.network));
  for (const auto& [name, layer] : std::get<QuantizedNetwork>(after.network).layers) {
    EXPECT_EQ(layer.weight, before.layers.at(name).weight) << name;
    EXPECT_EQ(layer.weight_bits, before.layers.at(name).weight_bits) << name;
    EXPECT_EQ(layer.kept, before.layers.at(name).kept) << name;
  }
}

TEST_F(Train, ValidatesAModelWithoutTrainingIt) {
  const Words from = set({"training.from=" + path("whole").string(), "training.epochs=0"});
  EXPECT_EQ(run("validated_float", from), 0) << errors("validated_float");
  EXPECT_EQ(lines(path("validated_float/metrics.jsonl")), 1);
  const TrackFinder before = TrackFinder::load(path("whole/model.safetensors"));
  EXPECT_TRUE(TrackFinder::load(path("validated_float/model.safetensors")).network == before.network);
}

TEST_F(Train, EndsOnceTheValidationLossIsFlat) {
  const Words flat = set({"training.flat_epochs=3", "training.flat_spread=1"});
  EXPECT_EQ(run("flat", flat), 0) << errors("flat");
  EXPECT_EQ(lines(path("flat/metrics.jsonl")), 3);
  EXPECT_EQ(run("flat", flat + Words{"--resume"}), 0);
  EXPECT_EQ(lines(path("flat/metrics.jsonl")), 3);
}

TEST_F(Train, MoreThreadsThanProcessorsAreNoSlower) {
  EXPECT_EQ(run("workers", set({"training.workers=1024", "training.threads=1024", "training.epochs=1"})), 0)
      << errors("workers");
  EXPECT_THAT(errors("workers"), HasSubstr("training.workers = 1024: using "));
  EXPECT_THAT(errors("workers"), HasSubstr("training.threads = 1024: using "));
  EXPECT_EQ(lines(path("workers/metrics.jsonl")), 1);
}

// What else may be wrong in a configuration: tests/learn_threads_test.cpp.
TEST_F(Train, SaysWhatIsWrong) {
  EXPECT_EQ(run("wrong", set({"training.epoch=1"})), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("training.epochs"));
  EXPECT_EQ(run("wrong", set({"simulation.detector=nowhere.toml"})), 2);
  EXPECT_THAT(errors("wrong"), HasSubstr("nowhere.toml"));
  EXPECT_EQ(run("wrong", set({"training.from=nothing.safetensors"})), 3);
  EXPECT_THAT(errors("wrong"), HasSubstr("nothing.safetensors"));
  EXPECT_EQ(run("wrong", {"--resum"}), 2);
  EXPECT_EQ(errors("wrong"),
            "starling-learn: train: --resum: no such option, did you mean --resume? (--help lists them)\n");
}

TEST_F(Train, NeedsTheDeviceItIsAskedFor) {
  if (fs::exists("/dev/nvidiactl")) GTEST_SKIP() << "there is a GPU";
  EXPECT_EQ(run("device", {"--device", "cuda"}), 4);
  EXPECT_THAT(errors("device"), HasSubstr("CUDA"));
}

}  // namespace
}  // namespace starling
