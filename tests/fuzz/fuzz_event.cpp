// The event reader on arbitrary bytes: the input is the hits, truth, particles, cells, known tracks and tracks files
// (texts.h).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "event/parse.h"
#include "expect_input_error.h"
#include "texts.h"
#include "tracks/tracks_file.h"

namespace {

using namespace starling;

bool finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

void check(const Hits& hits, const IdIndex& index) {
  const std::size_t size = hits.hit_id.size();
  require(hits.x.size() == size && hits.y.size() == size && hits.z.size() == size, "one coordinate per hit");
  require(hits.volume_id.size() == size && hits.layer_id.size() == size && hits.module_id.size() == size,
          "one module per hit");
  require(finite(hits.x) && finite(hits.y) && finite(hits.z), "finite coordinates");
  for (std::size_t i = 0; i < size; ++i) {
    require(index.find(hits.hit_id[i]) == static_cast<std::int32_t>(i), "a hit is found by its id");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Texts<6> texts(data, size);
  Hits hits;
  IdIndex index;
  expect_input_error([&] { hits = parse_hits(texts[0], "hits", index); });
  // A file that was refused leaves no hits; then the others are read against none.
  check(hits, hits.hit_id.empty() ? IdIndex() : index);
  if (hits.hit_id.empty()) index = IdIndex();
  expect_input_error([&] {
    const Truth truth = parse_truth(texts[1], "truth", hits, index);
    require(truth.particle_id.size() == hits.hit_id.size(), "one particle per hit");
    require(truth.weight.empty() || truth.weight.size() == hits.hit_id.size(), "one weight per hit or none");
    require(finite(truth.weight), "finite weights");
  });
  expect_input_error([&] {
    const Particles particles = parse_particles(texts[2], "particles");
    const std::size_t count = particles.particle_id.size();
    const auto whole = [&](std::size_t size) { return size == 0 || size == count; };
    require(whole(particles.px.size()) && whole(particles.q.size()), "one entry per particle or none");
  });
  expect_input_error([&] {
    const Cells cells = parse_cells(texts[3], "cells", index);
    require(cells.hit.size() == cells.value.size(), "one hit per cell");
    for (const std::int32_t hit : cells.hit) require(hit >= 0 && hit < hits.size(), "a cell's hit is there");
  });
  expect_input_error([&] {
    const Truth truth = parse_known_tracks(texts[4], "tracks", hits, index);
    require(truth.particle_id.size() == hits.hit_id.size(), "one known track per hit");
  });
  expect_input_error([&] {
    const Tracks tracks = parse_tracks(texts[5], "tracks", hits);
    require(tracks.row_splits.back() == static_cast<std::int32_t>(tracks.hits.size()), "every hit is on a track");
    for (const std::int32_t hit : tracks.hits) require(hit >= 0 && hit < hits.size(), "a track's hit is there");
  });
  return 0;
}
