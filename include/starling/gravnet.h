#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "starling/dense.h"
#include "starling/device.h"
#include "starling/model.h"

namespace starling {

/// A network of dense layers and GravNet layers (docs/definitions.md, Shower network). The defaults are the widths of
/// FastGraphCompute's performance test, which published comparisons use.
struct GravNetShape {
  int inputs = 0;         ///< features of a hit, 1..1024
  int hidden = 128;       ///< widest dense layers, 1..1024
  int width = 64;         ///< of what a GravNet layer and a block give, 1..1024
  int blocks = 4;         ///< 1..64
  int space = 4;          ///< S, dimensions of the learned coordinates, 1..16
  int propagate = 32;     ///< P, features that a message carries, 1..1024
  int k = 64;             ///< neighbours of a hit, itself among them, 1..1024
  int outputs = 0;        ///< 1..1024
  float factor = 10;      ///< f of the weight exp(−f d²), 0..10^6
  bool subtract = false;  ///< a hit gets its own h minus mean and maximum of the messages, not these themselves
  bool concat = false;    ///< fc3 reads what all blocks gave, side by side, and not the last alone

  bool operator==(const GravNetShape&) const = default;
};

/// Every layer in the order of the definitions: fc1, fc2, per block i gravnet_layers.i.lin_s, .lin_h, .lin_out1 and
/// .lin_out2 and dense_after_gravnet.i.0, .2 and .4, then fc3 and fc4. None has a normalisation: training folds its own
/// into weights and biases. Throws ErrorKind::usage for a value out of range.
std::vector<DenseLayer> layers(const GravNetShape& shape);

std::int64_t parameter_count(const GravNetShape& shape);

/// The shape as a JSON object: one key per member, and "kind": "gravnet".
std::string to_json(const GravNetShape& shape);

/// A network in float.
struct GravNet {
  GravNetShape shape;
  Weights weights;  ///< those of layers(shape), and no others

  /// Into a model: the section `architecture`, and one F32 array per array of layers(shape). Throws ErrorKind::usage
  /// where the weights are not those of the shape, or not finite.
  void to_model(Model& model) const;
  /// Throws ErrorKind::input, naming the model's file. Arrays of other names are left to the caller.
  static GravNet from_model(const Model& model);
};

/// The hits of events, in memory of the device that a network runs on.
struct GravNetHits {
  const float* features = nullptr;  ///< [num_hits, inputs]
  std::int32_t num_hits = 0;
  const std::int32_t* row_splits = nullptr;  ///< [num_events + 1]; null = one event
  std::int32_t num_events = 1;
};

/// Weights repacked for one instruction set of the host. Immutable: share it between threads.
class GravNetPlan {
 public:
  /// Throws ErrorKind::usage where the weights are not those of the shape, ErrorKind::device where the processor has no
  /// such instructions. Neighbours and messages run at simd_level(), with the same results at every level.
  explicit GravNetPlan(const GravNet& network, SimdLevel level = simd_level());
  GravNetPlan(const GravNetPlan&) = delete;
  GravNetPlan& operator=(const GravNetPlan&) = delete;
  ~GravNetPlan();

  const GravNetShape& shape() const;

  /// Bytes of workspace that run() needs, in an arena of as many threads as the caller's. Reads the row splits. About
  /// 4 (3 P + S + 2 k + max(H, F)) + 100 per hit, and with concat 4 F per block more.
  std::size_t workspace_bytes(const GravNetHits& hits) const;

  /// Writes [num_hits, outputs]. Runs in the caller's TBB arena; the same bytes on any number of threads, at every
  /// instruction level and as GravNetCudaPlan. Throws ErrorKind::usage for arrays that are null, row splits that do not
  /// ascend from 0 to num_hits and a workspace that is too small; ErrorKind::input naming the row of a hit whose
  /// learned coordinates are not finite, as features that are not make them.
  void run(const GravNetHits& hits, float* outputs, std::span<std::byte> workspace) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// The same on a CUDA device, in memory that the caller lends. Immutable: share it between threads and streams.
class GravNetCudaPlan {
 public:
  /// Bytes of device memory that the weights of such a network take.
  static std::size_t weights_bytes(const GravNetShape& shape);

  /// Copies the weights into `memory` of the current device, which must stay as long as the plan is used, and returns
  /// once they are there. Throws ErrorKind::usage where the weights are not those of the shape or the memory is too
  /// small, and ErrorKind::device without a device or without CUDA in the build.
  GravNetCudaPlan(const GravNet& network, std::span<std::byte> memory);
  GravNetCudaPlan(const GravNetCudaPlan&) = delete;
  GravNetCudaPlan& operator=(const GravNetCudaPlan&) = delete;
  ~GravNetCudaPlan();

  const GravNetShape& shape() const;

  /// Bytes of workspace that run() needs. Reads no array. About 4 (3 P + S + 2 k + max(H, F)) + 64 per hit, with concat
  /// 4 F per block more, and for H or F above 128 another 8 max(H, F).
  std::size_t workspace_bytes(const GravNetHits& hits) const;

  /// Writes [num_hits, outputs], all arrays being device memory: the same bytes as GravNetPlan. Allocates nothing and
  /// waits for nothing, so it may be captured in a CUDA graph. Needs execution.bad_row, which becomes the row of a hit
  /// whose learned coordinates are not finite, or −1; outputs are then unspecified. Row splits cannot be checked: see
  /// check_row_splits() (neighbors.h). Throws ErrorKind::usage as GravNetPlan, ErrorKind::device for what the CUDA
  /// runtime reports.
  void run(const GravNetHits& hits, float* outputs, std::span<std::byte> workspace, const Execution& execution) const;

 private:
  struct Packed;
  std::unique_ptr<Packed> packed_;
};

/// Plain loops in double precision over the definitions as they stand, for hits in host memory: what every backend is
/// compared with. Time of order hits². Returns [num_hits, outputs].
std::vector<double> gravnet_reference(const GravNet& network, const GravNetHits& hits);

}  // namespace starling
