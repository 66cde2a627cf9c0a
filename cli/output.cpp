#include "output.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "starling/error.h"

namespace starling::cli {

void print_line(const nlohmann::ordered_json& json) {
  std::puts(json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
  flush_output();
}

std::string one_line(const std::string& text) {
  std::string line;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      line += c;
      continue;
    }
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    line += escaped;
  }
  return line;
}

void flush_output() {
  errno = 0;
  if (std::fflush(stdout) == 0) {
    if (std::ferror(stdout) == 0) return;
    // An earlier write failed, when the buffer was full: its reason is lost, but another write fails for the same.
    std::fputc('\n', stdout);
    std::fflush(stdout);
  }
  throw Error(ErrorKind::usage, std::string("the output cannot be written") +
                                    (errno != 0 ? std::string(": ") + std::strerror(errno) : ""));
}

}  // namespace starling::cli
