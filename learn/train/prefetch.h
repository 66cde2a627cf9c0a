#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace starling::learn {

/// Makes numbered items in threads of its own, at most `ahead` of the consumer, and hands them over in order: what is
/// consumed does not depend on the number of threads.
template <class Item>
class Prefetcher {
 public:
  /// Items first, first + 1, … up to `end`; `make` is called from `workers` threads.
  Prefetcher(std::function<Item(std::uint64_t)> make, std::uint64_t first, int workers, int ahead,
             std::uint64_t end = std::numeric_limits<std::uint64_t>::max())
      : make_(std::move(make)),
        claimed_(first),
        consumed_(first),
        ahead_(static_cast<std::uint64_t>(ahead)),
        end_(end) {
    for (int i = 0; i < workers; ++i) workers_.emplace_back([this] { work(); });
  }
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;
  ~Prefetcher() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  /// The next item; waits for it, and throws what making it threw.
  Item next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return made_.contains(consumed_); });
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

  void work() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return stopping_ || claimed_ < std::min(end_, consumed_ + ahead_); });
      if (stopping_) return;
      const std::uint64_t number = claimed_++;
      lock.unlock();
      Made made;
      try {
        made.item.emplace(make_(number));
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      made_.emplace(number, std::move(made));
      changed_.notify_all();
    }
  }

  std::function<Item(std::uint64_t)> make_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint64_t, Made> made_;
  std::uint64_t claimed_, consumed_;
  std::uint64_t ahead_, end_;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace starling::learn
