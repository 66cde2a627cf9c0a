#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

#include "command.h"
#include "model_kind.h"
#include "output.h"
#include "starling/error.h"
#include "starling/shower_finder.h"
#include "starling/track_finder.h"

namespace starling::cli {
namespace {

std::string after(const DenseLayer& layer) {
  std::string text;
  if (layer.norm != Norm::none) text += to_string(layer.norm) + " norm, ";
  if (layer.relu) text += "ReLU";
  return text;
}

template <typename Shape>
void print_layers(const Shape& shape) {
  std::printf("%-26s %6s %6s %10s   %s\n", "layer", "in", "out", "parameters", "then");
  for (const DenseLayer& layer : layers(shape)) {
    std::printf("%-26s %6d %6d %10lld   %s\n", layer.name.c_str(), layer.in, layer.out,
                static_cast<long long>(parameter_count(layer)), after(layer).c_str());
  }
  const std::int64_t parameters = parameter_count(shape);
  std::printf("\nparameters  %lld\nbytes       %lld as float32\n", static_cast<long long>(parameters),
              static_cast<long long>(parameters * 4));
}

void print_heading(const InteractionNetworkShape& a) {
  std::printf("interaction network: H = %d, N = %d%s, %s normalisation, %s biases, %s concatenation\n\n", a.hidden,
              a.steps, a.recurrent ? ", recurrent" : "", to_string(a.norm).c_str(), a.bias ? "with" : "without",
              a.concat ? "with" : "without");
}

void print_shape(const InteractionNetworkShape& a) {
  print_heading(a);
  print_layers(a);
}

void print_shape(const GravNetShape& a) {
  std::printf(
      "GravNet network: %d blocks of width %d, hidden width %d, %d neighbours in %d dimensions, messages of %d "
      "features%s, %s concatenation\n\n",
      a.blocks, a.width, a.hidden, a.k, a.space, a.propagate,
      a.subtract ? ", subtracted: own features minus mean and maximum" : "", a.concat ? "with" : "without");
  print_layers(a);
}

/// The layers of one MLP together, or all of them.
struct ModuleCost : LayerCost {
  std::pair<int, int> weights{kMostBits, 0}, inputs{kMostBits, 0};  ///< fewest and most bits

  void add(const LayerCost& layer) {
    parameters += layer.parameters;
    nonzero += layer.nonzero;
    bytes += layer.bytes;
    macs_per_node += layer.macs_per_node;
    macs_per_edge += layer.macs_per_edge;
    bops_per_node += layer.bops_per_node;
    bops_per_edge += layer.bops_per_edge;
    weights = {std::min(weights.first, layer.weight_bits), std::max(weights.second, layer.weight_bits)};
    inputs = {std::min(inputs.first, layer.input_bits), std::max(inputs.second, layer.input_bits)};
  }

