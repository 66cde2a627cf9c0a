#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <system_error>

#include "files/files.h"

namespace starling::files {
namespace {

[[noreturn]] void fail(const std::filesystem::path& file, int error) {
  throw Error(ErrorKind::usage, file.string() + ": cannot be written: " + std::generic_category().message(error));
}

// Makes a rename durable. Best effort: some file systems cannot sync a folder.
void sync_folder_of(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : ".";
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

}  // namespace

Writer::Writer(const std::filesystem::path& file, Durable durable) : file_(file), durable_(durable) {
  static std::atomic<unsigned> count{0};
  struct stat status {};
  const bool exists = ::stat(file.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) fail(file, EISDIR);
  if (exists && S_ISCHR(status.st_mode)) {
    descriptor_ = ::open(file.c_str(), O_WRONLY | O_CLOEXEC);
  } else if (exists && !S_ISREG(status.st_mode)) {
    throw Error(ErrorKind::usage, file.string() + ": is there and is not a regular file");
  } else {
    beside_ = file;
    beside_ += ".writing-" + std::to_string(::getpid()) + "-" + std::to_string(count++);
    descriptor_ = ::open(beside_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  }
  if (descriptor_ < 0) fail(file, errno);
}

Writer::~Writer() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (!beside_.empty()) ::unlink(beside_.c_str());
}

void Writer::write(std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(descriptor_, content.data(), content.size());
    if (written >= 0) {
      content.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      fail(file_, errno);
    }
  }
}

void Writer::commit() {
  if (!beside_.empty() && durable_ == Durable::yes && ::fsync(descriptor_) != 0) fail(file_, errno);
  // close() may report a late write error (network file systems, quotas).
  const bool closed = ::close(descriptor_) == 0;
  const int close_error = errno;
  descriptor_ = -1;
  if (beside_.empty()) {
    if (!closed) fail(file_, close_error);
    return;
  }
  if (!closed || ::rename(beside_.c_str(), file_.c_str()) != 0) {
    const int error = closed ? errno : close_error;
    ::unlink(beside_.c_str());
    fail(file_, error);
  }
  if (durable_ == Durable::yes) sync_folder_of(file_);
}

void write(const std::filesystem::path& file, std::string_view content, Durable durable) {
  Writer writer(file, durable);
  writer.write(content);
  writer.commit();
}

void check_place(const std::filesystem::path& file, const std::function<bool(std::string_view)>& is_ours) {
  constexpr std::size_t kHead = 4096;
  const auto there = [](const std::filesystem::path& path) {
    std::error_code ignored;
    return std::filesystem::exists(std::filesystem::symlink_status(path, ignored));
  };
  std::filesystem::path packed = file;
  packed += ".gz";
  if (there(packed)) {
    throw Error(ErrorKind::usage, packed.string() + ": is there and would be hidden by " + file.filename().string() +
                                      "; expected another folder");
  }
  if (!there(file)) return;
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(file, ignored)) {
    throw Error(ErrorKind::usage, file.string() + ": is there and is not a regular file; expected another folder");
  }
  std::string head(kHead, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), static_cast<std::streamsize>(kHead));
  if (in.bad() || !in.is_open()) throw Error(ErrorKind::usage, file.string() + ": is there and cannot be read");
  head.resize(static_cast<std::size_t>(in.gcount()));
  if (!is_ours(head)) {
    throw Error(ErrorKind::usage, file.string() +
                                      ": is there and is not an earlier result of Starling; expected "
                                      "another folder");
  }
}

void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error && !std::filesystem::is_directory(folder, error) && !error) {
    error = std::make_error_code(std::errc::not_a_directory);
  }
  if (error) throw Error(ErrorKind::usage, folder.string() + ": the folder cannot be made: " + error.message());
}

std::string printable(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string line;
  for (const char c : text.substr(0, kLongest)) {
    if (const auto byte = static_cast<unsigned char>(c); byte < 0x20 || byte >= 0x7f) {
      char escaped[5];
      std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
      line += escaped;
    } else {
      line += c;
    }
  }
  return text.size() > kLongest ? line + "…" : line;
}

}  // namespace starling::files
