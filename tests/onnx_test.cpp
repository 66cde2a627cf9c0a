#include "starling/onnx.h"

#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <set>
#include <string_view>

#include "expect_error.h"
#include "onnx/graph.h"
#include "quantized_cases.h"

namespace {

using namespace starling;
using namespace starling::quantized_cases;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

/// The fields of a message of protocol buffers, read as the wire format says.
class Fields {
 public:
  explicit Fields(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::uint64_t key = varint(bytes);
      Value value;
      if ((key & 7) == 0) {
        value.integer = static_cast<std::int64_t>(varint(bytes));
      } else {
        const std::size_t size = (key & 7) == 5 ? 4 : (key & 7) == 2 ? varint(bytes) : bytes.size() + 1;
        if (size > bytes.size()) throw std::runtime_error("a field that is cut off, or of another type");
        value.bytes = bytes.substr(0, size);
        bytes.remove_prefix(size);
      }
      fields_[static_cast<int>(key >> 3)].push_back(value);
    }
  }

  std::vector<std::string> texts(int field) const {
    std::vector<std::string> all;
    for (const Value& value : at(field)) all.emplace_back(value.bytes);
    return all;
  }
  std::vector<std::int64_t> integers(int field) const {
    std::vector<std::int64_t> all;
    for (const Value& value : at(field)) all.push_back(value.integer);
    return all;
  }
  std::vector<Fields> messages(int field) const {
    std::vector<Fields> all;
    for (const Value& value : at(field)) all.emplace_back(value.bytes);
    return all;
  }
  std::string text(int field) const { return has(field) ? texts(field).at(0) : ""; }
  std::int64_t integer(int field) const { return has(field) ? integers(field).at(0) : 0; }
  Fields message(int field) const { return messages(field).at(0); }
  bool has(int field) const { return !at(field).empty(); }

 private:
  struct Value {
    std::int64_t integer = 0;
    std::string_view bytes;
  };

  static std::uint64_t varint(std::string_view& bytes) {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (bytes.empty()) break;
      const auto byte = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    throw std::runtime_error("a number that does not end");
  }

  const std::vector<Value>& at(int field) const {
    static const std::vector<Value> nothing;
    const auto found = fields_.find(field);
    return found == fields_.end() ? nothing : found->second;
  }

  std::map<int, std::vector<Value>> fields_;
};

struct Array {
  std::int64_t type;
  std::vector<std::int64_t> shape;
  std::string bytes;

  template <typename T>
  std::vector<T> values() const {
    std::vector<T> all(bytes.size() / sizeof(T));
    std::memcpy(all.data(), bytes.data(), bytes.size());
    return all;
  }
};

struct Node {
  std::string op, domain;
  std::vector<std::string> inputs;
  std::map<std::string, Fields> attributes;

  std::int64_t integer(const std::string& attribute) const { return attributes.at(attribute).integer(3); }
};

/// An ONNX file, every message of it read; numbers of fields are those of onnx.proto.
struct File {
  explicit File(const std::string& bytes) : content(bytes), model(content) {
    graph = std::make_unique<Fields>(model.message(7));
    for (const Fields& info : graph->messages(11)) inputs.push_back(info.text(1));
    for (const Fields& info : graph->messages(12)) outputs.push_back(info.text(1));
    const std::map<std::int64_t, std::int64_t> sizes = {{1, 4}, {2, 1}, {3, 1}, {6, 4}, {7, 8}};
    std::set<std::string> known(inputs.begin(), inputs.end()), used;
    for (const Fields& tensor : graph->messages(5)) {
      const std::string name = tensor.text(8);
      Array array{tensor.integer(2), tensor.integers(1), tensor.text(9)};
      std::int64_t size = sizes.at(array.type);
      for (const std::int64_t rows : array.shape) size *= rows;
      EXPECT_EQ(size, std::ssize(array.bytes)) << name;
      EXPECT_TRUE(known.insert(name).second) << name << " is there twice";
      arrays[name] = std::move(array);
    }
    for (const Fields& message : graph->messages(1)) {
      Node node{message.text(4), message.text(7), message.texts(1), {}};
      for (const Fields& attribute : message.messages(5)) node.attributes.emplace(attribute.text(1), attribute);
      const std::string name = message.text(3);
      EXPECT_THAT(message.texts(2), ElementsAre(name));
      for (const std::string& input : node.inputs) {
        EXPECT_TRUE(known.contains(input)) << name << " reads " << input << ", which is not there yet";
        used.insert(input);
      }
      EXPECT_TRUE(known.insert(name).second) << name << " is made twice";
      nodes[name] = std::move(node);
    }
    used.insert(outputs.begin(), outputs.end());
    EXPECT_EQ(known, used) << "what is there and what is read";
  }

