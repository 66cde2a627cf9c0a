#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "learn/train/batch.h"

namespace starling::learn {

/// Batches that come again: each is made once and kept in memory on the CPU, as many as there is room for; the others
/// are made anew each time. Runs that follow each other in one process may share them. Safe to call from several
/// threads.
class KeptBatches {
 public:
  /// Says all that the next batches are a function of, beside their numbers, and that there is room for `most` bytes of
  /// tensors: kept ones of anything else are forgotten. Until then nothing is kept.
  void made_of(const std::string& content, std::size_t most);

  /// Batch `number`, which `make` makes where it is not kept. Two threads that ask at once for one that is not kept may
  /// both make it.
  Batch get(std::uint64_t number, const std::function<Batch()>& make);

  static std::size_t eighth_of_memory();  ///< of this machine

 private:
  std::mutex mutex_;
  std::string content_;
  std::map<std::uint64_t, Batch> kept_;
  std::size_t most_ = 0, bytes_ = 0;
};

}  // namespace starling::learn
