// Writes the first inputs of the fuzz targets: fuzz_seeds FOLDER.

#include <zlib.h>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "starling/hit_graph.h"
#include "starling/safetensors.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"

namespace {

using namespace starling;
namespace fs = std::filesystem;

void put(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void event_seeds(const fs::path& folder) {
  const std::string hits =
      "hit_id,x,y,z,volume_id,layer_id,module_id\n1,-32.5544,1e-3,-469.865,8,2,1\n9000000000,0,.5,+3,13,4,12\n";
  const std::string truth = "hit_id,particle_id,tx,weight\n9000000000,-1,0,0.5\n1,824163129872097282,1,1e-60\n";
  const std::string particles =
      "particle_id,vx,vy,vz,px,py,pz,q,nhits,particle_type,primary\n824163129872097282,0,0,-5.1,1,2,3,-1,8,211,1\n";
  const std::string cells = "hit_id,ch0,ch1,value\n1,274,839,0.295811\n1,275,839,0.1\n";
  const std::string known = "hit_id,track\n1,4505867370102784\n9000000000,nan\n",
                    tracks = "hit_id,track_id\n1,\n9000000000,7\n9000000000,1.2e1\n";
  const std::string rs = "\x1e";
  put(folder / "plain", hits + rs + truth + rs + particles + rs + cells + rs + known + rs + tracks);
  put(folder / "gzip", gzip(hits) + rs + gzip(truth));
  put(folder / "windows", "\xef\xbb\xbf\"hit_id\" ,x,y,z,volume_id,layer_id,module_id\r\n\r\n\"1\",1,2,3,4,5,6");
}

void calorimeter_seeds(const fs::path& folder) {
  const std::string hits = "hit_id,x,y,z,energy,time,layer\n1,200,3,3200,0.5,11,1\n9000000000,0,.5,-3210,+3e-2,12,2\n";
  const std::string showers = "shower_id,energy,eta,phi,pdg,hard\n7,10,1.9,-3,22,1\n-3,2.5,2,3,-211,0\n";
  const std::string truth = "hit_id,shower_id,fraction\n1,7,0.75\n9000000000,7,1\n1,-3,0.125\n";
  const std::string clusters = "hit_id,cluster_id,beta\n9000000000,nan,0.1\n1,12.0,0.9\n",
                    particles = "cluster_id,energy,class\n12,4.5,muon\n";
  const std::string rs = "\x1e";
  put(folder / "plain", hits + rs + showers + rs + truth + rs + clusters + rs + particles);
  put(folder / "bare", hits + rs + rs + truth + rs + clusters);
  put(folder / "gzip", gzip(hits) + rs + gzip(showers) + rs + truth);
}

void calorimeter_map_seeds(const fs::path& folder) {
  const std::string rs = "\x1e";
  put(folder / "csv",
      "id,x,y,z,energy,time,layer,shower,fraction,pdg\n1,2,3,4,5,6,7,8,0.5,22\n2,2,3,4,.5,6,7,-1,1,0\n" + rs +
          "id,shower,energy\n1,8,2\n2,,1\n1,9,1\n" + rs + "shower,px,py,pz,mass\n8,1,2,3,0.1\n9,0,0,-1,0\n");
  put(folder / "json", R"({"event": {"rows": [{"id": "1", "x": 2, "y": 3, "z": 4, "energy": 5, "time": 6, "layer": 7,
    "shower": 8.0, "fraction": 1, "pdg": 22}, {"id": 2, "x": 2, "y": 3, "z": 4, "energy": 5e0, "time": 6, "layer": 7,
    "shower": null, "fraction": 0.5, "pdg": 0}]}})" +
                           rs + R"({"event": {"rows": [{"id": 1, "shower": 8, "energy": 5}]}})" + rs +
                           R"({"event": {"rows": [{"shower": 8, "px": 1, "py": 2, "pz": 3, "mass": 0}]}})");
}

