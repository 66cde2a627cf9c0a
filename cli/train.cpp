#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command.h"
#include "environment.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

class Train final : public Command {
 public:
  Train()
      : Command("train", "Train a network, of tracks or of showers; needs starling-learn.",
                {"starling train configs/tracking.toml --set training.output=runs/first --device cuda"}),
        program_(find_program("starling-learn")) {}

  // Its options are those of starling-learn. Where that is not there, --help is answered here.
  void declare(Options& options) override {
    options.texts("CONFIG", "", words_, "TOML file, and options that starling-learn train --help lists");
    if (!program_.empty()) options.take_all(words_);
  }

  void run() override {
    if (program_.empty()) {
      throw Error(ErrorKind::usage,
                  "train needs the program starling-learn, which is neither beside this one nor in PATH: build "
                  "Starling with -DSTARLING_LEARN=ON (`make test` sets up LibTorch for it)");
    }
    std::string name = program_.string(), command = "train";
    std::vector<char*> pointers = {name.data(), command.data()};
    for (std::string& word : words_) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execv(name.c_str(), pointers.data());
    throw Error(ErrorKind::internal, name + ": cannot be run: " + std::strerror(errno));
  }

 private:
  std::filesystem::path program_;
  std::vector<std::string> words_;
};

}  // namespace

std::unique_ptr<Command> train_command() { return std::make_unique<Train>(); }

}  // namespace starling::cli
