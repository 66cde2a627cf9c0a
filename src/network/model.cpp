#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "network/architecture.h"
#include "starling/error.h"
#include "starling/network.h"

namespace starling {

namespace {

using Json = nlohmann::json;

constexpr const char* kFormatKey = "starling_format";
constexpr const char* kFormat = "1";
constexpr const char* kWindowsPrefix = "windows.";

[[noreturn]] void bad_model(const std::string& file, const std::string& what) {
  throw Error(ErrorKind::input, file + ": " + what);
}

// One JSON object of the metadata, whose keys are taken one by one; what is left at the end is unknown.
class Section {
 public:
  Section(const TensorFile& file, const std::string& source, const char* key) : where_(source + ": " + key) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end()) bad_model(where_, "is missing from the metadata: not a Starling model");
    content_ = Json::parse(found->second, nullptr, false);
    if (!content_.is_object()) bad_model(where_, "is not a JSON object");
  }

  // The value of `key`, which `accept` must let through; `expected` says what that is.
  template <typename Accept>
  Json take(const char* key, const char* expected, const Accept& accept) {
    const auto found = content_.find(key);
    if (found == content_.end()) bad_model(where_, std::string(key) + " is missing");
    const Json value = *found;
    if (!accept(value))
      bad_model(where_, std::string(key) + " = " + value.dump(-1, ' ', true) + ", expected " + expected);
    content_.erase(found);
    return value;
  }

  int integer(const char* key) {
    return take(key, "a whole number",
                [](const Json& value) {
                  return value.is_number_unsigned() && value.get<std::uint64_t>() <= 1'000'000'000;
                })
        .template get<int>();
  }
  bool boolean(const char* key) {
    return take(key, "true or false", [](const Json& value) { return value.is_boolean(); }).get<bool>();
  }
  float number(const char* key, double least, double most, const char* expected) {
    return take(key, expected,
                [&](const Json& value) {
                  return value.is_number() && value.get<double>() >= least && value.get<double>() <= most;
                })
        .template get<float>();
  }
  void end() const {
    if (!content_.empty()) bad_model(where_, "unknown key " + Json(content_.begin().key()).dump(-1, ' ', true));
  }

 private:
  std::string where_;
  Json content_;
};

Architecture read_architecture(const TensorFile& file, const std::string& source) {
  Section section(file, source, "architecture");
  section.take("kind", "\"interaction_network\"", [](const Json& value) { return value == "interaction_network"; });
  Architecture architecture;
  architecture.hidden = section.integer("hidden");
  architecture.steps = section.integer("steps");
  architecture.recurrent = section.boolean("recurrent");
  const Json norm = section.take("norm", "none, layer or batch", [](const Json& value) {
    return value == "none" || value == "layer" || value == "batch";
  });
  architecture.norm = parse_norm(norm.get<std::string>());
  architecture.bias = section.boolean("bias");
  architecture.concat = section.boolean("concat");
  architecture.node_inputs = section.integer("node_inputs");
  architecture.edge_inputs = section.integer("edge_inputs");
  section.end();
  network::check(architecture, ErrorKind::input, source + ": architecture: ");
  return architecture;
}

FeatureScales read_scales(const TensorFile& file, const std::string& source) {
  Section section(file, source, "scales");
  const auto scale = [&](const char* key) { return section.number(key, 1e-30, 1e30, "a number above 0"); };
  FeatureScales scales{scale("r"), scale("phi"), scale("z"), scale("eta")};
  section.end();
  return scales;
}

TrackCuts read_cuts(const TensorFile& file, const std::string& source) {
  Section section(file, source, "cuts");
  TrackCuts cuts;
  section.take("builder", "the name of a track builder", [&](const Json& value) {
    if (!value.is_string()) return false;
    try {
      cuts.builder = parse_track_builder(value.get<std::string>());
    } catch (const Error&) {
      return false;
    }
    return true;
  });
  const auto score = [&](const char* key) { return section.number(key, 0., 1., "a number in 0..1"); };
  cuts.score = score("score");
  cuts.walk_min = score("walk_min");
  cuts.walk_add = score("walk_add");
  cuts.min_hits = section.integer("min_hits");
  cuts.chain_layers = section.integer("chain_layers");
  section.end();
  return cuts;
}

std::string shape_text(const std::vector<std::int64_t>& shape) { return Json(shape).dump(); }

}  // namespace

