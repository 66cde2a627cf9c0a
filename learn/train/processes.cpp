#include "learn/train/processes.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "starling/error.h"

namespace starling::learn {
namespace {

std::optional<std::string> variable(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr || *text == '\0') return std::nullopt;
  return text;
}

std::string required(const char* name) {
  const auto text = variable(name);
  if (!text) {
    throw Error(ErrorKind::usage, std::string(name) + " is not set: expected in the environment where WORLD_SIZE is " +
                                      variable("WORLD_SIZE").value_or(""));
  }
  return *text;
}

int number(const char* name, const std::string& text, int low, int high) {
  int value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    throw Error(ErrorKind::usage, std::string(name) + " = " + text + ": expected " + std::to_string(low) + ".." +
                                      std::to_string(high) + " in the environment");
  }
  return value;
}

}  // namespace

Processes read_processes() {
  constexpr int kMostProcesses = 1 << 20;
  Processes processes;
  const auto world = variable("WORLD_SIZE");
  if (!world) return processes;
  processes.world = number("WORLD_SIZE", *world, 1, kMostProcesses);
  if (processes.world == 1) return processes;
  processes.rank = number("RANK", required("RANK"), 0, processes.world - 1);
  processes.local_world = number("LOCAL_WORLD_SIZE", variable("LOCAL_WORLD_SIZE").value_or(*world), 1, processes.world);
  processes.local_rank =
      number("LOCAL_RANK", variable("LOCAL_RANK").value_or(std::to_string(processes.rank)), 0, processes.world - 1);
  processes.host = required("MASTER_ADDR");
  processes.port = static_cast<std::uint16_t>(number("MASTER_PORT", required("MASTER_PORT"), 1, 65535));
  processes.launcher_has_store = variable("TORCHELASTIC_USE_AGENT_STORE") == "True";
  processes.attempt = variable("TORCHELASTIC_RESTART_COUNT").value_or("0");
  return processes;
}

void require_one_process(const std::string& command) {
  const int world = read_processes().world;
  if (world == 1) return;
  throw Error(ErrorKind::usage, command + ": WORLD_SIZE = " + std::to_string(world) +
                                    ": expected one process; `train` alone shares its work between several");
}

}  // namespace starling::learn
