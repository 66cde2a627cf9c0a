#include "interaction_network/scores.h"

#include <limits>

#include "memory/arguments.h"
#include "starling/interaction_network.h"

namespace starling {

void edge_scores(const float* logits, std::int64_t num_edges, const std::int32_t* count, float* scores,
                 const Execution& execution) {
  const char* const function = "edge_scores";
  if (execution.device == Device::cuda) require_cuda();
  memory::check_count(function, "num_edges", num_edges, 0, std::numeric_limits<std::int32_t>::max());
  memory::check_there(function, "logits", logits, num_edges);
  memory::check_there(function, "scores", scores, num_edges);
  if (execution.device == Device::cuda)
    return interaction_network::cuda::edge_scores(logits, num_edges, count, scores, execution.stream);
  if (count != nullptr) memory::usage(function, "a count, which only a device reads: expected null on the host");
  for (std::int64_t i = 0; i < num_edges; ++i) scores[i] = interaction_network::sigmoid(logits[i]);
}

}  // namespace starling
