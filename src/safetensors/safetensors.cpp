#include "starling/safetensors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "files/files.h"
#include "starling/error.h"

namespace starling {

static_assert(std::endian::native == std::endian::little, "safetensors holds little-endian values");

namespace {

using Json = nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // the format's own limit
constexpr const char* kMetadata = "__metadata__";

struct TypeName {
  Tensor::Type type;
  const char* name;
  int bits;
  bool in_files() const { return bits >= 8; }
};
constexpr TypeName kTypes[] = {
    {Tensor::Type::f32, "F32", 32},     {Tensor::Type::f64, "F64", 64}, {Tensor::Type::f16, "F16", 16},
    {Tensor::Type::bf16, "BF16", 16},   {Tensor::Type::i32, "I32", 32}, {Tensor::Type::i64, "I64", 64},
    {Tensor::Type::i16, "I16", 16},     {Tensor::Type::i8, "I8", 8},    {Tensor::Type::u8, "U8", 8},
    {Tensor::Type::boolean, "BOOL", 8}, {Tensor::Type::i4, "I4", 4},    {Tensor::Type::i2, "I2", 2}};

const TypeName& type_name(Tensor::Type type) {
  for (const TypeName& entry : kTypes) {
    if (entry.type == type) return entry;
  }
  throw Error(ErrorKind::usage,
              "tensor type " + std::to_string(static_cast<int>(type)) + ": expected one of Tensor::Type");
}

// The text as a quoted JSON string, so that a hostile name cannot break a message's line.
std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace); }

[[noreturn]] void bad_file(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::input, file + ": " + what);
}

[[noreturn]] void bad_tensor(const std::string& file, const std::string& tensor, const std::string& what) {
  bad_file(file, "tensor " + quoted(tensor) + ": " + what);
}

// The bytes that an array takes, or -1 where it has a negative extent or exceeds 63 bits, or where codes have no row.
std::int64_t byte_count(const std::vector<std::int64_t>& shape, int bits) {
  const bool codes = bits < 8;
  if (codes && shape.empty()) return -1;
  std::int64_t bytes = codes ? 1 : bits / 8;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    std::int64_t extent = shape[i];
    if (extent < 0) return -1;
    if (codes && i + 1 == shape.size()) extent = extent / (8 / bits) + (extent % (8 / bits) != 0);
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return -1;
  }
  return bytes;
}

// Parses the header, refusing what a plain parse would let through: repeated names (the last would win) and nesting
// deeper than the format's (file, tensor, list).
Json parse_header(const char* begin, const char* end, const std::string& file) {
  std::vector<std::set<std::string>> names;
  const Json::parser_callback_t check = [&](int depth, Json::parse_event_t event, Json& value) {
    switch (event) {
      case Json::parse_event_t::object_start:
      case Json::parse_event_t::array_start:
        if (depth >= 3) bad_file(file, "the header nests deeper than a safetensors header does");
        names.emplace_back();
        break;
      case Json::parse_event_t::object_end:
      case Json::parse_event_t::array_end:
        names.pop_back();
        break;
      case Json::parse_event_t::key:
        if (!names.back().insert(value.get<std::string>()).second) {
          bad_file(file, "the header names " + quoted(value.get<std::string>()) + " twice");
        }
        break;
      case Json::parse_event_t::value:
        break;
    }
    return true;
  };
  try {
    return Json::parse(begin, end, check);
  } catch (const Json::parse_error& error) {
    bad_file(file, "the header is not JSON: byte " + std::to_string(error.byte));
  } catch (const Json::out_of_range&) {
    bad_file(file, "the header holds a number that no double can");
  }
}

struct Entry {
  std::string name;
  Tensor tensor;  // without its bytes
  std::uint64_t begin = 0, end = 0;
};