  int count(const std::string& op) const {
    return static_cast<int>(
        std::count_if(nodes.begin(), nodes.end(), [&](const auto& n) { return n.second.op == op; }));
  }

  std::string content;
  Fields model;
  std::unique_ptr<Fields> graph;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, Array> arrays;
  std::map<std::string, Node> nodes;
};

std::vector<InteractionNetworkShape> variants() {
  std::vector<InteractionNetworkShape> all;
  for (const bool recurrent : {false, true}) {
    for (const Norm norm : {Norm::layer, Norm::batch, Norm::none}) {
      for (const bool bias : {true, false}) {
        for (const bool concat : {true, false}) {
          for (const int steps : {1, 3}) {
            all.push_back(
                {.hidden = 4, .steps = steps, .recurrent = recurrent, .norm = norm, .bias = bias, .concat = concat});
          }
        }
      }
    }
  }
  return all;
}

/// Products: of the encoders 6, of the last MLPs 5, per step 3 of edges and, but for the last, 3 of nodes.
int products(const InteractionNetworkShape& shape) { return 11 + 6 * shape.steps - 3; }

/// Whether the layer runs: all but those of the last node network, which in a recurrent one runs where there are steps.
bool runs(const DenseLayer& layer, const InteractionNetworkShape& shape) {
  const int last = shape.recurrent ? 0 : shape.steps - 1;
  return !layer.name.starts_with("node_network." + std::to_string(last) + ".") || (shape.recurrent && shape.steps > 1);
}

void expect_network(const File& file, const InteractionNetworkShape& shape) {
  EXPECT_THAT(file.inputs, ElementsAre("x", "edge_index", "edge_attr"));
  EXPECT_THAT(file.outputs, ElementsAre("output"));
  EXPECT_EQ(file.count("Gemm"), products(shape));
  EXPECT_EQ(file.count("ScatterElements"), 2 * (shape.steps - 1));
  EXPECT_EQ(file.count("LayerNormalization"), shape.norm == Norm::layer ? 9 - 2 + 4 * shape.steps - 2 : 0);
  for (const DenseLayer& layer : layers(shape)) {
    EXPECT_EQ(file.arrays.contains(layer.name + ".weight"), runs(layer, shape)) << layer.name;
    EXPECT_EQ(file.arrays.contains(layer.name + ".bias"), shape.bias && runs(layer, shape)) << layer.name;
  }
}

TEST(Onnx, WireFormat) {
  onnx::Message inner, message;
  inner.bytes(2, "text");
  message.integer(1, 300);
  message.integer(15, -1);
  message.integer(16, std::numeric_limits<std::int64_t>::min());
  message.number(3, 1.5f);
  message.message(4, inner);
  message.bytes(4, std::string(200, 'x'));
  // 300 as the specification's example has it, a key of two bytes from field 16 on.
  EXPECT_EQ(message.bytes().substr(0, 5), std::string("\x08\xac\x02\x78\xff"));
  const Fields fields(message.bytes());
  EXPECT_EQ(fields.integer(1), 300);
  EXPECT_EQ(fields.integer(15), -1);
  EXPECT_EQ(fields.integer(16), std::numeric_limits<std::int64_t>::min());
  EXPECT_EQ(fields.text(3), std::string("\0\0\xc0\x3f", 4));
  EXPECT_THAT(fields.texts(4), ElementsAre("\x12\x04text", std::string(200, 'x')));
}

