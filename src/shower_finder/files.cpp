#include <numeric>
#include <string>

#include "files/files.h"
#include "starling/error.h"
#include "starling/shower_finder.h"
#include "table/csv.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

void check_place(const fs::path& file, std::string_view head) {
  files::check_place(file, [&](std::string_view content) { return content.starts_with(head); });
}

/// The names of the showers' classes.
std::vector<std::string> names_of(const fs::path& file, const FoundShowers& showers,
                                  const std::vector<std::string>& classes) {
  if (showers.kind.size() != showers.energy.size()) {
    throw Error(ErrorKind::usage, file.string() + ": class has " + std::to_string(showers.kind.size()) +
                                      " entries, expected " + std::to_string(showers.energy.size()));
  }
  std::vector<std::string> names;
  for (const std::int32_t c : showers.kind) {
    if (c < -1 || c >= static_cast<std::int32_t>(classes.size())) {
      throw Error(ErrorKind::usage, file.string() + ": shower " + std::to_string(names.size()) + " has the class " +
                                        std::to_string(c) + ", expected one of the " + std::to_string(classes.size()) +
                                        " names");
    }
    names.push_back(c < 0 ? "" : classes[static_cast<std::size_t>(c)]);
  }
  return names;
}

}  // namespace

void check_shower_clusters_place(const fs::path& file) { check_place(file, "hit_id,cluster_id,beta\n"); }
void check_shower_particles_place(const fs::path& file) { check_place(file, "cluster_id,energy,x,y,z,class,hits\n"); }

void write_showers(const fs::path& clusters, const fs::path& particles, std::span<const std::int64_t> hit_id,
                   const FoundShowers& showers, const std::vector<std::string>& classes) {
  check_shower_clusters_place(clusters);
  check_shower_particles_place(particles);
  const std::vector<std::string> names = names_of(particles, showers, classes);
  std::vector<std::int32_t> cluster_id(names.size());
  std::iota(cluster_id.begin(), cluster_id.end(), 0);
  const csv::Source hits[] = {{"hit_id", hit_id},
                              {"cluster_id", std::span<const std::int32_t>(showers.cluster)},
                              {"beta", std::span<const float>(showers.beta)}};
  const csv::Source found[] = {{"cluster_id", std::span<const std::int32_t>(cluster_id)},
                               {"energy", std::span<const float>(showers.energy)},
                               {"x", std::span<const float>(showers.x)},
                               {"y", std::span<const float>(showers.y)},
                               {"z", std::span<const float>(showers.z)},
                               {"class", std::span<const std::string>(names)},
                               {"hits", std::span<const std::int32_t>(showers.hits)}};
  files::Writer of_hits(clusters, files::Durable::no), of_showers(particles, files::Durable::no);
  csv::write(of_hits, clusters.string(), hits);
  csv::write(of_showers, particles.string(), found);
  of_hits.commit();
  of_showers.commit();
}

}  // namespace starling
