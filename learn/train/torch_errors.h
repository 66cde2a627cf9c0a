#pragma once

#include <functional>

namespace starling::learn {

/// Runs `work`. What LibTorch throws in it becomes a starling::Error of one line: a device that runs out of memory or
/// fails, or a fault of ours.
void with_torch_errors(const std::function<void()>& work);

}  // namespace starling::learn
