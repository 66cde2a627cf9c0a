// The model reader on hostile files: the safetensors file, the network in it, and one pass of a model that was taken.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "expect_input_error.h"
#include "starling/hit_graph.h"
#include "starling/network.h"
#include "starling/safetensors.h"

namespace {

using namespace starling;

// Straight tracks through the three layers of the seed's windows, a hit on no layer and one on the beam line.
Hits some_hits() {
  Hits hits;
  for (int i = 0; i < 14; ++i) {
    const float r = 30.f * static_cast<float>(i % 3 + 1), phi = 0.5f * static_cast<float>(i / 3);
    hits.hit_id.push_back(i);
    hits.x.push_back(i == 13 ? 0.f : r * std::cos(phi));
    hits.y.push_back(i == 13 ? 0.f : r * std::sin(phi));
    hits.z.push_back(0.8f * r);
    hits.volume_id.push_back(8);
    hits.layer_id.push_back(i == 12 ? 99 : 2 * (i % 3 + 1));
    hits.module_id.push_back(i);
  }
  return hits;
}

void use(const Model& model) {
  static const Hits hits = some_hits();
  const HitGraph graph = build_hit_graph(hits, model.windows, model.scales);
  // Models of other feature counts are for other graphs.
  if (model.architecture.node_inputs != kNodeFeatures || model.architecture.edge_inputs != kEdgeFeatures) return;
  const std::vector<float> scores = Session(model).run(graph);
  require(scores.size() == graph.edges.src.size(), "one score an edge");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  expect_input_error([&] {
    const TensorFile file = parse_safetensors(reinterpret_cast<const std::byte*>(data), size, "model");
    for (const auto& [name, tensor] : file.tensors) require(tensor.count() >= 0, "a count of values");
    use(Model::from_file(file, "model"));
  });
  return 0;
}
