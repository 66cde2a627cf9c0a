// The command line: the only file that knows CLI11, which takes seconds to compile.
#include "arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "environment.h"
#include "starling/error.h"

namespace starling::cli {
namespace {

constexpr std::uint64_t kEventNumbers = 1'000'000'000;  // nine digits in a file's name

// Edits that turn one word into the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& known) {
  const auto nearest = std::min_element(
      known.begin(), known.end(), [&](const auto& a, const auto& b) { return distance(word, a) < distance(word, b); });
  if (nearest == known.end() || distance(word, *nearest) > 1 + word.size() / 3) return "";
  return ", did you mean " + *nearest + "?";
}

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::usage, message); }

// Misspelt commands and flags, before CLI11 complains about what is missing instead.
void check_spelling(const CLI::App& app, const std::vector<std::string>& words) {
  if (words.empty()) fail("expected a command; starling --help lists them");
  if (words[0].starts_with('-')) return;
  const CLI::App* command = nullptr;
  std::vector<std::string> commands;
  for (const CLI::App* one : app.get_subcommands({})) {
    commands.push_back(one->get_name());
    if (one->get_name() == words[0]) command = one;
  }
  if (command == nullptr) {
    fail(words[0] + ": no such command" + did_you_mean(words[0], commands) + " (starling --help lists the commands)");
  }
  for (std::size_t i = 1; i < words.size() && words[i] != "--"; ++i) {
    const std::string flag = words[i].substr(0, words[i].find('='));
    const bool is_flag = flag.size() > 1 && flag[0] == '-' && (flag[1] == '-' || std::isalpha(flag[1]) != 0);
    if (!is_flag || command->get_option_no_throw(flag) != nullptr) continue;
    std::vector<std::string> known;
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) known.push_back("--" + name);
    }
    fail(words[0] + ": " + flag + ": no such option" + did_you_mean(flag, known) + " (starling " + words[0] +
         " --help lists them)");
  }
}

// CLI11's message as ours: "--seed = 1.5: expected a number".
std::string message_of(const CLI::ParseError& error) {
  std::string text = error.what();
  std::replace(text.begin(), text.end(), '\n', ' ');
  const std::string conversion = "Could not convert: ";
  if (text.starts_with(conversion)) return text.substr(conversion.size()) + ": expected a number";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    return text.substr(0, text.find(':')) + ": expected a value";
  }
  return text;
}

// A range that --help does not repeat.
template <class Number>
CLI::Validator range(Number low, Number high) {
  return CLI::Range(low, high).description("");
}

// For unsigned options: CLI11 turns -1 into the largest number.
CLI::Validator not_negative() {
  return {[](const std::string& text) {
            return text.starts_with('-') ? text + ": expected a number of at least 0" : std::string();
          },
          ""};
}

/// The subcommands with the options that they fill.
struct CommandLine {
  CLI::App app{"Starling finds particle tracks: hits in, tracks out, with graph networks.", "starling"};
  Request request;
  SimulateOptions simulate;
  GraphOptions graph;
  ReconstructOptions reconstruct;
  EvaluateOptions evaluate;
  InfoOptions info;
  std::string matching = "double_majority", norm = "layer";
  bool secondaries = false, electrons = false, no_bias = false, no_concat = false;

  CommandLine() {
    app.set_version_flag("--version", "starling " STARLING_VERSION);
    app.require_subcommand(1);
    app.footer(
        "exit codes: 0 done, 1 internal error, 2 usage or configuration, 3 bad input, 4 device not available, 130 "
        "interrupted\n"
        "STARLING_SIMD=reference|avx2|avx512 chooses the instruction set of the network.");
    add_simulate();
    add_graph();
    add_reconstruct();
    add_evaluate();
    add_info();
    add("train", "Learn windows and a network from simulated or given events; run by the program starling-learn.",
        "starling train configs/tracking.toml --set training.output=runs/first --device cuda");
  }

 private:
  CLI::App* add(const char* name, const char* what, const char* example) {
    CLI::App* command = app.add_subcommand(name, what);
    command->footer(std::string("example: ") + example);
    return command;
  }

  void add_threads(CLI::App* command) {
    command->add_option("--threads", request.threads, "threads to use; 0 = all processors")
        ->check(range(0, 1024))
        ->capture_default_str();
  }

