#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "learn/compress/results.h"
#include "learn/train/trainer.h"

namespace starling::learn {

struct CompressRequest {
  std::filesystem::path configuration;
  std::vector<std::string> assignments;  ///< "section.key=value", over what the file says
  RunOptions run;
  /// Called after each stage with all that are done and the run's folder; may be empty.
  std::function<void(const std::vector<StageResult>&, const std::filesystem::path&)> draw;
};

/// Makes a network compact, stage after stage (docs/compress.md): the teacher, trained or validated; a student, where
/// [stage.student] asks for one; training with quantisation, where [quantization] is there; and a rung per fraction of
/// the weights that is kept, down a ladder or until a budget is met. Each stage is a run of its own (train()) in a
/// folder of training.output and begins where the one before ended; `resume` goes on in the stage at hand. Leaves
/// compress.jsonl, a line per stage, and prints the table to stdout.
///
/// Throws ErrorKind::usage for a configuration that is not right and, with all results left, for a budget that cannot
/// be met; Error(interrupted) where the monitor is interrupted.
void compress(const CompressRequest& request);

}  // namespace starling::learn
