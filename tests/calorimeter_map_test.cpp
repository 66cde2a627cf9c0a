#include "starling/calorimeter_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <fstream>
#include <numeric>

#include "data.h"
#include "expect_error.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
namespace fs = std::filesystem;

// A folder with a map and the files that it maps.
class CalorimeterMapTest : public testing::Test {
 protected:
  void put(const std::string& name, const std::string& content) const {
    std::ofstream(folder_.path() / name, std::ios::binary) << content;
  }
  CalorimeterMap map(const std::string& toml) const {
    put("map.toml", toml);
    return load_calorimeter_map(folder_.path() / "map.toml");
  }
  // The error that loading a map ends with, behind the name of the file.
  std::string map_error(const std::string& toml) const {
    const std::string message = error_of(ErrorKind::usage, [&] { map(toml); });
    const std::string name = (folder_.path() / "map.toml").string();
    EXPECT_EQ(message.substr(0, name.size()), name) << message;
    return message.substr(std::min(message.size(), name.size()));
  }
  CalorimeterEvent read(const CalorimeterMap& map) const {
    const std::vector<fs::path> events = find_events(folder_.path(), map);
    EXPECT_EQ(events.size(), 1U);
    return read_calorimeter_event(events.front(), map);
  }
  // The error that reading ends with, behind the folder.
  std::string error(const CalorimeterMap& map) const {
    const std::string message = error_of(ErrorKind::input, [&] { read(map); });
    const std::string start = folder_.path().string() + "/";
    EXPECT_EQ(message.substr(0, start.size()), start) << message;
    return message.substr(std::min(message.size(), start.size()));
  }

  TemporaryFolder folder_;
};

TEST_F(CalorimeterMapTest, ColumnsUnitsAndTruthInOneTable) {
  const CalorimeterMap m = map(R"(
units = { length = 10, energy = 0.001, time = 1000 }
[hits]
file = "ev_*-cells.csv"
x = "px"
energy = "e"
time = "t"
min_energy = 0.002
[truth]
shower_id = "sim"
fraction = "share"
noise = 99
)");
  put("ev_7-cells.csv", "px,y,z,e,t,sim,share\n1,2,-3,4,0.5,12,0.75\n1,2,3,1,0,12,1\n4,5,6,8,0,99,1\n0,0,1,2,0,-5,1\n");
  const CalorimeterEvent event = read(m);
  EXPECT_EQ(event.name, "ev_7");
  EXPECT_THAT(event.hits.hit_id, ElementsAre(0, 2, 3)) << "the second is below 0.002 GeV";
  EXPECT_THAT(event.hits.x, ElementsAre(10.F, 40.F, 0.F));
  EXPECT_THAT(event.hits.z, ElementsAre(-30.F, 60.F, 10.F));
  EXPECT_THAT(event.hits.energy, ElementsAre(0.004F, 0.008F, 0.002F));
  EXPECT_THAT(event.hits.time, ElementsAre(500.F, 0.F, 0.F));
  EXPECT_THAT(event.hits.layer, IsEmpty());
  EXPECT_THAT(event.showers->shower_id, ElementsAre(-5, 12));
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0, 1, 1, 2));
  EXPECT_THAT(event.truth->shower, ElementsAre(1, 0));
  EXPECT_FLOAT_EQ(event.truth->fraction[0], 0.75F);
  EXPECT_FALSE(read_calorimeter_event(folder_.path() / "ev_7", m, {.truth = false}).truth);
}

