#include "lists/lists.h"

#include <limits>
#include <string>

#include "memory/arguments.h"
#include "memory/layout.h"

namespace starling {
namespace {

void check(const Lists& lists, const Execution& execution, const char* function) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();
  if (execution.device == Device::cuda) require_cuda();
  memory::check_count(function, "num_rows", lists.num_rows, 0, kMost);
  memory::check_count(function, "num_points", lists.num_points, 0, kMost);
  memory::check_count(function, "num_entries", lists.num_entries, 0, kMost);
  if (lists.row_splits == nullptr && std::int64_t{lists.num_rows} * lists.k != lists.num_entries) {
    memory::usage(function, "num_entries is " + std::to_string(lists.num_entries) + ": expected num_rows times k, " +
                                std::to_string(std::int64_t{lists.num_rows} * lists.k));
  }
}

std::size_t workspace_bytes(const Lists& lists, const Execution& execution) {
  return execution.device == Device::cuda ? lists::cuda::turn_round_bytes(lists) : lists::host::turn_round_bytes(lists);
}

}  // namespace

std::size_t find_holders_workspace_bytes(const Lists& lists, const Execution& execution) {
  check(lists, execution, "find_holders_workspace_bytes");
  return workspace_bytes(lists, execution);
}

Holders find_holders(const Lists& lists, std::span<std::byte> workspace, const Execution& execution) {
  const char* const function = "find_holders";
  check(lists, execution, function);
  memory::check_there(function, "index", lists.index, lists.num_entries);
  memory::check_workspace(workspace, workspace_bytes(lists, execution), function);
  if (execution.device == Device::cuda) return lists::cuda::turn_round(lists, workspace, execution.stream);
  lists::host::check(lists, function);
  return lists::host::turn_round(lists, workspace);
}

}  // namespace starling
