// starling-learn train in two processes that share a training: what they leave, and how they end where one is stopped
// or killed. STARLING_LEARN_PROGRAM is the program under test, STARLING_PYTHON the Python that has torchrun.
#include <array>
#include <regex>
#include <string>
#include <vector>

#include "free_port.h"
#include "learn_program.h"

namespace starling {
namespace {

using Pair = std::array<pid_t, 2>;
using Codes = std::array<int, 2>;

class TrainProcesses : public LearnProgram {
 protected:
  // Trains "whole" in one process: two batches per step, and windows for all runs.
  static void SetUpTestSuite() {
    LearnProgram::SetUpTestSuite();
    std::ofstream(path("run.toml")) << "[network]\nhidden = 8\nsteps = 2\n" + kEvents +
                                           "[training]\nepochs = 6\nevents_per_epoch = 12\nvalidation_events = 3\n"
                                           "batch = 2\nreuse = 2\nreuse_window = 8\nworkers = 1\n";
    std::ofstream(path("showers.toml"))
        << "[network]\nkind = \"gravnet\"\nhidden = 16\nwidth = 8\nblocks = 2\nspace = 3\npropagate = 8\nk = 8\n"
           "[showers]\nshowers = 4\nmax_energy = 20\nnoise = 0.1\nmax_abs_phi = 0.5\ndetector = \"" STARLING_SOURCE_DIR
           "/detectors/hgcal.toml\"\n"
           "[[sample]]\nname = \"alone\"\ngrouped = 0\n[[sample]]\nname = \"groups\"\nshare = 2\ngrouped = 1\n"
           "[training]\nepochs = 1\nevents_per_epoch = 4\nvalidation_events = 2\nbatch_hits = 500\nreuse = 2\n"
           "batch = 2\nreuse_window = 8\nlearning_rate = 0.01\nwarmup_epochs = 0\nworkers = 1\n";
    ASSERT_EQ(one("whole"), 0) << errors("whole");
  }
  static std::string model(const std::string& name) { return content(path(name) / "model.safetensors"); }

  static Words command(const std::string& name, const Words& more) {
    if (fs::exists(path("whole/windows.safetensors")) && !fs::exists(path(name))) {
      fs::create_directory(path(name));
      fs::copy_file(path("whole/windows.safetensors"), path(name) / "windows.safetensors");
    }
    return LearnProgram::command("train", name, more);
  }

  static int one(const std::string& name, const Words& more = {}) {
    return spawned::wait(spawned::start(command(name, more), path(name)));
  }

  // Their output is <name>0 and <name>1.
  static Pair start(const std::string& name, const Words& more = {}, const Words& of_the_second = {}) {
    const FreePort port;
    Pair processes;
    for (int rank = 0; rank < 2; ++rank) {
      Words words = command(name, more);
      if (rank == 1) words.insert(words.end(), of_the_second.begin(), of_the_second.end());
      processes[static_cast<std::size_t>(rank)] =
          spawned::start(words, path(name + std::to_string(rank)),
                         {"WORLD_SIZE=2", "RANK=" + std::to_string(rank), "MASTER_ADDR=127.0.0.1",
                          "MASTER_PORT=" + std::to_string(port.number)});
    }
    return processes;
  }
  static Codes wait(const Pair& processes) { return {spawned::wait(processes[0]), spawned::wait(processes[1])}; }

  // A signal to one of two, once `epochs` epochs are done.
  static Codes signalled(const std::string& name, int epochs, std::size_t rank, int signal, const Words& more = {}) {
    const Pair processes = start(name, more);
    wait_for_epochs(path(name), epochs);
    kill(processes[rank], signal);
    return wait(processes);
  }

