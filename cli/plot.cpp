#include "plot.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "files/files.h"
#include "output.h"
#include "starling/error.h"

extern char** environ;

namespace starling::cli {
namespace {

// An unnamed file, gone when closed: gnuplot's script, picture and messages pass through such, so that no pipe can fill
// up or break.
using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

File unnamed_file() {
  File file(std::tmpfile(), &std::fclose);
  if (!file) throw Error(ErrorKind::usage, std::string("no temporary file can be made: ") + std::strerror(errno));
  return file;
}

std::string content(std::FILE* file) {
  std::fseek(file, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::ftell(file)), '\0');
  std::rewind(file);
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

// A PNG begins with 8 bytes of signature and the chunk IHDR of 25; behind them ours says who made it: a text chunk of
// length 17, "Software" = "Starling", and its CRC.
constexpr std::size_t kBehindHeader = 33;
constexpr std::string_view kMark(
    "\0\0\0\x11"
    "tEXtSoftware\0Starling"
    "\xb5\xd2\xb9\xdc",
    29);

}  // namespace

Plot::Plot(int width, int height, std::string_view background, std::string_view foreground) {
  script_ << "set encoding utf8\n"
          << "set terminal pngcairo size " << width << ',' << height
          << " noenhanced font 'DejaVu Sans,11' background rgb '" << background << "'\n"
          << "set border linewidth 1 linecolor rgb '" << foreground << "'\n"
          << "set tics textcolor rgb '" << foreground << "'\n"
          << "set xlabel textcolor rgb '" << foreground << "'\n"
          << "set ylabel textcolor rgb '" << foreground << "'\n"
          << "set title textcolor rgb '" << foreground << "'\n"
          << "set key textcolor rgb '" << foreground << "'\n";
}

std::string Plot::quoted(std::string_view text) {
  // In single quotes gnuplot expands nothing; a quote is doubled, and what would end the line becomes a space.
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'')
      result += "''";
    else
      result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + "'";
}

std::string Plot::tic(std::string_view text) {
  std::string format;
  for (const char c : text) format += c == '%' ? std::string("%%") : std::string(1, c);
  return quoted(format);
}

bool Plot::save(const std::filesystem::path& file) const {
  const File script = unnamed_file(), picture = unnamed_file(), messages = unnamed_file();
  const std::string text = script_.str();
  if (std::fwrite(text.data(), 1, text.size(), script.get()) != text.size() || std::fflush(script.get()) != 0) {
    throw Error(ErrorKind::usage, std::string("a temporary file cannot be written: ") + std::strerror(errno));
  }
  std::rewind(script.get());

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, fileno(script.get()), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(picture.get()), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fileno(messages.get()), STDERR_FILENO);
  // Named as a file, the script is read in blocks; as the input itself it would be read byte by byte.
  std::string name = "gnuplot", no_settings = "-d", input = "/dev/stdin";
  char* arguments[] = {name.data(), no_settings.data(), input.data(), nullptr};
  // In a group of its own: Ctrl-C is for this program, which ends when its files are whole.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  posix_spawnattr_setpgroup(&attributes, 0);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, name.c_str(), &actions, &attributes, arguments, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) {
    std::fprintf(stderr, "%s is not drawn: gnuplot is not installed (Debian: apt-get install gnuplot-nox)\n",
                 one_line(file.string()).c_str());
    return false;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  std::string png = content(picture.get());
  if (status != 0 || png.size() < kBehindHeader) {
    const std::string said = content(messages.get());
    const std::size_t first = said.find_first_not_of(" \n");
    throw Error(ErrorKind::internal,
                file.string() + ": gnuplot failed: " +
                    (first == std::string::npos ? "without a word" : files::printable(said.substr(first, 200))));
  }
  png.insert(kBehindHeader, kMark);
  files::write(file, png, files::Durable::no);
  return true;
}

void Plot::check_place(const std::filesystem::path& file) {
  files::check_place(file, [](std::string_view head) {
    return head.size() > kBehindHeader && head.substr(kBehindHeader).starts_with(kMark);
  });
}

}  // namespace starling::cli
