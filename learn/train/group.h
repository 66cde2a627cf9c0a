#pragma once

#include <torch/torch.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "learn/train/processes.h"
#include "starling/error.h"

namespace starling::learn {

/// The processes that share a training, and what they tell each other: sums over all of them through torch's c10d, Gloo
/// on CPUs and NCCL on GPUs. Every process calls the same functions in the same order. Where another process ends or
/// falls silent, whoever waits for it gets an Error that says so.
class Group {
 public:
  struct Limits {
    std::chrono::milliseconds meeting{std::chrono::minutes(5)};  ///< until all processes are there
    /// Of a process, after which it counts as lost: before torchrun, which sees it end, kills the others without a
    /// line.
    std::chrono::milliseconds silence{std::chrono::seconds(20)};
    std::chrono::milliseconds leaving{std::chrono::seconds(5)};  ///< of this one, after another one was lost
  };
  struct Hooks {
    std::function<bool()> interrupted;  ///< whether the user asked for an end, while the processes meet
    /// Ends the program: called from another thread, `leaving` after a process was lost, where this process still waits
    /// for it; a GPU does so without end.
    std::function<void(const Error&)> end;
  };

  /// One process alone, on `device`.
  explicit Group(torch::Device device);

  /// Meets the others. Throws ErrorKind::usage where the store cannot be reached, ErrorKind::internal where a process
  /// does not come, ErrorKind::device where this build cannot do it on `device`, ErrorKind::interrupted.
  Group(const Processes& processes, torch::Device device, Hooks hooks, Limits limits);
  Group(const Processes& processes, torch::Device device, Hooks hooks) : Group(processes, device, hooks, Limits()) {}

  Group(const Group&) = delete;
  ~Group();

  int rank() const { return processes_.rank; }
  int world() const { return processes_.world; }
  int local_world() const { return processes_.local_world; }  ///< processes on this host
  bool alone() const { return processes_.world == 1; }
  bool first() const { return processes_.rank == 0; }  ///< the process that writes files and speaks
  torch::Device device() const { return device_; }

  /// Does the work, which may throw; tells the others of an error that is not theirs too, and they end with it.
  void run(const std::function<void()>& work);

  /// Adds up the values, a contiguous tensor on the group's device, over all processes: the sum is in each. On a GPU it
  /// is in order on the current stream, and nothing waits.
  void sum(torch::Tensor values);

  /// The same for integers and for numbers on the host. Of numbers that are zero in all processes but one, exact.
  void sum(std::span<std::int64_t> values);
  void sum(std::span<double> values);

  /// Copies float tensors on the group's device from process 0 to all, bit for bit.
  void copy_from_first(const std::vector<torch::Tensor>& tensors);

  /// The bytes of every process, by rank. Serves as a barrier.
  std::vector<std::string> gather(const std::string& bytes);
  void wait_for_all() { gather({}); }

 private:
  struct Connection;

  void leave();
  void fail(const Error& error);

  Processes processes_;
  torch::Device device_;
  std::unique_ptr<Connection> connection_;  ///< none where the process is alone
};

}  // namespace starling::learn
