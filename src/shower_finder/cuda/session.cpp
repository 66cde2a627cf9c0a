#include <string>

#include "cuda/session.h"
#include "memory/layout.h"
#include "shower_finder/session.h"
#include "starling/error.h"

namespace starling::shower_finder {
namespace {

/// An event on the device.
struct Arrays {
  float *x, *y, *z, *energy, *time;
  std::int32_t* layer;
  float *features, *outputs;
  ShowerPoints points;
  std::int32_t *id, *point, *bad_rows;
  std::span<std::byte> network, condense;
};

class CudaRunner final : public Runner {
 public:
  explicit CudaRunner(const ShowerFinder& finder)
      : plan_(finder.network,
              weights_.at_least(GravNetCudaPlan::weights_bytes(finder.network.shape), ErrorKind::device)),
        features_(finder.features),
        outputs_(finder.outputs),
        cuts_(finder.cuts) {}

  FoundShowers run(const CalorimeterHitsView& hits) override {
    hits.check();
    const auto count = static_cast<std::size_t>(hits.size());
    std::vector<float> outputs(count * static_cast<std::size_t>(outputs_.columns())), beta(count);
    std::vector<std::int32_t> id(count), point(count), bad_rows = {-1, -1};
    if (count > 0) {
      Arrays arrays{};
      lay_out(hits, memory_.at_least(lay_out(hits, {}, arrays), ErrorKind::input), arrays);
      start(upload(hits, arrays), arrays);
      stream_.download(arrays.outputs, std::span(outputs));
      stream_.download(arrays.points.beta, std::span(beta));
      stream_.download(arrays.id, std::span(id));
      stream_.download(arrays.point, std::span(point));
      stream_.download(arrays.bad_rows, std::span(bad_rows));
      stream_.wait();
    }
    const auto refuse = [](std::int32_t hit, const char* what) {
      if (hit >= 0)
        throw Error(ErrorKind::input, "hit " + std::to_string(hit) + ": its " + what +
                                          " are not finite: the network does not fit this event");
    };
    refuse(bad_rows[0], "learned coordinates");
    check_finite(outputs, outputs_.columns());
    refuse(bad_rows[1], "cluster coordinates");
    return showers_of_clusters(hits, outputs, outputs_, cuts_, beta, id, point);
  }

  std::size_t device_bytes() const override { return weights_.size() + memory_.size(); }

 private:
  CondenseHits<float> points_of(std::int32_t count, const Arrays& arrays) const {
    CondenseHits<float> points;
    points.beta = arrays.points.beta;
    points.x = arrays.points.x;
    points.num_hits = count;
    points.dimensions = outputs_.coordinates;
    points.scale = outputs_.scale ? arrays.points.scale : nullptr;
    return points;
  }
  CondenseOptions options() const { return {cuts_.t_beta, cuts_.t_d, cuts_.assign}; }
  Execution on_device(std::int32_t* bad_row) const {
    return {.device = Device::cuda, .stream = stream_, .bad_row = bad_row};
  }

  std::size_t lay_out(const CalorimeterHitsView& hits, std::span<std::byte> memory, Arrays& arrays) const {
    static float somewhere = 0;  // a size query asks only whether arrays are there
    const auto count = static_cast<std::size_t>(hits.size());
    memory::Layout layout(memory);
    for (float** const column : {&arrays.x, &arrays.y, &arrays.z, &arrays.energy}) *column = layout.take<float>(count);
    arrays.time = layout.take<float>(hits.time.size());
    arrays.layer = layout.take<std::int32_t>(hits.layer.size());
    arrays.features = layout.take<float>(count * kShowerFeatures);
    arrays.outputs = layout.take<float>(count * static_cast<std::size_t>(outputs_.columns()));
    arrays.points.beta = layout.take<float>(count);
    arrays.points.x = layout.take<float>(count * static_cast<std::size_t>(outputs_.coordinates));
    arrays.points.scale = layout.take<float>(count);
    for (std::int32_t** const column : {&arrays.id, &arrays.point}) *column = layout.take<std::int32_t>(count);
    arrays.bad_rows = layout.take<std::int32_t>(2);
    GravNetHits rows;
    rows.num_hits = hits.size();
    const std::size_t network = plan_.workspace_bytes(rows);
    arrays.network = {layout.take<std::byte>(network), network};
    CondenseHits<float> points = points_of(hits.size(), arrays);
    points.beta = points.x = &somewhere;
    const std::size_t condense = condense_workspace_bytes(points, options(), on_device(nullptr));
    arrays.condense = {layout.take<std::byte>(condense), condense};
    return layout.bytes();
  }

  CalorimeterHitsView upload(const CalorimeterHitsView& hits, const Arrays& arrays) const {
    return {stream_.upload(hits.x, arrays.x),       stream_.upload(hits.y, arrays.y),
            stream_.upload(hits.z, arrays.z),       stream_.upload(hits.energy, arrays.energy),
            stream_.upload(hits.time, arrays.time), stream_.upload(hits.layer, arrays.layer)};
  }

  /// From hits to clusters, all on the stream.
  void start(const CalorimeterHitsView& hits, const Arrays& arrays) const {
    const Execution first = on_device(arrays.bad_rows), second = on_device(arrays.bad_rows + 1);
    shower_features(hits, features_, arrays.features, first);
    GravNetHits rows;
    rows.features = arrays.features;
    rows.num_hits = hits.size();
    plan_.run(rows, arrays.outputs, arrays.network, first);
    shower_points(hits, outputs_, arrays.outputs, arrays.points, first);
    starling::condense(points_of(hits.size(), arrays), options(), {arrays.id, arrays.point, nullptr}, arrays.condense,
                       second);
  }

  starling::cuda::DeviceMemory weights_, memory_;
  starling::cuda::Stream stream_;
  GravNetCudaPlan plan_;
  ShowerFeatures features_;
  ShowerOutputs outputs_;
  ShowerCuts cuts_;
};

}  // namespace

std::unique_ptr<Runner> cuda_runner(const ShowerFinder& finder) {
  require_cuda();
  return std::make_unique<CudaRunner>(finder);
}

}  // namespace starling::shower_finder
