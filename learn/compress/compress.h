#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "learn/compress/results.h"
#include "learn/tasks/train.h"
#include "starling/event.h"
#include "starling/metrics.h"

namespace starling::learn {

/// Stages of a compression whose curves are to be seen, and the events held out that they are judged on.
struct CurveRequest {
  std::filesystem::path folder;                                       ///< of the compression
  std::vector<std::pair<std::string, std::filesystem::path>> models;  ///< names and models of the stages
  std::size_t events = 0;
  std::function<Event(std::uint64_t)> event;  ///< 0 <= number < events; from any thread
  TargetCuts target;
};

/// The program's pictures of a compression. Interrupted, draw_curves() throws Error(interrupted); a picture that cannot
/// be drawn is no end of a run.
class CompressPictures {
 public:
  CompressPictures() = default;
  CompressPictures(const CompressPictures&) = delete;
  virtual ~CompressPictures() = default;
  /// Called before anything is written: throws ErrorKind::usage where a picture would replace a file of others.
  virtual void check_folder(const std::filesystem::path& folder) const = 0;
  /// Called after each stage with all that are done.
  virtual void draw(const std::vector<StageResult>& results, const std::filesystem::path& folder) = 0;
  /// Called at the end.
  virtual void draw_curves(const CurveRequest& request) = 0;
};

/// Makes a network compact, stage after stage (docs/compress.md): the teacher, trained or validated; a student, where
/// [stage.student] asks for one; training with quantisation, where [quantization] is there; and a rung per fraction of
/// the weights that is kept, down a ladder or until a budget is met. Each stage is a run of its own (train()) in a
/// folder of training.output and begins where the one before ended; `resume` goes on in the stage at hand. Leaves
/// compress.toml, the configuration, and compress.jsonl, a line per stage, and prints the table to stdout.
///
/// Throws ErrorKind::usage for a configuration that is not right, for one that is not that of the run which `resume`
/// goes on with, for several processes and, with all results left, for a budget that cannot be met; Error(interrupted)
/// where the monitor is interrupted.
void compress(const TrainingRequest& request, CompressPictures& pictures);

}  // namespace starling::learn
