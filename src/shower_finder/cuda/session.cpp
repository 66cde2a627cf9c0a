#include <cuda_runtime_api.h>

#include <string>

#include "cuda/call.h"
#include "memory/layout.h"
#include "shower_finder/session.h"
#include "starling/error.h"

namespace starling::shower_finder {
namespace {

using starling::cuda::call;

/// Memory of the device that was current when it was made.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { cudaFree(data_); }

  /// At least so many bytes; what they held is lost where they grow.
  std::span<std::byte> at_least(std::size_t size) {
    if (size > size_) {
      call(cudaFree(data_));
      data_ = nullptr;
      size_ = 0;
      call(cudaMalloc(&data_, size));
      size_ = size;
    }
    return {static_cast<std::byte*>(data_), size_};
  }

 private:
  void* data_ = nullptr;
  std::size_t size_ = 0;
};

class Stream {
 public:
  Stream() { call(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() { cudaStreamDestroy(stream_); }
  operator cudaStream_t() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
};

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
      : plan_(finder.network, weights_.at_least(GravNetCudaPlan::weights_bytes(finder.network.shape))),
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
      lay_out(hits, memory_.at_least(lay_out(hits, {}, arrays)), arrays);
      start(upload(hits, arrays), arrays);
      download(arrays.outputs, outputs);
      download(arrays.points.beta, beta);
      download(arrays.id, id);
      download(arrays.point, point);
      download(arrays.bad_rows, bad_rows);
      call(cudaStreamSynchronize(stream_));
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

  template <typename T>
  std::span<const T> upload(std::span<const T> from, T* to) const {
    call(cudaMemcpyAsync(to, from.data(), from.size_bytes(), cudaMemcpyHostToDevice, stream_));
    return {to, from.size()};
  }
  template <typename T>
  void download(const T* from, std::vector<T>& to) const {
    call(cudaMemcpyAsync(to.data(), from, to.size() * sizeof(T), cudaMemcpyDeviceToHost, stream_));
  }

  CalorimeterHitsView upload(const CalorimeterHitsView& hits, const Arrays& arrays) const {
    return {upload(hits.x, arrays.x),           upload(hits.y, arrays.y),       upload(hits.z, arrays.z),
            upload(hits.energy, arrays.energy), upload(hits.time, arrays.time), upload(hits.layer, arrays.layer)};
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

  DeviceMemory weights_, memory_;
  Stream stream_;
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
