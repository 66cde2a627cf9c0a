#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "starling/device.h"
#include "starling/track_finder.h"

namespace starling::cli {

/// Sessions that threads take and give back: at most so many at a time, so that the memory which they hold is bounded.
/// Made when they are needed.
template <class Session>
class SessionPool {
 public:
  SessionPool(std::size_t most, std::function<Session()> make) : make_(std::move(make)), most_(most) {}

  /// A session that goes back where the lease ends.
  class Lease {
   public:
    Lease(SessionPool& pool, std::unique_ptr<Session> session) : pool_(pool), session_(std::move(session)) {}
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() { pool_.give_back(std::move(session_)); }
    Session* operator->() const { return session_.get(); }

   private:
    SessionPool& pool_;
    std::unique_ptr<Session> session_;
  };

  /// Waits while all are taken.
  Lease take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !free_.empty() || taken_ < most_; });
    std::unique_ptr<Session> session;
    if (!free_.empty()) {
      session = std::move(free_.back());
      free_.pop_back();
    }
    ++taken_;
    lock.unlock();
    try {
      if (session == nullptr) session = std::make_unique<Session>(make_());
    } catch (...) {
      give_back(nullptr);
      throw;
    }
    return {*this, std::move(session)};
  }

  /// Bytes of device memory of the sessions that are free.
  std::size_t device_bytes() {
    const std::lock_guard lock(mutex_);
    std::size_t bytes = 0;
    for (const auto& session : free_) bytes += session->device_bytes();
    return bytes;
  }

 private:
  void give_back(std::unique_ptr<Session> session) {
    {
      const std::lock_guard lock(mutex_);
      --taken_;
      if (session != nullptr) free_.push_back(std::move(session));
    }
    changed_.notify_one();
  }

  const std::function<Session()> make_;
  const std::size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Session>> free_;
  std::size_t taken_ = 0;
};

/// How many sessions find particles at a time: on the host one per thread. On a GPU a few streams keep it busy, while
/// other threads read and write; each has memory of its own for an event.
std::size_t sessions_at_a_time(Device device);

/// Sessions of a finder, which must stay as long as they do. On the host they share its plan.
SessionPool<TrackSession> track_sessions(const TrackFinder& finder, Device device);

}  // namespace starling::cli
