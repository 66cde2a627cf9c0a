#include "starling/calorimeter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <random>

#include "expect_error.h"
#include "starling/error.h"
#include "starling/event.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

// A folder with the files of one event, "event1".
class CalorimeterTest : public testing::Test {
 protected:
  fs::path prefix() const { return folder_.path() / "event1"; }
  fs::path file(const std::string& kind) const { return folder_.path() / ("event1-" + kind + ".csv"); }
  void put(const std::string& kind, const std::string& content) const {
    std::ofstream(file(kind), std::ios::binary) << content;
  }
  std::string get(const std::string& kind) const {
    std::ifstream in(file(kind), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  CalorimeterEvent read() const { return read_calorimeter_event(prefix()); }
  // The error that reading the event ends with, behind the name of this file.
  std::string error(const std::string& kind, const std::string& content) const {
    put(kind, content);
    const std::string message = error_of(ErrorKind::input, [&] { read(); });
    const std::string name = file(kind).string();
    EXPECT_EQ(message.substr(0, name.size()), name) << message;
    fs::remove(file(kind));
    return message.substr(std::min(message.size(), name.size()));
  }

  TemporaryFolder folder_;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

void expect_same(const CalorimeterEvent& a, const CalorimeterEvent& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.hits.hit_id, b.hits.hit_id);
  EXPECT_TRUE(same_bits(a.hits.x, b.hits.x));
  EXPECT_TRUE(same_bits(a.hits.y, b.hits.y));
  EXPECT_TRUE(same_bits(a.hits.z, b.hits.z));
  EXPECT_TRUE(same_bits(a.hits.energy, b.hits.energy));
  EXPECT_TRUE(same_bits(a.hits.time, b.hits.time));
  EXPECT_EQ(a.hits.layer, b.hits.layer);
  ASSERT_EQ(a.truth.has_value(), b.truth.has_value());
  if (a.truth) {
    EXPECT_EQ(a.truth->row_splits, b.truth->row_splits);
    EXPECT_EQ(a.truth->shower, b.truth->shower);
    EXPECT_TRUE(same_bits(a.truth->fraction, b.truth->fraction));
  }
  ASSERT_EQ(a.showers.has_value(), b.showers.has_value());
  if (a.showers) {
    EXPECT_EQ(a.showers->shower_id, b.showers->shower_id);
    EXPECT_TRUE(same_bits(a.showers->energy, b.showers->energy));
    EXPECT_TRUE(same_bits(a.showers->eta, b.showers->eta));
    EXPECT_TRUE(same_bits(a.showers->phi, b.showers->phi));
    EXPECT_EQ(a.showers->pdg, b.showers->pdg);
    EXPECT_EQ(a.showers->hard, b.showers->hard);
  }
}

// Any finite float, subnormals included.
float any_float(std::mt19937& random) {
  for (;;) {
    const auto bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value)) return value;
  }
}

CalorimeterEvent any_event(int hits, bool all_columns) {
  std::mt19937 random(static_cast<unsigned>(hits));
  CalorimeterEvent event;
  event.name = "event1";
  Showers& showers = event.showers.emplace();
  for (int i = 0; i < hits / 5 + 3; ++i) {
    showers.shower_id.push_back((all_columns ? std::int64_t{1} << 50 : 1) * (7 - i));
    if (!all_columns) continue;
    showers.energy.push_back(std::abs(any_float(random)));
    showers.eta.push_back(any_float(random));
    showers.phi.push_back(any_float(random));
    showers.pdg.push_back(-211 + i);
    showers.hard.push_back(i % 2);
  }
  ShowerTruth& truth = event.truth.emplace();
  for (int i = 0; i < hits; ++i) {
    event.hits.hit_id.push_back((i * 7919) % 100003 - 5);
    for (auto* const column : {&event.hits.x, &event.hits.y, &event.hits.z}) column->push_back(any_float(random));
    event.hits.energy.push_back(std::abs(any_float(random)));
    if (all_columns) {
      event.hits.time.push_back(any_float(random));
      event.hits.layer.push_back(static_cast<std::int32_t>(random()));
    }
    // 0 to 3 showers, not in the order of their numbers.
    for (int s = 0; s < i % 4; ++s) {
      truth.shower.push_back((i + 2 - s) % showers.size());
      truth.fraction.push_back(static_cast<float>(random() % 1000) / 3000.f);
    }
    truth.row_splits.push_back(static_cast<std::int32_t>(truth.shower.size()));
  }
  return event;
}

