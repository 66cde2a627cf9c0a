#pragma once

#include <string>

#include "learn/tasks/train.h"
#include "options.h"

namespace starling::cli {

/// Options of the commands that train, and the request that they make.
class TrainingOptions {
 public:
  /// CONFIG, which is `file`; --set and --device.
  void declare(Options& options, const std::string& file);
  /// --resume, for commands that go on with a run only then.
  void declare_resume(Options& options);

  /// What the options ask for; the monitor is the caller's to add. Throws ErrorKind::usage.
  learn::TrainingRequest request() const;

  const std::string& device() const { return device_; }

 private:
  learn::TrainingRequest request_;
  std::string device_ = "cpu";
};

}  // namespace starling::cli
