#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace starling::cli {

/// The folder of the running program.
std::filesystem::path program_folder();

/// A file that is shipped with Starling, "models/tracking.safetensors": installed in ../share/starling beside the
/// program's folder, or in the source tree of the build that the program was made in. Throws ErrorKind::usage naming
/// both places where it is in neither.
std::filesystem::path shipped_file(const std::filesystem::path& name);

/// `name` in the program's folder, else in PATH; empty where it is in neither.
std::filesystem::path find_program(const std::string& name);

/// The prefixes of all events that the arguments name, in their order. Throws ErrorKind::usage where two have one name,
/// as their outputs would overwrite each other.
std::vector<std::filesystem::path> events_of(const std::vector<std::filesystem::path>& arguments);

/// Makes the folder and makes sure that files can be written to it. Throws ErrorKind::usage.
void make_output_folder(const std::filesystem::path& folder);

/// The most memory that the program has held so far, bytes.
std::size_t peak_memory();

/// From here on SIGINT and SIGTERM ask the program to stop: between two steps, so that no file is half-written. A
/// second one ends it at once.
void catch_interrupts();

/// Throws ErrorKind::interrupted once the program was asked to stop.
void stop_if_interrupted();

/// A bar on stderr, on a terminal only.
class Progress {
 public:
  explicit Progress(std::string what);
  Progress(const Progress&) = delete;
  ~Progress();
  void show(double fraction);

 private:
  std::string what_;
  bool terminal_;
  int shown_ = -1;  ///< per mille
};

}  // namespace starling::cli
