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

void write(const fs::path& file, std::span<const csv::Source> columns) {
  files::Writer writer(file, files::Durable::no);
  csv::write(writer, file.string(), columns);
  writer.commit();
}

}  // namespace

void check_shower_clusters_place(const fs::path& file) { check_place(file, "hit_id,cluster_id,beta\n"); }
void check_shower_particles_place(const fs::path& file) { check_place(file, "cluster_id,energy,x,y,z,class,hits\n"); }

void write_shower_clusters(const fs::path& file, std::span<const std::int64_t> hit_id, const FoundShowers& showers) {
  check_shower_clusters_place(file);
  const csv::Source columns[] = {{"hit_id", hit_id},
                                 {"cluster_id", std::span<const std::int32_t>(showers.cluster)},
                                 {"beta", std::span<const float>(showers.beta)}};
  write(file, columns);
}

void write_shower_particles(const fs::path& file, const FoundShowers& showers,
                            const std::vector<std::string>& classes) {
  check_shower_particles_place(file);
  std::vector<std::int32_t> cluster_id;
  std::vector<std::string> kind;
  for (std::int32_t i = 0; i < showers.size(); ++i) {
    const std::int32_t c = showers.kind.at(static_cast<std::size_t>(i));
    if (c < -1 || c >= static_cast<std::int32_t>(classes.size())) {
      throw Error(ErrorKind::usage, file.string() + ": shower " + std::to_string(i) + " has the class " +
                                        std::to_string(c) + ", expected one of the " + std::to_string(classes.size()) +
                                        " names");
    }
    cluster_id.push_back(i);
    kind.push_back(c < 0 ? "" : classes[static_cast<std::size_t>(c)]);
  }
  const csv::Source columns[] = {{"cluster_id", std::span<const std::int32_t>(cluster_id)},
                                 {"energy", std::span<const float>(showers.energy)},
                                 {"x", std::span<const float>(showers.x)},
                                 {"y", std::span<const float>(showers.y)},
                                 {"z", std::span<const float>(showers.z)},
                                 {"class", std::span<const std::string>(kind)},
                                 {"hits", std::span<const std::int32_t>(showers.hits)}};
  write(file, columns);
}

}  // namespace starling
