#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace starling {

/// One array, held as the bytes of its type in row-major order.
///
/// i4 and i2 are signed codes, -8..7 and -2..1 in two's complement, packed into bytes: the codes of a row (of the last
/// extent) start at a byte, the first in its lowest bits, and unused bits are 0. No safetensors file has such a type:
/// model.h stores them as u8.
struct Tensor {
  enum class Type { f32, f64, f16, bf16, i32, i64, i16, i8, u8, boolean, i4, i2 };
  Type type = Type::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  std::int64_t count() const;      ///< product of the shape
  std::int64_t row_bytes() const;  ///< bytes per row of the last extent
  bool fits() const;               ///< whether the bytes are as many as type and shape take, and unused bits are 0

  // Values into an array. Throws ErrorKind::usage where their number is not that of the shape, or a value is outside
  // the type.
  /// f32, or f16 or bf16 rounded to nearest, ties to even.
  static Tensor of(const std::vector<float>& values, std::vector<std::int64_t> shape, Type type = Type::f32);
  static Tensor of(const std::vector<std::int32_t>& values, std::vector<std::int64_t> shape);
  static Tensor of(const std::vector<std::int16_t>& values, std::vector<std::int64_t> shape);
  /// i8, i4 or i2.
  static Tensor of(const std::vector<std::int8_t>& values, std::vector<std::int64_t> shape, Type type = Type::i8);

  // The values, copied. Throws ErrorKind::input where the type is another or the bytes do not fit the shape.
  std::vector<float> f32() const;
  std::vector<double> f64() const;
  std::vector<std::int32_t> i32() const;
  std::vector<std::int16_t> i16() const;
  std::vector<float> widened() const;      ///< f32, f16 or bf16; exact
  std::vector<std::int8_t> codes() const;  ///< i8, i4 or i2
};

/// A safetensors file: named arrays and text metadata.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
  std::string name = "tensors";  ///< what messages call it; the path where it was read from a file

  /// The array `tensor`; throws ErrorKind::input where it is not there.
  const Tensor& at(const std::string& tensor) const;
};

/// Reads a file, checking every length, offset and shape against it before use. Throws ErrorKind::input naming the
/// file and the tensor for anything that the format forbids (holes, overlaps and repeated names included) and for a
/// type that Tensor does not have.
TensorFile read_safetensors(const std::filesystem::path& file);

/// The same from memory; `name` stands for the file in messages.
TensorFile parse_safetensors(const std::byte* data, std::size_t size, const std::string& name);

/// Writes beside the place and renames. Keys in ascending order, so the same content gives the same bytes. Throws
/// ErrorKind::usage for a tensor whose bytes do not fit its shape, one of i4 or i2, or text that is not UTF-8, or where
/// the file cannot be written.
void write_safetensors(const std::filesystem::path& file, const TensorFile& content);

}  // namespace starling
