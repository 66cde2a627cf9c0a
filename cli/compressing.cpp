#include <cmath>

#include "command.h"
#include "console.h"
#include "ending.h"
#include "learn/compress/compress.h"
#include "plot.h"
#include "starling/device.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr const char* kPicture = "compress.png";

// Efficiency and purities of the stages against the parameters left and against the bit operations.
Plot plot(const std::vector<learn::StageResult>& results) {
  Plot plot(1100, 480);
  plot << "$data << END\n";
  for (const learn::StageResult& one : results) {
    plot << one.nonzero << ' ' << one.bops << ' ' << one.efficiency << ' ' << one.target_purity << ' '
         << one.total_purity << '\n';
  }
  plot << "END\n"
          "set multiplot layout 1,2\nset grid\nset logscale x\nset format x '%.0s%c'\n"
          "set ylabel 'edges of validation events'\nset key bottom right\n";
  for (const auto& [column, label] : {std::pair{1, "parameters that are not zero"}, {2, "bit operations per event"}}) {
    plot << "set xlabel " << Plot::quoted(label) << "\nplot ";
    int values = 3;
    for (const char* const title : {"efficiency", "target purity", "total purity"}) {
      plot << "$data using " << column << ':' << values << " with linespoints pointtype 7 title " << Plot::quoted(title)
           << (values == 5 ? "\n" : ", ");
      ++values;
    }
  }
  plot << "unset multiplot\n";
  return plot;
}

class Compressing final : public Command {
 public:
  Compressing()
      : Command("compress", "Make a network of tracks compact: distil, quantise and prune it, and say what it costs.",
                {"starling compress configs/compress-quick.toml --set training.output=runs/compress"}) {}

  void declare(Options& options) override {
    options.path("CONFIG", "", request_.configuration, "TOML file, see docs/compress.md").required();
    options.flag("--resume", request_.run.resume, "go on where the run in the output folder stands, if there is one");
    options.texts("--set", "KEY=VALUE", request_.assignments,
                  "section.key=value, over what the file says; may be given several times");
    options.text("--device", device_, "", {"cpu", "cuda"});
  }

  void run() override {
    only_note_interrupts();  // the run is saved before it ends
    Console console;
    request_.run.device = parse_device(device_);
    request_.run.monitor = &console;
    bool drawable = true;  // gnuplot may not be installed: said once
    request_.draw = [&](const std::vector<learn::StageResult>& results, const std::filesystem::path& folder) {
      if (!drawable) return;
      try {
        Plot::check_place(folder / kPicture);
        drawable = plot(results).save(folder / kPicture);
      } catch (const Error& error) {
        console.say("warning: " + std::string(error.what()));
      }
    };
    learn::compress(request_);
  }

 private:
  learn::CompressRequest request_;
  std::string device_ = "cpu";
};

}  // namespace

std::unique_ptr<Command> compressing_command() { return std::make_unique<Compressing>(); }

}  // namespace starling::cli
