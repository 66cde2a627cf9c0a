#pragma once

#include <memory>
#include <string>
#include <vector>

#include "options.h"

namespace starling::cli {

/// One command of a program, alone in its file. Its results go to stdout; what goes wrong is a starling::Error.
class Command {
 public:
  Command(std::string name, std::string what, std::vector<std::string> examples)
      : name_(std::move(name)), what_(std::move(what)), examples_(std::move(examples)) {}
  Command(const Command&) = delete;
  virtual ~Command() = default;

  const std::string& name() const { return name_; }
  const std::string& what() const { return what_; }                       ///< one sentence
  const std::vector<std::string>& examples() const { return examples_; }  ///< command lines that work

  virtual void declare(Options& options) = 0;
  virtual void run() = 0;

 private:
  std::string name_, what_;
  std::vector<std::string> examples_;
};

std::unique_ptr<Command> simulate_command();
std::unique_ptr<Command> graph_command();
std::unique_ptr<Command> reconstruct_command();
std::unique_ptr<Command> evaluate_command();
std::unique_ptr<Command> info_command();
std::unique_ptr<Command> export_command();
std::unique_ptr<Command> sensitivity_command();
std::unique_ptr<Command> train_command();        ///< of `starling`: runs starling-learn in its place
std::unique_ptr<Command> sweep_command();        ///< likewise
std::unique_ptr<Command> compress_command();     ///< likewise
std::unique_ptr<Command> training_command();     ///< of `starling-learn`
std::unique_ptr<Command> sweeping_command();     ///< of `starling-learn`
std::unique_ptr<Command> compressing_command();  ///< of `starling-learn`

}  // namespace starling::cli
