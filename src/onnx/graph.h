#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "onnx/message.h"

namespace starling::onnx {

inline constexpr int kOpset = 18, kIrVersion = 8;

/// What ONNX adds to a node beside its inputs.
struct Attribute {
  std::string name;
  std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>> value;
};

/// Sizes of an array; a text names one that is free.
using Dimensions = std::vector<std::variant<std::int64_t, std::string>>;

/// An ONNX graph, node by node in an order in which they can run. Every value has one name, which nodes share with
/// their only output.
class Graph {
 public:
  template <typename T>
  void input(const std::string& name, const Dimensions& dimensions) {
    graph_.message(kInput, value_info(name, type_of<T>(), dimensions));
  }
  template <typename T>
  void output(const std::string& name, const Dimensions& dimensions) {
    graph_.message(kOutput, value_info(name, type_of<T>(), dimensions));
  }

  /// Returns the name. `domain`: of the operator, empty for ONNX's own.
  std::string node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                   const std::vector<Attribute>& attributes = {}, const std::string& domain = {});

  /// An array of float, int8, uint8, int32 or int64; returns its name. The first one of a name counts: the values that
  /// a name stands for are the caller's to keep apart.
  template <typename T>
  std::string array(const std::string& name, const std::vector<std::int64_t>& shape, std::span<const T> values) {
    return array(name, type_of<T>(), shape, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }
  template <typename T>
  std::string array(const std::string& name, const std::vector<std::int64_t>& shape, const std::vector<T>& values) {
    return array(name, shape, std::span<const T>(values));
  }
  template <typename T>
  std::string scalar(const std::string& name, T value) {
    return array(name, {}, std::span<const T>(&value, 1));
  }

  /// The bytes of a file with this graph. `domains`: of operators beside ONNX's own.
  std::string file(const std::string& name, const std::vector<std::string>& domains,
                   const std::map<std::string, std::string>& metadata) const;

 private:
  static constexpr int kInput = 11, kOutput = 12;  // fields of GraphProto

  /// TensorProto.DataType.
  template <typename T>
  static constexpr int type_of() {
    if constexpr (std::is_same_v<T, float>) return 1;
    if constexpr (std::is_same_v<T, std::uint8_t>) return 2;
    if constexpr (std::is_same_v<T, std::int8_t>) return 3;
    if constexpr (std::is_same_v<T, std::int32_t>) return 6;
    if constexpr (std::is_same_v<T, std::int64_t>) return 7;
  }

  static Message value_info(const std::string& name, int type, const Dimensions& dimensions);
  std::string array(const std::string& name, int type, const std::vector<std::int64_t>& shape, std::string_view bytes);

  Message graph_;
  std::set<std::string> arrays_;
};

}  // namespace starling::onnx
