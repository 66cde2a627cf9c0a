#include "starling/safetensors.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "data.h"
#include "starling/error.h"

namespace {

using namespace starling;
using testing::HasSubstr;

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("starling_safetensors_" + std::to_string(getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

TensorFile parse(const std::string& bytes) {
  return parse_safetensors(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), "it.safetensors");
}

std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t size = header.size();
  std::string bytes(sizeof size, '\0');
  std::memcpy(bytes.data(), &size, sizeof size);
  return bytes + header + std::string(data_bytes, '\0');
}

std::string entry(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

// Expects one line, of kind input, that names the file and holds `what`.
void expect_refused(const std::string& bytes, const std::string& what) {
  SCOPED_TRACE(what);
  try {
    parse(bytes);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("it.safetensors: "));
    EXPECT_THAT(error.what(), HasSubstr(what));
    EXPECT_THAT(error.what(), testing::Not(HasSubstr("\n")));
  }
}

TensorFile example() {
  TensorFile content;
  content.tensors["a"] = Tensor::of(std::vector<float>{1.f, -2.f, std::numeric_limits<float>::infinity()}, {3});
  content.tensors["b/c"] = Tensor::of(std::vector<std::int32_t>{7, -8}, {1, 2, 1});
  content.tensors["d"] = Tensor{Tensor::Type::f64, {}, std::vector<std::byte>(8)};
  content.tensors["empty"] = Tensor::of(std::vector<float>{}, {0, 4});
  content.tensors["half"] = Tensor::of(std::vector<float>{1.f, -0.1f}, {2, 1}, Tensor::Type::f16);
  content.tensors["brain"] = Tensor::of(std::vector<float>{1.f, -0.1f, 3e38f}, {3}, Tensor::Type::bf16);
  content.tensors["codes"] = Tensor::of(std::vector<std::int8_t>{-128, 0, 127}, {3});
  content.tensors["flag"] = Tensor{Tensor::Type::boolean, {1}, {std::byte{1}}};
  content.metadata = {{"k", "v \"quoted\"\n"}, {"\xc3\xa9", ""}};
  return content;
}

TEST(Safetensors, WhatIsWrittenIsReadBack) {
  const Folder folder;
  const auto path = folder.path / "x.safetensors";
  write_safetensors(path, example());
  const TensorFile back = read_safetensors(path);
  EXPECT_EQ(back.name, path.string());
  EXPECT_EQ(back.metadata, example().metadata);
  ASSERT_EQ(back.tensors.size(), example().tensors.size());
  for (const auto& [name, tensor] : example().tensors) {
    EXPECT_EQ(back.at(name).type, tensor.type) << name;
    EXPECT_EQ(back.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(back.at(name).bytes, tensor.bytes) << name;
  }
  EXPECT_EQ(back.at("b/c").i32(), (std::vector<std::int32_t>{7, -8}));
  EXPECT_THROW(back.at("b/c").f32(), Error);
  EXPECT_THROW(back.at("b"), Error);
}

TEST(Safetensors, TheSameContentGivesTheSameBytes) {
  const Folder folder;
  std::string bytes[2];
  for (std::string& text : bytes) {
    write_safetensors(folder.path / "x", example());
    std::ifstream in(folder.path / "x", std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  EXPECT_EQ(bytes[0], bytes[1]);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path), {}), 1) << "a temporary file was left";
}

TEST(Safetensors, EveryCutIsRefused) {
  const Folder folder;
  write_safetensors(folder.path / "x", example());
  std::ifstream in(folder.path / "x", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  ASSERT_NO_THROW(parse(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(parse(whole.substr(0, size)), Error) << size;
  }
}

TEST(Safetensors, EveryChangedByteIsReadOrRefused) {
  const Folder folder;
  write_safetensors(folder.path / "x", example());
  std::ifstream in(folder.path / "x", std::ios::binary);
  const std::string whole(std::istreambuf_iterator<char>(in), {});
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char value : {'\0', '\xff', '"', '9', '}', '-'}) {
      std::string changed = whole;
      changed[at] = value;
      try {
        parse(changed);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::input);
      }
    }
  }
}

TEST(Safetensors, AnEmptyFileOfTensorsIsValid) {
  EXPECT_TRUE(parse(file_of("{}", 0)).tensors.empty());
  EXPECT_EQ(parse(file_of(R"({"__metadata__":{"a":"b"}}  )", 0)).metadata.at("a"), "b");
}

TEST(Safetensors, HostileLengths) {
  expect_refused("", "0 bytes");
  expect_refused("1234567", "7 bytes");
  expect_refused(std::string(8, '\xff'), "claims 18446744073709551615 bytes");
  expect_refused(file_of("{}", 0).substr(0, 9), "claims 2 bytes, the file has 1");
  expect_refused(file_of("{}", 3), "3 bytes follow the last tensor");
}

