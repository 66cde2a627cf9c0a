// starling: reads the command line, runs one command, and turns failures into one line and an exit code.
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/task_arena.h>

#include <cstdio>
#include <exception>
#include <new>

#include "arguments.h"
#include "environment.h"
#include "starling/device.h"
#include "starling/error.h"

namespace {

void run(int argc, char** argv) {
  using namespace starling::cli;
  const Request request = parse_arguments(argc, argv);
  if (request.work) {
    starling::simd_level();  // says at once where STARLING_SIMD is wrong
    catch_interrupts();
    using oneapi::tbb::global_control;
    const int threads = request.threads > 0 ? request.threads : oneapi::tbb::this_task_arena::max_concurrency();
    const global_control limit(global_control::max_allowed_parallelism, static_cast<std::size_t>(threads));
    oneapi::tbb::task_arena(threads).execute(request.work);
  }
  if (std::fflush(stdout) != 0) throw starling::Error(starling::ErrorKind::usage, "the output cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(argc, argv);
    return 0;
  } catch (const starling::Error& error) {
    std::fprintf(stderr, "starling: %s\n", error.what());
    return error.exit_code();
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "starling: out of memory\n");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "starling: internal error: %s\n", error.what());
  }
  return static_cast<int>(starling::ErrorKind::internal);
}