const std::string kHits = "hit_id,x,y,z,energy\n5,1,2,3,0.5\n7,1,2,3,0.25\n";

TEST_F(CalorimeterTest, WhatIsWrittenReadsBackBitForBit) {
  for (const int hits : {0, 1, 10, 12345}) {
    for (const bool all_columns : {false, true}) {
      const CalorimeterEvent event = any_event(hits, all_columns);
      const fs::path folder = folder_.path() / std::to_string(hits) / std::to_string(all_columns);
      write_calorimeter_event(folder, event);
      expect_same(read_calorimeter_event(folder / "event1"), event);
    }
  }
}

TEST_F(CalorimeterTest, PartsMayBeAbsent) {
  CalorimeterEvent event = any_event(10, true);
  event.truth.reset();
  write_calorimeter_event(folder_.path(), event);
  expect_same(read(), event);
  event.showers.reset();
  event.hits.time.clear();
  write_calorimeter_event(folder_.path() / "bare", event);
  expect_same(read_calorimeter_event(folder_.path() / "bare" / "event1"), event);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path() / "bare"), {}), 1);
}

TEST_F(CalorimeterTest, ColumnsAndRowsInAnyOrder) {
  put("hits", "energy,note,z,layer,y,x,hit_id\n0.5,text,3,4,2,1,77\n1e-3,,-3,5,-2,-1,12\n");
  put("showers", "pdg,shower_id\n22,9\n211,4\n");
  put("truth", "fraction,shower_id,hit_id\n0.25,4,12\n0.5,9,77\n0.5,9,12\n");
  const CalorimeterEvent event = read();
  EXPECT_THAT(event.hits.hit_id, ElementsAre(77, 12));
  EXPECT_THAT(event.hits.energy, ElementsAre(0.5f, 1e-3f));
  EXPECT_THAT(event.hits.layer, ElementsAre(4, 5));
  EXPECT_THAT(event.hits.time, IsEmpty());
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0, 1, 3));
  EXPECT_THAT(event.truth->shower, ElementsAre(0, 1, 0));
  EXPECT_THAT(event.truth->fraction, ElementsAre(0.5f, 0.25f, 0.5f));
  EXPECT_THAT(event.showers->pdg, ElementsAre(22, 211));
  EXPECT_THAT(event.showers->energy, IsEmpty());
  const CalorimeterEvent hits_only = read_calorimeter_event(prefix(), {.truth = false});
  EXPECT_FALSE(hits_only.truth || hits_only.showers);
}

TEST_F(CalorimeterTest, TruthNamesTheShowersWhereNoFileDoes) {
  put("hits", kHits);
  put("truth", "hit_id,shower_id,fraction\n5,30,0.5\n5,-2,0.5\n7,30,1\n");
  const CalorimeterEvent event = read();
  EXPECT_THAT(event.showers->shower_id, ElementsAre(-2, 30));
  EXPECT_THAT(event.truth->shower, ElementsAre(1, 0, 1));
}

TEST_F(CalorimeterTest, Gzipped) {
  write_calorimeter_event(folder_.path(), any_event(20, true));
  const CalorimeterEvent plain = read();
  for (const char* const kind : {"hits", "truth", "showers"}) {
    const std::string content = get(kind);
    gzFile out = gzopen((file(kind).string() + ".gz").c_str(), "wb");
    ASSERT_EQ(gzwrite(out, content.data(), static_cast<unsigned>(content.size())), static_cast<int>(content.size()));
    gzclose(out);
    fs::remove(file(kind));
  }
  expect_same(read(), plain);
  EXPECT_TRUE(is_calorimeter_event(prefix()));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_calorimeter_event(prefix(), {.max_unpacked_bytes = 100}); }),
              HasSubstr("event1-hits.csv.gz: unpacks to more than the limit of 100 bytes"));
}

