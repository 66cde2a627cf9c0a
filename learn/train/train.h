#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "starling/device.h"

namespace starling::learn {

/// How a run went so far, an entry an epoch; NaN where a value does not exist.
struct TrainingCurves {
  std::vector<double> epoch, training_loss, validation_loss, efficiency, target_purity;
};

/// The program that runs a training: hears how it goes, and may ask it to stop.
class Monitor {
 public:
  virtual ~Monitor() = default;
  /// Whether the run is to be saved and ended; asked after each step, from any thread.
  virtual bool interrupted() = 0;
  /// Whether it is time for another show(); what goes into one may cost a synchronisation with the device.
  virtual bool due() = 0;
  /// `fraction` done, in [0, 1], and what is going on; from any thread. Nothing where it is not due.
  virtual void show(double fraction, const std::string& text) = 0;
  /// A line that stays.
  virtual void say(const std::string& text) = 0;
  /// Called after each epoch with the curves and the run's folder.
  virtual void draw(const TrainingCurves& curves, const std::filesystem::path& folder) = 0;
};

struct TrainingRequest {
  std::filesystem::path configuration;
  std::vector<std::string> assignments;  ///< "section.key=value", over what the file says
  Device device = Device::cpu;
  bool resume = false;
  Monitor* monitor = nullptr;  ///< must be given
};

/// Learns the windows, then the network, and leaves in the run's folder: windows.safetensors, checkpoint.safetensors,
/// metrics.jsonl (one line an epoch), config.toml (resolved) and, after each epoch, model.safetensors.
/// The last epoch's metrics go to stdout. Once the monitor is interrupted, the run is saved after the step at hand and
/// Error(interrupted) thrown; with `resume` it goes on from there, and on a CPU ends with the same bytes.
void train(const TrainingRequest& request);

}  // namespace starling::learn