// Windows learned from straight tracks through three layers: two pairs and a triple.
Windows small_windows() {
  const auto event = [](std::uint64_t) {
    Event made;
    made.name = "made";
    made.truth.emplace();
    made.particles.emplace();
    for (int i = 0; i < 20; ++i) {
      const float phi = 0.3f * static_cast<float>(i), cot = 0.1f * static_cast<float>(i - 10);
      made.particles->particle_id.push_back(i + 1);
      made.particles->px.push_back(2 * std::cos(phi));
      made.particles->py.push_back(2 * std::sin(phi));
      made.particles->pz.push_back(2 * cot);
      for (auto* const column : {&made.particles->vx, &made.particles->vy, &made.particles->vz}) column->push_back(0);
      made.particles->q.push_back(1);
      made.particles->nhits.push_back(3);
      for (int layer = 1; layer <= 3; ++layer) {
        const float r = 30.f * static_cast<float>(layer), bent = phi - 1e-4f * r;
        made.hits.hit_id.push_back(made.hits.size() + 1);
        made.hits.x.push_back(r * std::cos(bent));
        made.hits.y.push_back(r * std::sin(bent));
        made.hits.z.push_back(r * cot);
        made.hits.volume_id.push_back(8);
        made.hits.layer_id.push_back(2 * layer);
        made.hits.module_id.push_back(i);
        made.truth->particle_id.push_back(i + 1);
      }
    }
    return made;
  };
  return learn_windows(event, {.events = 1, .background_events = 1});
}

void model_seeds(const fs::path& folder) {
  fs::create_directories(folder);
  TensorFile file;
  file.tensors["a.weight"] = Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  file.tensors["empty"] = Tensor::of(std::vector<std::int32_t>{}, {0, 7});
  file.metadata["note"] = "two\nlines";
  write_safetensors(folder / "tensors", file);

  Model typed;
  typed.kind = "typed";
  typed.content.tensors["f16"] = Tensor::of(std::vector<float>{1.f, -2.5f}, {2}, Tensor::Type::f16);
  typed.content.tensors["bf16"] = Tensor::of(std::vector<float>{1.f, -2.5f}, {2}, Tensor::Type::bf16);
  typed.content.tensors["i8"] = Tensor::of(std::vector<std::int8_t>{-128, 127}, {2});
  typed.content.tensors["i4"] = Tensor::of(std::vector<std::int8_t>{-8, 7, 1, 2, 3, 4}, {2, 3}, Tensor::Type::i4);
  typed.content.tensors["i2"] = Tensor::of(std::vector<std::int8_t>{-2, -1, 0, 1, 1}, {1, 5}, Tensor::Type::i2);
  typed.content.metadata["note"] = "{}";
  typed.save(folder / "typed");

  TrackFinder model;
  model.windows = small_windows();
  model.provenance = "{}";
  for (const Norm norm : {Norm::none, Norm::layer, Norm::batch}) {
    InteractionNetwork network;
    network.shape = {.hidden = 1, .steps = 2, .recurrent = norm == Norm::none, .norm = norm};
    for (const ArrayShape& array : arrays(layers(network.shape))) {
      const float value = array.name.ends_with(".weight") ? 0.5f : array.name.ends_with(".bias") ? 0.1f : 1.f;
      network.weights[array.name].assign(static_cast<std::size_t>(array.count()), value);
    }
    LearnedQuantization learned;
    for (const std::string& mlp : mlps(network.shape)) learned.inputs[mlp];
    for (const DenseLayer& layer : layers(network.shape)) {
      learned.layers[layer.name] = {.weight_bits = norm == Norm::batch ? 12 : 4, .per_channel = norm == Norm::batch};
      if (norm == Norm::none) learned.layers[layer.name].kept.assign(std::size_t(layer.in) * layer.out, 1);
    }
    model.network = quantize(network, learned);
    model.save(folder / ("codes" + std::to_string(static_cast<int>(norm))));
    model.network = network;
    model.save(folder / ("network" + std::to_string(static_cast<int>(norm))));
  }

  ShowerFinder showers;
  showers.outputs.classes = {"em", "hadron"};
  showers.network.shape = {.inputs = kShowerFeatures,
                           .hidden = 2,
                           .width = 2,
                           .blocks = 1,
                           .space = 2,
                           .propagate = 1,
                           .k = 3,
                           .outputs = showers.outputs.columns()};
  for (const ArrayShape& array : arrays(layers(showers.network.shape))) {
    showers.network.weights[array.name].assign(static_cast<std::size_t>(array.count()), 0.25f);
  }
  showers.save(folder / "showers");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  event_seeds(fs::path(argv[1]) / "event");
  calorimeter_seeds(fs::path(argv[1]) / "calorimeter");
  calorimeter_map_seeds(fs::path(argv[1]) / "calorimeter_map");
  model_seeds(fs::path(argv[1]) / "model");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
