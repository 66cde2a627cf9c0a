#include "program.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <new>
#include <system_error>

#include "ending.h"
#include "files/files.h"
#include "output.h"
#include "starling/device.h"
#include "starling/error.h"
#include "threads.h"

namespace starling::cli {
namespace {

// A file opened later would become descriptor 0, 1 or 2 and receive what is printed.
void open_standard_streams() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(descriptor, F_GETFD) >= 0) continue;
    if (open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY) != descriptor) _exit(1);
  }
}

// A write to a closed pipe or beyond a limit of size fails with a message then, instead of ending the program.
void let_writes_fail() {
  for (const int signal : {SIGPIPE, SIGXFSZ}) std::signal(signal, SIG_IGN);
}

std::string help(const Program& program, const std::vector<std::unique_ptr<Command>>& commands) {
  std::string text = program.what + "\n\nusage: " + program.name + " COMMAND [options]; " + program.name +
                     " COMMAND --help lists its options\n\n";
  for (const auto& command : commands) {
    std::string line = "  " + command->name();
    line.resize(16, ' ');
    text += line + command->what() + '\n';
  }
  return text +
         "\n--version prints the version.\n"
         "exit codes: 0 done, 1 internal error, 2 usage or configuration, 3 bad input, 4 device not available, "
         "130 interrupted\n"
         "STARLING_SIMD=reference|avx2|avx512 chooses the instruction set of the network.\n";
}

void run_command(const Program& program, Command& command, const std::vector<std::string>& words) {
  Options options;
  command.declare(options);
  bool run = false;
  try {
    run = options.parse(words);
  } catch (const Error& error) {
    throw Error(error.kind(), command.name() + ": " + error.what());
  }
  if (!run) {
    std::printf("%s\n\n%s\n", command.what().c_str(), options.help(program.name + ' ' + command.name()).c_str());
    for (const std::string& example : command.examples()) std::printf("example: %s\n", example.c_str());
    return;
  }
  simd_level();  // says at once where STARLING_SIMD is wrong
  if (options.threads_given()) {
    run_on_threads(*options.threads_given(), [&] { command.run(); });
  } else {
    command.run();
  }
}

void run(const Program& program, const std::vector<std::string>& words) {
  std::vector<std::unique_ptr<Command>> commands;
  std::vector<std::string> names;
  for (const auto make : program.commands) {
    commands.push_back(make());
    names.push_back(commands.back()->name());
  }
  if (words.empty()) throw Error(ErrorKind::usage, "expected a command; " + program.name + " --help lists them");
  if (words[0] == "--help" || words[0] == "-h") {
    std::fputs(help(program, commands).c_str(), stdout);
  } else if (words[0] == "--version") {
    std::printf("%s %s\n", program.name.c_str(), STARLING_VERSION);
  } else {
    for (const auto& command : commands) {
      if (command->name() == words[0]) return run_command(program, *command, {words.begin() + 1, words.end()});
    }
    throw Error(ErrorKind::usage,
                files::printable(words[0]) + ": no such " + (words[0].starts_with('-') ? "option" : "command") +
                    did_you_mean(words[0], names) + " (" + program.name + " --help lists the commands)");
  }
}

}  // namespace

int run_program(const Program& program, int argc, char** argv) {
  open_standard_streams();
  let_writes_fail();
  catch_ends(program.name);
  const auto say = [&](const std::string& what) {
    std::fprintf(stderr, "%s: %s\n", program.name.c_str(), one_line(what).c_str());
  };
  try {
    run(program, {argv + (argc > 0 ? 1 : 0), argv + argc});
    flush_output();
    return 0;
  } catch (const Error& error) {
    say(error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    say("out of memory");
  } catch (const std::exception& error) {
    say(std::string("internal error: ") + error.what());
  }
  return static_cast<int>(ErrorKind::internal);
}

}  // namespace starling::cli
