#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace starling {

/// One array of a safetensors file, held as the bytes of its type in row-major order.
struct Tensor {
  enum class Type { f32, f64, i32, i64, u8, boolean };
  Type type = Type::f32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;

  std::int64_t count() const;  ///< product of the shape

  static Tensor of(const std::vector<float>& values, std::vector<std::int64_t> shape);
  static Tensor of(const std::vector<std::int32_t>& values, std::vector<std::int64_t> shape);

  // The values, copied. Throws ErrorKind::input where the type is another.
  std::vector<float> f32() const;
  std::vector<double> f64() const;
  std::vector<std::int32_t> i32() const;
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
/// ErrorKind::usage for a tensor whose bytes do not fit its shape or text that is not UTF-8, or where the file cannot
/// be written.
void write_safetensors(const std::filesystem::path& file, const TensorFile& content);

}  // namespace starling