TEST_F(CalorimeterTest, EmptyEvents) {
  // Without hits, without showers, with noise only.
  put("hits", "hit_id,x,y,z,energy\n");
  put("truth", "hit_id,shower_id,fraction\n");
  CalorimeterEvent event = read();
  EXPECT_EQ(event.hits.size(), 0);
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0));
  EXPECT_EQ(event.showers->size(), 0);
  put("hits", kHits);
  event = read();
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0, 0, 0));
  EXPECT_THAT(dominant_shower(*event.truth), ElementsAre(-1, -1));
  EXPECT_THAT(visible_energy(*event.truth, event.hits.energy, 0), IsEmpty());
  put("showers", "shower_id,energy\n3,10\n");
  event = read();
  EXPECT_THAT(visible_energy(*event.truth, event.hits.energy, 1), ElementsAre(0.0));
}

TEST_F(CalorimeterTest, HitsOfOnePositionAreTwoHits) {
  put("hits", kHits);
  EXPECT_THAT(read().hits.x, ElementsAre(1.f, 1.f));
  EXPECT_THAT(error("hits", kHits + "5,9,9,9,1\n"), ":4: hit_id = 5: expected once, appears again");
}

TEST_F(CalorimeterTest, BadHitsAreNamed) {
  const std::string header = "hit_id,x,y,z,energy,time,layer\n";
  EXPECT_EQ(error("hits", header + "1,1,2,3,0.5,0,1\n\n2,1,2,3,-0.5,0,1\n"), ":4: energy = -0.5: expected at least 0");
  EXPECT_EQ(error("hits", header + "1,1,2,3,-1e-9,0,1\n"), ":2: energy = -1e-09: expected at least 0");
  EXPECT_EQ(error("hits", header + "1,1,2,3,nan,0,1\n"),
            ":2: energy = nan: expected a finite number that a float can hold");
  EXPECT_THAT(error("hits", header + "1,1,2,3,1e39,0,1\n"), HasSubstr(":2: energy = 1e39: expected a finite"));
  EXPECT_THAT(error("hits", header + "1,inf,2,3,1,0,1\n"), HasSubstr(":2: x = inf: expected a finite"));
  EXPECT_THAT(error("hits", header + "1,1,2,3,1,,1\n"), HasSubstr(":2: time = nothing: expected a finite"));
  EXPECT_THAT(error("hits", header + "1,1,2,3,1,0,1.5\n"), HasSubstr(":2: layer = 1.5: expected an integer"));
  EXPECT_EQ(error("hits", "hit_id,x,y,z\n1,1,2,3\n"), ":1: no column energy among 'hit_id,x,y,z'");
  EXPECT_EQ(error("hits", ""), ": is empty, expected the columns hit_id,x,y,z,energy,time,layer");
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read(); }), HasSubstr("event1-hits.csv: no such file"));
}

TEST_F(CalorimeterTest, BadTruthIsNamed) {
  put("hits", kHits);
  const std::string header = "hit_id,shower_id,fraction\n";
  EXPECT_EQ(error("truth", header + "5,1,0.5\n6,1,0.5\n"), ":3: hit_id = 6: expected one of the hits file");
  EXPECT_EQ(error("truth", header + "5,1,0.5\n7,1,1\n5,1,0.25\n"),
            ":4: shower_id = 1: expected once for hit_id = 5, appears again");
  EXPECT_EQ(error("truth", header + "5,1,0.5\n7,1,1\n5,2,0.75\n"),
            ":4: fraction: those of hit_id = 5 sum to 1.25, expected at most 1");
  EXPECT_EQ(error("truth", header + "5,1,-0.5\n"), ":2: fraction = -0.5: expected at least 0");
  EXPECT_THAT(error("truth", header + "5,1,nan\n"), HasSubstr(":2: fraction = nan: expected a finite"));
  EXPECT_THAT(error("truth", "hit_id,particle_id\n5,1\n"), HasSubstr(":1: no column shower_id"));
  put("truth", header + "5,1,0.5\n5,2,0.5005\n");
  EXPECT_THAT(read().truth->fraction, ElementsAre(0.5f, 0.5005f)) << "within the tolerance of rounded fractions";
  put("showers", "shower_id\n1\n");
  EXPECT_EQ(error("truth", header + "5,1,0.5\n5,2,0.25\n"), ":3: shower_id = 2: expected one of the showers file");
  EXPECT_EQ(error("showers", "shower_id,energy\n1,2\n3,-1\n"), ":3: energy = -1: expected at least 0");
  EXPECT_EQ(error("showers", "shower_id,hard\n1,2\n"), ":2: hard = 2: expected 1 or 0");
  EXPECT_EQ(error("showers", "shower_id\n1\n1\n"), ":3: shower_id = 1: expected once, appears again");
}

