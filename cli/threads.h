#pragma once

#include <functional>

namespace starling::cli {

/// Calls `work` in a TBB arena of so many threads, 0 = one per processor. All are started before: throws
/// ErrorKind::usage where that many cannot be (limits on memory or processes).
void run_on_threads(int threads, const std::function<void()>& work);

}  // namespace starling::cli
