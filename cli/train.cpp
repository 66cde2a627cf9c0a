#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "commands.h"
#include "environment.h"
#include "starling/error.h"

namespace starling::cli {

void train(const std::vector<std::string>& arguments) {
  const std::filesystem::path program = find_program("starling-learn");
  if (program.empty()) {
    throw Error(ErrorKind::usage,
                "train needs the program starling-learn, which is neither beside this one nor in PATH: build Starling "
                "with -DSTARLING_LEARN=ON (`make test` sets up LibTorch for it)");
  }
  std::string name = program.string(), command = "train";
  std::vector<std::string> copies = arguments;
  std::vector<char*> pointers = {name.data(), command.data()};
  for (std::string& argument : copies) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  execv(name.c_str(), pointers.data());
  throw Error(ErrorKind::internal, name + ": cannot be run: " + std::strerror(errno));
}

}  // namespace starling::cli