TEST(Onnx, EveryVariantInFloat) {
  for (const InteractionNetworkShape& shape : variants()) {
    SCOPED_TRACE(to_json(shape));
    const InteractionNetwork network = random_network(shape, 3);
    const File file(to_onnx(network));
    expect_network(file, shape);
    for (const DenseLayer& layer : layers(shape)) {
      for (const ArrayShape& array : arrays(layer)) {
        if (!runs(layer, shape)) continue;
        const Array& stored = file.arrays.at(array.name);
        EXPECT_EQ(stored.type, 1);
        EXPECT_EQ(stored.shape, array.shape);
        EXPECT_EQ(stored.values<float>(), network.weights.at(array.name)) << array.name;
      }
    }
  }
}

TEST(Onnx, EveryVariantInCodes) {
  for (const InteractionNetworkShape& shape : variants()) {
    SCOPED_TRACE(to_json(shape));
    const QuantizedNetwork network = quantized(shape, {.bias_bits = 16, .per_channel = shape.concat, .pruned = 0.5});
    for (const auto form : {OnnxQuantization::qdq, OnnxQuantization::qcdq, OnnxQuantization::qonnx}) {
      SCOPED_TRACE(to_string(form));
      const File file(to_onnx(network, form));
      expect_network(file, shape);
      const int quantisers = products(shape) - 1 + 4 + 2 * shape.steps - 1;  // behind ReLUs and in front of MLPs
      if (form == OnnxQuantization::qonnx) {
        EXPECT_GT(file.count("Quant"), quantisers);
        EXPECT_EQ(file.count("QuantizeLinear"), 0);
      } else {
        EXPECT_EQ(file.count("QuantizeLinear"), quantisers);
        EXPECT_EQ(file.count("Clip"), 0);
      }
    }
  }
}

TEST(Onnx, WhatAFileSays) {
  InteractionNetworkShape shape = {.hidden = 4, .steps = 2, .node_inputs = 5, .edge_inputs = 3};
  const InteractionNetwork network = random_network(shape, 1);
  const std::string bytes = to_onnx(network, {{"provenance", "{\"seed\": 1}"}, {"scales", "{}"}});
  EXPECT_EQ(to_onnx(network, {{"provenance", "{\"seed\": 1}"}, {"scales", "{}"}}), bytes);
  const File file(bytes);
  EXPECT_EQ(file.model.integer(1), 8);
  EXPECT_EQ(file.model.text(2), "starling");
  EXPECT_EQ(file.model.messages(8).size(), 1u);
  EXPECT_EQ(file.model.message(8).integer(2), 18);
  std::map<std::string, std::string> metadata;
  for (const Fields& entry : file.model.messages(14)) metadata[entry.text(1)] = entry.text(2);
  EXPECT_THAT(metadata, UnorderedElementsAre(Pair("provenance", "{\"seed\": 1}"), Pair("scales", "{}")));

  std::vector<std::string> all;  // "name: type of elements: size size"
  for (const int field : {11, 12}) {
    for (const Fields& info : file.graph->messages(field)) {
      const Fields tensor = info.message(2).message(1);
      std::string text = info.text(1) + ": " + std::to_string(tensor.integer(1)) + ":";
      for (const Fields& size : tensor.message(2).messages(1)) {
        text += ' ';
        text += size.has(2) ? size.text(2) : std::to_string(size.integer(1));
      }
      all.push_back(text);
    }
  }
  EXPECT_THAT(all, ElementsAre("x: 1: nodes 5", "edge_index: 7: 2 edges", "edge_attr: 1: edges 3", "output: 1: edges"));

  const Node& norm = file.nodes.at("step_1/edge_network.1.0/norm");
  EXPECT_EQ(norm.integer("axis"), -1);
  float epsilon = 0;
  std::memcpy(&epsilon, norm.attributes.at("epsilon").text(2).data(), sizeof epsilon);
  EXPECT_EQ(epsilon, kLayerNormEpsilon);
  EXPECT_THAT(file.nodes.at("step_1/edge_input").inputs,
              ElementsAre("step_0/edge_network.0.2/relu", "edge_encoder.2/relu", "step_1/states_of_src",
                          "step_1/states_of_dst"));
}

