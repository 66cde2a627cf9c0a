#include "shower_finder/session.h"

#include <utility>

#include "memory/growing.h"
#include "memory/layout.h"
#include "shower_finder/check.h"
#include "starling/error.h"

namespace starling {
namespace {

class HostRunner final : public shower_finder::Runner {
 public:
  explicit HostRunner(const ShowerFinder& finder)
      : plan_(finder.network), features_(finder.features), outputs_(finder.outputs), cuts_(finder.cuts) {}

  FoundShowers run(const CalorimeterHitsView& hits) override {
    const auto count = static_cast<std::size_t>(hits.size());
    const std::size_t inputs = count * kShowerFeatures, results = count * static_cast<std::size_t>(outputs_.columns());
    GravNetHits rows;
    rows.num_hits = hits.size();
    const std::size_t bytes = plan_.workspace_bytes(rows);
    const auto lay_out = [&](std::span<std::byte> memory) {
      memory::Layout layout(memory);
      features_of_hits_ = {layout.take<float>(inputs), inputs};
      results_ = {layout.take<float>(results), results};
      workspace_ = {layout.take<std::byte>(bytes), bytes};
      return layout.bytes();
    };
    lay_out(memory_.at_least(lay_out({})));
    shower_features(hits, features_, features_of_hits_.data());
    rows.features = features_of_hits_.data();
    plan_.run(rows, results_.data(), workspace_);
    return find_showers(hits, results_, outputs_, cuts_);
  }
  std::size_t device_bytes() const override { return 0; }

 private:
  GravNetPlan plan_;
  ShowerFeatures features_;
  ShowerOutputs outputs_;
  ShowerCuts cuts_;
  memory::Growing memory_;
  std::span<float> features_of_hits_, results_;
  std::span<std::byte> workspace_;
};

}  // namespace

struct ShowerSession::Runtime {
  std::unique_ptr<shower_finder::Runner> runner;

  static shower_finder::Runner& of(const std::unique_ptr<Runtime>& runtime) {
    if (runtime == nullptr) throw Error(ErrorKind::usage, "a session that was moved from, expected one with a finder");
    return *runtime->runner;
  }
};

ShowerSession::ShowerSession(const ShowerFinder& finder, Device device) : runtime_(std::make_unique<Runtime>()) {
  shower_finder::check(finder);
  if (device == Device::cuda) {
    runtime_->runner = shower_finder::cuda_runner(finder);
  } else {
    runtime_->runner = std::make_unique<HostRunner>(finder);
  }
}

ShowerSession::ShowerSession(ShowerSession&&) noexcept = default;
ShowerSession::~ShowerSession() = default;

FoundShowers ShowerSession::run(const CalorimeterHitsView& hits) { return Runtime::of(runtime_).run(hits); }
std::size_t ShowerSession::device_bytes() const { return Runtime::of(runtime_).device_bytes(); }

}  // namespace starling
