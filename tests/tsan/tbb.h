#pragma once

/// As much of oneTBB as Starling uses, on std::thread, for builds under ThreadSanitizer. The library itself is not
/// instrumented: through it the sanitizer sees no order between a loop's bodies and what stands before and after, and
/// would report every loop. Here it sees all. Loops nest two deep, as events and what is done within one do; deeper
/// ones run on the thread that meets them.
#include <algorithm>
#include <any>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace tbb {
namespace stand_in {

struct Arena {
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int depth = 0;
};
inline thread_local Arena arena;

/// Calls work(i) on up to `threads` threads, this one included, i = 0, 1, …, and throws the first of what they threw.
template <class Work>
void on_threads(std::size_t threads, const Work& work) {
  const Arena outer = arena;
  threads = outer.depth >= 2 ? 1 : std::min(threads, static_cast<std::size_t>(outer.threads));
  std::mutex mutex;
  std::exception_ptr error;
  const auto guarded = [&](std::size_t i) {
    arena = {outer.threads, outer.depth + 1};
    try {
      work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(guarded, i);
  guarded(0);
  arena = outer;
  for (std::thread& other : others) other.join();
  if (error) std::rethrow_exception(error);
}

/// Calls work(i) for i < count. Each thread has a share of its own, so bodies run on several threads even where one
/// would be done before the next begins, and nothing orders them.
template <class Work>
void for_each(std::size_t count, const Work& work) {
  const std::size_t threads = std::min(count, static_cast<std::size_t>(arena.depth >= 2 ? 1 : arena.threads));
  on_threads(threads, [&](std::size_t first) {
    for (std::size_t i = first; i < count; i += threads) work(i);
  });
}

}  // namespace stand_in

template <class T>
class blocked_range {
 public:
  blocked_range(T begin, T end, std::size_t grain = 1) : begin_(begin), end_(end), grain_(grain) {}
  T begin() const { return begin_; }
  T end() const { return end_; }
  std::size_t size() const { return static_cast<std::size_t>(end_ - begin_); }
  bool empty() const { return !(begin_ < end_); }

  /// In pieces of the grain, or larger ones where there would be very many.
  std::vector<blocked_range> pieces() const {
    const auto step = static_cast<T>(std::max(grain_, size() / 64));
    std::vector<blocked_range> all;
    for (T at = begin_; at < end_;) {
      const T next = end_ - at > step ? static_cast<T>(at + step) : end_;
      all.emplace_back(at, next, grain_);
      at = next;
    }
    return all;
  }

 private:
  T begin_, end_;
  std::size_t grain_;
};

struct simple_partitioner {};
struct static_partitioner {};
struct auto_partitioner {};

template <class T, class Body>
void parallel_for(const blocked_range<T>& range, const Body& body) {
  const auto pieces = range.pieces();
  stand_in::for_each(pieces.size(), [&](std::size_t i) { body(pieces[i]); });
}
template <class T, class Body, class Partitioner>
void parallel_for(const blocked_range<T>& range, const Body& body, const Partitioner&) {
  parallel_for(range, body);
}
template <class T, class Body, class = std::enable_if_t<std::is_integral_v<T>>>
void parallel_for(T first, T last, const Body& body) {
  if (first < last) {
    stand_in::for_each(static_cast<std::size_t>(last - first),
                       [&](std::size_t i) { body(static_cast<T>(first + static_cast<T>(i))); });
  }
}
template <class T, class Body, class Partitioner, class = std::enable_if_t<std::is_integral_v<T>>>
void parallel_for(T first, T last, const Body& body, const Partitioner&) {
  parallel_for(first, last, body);
}

template <class First, class Second>
void parallel_invoke(const First& first, const Second& second) {
  stand_in::for_each(2, [&](std::size_t i) { i == 0 ? first() : second(); });
}

template <class T, class Value, class Body, class Join>
Value parallel_reduce(const blocked_range<T>& range, const Value& identity, const Body& body, const Join& join) {
  const auto pieces = range.pieces();
  std::vector<Value> values(pieces.size(), identity);
  stand_in::for_each(pieces.size(), [&](std::size_t i) { values[i] = body(pieces[i], identity); });
  Value all = identity;
  for (const Value& value : values) all = join(all, value);
  return all;
}

template <class T, class Value, class Body, class Join>
Value parallel_scan(const blocked_range<T>& range, const Value& identity, const Body& body, const Join& join) {
  const auto pieces = range.pieces();
  std::vector<Value> values(pieces.size(), identity);
  stand_in::for_each(pieces.size(), [&](std::size_t i) { values[i] = body(pieces[i], identity, false); });
  Value sum = identity;
  for (Value& value : values) {
    const Value before = std::exchange(sum, join(sum, value));
    value = before;
  }
  stand_in::for_each(pieces.size(), [&](std::size_t i) { body(pieces[i], values[i], true); });
  return sum;
}

template <class Iterator, class... Less>
void parallel_sort(Iterator begin, Iterator end, const Less&... less) {
  std::sort(begin, end, less...);
}

class task_arena {
 public:
  static constexpr int automatic = -1;
  explicit task_arena(int threads = automatic) : threads_(threads == automatic ? stand_in::arena.threads : threads) {}

  template <class Work>
  auto execute(const Work& work) {
    struct Restore {
      stand_in::Arena outer = stand_in::arena;
      ~Restore() { stand_in::arena = outer; }
    } restore;
    stand_in::arena.threads = threads_;
    return work();
  }

 private:
  int threads_;
};

namespace this_task_arena {
inline int max_concurrency() { return stand_in::arena.threads; }
template <class Work>
auto isolate(const Work& work) {
  return work();
}
}  // namespace this_task_arena

namespace info {
inline int default_concurrency() { return stand_in::Arena().threads; }
}  // namespace info

struct global_control {
  enum parameter { max_allowed_parallelism, thread_stack_size };
  global_control(parameter, std::size_t) {}
};

template <class T>
class enumerable_thread_specific {
 public:
  template <class First, class... Rest>
  explicit enumerable_thread_specific(First first, Rest... rest) {
    if constexpr (std::is_invocable_r_v<T, First>) {
      make_ = [first] { return std::make_unique<T>(first()); };
    } else {
      make_ = [first, rest...] { return std::make_unique<T>(first, rest...); };
    }
  }
  enumerable_thread_specific() : make_([] { return std::make_unique<T>(); }) {}

  T& local() {
    const std::lock_guard lock(mutex_);
    std::unique_ptr<T>& mine = all_[std::this_thread::get_id()];
    if (!mine) mine = make_();
    return *mine;
  }

 private:
  std::mutex mutex_;
  std::function<std::unique_ptr<T>()> make_;
  std::map<std::thread::id, std::unique_ptr<T>> all_;
};

enum class filter_mode { parallel, serial_in_order, serial_out_of_order };

class flow_control {
 public:
  void stop() { stopped = true; }
  bool stopped = false;
};

/// A chain of three: one that gives items, one that works on them side by side, one that takes them in their order.
template <class In, class Out>
struct filter {
  std::vector<std::function<std::any(std::any, flow_control&)>> steps;
};

template <class In, class Out, class Body>
filter<In, Out> make_filter(filter_mode, const Body& body) {
  return {{[body](std::any in, flow_control& flow) -> std::any {
    if constexpr (std::is_void_v<In>) {
      return body(flow);
    } else if constexpr (std::is_void_v<Out>) {
      body(std::any_cast<In>(in));
      return {};
    } else {
      return body(std::any_cast<In>(in));
    }
  }}};
}

template <class A, class B, class C>
filter<A, C> operator&(filter<A, B> first, const filter<B, C>& second) {
  first.steps.insert(first.steps.end(), second.steps.begin(), second.steps.end());
  return {std::move(first.steps)};
}

inline void parallel_pipeline(std::size_t tokens, const filter<void, void>& chain) {
  std::mutex mutex;
  std::condition_variable turn;
  flow_control flow;
  std::size_t given = 0, taken = 0;
  bool failed = false;
  stand_in::on_threads(tokens, [&](std::size_t) {
    try {
      while (true) {
        std::unique_lock lock(mutex);
        if (flow.stopped || failed) return;
        std::any item = chain.steps[0]({}, flow);
        if (flow.stopped) return;
        const std::size_t number = given++;
        lock.unlock();
        item = chain.steps[1](std::move(item), flow);
        lock.lock();
        turn.wait(lock, [&] { return failed || taken == number; });
        if (failed) return;
        chain.steps[2](std::move(item), flow);
        ++taken;
        turn.notify_all();
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      failed = true;
      turn.notify_all();
      throw;
    }
  });
}

}  // namespace tbb

namespace oneapi {
namespace tbb = ::tbb;
}
