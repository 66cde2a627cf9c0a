#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "command.h"
#include "report.h"
#include "starling/error.h"
#include "starling/network.h"

namespace starling::cli {
namespace {

// Parameters of one linear layer: weights, biases, and the affine of batch normalisation.
std::int64_t parameters_of(const Layer& layer, const Architecture& architecture) {
  std::int64_t count = std::int64_t{layer.in} * layer.out;
  if (architecture.bias) count += layer.out;
  if (architecture.norm == Norm::batch && layer.normalised) count += 2 * layer.out;
  return count;
}

std::string after(const Layer& layer, const Architecture& architecture) {
  std::string text;
  if (layer.normalised && architecture.norm != Norm::none) text += to_string(architecture.norm) + " norm, ";
  if (layer.activated) text += "ReLU";
  return text;
}

void print_architecture(const Architecture& a) {
  std::printf("interaction network: H = %d, N = %d%s, %s normalisation, %s biases, %s concatenation\n\n", a.hidden,
              a.steps, a.recurrent ? ", recurrent" : "", to_string(a.norm).c_str(), a.bias ? "with" : "without",
              a.concat ? "with" : "without");
  std::printf("%-22s %6s %6s %10s   %s\n", "layer", "in", "out", "parameters", "then");
  for (const Layer& layer : layers(a)) {
    std::printf("%-22s %6d %6d %10lld   %s\n", layer.name.c_str(), layer.in, layer.out,
                static_cast<long long>(parameters_of(layer, a)), after(layer, a).c_str());
  }
  const std::int64_t parameters = parameter_count(a);
  std::printf("\nparameters  %lld\nbytes       %lld as float32\n", static_cast<long long>(parameters),
              static_cast<long long>(parameters * 4));
}

void print_model(const Model& model, std::uintmax_t file_bytes) {
  std::printf("file        %llu bytes\n\n", static_cast<unsigned long long>(file_bytes));
  std::printf("windows     %d layer pairs, %d layer triples, for tracks above %g GeV\n", model.windows.layer_pairs(),
              model.windows.layer_triples(), model.windows.min_pt());
  std::printf("scales      r %g mm, phi %g, z %g mm, eta %g\n", model.scales.r, model.scales.phi, model.scales.z,
              model.scales.eta);
  std::printf(
      "track cuts  %s, score %g, walk from %g, add from %g, at least %d hits; on up to %d layers only whole chains\n",
      to_string(model.cuts.builder).c_str(), model.cuts.score, model.cuts.walk_min, model.cuts.walk_add,
      model.cuts.min_hits, model.cuts.chain_layers);
  const auto provenance = nlohmann::ordered_json::parse(model.provenance, nullptr, false);
  std::printf("provenance  %s\n", provenance.is_discarded() || !provenance.is_object() ? model.provenance.c_str() : "");
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

nlohmann::ordered_json json_of(const Architecture& a) {
  nlohmann::ordered_json result = {
      {"hidden", a.hidden}, {"steps", a.steps},   {"recurrent", a.recurrent},         {"norm", to_string(a.norm)},
      {"bias", a.bias},     {"concat", a.concat}, {"parameters", parameter_count(a)}, {"bytes", 4 * parameter_count(a)},
  };
  for (const Layer& layer : layers(a)) {
    result["layers"].push_back(
        {{"name", layer.name}, {"in", layer.in}, {"out", layer.out}, {"parameters", parameters_of(layer, a)}});
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
    shape_ = {
        &options.number("--hidden", architecture_.hidden, 1, 1024, "hidden width H"),
        &options.number("--steps", architecture_.steps, 1, 64, "message-passing steps N"),
        &options.flag("--recurrent", architecture_.recurrent, "one edge and one node network shared by all steps"),
        &options.text("--norm", norm_, "", {"batch", "layer", "none"}),
        &options.flag("--no-bias", no_bias_, "without biases"),
        &options.flag("--no-concat", no_concat_, "without the encoders' outputs in every step"),
    };
    std::vector<std::string> names;
    for (const Option* option : shape_) names.push_back(option->name);
    model.excludes(std::move(names));
    options.flag("--json", json_, "one JSON line instead of a table");
  }

  void run() override;

 private:
  std::filesystem::path model_file_;  ///< empty: describe architecture_ instead
  Architecture architecture_;
  std::vector<const Option*> shape_;
  std::string norm_ = "layer";
  bool no_bias_ = false, no_concat_ = false, json_ = false;
};

void Info::run() {
  if (model_file_.empty()) {
    if (std::none_of(shape_.begin(), shape_.end(), [](const Option* option) { return option->given; })) {
      throw Error(ErrorKind::usage, "info: expected a model file, or --hidden and --steps");
    }
    architecture_.norm = parse_norm(norm_);
    architecture_.bias = !no_bias_;
    architecture_.concat = !no_concat_;
    if (json_) {
      print_line(json_of(architecture_));
    } else {
      print_architecture(architecture_);
    }
    return;
  }
  const Model model = Model::load(model_file_);
  const std::uintmax_t file_bytes = std::filesystem::file_size(model_file_);
  if (!json_) {
    std::printf("%s\n", model_file_.c_str());
    print_architecture(model.architecture);
    print_model(model, file_bytes);
    return;
  }
  nlohmann::ordered_json line = {{"model", model_file_.string()}};
  line.update(json_of(model.architecture));
  line["file_bytes"] = file_bytes;
  line["windows"] = {{"layer_pairs", model.windows.layer_pairs()},
                     {"layer_triples", model.windows.layer_triples()},
                     {"min_pt", model.windows.min_pt()}};
  line["scales"] = {{"r", model.scales.r}, {"phi", model.scales.phi}, {"z", model.scales.z}, {"eta", model.scales.eta}};
  line["track_cuts"] = to_json(model.cuts);
  const auto provenance = nlohmann::ordered_json::parse(model.provenance, nullptr, false);
  line["provenance"] = provenance.is_discarded() ? nlohmann::ordered_json(model.provenance) : provenance;
  print_line(line);
}

}  // namespace

std::unique_ptr<Command> info_command() { return std::make_unique<Info>(); }

}  // namespace starling::cli
