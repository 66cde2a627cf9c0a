// Reconstruction of showers from outside: what a user types, sees and gets.
#include <sstream>

#include "program.h"
#include "shower_finder_cases.h"
#include "starling/calorimeter.h"
#include "starling/shower_finder.h"

namespace starling {
namespace {

constexpr const char* kMap = R"([units]
length = 10
[hits]
file = "others*.csv"
x = "X"
y = "Y"
z = "Z"
energy = "E"
layer = "lay"
)";

class CliReconstructShowers : public Cli {
 protected:
  static void SetUpTestSuite() {
    Cli::SetUpTestSuite();
    made_finder().save(path("showers.safetensors"));
    for (int i = 0; i < 3; ++i) {
      write_calorimeter_event(path("calo"), {"event" + std::to_string(i), made_hits(300 + i, 5), {}, {}});
    }
    write_calorimeter_event(path("calo"), {"nothing", {}, {}, {}});
  }

  static std::string showers() { return " --model " + path("showers.safetensors") + " "; }
};

TEST_F(CliReconstructShowers, ReconstructWritesWhatTheLibraryFinds) {
  const Result result = run("reconstruct " + path("calo") + showers() + "--out " + path("found"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr("4 events, 903 hits, "));
  EXPECT_THAT(result.out, HasSubstr(path("found/<event>-clusters.csv")));
  const CalorimeterEvent event = read_calorimeter_event(path("calo/event1"));
  ShowerSession session(made_finder());
  const FoundShowers found = session.run(event.hits);
  ASSERT_GT(found.size(), 1);
  write_showers(path("own-clusters.csv"), path("own-particles.csv"), event.hits.hit_id, found, {"em", "hadron"});
  EXPECT_EQ(content(path("found/event1-clusters.csv")), content(path("own-clusters.csv")));
  EXPECT_EQ(content(path("found/event1-particles.csv")), content(path("own-particles.csv")));
  EXPECT_EQ(content(path("found/nothing-clusters.csv")), "hit_id,cluster_id,beta\n");
  EXPECT_EQ(content(path("found/nothing-particles.csv")), "cluster_id,energy,x,y,z,class,hits\n");

  for (const std::string how : {"--threads 1", "--threads 3", "--json"}) {
    const Result again = run("reconstruct " + path("calo") + showers() + how + " --out " + path("again"));
    ASSERT_EQ(again.code, 0) << again.err;
    for (const auto& file : fs::directory_iterator(path("found"))) {
      EXPECT_EQ(content(file), content(folder / "again" / file.path().filename())) << how;
    }
  }
}

// The events with their truth: hit i is of shower i mod 5.
void write_with_truth(const fs::path& folder) {
  for (const char* const name : {"event0", "event1"}) {
    CalorimeterEvent event{name, made_hits(200, 9), {}, {}};
    event.showers = Showers{{0, 1, 2, 3, 4}, {2, 2, 2, 2, 2}, {}, {}, {}, {}};
    event.truth.emplace();
    for (std::int32_t hit = 0; hit < event.hits.size(); ++hit) {
      event.truth->shower.push_back(hit % 5);
      event.truth->fraction.push_back(1);
      event.truth->row_splits.push_back(hit + 1);
    }
    write_calorimeter_event(folder, event);
  }
}

TEST_F(CliReconstructShowers, EvaluateJudgesWhatReconstructFinds) {
  write_with_truth(path("truth"));
  ASSERT_EQ(run("reconstruct " + path("truth") + showers() + "--t-d 2 --out " + path("judged")).code, 0);
  const std::string command = "evaluate " + path("truth") + " --min-visible 0.1 --json ";
  const Result files = run(command + "--clusters " + path("judged")), model = run(command + showers() + "--t-d 2");
  ASSERT_EQ(files.code, 0) << files.err;
  ASSERT_EQ(model.code, 0) << model.err;
  const std::string begin = "\"min_visible\":";
  EXPECT_EQ(files.out.substr(files.out.find(begin)), model.out.substr(model.out.find(begin)));
  EXPECT_THAT(files.out, StartsWith("{\"clusters_folder\":\"" + path("judged")));
  EXPECT_THAT(model.out, StartsWith("{\"model\":\"" + path("showers.safetensors") + "\",\"shower_cuts\":{"));
  EXPECT_THAT(model.out, HasSubstr("\"t_d\":2"));
  EXPECT_THAT(files.out, HasSubstr("\"total\":10}")) << "ten showers";
}

TEST_F(CliReconstructShowers, APictureHasTheTruthBesideOrSaysWhyNot) {
  write_with_truth(path("truth"));
  const std::string command = "reconstruct " + path("truth/event0") + showers() + "--picture --out " + path("drawn");
  const Result result = run(command);
  ASSERT_EQ(result.code, 0) << result.err;
  const std::string picture = path("drawn/event0-clusters.png");
  if (!fs::exists(picture)) {
    EXPECT_THAT(result.err, HasSubstr("gnuplot is not installed"));
    return;
  }
  EXPECT_THAT(result.out, HasSubstr("picture:   " + picture));
  EXPECT_THAT(content(picture), HasSubstr("tEXtSoftware"));
  EXPECT_EQ(run(command).code, 0) << "its own picture is replaced";
  write(picture, "mine");
  expect_failure(command, 2, {"event0-clusters.png", "is there"});
  EXPECT_EQ(run("reconstruct " + path("calo/nothing") + showers() + "--picture --out " + path("drawn")).code, 0);
}

TEST_F(CliReconstructShowers, AJsonLineHoldsWhatTheTableShows) {
  const Result result = run("reconstruct " + path("calo/event2") + showers() + "--json --out " + path("line"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith(R"({"event":"event2","hits":302,"clustered":)"));
  for (const std::string key : {"showers", "energy", "seconds", "clusters_file", "particles_file"}) {
    EXPECT_THAT(result.out, HasSubstr("\"" + key + "\":"));
  }
}

TEST_F(CliReconstructShowers, CutsOfTheCommandLineReplaceThoseOfTheModel) {
  const std::string command = "reconstruct " + path("calo/event0") + showers() + "--json --out " + path("cut");
  EXPECT_THAT(run(command + " --t-beta 1").out, HasSubstr("\"showers\":0,"));
  EXPECT_THAT(run(command + " --min-energy 1000").out, HasSubstr("\"showers\":0,"));
  EXPECT_THAT(run(command + " --t-d 1000").out, HasSubstr("\"clustered\":300,\"showers\":1,"));
}

TEST_F(CliReconstructShowers, AnEventInOneShowerIsWarnedOf) {
  for (const auto& [hits, warned] : {std::pair{1200, true}, std::pair{900, false}}) {
    write_calorimeter_event(path("one" + std::to_string(hits)), {"event1", made_hits(hits, 5), {}, {}});
    const Result result =
        run("reconstruct " + path("one" + std::to_string(hits)) + showers() + "--t-d 1000 --out " + path("one"));
    ASSERT_EQ(result.code, 0) << result.err;
    EXPECT_THAT(result.out, HasSubstr(" hits, 1 shower in "));
    EXPECT_EQ(result.err.starts_with("warning: event1: nearly all hits are in one shower: "), warned) << result.err;
  }
}

TEST_F(CliReconstructShowers, OptionsOfTheOtherKindAreRefused) {
  const std::string command = "reconstruct " + path("calo/event0") + showers() + "--out " + path("unwritten");
  for (const std::string option :
       {"--scores", "--builder components", "--score 0.5", "--walk-min 0.5", "--walk-add 0.5"}) {
    const std::string name = option.substr(0, option.find(' '));
    expect_failure(command + ' ' + option, 2, {name + ": " + path("showers.safetensors") + " finds showers: expected"});
  }
  for (const std::string name : {"--t-beta", "--t-d", "--min-energy"}) {
    expect_failure("reconstruct " + event() + model() + "--out " + path("unwritten") + ' ' + name + " 0.5", 2,
                   {name + ": " + path("model.safetensors") + " finds tracks: expected"});
    expect_failure(command + ' ' + name + " -1", 2, {name, "expected a number"});
  }
}

TEST_F(CliReconstructShowers, EventsOfOthersAreReadByAMap) {
  const CalorimeterEvent event = read_calorimeter_event(path("calo/event1"));
  std::ostringstream text;
  text << "X,Y,Z,E,lay\n";
  text.precision(9);
  for (std::int32_t i = 0; i < event.hits.size(); ++i) {
    text << event.hits.x[i] / 10 << ',' << event.hits.y[i] / 10 << ',' << event.hits.z[i] / 10 << ','
         << event.hits.energy[i] << ',' << event.hits.layer[i] << '\n';
  }
  write(path("others.csv"), text.str());
  write(path("map.toml"), kMap);
  const std::string command = "reconstruct " + path("others.csv") + " --map " + path("map.toml");
  const Result result = run(command + showers() + "--json --out " + path("mapped"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("\"hits\":301,"));
  expect_failure(command + model() + "--out " + path("unwritten"), 2, {"--map", "finds tracks"});
}

TEST_F(CliReconstructShowers, BadInputEndsWithOneLine) {
  const std::string end = showers() + "--out " + path("unwritten");
  expect_failure("reconstruct " + event() + end, 3,
                 {event() + ": is no event of a calorimeter, whose hits have a column energy", "finds showers"});
  write(path("calo_bad-hits.csv"), "hit_id,x,y,z,energy\n1,2,3,4,5\n");
  expect_failure("reconstruct " + path("calo_bad") + end, 3, {"calo_bad", "the hits have no layer"});
  write(path("calo_bad-hits.csv"), "hit_id,x,y,z,energy,layer\n1,2,3,4,-5,1\n");
  expect_failure("reconstruct " + path("calo_bad") + end, 3, {"calo_bad-hits.csv:2", "energy", "-5"});
  expect_failure("evaluate " + event() + showers(), 3,
                 {event() + ": is no event of a calorimeter", path("showers.safetensors") + " finds showers"});
  Model typed;
  typed.kind = "typed";
  typed.save(path("typed.safetensors"));
  expect_failure(
      "reconstruct " + path("calo/event0") + " --model " + path("typed.safetensors") + " --out " + path("unwritten"), 3,
      {"typed.safetensors", "a model of the kind typed, expected tracking or showers"});
}

// An event that cannot be read is of no kind: its file is named, not an option or a model of the other kind.
TEST_F(CliReconstructShowers, AnUnreadableEventIsNamedBeforeOptionsAre) {
  write(path("empty-hits.csv"), "");
  write(path("typo-hits.csv"), "hit_id,x,y,z,enrgy,layer\n1,2,3,4,5,1\n");
  write(path("cut-hits.csv.gz"), std::string("\x1f\x8b\x08\0\0\0", 6));
  const std::pair<std::string, std::string> events[] = {
      {"empty", "-hits.csv: is empty"}, {"typo", "-hits.csv:1: no column energy, "}, {"cut", "-hits.csv.gz: "}};
  for (const auto& [name, what] : events) {
    const std::string evaluate = "evaluate " + path(name);
    for (const std::string& command : {evaluate + " --clusters " + path("calo"), evaluate + " --min-visible 1",
                                       evaluate + " --t-beta 0.5", evaluate + showers(), evaluate + model(),
                                       "reconstruct " + path(name) + " --t-beta 0.5 --out " + path("unwritten"),
                                       "reconstruct " + path(name) + showers() + "--out " + path("unwritten")}) {
      expect_failure(command, 3, {path(name) + what});
    }
  }
}

// Five hits that a float holds and their sum not.
TEST_F(CliReconstructShowers, AShowerBeyondAFloatLeavesNoFile) {
  std::string hits = "hit_id,x,y,z,energy,layer\n";
  for (int i = 0; i < 5; ++i) hits += std::to_string(i) + ",100,200,3200,3e38,1\n";
  write(path("great-hits.csv"), hits);
  expect_failure("reconstruct " + path("great") + showers() + "--t-beta 0 --t-d 1000 --out " + path("great_out"), 3,
                 {path("great") + ": shower 0, whose point is hit ", "energy = ", "expected a number that a float"});
  EXPECT_TRUE(fs::is_empty(path("great_out")));
}

TEST_F(CliReconstructShowers, ADeviceThatIsNotThereIsOneLine) {
  if (run("reconstruct " + path("calo/event0") + showers() + "--device cuda --out " + path("device")).code == 0) {
    GTEST_SKIP() << "this machine has a CUDA device";
  }
  expect_failure("reconstruct " + path("calo/event0") + showers() + "--device cuda --out " + path("unwritten"), 4,
                 {"cuda"});
}

TEST_F(CliReconstructShowers, InfoDescribesTheModel) {
  const Result result = run("info " + path("showers.safetensors"));
  ASSERT_EQ(result.code, 0) << result.err;
  for (const char* const part :
       {"GravNet network: 2 blocks of width 10", "gravnet_layers.1.lin_out2", "energy in 0.01 GeV", ", layer\n",
        "classes     em and hadron", "t_beta 0.1", "data: random weights"}) {
    EXPECT_THAT(result.out, HasSubstr(part));
  }
  const Result json = run("info --json " + path("showers.safetensors"));
  ASSERT_EQ(json.code, 0) << json.err;
  for (const char* const part :
       {R"("kind":"gravnet")", R"("parameters":)", R"("cuts":{"t_beta":0.1)", R"("classes":["em","hadron"])"}) {
    EXPECT_THAT(json.out, HasSubstr(part));
  }
}

}  // namespace
}  // namespace starling
