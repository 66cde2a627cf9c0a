#include "learn/train/torch_errors.h"

#include <c10/util/Exception.h>

#include <string>

#include "starling/error.h"

namespace starling::learn {
namespace {

std::string first_line(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  return text.substr(0, text.find('\n'));
}

}  // namespace

void with_torch_errors(const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::OutOfMemoryError& error) {
    throw Error(ErrorKind::internal, "out of memory: " + first_line(error));
  } catch (const c10::Error& error) {
    const std::string text = first_line(error);
    // The allocator of the CPU has no type of error of its own: "[…] DefaultCPUAllocator: can't allocate memory: …".
    const std::size_t memory = text.find("can't allocate memory");
    throw Error(ErrorKind::internal,
                memory == std::string::npos ? "LibTorch: " + text : "out of memory: " + text.substr(memory));
  }
}

}  // namespace starling::learn