Entry parse_entry(const std::string& name, const Json& value, std::uint64_t data_size, const std::string& file) {
  Entry entry{name, {}};
  if (!value.is_object()) bad_tensor(file, name, "expected an object with dtype, shape and data_offsets");
  for (const auto& [key, unused] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") bad_tensor(file, name, "unknown key " + quoted(key));
  }
  for (const char* const key : {"dtype", "shape", "data_offsets"}) {
    if (!value.contains(key)) bad_tensor(file, name, std::string(key) + " is missing");
  }

  const Json& dtype = value["dtype"];
  const auto* const type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& known) {
    return known.in_files() && dtype.is_string() && dtype.get_ref<const std::string&>() == known.name;
  });
  if (type == std::end(kTypes)) {
    bad_tensor(file, name,
               "dtype " + dtype.dump(-1, ' ', true) + ", expected F32, F64, F16, BF16, I32, I64, I16, I8, U8 or BOOL");
  }
  entry.tensor.type = type->type;

  const Json& shape = value["shape"];
  const auto is_extent = [](const Json& extent) {
    return extent.is_number_unsigned() &&
           extent.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  };
  if (!shape.is_array() || !std::all_of(shape.begin(), shape.end(), is_extent)) {
    bad_tensor(file, name, "shape " + shape.dump(-1, ' ', true) + ", expected a list of whole numbers >= 0");
  }
  entry.tensor.shape = shape.get<std::vector<std::int64_t>>();

  const Json& offsets = value["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned()) {
    bad_tensor(file, name, "data_offsets " + offsets.dump(-1, ' ', true) + ", expected two whole numbers >= 0");
  }
  entry.begin = offsets[0].get<std::uint64_t>();
  entry.end = offsets[1].get<std::uint64_t>();
  if (entry.begin > entry.end || entry.end > data_size) {
    bad_tensor(file, name,
               "data_offsets " + offsets.dump() + ", outside the " + std::to_string(data_size) + " bytes of data");
  }
  const std::int64_t bytes = byte_count(entry.tensor.shape, type->bits);
  if (bytes < 0) bad_tensor(file, name, "shape " + shape.dump() + " is too large");
  if (static_cast<std::uint64_t>(bytes) != entry.end - entry.begin) {
    bad_tensor(file, name,
               "shape " + shape.dump() + " of " + type->name + " takes " + std::to_string(bytes) +
                   " bytes, data_offsets " + offsets.dump() + " give " + std::to_string(entry.end - entry.begin));
  }
  return entry;
}

[[noreturn]] void wrong_type(const Tensor& tensor, const char* expected) {
  throw Error(ErrorKind::input,
              std::string("a tensor holds ") + type_name(tensor.type).name + ", expected " + expected);
}

void check_fits(const Tensor& tensor) {
  if (!tensor.fits()) throw Error(ErrorKind::input, "a tensor's bytes do not fit its shape");
}

template <typename T>
std::vector<T> values(const Tensor& tensor, Tensor::Type wanted) {
  if (tensor.type != wanted) wrong_type(tensor, type_name(wanted).name);
  check_fits(tensor);
  std::vector<T> out(tensor.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), out.size() * sizeof(T));
  return out;
}

// An array of this type and shape, of zeros, for `count` values.
Tensor zeros(Tensor::Type type, std::vector<std::int64_t> shape, std::size_t count) {
  Tensor tensor{type, std::move(shape), {}};
  const std::int64_t bytes = byte_count(tensor.shape, type_name(type).bits);
  if (bytes < 0 || tensor.count() != static_cast<std::int64_t>(count)) {
    throw Error(ErrorKind::usage,
                "a tensor of " + std::to_string(count) + " values has the shape " + Json(tensor.shape).dump());
  }
  tensor.bytes.resize(static_cast<std::size_t>(bytes));
  return tensor;
}

template <typename T>
Tensor make(Tensor::Type type, const std::vector<T>& values, std::vector<std::int64_t> shape) {
  Tensor tensor = zeros(type, std::move(shape), values.size());
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

constexpr std::uint32_t kSign = 0x80000000, kInfinity = 0x7f800000;

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & ~kSign) > kInfinity) return static_cast<std::uint16_t>(bits >> 16 | 0x40);  // a quiet NaN
  return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

std::uint16_t to_float16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits & kSign) >> 16);
  const std::uint32_t magnitude = bits & ~kSign;
  if (magnitude > kInfinity) return sign | 0x7e00;
  if (magnitude >= 0x47800000) return sign | 0x7c00;  // 2^16 and more
  if (magnitude < 0x38800000) {                       // below 2^-14: the unit of 0.5f is that of the subnormal numbers
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(sum) - std::bit_cast<std::uint32_t>(0.5f)));
  }
  constexpr std::uint32_t kExponentShift = (127u - 15u) << 23;
  return static_cast<std::uint16_t>(sign | (magnitude - kExponentShift + 0xfff + (magnitude >> 13 & 1)) >> 13);
}

float from_float16(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 127u - 15u;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

}  // namespace

std::int64_t Tensor::count() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

std::int64_t Tensor::row_bytes() const { return byte_count({shape.empty() ? 1 : shape.back()}, type_name(type).bits); }

