#include <fcntl.h>
#include <sys/mman.h>
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

void Release::operator()(std::byte* data) const {
  if (mapped > 0) {
    ::munmap(data, mapped);
  } else {
    std::free(data);
  }
}

Bytes read(const std::filesystem::path& file, ErrorKind kind) {
  const Descriptor descriptor{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (descriptor.value < 0) fail(kind, file, "cannot be read: " + std::generic_category().message(errno));
  struct stat status {};
  if (::fstat(descriptor.value, &status) != 0) {
    fail(kind, file, "cannot be read: " + std::generic_category().message(errno));
  }
  if (S_ISDIR(status.st_mode)) fail(kind, file, "is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) fail(kind, file, "is not a regular file");
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor.value, 0);
  if (address == MAP_FAILED) fail(kind, file, "cannot be read: " + std::generic_category().message(errno));
  return Bytes(Bytes::Memory(static_cast<std::byte*>(address), Release{size}), size);
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
