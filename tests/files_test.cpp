#include "files/files.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "expect_error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr std::size_t kMega = std::size_t{1} << 20;

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string some_text(std::size_t lines) {
  std::ostringstream text;
  for (std::size_t i = 0; i < lines; ++i) text << i << ',' << i * 0.37 << '\n';
  return text.str();
}

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST(Files, WhatIsWrittenIsRead) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.txt";
  for (const std::string& content : {std::string(), std::string("x"), some_text(10000), std::string("\0\n", 2)}) {
    files::write(file, content);
    EXPECT_EQ(files::read(file).text(), content);
    EXPECT_EQ(entries(folder.path()), 1u);
  }
}

TEST(Files, MissingFilesFoldersAndDevicesAreNamed) {
  EXPECT_THAT(error_of(ErrorKind::input, [] { files::read("/nonexistent/a"); }),
              HasSubstr("/nonexistent/a: cannot be read: No such file"));
  EXPECT_THAT(error_of(ErrorKind::usage, [] { files::read("/", ErrorKind::usage); }), HasSubstr("is a folder"));
  EXPECT_THAT(error_of(ErrorKind::input, [] { files::read("/dev/zero"); }), HasSubstr("not a regular file"));
}

// A mapping of a file that is cut meanwhile is SIGBUS where it is read.
TEST(Files, AFileThatIsCutAfterwardsIsStillWhole) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.txt";
  const std::string content = some_text(10000);
  files::write(file, content);
  const files::Bytes bytes = files::read(file);
  fs::resize_file(file, 0);
  EXPECT_EQ(bytes.text(), content);
}

TEST(Files, APipeIsRefusedAtOnce) {
  const TemporaryFolder folder;
  const fs::path pipe = folder.path() / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::read(pipe); }), HasSubstr("pipe: is not a regular file"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::write(pipe, "x"); }),
              HasSubstr("pipe: is there and is not a regular file"));
}

TEST(Files, GzipUnpacks) {
  const std::string text = some_text(50000);
  for (const std::string& content : {std::string(), std::string("x"), text}) {
    EXPECT_EQ(files::unpack(gzip(content), "f.gz", kMega).text(), content);
    EXPECT_EQ(files::unpack(gzip(content) + gzip(text), "f.gz", 2 * kMega).text(), content + text) << "two members";
    EXPECT_EQ(files::unpack(gzip(content), "f.gz", content.size()).text(), content) << "exactly the limit";
  }
}

TEST(Files, DamagedGzipIsAnError) {
  const std::string packed = gzip(some_text(1000));
  for (std::size_t size : {std::size_t{2}, std::size_t{10}, packed.size() / 2, packed.size() - 4, packed.size() - 1}) {
    EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack(packed.substr(0, size), "f.gz", kMega); }),
                HasSubstr("f.gz: gzip data is cut short"));
  }
  for (std::size_t at = 18; at < packed.size(); at += 97) {
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x55);
    error_of(ErrorKind::input, [&] { files::unpack(damaged, "f.gz", kMega); });
  }
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack(packed + "tail", "f.gz", kMega); }), HasSubstr("damaged"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack("hit_id,x", "f.gz", kMega); }),
              HasSubstr("not gzip data"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack("", "f.gz", kMega); }), HasSubstr("not gzip data"));
}

TEST(Files, GzipBombStopsAtTheLimit) {
  const std::string bomb = gzip(std::string(64 * kMega, '0'));
  ASSERT_LT(bomb.size(), kMega / 8);
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack(bomb, "f.gz", kMega); }),
              HasSubstr("f.gz: unpacks to more than the limit of 1048576 bytes"));
  std::string lying = bomb;
  lying.replace(lying.size() - 4, 4, std::string("\1\0\0\0", 4));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { files::unpack(lying, "f.gz", kMega); }), HasSubstr("the limit"));
}

TEST(Files, NothingIsLeftWithoutACommit) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.txt";
  files::write(file, "old");
  {
    files::Writer writer(file);
    writer.write("half");
  }
  EXPECT_EQ(files::read(file).text(), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(Files, AFullDiskLeavesTheOldFile) {
  EXPECT_THAT(error_of(ErrorKind::usage, [] { files::write("/dev/full", "text"); }),
              HasSubstr("/dev/full: cannot be written: No space left"));

  // A limit on the size of files stands in for a disk that fills up in the middle of a file.
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.txt";
  files::write(file, "old");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of(ErrorKind::usage, [&] { files::write(file, std::string(5000, 'x')); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("a.txt: cannot be written: File too large"));
  EXPECT_EQ(files::read(file).text(), "old");
  EXPECT_EQ(entries(folder.path()), 1u);
}

TEST(Files, UnwritablePlacesAreNamed) {
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "a.txt";
  files::write(file, "x");
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::write(folder.path() / "none" / "b", "x"); }),
              HasSubstr("none/b: cannot be written: No such file"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::write(file / "b", "x"); }), HasSubstr("Not a directory"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::write(folder.path(), "x"); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::make_folder(file / "b"); }), HasSubstr("cannot be made"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::make_folder(file); }), HasSubstr("cannot be made"));
  if (geteuid() != 0) {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { files::write(file, "y"); }), HasSubstr("Permission denied"));
    fs::permissions(folder.path(), fs::perms::owner_all);
  }
  files::make_folder(folder.path() / "x" / "y");
  files::make_folder(folder.path() / "x" / "y");
  EXPECT_TRUE(fs::is_directory(folder.path() / "x" / "y"));
}

TEST(Files, PrintableTextIsOneShortLine) {
  EXPECT_EQ(files::printable("a\n\tb"), "a\\x0a\\x09b");
  EXPECT_EQ(files::printable(std::string(61, 'x')), std::string(60, 'x') + "…");
  EXPECT_EQ(files::printable(std::string(60, 'x')), std::string(60, 'x'));
}

}  // namespace