TEST_F(CalorimeterTest, WhatKindOfEvent) {
  put("hits", kHits);
  EXPECT_TRUE(is_calorimeter_event(prefix()));
  EXPECT_THAT(find_events(folder_.path()), ElementsAre(prefix()));
  put("hits", "hit_id,x,y,z,volume_id,layer_id,module_id\n");
  EXPECT_FALSE(is_calorimeter_event(prefix()));
  put("hits", "hit_id,x,y,z,volume_id,layer_id,module_id,energy\n");
  EXPECT_FALSE(is_calorimeter_event(prefix()));
  put("hits", "\nhit_id,x,y,z,enrgy\n");
  EXPECT_THAT(
      error_of(ErrorKind::input, [&] { is_calorimeter_event(prefix()); }),
      HasSubstr("event1-hits.csv:2: no column energy, which hits of a calorimeter need, and no module_id, which"));
  put("hits", "");
  EXPECT_THAT(error_of(ErrorKind::input, [&] { is_calorimeter_event(prefix()); }),
              HasSubstr("event1-hits.csv: is empty"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { is_calorimeter_event(folder_.path() / "none"); }),
              HasSubstr("none-hits.csv: no such file"));
}

TEST_F(CalorimeterTest, WhatReadersWouldRefuseIsNotWritten) {
  const auto refused = [&](const std::function<void(CalorimeterEvent&)>& change) {
    CalorimeterEvent event = any_event(8, true);
    change(event);
    const std::string message =
        error_of(ErrorKind::usage, [&] { write_calorimeter_event(folder_.path() / "out", event); });
    EXPECT_FALSE(fs::exists(folder_.path() / "out"));
    return message;
  };
  using Event = CalorimeterEvent;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refused([](Event& e) { e.hits.energy[3] = -1; }),
              HasSubstr("energy[3] = -1: expected a finite number of at least 0"));
  EXPECT_THAT(refused([&](Event& e) { e.hits.energy[3] = nan; }), HasSubstr("energy[3] = nan"));
  EXPECT_THAT(refused([&](Event& e) { e.hits.time[2] = nan; }), HasSubstr("time[2] = nan"));
  EXPECT_THAT(refused([](Event& e) { e.hits.y.pop_back(); }), HasSubstr("column y has 7 entries, expected 8"));
  EXPECT_THAT(refused([](Event& e) { e.hits.layer.pop_back(); }), HasSubstr("column layer has 7 entries"));
  EXPECT_THAT(refused([](Event& e) { e.hits.hit_id.pop_back(); }), HasSubstr("column hit_id has 7 entries"));
  EXPECT_THAT(refused([](Event& e) { e.hits.hit_id[1] = e.hits.hit_id[0]; }),
              HasSubstr("hit_id[1] = -5: expected once"));
  EXPECT_THAT(refused([](Event& e) { e.showers->shower_id[1] = e.showers->shower_id[0]; }), HasSubstr("shower_id[1]"));
  EXPECT_THAT(refused([](Event& e) { e.showers->hard[1] = 2; }), HasSubstr("hard[1] = 2: expected 1 or 0"));
  EXPECT_THAT(refused([](Event& e) { e.showers->eta.pop_back(); }), HasSubstr("column eta has 3 entries"));
  EXPECT_THAT(refused([](Event& e) { e.showers.reset(); }), HasSubstr("has truth and no showers"));
  EXPECT_THAT(refused([](Event& e) { e.truth->shower[0] = 4; }), HasSubstr("shower[0] = 4: expected one of 4 showers"));
  EXPECT_THAT(refused([](Event& e) { e.truth->shower[2] = e.truth->shower[1]; }), HasSubstr("expected once for hit 2"));
  EXPECT_THAT(refused([](Event& e) { e.truth->fraction[0] = 1.5f; }), HasSubstr("fractions of hit 1 sum to 1.5"));
  EXPECT_THAT(refused([&](Event& e) { e.truth->fraction[0] = nan; }), HasSubstr("fraction[0] = nan"));
  EXPECT_THAT(refused([](Event& e) { e.truth->fraction.pop_back(); }), HasSubstr("fraction has"));
  EXPECT_THAT(refused([](Event& e) { e.truth->row_splits.pop_back(); }), HasSubstr("row_splits has 8 entries"));
  EXPECT_THAT(refused([](Event& e) { e.truth->row_splits[2] = 1000; }), HasSubstr("row_splits[2] = 1000"));
  EXPECT_THAT(refused([](Event& e) { e.truth->row_splits[3] = 0; }), HasSubstr("row_splits[3] = 0"));
  EXPECT_THAT(refused([](Event& e) { e.name = "a/b"; }), HasSubstr("is named 'a/b'"));
}

