#pragma once

#include <map>
#include <string>

#include "starling/interaction_network.h"
#include "starling/quantized_network.h"

namespace starling {

/// How an ONNX file says that values are rounded to codes (docs/export.md).
enum class OnnxQuantization {
  qdq,    ///< QuantizeLinear and DequantizeLinear, 8 bits; what 12 bits take besides is in float
  qcdq,   ///< the same with a Clip between them for fewer than 8 bits
  qonnx,  ///< Quant of the domain qonnx.custom_op.general, any bits
};

/// "QDQ", "QCDQ" or "QONNX".
std::string to_string(OnnxQuantization form);

/// Texts that go into an ONNX file beside the network, by key: its `metadata_props`.
using OnnxMetadata = std::map<std::string, std::string>;

/// The bytes of an ONNX file (opset 18, IR version 8) that computes the network: docs/export.md. Inputs are `x`
/// [nodes, node_inputs] and `edge_attr` [edges, edge_inputs] of float32 and `edge_index` [2, edges] of int64, sources
/// first; the output is `output` [edges], the logits. Numbers of nodes and edges are free, 0 included. Arrays of
/// weights have the names that arrays() gives; those of the last node network, which never runs, are not there.
///
/// The same network gives the same bytes. Throws ErrorKind::usage where the weights are not those of the shape, or
/// there are more parameters than the 2 GiB of an ONNX file hold.
std::string to_onnx(const InteractionNetwork& network, const OnnxMetadata& metadata = {});

/// The same of a network in codes. Codes are exactly the network's; what normalises them and what sums messages is
/// float32, so that single codes may differ from those of QuantizedPlan. Throws ErrorKind::usage as well for a network
/// that from_model() would refuse, and for fewer than 8 bits with QDQ.
std::string to_onnx(const QuantizedNetwork& network, OnnxQuantization form, const OnnxMetadata& metadata = {});

}  // namespace starling