  static void add_events(CLI::App* command, std::vector<std::filesystem::path>& events) {
    command->add_option("EVENT", events, "prefix of an event's files (dir/event000001000) or a folder of events")
        ->required();
  }

  static void add_model(CLI::App* command, std::filesystem::path& model) {
    command->add_option("--model", model, "model file; default: the shipped models/tracking.safetensors");
  }

  static void add_device(CLI::App* command, std::string& device) {
    command->add_option("--device", device, "cpu or cuda")->capture_default_str();
  }

  static void add_json(CLI::App* command, bool& json, const char* what = "one JSON line an event instead of a table") {
    command->add_flag("--json", json, what);
  }

  static void add_track_overrides(CLI::App* command, TrackOverrides& tracks, const char* score) {
    command->add_option("--builder", tracks.builder,
                        "components, walkthrough or junction_removal; default: what the model says");
    command->add_option("--score", tracks.score, score)->check(range(0.0, 1.0));
    command->add_option("--walk-min", tracks.walk_min, "walkthrough: the least score of an edge")
        ->check(range(0.0, 1.0));
    command
        ->add_option("--walk-add", tracks.walk_add, "walkthrough: the score from which every continuation is followed")
        ->check(range(0.0, 1.0));
  }

  void add_simulate() {
    CLI::App* command = add("simulate", "Simulate events and write them as TrackML files.",
                            "starling simulate --events 10 --pileup 200 --seed 1 --out events");
    command->add_option("--events", simulate.events, "how many")->check(range(1, 100'000'000))->capture_default_str();
    command->add_option("--first", simulate.first, "number of the first event")
        ->check(not_negative())
        ->check(range(std::uint64_t{0}, kEventNumbers - 1))
        ->capture_default_str();
    command->add_option("--pileup", simulate.pileup, "mean number of collisions beside the first; default 200")
        ->check(range(0.0, 1000.0));
    command->add_option("--seed", simulate.seed, "of the random numbers; default 1")->check(not_negative());
    command->add_option("--out", simulate.out, "folder to write to")->required();
    command->add_option("--detector", simulate.detector, "TOML file; default: the shipped detectors/trackml.toml");
    command->add_option("--config", simulate.config, "TOML file with a section [simulation], which the flags override");
    add_threads(command);
    command->callback([this] {
      if (simulate.first + static_cast<std::uint64_t>(simulate.events) > kEventNumbers) {
        fail("simulate: --first " + std::to_string(simulate.first) + " --events " + std::to_string(simulate.events) +
             ": expected event numbers below " + std::to_string(kEventNumbers));
      }
      request.work = [this] { cli::simulate(simulate); };
    });
  }

  void add_graph() {
    CLI::App* command = add("graph", "Build hit graphs and write them as CSV.",
                            "starling graph events/event000000000 --model models/tracking.safetensors --out graphs");
    add_events(command, graph.events);
    add_model(command, graph.model);
    command->add_option("--out", graph.out, "folder for <event>-graph.csv (hit_id_src, hit_id_dst)")->required();
    command->add_flag("--features", graph.features, "write the six edge features too");
    add_json(command, graph.json);
    add_threads(command);
    command->callback([this] {
      request.work = [this] {
        set_default_model(graph.model);
        cli::graph(graph);
      };
    });
  }

  void add_reconstruct() {
    CLI::App* command = add("reconstruct", "Find the tracks of events: hits, graph, network, tracks.",
                            "starling reconstruct events --out tracks --picture");
    add_events(command, reconstruct.events);
    add_model(command, reconstruct.model);
    command->add_option("--out", reconstruct.out, "folder for <event>-tracks.csv (hit_id, track_id; -1 = none)")
        ->required();
    command->add_flag("--picture", reconstruct.picture, "draw <event>-tracks.png, with gnuplot");
    add_track_overrides(command, reconstruct.tracks,
                        "edges below take no part (components, junction_removal); default: what the model says");
    add_device(command, reconstruct.device);
    add_json(command, reconstruct.json);
    add_threads(command);
    command->callback([this] {
      request.work = [this] {
        set_default_model(reconstruct.model);
        cli::reconstruct(reconstruct);
      };
    });
  }

