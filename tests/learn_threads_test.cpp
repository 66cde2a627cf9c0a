// What learn/ does in threads and without LibTorch: this program is built without it, so ThreadSanitizer sees all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "expect_error.h"
#include "learn/compress/settings.h"
#include "learn/tasks/showers/events.h"
#include "learn/tasks/showers/sample.h"
#include "learn/tasks/tracking/events.h"
#include "learn/tasks/tracking/sample.h"
#include "learn/train/prefetch.h"
#include "learn/train/settings.h"
#include "progress.h"
#include "starling/config.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using namespace starling::learn;
using namespace starling::learn::tracking;

TEST(Prefetcher, PassesOnWhatWentWrong) {
  Prefetcher<int> numbers(
      [](std::uint64_t i) {
        if (i == 2) throw Error(ErrorKind::input, "the third");
        return static_cast<int>(i);
      },
      0, 2, 4);
  EXPECT_EQ(numbers.next(), 0);
  EXPECT_EQ(numbers.next(), 1);
  EXPECT_THROW(numbers.next(), Error);
  EXPECT_EQ(numbers.next(), 3);
}

TEST(Prefetcher, MakesNothingAfterTheEnd) {
  std::atomic<int> made = 0;
  {
    Prefetcher<int> numbers([&](std::uint64_t i) { return made++, static_cast<int>(i); }, 0, 3, 5, 4);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(numbers.next(), i);
    EXPECT_THROW(numbers.next(), Error);
  }
  EXPECT_EQ(made, 4);
}

// The child may map so many megabytes more: the stacks of a few threads, or less than one thread allocates.
[[noreturn]] void start_threads_with(rlim_t megabytes) {
  long pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  const auto bytes = static_cast<rlim_t>(pages) * 4096 + (megabytes << 20);
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(1);
  try {
    const Prefetcher<int> numbers([](std::uint64_t i) { return static_cast<int>(i); }, 0, 1000, 2000);
    std::_Exit(2);
  } catch (const Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::_Exit(error.kind() == ErrorKind::internal ? 42 : 3);
  }
}

// Making the first item leaves no memory at all to its thread, which cannot put it aside then.
[[noreturn]] void use_up_memory_in_a_thread() {
  Prefetcher<int> numbers(
      [](std::uint64_t i) {
        const rlimit none{0, 0};
        if (setrlimit(RLIMIT_AS, &none) != 0) std::_Exit(1);
        for (std::size_t bytes = std::size_t{1} << 20; bytes > 0; bytes = bytes > 1024 ? bytes / 2 : bytes - 8) {
          while (void* volatile lost = std::malloc(bytes)) static_cast<void>(lost);
        }
        return static_cast<int>(i);
      },
      0, 1, 1);
  try {
    numbers.next();
  } catch (const std::bad_alloc&) {
    std::_Exit(42);
  }
  std::_Exit(2);
}

TEST(PrefetcherDeathTest, MemoryThatRunsOutInAThreadEndsTheConsumer) {
  if (STARLING_SANITIZED) GTEST_SKIP() << "sanitizers map terabytes: a limit on the address space means nothing";
  EXPECT_EXIT(use_up_memory_in_a_thread(), testing::ExitedWithCode(42), "");
}

TEST(PrefetcherDeathTest, ThreadsThatCannotStartAreAnError) {
  if (STARLING_SANITIZED) GTEST_SKIP() << "sanitizers map terabytes: a limit on the address space means nothing";
  for (const rlim_t megabytes : {1, 4, 12, 32, 64, 96, 200, 500}) {
    EXPECT_EXIT(start_threads_with(megabytes), testing::ExitedWithCode(42),
                "of 1000 that make batches cannot be started")
        << megabytes;
  }
}

TEST(TrainerSettings, HaveNoMoreWorkersThanProcessors) {
  TrainerSettings settings;
  settings.workers = 1024;
  EXPECT_LE(settings.worker_threads(1), static_cast<int>(std::thread::hardware_concurrency()));
  EXPECT_EQ(settings.worker_threads(1 << 20), 1);
  settings.workers = 1;
  EXPECT_EQ(settings.worker_threads(1), 1);
  settings.workers = 0;
  EXPECT_GE(settings.worker_threads(1), 1);
  EXPECT_EQ(settings.worker_threads(1 << 20), 1);
}