namespace network {

void check_weights(const Model& model, ErrorKind kind, const std::string& where) {
  std::set<std::string> known;
  for (const NamedTensor& expected : tensors(model.architecture)) {
    known.insert(expected.name);
    const auto found = model.weights.find(expected.name);
    if (found == model.weights.end()) throw Error(kind, where + "tensor " + expected.name + " is missing");
    std::int64_t count = 1;
    for (const std::int64_t extent : expected.shape) count *= extent;
    if (static_cast<std::int64_t>(found->second.size()) != count) {
      throw Error(kind, where + "tensor " + expected.name + " has " + std::to_string(found->second.size()) +
                            " values, expected " + std::to_string(count));
    }
    const auto wrong =
        std::find_if(found->second.begin(), found->second.end(), [](float w) { return !std::isfinite(w); });
    if (wrong != found->second.end()) {
      throw Error(kind, where + "tensor " + expected.name + ", value " + std::to_string(wrong - found->second.begin()) +
                            " is " + std::to_string(*wrong) + ", expected a finite number");
    }
  }
  for (const auto& [name, unused] : model.weights) {
    if (!known.contains(name)) {
      throw Error(kind, where + "tensor " + Json(name).dump(-1, ' ', true) + " is not part of the architecture");
    }
  }
}

}  // namespace network

TensorFile Model::to_file() const {
  network::check(architecture, ErrorKind::usage, "architecture: ");
  network::check_weights(*this, ErrorKind::usage, "");
  TensorFile file;
  for (const network::NamedTensor& tensor : network::tensors(architecture)) {
    file.tensors[tensor.name] = Tensor::of(weights.at(tensor.name), tensor.shape);
  }
  windows.to_file(file);

  const std::string history = provenance.empty() ? "{}" : provenance;
  if (!Json::parse(history, nullptr, false).is_object()) {
    throw Error(ErrorKind::usage, "a model's provenance is not a JSON object");
  }
  file.metadata[kFormatKey] = kFormat;
  file.metadata["architecture"] = Json{
      {"kind", "interaction_network"},
      {"hidden", architecture.hidden},
      {"steps", architecture.steps},
      {"recurrent", architecture.recurrent},
      {"norm", to_string(architecture.norm)},
      {"bias", architecture.bias},
      {"concat", architecture.concat},
      {"node_inputs", architecture.node_inputs},
      {"edge_inputs",
       architecture.edge_inputs}}.dump();
  file.metadata["scales"] = Json{{"r", scales.r}, {"phi", scales.phi}, {"z", scales.z}, {"eta", scales.eta}}.dump();
  file.metadata["cuts"] =
      Json{{"builder", to_string(cuts.builder)}, {"score", cuts.score},       {"walk_min", cuts.walk_min},
           {"walk_add", cuts.walk_add},          {"min_hits", cuts.min_hits}, {"chain_layers", cuts.chain_layers}}
          .dump();
  file.metadata["provenance"] = history;
  return file;
}

Model Model::from_file(const TensorFile& file, const std::string& name) {
  const auto format = file.metadata.find(kFormatKey);
  if (format == file.metadata.end()) bad_model(name, std::string(kFormatKey) + " is missing: not a Starling model");
  if (format->second != kFormat) {
    bad_model(name, std::string(kFormatKey) + " = " + Json(format->second).dump(-1, ' ', true) + ", expected \"" +
                        kFormat + "\"");
  }
  Model model;
  model.architecture = read_architecture(file, name);
  model.scales = read_scales(file, name);
  model.cuts = read_cuts(file, name);
  const auto history = file.metadata.find("provenance");
  if (history != file.metadata.end()) {
    if (!Json::parse(history->second, nullptr, false).is_object()) bad_model(name, "provenance is not a JSON object");
    model.provenance = history->second;
  }

  for (const network::NamedTensor& expected : network::tensors(model.architecture)) {
    const auto found = file.tensors.find(expected.name);
    if (found == file.tensors.end()) bad_model(name, "tensor " + expected.name + " is missing");
    if (found->second.shape != expected.shape) {
      bad_model(name, "tensor " + expected.name + " has the shape " + shape_text(found->second.shape) + ", expected " +
                          shape_text(expected.shape));
    }
    if (found->second.type != Tensor::Type::f32) bad_model(name, "tensor " + expected.name + " is not F32");
    model.weights[expected.name] = found->second.f32();
  }
  for (const auto& [tensor, unused] : file.tensors) {
    if (!model.weights.contains(tensor) && !tensor.starts_with(kWindowsPrefix)) {
      bad_model(name, "tensor " + Json(tensor).dump(-1, ' ', true) + " is not part of the architecture");
    }
  }
  network::check_weights(model, ErrorKind::input, name + ": ");
  try {
    model.windows = Windows::from_file(file);
  } catch (const Error& error) {
    throw Error(error.kind(), name + ": " + error.what());
  }
  return model;
}

Model Model::load(const std::filesystem::path& file) { return from_file(read_safetensors(file), file.string()); }

void Model::save(const std::filesystem::path& file) const { write_safetensors(file, to_file()); }

}  // namespace starling
