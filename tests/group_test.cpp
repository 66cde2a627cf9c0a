// Processes that share a training: how they meet, what they sum, and how they hear of one that is gone. Most of them
// are threads here.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <torch/torch.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "free_port.h"
#include "learn/train/group.h"
#include "learn/train/processes.h"
#include "starling/error.h"

namespace {

using namespace starling;
using namespace starling::learn;
using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

Processes process(int rank, int world, std::uint16_t port) {
  Processes processes;
  processes.rank = processes.local_rank = rank;
  processes.world = processes.local_world = world;
  processes.host = "127.0.0.1";
  processes.port = port;
  return processes;
}

Group::Hooks hooks() {
  return {[] { return false; },
          [](const Error& error) {
            std::fprintf(stderr, "%s\n", error.what());
            std::_Exit(42);
          }};
}

// Each rank does the work in a thread; what it threw, if anything.
std::vector<std::optional<Error>> run(int world, const std::function<void(Group&)>& work) {
  const FreePort port;
  std::vector<std::optional<Error>> errors(static_cast<std::size_t>(world));
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        Group group(process(rank, world, port.number), torch::kCPU, hooks());
        group.run([&] { work(group); });
      } catch (const Error& error) {
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
        errors[static_cast<std::size_t>(rank)] = error;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

std::optional<Error> error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error;
  }
  return std::nullopt;
}

TEST(Group, SumsCopiesAndGathers) {
  for (const int world : {1, 2, 3}) {
    const auto errors = run(world, [&](Group& group) {
      const int rank = group.rank();
      torch::Tensor values = torch::full({5}, static_cast<float>(rank + 1));
      group.sum(values);
      EXPECT_TRUE(torch::equal(values, torch::full({5}, static_cast<float>(world * (world + 1) / 2))));

      std::vector<std::int64_t> counts = {(std::int64_t{1} << 60) + rank, -rank};
      group.sum(counts);
      EXPECT_EQ(counts[0], (std::int64_t{1} << 60) * world + world * (world - 1) / 2);
      std::vector<double> numbers(3, 0.);
      numbers[static_cast<std::size_t>(rank)] = 0.1 * (rank + 1);
      group.sum(numbers);
      for (int i = 0; i < 3; ++i) EXPECT_EQ(numbers[static_cast<std::size_t>(i)], i < world ? 0.1 * (i + 1) : 0);

      // Bit for bit: a zero with a sign, and a scalar.
      const torch::Tensor from = rank == 0 ? torch::tensor({-0.f, 0.1f, NAN}) : torch::rand({3});
      const torch::Tensor scalar = torch::full({}, rank == 0 ? 7.f : 8.f);
      group.copy_from_first({from, scalar});
      EXPECT_TRUE(std::signbit(from[0].item<float>()));
      EXPECT_EQ(from[1].item<float>(), 0.1f);
      EXPECT_TRUE(std::isnan(from[2].item<float>()));
      EXPECT_EQ(scalar.item<float>(), 7.f);

      const std::string own(static_cast<std::size_t>(rank) * 100'000, static_cast<char>('a' + rank));
      const std::vector<std::string> all = group.gather(own);
      ASSERT_EQ(all.size(), static_cast<std::size_t>(world));
      EXPECT_EQ(all[static_cast<std::size_t>(rank)], own);
      EXPECT_EQ(all.back().size(), static_cast<std::size_t>(world - 1) * 100'000);
      EXPECT_EQ(group.gather({}), std::vector<std::string>(static_cast<std::size_t>(world)));
    });
    for (const auto& error : errors) EXPECT_FALSE(error) << error->what();
  }
}

// Whether it is the one with the store or not: the others end as it does, and say which one it was.
TEST(Group, TheOthersHearWhyAProcessEnds) {
  for (const int failing : {0, 2}) {
    const auto errors = run(3, [&](Group& group) {
      group.wait_for_all();
      if (group.rank() == failing) throw Error(ErrorKind::input, "event000000007: has no truth");
      group.wait_for_all();
    });
    for (int rank = 0; rank < 3; ++rank) {
      const auto& error = errors[static_cast<std::size_t>(rank)];
      ASSERT_TRUE(error);
      EXPECT_EQ(error->kind(), ErrorKind::input);
      EXPECT_EQ(error->what(),
                (rank == failing ? "" : "process " + std::to_string(failing) + " of 3 of the training ended: ") +
                    std::string("event000000007: has no truth"));
    }
  }
}

TEST(Group, AllMayEndWithTheSameError) {
  const auto start = std::chrono::steady_clock::now();
  for (const auto& error : run(2, [&](Group&) { throw Error(ErrorKind::interrupted, "stopped"); })) {
    ASSERT_TRUE(error);
    EXPECT_THAT(error->what(), HasSubstr("stopped"));
    EXPECT_EQ(error->kind(), ErrorKind::interrupted);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, 60s);
}

TEST(Group, SaysWhereTheOthersAreNotReached) {
  Group::Limits limits;
  limits.meeting = 3s;
  const FreePort nobody;
  const auto unreachable = error_of([&] { Group(process(1, 2, nobody.number), torch::kCPU, hooks(), limits); });
  ASSERT_TRUE(unreachable);
  EXPECT_EQ(unreachable->kind(), ErrorKind::usage);
  EXPECT_THAT(unreachable->what(),
              StartsWith("MASTER_ADDR and MASTER_PORT = 127.0.0.1:" + std::to_string(nobody.number) +
                         ": the store of the training cannot be reached within 3 s: "));
  const FreePort taken(/*listening=*/true);
  const auto refused = error_of([&] { Group(process(0, 2, taken.number), torch::kCPU, hooks()); });
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->kind(), ErrorKind::usage);
  EXPECT_THAT(refused->what(), HasSubstr(": the port cannot be listened on: "));
  const FreePort alone;
  const auto missing = error_of([&] { Group(process(0, 2, alone.number), torch::kCPU, hooks(), limits); });
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->kind(), ErrorKind::internal);
  EXPECT_THAT(missing->what(), HasSubstr(": process 1 of 2 has not come within 3 s"));
  Group::Hooks stopping = hooks();
  stopping.interrupted = [] { return true; };
  const auto stopped = error_of([&] { Group(process(1, 2, nobody.number), torch::kCPU, stopping); });
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->kind(), ErrorKind::interrupted);
}

