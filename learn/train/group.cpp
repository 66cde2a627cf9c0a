#include "learn/train/group.h"

#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "learn/train/backend.h"

namespace starling::learn {
namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;
using StorePointer = c10::intrusive_ptr<c10d::Store>;

// Operations have no limit of their own: process 0 may draw or learn for long, and whether it lives is watched.
constexpr Milliseconds kNoLimit = std::chrono::hours(24 * 365);

std::string to_text(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
std::vector<std::uint8_t> to_bytes(const std::string& text) { return {text.begin(), text.end()}; }

std::string first_line(const std::exception& error) {
  const auto* const torch = dynamic_cast<const c10::Error*>(&error);
  const std::string text = torch != nullptr ? torch->what_without_backtrace() : error.what();
  return text.substr(0, text.find('\n'));
}

std::string seconds(Milliseconds time) { return std::to_string((time.count() + 999) / 1000) + " s"; }

// What of c10d goes wrong is said once, by us: its own lines, with stacks, only where they are asked for.
void silence_torch() {
  constexpr int kFatal = 3;
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = kFatal;
}

}  // namespace

struct Group::Connection {
  Connection(const Processes& all, Hooks functions, Limits times)
      : processes(all), hooks(std::move(functions)), limits(times) {}

  std::string place() const {
    return "MASTER_ADDR and MASTER_PORT = " + processes.host + ':' + std::to_string(processes.port);
  }
  std::string name(int rank) const {
    return "process " + std::to_string(rank) + " of " + std::to_string(processes.world);
  }
  Error store_is_gone(const std::exception& error) const {
    return Error(ErrorKind::internal, place() + ": the store of the training is gone, and process 0 or the launcher " +
                                          "with it: " + first_line(error));
  }
  Milliseconds interval() const { return std::min(limits.silence / 5, Milliseconds(1000)); }
  static std::string beat(int rank) { return "beat/" + std::to_string(rank); }

  StorePointer connect() const;
  void meet();
  void greet();
  void watch();
  void look();
  void lose(const Error& error);
  void check();
  [[noreturn]] void throw_lost(const std::exception& error);

  const Processes processes;
  const Hooks hooks;
  const Limits limits;
  StorePointer store, watched;  // a connection serves one thread at a time: the second one is the watching thread's
  c10::intrusive_ptr<c10d::Backend> backend;

  std::mutex mutex;
  std::condition_variable changed;
  std::optional<Error> lost;  // set by the watching thread, or by the other one where it sees it first
  bool left = false;          // this process needs the others no longer

