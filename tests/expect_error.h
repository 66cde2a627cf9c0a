#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "starling/error.h"

/// Expects that `call` throws an Error of this kind whose message has `what` in it.
template <typename Call>
void expect_error(starling::ErrorKind kind, const std::string& what, const Call& call) {
  SCOPED_TRACE(what);
  try {
    call();
    FAIL() << "no error";
  } catch (const starling::Error& error) {
    EXPECT_EQ(error.kind(), kind);
    EXPECT_THAT(error.what(), testing::HasSubstr(what));
  }
}

/// The message, of one line, of the Error of this kind that `action` throws.
template <typename Action>
std::string error_of(starling::ErrorKind kind, const Action& action) {
  try {
    action();
  } catch (const starling::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}
