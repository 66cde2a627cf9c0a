#include "learn/train/kept_batches.h"

#include <unistd.h>

#include <algorithm>

namespace starling::learn {

std::size_t KeptBatches::eighth_of_memory() {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  return static_cast<std::size_t>(std::max(pages, 0L)) * static_cast<std::size_t>(std::max(page, 0L)) / 8;
}

void KeptBatches::made_of(const std::string& content, std::size_t most) {
  const std::lock_guard lock(mutex_);
  most_ = most;
  if (content == content_) return;
  content_ = content;
  kept_.clear();
  bytes_ = 0;
}

Batch KeptBatches::get(std::uint64_t number, const std::function<Batch()>& make) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = kept_.find(number); found != kept_.end()) return found->second;
  }
  Batch batch = make();
  std::size_t bytes = 0;
  for (const torch::Tensor& tensor : batch.tensors) bytes += tensor.nbytes();
  const std::lock_guard lock(mutex_);
  if (bytes_ + bytes <= most_ && kept_.emplace(number, batch).second) bytes_ += bytes;
  return batch;
}

}  // namespace starling::learn
