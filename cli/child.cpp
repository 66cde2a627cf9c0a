#include "child.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "starling/error.h"

namespace starling::cli {
namespace {

// Between fork and exec only calls that a signal handler may make too.
[[noreturn]] void become(char** words, int log, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);  // it is gone already
  setpgid(0, 0);
  const int none = open("/dev/null", O_RDONLY);
  if (none < 0 || dup2(none, STDIN_FILENO) < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0) {
    _exit(1);
  }
  close(none);
  execv(words[0], words);
  _exit(127);
}

}  // namespace

Child::Child(const std::vector<std::string>& words, const std::filesystem::path& log) {
  std::vector<std::string> copies = words;
  std::vector<char*> pointers;
  for (std::string& word : copies) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  const int file = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file < 0) throw Error(ErrorKind::usage, log.string() + ": cannot be written: " + std::strerror(errno));
  const pid_t parent = getpid();
  process_ = fork();
  const int error = errno;
  if (process_ == 0) become(pointers.data(), file, parent);
  close(file);
  if (process_ < 0) throw Error(ErrorKind::internal, words[0] + ": cannot be started: " + std::strerror(error));
}

std::optional<int> Child::ended() {
  int status = 0;
  if (!code_ && waitpid(process_, &status, WNOHANG) == process_) {
    code_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return code_;
}

void Child::stop() const {
  if (!code_) kill(process_, SIGTERM);
}

Lock::~Lock() {
  if (descriptor_ >= 0) close(descriptor_);
}

// A lock belongs to the open file, which children share: it ends with the last of them.
bool Lock::take() {
  if (descriptor_ < 0) descriptor_ = open(file_.c_str(), O_RDWR | O_CREAT, 0666);
  if (descriptor_ < 0) throw Error(ErrorKind::usage, file_.string() + ": cannot be made: " + std::strerror(errno));
  return flock(descriptor_, LOCK_EX | LOCK_NB) == 0;
}

}  // namespace starling::cli
