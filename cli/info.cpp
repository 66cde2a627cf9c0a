#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.h"
#include "output.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::cli {
namespace {

std::string after(const DenseLayer& layer) {
  std::string text;
  if (layer.norm != Norm::none) text += to_string(layer.norm) + " norm, ";
  if (layer.relu) text += "ReLU";
  return text;
}

void print_shape(const InteractionNetworkShape& a) {
  std::printf("interaction network: H = %d, N = %d%s, %s normalisation, %s biases, %s concatenation\n\n", a.hidden,
              a.steps, a.recurrent ? ", recurrent" : "", to_string(a.norm).c_str(), a.bias ? "with" : "without",
              a.concat ? "with" : "without");
  std::printf("%-22s %6s %6s %10s   %s\n", "layer", "in", "out", "parameters", "then");
  for (const DenseLayer& layer : layers(a)) {
    std::printf("%-22s %6d %6d %10lld   %s\n", layer.name.c_str(), layer.in, layer.out,
                static_cast<long long>(parameter_count(layer)), after(layer).c_str());
  }
  const std::int64_t parameters = parameter_count(a);
  std::printf("\nparameters  %lld\nbytes       %lld as float32\n", static_cast<long long>(parameters),
              static_cast<long long>(parameters * 4));
}

void print_finder(const TrackFinder& finder, std::uintmax_t file_bytes) {
  std::printf("file        %llu bytes\n\n", static_cast<unsigned long long>(file_bytes));
  std::printf("windows     %d layer pairs, %d layer triples, for tracks above %g GeV\n", finder.windows.layer_pairs(),
              finder.windows.layer_triples(), finder.windows.min_pt());
  std::printf("scales      r %g mm, phi %g, z %g mm, eta %g\n", finder.scales.r, finder.scales.phi, finder.scales.z,
              finder.scales.eta);
  std::printf(
      "track cuts  %s, score %g, walk from %g, add from %g, at least %d hits; on up to %d layers only whole chains\n",
      to_string(finder.cuts.builder).c_str(), finder.cuts.score, finder.cuts.walk_min, finder.cuts.walk_add,
      finder.cuts.min_hits, finder.cuts.chain_layers);
  const auto provenance = nlohmann::ordered_json::parse(finder.provenance, nullptr, false);
  std::printf("provenance  %s\n",
              provenance.is_discarded() || !provenance.is_object() ? finder.provenance.c_str() : "");
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

nlohmann::ordered_json json_of(const InteractionNetworkShape& a) {
  auto result = nlohmann::ordered_json::parse(to_json(a));
  result["parameters"] = parameter_count(a);
  result["bytes"] = 4 * parameter_count(a);
  for (const DenseLayer& layer : layers(a)) {
    result["layers"].push_back(
        {{"name", layer.name}, {"in", layer.in}, {"out", layer.out}, {"parameters", parameter_count(layer)}});
  }
  return result;
}

class Info final : public Command {
 public:
  Info()
      : Command("info", "Describe a model file, or a network of the given shape.",
                "starling info --hidden 48 --steps 8") {}

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
  const TrackFinder finder = TrackFinder::load(model_file_);
  const std::uintmax_t file_bytes = std::filesystem::file_size(model_file_);
  if (!json_) {
    std::printf("%s\n", model_file_.c_str());
    print_shape(finder.network.shape);
    print_finder(finder, file_bytes);
    return;
  }
  nlohmann::ordered_json line = {{"model", model_file_.string()}};
  line.update(json_of(finder.network.shape));
  line["file_bytes"] = file_bytes;
  line["windows"] = {{"layer_pairs", finder.windows.layer_pairs()},
                     {"layer_triples", finder.windows.layer_triples()},
                     {"min_pt", finder.windows.min_pt()}};
  line["scales"] = {
      {"r", finder.scales.r}, {"phi", finder.scales.phi}, {"z", finder.scales.z}, {"eta", finder.scales.eta}};
  line["track_cuts"] = nlohmann::ordered_json::parse(to_json(finder.cuts));
  const auto provenance = nlohmann::ordered_json::parse(finder.provenance, nullptr, false);
  line["provenance"] = provenance.is_discarded() ? nlohmann::ordered_json(finder.provenance) : provenance;
  print_line(line);
}

}  // namespace

std::unique_ptr<Command> info_command() { return std::make_unique<Info>(); }

}  // namespace starling::cli
