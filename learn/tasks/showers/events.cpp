#include "learn/tasks/showers/events.h"

#include "learn/train/random.h"

namespace starling::learn::showers {
namespace {

// Numbers of simulated events: far from the small ones of `starling simulate`, so that an event that a network is
// judged on was not trained on.
constexpr std::uint64_t kValidationEvents = 2ull << 40, kTrainingEvents = 3ull << 40;

constexpr std::uint64_t kSampleStream = 7;  // of random numbers; 1 to 6 are those of tracking and of the trainer

}  // namespace

Events::Events(const ShowerTrainingSettings& settings)
    : samples_(settings.samples), seed_(settings.seed), detector_(read_shower_detector(settings.detector)) {
  double sum = 0;
  for (const SampleSettings& sample : samples_) sum += sample.share;
  for (SampleSettings& sample : samples_) sample.share /= sum;
}

CalorimeterEvent Events::training(std::uint64_t number) const {
  double left = random_unit(seed_, kSampleStream, number);
  std::size_t chosen = 0;
  while (chosen + 1 < samples_.size() && left >= samples_[chosen].share) left -= samples_[chosen++].share;
  return simulate_showers(detector_, samples_[chosen].showers, kTrainingEvents + number);
}

// Events of one number of two samples differ by their settings alone: each sample has numbers of its own.
CalorimeterEvent Events::validation(std::size_t sample, std::uint64_t number) const {
  return simulate_showers(detector_, samples_[sample].showers,
                          kValidationEvents + (static_cast<std::uint64_t>(sample) << 32) + number);
}

}  // namespace starling::learn::showers
