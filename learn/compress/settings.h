#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace starling::learn {

/// When a rung's weights go back to those before the first rung.
enum class Rewind { never, once, every };

/// The sections [compress] and [stage.*] of a configuration (docs/compress.md); the others are those of training.
struct CompressSettings {
  std::filesystem::path output;   ///< training.output: the run's folder
  std::filesystem::path teacher;  ///< a model file; empty: [network] is trained first
  bool student = false, quantization = false, distillation = false;  ///< whether these sections are there
  double most_kept = 1;               ///< fraction of the weights before the first rung: half of them with 2:4 masks
  std::vector<double> kept;           ///< of each rung, falling
  double amount = 0.2;                ///< part of the remaining weights that goes per rung
  std::optional<double> bytes, bops;  ///< a budget: rungs until the network takes no more than that
  Rewind rewind = Rewind::never;
  std::vector<std::string> curves;  ///< names of the stages whose curves are drawn
  /// What single stages set over the rest: "training.epochs=8".
  std::vector<std::string> of_teacher, of_student, of_quantized, of_rung;
  std::string resolved;  ///< [compress] with all its keys, [stage.*] as given
};

/// Reads a configuration with assignments "section.key=value" over it. Other sections are not looked at. Throws
/// ErrorKind::usage.
CompressSettings read_compress_settings(const std::filesystem::path& file, const std::vector<std::string>& assignments);

/// The name of a rung's stage: "kept-0.6400".
std::string rung_name(double kept);

}  // namespace starling::learn