TEST(Safetensors, HostileHeaders) {
  expect_refused(file_of("", 0), "not JSON");
  expect_refused(file_of("{", 0), "not JSON");
  expect_refused(file_of("{\"\xff\":1}", 0), "not JSON");
  expect_refused(file_of(R"({"a":1e999})", 0), "a number that no double can");
  expect_refused(file_of("[]", 0), "not a JSON object");
  expect_refused(file_of(std::string(100000, '['), 0), "nests deeper");
  expect_refused(file_of(R"({"a":1})", 0), R"(tensor "a": expected an object)");
  expect_refused(file_of(R"({"__metadata__":{"a":1}})", 0), R"(__metadata__ "a" is not text)");
  expect_refused(file_of(R"({"__metadata__":[]})", 0), "__metadata__ is not an object");
  const std::string one = entry("U8", "[1]", "[0,1]");
  expect_refused(file_of(R"({"a":)" + one + R"(,"a":)" + one + "}", 1), R"(names "a" twice)");
  expect_refused(file_of(R"({"__metadata__":{"k":"1","k":"2"}})", 0), R"(names "k" twice)");
}

TEST(Safetensors, HostileTensors) {
  const auto refused = [](const std::string& value, std::size_t bytes, const std::string& what) {
    expect_refused(file_of(R"({"line\nbreak":)" + value + "}", bytes), R"(tensor "line\nbreak": )" + what);
  };
  refused(R"({"dtype":"U8","shape":[1]})", 1, "data_offsets is missing");
  refused(R"({"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":0})", 1, R"(unknown key "x")");
  refused(entry("F8_E4M3", "[1]", "[0,1]"), 1, R"(dtype "F8_E4M3", expected)");
  refused(entry("I4", "[1]", "[0,1]"), 1, R"(dtype "I4", expected)");
  refused(entry("BF16", "[1]", "[0,4]"), 4, "shape [1] of BF16 takes 2 bytes");
  refused(R"({"dtype":7,"shape":[1],"data_offsets":[0,1]})", 1, "dtype 7, expected");
  refused(entry("F32", "[-1]", "[0,4]"), 4, "shape [-1], expected");
  refused(entry("F32", "[1.5]", "[0,4]"), 4, "shape [1.5], expected");
  refused(entry("F32", "4", "[0,4]"), 4, "shape 4, expected");
  refused(entry("F32", "[18446744073709551615]", "[0,4]"), 4, "shape [18446744073709551615], expected");
  refused(entry("F32", "[4611686018427387904,4]", "[0,0]"), 0, "shape [4611686018427387904,4] is too large");
  refused(entry("F32", "[2]", "[0,4]"), 4, "shape [2] of F32 takes 8 bytes, data_offsets [0,4] give 4");
  refused(entry("F64", "[1]", "[0,4]"), 4, "shape [1] of F64 takes 8 bytes");
  refused(entry("U8", "[1]", "[1,0]"), 1, "data_offsets [1,0], outside");
  refused(entry("U8", "[9]", "[0,9]"), 1, "data_offsets [0,9], outside the 1 bytes");
  refused(entry("U8", "[1]", "[-1,0]"), 1, "data_offsets [-1,0], expected");
  refused(entry("U8", "[1]", "[0,1,2]"), 1, "data_offsets [0,1,2], expected");
  refused(entry("U8", "[1]", "[1,2]"), 2, "starts at byte 1 of the data, expected 0 (leaves a hole)");
  expect_refused(file_of(R"({"a":)" + entry("U8", "[2]", "[0,2]") + R"(,"b":)" + entry("U8", "[2]", "[1,3]") + "}", 3),
                 R"(tensor "b": starts at byte 1 of the data, expected 2 (overlaps)");
  std::string truth = file_of(R"({"t":)" + entry("BOOL", "[1]", "[0,1]") + "}", 1);
  truth.back() = 2;
  expect_refused(truth, R"(tensor "t": a BOOL)");
}

TEST(Safetensors, AMissingFileIsAnInputError) {
  try {
    read_safetensors("/nowhere/x.safetensors");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::input);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/x.safetensors"));
  }
}

TEST(Safetensors, WritingRefusesWhatCouldNotBeRead) {
  const Folder folder;
  TensorFile wrong;
  wrong.tensors["a"] = Tensor{Tensor::Type::f32, {2}, std::vector<std::byte>(4)};
  EXPECT_THROW(write_safetensors(folder.path / "x", wrong), Error);
  TensorFile text;
  text.metadata["a"] = "\xff";
  EXPECT_THROW(write_safetensors(folder.path / "x", text), Error);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path));
}