  static std::string without_times(const std::string& metrics) {
    return std::regex_replace(metrics, std::regex(",\"seconds\":[^}]*"), "");
  }
};

// A sum of two numbers has one rounding: with two batches per step, the same bytes.
TEST_F(TrainProcesses, LeaveWhatOneProcessLeaves) {
  EXPECT_EQ(wait(start("two")), (Codes{0, 0})) << errors("two0") << errors("two1");
  EXPECT_FALSE(model("two").empty());
  EXPECT_TRUE(model("two") == model("whole"));
  EXPECT_EQ(without_times(content(path("two/metrics.jsonl"))), without_times(content(path("whole/metrics.jsonl"))));
  EXPECT_THAT(content(path("two0.out")), HasSubstr("least validation loss"));
  EXPECT_EQ(content(path("two1.out")) + errors("two1"), "");
}

TEST_F(TrainProcesses, TakeTurnsWithSoManyEvents) {
  const Words three = set({"training.events=3", "training.epochs=2"});
  EXPECT_EQ(one("three_alone", three), 0) << errors("three_alone");
  EXPECT_EQ(wait(start("three", three)), (Codes{0, 0})) << errors("three0") << errors("three1");
  EXPECT_FALSE(model("three").empty());
  EXPECT_TRUE(model("three") == model("three_alone"));
}

TEST_F(TrainProcesses, ShareMoreBatchesToRounding) {
  const Words four = set({"training.batch=6", "training.epochs=2"});
  EXPECT_EQ(one("four_alone", four), 0) << errors("four_alone");
  EXPECT_EQ(wait(start("four", four)), (Codes{0, 0})) << errors("four0") << errors("four1");
  const auto losses = [](const std::string& metrics) {
    std::vector<double> values;
    const std::regex loss("_loss\":([0-9.e-]+)");
    for (std::sregex_iterator i(metrics.begin(), metrics.end(), loss), end; i != end; ++i) {
      values.push_back(std::stod((*i)[1]));
    }
    return values;
  };
  const auto together = losses(content(path("four/metrics.jsonl")));
  const auto alone = losses(content(path("four_alone/metrics.jsonl")));
  ASSERT_EQ(together.size(), 4u);
  ASSERT_EQ(alone.size(), 4u);
  for (std::size_t i = 0; i < alone.size(); ++i) EXPECT_NEAR(together[i], alone[i], 1e-5 * alone[i]) << i;
}

TEST_F(TrainProcesses, LearnShowersTogether) {
  const auto train = [](const std::string& name) {
    Words words = command(name, {});
    words[2] = path("showers.toml");
    fs::remove_all(path(name));
    return words;
  };
  EXPECT_EQ(spawned::wait(spawned::start(train("shower"), path("shower"))), 0) << errors("shower");
  const FreePort port;
  Pair processes;
  for (std::size_t rank = 0; rank < 2; ++rank) {
    processes[rank] = spawned::start(train("showers"), path("showers" + std::to_string(rank)),
                                     {"WORLD_SIZE=2", "RANK=" + std::to_string(rank), "MASTER_ADDR=127.0.0.1",
                                      "MASTER_PORT=" + std::to_string(port.number)});
  }
  EXPECT_EQ(wait(processes), (Codes{0, 0})) << errors("showers0") << errors("showers1");
  EXPECT_FALSE(model("showers").empty());
  EXPECT_TRUE(model("showers") == model("shower"));
}

// One of them is told; both end after the same step, and the run goes on with any number of processes.
TEST_F(TrainProcesses, StopTogetherAndResume) {
  EXPECT_EQ(signalled("stopped", 1, 1, SIGTERM), (Codes{130, 130})) << errors("stopped0") << errors("stopped1");
  EXPECT_THAT(errors("stopped0"), HasSubstr("saved, go on with --resume"));
  EXPECT_EQ(lines(path("stopped1.err")), 1) << errors("stopped1");
  EXPECT_EQ(one("stopped", Words{"--resume"} + set({"training.epochs=3"})), 0) << errors("stopped");
  EXPECT_EQ(signalled("stopped", 4, 0, SIGINT, {"--resume"}), (Codes{130, 130})) << errors("stopped0");
  EXPECT_EQ(wait(start("stopped", {"--resume"})), (Codes{0, 0})) << errors("stopped0") << errors("stopped1");
  EXPECT_TRUE(model("stopped") == model("whole"));
}

TEST_F(TrainProcesses, EndWhereOneIsKilled) {
  EXPECT_EQ(signalled("killed", 1, 1, SIGKILL), (Codes{1, -SIGKILL}));
  EXPECT_THAT(errors("killed0"), HasSubstr("starling-learn: process 1 of 2 of the training is gone: "));
  // The one that has the store.
  EXPECT_EQ(signalled("killed", 3, 0, SIGKILL, {"--resume"}), (Codes{-SIGKILL, 1}));
  EXPECT_EQ(lines(path("killed1.err")), 1) << errors("killed1");
  EXPECT_EQ(wait(start("killed", {"--resume"})), (Codes{0, 0})) << errors("killed0") << errors("killed1");
  EXPECT_TRUE(model("killed") == model("whole"));
}

TEST_F(TrainProcesses, SayWhatIsWrong) {
  EXPECT_EQ(wait(start("wrong", {}, set({"training.seed=2"}))), (Codes{2, 2}));
  for (const char* const name : {"wrong0", "wrong1"}) {
    EXPECT_THAT(errors(name), HasSubstr("process 0 has the configuration `[training] seed = 1`, process 1 "
                                        "`[training] seed = 2`: expected the same"));
    EXPECT_EQ(lines(path(std::string(name) + ".err")), 1) << errors(name);
  }
  EXPECT_EQ(wait(start("wrong", set({"training.batch=1"}))), (Codes{2, 2}));
  EXPECT_THAT(errors("wrong0"), HasSubstr("training.batch = 1: expected at least 2, one for each process"));
  // What one finds wrong ends the other.
  EXPECT_EQ(wait(start("whole")), (Codes{2, 2}));
  EXPECT_THAT(errors("whole1"), HasSubstr("process 0 of 2 of the training ended: "));
  EXPECT_THAT(errors("whole1"), HasSubstr("a run is here already; go on with --resume"));
}

#ifdef STARLING_PYTHON
TEST_F(TrainProcesses, AreStartedByTorchrun) {
  const Words launcher = {STARLING_PYTHON,    "-m", "torch.distributed.run", "--standalone", "--no-python",
                          "--nproc-per-node", "2"};
  Words words = launcher;
  for (const std::string& word : command("run", {})) words.push_back(word);
  EXPECT_EQ(spawned::wait(spawned::start(words, path("run"))), 0) << errors("run");
  EXPECT_TRUE(model("run") == model("whole"));
}
#endif

}  // namespace
}  // namespace starling
