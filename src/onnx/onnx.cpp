#include "starling/onnx.h"

#include "interaction_network/shape.h"
#include "onnx/float_layers.h"
#include "onnx/quantized_layers.h"
#include "quantized_network/structure.h"
#include "starling/error.h"

namespace starling {
namespace {

constexpr const char* kName = "interaction_network";  // of the graph

/// Protocol buffers have lengths below 2^31. The last 2^26 bytes are for nodes and metadata, whatever their number.
void check_size(const InteractionNetworkShape& shape) {
  constexpr std::int64_t kMost = (std::int64_t{1} << 29) - (1 << 24);
  const std::int64_t parameters = parameter_count(shape);
  if (parameters <= kMost) return;
  throw Error(ErrorKind::usage, "a network of " + std::to_string(parameters) + " parameters, expected at most " +
                                    std::to_string(kMost) + ": an ONNX file holds 2 GiB");
}

}  // namespace

std::string to_string(OnnxQuantization form) {
  switch (form) {
    case OnnxQuantization::qdq:
      return "QDQ";
    case OnnxQuantization::qcdq:
      return "QCDQ";
    case OnnxQuantization::qonnx:
      return "QONNX";
  }
  throw Error(ErrorKind::usage, "quantisation of an ONNX file is " + std::to_string(static_cast<int>(form)) +
                                    ", expected qdq, qcdq or qonnx");
}

std::string to_onnx(const InteractionNetwork& network, const OnnxMetadata& metadata) {
  check_size(network.shape);
  interaction_network::check_weights(network, ErrorKind::usage, "");
  onnx::Graph graph;
  onnx::FloatLayers layers(graph, network.weights);
  onnx::add_network(graph, network.shape, layers);
  return graph.file(kName, {}, metadata);
}

std::string to_onnx(const QuantizedNetwork& network, OnnxQuantization form, const OnnxMetadata& metadata) {
  (void)to_string(form);  // throws for one that is not known
  check_size(network.shape);
  quantized_network::check(network, ErrorKind::usage, "");
  onnx::Graph graph;
  onnx::QuantizedLayers layers(graph, network, form);
  onnx::add_network(graph, network.shape, layers);
  std::vector<std::string> domains;
  if (form == OnnxQuantization::qonnx) domains.emplace_back(onnx::kQonnxDomain);
  return graph.file(kName, domains, metadata);
}

}  // namespace starling
