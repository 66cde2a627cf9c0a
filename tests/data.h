#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

/// Where the shared real data lies: STARLING_DATA, else ../shared/data beside the checkout. It is not part of the
/// repository.
inline std::filesystem::path data_folder() {
  const char* const set = std::getenv("STARLING_DATA");
  if (set != nullptr && *set != '\0') return set;
  return std::filesystem::path(STARLING_SOURCE_DIR).parent_path() / "shared" / "data";
}

/// Skips the test, saying so, where the folder `name` of the shared data is absent.
#define STARLING_NEEDS_DATA(name)                                                                    \
  do {                                                                                               \
    if (!std::filesystem::exists(data_folder() / (name))) {                                          \
      GTEST_SKIP() << "needs the shared data " << (data_folder() / (name)) << ": set STARLING_DATA"; \
    }                                                                                                \
  } while (false)
