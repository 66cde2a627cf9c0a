#include "starling/shower_finder.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>

#include "expect_error.h"
#include "shower_finder_cases.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::ElementsAre;
using testing::HasSubstr;

std::string content(const std::filesystem::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

// A finder whose weights are all different.
ShowerFinder small_finder() {
  ShowerFinder finder;
  finder.features = {0.02F, 500, 50, 0.25F};
  finder.outputs = {3, 20, true, true, 10, {"em", "hadron"}};
  finder.cuts = {0.2F, 0.75F, CondenseAssign::nearest, 4, 0.5F};
  finder.network.shape = {.inputs = kShowerFeatures,
                          .hidden = 5,
                          .width = 4,
                          .blocks = 2,
                          .space = 2,
                          .propagate = 3,
                          .k = 6,
                          .outputs = finder.outputs.columns()};
  float value = 0.F;
  for (const ArrayShape& array : arrays(layers(finder.network.shape))) {
    for (std::int64_t i = 0; i < array.count(); ++i) finder.network.weights[array.name].push_back(value += 1e-3F);
  }
  return finder;
}

TEST(ShowerFinder, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  ShowerFinder finder = small_finder();
  finder.provenance = R"({"seed": 1})";
  finder.save(folder.path() / "m.safetensors");
  const ShowerFinder back = ShowerFinder::load(folder.path() / "m.safetensors");
  EXPECT_EQ(back.network.shape, finder.network.shape);
  EXPECT_EQ(back.network.weights, finder.network.weights);
  EXPECT_EQ(back.features, finder.features);
  EXPECT_EQ(back.outputs, finder.outputs);
  EXPECT_EQ(back.cuts, finder.cuts);
  EXPECT_EQ(back.provenance, finder.provenance);
}

TEST(ShowerFinder, WhatCouldNotBeLoadedIsNotSaved) {
  const TemporaryFolder folder;
  const auto refused = [&](const std::string& what, const auto& change) {
    ShowerFinder finder = small_finder();
    change(finder);
    expect_error(ErrorKind::usage, what, [&] { finder.save(folder.path() / "m"); });
  };
  const float nan = std::nanf("");
  refused("provenance", [](ShowerFinder& f) { f.provenance = "not JSON"; });
  refused("fc4.bias, value 0 is nan", [&](ShowerFinder& f) { f.network.weights["fc4.bias"][0] = nan; });
  refused("features: energy = 0.000000, expected", [](ShowerFinder& f) { f.features.energy = 0; });
  refused("features: time = nan, expected", [&](ShowerFinder& f) { f.features.time = nan; });
  refused("features: layer = -1.000000, expected", [](ShowerFinder& f) { f.features.layer = -1; });
  refused("features: distance = inf, expected", [](ShowerFinder& f) { f.features.distance = INFINITY; });
  refused("outputs: coordinates = 2, expected 3..8", [](ShowerFinder& f) { f.outputs.coordinates = 2; });
  refused("outputs: residual = nan, expected", [&](ShowerFinder& f) { f.outputs.residual = nan; });
  refused("classes: \"a,b\", expected up to 64 letters", [](ShowerFinder& f) { f.outputs.classes[0] = "a,b"; });
  refused("classes: \"\", expected up to 64 letters", [](ShowerFinder& f) { f.outputs.classes[0] = ""; });
  refused("classes: \"em\" is there twice", [](ShowerFinder& f) { f.outputs.classes[1] = "em"; });
  refused("classes: 65 names, expected at most 64", [](ShowerFinder& f) { f.outputs.classes.resize(65); });
  refused("cuts: t_beta = 1.500000, expected", [](ShowerFinder& f) { f.cuts.t_beta = 1.5F; });
  refused("cuts: t_d = -1.000000, expected", [](ShowerFinder& f) { f.cuts.t_d = -1; });
  refused("cuts: min_hits = 0, expected", [](ShowerFinder& f) { f.cuts.min_hits = 0; });
  refused("cuts: min_energy = nan, expected", [&](ShowerFinder& f) { f.cuts.min_energy = nan; });
  refused("architecture: outputs = 11, expected the columns that the section outputs describes: 10",
          [](ShowerFinder& f) { f.outputs.scale = false; });
  refused("architecture: inputs = 3, expected the features of a hit: 7",
          [](ShowerFinder& f) { f.network.shape.inputs = 3; });
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "m"));
}

