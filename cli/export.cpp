#include <algorithm>
#include <cstdio>
#include <string_view>
#include <utility>
#include <variant>

#include "command.h"
#include "files/files.h"
#include "starling/error.h"
#include "starling/onnx.h"
#include "starling/track_finder.h"

namespace starling::cli {
namespace fs = std::filesystem;

namespace {

/// How every ONNX file of Starling begins: the version of its format, and who made it.
constexpr std::string_view kOnnxStart = "\x08\x08\x12\x08starling";

/// The sections of a model that say what its network reads, what its answers are for and where it comes from.
OnnxMetadata metadata_of(const TrackFinder& finder) {
  OnnxMetadata metadata;
  for (const auto& [key, text] : finder.to_model().content.metadata) {
    if (key == "architecture" || key == "scales" || key == "cuts" || key == "provenance") metadata[key] = text;
  }
  return metadata;
}

class Export final : public Command {
 public:
  Export()
      : Command("export", "Write the network of a tracking model as an ONNX file.",
                {"starling export models/tracking.safetensors --onnx tracking.onnx"}) {}

  void declare(Options& options) override {
    options.path("MODEL", "", model_file_, "model file of tracking").required();
    options.path("OUT", "", out_, "ONNX file to write").required();
    forms_ = {
        &options.flag("--onnx", onnx_, "of a network in float"),
        &options.flag("--qdq", qdq_, "of one in codes of 8 bits and more, with QuantizeLinear and DequantizeLinear"),
        &options.flag("--qcdq", qcdq_, "of one in codes: the same, with Clip where there are fewer than 8 bits"),
        &options.flag("--qonnx", qonnx_, "of one in codes, with Quant of the domain qonnx.custom_op.general"),
    };
    for (Option* const form : forms_) {
      std::vector<std::string> others;
      for (const Option* const other : forms_) {
        if (other != form) others.push_back(other->name);
      }
      form->excludes(std::move(others));
    }
  }

  void run() override {
    const auto given = std::find_if(forms_.begin(), forms_.end(), [](const Option* form) { return form->given; });
    if (given == forms_.end()) {
      throw Error(ErrorKind::usage, "export: expected one of --onnx, --qdq, --qcdq and --qonnx");
    }
    const TrackFinder finder = TrackFinder::load(model_file_);
    files::check_place(out_, [](std::string_view head) { return head.starts_with(kOnnxStart); });
    const std::string content = onnx_of(finder, (*given)->name);
    files::write(out_, content);
    std::printf("%s: %zu bytes\n", out_.c_str(), content.size());
  }

 private:
  std::string onnx_of(const TrackFinder& finder, const std::string& form) const {
    if (const auto* const network = std::get_if<InteractionNetwork>(&finder.network)) {
      if (onnx_) return to_onnx(*network, metadata_of(finder));
      throw Error(ErrorKind::usage, form + ": " + model_file_.string() + " holds a network in float, expected --onnx");
    }
    if (onnx_) {
      throw Error(ErrorKind::usage,
                  "--onnx: " + model_file_.string() + " holds a network in codes, expected --qdq, --qcdq or --qonnx");
    }
    const OnnxQuantization quantization = qdq_    ? OnnxQuantization::qdq
                                          : qcdq_ ? OnnxQuantization::qcdq
                                                  : OnnxQuantization::qonnx;
    try {
      return to_onnx(std::get<QuantizedNetwork>(finder.network), quantization, metadata_of(finder));
    } catch (const Error& error) {
      throw Error(error.kind(), model_file_.string() + ": " + error.what());
    }
  }

  fs::path model_file_, out_;
  bool onnx_ = false, qdq_ = false, qcdq_ = false, qonnx_ = false;
  std::vector<Option*> forms_;
};

}  // namespace

std::unique_ptr<Command> export_command() { return std::make_unique<Export>(); }

}  // namespace starling::cli