  struct Seen {
    std::string beat;
    int unchanged = 0;  // looks in a row: counted, not timed, so that a host may sleep
  };
  std::map<int, Seen> seen;
  std::thread thread;
};

// Tries for a second at a time, so that an interrupt is heard. A process that holds the store has it at once or never:
// were it given up and begun anew on a busy host, others would have met the one that is gone.
StorePointer Group::Connection::connect() const {
  c10d::TCPStoreOptions options;
  options.port = processes.port;
  options.isServer = processes.rank == 0 && !processes.launcher_has_store;
  options.numWorkers = static_cast<std::size_t>(processes.world);
  options.waitWorkers = false;
  const Clock::time_point end = Clock::now() + limits.meeting;
  while (true) {
    const auto rest = std::chrono::duration_cast<Milliseconds>(end - Clock::now());
    options.timeout = options.isServer ? limits.meeting : std::clamp(rest, Milliseconds(100), Milliseconds(1000));
    try {
      const auto tcp = c10::make_intrusive<c10d::TCPStore>(processes.host, options);
      return c10::make_intrusive<c10d::PrefixStore>("starling/" + processes.attempt, tcp);
    } catch (const std::exception& error) {
      if (hooks.interrupted()) throw Error(ErrorKind::interrupted, "stopped while the processes meet");
      const bool taken = first_line(error).find("failed to listen") != std::string::npos;  // now and later
      if (!taken && Clock::now() < end) {
        std::this_thread::sleep_for(Milliseconds(100));
        continue;
      }
      if (taken) throw Error(ErrorKind::usage, place() + ": the port cannot be listened on: " + first_line(error));
      throw Error(ErrorKind::usage, place() + ": the store of the training cannot be reached within " +
                                        seconds(limits.meeting) + ": " + first_line(error));
    }
  }
}

void Group::Connection::meet() {
  store = connect();
  try {
    greet();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw store_is_gone(error);
  }
}

void Group::Connection::greet() {
  store->add(beat(processes.rank), 0);
  const Clock::time_point end = Clock::now() + limits.meeting;
  for (int rank = 0; rank < processes.world; ++rank) {
    while (!store->check({beat(rank)})) {
      if (hooks.interrupted()) throw Error(ErrorKind::interrupted, "stopped while the processes meet");
      if (Clock::now() > end) {
        throw Error(ErrorKind::internal,
                    place() + ": " + name(rank) + " has not come within " + seconds(limits.meeting));
      }
      std::this_thread::sleep_for(Milliseconds(20));
    }
  }
  store->setTimeout(limits.meeting);
  watched = store->clone();
  watched->setTimeout(limits.silence);
  store->setTimeout(kNoLimit);
}

// A process is lost that said why, or whose count stands still.
void Group::Connection::look() {
  watched->add(beat(processes.rank), 1);
  if (watched->check({"failure"})) {
    const std::string failure = to_text(watched->get("failure"));  // "<exit code> <text>"
    const std::size_t space = failure.find(' ');
    watched->add("heard", 1);
    return lose(Error(static_cast<ErrorKind>(std::stoi(failure.substr(0, space))), failure.substr(space + 1)));
  }
  std::vector<std::string> keys;
  for (int rank = 0; rank < processes.world; ++rank) keys.push_back(beat(rank));
  const auto beats = watched->multiGet(keys);
  for (int rank = 0; rank < processes.world; ++rank) {
    const std::string now = to_text(beats[static_cast<std::size_t>(rank)]);
    Seen& last = seen[rank];
    last.unchanged = last.beat == now ? last.unchanged + 1 : 0;
    last.beat = now;
    if (last.unchanged * interval() > limits.silence) {
      return lose(
          Error(ErrorKind::internal, name(rank) + " of the training has been silent for " + seconds(limits.silence)));
    }
  }
}

void Group::Connection::watch() {
  std::unique_lock lock(mutex);
  while (!changed.wait_for(lock, interval(), [this] { return left || lost; })) {
    lock.unlock();
    try {
      look();
    } catch (const std::exception& error) {
      lose(store_is_gone(error));
    }
    lock.lock();
  }
  // The other thread hears of it where it waits for the others on a CPU; on a GPU it may wait without end.
  if (changed.wait_for(lock, limits.leaving, [this] { return left; })) return;
  const Error error = *lost;
  lock.unlock();
  hooks.end(error);
}

void Group::Connection::lose(const Error& error) {
  const std::lock_guard lock(mutex);
  if (!lost) lost = error;
  changed.notify_all();
}

void Group::Connection::check() {
  const std::lock_guard lock(mutex);
  if (lost) throw Error(*lost);
}

// Why another process is gone may be known a moment later.
void Group::Connection::throw_lost(const std::exception& error) {
  std::unique_lock lock(mutex);
  changed.wait_for(lock, std::min(limits.silence, Milliseconds(2500)), [this] { return lost.has_value(); });
  if (!lost) {
    const std::string other =
        processes.world == 2 ? name(1 - processes.rank) : "a process of " + std::to_string(processes.world);
    lost = Error(ErrorKind::internal, other + " of the training is gone: " + first_line(error));
  }
  throw Error(*lost);
}

Group::Group(torch::Device device) : device_(device) {}

Group::Group(const Processes& processes, torch::Device device, Hooks hooks, Limits limits)
    : processes_(processes), device_(device) {
  if (alone()) return;
  silence_torch();
  connection_ = std::make_unique<Connection>(processes, std::move(hooks), limits);
  connection_->meet();
  try {
    connection_->backend = (device.is_cuda() ? make_nccl : make_gloo)(connection_->store, rank(), world(), kNoLimit);
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorKind::internal,
                "the " + std::to_string(world()) + " processes of the training cannot be joined: " + first_line(error));
  }
  connection_->thread = std::thread([this] { connection_->watch(); });
}