  void add_evaluate() {
    CLI::App* command = add("evaluate", "Measure graphs, edges and tracks against the truth, pooled over events.",
                            "starling evaluate events --model models/tracking.safetensors --out curves");
    add_events(command, evaluate.events);
    add_model(command, evaluate.model);
    command->add_option("--tracks", evaluate.tracks_folder, "judge <event>-tracks.csv of this folder; no model is run")
        ->excludes("--model");
    command->add_option("--out", evaluate.out, "folder for metrics.json, curves.csv, maps.csv and their pictures");
    command->add_option("--matching", matching, "double_majority, atlas, one_way or two_way")->capture_default_str();
    command->add_option("--min-track-hits", evaluate.min_track_hits, "shorter tracks are not judged")
        ->check(range(1, 1000))
        ->capture_default_str();
    TargetCuts& target = evaluate.target;
    command->add_option("--min-pt", target.min_pt, "target particles: pt in GeV from here")
        ->check(range(0.0, 1e6))
        ->capture_default_str();
    command->add_option("--min-hits", target.min_hits, "and at least so many hits in the event")
        ->check(range(1, 1000))
        ->capture_default_str();
    command->add_option("--max-radius", target.max_radius, "and produced within this radius, mm")
        ->check(range(0.0, 1e6))
        ->capture_default_str();
    command->add_option("--max-eta", target.max_abs_eta, "and |eta| up to here")
        ->check(range(0.0, 100.0))
        ->capture_default_str();
    command->add_flag("--secondaries", secondaries, "count particles made in the detector too");
    command->add_flag("--electrons", electrons, "count electrons too");
    command->add_flag("--all", target.all, "no cuts: every particle with --min-hits is a target");
    add_track_overrides(command, evaluate.tracks,
                        "cut of the edge metrics and of components, junction_removal; default: what the model says");
    add_device(command, evaluate.device);
    add_json(command, evaluate.json, "one JSON line instead of a table");
    add_threads(command);
    command->callback([this] {
      evaluate.matching = parse_matching(matching);
      evaluate.target.primary = !secondaries;
      evaluate.target.no_electrons = !electrons;
      request.work = [this] {
        if (evaluate.tracks_folder.empty()) set_default_model(evaluate.model);
        cli::evaluate(evaluate);
      };
    });
  }

  void add_info() {
    CLI::App* command =
        add("info", "Describe a model file, or a network of the given shape.", "starling info --hidden 48 --steps 8");
    CLI::Option* model = command->add_option("MODEL", info.model, "model file");
    Architecture& shape = info.architecture;
    const std::vector<CLI::Option*> shapes = {
        command->add_option("--hidden", shape.hidden, "hidden width H")->check(range(1, 1024)),
        command->add_option("--steps", shape.steps, "message-passing steps N")->check(range(1, 64)),
        command->add_flag("--recurrent", shape.recurrent, "one edge and one node network shared by all steps"),
        command->add_option("--norm", norm, "batch, layer or none")->check(CLI::IsMember({"batch", "layer", "none"})),
        command->add_flag("--no-bias", no_bias, "without biases"),
        command->add_flag("--no-concat", no_concat, "without the encoders' outputs in every step"),
    };
    for (CLI::Option* option : shapes) option->excludes(model)->capture_default_str();
    add_json(command, info.json, "one JSON line instead of a table");
    command->callback([this, command] {
      if (command->count_all() == 1 || (command->count_all() == 2 && info.json)) {
        fail("info: expected a model file, or --hidden and --steps");
      }
      info.architecture.norm = parse_norm(norm);
      info.architecture.bias = !no_bias;
      info.architecture.concat = !no_concat;
      request.work = [this] { cli::info(info); };
    });
  }

  static void set_default_model(std::filesystem::path& model) {
    if (model.empty()) model = shipped_file("models/tracking.safetensors");
  }
};

}  // namespace

Request parse_arguments(int argc, char** argv) {
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  if (!words.empty() && words[0] == "train") {
    const bool help = words.size() == 2 && (words[1] == "--help" || words[1] == "-h");
    if (!help || !find_program("starling-learn").empty()) train({words.begin() + 1, words.end()});
  }
  const auto line = std::make_shared<CommandLine>();
  check_spelling(line->app, words);
  try {
    line->app.parse(argc, argv);
  } catch (const CLI::Success& help) {
    line->app.exit(help);
    return {};
  } catch (const CLI::ParseError& error) {
    const auto chosen = line->app.get_subcommands();
    fail((chosen.empty() ? "" : chosen[0]->get_name() + ": ") + message_of(error));
  }
  return {[line, work = line->request.work] { work(); }, line->request.threads};
}

}  // namespace starling::cli
