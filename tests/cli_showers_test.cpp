// The program on events of calorimeters.
#include <nlohmann/json.hpp>

#include "data.h"
#include "program.h"
#include "starling/calorimeter.h"
#include "starling/calorimeter_map.h"

namespace starling {
namespace {

// Two showers of 10 hits of 1 GeV each, 200 mm apart, and 5 hits of noise.
CalorimeterEvent two_showers(const std::string& name) {
  CalorimeterEvent event;
  event.name = name;
  event.truth.emplace();
  event.showers = Showers{{7, 9}, {20, 12}, {}, {}, {22, 211}, {1, 0}};
  for (int i = 0; i < 25; ++i) {
    const int shower = i / 10;
    event.hits.hit_id.push_back(100 + i);
    event.hits.x.push_back(200.F * static_cast<float>(shower));
    event.hits.y.push_back(500);
    event.hits.z.push_back(3000.F + 10.F * static_cast<float>(i % 10));
    event.hits.energy.push_back(1);
    if (shower < 2) {
      event.truth->shower.push_back(shower);
      event.truth->fraction.push_back(1);
    }
    event.truth->row_splits.push_back(static_cast<std::int32_t>(event.truth->shower.size()));
  }
  return event;
}

class CliShowers : public Cli {
 protected:
  void SetUp() override {
    for (const char* const name : {"a", "b"}) {
      write_calorimeter_event(folder / "calo", two_showers(name));
      fs::create_directories(folder / "clusters");
      // The first shower is found whole, half of the second; the noise is a cluster.
      std::string clusters = "hit_id,cluster_id\n";
      for (int i = 0; i < 25; ++i) {
        clusters += std::to_string(100 + i) + (i < 10 ? ",1\n" : i < 15 ? ",2\n" : i < 20 ? ",-1\n" : ",3\n");
      }
      write(folder / "clusters" / (std::string(name) + "-clusters.csv"), clusters);
    }
  }
  static std::string evaluate() { return "evaluate " + path("calo") + " --clusters " + path("clusters"); }
};

TEST_F(CliShowers, EvaluateCountsShowersAndClusters) {
  const Result result = run(evaluate() + " --out " + path("judged"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("2 events, 50 hits; clusters from"));
  EXPECT_THAT(
      result.out,
      HasSubstr("Showers above 5 GeV of visible energy: 4 of 4; clusters whose hits sum to more than 5 GeV: 2 of 6"));
  EXPECT_THAT(result.out, HasSubstr("photons, electrons               100.00 ["));
  EXPECT_THAT(result.out, HasSubstr("charged hadrons                    0.00 ["));
  EXPECT_THAT(result.out, HasSubstr("of the hard collision            100.00 ["));
  EXPECT_THAT(result.out, HasSubstr("cluster / generated energy"));
  EXPECT_THAT(result.out, Not(HasSubstr("reconstructed / generated energy")));
  const auto metrics = nlohmann::json::parse(content(path("judged/metrics.json")));
  EXPECT_EQ(metrics["efficiency"]["all"]["passed"], 2);
  EXPECT_EQ(metrics["efficiency"]["all"]["total"], 4);
  EXPECT_EQ(metrics["fakes"]["total"], 2) << "5 GeV are not above 5 GeV";
  EXPECT_NEAR(metrics["f"]["value"], 2 / 3., 1e-12);
  EXPECT_EQ(metrics["response"]["cluster_to_generated"]["electromagnetic"]["median"]["value"], 0.5);
  EXPECT_TRUE(metrics["response"]["cluster_to_generated"]["electromagnetic"]["median"]["error"].is_null());
  EXPECT_THAT(content(path("judged/showers.csv")), HasSubstr("\nefficiency,all,energy,10,20,2,4,0.5,"));
  EXPECT_THAT(content(path("judged/response.csv")), HasSubstr("\ncluster_to_visible,all,energy,10,20,2,1,,1,,0,\n"));
  // Its own results are replaced, others are not.
  const Result json = run(evaluate() + " --json --min-visible 4 --out " + path("judged"));
  EXPECT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(nlohmann::json::parse(json.out)["fakes"]["passed"], 4);
  write(path("judged/showers.csv"), "mine\n");
  expect_failure(evaluate() + " --out " + path("judged"), 2, {"showers.csv", "is there"});
}

TEST_F(CliShowers, PicturesAreOfBinsWithEntries) {
  const Result none = run(evaluate() + " --out " + path("few"));
  EXPECT_EQ(none.code, 0) << none.err;
  for (const char* const name : {"shower_efficiency.png", "shower_response.png"}) {
    EXPECT_THAT(none.err, HasSubstr(path("few/") + name + " is not drawn: no bin has 5 entries\n"));
    EXPECT_FALSE(fs::exists(folder / "few" / name));
  }
  EXPECT_THAT(content(path("few/showers.csv")), HasSubstr("\nefficiency,all,energy,5,10,0,0,,,\n")) << "no interval";
  for (int i = 0; i < 5; ++i) {
    const std::string name = "event" + std::to_string(i);
    write_calorimeter_event(folder / "five", two_showers(name));
    fs::create_directories(folder / "of_five");
    fs::copy(path("clusters/a-clusters.csv"), folder / "of_five" / (name + "-clusters.csv"),
             fs::copy_options::overwrite_existing);
  }
  const Result drawn = run("evaluate " + path("five") + " --clusters " + path("of_five") + " --out " + path("drawn"));
  EXPECT_EQ(drawn.code, 0) << drawn.err;
  if (drawn.err.find("gnuplot is not installed") != std::string::npos) GTEST_SKIP() << "gnuplot is not installed";
  EXPECT_EQ(drawn.err, "");
  EXPECT_THAT(drawn.out, HasSubstr(path("drawn/shower_efficiency.png")));
  EXPECT_THAT(drawn.out, HasSubstr(path("drawn/shower_response.png")));
}

TEST_F(CliShowers, EvaluateSaysWhereNoShowerCounts) {
  const Result result = run(evaluate() + " --min-visible 20");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\nNo shower is above --min-visible 20 GeV; the largest has 10 GeV.\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("efficiency")));
  EXPECT_THAT(result.out, Not(HasSubstr("fakes")));
}

TEST_F(CliShowers, TheSameOnAnyNumberOfThreads) {
  for (const std::string threads : {"1", "2", "5"}) {
    ASSERT_EQ(run(evaluate() + " --threads " + threads + " --out " + path("threads" + threads)).code, 0);
    for (const auto& file : fs::directory_iterator(path("threads1"))) {
      EXPECT_EQ(content(file), content(folder / ("threads" + threads) / file.path().filename())) << file.path();
    }
  }
}

TEST_F(CliShowers, EvaluateReadsReconstructedEnergies) {
  for (const char* const name : {"a", "b"}) {
    write(folder / "clusters" / (std::string(name) + "-particles.csv"),
          "cluster_id,energy,x,y,z,class,hits\n1,19,0,0,0,muon,10\n2,5,0,0,0,,5\n3,5,0,0,0,,5\n");
  }
  const Result result = run(evaluate() + " --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(nlohmann::json::parse(result.out)["response"]["reconstructed_to_generated"]["all"]["mean"]["value"], 0.95);
  for (const char* const name : {"a", "b"}) fs::remove(folder / "clusters" / (std::string(name) + "-particles.csv"));
}

TEST_F(CliShowers, BadClustersAndCommandLines) {
  expect_failure(
      "evaluate " + path("calo") + model(), 3,
      {path("calo/a") + ": is an event of a calorimeter, and " + path("model.safetensors") + " finds tracks"});
  expect_failure(
      "reconstruct " + path("calo") + model() + "--out " + path("unwritten"), 3,
      {path("calo/a") + ": is an event of a calorimeter, and " + path("model.safetensors") + " finds tracks"});
  expect_failure("graph " + path("calo") + model() + "--out " + path("unwritten"), 3,
                 {path("calo/a") + ": is an event of a calorimeter: graph is for trackers"});
  expect_failure(evaluate() + " --t-d 1", 2, {"--t-d: has no meaning beside --clusters"});
  expect_failure(evaluate() + " --matching atlas", 2, {"--matching: has no meaning for events of a calorimeter"});
  expect_failure(evaluate() + " --tracks x", 2, {"--tracks"});
  expect_failure("evaluate " + event() + model() + "--min-energy 3", 2,
                 {"--min-energy: has no meaning for events of a tracker"});
  expect_failure("evaluate " + event() + " --clusters " + path("clusters"), 2, {"--clusters: has no meaning"});
  expect_failure(evaluate() + " --map " + path("none.toml"), 2, {"none.toml"});
  expect_failure("evaluate " + path("calo/a") + " --clusters " + path("none"), 3,
                 {"none/a-clusters.csv: no such file"});
  write(folder / "clusters" / "b-clusters.csv", "hit_id,cluster_id\n1,1\n");
  expect_failure(evaluate() + " --json", 3, {"b-clusters.csv:2: hit_id = 1: expected one of the hits file"});
  const Result result = run(evaluate() + " --json --keep-going");
  EXPECT_EQ(result.code, 3);
  EXPECT_EQ(nlohmann::json::parse(result.out)["left_out"][0], "b");
  CalorimeterEvent unknown = two_showers("unknown");
  unknown.truth.reset();
  write_calorimeter_event(folder / "unknown", unknown);
  write(folder / "clusters" / "unknown-clusters.csv", "hit_id,cluster_id\n");
  expect_failure("evaluate " + path("unknown") + " --clusters " + path("clusters"), 3, {"unknown", "has no truth"});
}

TEST_F(CliShowers, AMapWithoutTruthIsNamed) {
  write(path("bare.toml"), "[hits]\nfile = \"*-hits.csv\"\nhit_id = \"hit_id\"\n");
  expect_failure(evaluate() + " --map " + path("bare.toml"), 2,
                 {path("calo/a") + ": has no truth, since ", "bare.toml has no section [truth]"});
}

TEST_F(CliShowers, EvaluateReadsFilesOfOthers) {
  STARLING_NEEDS_DATA("hgcal_ldrd_muons");
  // Perfect clusters: what the file says.
  const CalorimeterMap map = load_calorimeter_map(fs::path(STARLING_SOURCE_DIR) / "maps" / "hgcal_muons.toml");
  const CalorimeterEvent muons = read_calorimeter_event(data_folder() / "hgcal_ldrd_muons" / "event0", map);
  std::string clusters = "hit_id,cluster_id\n";
  const std::vector<std::int32_t> of_hit = dominant_shower(*muons.truth);
  for (std::int32_t hit = 0; hit < muons.hits.size(); ++hit) {
    clusters += std::to_string(muons.hits.hit_id[hit]) + ',' + std::to_string(of_hit[hit]) + '\n';
  }
  write(folder / "clusters" / "event0-clusters.csv", clusters);
  const Result result =
      run("evaluate " + (data_folder() / "hgcal_ldrd_muons" / "event0.csv").string() + " --map " +
          STARLING_SOURCE_DIR "/maps/hgcal_muons.toml --min-visible 1 --json --clusters " + path("clusters"));
  ASSERT_EQ(result.code, 0) << result.err;
  const auto metrics = nlohmann::json::parse(result.out);
  EXPECT_EQ(metrics["hits"], 31444);
  EXPECT_EQ(metrics["efficiency"]["all"]["passed"], 2);
  EXPECT_EQ(metrics["fakes"]["total"], 2);
  EXPECT_EQ(metrics["f"]["value"], 1.0);
}

}  // namespace
}  // namespace starling