Group::~Group() {
  if (!connection_) return;
  leave();
  // What waits for others that are gone is given up; in order, each waits for what the others still do.
  connection_->lost ? connection_->backend->abort() : connection_->backend->shutdown();
}

void Group::leave() {
  {
    const std::lock_guard lock(connection_->mutex);
    connection_->left = true;
  }
  connection_->changed.notify_all();
  if (connection_->thread.joinable()) connection_->thread.join();
}

// The store may be gone when the others have not read it yet: whoever fails waits for them, for a while.
void Group::fail(const Error& error) {
  leave();
  if (connection_->lost) return;
  connection_->lost = error;
  try {
    c10d::Store& store = *connection_->store;
    store.setTimeout(connection_->limits.leaving);
    const std::string text =
        std::to_string(error.exit_code()) + ' ' + connection_->name(rank()) + " of the training ended: " + error.what();
    store.compareSet("failure", {}, to_bytes(text));
    const Clock::time_point end = Clock::now() + connection_->limits.leaving;
    store.add("heard", 1);
    while (store.add("heard", 0) < world() && Clock::now() < end) std::this_thread::sleep_for(Milliseconds(20));
  } catch (const std::exception&) {
  }
}

void Group::run(const std::function<void()>& work) {
  if (alone()) return work();
  try {
    work();
  } catch (const Error& error) {
    fail(error);
    throw;
  } catch (const std::exception& error) {
    fail(Error(ErrorKind::internal, first_line(error)));
    throw;
  }
}

void Group::sum(torch::Tensor values) {
  if (alone()) return;
  connection_->check();
  const torch::NoGradGuard guard;
  try {
    std::vector<torch::Tensor> tensors = {std::move(values)};
    connection_->backend->allreduce(tensors)->wait();
  } catch (const std::exception& error) {
    connection_->throw_lost(error);
  }
}

namespace {

template <class Value>
void sum_on_device(Group& group, std::span<Value> values) {
  if (group.alone() || values.empty()) return;
  const auto type = torch::CppTypeToScalarType<Value>::value;
  const torch::Tensor here = torch::from_blob(values.data(), {static_cast<std::int64_t>(values.size())}, type);
  const torch::Tensor there = here.to(group.device(), type, /*non_blocking=*/false, /*copy=*/true);
  group.sum(there);
  here.copy_(there);
}

}  // namespace

void Group::sum(std::span<std::int64_t> values) { sum_on_device(*this, values); }
void Group::sum(std::span<double> values) { sum_on_device(*this, values); }

void Group::copy_from_first(const std::vector<torch::Tensor>& tensors) {
  if (alone()) return;
  const torch::NoGradGuard guard;
  for (const torch::Tensor& tensor : tensors) {
    torch::Tensor bits = tensor.detach().view(torch::kInt);
    if (!first()) bits.zero_();
    sum(bits);
  }
}

std::vector<std::string> Group::gather(const std::string& bytes) {
  if (alone()) return {bytes};
  std::vector<std::int64_t> sizes(static_cast<std::size_t>(world()), 0);
  sizes[static_cast<std::size_t>(rank())] = static_cast<std::int64_t>(bytes.size());
  sum(sizes);
  const std::int64_t most = *std::max_element(sizes.begin(), sizes.end());
  torch::Tensor rows = torch::zeros({world(), std::max<std::int64_t>(most, 1)}, torch::kByte);
  std::memcpy(rows[rank()].mutable_data_ptr(), bytes.data(), bytes.size());
  rows = rows.to(device_);
  sum(rows);
  rows = rows.to(torch::kCPU);
  std::vector<std::string> result;
  for (int i = 0; i < world(); ++i) {
    const auto* const row = static_cast<const char*>(rows[i].const_data_ptr());
    result.emplace_back(row, row + sizes[static_cast<std::size_t>(i)]);
  }
  return result;
}

}  // namespace starling::learn
