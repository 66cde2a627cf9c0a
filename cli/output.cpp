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

void flush_output() {
  errno = 0;
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return;
  throw Error(ErrorKind::usage, std::string("the output cannot be written") +
                                    (errno != 0 ? std::string(": ") + std::strerror(errno) : ""));
}

}  // namespace starling::cli