TEST(Tensor, HalvesAreRoundedToNearestEven) {
  const auto rounded = [](float value, Tensor::Type type) {
    return Tensor::of(std::vector<float>{value}, {1}, type).widened()[0];
  };
  const auto f16 = Tensor::Type::f16, bf16 = Tensor::Type::bf16;
  // 11 and 8 significant bits: half a unit goes to the even neighbour, more than half up.
  EXPECT_EQ(rounded(1.f + 0x1p-11f, f16), 1.f);
  EXPECT_EQ(rounded(1.f + 0x3p-11f, f16), 1.f + 0x1p-9f);
  EXPECT_EQ(rounded(1.f + 0x1.8p-11f, f16), 1.f + 0x1p-10f);
  EXPECT_EQ(rounded(-65504.f, f16), -65504.f);
  EXPECT_EQ(rounded(65519.f, f16), 65504.f);
  EXPECT_EQ(rounded(0x1p-24f, f16), 0x1p-24f);  // the smallest
  EXPECT_EQ(rounded(0x1p-25f, f16), 0.f);
  EXPECT_EQ(rounded(0x3p-25f, f16), 0x1p-23f);
  EXPECT_EQ(rounded(0x1.ff8p-15f, f16), 0x1.ff8p-15f);
  EXPECT_EQ(rounded(0x1.ffffp-15f, f16), 0x1p-14f);  // up to the first normal one
  EXPECT_EQ(rounded(1.f + 0x1p-8f, bf16), 1.f);
  EXPECT_EQ(rounded(1.f + 0x3p-8f, bf16), 1.f + 0x1p-6f);
  EXPECT_EQ(rounded(-1e-40f, bf16), -0x1p-133f);
  for (const Tensor::Type type : {f16, bf16}) {
    EXPECT_TRUE(std::isnan(rounded(std::nanf(""), type)));
    EXPECT_EQ(rounded(-INFINITY, type), -INFINITY);
    EXPECT_TRUE(std::signbit(rounded(-0.f, type)));
  }
  EXPECT_THROW(rounded(65520.f, f16), Error);
  EXPECT_THROW(rounded(3.4e38f, bf16), Error);
  // Every half comes back.
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    Tensor tensor{f16, {1}, std::vector<std::byte>(2)};
    std::memcpy(tensor.bytes.data(), &half, 2);
    const float value = tensor.widened()[0];
    if (std::isnan(value)) continue;
    EXPECT_EQ(Tensor::of(std::vector<float>{value}, {1}, f16).bytes, tensor.bytes) << bits;
  }
}

TEST(Tensor, BytesThatDoNotFitTheShapeAreAnError) {
  const auto refused = testing::ThrowsMessage<Error>(testing::HasSubstr("a tensor's bytes do not fit its shape"));
  for (const std::size_t bytes : {7, 9, 16}) {
    const auto tensor = [&](Tensor::Type type, std::int64_t count) {
      return Tensor{type, {count}, std::vector<std::byte>(bytes)};
    };
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::f32, 2).f32(); }, refused);
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::f32, 2).widened(); }, refused);
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::f16, 4).widened(); }, refused);
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::bf16, 4).widened(); }, refused);
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::f64, 1).f64(); }, refused);
    EXPECT_THAT([&] { (void)tensor(Tensor::Type::i32, 2).i32(); }, refused);
  }
}

TEST(Tensor, CodesArePackedPerRow) {
  const std::vector<std::int8_t> fours = {-8, 7, -1, 0, 3, -4}, twos = {-2, -1, 0, 1, 1};
  const Tensor i4 = Tensor::of(fours, {2, 3}, Tensor::Type::i4), i2 = Tensor::of(twos, {1, 5}, Tensor::Type::i2);
  EXPECT_EQ(i4.bytes, (std::vector<std::byte>{std::byte{0x78}, std::byte{0x0f}, std::byte{0x30}, std::byte{0x0c}}));
  EXPECT_EQ(i2.bytes, (std::vector<std::byte>{std::byte{0x4e}, std::byte{0x01}}));
  EXPECT_EQ(i4.codes(), fours);
  EXPECT_EQ(i2.codes(), twos);
  EXPECT_EQ(i4.row_bytes(), 2);
  EXPECT_THROW(i4.f32(), Error);
  EXPECT_THROW(i4.widened(), Error);
  EXPECT_THROW(Tensor::of(std::vector<std::int8_t>{8}, {1}, Tensor::Type::i4), Error);
  EXPECT_THROW(Tensor::of(std::vector<std::int8_t>{-3}, {1}, Tensor::Type::i2), Error);
  EXPECT_THROW(Tensor::of(std::vector<std::int8_t>{1}, {}, Tensor::Type::i2), Error);
  EXPECT_THROW(Tensor::of(twos, {2, 3}, Tensor::Type::i2), Error);
  EXPECT_THROW(Tensor::of(twos, {5}, Tensor::Type::f32), Error);
  Tensor unused = i4;
  unused.bytes[1] |= std::byte{0x10};
  EXPECT_FALSE(unused.fits());
  EXPECT_THROW(unused.codes(), Error);
  const Folder folder;
  TensorFile file;
  file.tensors["a"] = i4;
  EXPECT_THROW(write_safetensors(folder.path / "x", file), Error);
}

TEST(Safetensors, AFileOfAnotherWriterIsRead) {
  STARLING_NEEDS_DATA("interaction_network");
  const TensorFile golden = read_safetensors(data_folder() / "interaction_network" / "interaction_network.safetensors");
  EXPECT_EQ(golden.at("plain/edge_index").shape, (std::vector<std::int64_t>{2, 140}));
  EXPECT_EQ(golden.at("plain/edge_index").i32().size(), 280u);
  EXPECT_EQ(golden.at("wide/loss").f64().size(), 1u);
  EXPECT_EQ(golden.at("plain/x").f32().size(), 37u * 12u);
}

}  // namespace
