// Mapped files of others on arbitrary bytes: the input is the tables of hits, truth and showers (texts.h), read as CSV
// and as JSON, by maps that have all in one table and each in its own.

#include <cstddef>
#include <cstdint>

#include "calorimeter_map/mapped_event.h"
#include "expect_input_error.h"
#include "texts.h"

namespace {

using namespace starling;

CalorimeterMap one_table() {
  CalorimeterMap map;
  map.length = 10;
  map.hits.merge = true;
  map.hits.min_energy = 1e-3F;
  map.hits.layer = "layer";
  map.truth.shower_id = "shower";
  map.truth.fraction = "fraction";
  map.showers.pdg = "pdg";
  return map;
}

CalorimeterMap three_tables() {
  CalorimeterMap map;
  map.energy = 1e-3;
  map.hits.hit_id = "id";
  map.hits.time = "time";
  map.truth.table.file = "truth";
  map.truth.hit_id = "id";
  map.truth.shower_id = "shower";
  map.truth.energy = "energy";
  map.showers.table.file = "showers";
  map.showers.shower_id = "shower";
  map.showers.px = "px", map.showers.py = "py", map.showers.pz = "pz", map.showers.mass = "mass";
  return map;
}

void check(const CalorimeterEvent& event) {
  CalorimeterHitsView(event.hits).check();
  event.showers->check();
  event.truth->check(event.hits.size(), event.showers->size());
  require(dominant_shower(*event.truth).size() == event.hits.hit_id.size(), "one shower per hit");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const CalorimeterMap one = one_table(), three = three_tables();
  const Texts<3> texts(data, size);
  for (const bool json : {false, true}) {
    const auto table = [&](std::size_t i) { return Records(texts[i], "table", json, json ? "event.rows" : ""); };
    expect_input_error([&] { check(parse_mapped_event({table(0), std::nullopt, std::nullopt}, one, true)); });
    expect_input_error([&] { check(parse_mapped_event({table(0), table(1), table(2)}, three, true)); });
  }
  return 0;
}