TEST(ShowerFinder, AWrongFileIsAnInputErrorThatNamesIt) {
  const TensorFile right = small_finder().to_model().to_file();
  const auto load = [](TensorFile file) {
    file.name = "m.safetensors";
    ShowerFinder::from_model(Model::from_file(std::move(file)));
  };
  ASSERT_NO_THROW(load(right));
  const auto refused = [&](const std::string& what, const auto& change) {
    TensorFile file = right;
    change(file);
    expect_error(ErrorKind::input, what, [&] { load(file); });
    expect_error(ErrorKind::input, "m.safetensors: ", [&] { load(file); });
  };
  const auto edited = [&](const std::string& key, const std::string& from, const std::string& to,
                          const std::string& what) {
    refused(what, [&](TensorFile& file) {
      std::string& text = file.metadata.at(key);
      ASSERT_NE(text.find(from), std::string::npos) << text;
      text.replace(text.find(from), from.size(), to);
    });
  };
  refused("kind = \"tracking\", expected \"showers\"", [](TensorFile& file) { file.metadata["kind"] = "tracking"; });
  refused("kind = \"tracking\", expected \"showers\"", [](TensorFile& file) {
    file.metadata["starling_format"] = "1";
    file.metadata.erase("kind");
  });
  for (const char* const section : {"architecture", "features", "outputs", "cuts", "provenance"}) {
    refused(std::string(section) + ": is missing", [&](TensorFile& file) { file.metadata.erase(section); });
    refused("is not a JSON object", [&](TensorFile& file) { file.metadata[section] = "[1"; });
    refused("nests deeper than 64 levels", [&](TensorFile& file) {
      file.metadata[section] = "{\"classes\":" + std::string(100000, '[') + std::string(100000, ']') + "}";
    });
    if (std::string(section) == "provenance") continue;
    refused("unknown key \"more\"", [&](TensorFile& file) { file.metadata[section].insert(1, "\"more\":1,"); });
    refused("is missing", [&](TensorFile& file) { file.metadata[section] = "{}"; });
  }
  edited("architecture", "gravnet", "interaction_network", "kind = \"interaction_network\", expected \"gravnet\"");
  edited("architecture", "\"hidden\":5", "\"hidden\":0", "hidden = 0, expected 1..1024");
  edited("architecture", "\"hidden\":5", "\"hidden\":6", "tensor fc1.weight has the shape [5,7], expected [6,7]");
  edited("architecture", "\"k\":6", "\"k\":-6", "k = -6, expected a whole number");
  edited("architecture", "\"space\":2", "\"space\":17", "space = 17, expected 1..16");
  edited("architecture", "\"factor\":10.0", "\"factor\":-1", "factor = -1, expected a number in 0..1000000");
  edited("architecture", "\"concat\":false", "\"concat\":0", "concat = 0, expected true or false");
  edited("architecture", "\"concat\":false", "\"concat\":true",
         "tensor fc3.weight has the shape [5,4], expected [5,8]");
  edited("features", "\"distance\":500.0", "\"distance\":0", "distance = 0.000000, expected");
  edited("features", "\"time\":0.25", "\"time\":1e99", "time = 1e+99, expected");
  edited("outputs", "\"coordinates\":3", "\"coordinates\":9", "coordinates = 9, expected 3..8");
  edited("outputs", "\"coordinates\":3", "\"coordinates\":4", "outputs = 11, expected the columns");
  edited("outputs", "[\"em\",\"hadron\"]", "[\"em\",7]", "classes = [\"em\",7], expected a list of names");
  edited("outputs", "[\"em\",\"hadron\"]", "[\"em\",\"em\"]", "classes: \"em\" is there twice");
  edited("outputs", "\"scale\":true", "\"scale\":1", "scale = 1, expected true or false");
  edited("cuts", "nearest", "farthest", "assign = \"farthest\", expected collect or nearest");
  edited("cuts", "\"min_hits\":4", "\"min_hits\":0", "min_hits = 0, expected");
  edited("cuts", "\"t_beta\":", "\"t_d\":1,\"t_beta\":", "\"cuts\": key \"t_d\" is there twice");
  refused("tensor fc4.bias is missing", [](TensorFile& file) { file.tensors.erase("fc4.bias"); });
  refused("tensor \"more\" is not part of the architecture",
          [](TensorFile& file) { file.tensors["more"] = Tensor::of(std::vector<float>{1.F}, {1}); });
  refused("tensor fc1.bias is not F32",
          [](TensorFile& file) { file.tensors["fc1.bias"] = Tensor::of(std::vector<std::int32_t>(5), {5}); });
  for (const float value : {std::nanf(""), INFINITY}) {
    refused("tensor fc1.bias, value 3 is ", [&](TensorFile& file) {
      file.tensors["fc1.bias"] = Tensor::of(std::vector<float>{0, 0, 0, value, 0}, {5});
    });
  }
}

