// starling sensitivity from outside, and the assignment of bits.
#include <map>
#include <sstream>

#include "expect_error.h"
#include "program.h"
#include "sensitivity_trials.h"
#include "starling/config.h"

namespace starling {
namespace {

using cli::Trial;

Trial trial(const std::string& layer, int bits, double loss, double bops) {
  return {layer, {bits, 0}, {loss, {}, 0}, bops};
}

std::map<std::string, int> assigned(const std::vector<Trial>& trials, double most) {
  const cli::BitAssignment result = cli::assign_bits({{"a.0", 100}, {"b.0", 50}}, trials, 1, most);
  EXPECT_LE(result.predicted_loss, most);
  return {result.bits.begin(), result.bits.end()};
}

TEST(AssignBits, TakesWhatSavesMostForItsLoss) {
  const std::vector<Trial> trials = {trial("a.0", 8, 1.01, 60), trial("a.0", 4, 1.10, 30), trial("b.0", 8, 1.02, 30),
                                     trial("b.0", 4, 0.99, 20)};
  using Bits = std::map<std::string, int>;
  EXPECT_EQ(assigned(trials, 1), (Bits{{"a.0", 12}, {"b.0", 4}}));  // less loss than with 12 bits counts as none
  EXPECT_EQ(assigned(trials, 1.015), (Bits{{"a.0", 8}, {"b.0", 4}}));
  EXPECT_EQ(assigned(trials, 1.099), (Bits{{"a.0", 8}, {"b.0", 4}}));
  EXPECT_EQ(assigned(trials, 1.2), (Bits{{"a.0", 4}, {"b.0", 4}}));
  EXPECT_EQ(assigned({}, 1.2), (Bits{{"a.0", 12}, {"b.0", 12}}));
  EXPECT_EQ(assigned({trial("a.0", 2, NAN, 1), trial("b.0", 8, 1, 50)}, 1.2), (Bits{{"a.0", 12}, {"b.0", 12}}));
}

TEST(AssignBits, BitsOfAReluAreThoseOfTheLayerThatReadsIt) {
  InteractionNetworkShape shape;
  shape.hidden = 4;
  shape.steps = 1;
  const std::string toml =
      cli::to_toml({{{"node_encoder.0", 8}, {"edge_network.0.0", 6}, {"edge_network.0.1", 4}}, 0}, shape);
  Config config = Config::parse(toml);
  std::string text;
  for (int i = 0; i < config.table_count("quantization.layer"); ++i) {
    for (const Config::Entry& entry : config.entries("quantization.layer[" + std::to_string(i) + "]")) {
      text += entry.key + '=' + entry.value + ' ';
    }
    text += '\n';
  }
  EXPECT_EQ(text,
            "name='node_encoder.0' weights=8 \n"
            "name='edge_network.0.0' weights=6 inputs=6 activations=4 \n"
            "name='edge_network.0.1' weights=4 \n");
}

class SensitivityCommand : public Cli {
 protected:
  static std::string command(const std::string& more) {
    return "sensitivity " + path("model.safetensors") + ' ' + more + ' ';
  }
};

TEST_F(SensitivityCommand, MeasuresEveryLayer) {
  const std::string options = "--bits 6,2 --prune 0.5 --out ";
  Result result = run(command("--events 2 --pileup 5 " + options + path("one")));
  ASSERT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("mixed precision: loss"));
  std::istringstream csv(content(path("one/sensitivity.csv")));
  std::map<std::string, std::map<std::string, double>> loss, bops;
  std::string line, cell;
  std::getline(csv, line);
  EXPECT_EQ(line, "layer,bits,pruned,loss,efficiency,target_purity,total_purity,masked_purity,bops_per_event");
  while (std::getline(csv, line)) {
    std::vector<std::string> cells;
    for (std::istringstream row(line); std::getline(row, cell, ',');) cells.push_back(cell);
    ASSERT_EQ(cells.size(), 9u) << line;
    loss[cells[0]][cells[1] + '/' + cells[2]] = std::stod(cells[3]);
    bops[cells[0]][cells[1] + '/' + cells[2]] = std::stod(cells[8]);
  }
  EXPECT_NEAR(loss["all"]["12/0"], loss["all"]["32/0"], 0.01 * loss["all"]["32/0"]);
  EXPECT_LT(bops["all"]["12/0"], bops["all"]["32/0"] / 4);
  std::size_t run_layers = 0;
  for (const LayerCost& cost : layer_costs(std::get<InteractionNetwork>(made_track_finder().network))) {
    if (cost.macs_per_node + cost.macs_per_edge == 0) {
      EXPECT_FALSE(loss.contains(cost.name)) << cost.name;
      continue;
    }
    ++run_layers;
    ASSERT_EQ(loss[cost.name].size(), 3u) << cost.name;
    EXPECT_LT(bops[cost.name]["2/0"], bops[cost.name]["6/0"]) << cost.name;
    EXPECT_LT(bops[cost.name]["6/0"], bops["all"]["12/0"]) << cost.name;
    EXPECT_LT(bops[cost.name]["12/0.5"], bops["all"]["12/0"]) << cost.name;
  }
  EXPECT_EQ(loss.size(), run_layers + 1);
  EXPECT_NO_THROW(Config::parse(content(path("one/bits.toml"))));

  // Again, into the same folder, on several threads: the same.
  const std::string before = content(path("one/sensitivity.csv"));
  result = run(command("--events 2 --pileup 5 --threads 3 " + options + path("one")));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(content(path("one/sensitivity.csv")), before);
}

TEST_F(SensitivityCommand, TakesEventsOfFiles) {
  const Result result = run(command(path("events") + " --bits 4 --prune 0.9 --tolerance 0"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("90 % pruned"));
}

TEST_F(SensitivityCommand, SaysWhatIsWrong) {
  expect_failure(command("--bits 8,8"), 2, {"--bits = 8,8: expected a list"});
  expect_failure(command("--bits 1"), 2, {"--bits = 1", "from 2 to 11"});
  expect_failure(command("--bits 8,"), 2, {"--bits = 8,"});
  expect_failure(command("--prune 1.5"), 2, {"--prune = 1.5"});
  expect_failure(command(path("nowhere")), 3, {"nowhere"});
  expect_failure("sensitivity " + path("absent.safetensors"), 3, {"absent.safetensors"});
  TrackFinder codes = made_track_finder();
  LearnedQuantization learned;
  for (const std::string& mlp : mlps(codes.shape())) learned.inputs[mlp] = {};
  for (const DenseLayer& layer : layers(codes.shape())) learned.layers[layer.name] = {};
  codes.network = quantize(std::get<InteractionNetwork>(codes.network), learned);
  codes.save(path("codes.safetensors"));
  expect_failure("sensitivity " + path("codes.safetensors"), 2, {"in codes already"});
  const std::string blind = copy_of_event("blind");
  fs::remove(blind + "-truth.csv");
  expect_failure(command(blind), 3, {"truth"});
}

}  // namespace
}  // namespace starling