TEST(Onnx, CodesScalesAndClips) {
  const InteractionNetworkShape shape = {.hidden = 4, .steps = 2};
  const InteractionNetwork float_network = random_network(shape, 5);
  LearnedQuantization values = learned(float_network, {.weight_bits = 6, .activation_bits = 5, .bias_bits = 16}, 1);
  values.inputs.at("node_encoder").bits = 12;
  values.layers.at("node_encoder.0").weight_bits = 12;
  values.layers.at("node_encoder.1").weight_bits = 8;
  values.layers.at("node_encoder.1").per_channel = true;
  values.layers.at("node_encoder.1").output_bits = 8;
  values.layers.at("edge_decoder.0").bias_bits = 32;
  const QuantizedNetwork network = quantize(float_network, values);
  const auto scale_of = [](const Array& array) { return array.values<float>(); };

  const File qcdq(to_onnx(network, OnnxQuantization::qcdq));
  // Weights in bytes, or in 32 bits where a byte does not hold them; the clip says how many bits they have.
  for (const std::string name : {"node_encoder.0", "node_encoder.1", "edge_network.1.2"}) {
    const QuantizedLayer& layer = network.layers.at(name);
    const Array& stored = qcdq.arrays.at(name + ".weight");
    EXPECT_EQ(stored.type, layer.weight_bits == 12 ? 6 : 3) << name;
    if (stored.type == 3) {
      const std::vector<std::int8_t> codes = stored.values<std::int8_t>();
      EXPECT_EQ(std::vector<std::int16_t>(codes.begin(), codes.end()), layer.weight);
    }
    EXPECT_EQ(scale_of(qcdq.arrays.at(name + ".weight_scale")), layer.weight_scale);
    EXPECT_EQ(qcdq.arrays.at(name + ".bias").values<std::int32_t>(), layer.bias);
  }
  const Node& clip = qcdq.nodes.at("edge_network.1.2.weight/clipped");
  EXPECT_THAT(clip.inputs, ElementsAre("edge_network.1.2.weight", "int8_-31", "int8_31"));
  EXPECT_THAT(qcdq.arrays.at("int8_-31").values<std::int8_t>(), ElementsAre(-31));
  EXPECT_THAT(qcdq.nodes.at("node_encoder.1.weight/value").inputs,
              ElementsAre("node_encoder.1.weight", "node_encoder.1.weight_scale", "node_encoder.1.weight_zero_point"));
  EXPECT_EQ(qcdq.nodes.at("node_encoder.1.weight/value").integer("axis"), 0);
  // The scale of a bias is that of the input times that of the weights.
  const float in = network.layers.at("node_encoder.0").output.scale;
  std::vector<float> products;
  for (const float scale : network.layers.at("node_encoder.1").weight_scale) products.push_back(in * scale);
  EXPECT_EQ(scale_of(qcdq.arrays.at("node_encoder.1.bias_scale")), products);

  // 12 bits in float, 5 bits clipped, 8 bits as they are.
  EXPECT_EQ(qcdq.nodes.at("node_encoder/input").op, "Mul");
  EXPECT_THAT(qcdq.nodes.at("node_encoder/input/codes").inputs,
              ElementsAre("node_encoder/input/rounded", "float_-2048", "float_2047"));
  EXPECT_THAT(qcdq.nodes.at("node_encoder.0/output/clipped").inputs,
              ElementsAre("node_encoder.0/output/codes", "uint8_0", "uint8_31"));
  EXPECT_THAT(qcdq.nodes.at("step_0/edge_network.0/input/clipped").inputs,
              ElementsAre("step_0/edge_network.0/input/codes", "int8_-16", "int8_15"));
  EXPECT_THAT(qcdq.nodes.at("node_encoder.1/output").inputs,
              ElementsAre("node_encoder.1/output/codes", "node_encoder.1.output_scale", "zero_uint8"));

  const File qonnx(to_onnx(network, OnnxQuantization::qonnx));
  EXPECT_EQ(qonnx.model.messages(8).at(1).text(1), "qonnx.custom_op.general");
  const Node& weight = qonnx.nodes.at("node_encoder.1.weight/value");
  EXPECT_EQ(weight.domain, "qonnx.custom_op.general");
  EXPECT_THAT(weight.inputs,
              ElementsAre("node_encoder.1.weight", "node_encoder.1.weight_scale", "zero_float", "bits_8"));
  EXPECT_THAT(qonnx.arrays.at("node_encoder.1.weight_scale").shape, ElementsAre(4, 1));
  EXPECT_THAT(qonnx.arrays.at("node_encoder.0.weight_scale").shape, IsEmpty());
  EXPECT_EQ(weight.integer("signed"), 1);
  EXPECT_EQ(weight.integer("narrow"), 1);
  EXPECT_EQ(weight.attributes.at("rounding_mode").text(4), "ROUND");
  const Node& relu = qonnx.nodes.at("node_encoder.1/output");
  EXPECT_EQ(relu.integer("signed"), 0);
  EXPECT_EQ(relu.integer("narrow"), 0);
  const Node& bias = qonnx.nodes.at("edge_decoder.0.bias/value");
  EXPECT_EQ(bias.integer("narrow"), 0);
  EXPECT_THAT(qonnx.arrays.at(bias.inputs.at(3)).values<float>(), ElementsAre(32.f));
  // Values of weights are codes times scales; a tool that rounds them has the codes again.
  const QuantizedLayer& layer = network.layers.at("node_encoder.1");
  const std::vector<float> floats = qonnx.arrays.at("node_encoder.1.weight").values<float>();
  for (std::size_t i = 0; i < floats.size(); ++i) {
    EXPECT_EQ(std::nearbyint(floats[i] / layer.weight_scale[i / 4]), layer.weight[i]);
  }
}