bool Tensor::fits() const {
  const int bits = type_name(type).bits;
  if (byte_count(shape, bits) != static_cast<std::int64_t>(bytes.size())) return false;
  if (bits >= 8 || bytes.empty()) return true;
  const auto used = static_cast<int>(shape.back() % (8 / bits)) * bits;  // bits of a row's last byte; 0 = all
  if (used == 0) return true;
  const auto row = static_cast<std::size_t>(row_bytes());
  for (std::size_t end = row; end <= bytes.size(); end += row) {
    if (std::to_integer<unsigned>(bytes[end - 1]) >> used != 0) return false;
  }
  return true;
}

Tensor Tensor::of(const std::vector<float>& values, std::vector<std::int64_t> shape, Type type) {
  if (type == Type::f32) return make(type, values, std::move(shape));
  if (type != Type::f16 && type != Type::bf16)
    throw Error(ErrorKind::usage, "floats as a tensor: expected F32, F16 or BF16");
  std::vector<std::uint16_t> halves(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    halves[i] = type == Type::f16 ? to_float16(values[i]) : to_bfloat16(values[i]);
    const unsigned infinity = type == Type::f16 ? 0x7c00 : 0x7f80;
    if ((halves[i] & 0x7fffu) == infinity && std::isfinite(values[i])) {
      throw Error(ErrorKind::usage, "value " + std::to_string(i) + " is " + std::to_string(values[i]) +
                                        ", too large for " + type_name(type).name);
    }
  }
  return make(type, halves, std::move(shape));
}

Tensor Tensor::of(const std::vector<std::int32_t>& values, std::vector<std::int64_t> shape) {
  return make(Type::i32, values, std::move(shape));
}

Tensor Tensor::of(const std::vector<std::int16_t>& values, std::vector<std::int64_t> shape) {
  return make(Type::i16, values, std::move(shape));
}

Tensor Tensor::of(const std::vector<std::int8_t>& values, std::vector<std::int64_t> shape, Type type) {
  if (type != Type::i8 && type != Type::i4 && type != Type::i2) {
    throw Error(ErrorKind::usage, "codes as a tensor: expected I8, I4 or I2");
  }
  Tensor tensor = zeros(type, std::move(shape), values.size());
  const int bits = type_name(type).bits, limit = 1 << (bits - 1);
  const auto row = static_cast<std::size_t>(tensor.row_bytes());
  const std::size_t columns =
      values.empty() || tensor.shape.empty() ? 1 : static_cast<std::size_t>(tensor.shape.back());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] < -limit || values[i] >= limit) {
      throw Error(ErrorKind::usage, "value " + std::to_string(i) + " is " + std::to_string(int{values[i]}) +
                                        ", expected " + std::to_string(-limit) + ".." + std::to_string(limit - 1));
    }
    const std::size_t bit = i % columns * static_cast<std::size_t>(bits);
    const auto code = static_cast<unsigned>(values[i]) & ((1u << bits) - 1);
    tensor.bytes[i / columns * row + bit / 8] |= static_cast<std::byte>(code << bit % 8);
  }
  return tensor;
}

std::vector<float> Tensor::f32() const { return values<float>(*this, Type::f32); }
std::vector<double> Tensor::f64() const { return values<double>(*this, Type::f64); }
std::vector<std::int32_t> Tensor::i32() const { return values<std::int32_t>(*this, Type::i32); }

std::vector<std::int16_t> Tensor::i16() const { return values<std::int16_t>(*this, Type::i16); }

std::vector<float> Tensor::widened() const {
  if (type == Type::f32) return f32();
  if (type != Type::f16 && type != Type::bf16) wrong_type(*this, "F32, F16 or BF16");
  const auto halves = values<std::uint16_t>(*this, type);
  std::vector<float> out(halves.size());
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = type == Type::f16 ? from_float16(halves[i]) : std::bit_cast<float>(std::uint32_t{halves[i]} << 16);
  }
  return out;
}

std::vector<std::int8_t> Tensor::codes() const {
  if (type != Type::i8 && type != Type::i4 && type != Type::i2) wrong_type(*this, "I8, I4 or I2");
  check_fits(*this);
  const int bits = type_name(type).bits;
  std::vector<std::int8_t> out(static_cast<std::size_t>(count()));
  const auto row = static_cast<std::size_t>(row_bytes());
  const std::size_t columns = out.empty() || shape.empty() ? 1 : static_cast<std::size_t>(shape.back());
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t bit = i % columns * static_cast<std::size_t>(bits);
    const unsigned byte = std::to_integer<unsigned>(bytes[i / columns * row + bit / 8]) >> bit % 8;
    out[i] = static_cast<std::int8_t>(static_cast<std::int8_t>(byte << (8 - bits)) >> (8 - bits));
  }
  return out;
}

const Tensor& TensorFile::at(const std::string& tensor) const {
  const auto found = tensors.find(tensor);
  if (found == tensors.end()) bad_tensor(name, tensor, "is missing");
  return found->second;
}