 private:
  static constexpr int kMostBits = 32;
};

/// One per MLP, in the order of the network, and their sum under the name "all".
template <typename Network>
std::vector<ModuleCost> module_costs(const Network& network) {
  std::vector<ModuleCost> modules;
  ModuleCost all;
  all.name = "all";
  for (const LayerCost& layer : layer_costs(network)) {
    const std::string name = layer.name.substr(0, layer.name.rfind('.'));
    if (modules.empty() || modules.back().name != name) modules.emplace_back().name = name;
    modules.back().add(layer);
    all.add(layer);
  }
  modules.push_back(all);
  return modules;
}

std::string range_text(const std::pair<int, int>& range) {
  const std::string least = std::to_string(range.first);
  return range.first == range.second ? least : least + ".." + std::to_string(range.second);
}

template <typename Network>
void print_costs(const Network& network) {
  constexpr double kNodes = 1e5, kEdges = 3e5;
  std::printf("%-16s %12s %11s %10s %8s %9s %10s %10s\n", "", "bits of", "bits of", "", "", "", "BOPs", "BOPs");
  std::printf("%-16s %12s %11s %10s %8s %9s %10s %10s\n", "module", "weights", "inputs", "parameters", "zero", "bytes",
              "per node", "per edge");
  const std::vector<ModuleCost> modules = module_costs(network);
  for (const ModuleCost& module : modules) {
    std::printf("%-16s %12s %11s %10lld %8lld %9lld %10.3g %10.3g\n", module.name.c_str(),
                range_text(module.weights).c_str(), range_text(module.inputs).c_str(),
                static_cast<long long>(module.parameters), static_cast<long long>(module.parameters - module.nonzero),
                static_cast<long long>(module.bytes), module.bops_per_node, module.bops_per_edge);
  }
  const ModuleCost& all = modules.back();
  std::printf("an event of %.0f nodes and %.0f edges takes %.3g BOPs and %.3g multiply-accumulates\n\n", kNodes, kEdges,
              kNodes * all.bops_per_node + kEdges * all.bops_per_edge,
              kNodes * all.macs_per_node + kEdges * all.macs_per_edge);
}

void print_network(const TrackFinder& finder) {
  if (const auto* const network = std::get_if<InteractionNetwork>(&finder.network)) {
    print_shape(network->shape);
    std::printf("\n");
    return print_costs(*network);
  }
  print_heading(finder.shape());
  print_costs(std::get<QuantizedNetwork>(finder.network));
}

void print_network(const ShowerFinder& finder) { print_shape(finder.network.shape); }

void print_provenance(const std::string& json) {
  const auto provenance = nlohmann::ordered_json::parse(json, nullptr, false);
  std::printf("provenance  %s\n", provenance.is_discarded() || !provenance.is_object() ? json.c_str() : "");
  if (!provenance.is_object()) return;
  for (const auto& [key, value] : provenance.items()) {
    if (!value.is_string() || value.get<std::string>().find('\n') == std::string::npos) {
      std::printf("  %s: %s\n", key.c_str(),
                  value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
      continue;
    }
    std::printf("  %s:\n", key.c_str());
    std::string text = value.get<std::string>();
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      std::printf("    %s\n", text.substr(begin, end - begin).c_str());
      begin = end + 1;
    }
  }
}

void print_finder(const TrackFinder& finder) {
  std::printf("windows     %d layer pairs, %d layer triples, for tracks above %g GeV\n", finder.windows.layer_pairs(),
              finder.windows.layer_triples(), finder.windows.min_pt());
  std::printf("scales      r %g mm, phi %g, z %g mm, eta %g\n", finder.scales.r, finder.scales.phi, finder.scales.z,
              finder.scales.eta);
  std::printf(
      "track cuts  %s, score %g, walk from %g, add from %g, at least %d hits; on up to %d layers only whole chains\n",
      to_string(finder.cuts.builder).c_str(), finder.cuts.score, finder.cuts.walk_min, finder.cuts.walk_add,
      finder.cuts.min_hits, finder.cuts.chain_layers);
}

/// "a, b and c"; "nothing" for an empty list.
std::string enumeration(const std::vector<std::string>& names) {
  std::string text = names.empty() ? "nothing" : names.front();
  for (std::size_t i = 1; i < names.size(); ++i) text += (i + 1 == names.size() ? " and " : ", ") + names[i];
  return text;
}

void print_finder(const ShowerFinder& finder) {
  const ShowerFeatures& f = finder.features;
  const ShowerOutputs& o = finder.outputs;
  std::vector<std::string> learned = {std::to_string(o.coordinates) + " cluster coordinates"};
  if (o.scale) learned.emplace_back("the scale");
  if (o.energy) learned.emplace_back("energy");
  if (o.position > 0) learned.emplace_back("position");
  if (!o.classes.empty()) learned.emplace_back("the class");
  std::printf("features    energy in %g GeV, direction, distance in %g mm%s%s\n", f.energy, f.distance,
              f.layer > 0 ? ", layer" : "", f.time > 0 ? ", time" : "");
  std::printf("outputs     beta, %s; residual %g\n", enumeration(learned).c_str(), o.residual);
  std::printf("classes     %s\n", enumeration(o.classes).c_str());
  std::printf("cuts        t_beta %g, t_d %g, %s; at least %d hits and %g GeV\n", finder.cuts.t_beta, finder.cuts.t_d,
              to_string(finder.cuts.assign).c_str(), finder.cuts.min_hits, finder.cuts.min_energy);
}

/// The network, what `finder` adds to it, and where the model comes from.
template <typename Finder>
void print_model(const std::filesystem::path& file, const Finder& finder) {
  std::printf("%s\n", file.c_str());
  print_network(finder);
  std::printf("file        %llu bytes\n\n", static_cast<unsigned long long>(std::filesystem::file_size(file)));
  print_finder(finder);
  print_provenance(finder.provenance);
}

template <typename Shape>
nlohmann::ordered_json json_of(const Shape& a) {
  auto result = nlohmann::ordered_json::parse(to_json(a));
  result["parameters"] = parameter_count(a);
  result["bytes"] = 4 * parameter_count(a);
  for (const DenseLayer& layer : layers(a)) {
    result["layers"].push_back(
        {{"name", layer.name}, {"in", layer.in}, {"out", layer.out}, {"parameters", parameter_count(layer)}});
  }
  return result;
}

/// The network of a model: its shape, layers and, of an interaction network, what its modules cost.
nlohmann::ordered_json json_of(const TrackFinder& finder) {
  nlohmann::ordered_json result = json_of(finder.shape());
  std::visit(
      [&](const auto& network) {
        for (const ModuleCost& module : module_costs(network)) {
          result["modules"].push_back({{"name", module.name},
                                       {"weight_bits", {module.weights.first, module.weights.second}},
                                       {"input_bits", {module.inputs.first, module.inputs.second}},
                                       {"parameters", module.parameters},
                                       {"nonzero", module.nonzero},
                                       {"bytes", module.bytes},
                                       {"macs_per_node", module.macs_per_node},
                                       {"macs_per_edge", module.macs_per_edge},
                                       {"bops_per_node", module.bops_per_node},
                                       {"bops_per_edge", module.bops_per_edge}});
        }
      },
      finder.network);
  result["bytes"] = result["modules"].back()["bytes"];
  return result;
}

nlohmann::ordered_json json_of(const ShowerFinder& finder) { return json_of(finder.network.shape); }

nlohmann::ordered_json parts_of(const TrackFinder& finder) {
  return {{"windows",
           {{"layer_pairs", finder.windows.layer_pairs()},
            {"layer_triples", finder.windows.layer_triples()},
            {"min_pt", finder.windows.min_pt()}}},
          {"scales",
           {{"r", finder.scales.r}, {"phi", finder.scales.phi}, {"z", finder.scales.z}, {"eta", finder.scales.eta}}},
          {"track_cuts", nlohmann::ordered_json::parse(to_json(finder.cuts))}};
}

nlohmann::ordered_json parts_of(const ShowerFinder& finder) {
  const Model model = finder.to_model();
  nlohmann::ordered_json parts;
  for (const char* const section : {"features", "outputs", "cuts"}) {
    parts[section] = nlohmann::ordered_json::parse(model.section(section));
  }
  return parts;
}

template <typename Finder>
void print_json(const std::filesystem::path& file, const Finder& finder) {
  nlohmann::ordered_json line = {{"model", file.string()}};
  line.update(json_of(finder));
  line["file_bytes"] = std::filesystem::file_size(file);
  line.update(parts_of(finder));
  const auto provenance = nlohmann::ordered_json::parse(finder.provenance, nullptr, false);
  line["provenance"] = provenance.is_discarded() ? nlohmann::ordered_json(finder.provenance) : provenance;
  print_line(line);
}

class Info final : public Command {
 public:
  Info()
      : Command("info", "Describe a model file, or an interaction network of the given shape.",
                {"starling info models/showers.safetensors", "starling info --hidden 48 --steps 8"}) {}