TrackingSettings small() {
  TrackingSettings settings;
  settings.detector = STARLING_SOURCE_DIR "/detectors/trackml.toml";
  settings.simulation.pileup = 2;
  settings.simulation.hard_particles = 20;
  settings.windows.events = 6;
  settings.windows.background_events = 2;
  return settings;
}

TEST(Samples, AreTheSameFromAnyNumberOfThreads) {
  const TrackingSettings settings = small();
  const Events events(settings);
  cli::Progress progress(cli::Progress::Elsewhere::lines);
  std::atomic<int> shown = 0;
  const Windows windows = learn_windows([&](std::uint64_t i) { return events.window(i); }, settings.windows,
                                        [&](double fraction) {
                                          progress.show(fraction, "learning windows");
                                          if (!progress.due()) progress.say("not due");
                                          ++shown;
                                        });
  EXPECT_GE(shown, 6);
  Prefetcher<Sample> samples([&](std::uint64_t i) { return make_sample(events.training(i), windows, {}, settings); }, 0,
                             4, 8, 8);
  for (std::uint64_t i = 0; i < 8; ++i) {
    const Sample made = samples.next(), alone = make_sample(events.training(i), windows, {}, settings);
    EXPECT_GT(made.src.size(), 0u);
    EXPECT_EQ(made.src, alone.src);
    EXPECT_EQ(made.dst, alone.dst);
    EXPECT_EQ(made.edge_features, alone.edge_features);
    EXPECT_EQ(made.labels, alone.labels);
  }
}

// training.events: each pass has every event once, in an order of its own.
TEST(Events, ComeAgainWhereTheyAreSoManyAndNoMore) {
  TrackingSettings settings = small();
  const Events endless(settings);
  settings.events = 3;
  const Events three(settings);
  const auto numbers_of = [&](std::uint64_t first) {
    std::vector<int> numbers;
    for (std::uint64_t i = 0; i < 3; ++i) {
      for (int n = 0; n < 3; ++n) {
        if (three.training(three.in_sequence(first + i)).hits.x ==
            endless.training(static_cast<std::uint64_t>(n)).hits.x) {
          numbers.push_back(n);
        }
      }
    }
    return numbers;
  };
  std::vector<std::vector<int>> passes;
  for (std::uint64_t pass = 0; pass < 6; ++pass) {
    passes.push_back(numbers_of(3 * pass));
    EXPECT_THAT(passes.back(), testing::UnorderedElementsAre(0, 1, 2)) << pass;
  }
  EXPECT_THAT(passes, testing::Not(testing::Each(passes[0])));
  EXPECT_NE(three.validation(0).hits.x, endless.training(0).hits.x);
  settings.events = 1;
  const Events one(settings);
  EXPECT_EQ(one.training(one.in_sequence(7)).hits.x, endless.training(0).hits.x);
}

TEST(Events, OfFilesSayWhatTheyLack) {
  const TemporaryFolder folder;
  TrackingSettings settings = small();
  const Events simulated(settings);
  for (std::uint64_t i = 0; i < 6; ++i) write_event(folder.path(), simulated.training(i));
  settings.data = {folder.path()};
  settings.validation_events = 6;
  expect_error(ErrorKind::usage, "expected fewer than the 6 events", [&] { Events{settings}; });
  settings.validation_events = 2;
  settings.events = 5;
  expect_error(ErrorKind::usage, "training.events = 5: expected at most the 4 events", [&] { Events{settings}; });
  settings.events = 0;
  const Events files(settings);
  const std::string prefix = files.window_files().at(0).string();
  files.window(0);
  std::filesystem::remove(prefix + "-particles.csv");
  expect_error(ErrorKind::input, prefix + ": has no particles with px and py", [&] { files.window(0); });
  std::filesystem::remove(prefix + "-truth.csv");
  expect_error(ErrorKind::input, prefix + ": has no truth", [&] { files.window(0); });
}