CalorimeterHits some_hits() {
  CalorimeterHits hits;
  hits.hit_id = {11, 12, 13, 14, 15, 16};
  hits.x = {300, 301, 302, -300, -300, 0};
  hits.y = {400, 400, 401, 0, 1, 0};
  hits.z = {1200, 1201, 1202, 2000, 2001, 0};
  hits.energy = {1, 3, 0, 0.5F, 0.25F, 2};
  hits.time = {5, 5, 5, 7, 7, 1};
  hits.layer = {1, 2, 3, 10, 11, 0};
  return hits;
}

TEST(ShowerFeatures, AreThoseOfTheDefinitions) {
  const CalorimeterHits hits = some_hits();
  const std::vector<float> features = shower_features(hits, {0.5F, 100, 20, 2});
  ASSERT_EQ(features.size(), 6u * kShowerFeatures);
  // 300, 400, 1200: 1300 mm from the origin.
  const double expected[] = {std::log(3.), 3. / 13, 4. / 13, 12. / 13, 13, 0.05, (5 - 1300 / 299.792458) / 2};
  for (int f = 0; f < kShowerFeatures; ++f) EXPECT_NEAR(features[f], expected[f], 3e-7 * std::abs(expected[f])) << f;
  // At the origin there is no direction.
  EXPECT_THAT(std::vector<float>(features.end() - kShowerFeatures, features.end()),
              ElementsAre(testing::FloatNear(std::log(5.F), 2e-7F), 0, 0, 0, 0, 0, 0.5F));
}

TEST(ShowerFeatures, TheLogarithmIsThatOfTheLibrary) {
  CalorimeterHits hits;
  const std::vector<float> energies = {
      0,    1e-30F, 1e-7F, 0.1F, 0.4F, 0.4142F, 0.42F, 0.5F,
      0.7F, 1,      1.1F,  3,    100,  12345,   1e30F, std::numeric_limits<float>::max()};
  for (std::size_t i = 0; i < energies.size(); ++i) {
    hits.hit_id.push_back(static_cast<std::int64_t>(i));
    for (auto* const column : {&hits.x, &hits.y, &hits.z}) column->push_back(1);
  }
  hits.energy = energies;
  const std::vector<float> features = shower_features(hits, {.energy = 1});
  for (std::size_t i = 0; i < energies.size(); ++i) {
    const double expected = std::log(double{1.F + energies[i]});
    EXPECT_NEAR(features[i * kShowerFeatures], expected, 2.5e-7 * expected) << energies[i];
  }
  // E / E0 beyond the floats counts as the largest of them.
  EXPECT_NEAR(shower_features(hits, {.energy = 1e-6F})[(energies.size() - 1) * kShowerFeatures], 88.7228, 1e-4);
}

