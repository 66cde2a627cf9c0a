// The commands from outside: what a user types, sees and gets.
#include "program.h"

#include <sys/stat.h>

#include <set>
#include <sstream>

#include "data.h"

namespace starling {
namespace {

TEST_F(Cli, EveryCommandHasHelpWithAnExample) {
  const Result all = run("--help");
  EXPECT_EQ(all.code, 0);
  for (const std::string command : {"simulate", "graph", "reconstruct", "evaluate", "info", "export"}) {
    EXPECT_THAT(all.out, HasSubstr(command));
    const Result help = run(command + " --help");
    EXPECT_EQ(help.code, 0);
    const std::string start = "\nexample: starling ";
    ASSERT_THAT(help.out, HasSubstr(start + command + ' '));
    EXPECT_EQ(help.err, "");
    // The examples' options are those of the command: --help comes last, so that they are read and nothing is run.
    for (std::size_t at = help.out.find(start); at != std::string::npos; at = help.out.find(start, at + 1)) {
      const std::size_t begin = at + start.size();
      const Result read = run(help.out.substr(begin, help.out.find('\n', begin) - begin) + " --help");
      EXPECT_EQ(read.code, 0) << read.err;
      EXPECT_EQ(read.out, help.out);
    }
  }
  EXPECT_THAT(run("--version").out, StartsWith("starling "));
}

TEST_F(Cli, SimulateWritesTheSameBytesOnAnyNumberOfThreads) {
  const Result result = run("simulate --events 2 --pileup 5 --seed 3 --first 7 --threads 3 --out " + path("again"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("2 events"));
  EXPECT_EQ(result.err, "");
  std::set<std::string> names;
  for (const auto& file : fs::directory_iterator(path("again"))) {
    names.insert(file.path().filename());
    EXPECT_EQ(content(file), content(folder / "events" / file.path().filename()));
  }
  EXPECT_EQ(names.size(), 6U);
  EXPECT_TRUE(names.contains("event000000008-truth.csv"));
}

TEST_F(Cli, SimulateMakesShowersWhereTheDetectorIsACalorimeter) {
  const std::string detector = " --detector " STARLING_SOURCE_DIR "/detectors/hgcal.toml";
  const std::string drawn = "simulate --events 2 --showers 2..4 --pileup 0..1.5 --seed 3" + detector;
  const Result result = run(drawn + " --threads 2 --out " + path("showers"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith("2 events"));
  EXPECT_THAT(result.out, HasSubstr("(pile-up 0 to 1.5, seed 3, HGCAL-like endcaps)"));
  ASSERT_EQ(run(drawn + " --threads 1 --out " + path("again")).code, 0);
  std::set<std::string> names;
  for (const auto& file : fs::directory_iterator(path("showers"))) {
    names.insert(file.path().filename());
    EXPECT_EQ(content(file), content(folder / "again" / file.path().filename()));
  }
  EXPECT_THAT(
      names, testing::ElementsAre("event000000000-hits.csv", "event000000000-showers.csv", "event000000000-truth.csv",
                                  "event000000001-hits.csv", "event000000001-showers.csv", "event000000001-truth.csv"));

  write(path("showers.toml"), "[showers]\nshowers = [2, 4]\npileup = [0, 1.5]\nseed = 4\n[network]\nhidden = 3\n");
  const std::string configured = "simulate --config " + path("showers.toml");
  ASSERT_EQ(run(configured + " --events 2 --seed 3 --out " + path("configured")).code, 0) << "no detector, no tracker";
  EXPECT_EQ(content(path("configured/event000000001-hits.csv")), content(path("showers/event000000001-hits.csv")));

  const std::string out = " --out " + path("unwritten");
  const Result shipped = run("simulate --showers 1 --seed 3 --out " + path("shipped"));
  ASSERT_EQ(shipped.code, 0) << "--showers alone means the shipped calorimeter: " << shipped.err;
  EXPECT_THAT(shipped.out, HasSubstr(", event000000000: on average"));
  EXPECT_THAT(shipped.out, HasSubstr("HGCAL-like endcaps"));
  expect_failure("simulate --showers 3 --detector " STARLING_SOURCE_DIR "/detectors/trackml.toml" + out, 2,
                 {"--showers", "trackml.toml is a tracker"});
  for (const char* wrong : {"--showers 3..2", "--showers 1001", "--showers ..", "--pileup 0..", "--pileup 1..2..3"}) {
    const std::string words = wrong;
    expect_failure("simulate " + words + detector + out, 2, {words.substr(0, words.find(' ')) + " = ", "as in 1..9"});
  }
  expect_failure("simulate --showers 1.5" + detector + out, 2, {"--showers = 1.5: expected whole numbers"});
  write(path("showers.toml"), "[showers]\nmin_eta = 3\nmax_eta = 2\n");
  expect_failure(configured + out, 2, {"showers.min_eta = 3: expected at most 2"});
  write(path("showers.toml"), "[showers]\npileup = [3, 2]\n");
  expect_failure(configured + out, 2, {"showers.toml:2: showers.pileup = [3, 2]: expected [lowest, highest]"});
  write(path("cavern.toml"), "kind = \"cavern\"\n");
  expect_failure("simulate --detector " + path("cavern.toml") + out, 2, {"kind", "cavern", "tracker, calorimeter"});
}

TEST_F(Cli, SimulateReadsAConfiguration) {
  write(path("simulation.toml"), "[simulation]\npileup = 5\nseed = 4\n");
  ASSERT_EQ(
      run("simulate --first 7 --seed 3 --config " + path("simulation.toml") + " --out " + path("configured")).code, 0);
  EXPECT_EQ(content(path("configured/event000000007-hits.csv")), content(event() + "-hits.csv")) << "flags override";
  write(path("simulation.toml"), "[network]\nhidden = 3\n[simulation]\npileup = 5\nseed = 3\n[training]\nx = 1\n");
  ASSERT_EQ(run("simulate --first 7 --config " + path("simulation.toml") + " --out " + path("configured")).code, 0)
      << "a training's configuration";
  EXPECT_EQ(content(path("configured/event000000007-hits.csv")), content(event() + "-hits.csv"));
  for (const std::string shipped : {"quick", "tracking"}) {
    const Result result = run("simulate --first 7 --pileup 5 --seed 3 --config " STARLING_SOURCE_DIR "/configs/" +
                              shipped + ".toml --out " + path(shipped));
    EXPECT_EQ(result.code, 0) << result.err;
  }
  write(path("simulation.toml"), "[simulatoin]\npileup = 5\n");
  expect_failure("simulate --config " + path("simulation.toml") + " --out " + path("unwritten"), 2,
                 {"simulation.toml:1: [simulatoin]: unknown section", "such as simulation"});
  write(path("simulation.toml"), "[simulation]\ndetector = \"nowhere.toml\"\n");
  expect_failure("simulate --config " + path("simulation.toml") + " --out " + path("unwritten"), 2,
                 {path("nowhere.toml")});
  write(path("simulation.toml"), "[simulation]\npile_up = 5\n");
  expect_failure("simulate --config " + path("simulation.toml") + " --out " + path("unwritten"), 2,
                 {"simulation.toml", "pile_up", "pileup"});
  write(path("simulation.toml"), "[simulation]\nmax_abs_eta = 60\n");
  expect_failure("simulate --config " + path("simulation.toml") + " --out " + path("unwritten"), 2,
                 {"simulation.toml:2", "max_abs_eta", "60"});
}

TEST_F(Cli, GraphWritesEdges) {
  const Result result = run("graph " + event() + model() + "--features --out " + path("graphs"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("efficiency"));
  std::istringstream lines(content(path("graphs/event000000007-graph.csv")));
  std::string header, row;
  std::getline(lines, header);
  EXPECT_EQ(header, "hit_id_src,hit_id_dst,dr,dphi,dz,deta,phislope,rphislope");
  ASSERT_TRUE(std::getline(lines, row));
  EXPECT_EQ(std::count(row.begin(), row.end(), ','), 7);
  const Result json = run("graph " + path("events") + model() + "--json --out " + path("graphs"));
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 2);
  EXPECT_THAT(json.out, HasSubstr(R"("efficiency":{"value":)"));
  EXPECT_THAT(content(path("graphs/event000000007-graph.csv")), StartsWith("hit_id_src,hit_id_dst\n"));
}

TEST_F(Cli, ReconstructWritesATrackForEachHit) {
  const Result result = run("reconstruct " + path("events") + model() + "--out " + path("tracks"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("event000000007"));
  EXPECT_EQ(result.err, "");
  const Event read = read_event(event());
  const auto tracks = read_tracks(path("tracks/event000000007-tracks.csv"), read.hits);
  EXPECT_GT(tracks.size(), 1);
  EXPECT_THAT(content(path("tracks/event000000007-tracks.csv")), StartsWith("hit_id,track_id\n"));

  for (const std::string how : {"--threads 1", "--threads 4", "--json"}) {
    const Result again = run("reconstruct " + path("events") + model() + how + " --out " + path("tracks2"));
    ASSERT_EQ(again.code, 0) << again.err;
    EXPECT_EQ(content(path("tracks2/event000000008-tracks.csv")), content(path("tracks/event000000008-tracks.csv")))
        << how;
    if (how == "--json") {
      EXPECT_EQ(std::count(again.out.begin(), again.out.end(), '\n'), 2);
    }
  }
  const Result reference =
      run("reconstruct " + path("events") + model() + "--out " + path("tracks2"), "STARLING_SIMD=reference ");
  EXPECT_EQ(reference.code, 0) << reference.err;
}

TEST_F(Cli, ReconstructDrawsAPictureOrSaysWhyNot) {
  const Result result = run("reconstruct " + event() + model() + "--picture --out " + path("pictures"));
  ASSERT_EQ(result.code, 0) << result.err;
  if (std::system("gnuplot --version >/dev/null 2>&1") == 0) {
    EXPECT_THAT(content(path("pictures/event000000007-tracks.png")), StartsWith("\x89PNG"));
  }
  const Result without =
      run("reconstruct " + event() + model() + "--picture --out " + path("no_pictures"), "PATH=/nonexistent ");
  EXPECT_EQ(without.code, 0);
  EXPECT_THAT(without.err, HasSubstr("gnuplot is not installed"));
  EXPECT_FALSE(fs::exists(path("no_pictures/event000000007-tracks.png")));
  EXPECT_TRUE(fs::exists(path("no_pictures/event000000007-tracks.csv")));
}

TEST_F(Cli, ReconstructDoesNotOverwriteTruth) {
  const std::string prefix = copy_of_event("own_truth");
  for (const char* end : {"-truth.csv", "-particles.csv"}) fs::remove(prefix + end);
  const std::string first_id = std::to_string(read_event(prefix).hits.hit_id[0]);
  write(prefix + "-tracks.csv", "hit_id,track\n" + first_id + ",0\n");
  const std::string arguments = "reconstruct " + prefix + model() + "--out " + path("own_truth");
  expect_failure(arguments, 2, {"own_truth", "expected another folder"});
  EXPECT_THAT(content(prefix + "-tracks.csv"), StartsWith("hit_id,track\n"));
  EXPECT_EQ(run("evaluate " + prefix + model()).code, 0);
  const std::string more = "hit_id,track,old_track_id\n" + first_id + ",0,7\n";
  write(prefix + "-tracks.csv", more);
  expect_failure(arguments, 2, {"-tracks.csv: is there", "expected another folder"});
  EXPECT_EQ(content(prefix + "-tracks.csv"), more);
  ASSERT_EQ(std::system(("gzip '" + prefix + "-tracks.csv'").c_str()), 0);
  expect_failure(arguments, 2, {"-tracks.csv.gz: is there and would be hidden"});
  EXPECT_FALSE(fs::exists(prefix + "-tracks.csv"));
  fs::remove(prefix + "-tracks.csv.gz");
  EXPECT_EQ(run(arguments).code, 0);
  EXPECT_EQ(run(arguments).code, 0) << "its own earlier result it may overwrite";
}

TEST_F(Cli, AnEarlierResultInAnotherFolderIsReplaced) {
  const std::string arguments = "reconstruct " + event() + model() + "--picture --out " + path("twice");
  ASSERT_EQ(run(arguments).code, 0);
  const std::string tracks = content(path("twice/event000000007-tracks.csv"));
  const Result again = run(arguments);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(content(path("twice/event000000007-tracks.csv")), tracks);
  write(path("twice/event000000007-tracks.png"), "\x89PNG of something else");
  if (again.err.empty()) expect_failure(arguments, 2, {"-tracks.png: is there"});
}

TEST_F(Cli, SimulateNeitherReplacesNorHidesOtherEvents) {
  const std::string prefix = copy_of_event("others"),
                    arguments = "simulate --pileup 5 --first 7 --out " + path("others");
  EXPECT_EQ(run(arguments).code, 0) << "its own earlier event";
  ASSERT_EQ(std::system(("gzip '" + prefix + "-truth.csv'").c_str()), 0);
  expect_failure(arguments, 2, {"event000000007-truth.csv.gz: is there and would be hidden"});
  fs::remove(prefix + "-truth.csv.gz");
  const std::string truth = "hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight\n";
  write(prefix + "-truth.csv", truth);
  expect_failure(arguments, 2, {"event000000007-truth.csv: is there"});
  EXPECT_EQ(content(prefix + "-truth.csv"), truth);
  copy_of_event("others");
  write(prefix + "-cells.csv", "hit_id,ch0,ch1,value\n1,2,3,0.5\n");
  expect_failure(arguments, 2, {"event000000007-cells.csv: is there"});
  EXPECT_EQ(content(prefix + "-cells.csv"), "hit_id,ch0,ch1,value\n1,2,3,0.5\n");
}

TEST_F(Cli, EvaluateReplacesOnlyItsOwnResults) {
  const std::string arguments = "evaluate " + event() + model() + "--out " + path("own_results");
  ASSERT_EQ(run(arguments).code, 0);
  EXPECT_EQ(run(arguments).code, 0);
  for (const char* const name : {"metrics.json", "curves.csv", "maps.csv", "roc.csv"}) {
    const fs::path file = folder / "own_results" / name;
    const std::string before = content(file);
    write(file, "{}");
    expect_failure(arguments, 2, {std::string(name) + ": is there"});
    write(file, before);
  }
}

TEST_F(Cli, GraphsAndScoresReplaceOnlyTheirOwn) {
  const std::string graph = "graph " + event() + model() + "--out " + path("own_edges");
  const std::string reconstruct = "reconstruct " + event() + model() + "--scores --out " + path("own_edges");
  for (const std::string& command : {graph, graph + " --features", graph, reconstruct, reconstruct}) {
    EXPECT_EQ(run(command).code, 0) << command;
  }
  const std::string other = "hit_id_src,hit_id_dst,truth\n";
  write(path("own_edges/event000000007-graph.csv"), other);
  write(path("own_edges/event000000007-scores.csv"), other);
  expect_failure(graph, 2, {"-graph.csv: is there"});
  expect_failure(reconstruct, 2, {"-scores.csv: is there"});
  EXPECT_EQ(content(path("own_edges/event000000007-graph.csv")), other);
}

TEST_F(Cli, EvaluateTakesTracksOfOtherTools) {
  const Event read = read_event(event());
  fs::create_directories(path("truth_as_tracks"));
  std::ofstream out(path("truth_as_tracks/event000000007-tracks.csv"));
  out << "hit_id,track_id\n";
  for (std::size_t hit = 0; hit < read.hits.hit_id.size(); ++hit) {
    const std::int64_t particle = read.truth->particle_id[hit];
    out << read.hits.hit_id[hit] << ',' << (particle == kNoise ? "nan" : std::to_string(particle + 4505867370102784))
        << '\n';
  }
  out.close();
  const Result result = run("evaluate " + event() + " --json --tracks " + path("truth_as_tracks"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(R"("fakes":{"value":0.0)"));
  EXPECT_THAT(result.out, HasSubstr(R"("complete":{"value":1.0)"));
}

TEST_F(Cli, EvaluateNamesEventsWithoutWeights) {
  fs::create_directories(path("weights"));
  for (const char* const number : {"07", "08"}) {
    Event read = read_event(path("events/event0000000") + number);
    if (read.name.ends_with("7")) read.truth->weight.assign(read.hits.hit_id.size(), 1.0F);
    read.particles.reset();
    write_event(path("weights"), read);
  }
  const Result result = run("evaluate " + path("weights") + model());
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, testing::ContainsRegex("TrackML score +[0-9]"));
  EXPECT_THAT(result.out, HasSubstr("not in it, without weights: 1 event, event000000008"));
}

TEST_F(Cli, APipeOfHitsEndsAtOnce) {
  const std::string prefix = copy_of_event("pipe");
  fs::remove(prefix + "-hits.csv");
  ASSERT_EQ(mkfifo((prefix + "-hits.csv").c_str(), 0600), 0);
  expect_bad_event(prefix, {"-hits.csv: is not a regular file"});
}

TEST_F(Cli, AnEventMayBeNamedByItsHits) {
  EXPECT_EQ(run("reconstruct " + event() + "-hits.csv" + model() + "--out " + path("by_hits")).code, 0);
  EXPECT_TRUE(fs::exists(path("by_hits/event000000007-tracks.csv")));
}

TEST_F(Cli, EvaluateCountsFilesAndModelAlike) {
  ASSERT_EQ(run("reconstruct " + path("events") + model() + "--out " + path("tracks")).code, 0);
  const Result by_model = run("evaluate " + path("events") + model() + "--out " + path("curves"));
  ASSERT_EQ(by_model.code, 0) << by_model.err;
  EXPECT_THAT(by_model.out, HasSubstr("without the network"));
  EXPECT_THAT(by_model.out, HasSubstr("masked purity"));
  EXPECT_THAT(by_model.out, HasSubstr("area below the ROC curve (AUC)"));
  for (const char* name : {"metrics.json", "curves.csv", "maps.csv", "roc.csv"})
    EXPECT_TRUE(fs::exists(folder / "curves" / name));
  const Result by_files = run("evaluate " + path("events") + " --tracks " + path("tracks"));
  ASSERT_EQ(by_files.code, 0) << by_files.err;
  const auto row = [](const std::string& text, const std::string& label) {
    const std::size_t tracks = text.find("\nTracks"), start = text.find("  " + label, tracks);
    return text.substr(start, 70);
  };
  for (const std::string label : {"efficiency", "fakes", "complete"}) {
    EXPECT_EQ(row(by_model.out, label), row(by_files.out, label));
  }
  const Result json = run("evaluate " + path("events") + model() +
                          "--json --min-pt 0.5 --matching atlas --builder walkthrough "
                          "--walk-min 0.25 --walk-add 0.75");
  EXPECT_EQ(json.code, 0) << json.err;
  EXPECT_EQ(std::count(json.out.begin(), json.out.end(), '\n'), 1);
  EXPECT_THAT(json.out, HasSubstr(R"("matching":"atlas")"));
  EXPECT_THAT(json.out, HasSubstr(R"("min_pt":0.5)"));
  EXPECT_THAT(json.out, HasSubstr(R"("walk_min":0.25,"walk_add":0.75)"));
  EXPECT_THAT(json.out, HasSubstr(R"("tracks_without_network")"));
}

TEST_F(Cli, EvaluateSaysWhichCutsItSkips) {
  const std::string prefix = copy_of_event("no_particles");
  fs::remove(prefix + "-particles.csv");
  const Result result = run("evaluate " + prefix + model());
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("cut skipped, min_pt"));
  fs::remove(prefix + "-truth.csv");
  expect_failure("evaluate " + prefix + model(), 3, {"event000000007", "no truth"});
}

// The model of the suite with its network in codes of 6 bits.
void save_in_codes(const std::string& from, const std::string& to) {
  TrackFinder finder = TrackFinder::load(from);
  const auto& network = std::get<InteractionNetwork>(finder.network);
  LearnedQuantization learned;
  for (const std::string& mlp : mlps(network.shape)) learned.inputs[mlp] = {6, 4.f};
  for (const DenseLayer& layer : layers(network.shape)) {
    learned.layers[layer.name] = {.weight_bits = 6, .bias_bits = 16, .output_bits = 6, .threshold = 3.f};
  }
  finder.network = quantize(network, learned);
  finder.save(to);
}

TEST_F(Cli, AModelInCodesIsDescribedAndReconstructs) {
  save_in_codes(path("model.safetensors"), path("codes.safetensors"));
  const Result info = run("info " + path("codes.safetensors"));
  EXPECT_EQ(info.code, 0) << info.err;
  EXPECT_THAT(info.out, ContainsRegex("edge_network.1 +6 +6 +536 "));
  EXPECT_THAT(info.out, HasSubstr("BOPs"));
  const Result json = run("info --json " + path("codes.safetensors"));
  EXPECT_THAT(json.out, HasSubstr(R"("name":"edge_decoder","weight_bits":[6,6],"input_bits":[6,6],"parameters":216)"));
  const std::string out = path("codes");
  const Result result = run("reconstruct " + event() + " --model " + path("codes.safetensors") + " --out " + out);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(fs::exists(out + "/event000000007-tracks.csv"));
  std::string text = content(path("codes.safetensors"));
  const std::string version = R"(\"version\":1,\"bits\")";
  ASSERT_NE(text.find(version), std::string::npos);
  text[text.find(version) + 12] = '2';
  write(path("later.safetensors"), text);
  expect_failure("info " + path("later.safetensors"), 3,
                 {"later.safetensors: quantization: version = 2, expected 1: a later version needs a later Starling"});
}

TEST_F(Cli, ExportTakesTheFormOfTheNetwork) {
  const std::string in_float = path("model.safetensors"), codes = path("export-codes.safetensors");
  const std::string out = path("network.onnx");
  save_in_codes(in_float, codes);
  for (const auto& [model, form] : {std::pair{in_float, "--onnx"}, {codes, "--qcdq"}, {codes, "--qonnx"}}) {
    const Result result = run("export " + model + " " + form + " " + out);  // again and again into one file
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, out + ": " + std::to_string(fs::file_size(out)) + " bytes\n");
    EXPECT_THAT(content(out), HasSubstr("provenance"));
  }
  const std::string before = content(out), end = " " + out;
  expect_failure("export " + in_float + " --qdq" + end, 2, {in_float + " holds a network in float, expected --onnx"});
  expect_failure("export " + codes + " --onnx" + end, 2, {codes + " holds a network in codes, expected --qdq, --qcdq"});
  expect_failure("export " + codes + " --qdq" + end, 2, {codes, "node_encoder.input has 6 bits, expected at least 8"});
  expect_failure("export " + codes + end, 2, {"expected one of --onnx, --qdq, --qcdq and --qonnx"});
  expect_failure("export " + codes + " --qcdq --qonnx" + end, 2, {"--qcdq", "--qonnx"});
  expect_failure("export " + codes + " --qcdq", 2, {"OUT"});
  expect_failure("export " + codes + " --qcdq " + path("nowhere/network.onnx"), 2, {"nowhere/network.onnx"});
  expect_failure("export " + codes + " --qcdq " + in_float, 2, {in_float, "is not an earlier result of Starling"});
  expect_failure("export " + path("events/event000000007-hits.csv") + " --onnx" + end, 3, {"event000000007-hits.csv"});
  EXPECT_EQ(content(out), before);
}

TEST_F(Cli, InfoCountsParameters) {
  EXPECT_THAT(run("info --hidden 48 --steps 8").out, HasSubstr("280177"));
  EXPECT_THAT(run("info --hidden 48 --steps 8 --norm batch").out, HasSubstr("283921"));
  EXPECT_THAT(run("info --hidden 48 --steps 8 --no-bias --json").out, HasSubstr(R"("parameters":277392)"));
  EXPECT_THAT(run("info --hidden 96 --recurrent").out, HasSubstr("206113"));
  const Result file = run("info " + path("model.safetensors"));
  EXPECT_EQ(file.code, 0) << file.err;
  EXPECT_THAT(file.out, HasSubstr("random weights"));
  EXPECT_THAT(file.out, HasSubstr("layer triples"));
  EXPECT_EQ(run("info " + path("model.safetensors") + " --json").code, 0);
  expect_failure("info", 2, {"model file"});
  expect_failure("info " + path("model.safetensors") + " --hidden 3", 2, {"--hidden"});
  expect_failure("info --hidden 0", 2, {"--hidden", "1"});
}

TEST_F(Cli, WrongCommandLines) {
  expect_failure("", 2, {"command"});
  expect_failure("reconstuct x", 2, {"reconstuct", "did you mean reconstruct?"});
  expect_failure("reconstruct x --modle y", 2, {"--modle", "did you mean --model?"});
  expect_failure("reconstruct " + event() + model(), 2, {"--out"});
  expect_failure("simulate --events many --out " + path("unwritten"), 2, {"--events", "many"});
  expect_failure("simulate --seed -1 --out " + path("unwritten"), 2, {"--seed", "-1"});
  expect_failure("simulate --seed 1.5 --out " + path("unwritten"), 2, {"--seed = 1.5", "expected an integer"});
  expect_failure("simulate --first 999999999 --events 2 --out " + path("unwritten"), 2, {"--first 999999999"});
  expect_failure("simulate --events", 2, {"--events: expected a value"});
  expect_failure("simulate -o " + path("unwritten"), 2, {"-o: no such option"});
  expect_failure("simulate --pileup -1 --out " + path("unwritten"), 2, {"--pileup", "-1"});
  expect_failure("evaluate " + event() + model() + "--matching best", 2, {"best", "double_majority"});
  expect_failure("evaluate " + event() + model() + "--builder best", 2, {"best", "walkthrough"});
  expect_failure("evaluate " + event() + model() + "--tracks x", 2, {"--tracks"});
  expect_failure("reconstruct " + event() + " " + event() + model() + "--out " + path("unwritten"), 2,
                 {"event000000007", "each once"});
  expect_failure("reconstruct " + event() + model() + "--device tpu --out " + path("unwritten"), 2, {"tpu", "cuda"});
  expect_failure("reconstruct " + event() + model() + "--out " + path("unwritten"), 2, {"STARLING_SIMD=mmx"},
                 "STARLING_SIMD=mmx ");
}

TEST_F(Cli, NumbersAreDecimalAndFinite) {
  const std::string out = " --out " + path("unwritten");
  for (const char* wrong :
       {"--seed 18446744073709551616", "--seed +1", "--seed 0x10", "--seed 1e3", "--seed ''", "--seed '1 '",
        "--events 2147483648", "--events 0", "--threads -1", "--threads 1.0", "--threads 1025", "--first 1000000000",
        "--pileup nan", "--pileup inf", "--pileup -nan", "--pileup 1e999", "--pileup 1,5", "--pileup 0x1p3"}) {
    const std::string words = wrong;
    expect_failure("simulate " + words + out, 2, {words.substr(0, words.find(' ')) + " = ", "expected a"});
  }
  expect_failure("simulate --seed 18446744073709551616" + out, 2, {"an integer of at most 18446744073709551615"});
  for (const char* option : {"--score", "--walk-min", "--walk-add"}) {
    for (const std::string value : {"nan", "inf", "1.1", "-0.1"}) {
      expect_failure("reconstruct " + event() + model() + out + ' ' + option + ' ' + value, 2, {option, value, "to 1"});
    }
  }
  for (const char* option : {"--min-pt", "--max-radius", "--max-eta"}) {
    expect_failure("evaluate " + event() + model() + option + " nan", 2, {option, "nan", "a number from 0"});
  }
  ASSERT_EQ(run("simulate --first 000000010 --events 01 --seed 010 --pileup 05 --out " + path("decimal")).code, 0);
  ASSERT_EQ(run("simulate --first 10 --seed 10 --pileup 5 --out " + path("plain")).code, 0);
  EXPECT_EQ(content(path("decimal/event000000010-hits.csv")), content(path("plain/event000000010-hits.csv")));
}

TEST_F(Cli, OptionsWithoutEffectAreRefused) {
  for (const char* option :
       {"--score 0.5", "--builder components", "--walk-min 0.2", "--walk-add 0.9", "--device cpu"}) {
    const std::string words = option;
    expect_failure("evaluate " + event() + " --tracks x " + words, 2,
                   {words.substr(0, words.find(' ')), "no meaning beside --tracks"});
  }
  for (const char* option : {"--min-pt 1", "--max-radius 5", "--max-eta 3", "--secondaries", "--electrons"}) {
    const std::string words = option;
    expect_failure("evaluate " + event() + model() + "--all " + words, 2,
                   {words.substr(0, words.find(' ')), "no meaning beside --all"});
  }
  const std::string reconstruct = "reconstruct " + event() + model() + "--out " + path("unwritten");
  expect_failure(reconstruct + " --score 0.5", 2, {"--score", "walkthrough", "--walk-min"});
  expect_failure(reconstruct + " --builder components --walk-min 0.5", 2, {"--walk-min", "components"});
  expect_failure(reconstruct + " --builder junction_removal --walk-add 0.5", 2, {"--walk-add", "junction_removal"});
  expect_failure(reconstruct + " --json --json", 2, {"--json: expected once"});
  expect_failure(reconstruct + " --json=yes", 2, {"--json: expected no value"});
  expect_failure("info a b", 2, {"b: one argument too many"});
}

TEST_F(Cli, SkipAndLimitChooseEvents) {
  const auto events = [](const std::string& options) {
    const Result result = run("reconstruct " + path("events") + model() + "--json --out " + path("chosen") + options);
    EXPECT_EQ(result.code, 0) << result.err;
    return std::pair(result.out.find("event000000007") != std::string::npos,
                     result.out.find("event000000008") != std::string::npos);
  };
  EXPECT_EQ(events(" --skip 1"), std::pair(false, true));
  EXPECT_EQ(events(" --limit 1"), std::pair(true, false));
  EXPECT_EQ(events(" --skip 0 --limit 99"), std::pair(true, true));
  expect_failure("reconstruct " + path("events") + model() + "--skip 2 --out " + path("unwritten"), 2,
                 {"--skip 2", "fewer than the 2 events"});
}

TEST_F(Cli, ReconstructWritesTheScoresOfEdges) {
  const std::string arguments = event() + model() + "--out " + path("scores");
  ASSERT_EQ(run("graph " + arguments).code, 0);
  const Result result = run("reconstruct " + arguments + " --scores --json");
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr(R"("scores_file":)"));
  std::istringstream scores(content(path("scores/event000000007-scores.csv")));
  std::istringstream edges(content(path("scores/event000000007-graph.csv")));
  std::string scored, edge;
  ASSERT_TRUE(std::getline(scores, scored) && std::getline(edges, edge));
  EXPECT_EQ(scored, edge + ",score");
  int rows = 0;
  while (std::getline(edges, edge)) {
    ASSERT_TRUE(std::getline(scores, scored));
    ASSERT_THAT(scored, StartsWith(edge + ','));
    const double score = std::stod(scored.substr(edge.size() + 1));
    EXPECT_TRUE(score >= 0 && score <= 1) << scored;
    ++rows;
  }
  EXPECT_GT(rows, 100);
  EXPECT_FALSE(std::getline(scores, scored));
}

TEST_F(Cli, OnADeviceReconstructWritesTheSameFilesAndWithoutOneItIsOneLine) {
  const std::string command = "reconstruct " + path("events") + model() + "--scores --threads 3 ";
  const Result result = run(command + "--device cuda --out " + path("on_device"));
  if (result.code != 0) {
    expect_failure(command + "--device cuda --out " + path("unwritten"), 4, {"cuda"});
    return;
  }
  EXPECT_EQ(result.err, "");
  EXPECT_THAT(result.out, HasSubstr(" GB of the GPU's\n"));
  ASSERT_EQ(run(command + "--out " + path("on_host")).code, 0);
  for (const auto& file : fs::directory_iterator(path("on_host"))) {
    EXPECT_EQ(content(folder / "on_device" / file.path().filename()), content(file)) << file.path();
  }
  fs::create_directory(path("bad"));
  write(path("bad/event000000001-hits.csv"), "hit_id,x\n1,2\n");
  const Result bad = run("reconstruct " + path("bad") + " " + event() + model() + "--keep-going --device cuda --out " +
                         path("on_device"));
  EXPECT_EQ(bad.code, 3);
  EXPECT_THAT(bad.out, HasSubstr("1 event, "));
}

TEST_F(Cli, OnADeviceEvaluateMeasuresTheSameAndWithoutOneItIsOneLine) {
  const std::string command = "evaluate " + path("events") + model() + "--json --device ";
  const Result result = run(command + "cuda");
  if (result.code != 0) {
    expect_failure(command + "cuda", 4, {"cuda"});
    return;
  }
  EXPECT_EQ(result.out, run(command + "cpu").out);
}

TEST_F(Cli, HitsOnNoEdgeAreSaid) {
  const std::string metres = copy_of_event("metres");
  std::istringstream hits(content(event() + "-hits.csv"));
  std::ofstream scaled(metres + "-hits.csv");
  std::string row;
  std::getline(hits, row);
  scaled << row << '\n';
  while (std::getline(hits, row)) {
    std::istringstream fields(row);
    std::string field;
    for (int i = 0; std::getline(fields, field, ','); ++i) {
      if (i > 0) scaled << ',';
      (i >= 1 && i <= 3 ? scaled << std::stod(field) / 1000 : scaled << field);
    }
    scaled << '\n';
  }
  scaled.close();
  for (const std::string command : {"graph ", "reconstruct ", "evaluate "}) {
    const Result result = run(command + metres + model() + "--out " + path("metres_" + command));
    EXPECT_EQ(result.code, 0);
    EXPECT_THAT(result.err, StartsWith("warning: event000000007: 0 of "));
    EXPECT_THAT(result.err, HasSubstr("expected positions in mm"));
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
  }
}

TEST_F(Cli, TrainSaysHowToGetStarlingLearn) {
  const Result help = run("train --help");
  EXPECT_EQ(help.code, 0);
  EXPECT_THAT(help.out, HasSubstr("example: starling train"));
  fs::create_directory(path("alone"));
  fs::copy_file(STARLING_PROGRAM, path("alone/starling"), fs::copy_options::overwrite_existing);
  // A folder that cannot be looked at, here for the length of its name, is no end.
  const std::string alone = "PATH=/usr/bin:/bin:/" + std::string(300, 'x') + " '" + path("alone/starling") +
                            "' train x.toml 2>" + path("stderr");
  EXPECT_EQ(WEXITSTATUS(std::system(alone.c_str())), 2);
  EXPECT_THAT(content(path("stderr")), HasSubstr("starling-learn"));
  write(path("alone/starling-learn"), "#!/bin/sh\necho \"$@\"\nexit 3\n");
  fs::permissions(path("alone/starling-learn"), fs::perms::owner_all);
  const std::string beside = "'" + path("alone/starling") + "' train x.toml --set 'a.b=c d' >" + path("stdout");
  EXPECT_EQ(WEXITSTATUS(std::system(beside.c_str())), 3) << "its exit code is ours";
  EXPECT_EQ(content(path("stdout")), "train x.toml --set a.b=c d\n");
}

TEST_F(Cli, BadEvents) {
  expect_bad_event(path("nowhere/event1"), {"nowhere/event1"});
  fs::create_directories(path("empty_folder"));
  expect_bad_event(path("empty_folder"), {"empty_folder"});

  const auto change = [&](const std::string& name, const std::string& hits) {
    const std::string prefix = copy_of_event(name);
    write(prefix + "-hits.csv", hits);
    return prefix;
  };
  const std::string head = "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  expect_bad_event(change("empty_file", ""), {"-hits.csv"});
  expect_bad_event(change("no_column", "hit_id,x,y,volume_id,layer_id,module_id\n1,2,3,4,5,6\n"), {"-hits.csv", "z"});
  expect_bad_event(change("short_row", head + "1,2,3,4,8,2,1\n2,3,4\n"), {"-hits.csv", "3"});
  expect_bad_event(change("text", head + "1,2,abc,4,8,2,1\n"), {"-hits.csv", "abc", "y"});
  expect_bad_event(change("nan", head + "1,2,nan,4,8,2,1\n"), {"-hits.csv", "nan"});
  expect_bad_event(change("inf", head + "1,2,3,inf,8,2,1\n"), {"-hits.csv", "inf"});
  expect_bad_event(change("twice", head + "1,2,3,4,8,2,1\n1,2,3,5,8,2,1\n"), {"-hits.csv", "1"});
  expect_failure("evaluate " + change("unknown_hit", head + "1,2,3,4,8,2,1\n") + model(), 3, {"-truth.csv"});

  const std::string zipped = copy_of_event("cut_gzip");
  ASSERT_EQ(std::system(("gzip -c '" + event() + "-hits.csv' | head -c 2000 >'" + zipped + "-hits.csv.gz'").c_str()),
            0);
  fs::remove(zipped + "-hits.csv");
  expect_bad_event(zipped, {"-hits.csv.gz"});
}

TEST_F(Cli, ANewlineInAPathIsOneLine) {
  const std::string odd_folder = "'" + path("two\nlines") + "'", escaped = path("two") + "\\x0alines";
  expect_failure("reconstruct " + odd_folder + model() + "--out " + path("unwritten"), 3, {escaped + ": no event"});
  fs::copy(fs::path(copy_of_event("two_lines")).parent_path(), path("two\nlines"));
  for (const char* end : {"-truth.csv", "-particles.csv"}) fs::remove(path("two\nlines/event000000007") + end);
  const Result result = run("evaluate " + odd_folder + model() + "--keep-going");
  EXPECT_EQ(result.err, "left out: " + escaped +
                            "/event000000007: has no truth (neither a truth nor a tracks file)\nstarling: 1 of 1 event "
                            "left out, as said above\n");
}

TEST_F(Cli, GzippedEventsGiveTheSameTracks) {
  const std::string zipped = copy_of_event("gzipped");
  ASSERT_EQ(std::system(("gzip '" + zipped + "-hits.csv' '" + zipped + "-truth.csv'").c_str()), 0);
  ASSERT_EQ(run("reconstruct " + zipped + model() + "--out " + path("from_gzip")).code, 0);
  ASSERT_EQ(run("reconstruct " + event() + model() + "--out " + path("from_csv")).code, 0);
  EXPECT_EQ(content(path("from_gzip/event000000007-tracks.csv")), content(path("from_csv/event000000007-tracks.csv")));
}

TEST_F(Cli, EventsWithoutHitsAndHitsOutsideEveryLayer) {
  const std::string head = "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  const std::string empty = copy_of_event("no_hits");
  for (const char* end : {"-truth.csv", "-particles.csv"}) fs::remove(empty + end);
  write(empty + "-hits.csv", head);
  const Result none = run("reconstruct " + empty + model() + "--picture --out " + path("no_hits_tracks"));
  EXPECT_EQ(none.code, 0) << none.err;
  EXPECT_EQ(content(path("no_hits_tracks/event000000007-tracks.csv")), "hit_id,track_id\n");

  write(empty + "-hits.csv", head + "5,32,0,0,8,2,1\n6,1,2,3,99,1,1\n");
  const Result outside = run("reconstruct " + empty + model() + "--json --out " + path("outside_tracks"));
  EXPECT_EQ(outside.code, 0) << outside.err;
  EXPECT_THAT(outside.out, HasSubstr(R"("hits":2,"hits_outside":1,"edges":0,"tracks":0)"));
  EXPECT_EQ(content(path("outside_tracks/event000000007-tracks.csv")), "hit_id,track_id\n5,-1\n6,-1\n");
}

TEST_F(Cli, BadModels) {
  const std::string good = content(path("model.safetensors"));
  const auto expect_bad_model = [&](const std::string& bytes, const std::vector<std::string>& parts) {
    write(path("bad.safetensors"), bytes);
    expect_failure("reconstruct " + event() + " --model " + path("bad.safetensors") + " --out " + path("unwritten"), 3,
                   parts);
    expect_failure("info " + path("bad.safetensors"), 3, parts);
  };
  expect_bad_model("", {"bad.safetensors"});
  expect_bad_model(good.substr(0, good.size() - 10), {"bad.safetensors"});
  expect_bad_model(std::string(8, '\xff') + good.substr(8), {"bad.safetensors"});
  std::string other = good;
  const std::size_t hidden = other.find("hidden");
  ASSERT_NE(hidden, std::string::npos);
  other.replace(hidden, 6, "hiddem");
  expect_bad_model(other, {"bad.safetensors"});
  expect_failure("info " + path("nowhere.safetensors"), 3, {"nowhere.safetensors"});
}

TEST_F(Cli, ReconstructsRealEvents) {
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  STARLING_NEEDS_DATA("trackml_gnntracking_ev1");
  const Result result = run("reconstruct " + (data_folder() / "trackml_ev1000_barrel").string() + " " +
                            (data_folder() / "trackml_gnntracking_ev1").string() + model() + "--out " + path("real"));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_TRUE(fs::exists(path("real/event000001000-tracks.csv")));
  EXPECT_TRUE(fs::exists(path("real/event000000001-tracks.csv")));
}

}  // namespace
}  // namespace starling
