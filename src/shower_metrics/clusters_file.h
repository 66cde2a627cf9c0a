#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "starling/shower_metrics.h"

namespace starling {

/// The clusters in `text`, and the ids that they have there, ascending.
struct NamedClusters {
  Clusters clusters;
  std::vector<std::int64_t> cluster_id;
};

/// From memory; `name` stands for the file in messages. Throw ErrorKind::input.
NamedClusters parse_clusters(std::string_view text, const std::string& name, const CalorimeterHits& hits);
/// The energy of each of these clusters.
std::vector<float> parse_cluster_energies(std::string_view text, const std::string& name,
                                          const std::vector<std::int64_t>& cluster_id);

}  // namespace starling
