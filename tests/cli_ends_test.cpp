// Ends of the program that are not its own: outputs that cannot be written, limits, signals, bad events among good
// ones.
#include <chrono>
#include <csignal>
#include <thread>

#include "program.h"

namespace starling {
namespace {

using Ends = Cli;

TEST_F(Ends, OutputsThatCannotBeWritten) {
  write(path("a_file"), "");
  expect_failure("reconstruct " + event() + model() + "--out " + path("a_file"), 2, {"a_file"});
  if (geteuid() != 0) {
    fs::create_directory(path("locked"));
    fs::permissions(path("locked"), fs::perms::owner_read | fs::perms::owner_exec);
    expect_failure("reconstruct " + event() + model() + "--out " + path("locked"), 2, {"locked"});
  }
  // A file-size limit stands for a full disk. What fails leaves no file, whole or half.
  expect_failure("simulate --out " + path("unwritten"), 2, {"unwritten/event"}, "ulimit -f 8; ");
}

TEST_F(Ends, WhatIsPrintedIsChecked) {
  for (const std::string& arguments : std::vector<std::string>{
           "--help", "--version", "train --help", "simulate --help", "info --hidden 8", "info --hidden 8 --json",
           "simulate --pileup 5 --out " + path("full"), "graph " + event() + model() + "--out " + path("full"),
           "reconstruct " + event() + model() + "--out " + path("full"),
           "reconstruct " + event() + model() + "--json --out " + path("full"), "evaluate " + event() + model(),
           "evaluate " + event() + model() + "--json"}) {
    const std::string command = "'" STARLING_PROGRAM "' " + arguments + " >/dev/full 2>" + path("stderr");
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 2) << arguments;
    // `train` is run by starling-learn where that is built.
    EXPECT_THAT(content(path("stderr")),
                testing::MatchesRegex("starling(-learn)?: the output cannot be written: No space left on device\n"))
        << arguments;
  }
}

TEST_F(Ends, AReaderThatGoesAwayIsOneLine) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  close(ends[0]);
  const pid_t child =
      start({"reconstruct", event(), "--model", path("model.safetensors"), "--out", path("unread")}, ends[1]);
  close(ends[1]);
  EXPECT_EQ(wait(child), 2);
  EXPECT_EQ(content(path("stderr")), "starling: the output cannot be written: Broken pipe\n");
  EXPECT_THAT(content(path("unread/event000000007-tracks.csv")), EndsWith("\n"));
}

TEST_F(Ends, NoFileTakesThePlaceOfAClosedStream) {
  const std::string arguments = "reconstruct " + path("events") + model() + "--threads 2 --out ";
  ASSERT_EQ(run(arguments + path("open")).code, 0);
  for (const std::string closed : {"1>&-", "0<&- 1>&- 2>&-", "2>&- >/dev/null"}) {
    const std::string command = "exec " + closed + "; '" STARLING_PROGRAM "' " + arguments + path("closed");
    fs::remove_all(path("closed"));
    EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 0) << closed;
    for (const char* file : {"event000000007-tracks.csv", "event000000008-tracks.csv"}) {
      EXPECT_EQ(content(folder / "closed" / file), content(folder / "open" / file)) << closed;
    }
  }
}

TEST_F(Ends, ThreadsThatCannotStart) {
  if (STARLING_SANITIZED) GTEST_SKIP() << "sanitizers map terabytes: a limit on the address space means nothing";
  expect_failure("simulate --threads 1000 --out " + path("unwritten"), 2, {"--threads 1000", "expected fewer"},
                 "ulimit -v 600000; ");
}

TEST_F(Ends, AnEventThatNeedsMoreMemoryIsLeftOut) {
  if (STARLING_SANITIZED) GTEST_SKIP() << "sanitizers map terabytes: a limit on the address space means nothing";
  fs::create_directory(path("large"));
  std::string rows = "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  for (int hit = 0; hit < 3'000'000; ++hit) rows += std::to_string(hit) + ",1,2,3,8,2,1\n";
  write(path("large/event000000000-hits.csv"), rows);
  const std::string arguments = "reconstruct " + path("large") + ' ' + event() + model() + "--threads 1 --out ";
  expect_failure(arguments + path("unwritten"), 3, {"event000000000: more memory is needed than there is"},
                 "ulimit -v 130000; ");
  const Result going = run(arguments + path("small") + " --keep-going", "ulimit -v 130000; ");
  EXPECT_EQ(going.code, 3) << going.err;
  EXPECT_THAT(going.out, HasSubstr("event000000007"));
  EXPECT_THAT(going.err, HasSubstr("left out: " + path("large/event000000000") + ": more memory"));
  EXPECT_FALSE(fs::exists(path("small/event000000000-tracks.csv")));
  EXPECT_TRUE(fs::exists(path("small/event000000007-tracks.csv")));
}

