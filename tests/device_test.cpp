#include "starling/device.h"

#include <gtest/gtest.h>

#include <cstdlib>

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

}  // namespace
