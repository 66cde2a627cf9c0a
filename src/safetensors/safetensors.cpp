#include "starling/safetensors.h"

#include <algorithm>
#include <bit>
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
  std::int64_t bytes;
};
constexpr TypeName kTypes[] = {{Tensor::Type::f32, "F32", 4}, {Tensor::Type::f64, "F64", 8},
                               {Tensor::Type::i32, "I32", 4}, {Tensor::Type::i64, "I64", 8},
                               {Tensor::Type::u8, "U8", 1},   {Tensor::Type::boolean, "BOOL", 1}};

const TypeName& type_name(Tensor::Type type) {
  for (const TypeName& entry : kTypes) {
    if (entry.type == type) return entry;
  }
  throw Error(ErrorKind::internal, "unknown tensor type");
}

// The text as a quoted JSON string, so that a hostile name cannot break a message's line.
std::string quoted(const std::string& text) { return Json(text).dump(-1, ' ', true, Json::error_handler_t::replace); }

[[noreturn]] void bad_file(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::input, file + ": " + what);
}

[[noreturn]] void bad_tensor(const std::string& file, const std::string& tensor, const std::string& what) {
  bad_file(file, "tensor " + quoted(tensor) + ": " + what);
}

// The product of a shape times `item`, or -1 where it exceeds 63 bits.
std::int64_t checked_product(const std::vector<std::int64_t>& shape, std::int64_t item) {
  std::int64_t product = item;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) return -1;
  }
  return product;
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
    return dtype.is_string() && dtype.get_ref<const std::string&>() == known.name;
  });
  if (type == std::end(kTypes)) {
    bad_tensor(file, name, "dtype " + dtype.dump(-1, ' ', true) + ", expected F32, F64, I32, I64, U8 or BOOL");
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
  const std::int64_t bytes = checked_product(entry.tensor.shape, type->bytes);
  if (bytes < 0) bad_tensor(file, name, "shape " + shape.dump() + " is too large");
  if (static_cast<std::uint64_t>(bytes) != entry.end - entry.begin) {
    bad_tensor(file, name,
               "shape " + shape.dump() + " of " + type->name + " takes " + std::to_string(bytes) +
                   " bytes, data_offsets " + offsets.dump() + " give " + std::to_string(entry.end - entry.begin));
  }
  return entry;
}

template <typename T>
std::vector<T> values(const Tensor& tensor, Tensor::Type wanted) {
  if (tensor.type != wanted) {
    throw Error(ErrorKind::input,
                std::string("a tensor holds ") + type_name(tensor.type).name + ", expected " + type_name(wanted).name);
  }
  std::vector<T> out(tensor.bytes.size() / sizeof(T));
  if (!out.empty()) std::memcpy(out.data(), tensor.bytes.data(), out.size() * sizeof(T));
  return out;
}

template <typename T>
Tensor make(Tensor::Type type, const std::vector<T>& values, std::vector<std::int64_t> shape) {
  Tensor tensor{type, std::move(shape), {}};
  if (tensor.count() != static_cast<std::int64_t>(values.size())) {
    throw Error(ErrorKind::usage, "a tensor of " + std::to_string(values.size()) + " values has a shape of " +
                                      std::to_string(tensor.count()));
  }
  tensor.bytes.resize(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(tensor.bytes.data(), values.data(), tensor.bytes.size());
  return tensor;
}

}  // namespace

std::int64_t Tensor::count() const {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) product *= extent;
  return product;
}

Tensor Tensor::of(const std::vector<float>& values, std::vector<std::int64_t> shape) {
  return make(Type::f32, values, std::move(shape));
}
Tensor Tensor::of(const std::vector<std::int32_t>& values, std::vector<std::int64_t> shape) {
  return make(Type::i32, values, std::move(shape));
}

std::vector<float> Tensor::f32() const { return values<float>(*this, Type::f32); }
std::vector<double> Tensor::f64() const { return values<double>(*this, Type::f64); }
std::vector<std::int32_t> Tensor::i32() const { return values<std::int32_t>(*this, Type::i32); }

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
    return type_name(a->second.type).bytes > type_name(b->second.type).bytes;
  });

  Json header = Json::object();
  if (!content.metadata.empty()) header[kMetadata] = content.metadata;
  std::uint64_t offset = 0;
  for (const auto* const entry : order) {
    const auto& [name, tensor] = *entry;
    const TypeName& type = type_name(tensor.type);
    if (name == kMetadata ||
        checked_product(tensor.shape, type.bytes) != static_cast<std::int64_t>(tensor.bytes.size())) {
      throw Error(ErrorKind::usage, file.string() + ": tensor " + quoted(name) + ": " +
                                        (name == kMetadata ? "a reserved name" : "its bytes do not fit its shape"));
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
