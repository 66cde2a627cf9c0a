// The model reader on hostile files: the safetensors file, the model, its values, the track or shower finder in it, and
// one pass of a track finder that was taken.

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "expect_input_error.h"
#include "starling/hit_graph.h"
#include "starling/safetensors.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"

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

// Values of the types that have a wider one.
void read_values(const Tensor& tensor) {
  require(tensor.fits(), "bytes as many as the shape takes");
  const auto count = static_cast<std::size_t>(tensor.count());
  switch (tensor.type) {
    case Tensor::Type::f16:
    case Tensor::Type::bf16:
      require(tensor.widened().size() == count, "a float per value");
      break;
    case Tensor::Type::i8:
    case Tensor::Type::i4:
    case Tensor::Type::i2:
      require(tensor.codes().size() == count, "an integer per code");
      break;
    default:
      break;
  }
}

void use(const TrackFinder& finder) {
  static const Hits hits = some_hits();
  const HitGraph graph = build_hit_graph(hits, finder.windows, finder.scales);
  // Models of other feature counts are for other graphs.
  const InteractionNetworkShape& shape = finder.shape();
  if (shape.node_inputs != kNodeFeatures || shape.edge_inputs != kEdgeFeatures) return;
  const std::vector<float> scores = Session(finder.plan()).run(graph);
  require(scores.size() == graph.edges.src.size(), "one score per edge");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  expect_input_error([&] {
    const TensorFile file = parse_safetensors(reinterpret_cast<const std::byte*>(data), size, "model");
    for (const auto& [name, tensor] : file.tensors) require(tensor.count() >= 0, "a count of values");
    const Model model = Model::from_file(file);
    for (const auto& [name, tensor] : model.content.tensors) read_values(tensor);
    if (!model.kind.empty()) {
      const TensorFile again = model.to_file();
      require(again.metadata.at("kind") == model.kind, "a model goes out as it came in");
    }
    if (model.kind == "showers") {
      const ShowerFinder finder = ShowerFinder::from_model(model);
      const TensorFile again = finder.to_model().to_file();
      require(ShowerFinder::from_model(Model::from_file(again)).network.weights == finder.network.weights,
              "a finder goes out as it came in");
      return;
    }
    const TrackFinder finder = TrackFinder::from_model(model);
    require(TrackFinder::from_model(Model::from_file(finder.to_model().to_file())).network == finder.network,
            "a network goes out as it came in");
    use(finder);
  });
  return 0;
}