TEST_F(CalorimeterTest, AnEventOfOursIsReplacedAndNoOther) {
  const CalorimeterEvent more = any_event(30, true);
  CalorimeterEvent less = any_event(20, false);
  less.truth.reset();
  less.showers.reset();
  write_calorimeter_event(folder_.path(), any_event(0, true));
  write_calorimeter_event(folder_.path(), more);
  expect_same(read(), more);
  write_calorimeter_event(folder_.path(), less);
  expect_same(read(), less);
  EXPECT_FALSE(fs::exists(file("truth")));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_calorimeter_event(folder_.path(), more); }),
              HasSubstr("event1-hits.csv: is there"));
  expect_same(read(), less);
  // A tracking event.
  const std::string tracking = "hit_id,x,y,z,volume_id,layer_id,module_id\n1,2,3,4,5,6,7\n";
  put("hits", tracking);
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_calorimeter_event(folder_.path(), less); }),
              HasSubstr("event1-hits.csv: is there and is not an earlier result"));
  EXPECT_EQ(get("hits"), tracking);
}

TEST(ShowerTruth, TheDominantShower) {
  ShowerTruth truth;
  const auto add = [&](const std::vector<std::pair<std::int32_t, float>>& entries) {
    for (const auto& [shower, fraction] : entries) {
      truth.shower.push_back(shower);
      truth.fraction.push_back(fraction);
    }
    truth.row_splits.push_back(static_cast<std::int32_t>(truth.shower.size()));
  };
  add({});                         // noise
  add({{3, 1.f}});                 // one shower
  add({{4, 0.5f}, {1, 0.5f}});     // equal ones: the smaller index
  add({{1, 0.25f}, {2, 0.5f}});    // the larger fraction
  add({{1, 0.25f}, {2, 0.25f}});   // half is noise
  add({{5, 0.375f}, {2, 0.25f}});  // as much noise as of the larger one
  add({{2, 0.f}});                 // nothing of it
  EXPECT_THAT(dominant_shower(truth), ElementsAre(-1, 3, 1, 2, -1, 5, -1));
  const std::vector<float> energy = {1, 2, 4, 8, 16, 32, 64};
  EXPECT_THAT(visible_energy(truth, energy, 6), ElementsAre(0, 8, 16, 2, 2, 12));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { visible_energy(truth, energy, 5); }), HasSubstr("expected one of 5"));
  truth.row_splits.clear();
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { dominant_shower(truth); }), HasSubstr("row_splits"));
}

TEST(ShowerKinds, OfPdgCodes) {
  const auto kind = [](std::int32_t pdg) {
    const std::optional<ShowerKind> known = shower_kind(pdg);
    return known ? to_string(*known) : "none";
  };
  for (const std::int32_t pdg : {22, 11, -11}) EXPECT_EQ(kind(pdg), "electromagnetic") << pdg;
  // pi, K, p, sigma, xi, omega, D, rho, delta, deuteron, alpha.
  for (const std::int32_t pdg :
       {211, -211, 321, -321, 2212, -2212, 3112, 3222, 3312, 3334, 411, 213, 2224, 1000010020, 1000020040}) {
    EXPECT_EQ(kind(pdg), "charged_hadron") << pdg;
  }
  // n, K0, K0L, K0S, lambda, pi0, eta, sigma0, xi0, D0, a neutron as a nucleus.
  for (const std::int32_t pdg : {2112, -2112, 311, 130, 310, 3122, 111, 221, 3212, 3322, 421, 1000000010}) {
    EXPECT_EQ(kind(pdg), "neutral_hadron") << pdg;
  }
  EXPECT_EQ(kind(13), "muon");
  for (const std::int32_t pdg : {0, 12, -14, 15, 23, 21, 1, std::numeric_limits<std::int32_t>::min()}) {
    EXPECT_EQ(kind(pdg), "none") << pdg;
  }
}

}  // namespace
