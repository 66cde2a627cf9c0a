#pragma once

#include <filesystem>
#include <string>

#include "learn/train/record.h"
#include "starling/error.h"

namespace starling::learn {

/// The program that runs a training: hears how it goes, and may ask it to stop. Every call may come from any thread.
class Monitor {
 public:
  virtual ~Monitor() = default;
  /// Whether the run is to be saved and ended; asked after each step.
  virtual bool interrupted() = 0;
  /// Whether it is time for another show(); what goes into one may cost a synchronisation with the device.
  virtual bool due() = 0;
  /// `fraction` done, in [0, 1], and what is going on. Nothing where it is not due.
  virtual void show(double fraction, const std::string& text) = 0;
  /// A line that stays.
  virtual void say(const std::string& text) = 0;
  /// Ends the program with this error, from any thread: another process of the training is gone, and this one waits for
  /// it on the device, with no way back.
  [[noreturn]] virtual void end(const Error& error) = 0;
  /// Called before anything is written into the run's folder: throws ErrorKind::usage where draw() would replace a file
  /// that it did not make.
  virtual void check_folder(const std::filesystem::path& /*folder*/) const {}
  /// Called after each epoch, once it is saved, with the curves and the run's folder. Throws nothing: a picture that
  /// cannot be drawn is no end of a run.
  virtual void draw(const TrainingCurves& curves, const std::filesystem::path& folder) = 0;
};

/// "1 h 02 min", "3 min 20 s", "12 s".
std::string duration(double seconds);

}  // namespace starling::learn
