// `starling reconstruct`: hits in, particles out. The model's kind says what is looked for; each kind has a file of its
// own.
#include "reconstruct.h"

#include "command.h"
#include "environment.h"
#include "model_kind.h"
#include "starling/error.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

class Reconstruct final : public Command {
 public:
  Reconstruct()
      : Command("reconstruct", "Find the tracks or showers of events; the model's kind says which.",
                {"starling reconstruct events --out tracks --picture",
                 "starling reconstruct clic --map maps/clic.toml --out showers --picture"}) {}

  void declare(Options& options) override {
    to_.events.declare(options);
    to_.events.declare_map(options);
    declare_model(options, model_file_).by_default("the shipped one for the detector of the first event");
    options.path("--out", "DIR", to_.out, "folder for <event>-tracks.csv, or <event>-clusters.csv and -particles.csv")
        .required();
    options.flag("--picture", to_.picture,
                 "draw <event>-tracks.png, or <event>-clusters.png with the truth beside, with gnuplot");
    declare_device(options, device_);
    options.flag("--json", to_.json, "one JSON line per event instead of a table");
    options.threads();
    options.flag("--scores", write_scores_, "tracks: write <event>-scores.csv too (hit_id_src, hit_id_dst, score)");
    tracks_.declare(options, "tracks: components, junction_removal: edges below take no part");
    showers_.declare(options);
  }

  void run() override;

 private:
  void tracks(const Model& model);
  void showers(const Model& model);

  fs::path model_file_;
  Reconstruction to_;
  TrackOptions tracks_;
  ShowerCutOptions showers_;
  std::string device_ = "cpu";
  bool write_scores_ = false;
};

void Reconstruct::run() {
  const Device device = parse_device(device_);
  if (device == Device::cuda) require_cuda();
  to_.prefixes = to_.events.prefixes();
  if (model_file_.empty()) {
    model_file_ = shipped_file(to_.events.of_calorimeter(to_.prefixes) ? "models/showers.safetensors"
                                                                       : "models/tracking.safetensors");
  }
  const Model model = Model::load(model_file_);
  switch (kind_of(model)) {
    case ModelKind::tracks:
      return tracks(model);
    case ModelKind::showers:
      return showers(model);
  }
}

void Reconstruct::tracks(const Model& model) {
  if (const char* const option = to_.events.map ? "--map" : showers_.given()) {
    throw Error(ErrorKind::usage, std::string(option) + ": " + model_file_.string() +
                                      " finds tracks: expected this option with a model of showers");
  }
  to_.events.check_model(to_.prefixes, ModelKind::tracks, model_file_);
  TrackFinder finder = TrackFinder::from_model(model);
  finder.cuts = tracks_.applied_to(finder.cuts, false);
  make_output_folder(to_.out);
  reconstruct_tracks(to_, finder, parse_device(device_), write_scores_);
}

void Reconstruct::showers(const Model& model) {
  if (const char* const option = write_scores_ ? "--scores" : tracks_.given()) {
    throw Error(ErrorKind::usage, std::string(option) + ": " + model_file_.string() +
                                      " finds showers: expected this option with a model of tracks");
  }
  to_.events.check_model(to_.prefixes, ModelKind::showers, model_file_);
  ShowerFinder finder = ShowerFinder::from_model(model);
  finder.cuts = showers_.applied_to(finder.cuts);
  make_output_folder(to_.out);
  reconstruct_showers(to_, finder, parse_device(device_));
}

}  // namespace

std::unique_ptr<Command> reconstruct_command() { return std::make_unique<Reconstruct>(); }

}  // namespace starling::cli
