#include "starling/device.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "starling/error.h"

namespace {

using namespace starling;

struct SimdVariable {
  explicit SimdVariable(const char* value) { setenv("STARLING_SIMD", value, 1); }
  ~SimdVariable() { unsetenv("STARLING_SIMD"); }
};

TEST(Device, NamesParse) {
  EXPECT_EQ(parse_device("cpu"), Device::cpu);
  EXPECT_EQ(parse_device("cuda"), Device::cuda);
  EXPECT_THROW(parse_device("gpu"), Error);
}

TEST(Device, SimdLevelFollowsTheVariable) {
  const SimdVariable set("reference");
  EXPECT_EQ(simd_level(), SimdLevel::reference);
}

TEST(Device, EveryListedLevelCanBeAskedFor) {
  ASSERT_FALSE(simd_levels().empty());
  EXPECT_EQ(simd_levels().front(), SimdLevel::reference);
  EXPECT_EQ(simd_level(), simd_levels().back());
  for (const SimdLevel level : simd_levels()) {
    const SimdVariable set(to_string(level).c_str());
    EXPECT_EQ(simd_level(), level);
  }
}

TEST(Device, LevelsThatDoNotRunHereAreRefused) {
  for (const SimdLevel level : {SimdLevel::reference, SimdLevel::avx2, SimdLevel::avx512}) {
    if (std::ranges::count(simd_levels(), level) == 1) {
      EXPECT_NO_THROW(require_simd_level(level));
      continue;
    }
    const SimdVariable set(to_string(level).c_str());
    for (const auto& call :
         {std::function<void()>([&] { require_simd_level(level); }), std::function<void()>(simd_level)}) {
      try {
        call();
        ADD_FAILURE() << to_string(level);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::device);
        EXPECT_NE(std::string(error.what()).find(to_string(level) + ": does not run on this processor"),
                  std::string::npos);
      }
    }
  }
}

TEST(Device, UnknownSimdLevelIsAUsageError) {
  const SimdVariable set("sse9");
  try {
    simd_level();
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_NE(std::string(error.what()).find("sse9"), std::string::npos);
  }
}

TEST(Device, WhatIsNoSimdLevelIsAUsageError) {
  const auto level = static_cast<SimdLevel>(7);
  for (const auto& call : {std::function<void()>([&] { (void)to_string(level); }),
                           std::function<void()>([&] { require_simd_level(level); })}) {
    try {
      call();
      ADD_FAILURE() << "no error";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_STREQ(error.what(), "instruction set 7: expected reference, avx2 or avx512");
    }
  }
}

}  // namespace