TEST_F(CalorimeterMapTest, TablesOfTruthAndShowers) {
  const CalorimeterMap m = map(R"(
[units]
energy = 2
[hits]
file = "hits.csv"
hit_id = "id"
[truth]
file = "parts.csv"
hit_id = "id"
shower_id = "mc"
energy = "de"
[showers]
file = "mc.csv"
shower_id = "mc"
px = "px"
py = "py"
pz = "pz"
mass = "m"
pdg = "pdg"
hard = "first"
)");
  put("hits.csv", "id,x,y,z,energy\n8,1,2,3,10\n6,1,2,3,20\n4,1,2,3,30\n");
  // Parts of one shower add up; nothing, nan and -1 are noise; what is missing too.
  put("parts.csv", "mc,id,de\n30,8,2\n2,8,5\n30,8,3\n,6,4\nnan,6,4\n-1,6,4\n30,6,5\n");
  put("mc.csv", "pdg,mc,px,py,pz,m,first\n22,2,3,0,4,12,1\n211,30,0,0,-2,0,0\n13,7,0,0,0,0,1\n");
  const CalorimeterEvent event = read(m);
  EXPECT_EQ(event.name, folder_.path().filename()) << "without * the folder names the event";
  EXPECT_THAT(event.showers->shower_id, ElementsAre(2, 30)) << "particle 7 has no hit";
  EXPECT_THAT(event.showers->energy, ElementsAre(26.F, 4.F));
  EXPECT_FLOAT_EQ(event.showers->eta[0], std::asinh(4 / 3.F));
  EXPECT_EQ(event.showers->eta[1], -10.F) << "along the beam line";
  EXPECT_THAT(event.showers->pdg, ElementsAre(22, 211));
  EXPECT_THAT(event.showers->hard, ElementsAre(1, 0));
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0, 2, 3, 3));
  EXPECT_THAT(event.truth->shower, ElementsAre(0, 1, 1));
  EXPECT_THAT(event.truth->fraction, ElementsAre(0.5F, 0.5F, 0.25F));
}

TEST_F(CalorimeterMapTest, RecordsOfJson) {
  const CalorimeterMap m = map(R"(
[hits]
file = "*.json"
records = "event.hits"
hit_id = "cell"
merge = true
layer = "layer"
[truth]
shower_id = "particle"
[showers]
pdg = "pdg"
)");
  put("a.json", R"({"event": {"hits": [
    {"cell": "35747124473757844", "x": 1, "y": 2.5, "z": 3, "energy": 1, "layer": 4, "particle": 7.0, "pdg": 22},
    {"cell": 9, "x": 5, "y": 2, "z": 3, "energy": 2e0, "layer": 5, "particle": null, "pdg": 0},
    {"cell": 35, "x": 1, "y": 2.5, "z": 3.0, "energy": 3, "layer": 6, "particle": "-3", "pdg": 211}]}})");
  const CalorimeterEvent event = read(m);
  EXPECT_EQ(event.name, "a");
  EXPECT_THAT(event.hits.hit_id, ElementsAre(35747124473757844, 9));
  EXPECT_THAT(event.hits.energy, ElementsAre(4.F, 2.F));
  EXPECT_THAT(event.hits.layer, ElementsAre(4, 5));
  EXPECT_THAT(event.showers->shower_id, ElementsAre(-3, 7));
  EXPECT_THAT(event.showers->pdg, ElementsAre(211, 22));
  EXPECT_THAT(event.truth->row_splits, ElementsAre(0, 2, 2));
  EXPECT_THAT(event.truth->fraction, ElementsAre(0.75F, 0.25F));
}

// As a map may say: the id of a hit is a position too, and that of a shower its kind.
TEST_F(CalorimeterMapTest, AColumnOfTheFileMayBeReadAsSeveral) {
  const std::string columns =
      "hit_id = \"id\"\nx = \"id\"\nlayer = \"id\"\ntime = \"z\"\n[truth]\nshower_id = \"mc\"\n[showers]\npdg = "
      "\"mc\"\n"
      "energy = \"mc\"\n";
  put("a.csv", "id,y,energy,z,mc\n3,1,1,5,22\n\"4\",1,1,6,13\n");
  put("a.json",
      R"([{"id": 3, "y": 1, "energy": 1, "z": 5, "mc": 22}, {"id": 4, "y": 1, "energy": 1, "z": 6, "mc": 13}])");
  for (const std::string ending : {"csv", "json"}) {
    SCOPED_TRACE(ending);
    const CalorimeterEvent event = read(map("[hits]\nfile = \"*." + ending + "\"\n" + columns));
    EXPECT_THAT(event.hits.hit_id, ElementsAre(3, 4));
    EXPECT_THAT(event.hits.x, ElementsAre(3.F, 4.F));
    EXPECT_THAT(event.hits.layer, ElementsAre(3, 4));
    EXPECT_THAT(event.hits.z, ElementsAre(5.F, 6.F));
    EXPECT_THAT(event.hits.time, ElementsAre(5.F, 6.F));
    EXPECT_THAT(event.showers->shower_id, ElementsAre(13, 22));
    EXPECT_THAT(event.showers->pdg, ElementsAre(13, 22));
    EXPECT_THAT(event.showers->energy, ElementsAre(13.F, 22.F));
  }
  // Each reading has its own demands.
  put("a.csv", "id,y,energy,z,mc\n3,1,1,5,22\n4.5,1,1,6,13\n");
  EXPECT_EQ(error(map("[hits]\nfile = \"*.csv\"\nhit_id = \"y\"\nx = \"id\"\nlayer = \"id\"\n")),
            "a.csv:3: id = 4.5: expected an integer of 32 bits");
}

