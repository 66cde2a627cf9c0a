#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "command.h"
#include "environment.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

/// A command that starling-learn runs in place of this program.
class OfLearn final : public Command {
 public:
  OfLearn(const std::string& name, const std::string& what, const std::vector<std::string>& examples)
      : Command(name, what + "; needs starling-learn.", examples), program_(find_program("starling-learn")) {}

  // Its options are those of starling-learn. Where that is not there, --help is answered here.
  void declare(Options& options) override {
    options.texts("CONFIG", "", words_, "TOML file, and options that starling-learn " + name() + " --help lists");
    if (!program_.empty()) options.take_all(words_);
  }

  void run() override {
    if (program_.empty()) {
      throw Error(ErrorKind::usage,
                  name() +
                      " needs the program starling-learn, which is neither beside this one nor in PATH: build "
                      "Starling with -DSTARLING_LEARN=ON (`make test` sets up LibTorch for it)");
    }
    std::string program = program_.string(), command = name();
    std::vector<char*> pointers = {program.data(), command.data()};
    for (std::string& word : words_) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    execv(program.c_str(), pointers.data());
    throw Error(ErrorKind::internal, program + ": cannot be run: " + std::strerror(errno));
  }

 private:
  std::filesystem::path program_;
  std::vector<std::string> words_;
};

}  // namespace

std::unique_ptr<Command> train_command() {
  return std::make_unique<OfLearn>(
      "train", "Train a network, of tracks or of showers",
      std::vector<std::string>{"starling train configs/tracking.toml --set training.output=runs/first --device cuda"});
}

std::unique_ptr<Command> sweep_command() {
  return std::make_unique<OfLearn>(
      "sweep", "Train a network for every combination of some settings and compare them",
      std::vector<std::string>{"starling sweep configs/sweep.toml --device cuda --jobs 4"});
}

std::unique_ptr<Command> compress_command() {
  return std::make_unique<OfLearn>("compress", "Make a network of tracks compact: distil, quantise and prune it",
                                   std::vector<std::string>{"starling compress configs/compress.toml --device cuda"});
}

}  // namespace starling::cli