// A process that does not run on, as on a host that is cut off: its connections stay, and waiting for it has no end.
[[noreturn]] void wait_for_a_silent_process(std::uint16_t port) {
  const pid_t other = fork();
  if (other == 0) {
    Group group(process(1, 2, port), torch::kCPU, hooks());
    group.wait_for_all();
    raise(SIGSTOP);
    std::_Exit(1);
  }
  Group::Hooks end_both = hooks();
  end_both.end = [&](const Error& error) {
    kill(other, SIGKILL);
    hooks().end(error);
  };
  Group::Limits limits;
  limits.silence = 4s;
  limits.leaving = 1s;
  Group group(process(0, 2, port), torch::kCPU, end_both, limits);
  group.wait_for_all();
  group.wait_for_all();
  std::_Exit(1);
}

TEST(GroupDeathTest, ASilentProcessEndsTheWaiting) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const FreePort port;
  EXPECT_EXIT(wait_for_a_silent_process(port.number), testing::ExitedWithCode(42),
              "process 1 of 2 of the training has been silent for 4 s");
}

class Environment : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* const name : kNames) unsetenv(name);
  }
  void TearDown() override { SetUp(); }

  static std::string message(const std::vector<std::pair<std::string, std::string>>& variables) {
    for (const char* const name : kNames) unsetenv(name);
    for (const auto& [name, value] : variables) setenv(name.c_str(), value.c_str(), 1);
    const auto error = error_of([] { read_processes(); });
    if (!error) return {};
    EXPECT_EQ(error->kind(), ErrorKind::usage);
    return error->what();
  }

  static constexpr const char* kNames[] = {"RANK",        "WORLD_SIZE",  "LOCAL_RANK",
                                           "MASTER_ADDR", "MASTER_PORT", "LOCAL_WORLD_SIZE"};
};

TEST_F(Environment, SaysWhichProcessThisIs) {
  EXPECT_EQ(read_processes().world, 1);
  setenv("RANK", "5", 1);
  setenv("WORLD_SIZE", "1", 1);
  EXPECT_EQ(read_processes().rank, 0);
  setenv("WORLD_SIZE", "8", 1);
  setenv("MASTER_ADDR", "host", 1);
  setenv("MASTER_PORT", "29500", 1);
  Processes processes = read_processes();
  EXPECT_EQ(processes.rank, 5);
  EXPECT_EQ(processes.world, 8);
  EXPECT_EQ(processes.local_rank, 5);
  EXPECT_EQ(processes.local_world, 8);
  EXPECT_EQ(processes.host, "host");
  EXPECT_EQ(processes.port, 29500);
  EXPECT_FALSE(processes.launcher_has_store);
  setenv("LOCAL_RANK", "1", 1);
  setenv("LOCAL_WORLD_SIZE", "4", 1);
  processes = read_processes();
  EXPECT_EQ(processes.local_rank, 1);
  EXPECT_EQ(processes.local_world, 4);
}

TEST_F(Environment, NamesTheVariableThatIsWrong) {
  using Variables = std::vector<std::pair<std::string, std::string>>;
  const Variables whole = {{"WORLD_SIZE", "2"}, {"RANK", "1"}, {"MASTER_ADDR", "host"}, {"MASTER_PORT", "29500"}};
  EXPECT_EQ(message(whole), "");
  for (std::size_t i = 1; i < whole.size(); ++i) {
    Variables part = whole;
    part.erase(part.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THAT(message(part), StartsWith(whole[i].first + " is not set: expected"));
  }
  for (const auto& [name, value] : Variables{{"WORLD_SIZE", "0"},
                                             {"WORLD_SIZE", "two"},
                                             {"RANK", "2"},
                                             {"RANK", "-1"},
                                             {"LOCAL_RANK", "2"},
                                             {"LOCAL_WORLD_SIZE", "3"},
                                             {"MASTER_PORT", "0"},
                                             {"MASTER_PORT", "65536"},
                                             {"MASTER_PORT", "80x"}}) {
    Variables wrong = whole;
    wrong.emplace_back(name, value);
    EXPECT_THAT(message(wrong), StartsWith(name + " = " + value + ": expected "));
  }
}

}  // namespace