TEST_F(CalorimeterMapTest, WhereTheEventsAre) {
  const CalorimeterMap star = map("[hits]\nfile = \"ev*.csv\"\n"), one = map("[hits]\nfile = \"hits.csv\"\n");
  put("ev2.csv", ""), put("ev10.csv", ""), put("evil.txt", ""), put("._ev3.csv", ""), put("ev2.csv.gz", "");
  const fs::path& f = folder_.path();
  EXPECT_THAT(find_events(f, star), ElementsAre(f / "ev10", f / "ev2"));
  EXPECT_THAT(find_events(f / "ev10.csv", star), ElementsAre(f / "ev10"));
  EXPECT_THAT(find_events(f / "ev2.csv.gz", star), ElementsAre(f / "ev2"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(f / "ev3.csv", star); }), HasSubstr("ev3.csv: no event"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(f, one); }),
              HasSubstr(": no event in this folder, expected hits.csv as"));
  put("hits.csv", "x,y,z,energy\n");
  EXPECT_THAT(find_events(f, one), ElementsAre(f / f.filename()));
  EXPECT_THAT(find_events(f / "hits.csv", one), ElementsAre(f / f.filename()));
  EXPECT_EQ(read_calorimeter_event(f / f.filename(), one).hits.size(), 0);
}

TEST_F(CalorimeterMapTest, BadMapsAreNamed) {
  EXPECT_EQ(map_error(""), ": hits.file is missing");
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\nenergie = \"e\"\n"), HasSubstr(":3: hits.energie"));
  EXPECT_THAT(map_error("[hits]\nfile = 3\n"), HasSubstr(":2: hits.file"));
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\n[units]\nlength = 0\n"), HasSubstr(":4: units.length"));
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\nmin_energy = -1\n"), HasSubstr(":3: hits.min_energy"));
  EXPECT_THAT(map_error("[hits]\nfile = \"../a.csv\"\n"), HasSubstr("hits.file = ../a.csv: expected the name"));
  EXPECT_THAT(map_error("[hits]\nfile = \"*a*.csv\"\n"), HasSubstr("with one * at most"));
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\nrecords = \"b\"\n"), HasSubstr("hits.records: expected only"));
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\nx = \"\"\n"), HasSubstr("hits.x: expected the name of a column"));
  const std::string hits = "[hits]\nfile = \"a*.csv\"\nhit_id = \"id\"\n";
  EXPECT_THAT(map_error(hits + "[truth]\nfraction = \"f\"\n"), HasSubstr("truth.shower_id is missing"));
  EXPECT_THAT(map_error(hits + "[truth]\nshower_id = \"s\"\nfraction = \"f\"\nenergy = \"e\"\n"),
              HasSubstr("truth.fraction: expected only without truth.energy"));
  EXPECT_THAT(map_error(hits + "[truth]\nshower_id = \"s\"\nfile = \"t.csv\"\n"), HasSubstr("truth.hit_id is missing"));
  EXPECT_THAT(map_error(hits + "[truth]\nshower_id = \"s\"\nhit_id = \"h\"\n"), HasSubstr("truth.file is missing"));
  EXPECT_THAT(map_error("[hits]\nfile = \"a.csv\"\n[truth]\nshower_id = \"s\"\nfile = \"t\"\nhit_id = \"h\"\n"),
              HasSubstr("hits.hit_id is missing beside truth.file"));
  EXPECT_THAT(map_error(hits + "[showers]\npdg = \"p\"\n"), HasSubstr("truth.shower_id is missing beside [showers]"));
  const std::string truth = hits + "[truth]\nshower_id = \"s\"\n";
  EXPECT_THAT(map_error(truth + "[showers]\nfile = \"s.csv\"\npdg = \"p\"\n"),
              HasSubstr("showers.shower_id is missing"));
  EXPECT_THAT(map_error(truth + "[showers]\nshower_id = \"s\"\n"), HasSubstr("showers.file is missing"));
  EXPECT_THAT(map_error(truth + "[showers]\npx = \"p\"\npy = \"q\"\n"), HasSubstr("showers.pz is missing"));
  EXPECT_THAT(map_error(truth + "[showers]\npx = \"p\"\npy = \"q\"\npz = \"r\"\nenergy = \"e\"\n"),
              HasSubstr("expected only without showers.energy"));
  EXPECT_THAT(map_error(truth + "file = \"t.csv\"\nhit_id = \"h\"\n[showers]\npdg = \"p\"\n"),
              HasSubstr("showers.file is missing"));
}

