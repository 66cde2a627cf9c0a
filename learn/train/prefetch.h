#pragma once

#include <oneapi/tbb/task_arena.h>

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "starling/error.h"

namespace starling::learn {

/// Makes numbered items in threads of its own, at most `ahead` of the consumer, and hands them over in order: what is
/// consumed does not depend on the number of threads. The items are the parallelism: each is made within a TBB arena of
/// one thread.
template <class Item>
class Prefetcher {
 public:
  /// Items first, first + 1, … up to `end`; `make` is called from `workers` threads, or fewer where there are fewer
  /// items. Throws ErrorKind::internal where the threads cannot be started.
  Prefetcher(std::function<Item(std::uint64_t)> make, std::uint64_t first, int workers, int ahead,
             std::uint64_t end = std::numeric_limits<std::uint64_t>::max())
      : make_(std::move(make)),
        claimed_(first),
        consumed_(first),
        ahead_(static_cast<std::uint64_t>(ahead)),
        end_(end) {
    const std::uint64_t threads = std::min(static_cast<std::uint64_t>(workers), end - std::min(first, end));
    workers_.reserve(threads);
    const auto give_up = [&](const std::string& why) {
      const std::size_t started = workers_.size();
      stop();
      throw Error(ErrorKind::internal, "thread " + std::to_string(started + 1) + " of " + std::to_string(threads) +
                                           " that make batches cannot be started: " + why);
    };
    try {
      while (workers_.size() < threads) workers_.emplace_back([this] { work(); });
    } catch (const std::system_error& error) {
      give_up(error.code().message());
    } catch (const std::bad_alloc&) {
      give_up("no memory");
    }
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  ~Prefetcher() { stop(); }

  /// The next item; waits for it, and throws what making it threw. Throws ErrorKind::internal after the last one.
  Item next() {
    std::unique_lock lock(mutex_);
    if (consumed_ == end_) throw Error(ErrorKind::internal, "no item " + std::to_string(end_) + " is made");
    changed_.wait(lock, [this] { return failure_ || made_.contains(consumed_); });
    if (!made_.contains(consumed_)) std::rethrow_exception(failure_);
    auto node = made_.extract(consumed_++);
    lock.unlock();
    changed_.notify_all();
    if (node.mapped().error) std::rethrow_exception(node.mapped().error);
    return std::move(*node.mapped().item);
  }

 private:
  struct Made {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  // Nothing leaves a thread: what goes wrong outside an item, memory that runs out above all, ends the consumer.
  void work() {
    try {
      make_items();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
      changed_.notify_all();
    }
  }

  void make_items() {
    oneapi::tbb::task_arena arena(1);
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || claimed_ < std::min(end_, consumed_ + ahead_); });
      if (stopping_) return;
      const std::uint64_t number = claimed_++;
      lock.unlock();
      Made made;
      try {
        made.item.emplace(arena.execute([&] { return make_(number); }));
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      made_.emplace(number, std::move(made));
      changed_.notify_all();
    }
  }

  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
  }

  std::function<Item(std::uint64_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Made> made_;
  std::exception_ptr failure_;
  std::uint64_t claimed_, consumed_;
  std::uint64_t ahead_, end_;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace starling::learn
