#include "threads.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr std::size_t kStackBytes = std::size_t{4} << 20;  // TBB's own default

// Threads that live side by side until all are started or one cannot be. TBB ends the program where a thread of its own
// cannot start.
class Trial {
 public:
  explicit Trial(int threads) {
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, kStackBytes);
    started_.reserve(static_cast<std::size_t>(threads));
    while (error_ == 0 && static_cast<int>(started_.size()) < threads) {
      pthread_t thread{};
      error_ = pthread_create(&thread, &attributes, wait, this);
      if (error_ == 0) started_.push_back(thread);
    }
    pthread_attr_destroy(&attributes);
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    for (const pthread_t thread : started_) pthread_join(thread, nullptr);
  }

  int error() const { return error_; }

 private:
  static void* wait(void* trial) {
    auto& self = *static_cast<Trial*>(trial);
    // The allocator reserves address space for each thread too, which threads that come later take over.
    void* volatile memory = std::malloc(1);
    std::free(memory);
    std::unique_lock lock(self.mutex_);
    self.changed_.wait(lock, [&] { return self.over_; });
    return nullptr;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  int error_ = 0;
  std::vector<pthread_t> started_;
};

// Makes TBB start its threads now, while there is room for them: they stay. A second is enough on any machine, and only
// a delay where TBB gives fewer.
void start_all(int threads) {
  std::atomic<int> arrived = 0;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  oneapi::tbb::parallel_for(
      0, threads,
      [&](int) {
        ++arrived;
        while (arrived < threads && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      },
      oneapi::tbb::simple_partitioner());
}

}  // namespace

void run_on_threads(int threads, const std::function<void()>& work) {
  if (threads == 0) threads = oneapi::tbb::this_task_arena::max_concurrency();
  const auto refuse = [threads](const std::string& why) {
    throw Error(ErrorKind::usage,
                "--threads " + std::to_string(threads) + ": expected fewer, so many cannot be started here: " + why);
  };
  if (const Trial trial(threads - 1); trial.error() != 0) refuse(std::generic_category().message(trial.error()));
  using oneapi::tbb::global_control;
  const global_control limit(global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
  const global_control stack(global_control::thread_stack_size, kStackBytes);
  oneapi::tbb::task_arena(threads).execute([&] {
    try {
      start_all(threads);
    } catch (const std::exception& error) {  // TBB takes memory for each thread, too
      refuse(error.what());
    }
    work();
  });
}

}  // namespace starling::cli
