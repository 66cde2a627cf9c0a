#include "compress_pictures.h"

#include <string>
#include <utility>

#include "evaluation.h"
#include "event_loop.h"
#include "plot.h"
#include "session_pool.h"
#include "starling/error.h"
#include "starling/track_finder.h"

namespace starling::cli {
namespace {

constexpr const char* kPicture = "compress.png";

// Efficiency and purities of the stages against the parameters left and against the bit operations.
Plot plot(const std::vector<learn::StageResult>& results) {
  const std::pair<const char*, const char*> metrics[] = {
      {"efficiency", "efficiency"}, {"target_purity", "target purity"}, {"total_purity", "total purity"}};
  Plot plot(1100, 480);
  plot << "$data << END\n";
  for (const auto& [name, run] : results) {
    plot << run.nonzero << ' ' << run.bops;
    for (const auto& [metric, title] : metrics) plot << ' ' << run.metric(metric);
    plot << '\n';
  }
  plot << "END\n"
          "set multiplot layout 1,2\nset grid\nset logscale x\nset format x '%.0s%c'\n"
          "set ylabel 'edges of validation events'\nset key bottom right\n";
  for (const auto& [column, label] : {std::pair{1, "parameters that are not zero"}, {2, "bit operations per event"}}) {
    plot << "set xlabel " << Plot::quoted(label) << "\nplot ";
    int values = 3;
    for (const auto& [metric, title] : metrics) {
      plot << "$data using " << column << ':' << values << " with linespoints pointtype 7 title " << Plot::quoted(title)
           << (values == 5 ? "\n" : ", ");
      ++values;
    }
  }
  plot << "unset multiplot\n";
  return plot;
}

}  // namespace

void CompressPictures::check_folder(const std::filesystem::path& folder) const {
  Plot::check_place(folder / kPicture);
  Curves::check_places(folder);
}

void CompressPictures::draw(const std::vector<learn::StageResult>& results, const std::filesystem::path& folder) {
  if (!drawable_) return;
  try {
    drawable_ = plot(results).save(folder / kPicture);
  } catch (const Error& error) {
    monitor_.say("warning: " + std::string(error.what()));
  }
}

void CompressPictures::draw_curves(const learn::CurveRequest& request) {
  std::vector<std::pair<std::string, Curves>> networks;
  double done = 0;
  const double all = static_cast<double>(request.events * request.models.size());
  for (const auto& [name, model] : request.models) {
    const TrackFinder finder = TrackFinder::load(model);
    SessionPool<TrackSession> sessions = track_sessions(finder, Device::cpu);
    Curves curves;
    const auto evaluate = [&](std::size_t i) {
      if (monitor_.interrupted()) {
        throw Error(ErrorKind::interrupted, "stopped while evaluating; go on with --resume");
      }
      return evaluate_event(request.event(i), sessions, finder.cuts, {request.target}).curves;
    };
    in_flight(request.events, evaluate, [&](const Curves& of_event) {
      curves += of_event;
      monitor_.show(++done / all, "evaluating " + name);
    });
    networks.emplace_back(name, std::move(curves));
  }
  try {
    Curves::write_all(networks, request.folder, drawable_);
  } catch (const Error& error) {
    monitor_.say("warning: " + std::string(error.what()));
  }
}

}  // namespace starling::cli
