#pragma once

#include <cstdlib>
#include <filesystem>

/// Where the shared real data lies: STARLING_DATA, else ../shared/data beside the checkout.
inline std::filesystem::path data_folder() {
  const char* const set = std::getenv("STARLING_DATA");
  return set != nullptr ? std::filesystem::path(set)
                        : std::filesystem::path(STARLING_SOURCE_DIR).parent_path() / "shared" / "data";
}