TEST_F(CalorimeterMapTest, BadTablesAreNamed) {
  const CalorimeterMap m = map(
      "[hits]\nfile = \"a*.csv\"\nhit_id = \"id\"\n[truth]\nfile = \"t*.csv\"\nhit_id = \"id\"\nshower_id = \"mc\"\n"
      "energy = \"e\"\n[showers]\nfile = \"s*.csv\"\nshower_id = \"mc\"\npdg = \"pdg\"\n");
  const std::string hits = "id,x,y,z,energy\n1,1,2,3,4\n2,1,2,3,4\n", truth = "id,mc,e\n1,5,4\n",
                    showers = "mc,pdg\n5,22\n";
  const auto with = [&](const std::string& a, const std::string& t, const std::string& s) {
    put("a1.csv", a), put("t1.csv", t), put("s1.csv", s);
    return error(m);
  };
  EXPECT_EQ(with("id,x,y,z,energy\n1,1,2,3,-4\n", truth, showers), "a1.csv:2: energy = -4: expected at least 0");
  EXPECT_EQ(with("id,x,y,z,energy\n1,1,2,3,4\n\n1,1,2,3,4\n", truth, showers),
            "a1.csv:4: id = 1: expected once, appears again");
  EXPECT_THAT(with("id,x,y,z\n1,1,2,3\n", truth, showers), HasSubstr("a1.csv:1: no column energy"));
  EXPECT_EQ(with(hits, "id,mc,e\n1,5,4\n3,5,4\n", showers), "t1.csv:3: id = 3: expected one of the hits");
  EXPECT_EQ(with(hits, "id,mc,e\n1,5,3\n1,5,2\n", showers),
            "t1.csv:3: the parts of hit_id = 1 sum to 5 GeV, expected at most its 4");
  EXPECT_EQ(with(hits, "id,mc,e\n1,5,-3\n", showers), "t1.csv:2: e = -3: expected at least 0");
  EXPECT_EQ(with(hits, "id,mc,e\n1,5,4\n2,6,4\n", showers), "t1.csv:3: shower 6: expected one of the table of showers");
  EXPECT_EQ(with(hits, truth, "mc,pdg\n5,22\n7,1\n5,22\n"), "s1.csv:4: mc = 5: expected once, appears again");
  EXPECT_THAT(with(hits, truth, "mc,pdg\n5,2.5\n"), HasSubstr("s1.csv:2: pdg = 2.5"));
  fs::remove(folder_.path() / "s1.csv");
  EXPECT_THAT(error(m), HasSubstr("s1.csv: no such file, expected it or the same with .gz"));

  const CalorimeterMap far = map("units = { length = 1e10 }\n[hits]\nfile = \"b*.csv\"\n");
  put("b1.csv", "x,y,z,energy\n1,2,3e35,1\n");
  EXPECT_THAT(error(far), HasSubstr("b1.csv:2: a position = "));
}