  void declare(Options& options) override {
    Option& model = options.path("MODEL", "", model_file_, "model file");
    shape_options_ = {
        &options.number("--hidden", shape_.hidden, 1, 1024, "hidden width H"),
        &options.number("--steps", shape_.steps, 1, 64, "message-passing steps N"),
        &options.flag("--recurrent", shape_.recurrent, "one edge and one node network shared by all steps"),
        &options.text("--norm", norm_, "", {"batch", "layer", "none"}),
        &options.flag("--no-bias", no_bias_, "without biases"),
        &options.flag("--no-concat", no_concat_, "without the encoders' outputs in every step"),
    };
    std::vector<std::string> names;
    for (const Option* option : shape_options_) names.push_back(option->name);
    model.excludes(std::move(names));
    options.flag("--json", json_, "one JSON line instead of a table");
  }

  void run() override;

 private:
  std::filesystem::path model_file_;  ///< empty: describe shape_ instead
  InteractionNetworkShape shape_;
  std::vector<const Option*> shape_options_;
  std::string norm_ = "layer";
  bool no_bias_ = false, no_concat_ = false, json_ = false;
};

void Info::run() {
  if (model_file_.empty()) {
    if (std::none_of(shape_options_.begin(), shape_options_.end(),
                     [](const Option* option) { return option->given; })) {
      throw Error(ErrorKind::usage, "info: expected a model file, or --hidden and --steps");
    }
    shape_.norm = parse_norm(norm_);
    shape_.bias = !no_bias_;
    shape_.concat = !no_concat_;
    if (json_) {
      print_line(json_of(shape_));
    } else {
      print_shape(shape_);
    }
    return;
  }
  const Model model = Model::load(model_file_);
  const auto describe = [&](const auto& finder) {
    json_ ? print_json(model_file_, finder) : print_model(model_file_, finder);
  };
  switch (kind_of(model)) {
    case ModelKind::tracks:
      return describe(TrackFinder::from_model(model));
    case ModelKind::showers:
      return describe(ShowerFinder::from_model(model));
  }
}

}  // namespace

std::unique_ptr<Command> info_command() { return std::make_unique<Info>(); }

}  // namespace starling::cli