TEST(Onnx, WhatIsRefused) {
  const InteractionNetworkShape shape = {.hidden = 4, .steps = 2};
  InteractionNetwork network = random_network(shape, 1);
  QuantizedNetwork codes = quantize(network, learned(network, {}, 1));
  codes.layers.at("edge_network.0.1").weight_bits = 6;
  for (std::int16_t& code : codes.layers.at("edge_network.0.1").weight) code /= 8;
  expect_error(ErrorKind::usage, "edge_network.0.1.weight has 6 bits, expected at least 8 for QDQ: QCDQ and QONNX",
               [&] { to_onnx(codes, OnnxQuantization::qdq); });
  EXPECT_FALSE(to_onnx(codes, OnnxQuantization::qcdq).empty());
  codes.layers.at("edge_network.0.1").output.bits = 7;
  codes.layers.at("edge_network.0.1").weight_bits = 8;
  expect_error(ErrorKind::usage, "edge_network.0.1.output has 7 bits", [&] { to_onnx(codes, OnnxQuantization::qdq); });
  codes.inputs.at("edge_encoder").bits = 2;
  expect_error(ErrorKind::usage, "edge_encoder.input has 2 bits", [&] { to_onnx(codes, OnnxQuantization::qdq); });
  expect_error(ErrorKind::usage, "quantisation of an ONNX file is 7",
               [&] { to_onnx(codes, static_cast<OnnxQuantization>(7)); });
  codes.inputs.erase("edge_encoder");
  expect_error(ErrorKind::usage, "edge_encoder", [&] { to_onnx(codes, OnnxQuantization::qonnx); });

  network.weights.at("edge_network.0.1.weight").pop_back();
  expect_error(ErrorKind::usage, "edge_network.0.1.weight", [&] { to_onnx(network); });
  network.shape = {.hidden = 1024, .steps = 64};
  expect_error(ErrorKind::usage, "a network of 948", [&] { to_onnx(network); });
  codes.shape = network.shape;
  expect_error(ErrorKind::usage, "an ONNX file holds 2 GiB", [&] { to_onnx(codes, OnnxQuantization::qonnx); });
}

}  // namespace
