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

/// Makes the folder and makes sure that files can be written to it. Throws ErrorKind::usage.
void make_output_folder(const std::filesystem::path& folder);

/// The most memory that the program has held so far, bytes.
std::size_t peak_memory();

}  // namespace starling::cli
