#include "shower_metrics/clusters_file.h"

#include <algorithm>

#include "starling/error.h"
#include "table/csv.h"
#include "table/id_column.h"
#include "table/parts.h"

namespace starling {

NamedClusters parse_clusters(std::string_view text, const std::string& name, const CalorimeterHits& hits) {
  std::vector<std::int64_t> hit_id, cluster_id;
  const csv::Column columns[] = {{"hit_id", &hit_id},
                                 {.name = "cluster_id", .into = &cluster_id, .least = -1, .missing = -1}};
  const std::int32_t rows = csv::read(text, name, columns);
  const IdIndex index(hits.hit_id);
  const IdColumn ids{text, name, "hit_id", hit_id};
  NamedClusters result;
  for (const std::int64_t id : cluster_id) {
    if (id >= 0) result.cluster_id.push_back(id);
  }
  std::sort(result.cluster_id.begin(), result.cluster_id.end());
  result.cluster_id.erase(std::unique(result.cluster_id.begin(), result.cluster_id.end()), result.cluster_id.end());
  const IdIndex clusters(result.cluster_id);

  std::vector<std::uint8_t> seen(hits.hit_id.size(), 0);
  std::vector<std::int32_t>& of_hit = result.clusters.of_hit;
  of_hit.assign(hits.hit_id.size(), -1);
  for (std::int32_t row = 0; row < rows; ++row) {
    const std::int32_t hit = ids.find(row, index);
    if (seen[hit]++ != 0) ids.fail(row, "expected once, appears again");
    if (cluster_id[row] >= 0) of_hit[hit] = clusters.find(cluster_id[row]);
  }
  return result;
}

std::vector<float> parse_cluster_energies(std::string_view text, const std::string& name,
                                          const std::vector<std::int64_t>& cluster_id) {
  std::vector<std::int64_t> row_id;
  std::vector<float> row_energy;
  const csv::Column columns[] = {{"cluster_id", &row_id}, {"energy", &row_energy}};
  const std::int32_t rows = csv::read(text, name, columns);
  const IdColumn ids{text, name, "cluster_id", row_id};
  ids.require_unique(IdIndex(row_id));
  const IdIndex index(cluster_id);
  std::vector<float> energy(cluster_id.size());
  for (std::int32_t row = 0; row < rows; ++row) {
    energy[ids.find(row, index, "the clusters file")] = row_energy[row];
  }
  if (row_id.size() != cluster_id.size()) {
    throw Error(ErrorKind::input, name + ": has " + std::to_string(rows) + " rows, expected one for each of " +
                                      std::to_string(cluster_id.size()) + " clusters");
  }
  return energy;
}

Clusters read_clusters(const std::filesystem::path& prefix, const CalorimeterHits& hits) {
  const std::size_t most = CalorimeterReadOptions().max_unpacked_bytes;
  const PartContent file = read_required_part(prefix, "-clusters.csv", most);
  NamedClusters named = parse_clusters(file.text(), file.name, hits);
  if (const auto particles = read_part(prefix, "-particles.csv", most)) {
    named.clusters.energy = parse_cluster_energies(particles->text(), particles->name, named.cluster_id);
  }
  return std::move(named.clusters);
}

}  // namespace starling
