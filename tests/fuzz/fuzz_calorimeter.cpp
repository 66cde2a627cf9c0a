// The readers of calorimeter events and clusters on arbitrary bytes: the input is the hits, showers, truth, clusters
// and particles files (texts.h). What was taken is judged too.

#include <cstddef>
#include <cstdint>

#include "calorimeter/parse.h"
#include "expect_input_error.h"
#include "shower_metrics/clusters_file.h"
#include "starling/shower_metrics.h"
#include "texts.h"

namespace {

using namespace starling;

void use(const CalorimeterEvent& event, const Clusters& clusters) {
  require(dominant_shower(*event.truth).size() == event.hits.hit_id.size(), "one shower per hit");
  ShowerMetrics metrics;
  metrics.min_energy = 0;
  metrics.add(event, clusters);
  for (const JudgedShower& shower : metrics.showers) {
    require(shower.own_share >= 0 && shower.own_share <= 1, "a share");
    require(shower.iou >= 0 && shower.iou <= 1.01, "an IoU, up to the tolerance of fractions");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Texts<5> texts(data, size);
  CalorimeterEvent event;
  event.name = "event";
  IdIndex index;
  expect_input_error([&] { event.hits = parse_calorimeter_hits(texts[0], "hits", index); });
  if (event.hits.hit_id.empty()) index = IdIndex();
  CalorimeterHitsView(event.hits).check();
  if (!texts[1].empty()) {
    expect_input_error([&] {
      event.showers = parse_showers(texts[1], "showers");
      event.showers->check();
    });
  }
  expect_input_error([&] {
    event.truth = parse_shower_truth(texts[2], "truth", index, event.hits.size(), event.showers);
    event.truth->check(event.hits.size(), event.showers->size());
  });
  expect_input_error([&] {
    NamedClusters named = parse_clusters(texts[3], "clusters", event.hits);
    if (!texts[4].empty()) named.clusters.energy = parse_cluster_energies(texts[4], "particles", named.cluster_id);
    if (event.truth) use(event, named.clusters);
  });
  return 0;
}
