#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace starling::learn {

/// Keys of a configuration that a run may go on with other values of.
inline const std::vector<std::string> kFree = {"training.epochs", "training.output", "training.workers"};

/// Where two resolved configurations differ in more than `ignored`: the line of each, with its section
/// ("[training] decay = 0.9"), empty where that one has no such key.
std::optional<std::pair<std::string, std::string>> difference(const std::string& one, const std::string& other,
                                                              const std::vector<std::string>& ignored);

/// A run goes on only with the configuration that it was started with. Throws ErrorKind::usage, naming `file`, which
/// says what that was, and the first key that differs.
void check_same(const std::filesystem::path& file, const std::string& then, const std::string& now,
                const std::vector<std::string>& ignored = kFree);

/// What tells a run from files of others in the same folder. Names are within the folder.
struct RunFiles {
  std::string configuration;        ///< resolved: nobody who writes a configuration spells it like that
  std::string checkpoint;           ///< there: the folder holds a run
  std::vector<std::string> others;  ///< that a run replaces
};

/// Makes sure that a run replaces nothing of others in this folder. Throws ErrorKind::usage where there is a run
/// already and `resume` is not set, and where files are there without a resolved configuration beside them.
void check_folder(const std::filesystem::path& folder, const RunFiles& files, bool resume);

}  // namespace starling::learn