TEST(ShowerFeatures, AColumnThatIsNeededAndMissingIsAnInputError) {
  CalorimeterHits hits = some_hits();
  hits.time.clear();
  EXPECT_EQ(shower_features(hits, {.layer = 1})[6], 0.F);
  expect_error(ErrorKind::input, "the hits have no time", [&] { shower_features(hits, {.time = 1}); });
  hits.layer.clear();
  expect_error(ErrorKind::input, "the hits have no layer", [&] { shower_features(hits, {.layer = 1}); });
  EXPECT_EQ(shower_features(hits, {})[5], 0.F);
  hits.x[2] = std::nanf("");
  expect_error(ErrorKind::usage, "x[2]", [&] { shower_features(hits, {}); });
  EXPECT_TRUE(shower_features(CalorimeterHits{}, {.layer = 1, .time = 1}).empty());
}

// Outputs that make two showers of some_hits(): hits 0, 1, 2 around hit 1, hits 3, 4 around hit 4; hit 5 is far away.
struct Outputs {
  ShowerOutputs layout{3, 0, true, true, 10, {"em", "hadron"}};
  std::vector<float> values;

  Outputs() {
    const float logit[] = {-1, 3, -2, 0, 2, -9}, x[] = {0, 0.1F, 0.2F, 5, 5, 9};
    for (int i = 0; i < 6; ++i) {
      const float point = i == 1 ? 0.5F : i == 4 ? -0.25F : 99.F;  // what stands at other hits is not read
      values.insert(values.end(), {logit[i], x[i], 0, 0, 0, point, 1, 2, 3, 0, i == 4 ? 1.F : 0.F});
    }
  }
};

TEST(ShowerPoints, AreThoseOfTheDefinitions) {
  Outputs outputs;
  outputs.layout.residual = 26;
  outputs.values[5 * 11 + 4] = 11;  // ln φ is cut
  outputs.values[4 * 11 + 4] = -11;
  std::vector<float> beta(6), x(18), scale(6);
  const CalorimeterHits hits = some_hits();
  shower_points(hits, outputs.layout, outputs.values.data(), {beta.data(), x.data(), scale.data()});
  EXPECT_NEAR(beta[1], 1 / (1 + std::exp(-3.)), 1e-7);
  EXPECT_NEAR(beta[5], 1 / (1 + std::exp(9.)), 1e-10);
  EXPECT_NEAR(x[0], 6, 1e-6);
  EXPECT_NEAR(x[1], 8, 1e-6);
  EXPECT_NEAR(x[2], 24, 1e-5);
  EXPECT_EQ(scale[0], 1.F);
  EXPECT_NEAR(scale[5], std::exp(10.), 2e-3);
  EXPECT_NEAR(scale[4], std::exp(-10.), 1e-11);
}

TEST(FindShowers, HitsOfAPointAreAShower) {
  const Outputs outputs;
  const CalorimeterHits hits = some_hits();
  const FoundShowers found =
      find_showers(hits, outputs.values, outputs.layout, {.t_beta = 0.5F, .t_d = 1, .min_hits = 1});
  EXPECT_THAT(found.cluster, ElementsAre(0, 0, 0, 1, 1, -1));
  ASSERT_EQ(found.size(), 2);
  EXPECT_NEAR(found.energy[0], 4 * std::exp(0.5), 1e-6);
  EXPECT_NEAR(found.energy[1], 0.75 * std::exp(-0.25), 1e-6);
  EXPECT_NEAR(found.x[0], (300. + 3 * 301) / 4 + 10, 1e-4);
  EXPECT_NEAR(found.y[1], (0.5 * 0 + 0.25 * 1) / 0.75 + 20, 1e-5);
  EXPECT_NEAR(found.z[1], (0.5 * 2000 + 0.25 * 2001) / 0.75 + 30, 1e-3);
  EXPECT_THAT(found.kind, ElementsAre(0, 1));
  EXPECT_THAT(found.hits, ElementsAre(3, 2));
}

