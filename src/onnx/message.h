#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace starling::onnx {

/// A message of protocol buffers, field by field: the part of the wire format that ONNX files take
/// (protobuf.dev/programming-guides/encoding).
class Message {
 public:
  void integer(int field, std::int64_t value) {
    key(field, kVarint);
    varint(static_cast<std::uint64_t>(value));
  }

  void number(int field, float value) {
    key(field, kFixed32);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes_.push_back(static_cast<char>(bits >> shift & 0xffu));
  }

  void bytes(int field, std::string_view value) {
    key(field, kLengthDelimited);
    varint(value.size());
    bytes_ += value;
  }

  void message(int field, const Message& value) { bytes(field, value.bytes_); }

  const std::string& bytes() const { return bytes_; }

 private:
  static constexpr unsigned kVarint = 0, kLengthDelimited = 2, kFixed32 = 5;

  void key(int field, unsigned type) { varint(static_cast<unsigned>(field) << 3 | type); }

  /// Seven bits per byte, the lowest first; the high bit says that more follow.
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>((value & 0x7f) | 0x80));
    bytes_.push_back(static_cast<char>(value));
  }

  std::string bytes_;
};

}  // namespace starling::onnx