TEST_F(Ends, AnEventWithTooManyDoubletsIsNamed) {
  const std::string dense = copy_of_event("dense");
  for (const char* end : {"-truth.csv", "-particles.csv"}) fs::remove(dense + end);
  std::string rows = "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  for (int hit = 0; hit < 12000; ++hit) {
    rows += std::to_string(hit) + (hit % 2 == 0 ? ",32,0,0,8,2,1\n" : ",72,0,0,8,4,1\n");
  }
  write(dense + "-hits.csv", rows);
  expect_failure("reconstruct " + dense + model() + "--out " + path("unwritten"), 3,
                 {dense + ": hit graph: more than", "among 12000 hits"});
}

// Its name may be a part of any message.
TEST_F(Ends, ABadEventIsNamedFirst) {
  fs::create_directory(path("short_name"));
  std::string rows = "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  for (int hit = 0; hit < 12000; ++hit) {
    rows += std::to_string(hit) + (hit % 2 == 0 ? ",32,0,0,8,2,1\n" : ",72,0,0,8,4,1\n");
  }
  const std::string prefix = path("short_name/graph");
  write(prefix + "-hits.csv", rows);
  expect_failure("reconstruct " + prefix + model() + "--out " + path("unwritten"), 3,
                 {"starling: " + prefix + ": hit graph: more than"});
  const Result going = run("reconstruct " + prefix + model() + "--keep-going --out " + path("short_name"));
  EXPECT_EQ(going.code, 3);
  EXPECT_THAT(going.err, StartsWith("left out: " + prefix + ": hit graph: more than"));
  expect_failure("evaluate " + prefix + model(), 3, {"starling: " + prefix + ": has no truth"});
}

TEST_F(Ends, BadEventsAreLeftOutWhereAsked) {
  const std::string bad = copy_of_event("bad_among_good");
  for (const char* end : {"-hits.csv", "-truth.csv", "-particles.csv"}) {
    fs::copy(event() + end, path("bad_among_good/event000000001") + end);
    fs::copy(event() + end, path("bad_among_good/event000000009") + end);
  }
  write(bad + "-hits.csv", "hit_id,x,y,z,volume_id,layer_id,module_id\n1,2,abc,4,8,2,1\n");
  for (const std::string command : {"graph", "reconstruct", "evaluate"}) {
    const std::string arguments = command + ' ' + path("bad_among_good") + model() + "--json" +
                                  (command == "evaluate" ? "" : " --out " + path("good"));
    const Result stopped = run(arguments);
    EXPECT_EQ(stopped.code, 3);
    EXPECT_EQ(std::count(stopped.err.begin(), stopped.err.end(), '\n'), 1);
    const Result going = run(arguments + " --keep-going");
    EXPECT_EQ(going.code, 3) << command;
    EXPECT_EQ(going.err, "left out: " + bad +
                             "-hits.csv:2: y = abc: expected a finite number that a float can hold\nstarling: 1 of 3 "
                             "events left out, as said above\n");
    EXPECT_EQ(std::count(going.out.begin(), going.out.end(), '\n'), command == "evaluate" ? 1 : 2);
    if (command == "evaluate") {
      EXPECT_THAT(going.out, HasSubstr(R"("events":2,)"));
      EXPECT_THAT(going.out, HasSubstr(R"("left_out":["event000000007"])"));
    }
  }
  const Result only = run("reconstruct " + bad + model() + "--keep-going --out " + path("none"));
  EXPECT_EQ(only.code, 3);
  EXPECT_EQ(only.out, "");
}

TEST_F(Ends, AnInterruptLeavesWholeFiles) {
  fs::remove_all(path("interrupted"));
  const std::string out = path("interrupted");
  const pid_t child = start({"simulate", "--events", "100000", "--pileup", "5", "--out", out});
  for (int i = 0; i < 1000 && !fs::exists(out + "/event000000000-hits.csv"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  kill(child, SIGINT);
  EXPECT_EQ(wait(child), 130);
  EXPECT_EQ(content(path("stderr")), "starling: interrupted\n");
  std::size_t files = 0;
  for (const auto& file : fs::directory_iterator(out)) {
    EXPECT_THAT(file.path().string(), EndsWith(".csv"));
    EXPECT_THAT(content(file), EndsWith("\n"));
    ++files;
  }
  EXPECT_GE(files, 3U);
  EXPECT_EQ(files % 3, 0U) << "events are whole";
}

TEST_F(Ends, AnInterruptEndsALongEventAtOnce) {
  const std::string out = path("long_event");
  const pid_t child = start({"simulate", "--pileup", "1000", "--threads", "1", "--out", out});
  for (int i = 0; i < 1000 && !fs::exists(out); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // now the event is being made, which takes seconds
  kill(child, SIGTERM);
  EXPECT_EQ(wait(child), 130);
  EXPECT_EQ(content(path("stderr")), "starling: interrupted\n");
  EXPECT_TRUE(fs::is_empty(out));
}

}  // namespace
}  // namespace starling