TEST(FindShowers, CutsDropClustersAndNumberTheOthersAnew) {
  const Outputs outputs;
  const CalorimeterHits hits = some_hits();
  ShowerCuts cuts{.t_beta = 0.5F, .t_d = 1, .min_hits = 3};
  EXPECT_THAT(find_showers(hits, outputs.values, outputs.layout, cuts).cluster, ElementsAre(0, 0, 0, -1, -1, -1));
  CalorimeterHits weak = hits;
  weak.energy = {0, 0, 0, 1, 1, 0};
  cuts = {.t_beta = 0.5F, .t_d = 1, .min_hits = 1, .min_energy = 2};
  const FoundShowers found = find_showers(weak, outputs.values, outputs.layout, cuts);
  EXPECT_THAT(found.cluster, ElementsAre(-1, -1, -1, 0, 0, -1));
  EXPECT_THAT(found.kind, ElementsAre(1));
  // Without energy the place is the plain mean.
  cuts.min_energy = 0;
  EXPECT_NEAR(find_showers(weak, outputs.values, outputs.layout, cuts).x[0], 301 + 10, 1e-4);
}

TEST(FindShowers, AnEventWithoutHitsHasNone) {
  const FoundShowers found = find_showers(CalorimeterHits{}, {}, Outputs().layout, {});
  EXPECT_EQ(found.size(), 0);
  EXPECT_TRUE(found.cluster.empty());
}

TEST(FindShowers, WrongArgumentsAreNamed) {
  Outputs outputs;
  const CalorimeterHits hits = some_hits();
  const auto find = [&] { return find_showers(hits, outputs.values, outputs.layout, {}); };
  outputs.values[2 * 11 + 7] = INFINITY;
  expect_error(ErrorKind::input, "hit 2: output 7 of the network is inf, expected a finite number", find);
  outputs.values.pop_back();
  expect_error(ErrorKind::usage, "outputs has 65 values, expected 66", find);
  const std::vector<float> beta(6), values(66);
  std::vector<std::int32_t> id(6, 0), point(6, 1);
  const auto showers = [&] { return showers_of_clusters(hits, values, outputs.layout, {}, beta, id, point); };
  ASSERT_NO_THROW(showers());
  id[3] = 6;
  expect_error(ErrorKind::usage, "hit 3 has the cluster 6 and the point 1, expected both below 6", showers);
  id[3] = 0, point[3] = -1;
  expect_error(ErrorKind::usage, "hit 3 has the cluster 0 and the point -1", showers);
  point.pop_back();
  expect_error(ErrorKind::usage, "point has 5 values, expected 6", showers);
}

TEST(FindShowers, WhatAFloatCannotHoldIsAnInputError) {
  Outputs outputs;
  CalorimeterHits hits = some_hits();
  const ShowerCuts cuts{.t_beta = 0.5F, .t_d = 1, .min_hits = 1};
  const auto find = [&] { return find_showers(hits, outputs.values, outputs.layout, cuts); };
  hits.energy[3] = hits.energy[4] = 3e38F;  // the point of this shower halves the sum, nearly
  expect_error(ErrorKind::input, "shower 1, whose point is hit 4: energy = 4.67", find);
  hits.energy[3] = 0;
  EXPECT_NEAR(find().energy[1] / 3e38, std::exp(-0.25), 1e-6);
  outputs.values[1 * 11 + 7] = 3e38F;  // in units of 10 mm
  expect_error(ErrorKind::input, "shower 0, whose point is hit 1: y = 3.00000", find);
}

TEST(ShowerSession, FindsWhatItsStagesFind) {
  const ShowerFinder finder = made_finder();
  ShowerSession session(finder);
  const GravNetPlan plan(finder.network);
  for (const int count : {200, 0, 1, 900, 30}) {  // memory grows and is used again
    SCOPED_TRACE(count);
    const CalorimeterHits hits = made_hits(count, 3);
    const std::vector<float> features = shower_features(hits, finder.features);
    GravNetHits rows{features.data(), count};
    std::vector<std::byte> workspace(plan.workspace_bytes(rows));
    std::vector<float> outputs(static_cast<std::size_t>(count) * finder.network.shape.outputs);
    plan.run(rows, outputs.data(), workspace);
    const FoundShowers expected = find_showers(hits, outputs, finder.outputs, finder.cuts), found = session.run(hits);
    EXPECT_EQ(found.cluster, expected.cluster);
    EXPECT_EQ(found.energy, expected.energy);
    EXPECT_EQ(found.size() > 0, count > 1);
  }
}

