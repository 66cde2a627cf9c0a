#pragma once

#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "starling/error.h"

/// Whole files in and out: the one place that opens, unpacks, writes and renames.
namespace starling::files {

/// The content of a file. The bytes stay where they are when this is moved.
class Bytes {
 public:
  Bytes() = default;
  Bytes(Bytes&&) noexcept = default;
  Bytes& operator=(Bytes&&) noexcept = default;

  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_.get()), size_}; }

 private:
  struct Free {
    void operator()(std::byte* data) const { std::free(data); }
  };
  using Memory = std::unique_ptr<std::byte, Free>;
  Bytes(Memory data, std::size_t size) : data_(std::move(data)), size_(size) {}

  Memory data_;
  std::size_t size_ = 0;

  friend Bytes read(const std::filesystem::path&, ErrorKind);
  friend Bytes unpack(std::string_view, const std::filesystem::path&, std::size_t);
};

/// `file` where it is there, else `file`.gz where that is, else nothing. Throws ErrorKind::input where the system does
/// not say whether one is there.
std::optional<std::filesystem::path> find(const std::filesystem::path& file);

/// Copies a regular file into memory; an empty one is valid. A copy and not a mapping: where another program cuts a
/// mapped file, reading it ends this program with SIGBUS. Never waits: a pipe, a socket or a device is refused. Throws
/// `kind` naming the file and why, also for a file that changes its size while it is read.
Bytes read(const std::filesystem::path& file, ErrorKind kind = ErrorKind::input);

/// Unpacks gzip data of one or more members. Throws ErrorKind::input, naming `file`, for data that is damaged, cut
/// short or that unpacks to more than `max_bytes`.
Bytes unpack(std::string_view gzip, const std::filesystem::path& file, std::size_t max_bytes);

/// read(), and unpack() where the name ends in ".gz".
Bytes read_unpacked(const std::filesystem::path& file, std::size_t max_bytes);

/// Whether the content must outlive a crash of the machine (checkpoints, models), which costs an fsync, or only one of
/// the program (results that can be made again).
enum class Durable { yes, no };

/// Writes a file beside its place; commit() moves it there. Without a commit nothing is left behind and the old file
/// stays. A character device is written in place; what else is there must be a regular file. Every failure throws
/// ErrorKind::usage naming the file and why: the place was the user's choice. A limit on the size of files (ulimit -f)
/// is such a failure where the program ignores SIGXFSZ; else that signal ends it.
class Writer {
 public:
  explicit Writer(const std::filesystem::path& file, Durable durable = Durable::yes);
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer();

  void write(std::string_view content);
  void commit();

 private:
  std::filesystem::path file_, beside_;  ///< beside_ is empty where the file is written in place
  int descriptor_ = -1;
  Durable durable_;
};

/// Writes a whole file through a Writer.
void write(const std::filesystem::path& file, std::string_view content, Durable durable = Durable::yes);

/// Makes sure that writing `file` neither replaces nor hides what Starling did not write. Throws ErrorKind::usage where
/// `file` is there and `is_ours`, given its first 4096 bytes, says no, and where `file`.gz is there, which readers take
/// only where there is no plain file.
void check_place(const std::filesystem::path& file, const std::function<bool(std::string_view)>& is_ours);

/// Makes a folder and those above it where they are absent. Throws ErrorKind::usage.
void make_folder(const std::filesystem::path& folder);

/// Text from a file as it may stand in a message: one line of ASCII, all else escaped, cut after 60 characters.
std::string printable(std::string_view text);

}  // namespace starling::files
