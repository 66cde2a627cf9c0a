#include "onnx/graph.h"

#include <bit>

namespace starling::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "ONNX holds little-endian values");

// Names and numbers of fields are those of onnx.proto, version 8 of the intermediate representation.
Message attribute_proto(const Attribute& attribute) {
  enum { name = 1, f = 2, i = 3, s = 4, ints = 8, type = 20 };
  enum { type_float = 1, type_int = 2, type_string = 3, type_ints = 7 };
  Message message;
  message.bytes(name, attribute.name);
  if (const auto* const number = std::get_if<float>(&attribute.value)) {
    message.number(f, *number);
    message.integer(type, type_float);
  } else if (const auto* const integer = std::get_if<std::int64_t>(&attribute.value)) {
    message.integer(i, *integer);
    message.integer(type, type_int);
  } else if (const auto* const text = std::get_if<std::string>(&attribute.value)) {
    message.bytes(s, *text);
    message.integer(type, type_string);
  } else {
    for (const std::int64_t value : std::get<std::vector<std::int64_t>>(attribute.value)) message.integer(ints, value);
    message.integer(type, type_ints);
  }
  return message;
}

Message operator_set(const std::string& name, int number) {
  enum { domain = 1, version = 2 };
  Message message;
  if (!name.empty()) message.bytes(domain, name);
  message.integer(version, number);
  return message;
}

}  // namespace

Message Graph::value_info(const std::string& name, int type, const Dimensions& dimensions) {
  enum { info_name = 1, info_type = 2 };
  enum { tensor_type = 1, elem_type = 1, tensor_shape = 2, dim = 1, dim_value = 1, dim_param = 2 };
  Message shape;
  for (const auto& size : dimensions) {
    Message dimension;
    if (const auto* const number = std::get_if<std::int64_t>(&size)) {
      dimension.integer(dim_value, *number);
    } else {
      dimension.bytes(dim_param, std::get<std::string>(size));
    }
    shape.message(dim, dimension);
  }
  Message tensor, any, info;
  tensor.integer(elem_type, type);
  tensor.message(tensor_shape, shape);
  any.message(tensor_type, tensor);
  info.bytes(info_name, name);
  info.message(info_type, any);
  return info;
}

std::string Graph::node(const std::string& op, const std::string& name, const std::vector<std::string>& inputs,
                        const std::vector<Attribute>& attributes, const std::string& domain) {
  enum { graph_node = 1 };
  enum { node_input = 1, node_output = 2, node_name = 3, op_type = 4, node_attribute = 5, node_domain = 7 };
  Message message;
  for (const std::string& input : inputs) message.bytes(node_input, input);
  message.bytes(node_output, name);
  message.bytes(node_name, name);
  message.bytes(op_type, op);
  for (const Attribute& attribute : attributes) message.message(node_attribute, attribute_proto(attribute));
  if (!domain.empty()) message.bytes(node_domain, domain);
  graph_.message(graph_node, message);
  return name;
}

std::string Graph::array(const std::string& name, int type, const std::vector<std::int64_t>& shape,
                         std::string_view bytes) {
  enum { graph_initializer = 5 };
  enum { dims = 1, data_type = 2, tensor_name = 8, raw_data = 9 };
  if (!arrays_.insert(name).second) return name;
  Message tensor;
  for (const std::int64_t size : shape) tensor.integer(dims, size);
  tensor.integer(data_type, type);
  tensor.bytes(tensor_name, name);
  tensor.bytes(raw_data, bytes);
  graph_.message(graph_initializer, tensor);
  return name;
}

std::string Graph::file(const std::string& name, const std::vector<std::string>& domains,
                        const std::map<std::string, std::string>& metadata) const {
  enum { ir_version = 1, producer_name = 2, model_graph = 7, opset_import = 8, metadata_props = 14 };
  enum { graph_name = 2, entry_key = 1, entry_value = 2 };
  Message model, graph = graph_;
  model.integer(ir_version, kIrVersion);
  model.bytes(producer_name, "starling");
  graph.bytes(graph_name, name);
  model.message(model_graph, graph);
  model.message(opset_import, operator_set("", kOpset));
  for (const std::string& domain : domains) model.message(opset_import, operator_set(domain, 1));
  for (const auto& [key, value] : metadata) {
    Message entry;
    entry.bytes(entry_key, key);
    entry.bytes(entry_value, value);
    model.message(metadata_props, entry);
  }
  return model.bytes();
}

}  // namespace starling::onnx
