#pragma once

#include <filesystem>
#include <string>

#include "starling/safetensors.h"

namespace starling {

/// A model file: what it is for, arrays, and sections of JSON. What a kind must hold is the matter of that kind's own
/// header (track_finder.h).
///
/// On disk it is a safetensors file. Its metadata are texts: `starling_format` is "2" and `kind` the kind; every other
/// one is a section, a JSON object. Arrays of 2- and 4-bit codes are stored as U8, and the section `packed` gives type
/// and columns of each: {"<name>": {"type": "I4", "columns": 48}}. Files of format 1 have no kind.
struct Model {
  std::string kind;    ///< such as "tracking"; empty in a file of format 1
  TensorFile content;  ///< `metadata` are the sections; tensors may be of every type that Tensor has

  /// The section `key`; throws ErrorKind::input where it is not there.
  const std::string& section(const std::string& key) const;

  /// Reads a file. Throws ErrorKind::input, naming it, for what is no safetensors file, another format, a section that
  /// is not a JSON object or has a key twice, or codes that do not fit their columns.
  static Model load(const std::filesystem::path& file);
  /// Writes a file, the same bytes for the same content. Throws ErrorKind::usage where load() would refuse it.
  void save(const std::filesystem::path& file) const;

  /// The same from and to the content of a safetensors file; its `name` is what messages call it.
  static Model from_file(TensorFile file);
  TensorFile to_file() const;
};

}  // namespace starling