TEST(ShowerSession, WrongUseIsNamed) {
  ShowerFinder finder = made_finder();
  ShowerSession session(finder);
  CalorimeterHits hits = made_hits(20, 3);
  hits.layer.clear();
  expect_error(ErrorKind::input, "the hits have no layer", [&] { session.run(hits); });
  const ShowerSession taken = std::move(session);
  expect_error(ErrorKind::usage, "a session that was moved from", [&] { session.run(hits); });
  try {
    require_cuda();
  } catch (const Error&) {
    expect_error(ErrorKind::device, "CUDA", [&] { ShowerSession(finder, Device::cuda); });
  }
  finder.cuts.t_beta = 2;
  expect_error(ErrorKind::usage, "cuts: t_beta = 2", [&] { ShowerSession{finder}; });
}

TEST(ShowerFiles, HoldOneRowPerHitAndOnePerShower) {
  const TemporaryFolder folder;
  const Outputs outputs;
  const CalorimeterHits hits = some_hits();
  FoundShowers found = find_showers(hits, outputs.values, outputs.layout, {.t_beta = 0.5F, .t_d = 1, .min_hits = 1});
  found.beta = {0.25F, 0.5F, 0, 1, 0.125F, 0};
  found.energy = {4.5F, 0.75F};
  found.x = found.y = found.z = {1, -2.5F};
  const auto clusters = folder.path() / "e-clusters.csv", particles = folder.path() / "e-particles.csv";
  for (int time = 0; time < 2; ++time) {  // an earlier result is replaced
    write_showers(clusters, particles, hits.hit_id, found, outputs.layout.classes);
  }
  EXPECT_EQ(content(clusters), "hit_id,cluster_id,beta\n11,0,0.25\n12,0,0.5\n13,0,0\n14,1,1\n15,1,0.125\n16,-1,0\n");
  EXPECT_EQ(content(particles),
            "cluster_id,energy,x,y,z,class,hits\n0,4.5,1,1,1,em,3\n1,0.75,-2.5,-2.5,-2.5,hadron,2\n");
  found.kind = {-1, -1};
  write_showers(clusters, particles, hits.hit_id, found, {});
  EXPECT_THAT(content(particles), HasSubstr("\n0,4.5,1,1,1,,3\n"));

  // An error leaves both files as they were.
  const std::string before = content(clusters) + content(particles);
  const auto refused = [&](const std::string& what, const FoundShowers& wrong) {
    expect_error(ErrorKind::usage, what,
                 [&] { write_showers(clusters, particles, hits.hit_id, wrong, outputs.layout.classes); });
    EXPECT_EQ(content(clusters) + content(particles), before);
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 2);
  };
  found.beta[0] = 0.75F;
  FoundShowers wrong = found;
  wrong.kind = {0, 2};
  refused("e-particles.csv: shower 1 has the class 2, expected one of the 2 names", wrong);
  wrong.kind = {0};
  refused("e-particles.csv: class has 1 entries, expected 2", wrong);
  wrong = found, wrong.hits.pop_back();
  refused("e-particles.csv: hits has 1 entries, expected 2", wrong);
  wrong = found, wrong.y[1] = INFINITY;
  refused("e-particles.csv: y[1] = inf: expected a finite number", wrong);
  wrong = found, wrong.cluster.pop_back();
  refused("e-clusters.csv: cluster_id has 5 entries, expected 6", wrong);
  std::ofstream(clusters) << "other";
  expect_error(ErrorKind::usage, "e-clusters.csv", [&] { check_shower_clusters_place(clusters); });
  std::ofstream(particles) << "hit_id,cluster_id,beta\n";
  expect_error(ErrorKind::usage, "e-particles.csv", [&] { check_shower_particles_place(particles); });
}

}  // namespace