TEST_F(CalorimeterMapTest, BadJsonIsNamed) {
  const CalorimeterMap m = map("[hits]\nfile = \"*.json\"\nrecords = \"a.b\"\n[truth]\nshower_id = \"p\"\n");
  const auto with = [&](const std::string& json) {
    put("x.json", json);
    return error(m);
  };
  const std::string good = R"({"x": 1, "y": 2, "z": 3, "energy": 4, "p": 5})";
  EXPECT_EQ(with(""), "x.json: is not JSON");
  EXPECT_EQ(with("{\"a\": {\"b\": [" + good), "x.json: is not JSON");
  EXPECT_EQ(with("{\"a\": {\"c\": []}}"), "x.json: no key b on the way to a.b");
  EXPECT_EQ(with("{\"a\": [1]}"), "x.json: no key b on the way to a.b");
  EXPECT_EQ(with("{\"a\": {\"b\": {}}}"), "x.json: a.b is not an array of records");
  const auto record = [&](const std::string& text) { return with("{\"a\": {\"b\": [" + good + ", " + text + "]}}"); };
  EXPECT_EQ(record("3"), "x.json: a.b[1]: 3: expected an object");
  EXPECT_EQ(record(R"({"x": 1, "y": 2, "z": 3})"), "x.json: a.b[1]: no key energy");
  EXPECT_EQ(record(R"({"x": 1, "y": 2, "z": 3, "energy": -4, "p": 5})"),
            "x.json: a.b[1]: energy = -4: expected at least 0");
  EXPECT_EQ(record(R"({"x": null, "y": 2, "z": 3, "energy": 4, "p": 5})"),
            "x.json: a.b[1]: x = null: expected a finite number that a float can hold");
  EXPECT_THAT(record(R"({"x": 1e99, "y": 2, "z": 3, "energy": 4, "p": 5})"), HasSubstr("x = 1e+99: expected a finite"));
  for (const char* const bad : {"1.5", "\"\"", "\"1.0\"", "\"seven\"", "true", "[]", "18446744073709551615", "1e300"}) {
    EXPECT_THAT(record(R"({"x": 1, "y": 2, "z": 3, "energy": 4, "p": )" + std::string(bad) + "}"),
                HasSubstr("x.json: a.b[1]: p = "))
        << bad;
  }
  const auto nested = [](int levels) {
    return std::string(static_cast<std::size_t>(levels), '[') + std::string(static_cast<std::size_t>(levels), ']');
  };
  for (const int levels : {62, 100000}) {
    EXPECT_EQ(record(nested(levels)), "x.json: nests deeper than 64 levels") << "with those of a.b";
    EXPECT_EQ(record(R"({"x": )" + nested(levels) + "}"), "x.json: nests deeper than 64 levels");
  }
  EXPECT_EQ(with(std::string(100000, '[')), "x.json: nests deeper than 64 levels");
  EXPECT_THAT(record(nested(61)), HasSubstr("x.json: a.b[1]: [[["));
  EXPECT_THAT(record("\"\\\"" + std::string(100, '[') + "\""), HasSubstr("expected an object")) << "within a text";
}

TEST_F(CalorimeterMapTest, TheExampleOfTheManual) {
  std::ifstream in(fs::path(STARLING_SOURCE_DIR) / "docs" / "program.md");
  const std::string page{std::istreambuf_iterator<char>(in), {}}, begin = "```toml\n[units]";
  const std::size_t first = page.find(begin), last = page.find("```\n", first + 3);
  ASSERT_NE(first, std::string::npos);
  const CalorimeterMap m = map(page.substr(first + 8, last - first - 8));
  EXPECT_EQ(m.hits.time, "t");
  EXPECT_EQ(m.truth.energy, "e");
  EXPECT_EQ(m.showers.pdg, "pdg");
}