TEST(TrackingSettings, SayWhatIsWrong) {
  const auto expect = [](const std::string& assignment, const std::string& what) {
    expect_error(ErrorKind::usage, what, [&] {
      Config config = Config::parse("");
      config.set(assignment);
      read_tracking_settings(config);
      read_trainer_settings(config);
      config.finish();
    });
  };
  expect("training.epoch=1", "training.epochs");
  expect("training.batch=7", "training.events_per_epoch = 500: expected a multiple of the 7 of");
  expect("network.norm=group", "network.norm");
  expect("training.pileup=[3]", "training.pileup: expected [lowest, highest]");
  for (const std::string key : {"bits=1", "bits=13", "weights=0", "features=99", "biases=33", "percentile=0"}) {
    expect("quantization." + key, "quantization." + key.substr(0, key.find('=')));
  }
  expect("quantization.layer=[{name=\"edge_network.9\", weights=4}]", "\"edge_network.9\": expected a layer or an MLP");
  expect("pruning.floor=[{name=\"edges\", kept=0.4}]", "\"edges\": expected a layer or an MLP");
  expect("distillation.alpha=0.5", "distillation.teacher: expected a model");
}

TEST(CompressSettings, SayWhatIsWrong) {
  const TemporaryFolder folder;
  const std::filesystem::path file = folder.path() / "compress.toml";
  std::ofstream(file) << "[quantization]\nbits = 6\n[pruning]\n";
  const auto read = [&](const std::vector<std::string>& assignments) {
    return read_compress_settings(file, assignments);
  };
  const auto expect = [&](const std::vector<std::string>& assignments, const std::string& what) {
    expect_error(ErrorKind::usage, what, [&] { read(assignments); });
  };
  expect({"compress.kept=[0.5, 0.6]"}, "0.600000 after 0.500000: expected fractions above 0");
  expect({"compress.kept=[0.5, 0.5]"}, "each below the one before");
  expect({"compress.kept=[0.5]", "compress.rounds=3"}, "expected one of them");
  expect({"compress.kept=[0.5]", "compress.max_bytes=100"}, "expected one of them");
  expect({"compress.rewind=often"}, "expected");
  expect({"compress.step=1"}, "unknown");
  expect({"network.kind=gravnet"}, "network.kind");
  expect({"compress.rounds=2", "compress.curves=[\"kept-0.5000\"]"},
         "\"kept-0.5000\": expected of teacher, quantized, kept-0.8000, kept-0.6400");
  // Rungs of a budget are not known before they are trained.
  expect({"compress.max_bytes=100", "compress.curves=[\"kept-0.5000\", \"quantised\"]"},
         "\"quantised\": expected of teacher, quantized, kept-...");
  EXPECT_THAT(read({"compress.rounds=2", "compress.curves=[\"kept-0.8000\"]"}).curves,
              testing::ElementsAre("kept-0.8000"));
  // 2:4 masks leave half of the weights: fractions are of all.
  EXPECT_THAT(read({"compress.rounds=2"}).kept, testing::ElementsAre(0.8, testing::DoubleEq(0.64)));
  EXPECT_THAT(read({"compress.rounds=2", "pruning.two_of_four=true"}).kept,
              testing::ElementsAre(0.4, testing::DoubleEq(0.32)));
  expect({"compress.kept=[0.8]", "stage.rung.pruning.two_of_four=true"},
         "0.800000: expected at most the 0.500000 that pruning.two_of_four leaves");
}

// One detector is read by all threads, and events are their numbers' alone.
TEST(ShowerEvents, AreTheSameFromAnyThread) {
  showers::ShowerTrainingSettings settings;
  settings.detector = STARLING_SOURCE_DIR "/detectors/hgcal.toml";
  showers::SampleSettings sample;
  sample.showers.showers = 3;
  sample.showers.max_energy = 10;
  sample.showers.noise = 0.1;
  settings.samples = {sample, sample};
  settings.samples[1].share = 3;
  settings.samples[1].showers.showers = Range(5, 8);
  const showers::Events events(settings);
  const auto make = [&](std::uint64_t i) { return showers::make_sample(events.training(i), settings.features); };
  Prefetcher<showers::Sample> made(make, 0, 4, 8, 12);
  int few = 0;
  for (std::uint64_t i = 0; i < 12; ++i) {
    const showers::Sample one = made.next(), other = make(i);
    EXPECT_EQ(one.features, other.features);
    EXPECT_EQ(one.object, other.object);
    EXPECT_EQ(one.targets, other.targets);
    few += events.training(i).showers->size() <= 3 ? 1 : 0;
  }
  EXPECT_GT(few, 0);
  EXPECT_LT(few, 8);
  EXPECT_NE(events.validation(0, 0).hits.energy, events.validation(1, 0).hits.energy);
  EXPECT_NE(events.validation(0, 0).hits.energy, events.training(0).hits.energy);
}

}  // namespace
