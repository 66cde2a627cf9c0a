#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <system_error>

#include "files/files.h"

namespace starling::files {
namespace {

// A deflate stream cannot expand by more than this.
constexpr std::size_t kLargestExpansion = 1032;

[[noreturn]] void fail(ErrorKind kind, const std::filesystem::path& file, const std::string& why) {
  throw Error(kind, file.string() + ": " + why);
}

struct Descriptor {
  int value;
  ~Descriptor() { ::close(value); }
};

struct Inflater {
  z_stream stream{};
  Inflater() {
    if (inflateInit2(&stream, MAX_WBITS + 16) != Z_OK) throw std::bad_alloc();
  }
  ~Inflater() { inflateEnd(&stream); }
};

// The size that the last member's trailer claims, as a first guess: it is mod 2^32 and may lie.
std::size_t claimed_size(std::string_view gzip, std::size_t max_bytes) {
  std::uint32_t claim = 0;
  if (gzip.size() < 18) return 0;
  const auto* const tail = reinterpret_cast<const unsigned char*>(gzip.data() + gzip.size() - 4);
  for (int i = 3; i >= 0; --i) claim = claim << 8 | tail[i];
  return std::min({std::size_t{claim}, gzip.size() * kLargestExpansion, max_bytes});
}

}  // namespace

std::optional<std::filesystem::path> find(const std::filesystem::path& file) {
  for (const char* const packed : {"", ".gz"}) {
    std::filesystem::path candidate = file;
    candidate += packed;
    std::error_code error;
    const std::filesystem::file_status status = std::filesystem::status(candidate, error);
    if (std::filesystem::exists(status)) return candidate;
    if (status.type() == std::filesystem::file_type::none) fail(ErrorKind::input, candidate, error.message());
  }
  return std::nullopt;
}

Bytes read(const std::filesystem::path& file, ErrorKind kind) {
  const auto fail_with = [&](int error) {
    fail(kind, file, "cannot be read: " + std::generic_category().message(error));
  };
  // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever. Regular files know no such wait.
  const Descriptor descriptor{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (descriptor.value < 0) fail_with(errno);
  struct stat status {};
  if (::fstat(descriptor.value, &status) != 0) fail_with(errno);
  if (S_ISDIR(status.st_mode)) fail(kind, file, "is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) fail(kind, file, "is not a regular file");

  // One byte more than the size, so that a file that grows is told from one that does not.
  const auto expected = static_cast<std::size_t>(status.st_size);
  Bytes::Memory memory(static_cast<std::byte*>(std::malloc(expected + 1)));
  if (!memory) fail(kind, file, "has " + std::to_string(expected) + " bytes, more memory than there is");
  std::size_t size = 0;
  while (size <= expected) {
    const ssize_t taken = ::read(descriptor.value, memory.get() + size, expected + 1 - size);
    if (taken == 0) break;
    if (taken > 0) {
      size += static_cast<std::size_t>(taken);
    } else if (errno != EINTR) {
      fail_with(errno);
    }
  }
  if (size != expected) {
    fail(kind, file,
         "changed while it was read, from " + std::to_string(expected) + " bytes to " +
             (size < expected ? std::to_string(size) : std::string("more")));
  }
  return Bytes(std::move(memory), size);
}

Bytes unpack(std::string_view gzip, const std::filesystem::path& file, std::size_t max_bytes) {
  if (gzip.size() < 2 || gzip.substr(0, 2) != "\x1f\x8b") {
    fail(ErrorKind::input, file, "is not gzip data, as its name says it is");
  }
  constexpr std::size_t kLargestStep = std::numeric_limits<uInt>::max() / 2;
  Bytes::Memory memory;
  std::size_t capacity = 0, size = 0;
  const auto grow = [&](std::size_t wanted) {
    // One byte more than the limit, so that "exactly the limit" and "more" differ.
    wanted = std::min(wanted, max_bytes < std::numeric_limits<std::size_t>::max() ? max_bytes + 1 : max_bytes);
    if (wanted <= capacity) {
      fail(ErrorKind::input, file, "unpacks to more than the limit of " + std::to_string(max_bytes) + " bytes");
    }
    void* const larger = std::realloc(memory.get(), wanted);
    if (larger == nullptr) {
      fail(ErrorKind::input, file,
           "unpacks to at least " + std::to_string(wanted) + " bytes, more memory than there is");
    }
    (void)memory.release();
    memory.reset(static_cast<std::byte*>(larger));
    capacity = wanted;
  };
  grow(std::max<std::size_t>(claimed_size(gzip, max_bytes), 4096) + 1);

  Inflater inflater;
  z_stream& stream = inflater.stream;
  std::size_t used = 0;
  for (;;) {
    if (size == capacity) grow(capacity * 2);
    const std::size_t input = std::min(gzip.size() - used, kLargestStep);
    const std::size_t output = std::min(capacity - size, kLargestStep);
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(gzip.data() + used));
    stream.avail_in = static_cast<uInt>(input);
    stream.next_out = reinterpret_cast<Bytef*>(memory.get() + size);
    stream.avail_out = static_cast<uInt>(output);
    const int result = inflate(&stream, Z_NO_FLUSH);
    used += input - stream.avail_in;
    size += output - stream.avail_out;
    if (size > max_bytes) {
      fail(ErrorKind::input, file, "unpacks to more than the limit of " + std::to_string(max_bytes) + " bytes");
    }
    if (result == Z_STREAM_END) {
      if (used == gzip.size()) break;
      if (inflateReset(&stream) != Z_OK) throw std::bad_alloc();
    } else if (result == Z_MEM_ERROR) {
      throw std::bad_alloc();
    } else if (used == gzip.size() && stream.avail_out > 0) {
      fail(ErrorKind::input, file, "gzip data is cut short after " + std::to_string(used) + " bytes");
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      fail(ErrorKind::input, file,
           "gzip data is damaged near byte " + std::to_string(used) +
               (stream.msg != nullptr ? std::string(": ") + stream.msg : std::string()));
    }
  }
  return Bytes(std::move(memory), size);
}

Bytes read_unpacked(const std::filesystem::path& file, std::size_t max_bytes) {
  Bytes content = read(file);
  return file.extension() == ".gz" ? unpack(content.text(), file, max_bytes) : std::move(content);
}

}  // namespace starling::files