double sum(const std::vector<float>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

TEST(RealCalorimeters, Clic) {
  STARLING_NEEDS_DATA("clic_ttbar_event");
  const CalorimeterMap m = load_calorimeter_map(fs::path(STARLING_SOURCE_DIR) / "maps" / "clic.toml");
  const std::vector<fs::path> events = find_events(data_folder() / "clic_ttbar_event", m);
  ASSERT_EQ(events.size(), 1U);
  const CalorimeterEvent event = read_calorimeter_event(events[0], m);
  EXPECT_EQ(event.name, "clic_ttbar_event");
  EXPECT_EQ(event.hits.size(), 9920) << "of 17,536";
  EXPECT_NEAR(sum(event.hits.energy), 6.48456, 1e-4) << "of 6.54476";
  EXPECT_EQ(event.showers->size(), 110) << "of 114";
  const std::vector<double> visible = visible_energy(*event.truth, event.hits.energy, event.showers->size());
  EXPECT_NEAR(std::accumulate(visible.begin(), visible.end(), 0.0), sum(event.hits.energy), 1e-5) << "no noise";
}

TEST(RealCalorimeters, ColliderMl) {
  STARLING_NEEDS_DATA("colliderml");
  const CalorimeterMap m = load_calorimeter_map(fs::path(STARLING_SOURCE_DIR) / "maps" / "colliderml.toml");
  const std::vector<fs::path> events = find_events(data_folder() / "colliderml", m);
  ASSERT_EQ(events.size(), 3U);
  const int hits[] = {1121, 1705, 1732}, showers[] = {60, 59, 68};
  const double energies[] = {0.647346, 0.915409, 0.921025};
  for (std::size_t i = 0; i < 3; ++i) {
    const CalorimeterEvent event = read_calorimeter_event(events[i], m);
    EXPECT_EQ(event.name, "event_" + std::to_string(i));
    EXPECT_EQ(event.hits.size(), hits[i]);
    EXPECT_NEAR(sum(event.hits.energy), energies[i], 1e-5);
    EXPECT_EQ(event.showers->size(), showers[i]);
    EXPECT_EQ(event.showers->pdg.size(), event.showers->shower_id.size());
    EXPECT_EQ(event.truth->shower.size(), i == 0 ? 1127U : static_cast<std::size_t>(hits[i]));
  }
}

TEST(RealCalorimeters, HgcalMuons) {
  STARLING_NEEDS_DATA("hgcal_ldrd_muons");
  const CalorimeterMap m = load_calorimeter_map(fs::path(STARLING_SOURCE_DIR) / "maps" / "hgcal_muons.toml");
  const std::vector<fs::path> events = find_events(data_folder() / "hgcal_ldrd_muons", m);
  ASSERT_EQ(events.size(), 2U);
  const CalorimeterEvent event = read_calorimeter_event(events[0], m);
  EXPECT_EQ(event.name, "event0");
  EXPECT_EQ(event.hits.size(), 31444);
  EXPECT_NEAR(sum(event.hits.energy), 231.681, 0.001);
  EXPECT_THAT(event.showers->shower_id, ElementsAre(0, 1));
  EXPECT_EQ(event.truth->shower.size(), 124U);
  EXPECT_NEAR(*std::max_element(event.hits.z.begin(), event.hits.z.end()), 5138, 200) << "mm";
  EXPECT_EQ(*std::max_element(event.hits.layer.begin(), event.hits.layer.end()), 52);
  EXPECT_EQ(read_calorimeter_event(events[1], m).hits.size(), 31592);
}

// What is read goes out in our own format and comes back.
TEST(RealCalorimeters, BecomeEventsOfOurs) {
  STARLING_NEEDS_DATA("clic_ttbar_event");
  const CalorimeterMap m = load_calorimeter_map(fs::path(STARLING_SOURCE_DIR) / "maps" / "clic.toml");
  const CalorimeterEvent event = read_calorimeter_event(data_folder() / "clic_ttbar_event" / "clic_ttbar_event", m);
  const TemporaryFolder folder;
  write_calorimeter_event(folder.path(), event);
  const CalorimeterEvent again = read_calorimeter_event(folder.path() / "clic_ttbar_event");
  EXPECT_EQ(again.hits.energy, event.hits.energy);
  EXPECT_EQ(again.truth->fraction, event.truth->fraction);
  EXPECT_EQ(again.showers->energy, event.showers->energy);
}

}  // namespace
