#include "starling/model.h"

#include <cstdint>
#include <nlohmann/json.hpp>

#include "json/section.h"
#include "starling/error.h"

namespace starling {
namespace {

using Json = nlohmann::json;

constexpr const char* kFormatKey = "starling_format";
constexpr const char* kKindKey = "kind";
constexpr const char* kPackedKey = "packed";

struct CodeName {
  Tensor::Type type;
  const char* name;
};
constexpr CodeName kCodes[] = {{Tensor::Type::i4, "I4"}, {Tensor::Type::i2, "I2"}};

void check_section(const TensorFile& file, const std::string& key, const std::string& text, ErrorKind kind) {
  json::parse_object(text, file.name + ": " + json::quoted(key), kind);
}

/// Turns a U8 array into the codes that an entry of the section `packed` describes.
void unpack_codes(TensorFile& file, const std::string& name, json::Section entry) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorKind::input, file.name + ": packed: tensor " + json::quoted(name) + ": " + what);
  };
  const std::string type = entry.text("type");
  const int columns = entry.integer("columns");
  entry.end();
  const auto found = file.tensors.find(name);
  if (found == file.tensors.end()) refuse("is missing");
  Tensor& tensor = found->second;
  if (tensor.type != Tensor::Type::u8 || tensor.shape.empty()) refuse("expected an array of U8");
  for (const CodeName& code : kCodes) {
    if (type != code.name) continue;
    const std::int64_t bytes = tensor.shape.back();
    tensor.type = code.type;
    tensor.shape.back() = columns;
    if (tensor.row_bytes() != bytes) {
      refuse(std::to_string(bytes) + " bytes per row, expected " + std::to_string(tensor.row_bytes()) + " for " +
             std::to_string(columns) + " " + type);
    }
    if (!tensor.fits()) refuse("unused bits of a row are not 0");
    return;
  }
  refuse("type = " + json::quoted(type) + ", expected I4 or I2");
}

}  // namespace

const std::string& Model::section(const std::string& key) const {
  const auto found = content.metadata.find(key);
  if (found == content.metadata.end()) {
    throw Error(ErrorKind::input, content.name + ": " + key + ": is missing from the metadata");
  }
  return found->second;
}

Model Model::from_file(TensorFile file) {
  const auto take = [&](const char* key) {
    auto node = file.metadata.extract(key);
    if (!node) throw Error(ErrorKind::input, file.name + ": " + key + " is missing: not a Starling model");
    return std::move(node.mapped());
  };
  Model model;
  const std::string format = take(kFormatKey);
  if (format == "2") {
    model.kind = take(kKindKey);
    if (model.kind.empty()) throw Error(ErrorKind::input, file.name + ": kind = \"\", expected the name of a kind");
  } else if (format != "1") {
    throw Error(ErrorKind::input,
                file.name + ": " + kFormatKey + " = " + json::quoted(format) + ", expected \"1\" or \"2\"");
  }
  for (const auto& [key, text] : file.metadata) check_section(file, key, text, ErrorKind::input);
  if (const auto packed = file.metadata.extract(kPackedKey)) {
    const Json entries = Json::parse(packed.mapped());
    for (const auto& [name, entry] : entries.items()) {
      unpack_codes(file, name, json::Section(entry.dump(), file.name + ": packed: tensor " + json::quoted(name)));
    }
  }
  model.content = std::move(file);
  return model;
}

TensorFile Model::to_file() const {
  if (kind.empty()) throw Error(ErrorKind::usage, content.name + ": a model without a kind");
  TensorFile file = content;
  Json packed = Json::object();
  for (auto& [name, tensor] : file.tensors) {
    for (const CodeName& code : kCodes) {
      if (tensor.type != code.type) continue;
      if (!tensor.fits()) {
        throw Error(ErrorKind::usage,
                    file.name + ": tensor " + json::quoted(name) + ": its bytes do not fit its shape");
      }
      packed[name] = {{"type", code.name}, {"columns", tensor.shape.back()}};
      tensor.shape.back() = tensor.row_bytes();
      tensor.type = Tensor::Type::u8;
    }
  }
  for (const auto& [key, text] : file.metadata) {
    if (key == kFormatKey || key == kKindKey || key == kPackedKey) {
      throw Error(ErrorKind::usage, file.name + ": section " + key + ": a reserved name");
    }
    check_section(file, key, text, ErrorKind::usage);
  }
  file.metadata[kFormatKey] = "2";
  file.metadata[kKindKey] = kind;
  if (!packed.empty()) file.metadata[kPackedKey] = packed.dump();
  return file;
}

Model Model::load(const std::filesystem::path& file) { return from_file(read_safetensors(file)); }

void Model::save(const std::filesystem::path& file) const { write_safetensors(file, to_file()); }

}  // namespace starling
