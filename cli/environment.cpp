#include "environment.h"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "files/files.h"
#include "starling/error.h"

namespace starling::cli {
namespace fs = std::filesystem;

fs::path program_folder() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  if (failed) throw Error(ErrorKind::internal, "cannot tell where the program lies: " + failed.message());
  return program.parent_path();
}

fs::path shipped_file(const fs::path& name) {
  const fs::path folder = program_folder();
  const fs::path installed = (folder / "../share/starling" / name).lexically_normal();
  // STARLING_SOURCE_TREE is relative, from the folder where the program is built.
  const fs::path in_tree = (folder / STARLING_SOURCE_TREE / name).lexically_normal();
  std::error_code ignored;  // a place that cannot be looked at is one where the file is not
  for (const fs::path& file : {installed, in_tree}) {
    if (fs::exists(file, ignored)) return file;
  }
  throw Error(ErrorKind::usage, "the shipped " + name.string() + " is neither " + installed.string() + " nor " +
                                    in_tree.string() + ": name a file instead");
}

fs::path find_program(const std::string& name) {
  std::vector<fs::path> folders = {program_folder()};
  const char* const path = std::getenv("PATH");
  std::istringstream list(path == nullptr ? "" : path);
  for (std::string folder; std::getline(list, folder, ':');) folders.emplace_back(folder);
  for (const fs::path& folder : folders) {
    const fs::path program = folder / name;
    std::error_code ignored;  // PATH may name folders that cannot be looked at
    if (fs::is_regular_file(program, ignored) && access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

void make_output_folder(const fs::path& folder) {
  files::make_folder(folder);
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error(ErrorKind::usage, folder.string() + ": expected a folder that can be written to");
  }
}

std::size_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

}  // namespace starling::cli
