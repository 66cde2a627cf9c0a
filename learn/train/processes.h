#pragma once

#include <cstdint>
#include <string>

namespace starling::learn {

/// Which process of a training this one is, and where all of them meet.
struct Processes {
  int rank = 0, world = 1;              ///< 0 <= rank < world, the number of processes
  int local_rank = 0, local_world = 1;  ///< the same among those of this host: which GPU is this one's, and how many
                                        ///< share the processors
  std::string host;                     ///< of the key-value store through which they meet
  std::uint16_t port = 0;
  bool launcher_has_store = false;  ///< torchrun's agent keeps the store; otherwise process 0 does
  std::string attempt = "0";        ///< torchrun starts all processes again where one failed: keys of an earlier
                                    ///< attempt may still be in the store
};

/// As torchrun, or whoever started the processes, says it in the environment: RANK, WORLD_SIZE, LOCAL_RANK (default
/// RANK), LOCAL_WORLD_SIZE (default WORLD_SIZE), MASTER_ADDR, MASTER_PORT. One process where WORLD_SIZE is 1 or absent.
/// Throws ErrorKind::usage, naming the variable.
Processes read_processes();

/// Throws ErrorKind::usage where the environment says that there are several processes: `command` trains in one.
void require_one_process(const std::string& command);

}  // namespace starling::learn