TensorFile parse_safetensors(const std::byte* data, std::size_t size, const std::string& name) {
  std::uint64_t header_size = 0;
  if (size < sizeof header_size) {
    bad_file(name, std::to_string(size) + " bytes, too short for a safetensors file");
  }
  std::memcpy(&header_size, data, sizeof header_size);
  if (header_size > kMaxHeader || header_size > size - sizeof header_size) {
    bad_file(name, "the header claims " + std::to_string(header_size) + " bytes, the file has " +
                       std::to_string(size - sizeof header_size) + " after its first 8: cut short or not safetensors");
  }
  const char* const header_begin = reinterpret_cast<const char*>(data) + sizeof header_size;
  const Json header = parse_header(header_begin, header_begin + header_size, name);
  if (!header.is_object()) bad_file(name, "the header is not a JSON object");

  const std::byte* const values_begin = data + sizeof header_size + header_size;
  const std::uint64_t data_size = size - sizeof header_size - header_size;
  TensorFile content;
  content.name = name;
  std::vector<Entry> entries;
  for (const auto& [key, value] : header.items()) {
    if (key != kMetadata) {
      entries.push_back(parse_entry(key, value, data_size, name));
      continue;
    }
    if (!value.is_object()) bad_file(name, "__metadata__ is not an object");
    for (const auto& [text_key, text] : value.items()) {
      if (!text.is_string()) bad_file(name, "__metadata__ " + quoted(text_key) + " is not text");
      content.metadata.emplace(text_key, text.get<std::string>());
    }
  }

  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::uint64_t covered = 0;
  for (Entry& entry : entries) {
    if (entry.begin != covered) {
      bad_tensor(name, entry.name,
                 "starts at byte " + std::to_string(entry.begin) + " of the data, expected " + std::to_string(covered) +
                     (entry.begin < covered ? " (overlaps another tensor)" : " (leaves a hole)"));
    }
    covered = entry.end;
    entry.tensor.bytes.assign(values_begin + entry.begin, values_begin + entry.end);
    if (entry.tensor.type == Tensor::Type::boolean && std::any_of(entry.tensor.bytes.begin(), entry.tensor.bytes.end(),
                                                                  [](std::byte b) { return b > std::byte{1}; })) {
      bad_tensor(name, entry.name, "a BOOL is neither 0 nor 1");
    }
    content.tensors.emplace(std::move(entry.name), std::move(entry.tensor));
  }
  if (covered != data_size) {
    bad_file(name, std::to_string(data_size - covered) + " bytes follow the last tensor, expected none");
  }
  return content;
}

TensorFile read_safetensors(const std::filesystem::path& file) {
  const files::Bytes bytes = files::read(file);
  return parse_safetensors(bytes.data(), bytes.size(), file.string());
}

void write_safetensors(const std::filesystem::path& file, const TensorFile& content) {
  // Larger items first, so that every tensor is aligned to its type; within a size, ascending names.
  std::vector<const std::pair<const std::string, Tensor>*> order;
  for (const auto& entry : content.tensors) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return type_name(a->second.type).bits > type_name(b->second.type).bits;
  });

  Json header = Json::object();
  if (!content.metadata.empty()) header[kMetadata] = content.metadata;
  std::uint64_t offset = 0;
  for (const auto* const entry : order) {
    const auto& [name, tensor] = *entry;
    const TypeName& type = type_name(tensor.type);
    const char* const wrong = name == kMetadata  ? "a reserved name"
                              : !type.in_files() ? "a type that safetensors files do not have"
                              : !tensor.fits()   ? "its bytes do not fit its shape"
                                                 : nullptr;
    if (wrong != nullptr) {
      throw Error(ErrorKind::usage, file.string() + ": tensor " + quoted(name) + ": " + wrong);
    }
    header[name] = {
        {"dtype", type.name}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + tensor.bytes.size()}}};
    offset += tensor.bytes.size();
  }

  std::string out(sizeof(std::uint64_t), '\0');
  try {
    out += header.dump();
  } catch (const Json::type_error&) {
    throw Error(ErrorKind::usage, file.string() + ": a name or a metadata text is not UTF-8");
  }
  out.resize((out.size() + 7) / 8 * 8, ' ');
  const std::uint64_t header_size = out.size() - sizeof header_size;
  std::memcpy(out.data(), &header_size, sizeof header_size);
  out.reserve(out.size() + offset);
  for (const auto* const entry : order) {
    out.append(reinterpret_cast<const char*>(entry->second.bytes.data()), entry->second.bytes.size());
  }
  files::write(file, out);
}

}  // namespace starling
