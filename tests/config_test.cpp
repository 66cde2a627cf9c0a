#include "starling/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "starling/error.h"

namespace {

using namespace starling;
using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The message of the usage error that `action` ends with.
template <class Action>
std::string usage_error(Action action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage) << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error";
  return {};
}

TEST(Config, GivesAllEntriesOfASection) {
  Config config = Config::parse(
      "[other]\nkey = 1\n[sweep]\nz.hidden = [16, 32]\na = [\"x y\", [1, 2]]\n"
      "[sweep.points.one]\nz.hidden = 3\nempty = []\n",
      "run.toml");
  config.set("sweep.a=[0.5, true]");
  config.set("sweep.b.c=word");
  std::string text;
  for (const Config::Entry& entry : config.entries("sweep")) {
    text += entry.key + '=' + entry.value;
    for (const std::string& value : entry.values) text += '|' + value;
    text += entry.is_list ? " list\n" : "\n";
    config.set("copy." + entry.key + "=" + entry.value);
  }
  EXPECT_EQ(text,
            "z.hidden=[16, 32]|16|32 list\n"
            "points.one.z.hidden=3\n"
            "points.one.empty=[] list\n"
            "a=[0.5, true]|0.5|true list\n"
            "b.c='word'\n");
  std::string word;
  config.get("copy.b.c", word);
  EXPECT_EQ(word, "word");
  EXPECT_EQ(config.entries("sweep.points").front().where, "run.toml:7: sweep.points.one.z.hidden = 3");
  EXPECT_TRUE(config.entries("absent").empty());
  EXPECT_THAT(usage_error([&] { config.finish(); }), HasSubstr("unknown key"));
  EXPECT_THAT(usage_error([&] { config.entries("other.key"); }), HasSubstr("expected a section"));
  EXPECT_THAT(usage_error([] { Config::parse("[[s.t]]\na = 1\n").entries("s"); }),
              HasSubstr("[[s.t]]: expected a value, a list or a section"));
  EXPECT_THAT(usage_error([] { Config::parse("[s]\n'a.b' = 1\n").entries("s"); }),
              HasSubstr("expected a key without quotes"));
}

TEST(Config, ReadsEveryTypeAndKeepsDefaults) {
  Config config = Config::parse(R"(
    name = "run"
    [training]
    epochs = 12
    rate = 1e-3
    whole = 3
    mixed = true
    seed = 9223372036854775807
    scales = [1, 2.5]
    files = ["a", "b"]
  )");
  std::string name;
  int epochs = 1, absent = 7;
  double rate = 0, whole = 0;
  bool mixed = false;
  std::uint64_t seed = 0;
  std::vector<double> scales;
  std::vector<std::string> files;
  float kept = 0.1f;
  config.get("name", name);
  config.get("training.epochs", epochs, 1, 100);
  config.get("training.absent", absent, 1, 100);
  config.get("training.rate", rate, 0, 1);
  config.get("training.whole", whole, 0, kInfinity);
  config.get("training.mixed", mixed);
  config.get("training.seed", seed);
  config.get("training.scales", scales, 0, 10);
  config.get("training.files", files);
  config.get("training.kept", kept, 0, 1);
  config.finish();
  EXPECT_EQ(name, "run");
  EXPECT_EQ(epochs, 12);
  EXPECT_EQ(absent, 7);
  EXPECT_EQ(rate, 1e-3);
  EXPECT_EQ(whole, 3.0);
  EXPECT_TRUE(mixed);
  EXPECT_EQ(seed, 9223372036854775807u);
  EXPECT_EQ(scales, (std::vector<double>{1, 2.5}));
  EXPECT_EQ(files, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(kept, 0.1f);
}

TEST(Config, ARangeIsANumberOrTwo) {
  const auto read = [](const std::string& value) {
    Config config = Config::parse("x = " + value, "run.toml");
    Range range = 4;
    config.get("x", range, 0, 10);
    return std::pair{range, config.resolved()};
  };
  EXPECT_EQ(read("3"), (std::pair{Range(3), std::string("x = 3.0\n")}));
  EXPECT_EQ(read("[1, 2.5]"), (std::pair{Range(1, 2.5), std::string("x = [1.0, 2.5]\n")}));
  EXPECT_EQ(read("[2, 2]"), (std::pair{Range(2), std::string("x = 2.0\n")}));
  for (const char* bad : {"11", "[1]", "[1, 2, 3]", "[2, 1]", "[1, 11]", "[-1, 1]", "[nan, 1]", "\"1\"", "[]"}) {
    EXPECT_THROW(read(bad), Error) << bad;
  }
}

TEST(Config, NestingIsLimited) {
  const auto repeated = [](const std::string& part, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += part;
    return text;
  };
  const std::string key = repeated("a.", 100'000) + "a", brackets = repeated("[", 100'000);
  for (const std::string& deep : {key + " = 1", "[" + key + "]", "[[" + key + "]]", "x = " + brackets,
                                  "x = {" + key + " = 1}", repeated("\"a\" . ", 100'000) + "a = 1"}) {
    const std::string text = "# a.a\n" + deep + "\n";
    EXPECT_EQ(usage_error([&] { Config::parse(text, "deep.toml"); }), "deep.toml:2: nested deeper than 32 levels");
    EXPECT_THAT(usage_error([&] { select_keys(text, [](std::string_view) { return true; }); }), HasSubstr("line 2"));
  }
  Config config = Config::parse("");
  EXPECT_THAT(usage_error([&] { config.set(key + "=1"); }), HasSubstr("nested deeper"));
  EXPECT_THAT(usage_error([&] { config.set("x=" + brackets); }), HasSubstr("nested deeper"));
  // As deep as may be, and dots and brackets in strings and comments.
  const std::string dots = repeated(".", 100), open = repeated("[", 100);
  config = Config::parse("x = \"\\\"" + dots + open + "\" # " + dots + open + "\ny = '''\n'" + dots + open +
                         "'''\nz = " + repeated("[", 32) + repeated("]", 32) + "\n" + repeated("a.", 31) + "a = 1\n");
  std::string x, y;
  config.get("x", x);
  config.get("y", y);
  EXPECT_EQ(x, '"' + dots + open);
  EXPECT_EQ(y, "'" + dots + open);
}

TEST(Config, ResolvedReadsBackAsTheSame) {
  Config config = Config::parse("[[layer]]\nradius = 30\n[[layer]]\n[training]\nepochs = 3\n");
  config.set("training.device=cuda");
  std::string device = "cpu";
  int epochs = 1;
  float rate = 0.1f;
  double radius[2] = {1, 2}, large = 1e300;
  std::string note = "two\nlines, 'quoted' \"twice\" \\ \t";
  std::vector<double> scales = {1, 0.3, -1e-9};
  config.get("training.more.large", large, 0, kInfinity);
  config.get("note", note);
  config.get("training.scales", scales, -1, 1);
  ASSERT_EQ(config.table_count("layer"), 2);
  config.get("layer[0].radius", radius[0], 0, 100);
  config.get("layer[1].radius", radius[1], 0, 100);
  config.get("training.device", device, {"cpu", "cuda"});
  config.get("training.epochs", epochs, 1, 100);
  config.get("training.rate", rate, 0, 1);
  config.finish();
  EXPECT_EQ(radius[0], 30);
  EXPECT_EQ(radius[1], 2);
  const std::string text = config.resolved();
  EXPECT_THAT(text, HasSubstr("rate = 0.1\n"));

  Config again = Config::parse(text);
  std::string device2;
  int epochs2 = 0;
  float rate2 = 0;
  double radius2[2] = {};
  ASSERT_EQ(again.table_count("layer"), 2);
  again.get("layer[0].radius", radius2[0], 0, 100);
  again.get("layer[1].radius", radius2[1], 0, 100);
  double large2 = 0;
  std::string note2;
  std::vector<double> scales2;
  again.get("training.more.large", large2, 0, kInfinity);
  again.get("note", note2);
  again.get("training.scales", scales2, -1, 1);
  EXPECT_EQ(large2, large);
  EXPECT_EQ(note2, note);
  EXPECT_EQ(scales2, scales);
  again.get("training.device", device2);
  again.get("training.epochs", epochs2, 1, 100);
  again.get("training.rate", rate2, 0, 1);
  again.finish();
  EXPECT_EQ(device2, "cuda");
  EXPECT_EQ(epochs2, 3);
  EXPECT_EQ(rate2, 0.1f);
  EXPECT_EQ(radius2[0], 30);
  EXPECT_EQ(radius2[1], 2);
  EXPECT_EQ(again.resolved(), text);
}

TEST(Config, UnknownKeyNamesTheNearest) {
  Config config = Config::parse("[training]\nepochs = 1\nepohcs = 2\n", "run.toml");
  int epochs = 0, batch = 0;
  config.get("training.epochs", epochs, 1, 10);
  config.get("training.batch", batch, 0, 10);
  const std::string message = usage_error([&] { config.finish(); });
  EXPECT_EQ(message,
            "run.toml:3: training.epohcs = 2: unknown key, expected one that is known, such as training.epochs");
}

TEST(Config, UnknownSectionsAndQuotedKeysAreFound) {
  for (const char* const text : {"[trainin]\n", "\"training.epochs\" = 3\n", "[[layers]]\nradius = 1\n",
                                 "[training.epochs]\nx = 1\n", "[[layer]]\nradius = 1\n[[layer]]\nradiu = 1\n"}) {
    Config config = Config::parse(text);
    int epochs = 0;
    double radius = 0;
    EXPECT_THAT(usage_error([&] {
                  const int layers = config.table_count("layer");
                  for (int i = 0; i < layers; ++i) {
                    config.get("layer[" + std::to_string(i) + "].radius", radius, 0, 9);
                  }
                  config.get("training.epochs", epochs, 1, 10);
                  config.finish();
                }),
                HasSubstr("expected"))
        << text;
  }
}

TEST(Config, AValueWhereASectionBelongs) {
  Config config = Config::parse("training = 4\n", "run.toml");
  int epochs = 0;
  config.get("training.epochs", epochs, 1, 10);
  EXPECT_EQ(usage_error([&] { config.finish(); }), "run.toml:1: training = 4: expected a section");
}

TEST(Config, RangesAndTypes) {
  const std::string text =
      "a = 11\nb = 2.5\nc = nan\nd = [1, 20]\ne = \"x\"\nf = 1\ng = -1\nh = 9223372036854775807\ni = 'two\\nlines'\n"
      "j = [[1]]\nk = [1]\nl = 0.3\nm = [0.3, 1.0]\n";
  Config config = Config::parse(text, "run.toml");
  int i = 0;
  double d = 0;
  bool b = false;
  std::uint64_t u = 0;
  std::string s;
  std::vector<double> v;
  std::vector<std::string> texts;
  EXPECT_EQ(usage_error([&] { config.get("a", i, 1, 10); }), "run.toml:1: a = 11: expected an integer from 1 to 10");
  EXPECT_EQ(usage_error([&] { config.get("b", i, 1, std::numeric_limits<int>::max()); }),
            "run.toml:2: b = 2.5: expected an integer of at least 1");
  EXPECT_THAT(usage_error([&] { config.get("c", d, -kInfinity, kInfinity); }), HasSubstr("c = nan: expected a number"));
  EXPECT_EQ(usage_error([&] { config.get("l", d, 1, 2); }), "run.toml:12: l = 0.3: expected a number from 1 to 2");
  EXPECT_THAT(usage_error([&] { config.get("m", d, 1, 2); }), HasSubstr("m = [0.3, 1.0]: expected a number"));
  EXPECT_EQ(usage_error([&] { config.get("d", v, 0, 10); }), "run.toml:4: d = 20: expected a number from 0 to 10");
  EXPECT_EQ(usage_error([&] {
              config.get("e", s, {"cpu", "cuda"});
            }),
            "run.toml:5: e = 'x': expected one of cpu, cuda");
  EXPECT_EQ(usage_error([&] { config.get("f", b); }), "run.toml:6: f = 1: expected true or false");
  EXPECT_EQ(usage_error([&] { config.get("g", u); }), "run.toml:7: g = -1: expected an integer of at least 0");
  EXPECT_THAT(usage_error([&] { config.get("h", i, -5, 5); }), HasSubstr("expected an integer from -5 to 5"));
  EXPECT_THAT(usage_error([&] { config.get("i", d, 0, 1); }), HasSubstr("expected a number from 0 to 1"));
  EXPECT_THAT(usage_error([&] { config.get("j", v, 0, 1); }), HasSubstr("expected a number"));
  EXPECT_THAT(usage_error([&] { config.get("k", texts); }), HasSubstr("expected an array of texts"));
  EXPECT_THAT(usage_error([&] { config.get("k", s); }), HasSubstr("expected text"));
  EXPECT_THAT(usage_error([&] { (void)config.table_count("k"); }), HasSubstr("expected sections [[k]]"));
}

TEST(Config, NumbersAreFinite) {
  Config config = Config::parse("a = inf\nb = -inf\nc = [1, nan]\n", "run.toml");
  double value = 0;
  std::vector<double> values;
  EXPECT_EQ(usage_error([&] { config.get("a", value, -kInfinity, kInfinity); }),
            "run.toml:1: a = inf: expected a number");
  EXPECT_EQ(usage_error([&] { config.get("b", value, -kInfinity, kInfinity); }),
            "run.toml:2: b = -inf: expected a number");
  EXPECT_EQ(usage_error([&] { config.get("c", values, -kInfinity, kInfinity); }),
            "run.toml:3: c = nan: expected a number");
  for (const char* number : {"a=010", "a=1_", "a=+-1", "a=99999999999999999999"}) {
    Config one = Config::parse("");
    one.set(number);
    int integer = 0;
    EXPECT_THAT(usage_error([&] { one.get("a", integer, 0, 100); }), HasSubstr("expected an integer from 0 to 100"));
  }
}

TEST(Config, SectionsOfOtherCommandsAreLeftToThem) {
  Config config = Config::parse("[training]\nx = 1\n[simulation]\npileup = 2\n", "run.toml");
  double pileup = 0;
  config.get("simulation.pileup", pileup, 0, 10);
  config.leave_to_others("training");
  config.leave_to_others("absent");
  config.finish();
  EXPECT_EQ(pileup, 2);
}

TEST(Config, OverridesFromTheCommandLine) {
  Config config = Config::parse("[training]\nepochs = 1\n[[layer]]\nradius = 1\n", "run.toml");
  config.set("training.epochs=5");
  config.set("training.device=cpu");
  config.set("output.folder=out/run-1");
  config.set("training.scales=[1, 2]");
  config.set("layer[0].radius=7");
  int epochs = 0;
  std::string device, folder;
  std::vector<double> scales;
  double radius = 0;
  config.get("training.epochs", epochs, 1, 10);
  config.get("training.device", device);
  config.get("output.folder", folder);
  config.get("training.scales", scales, 0, 10);
  config.get("layer[0].radius", radius, 0, 10);
  config.finish();
  EXPECT_EQ(epochs, 5);
  EXPECT_EQ(device, "cpu");
  EXPECT_EQ(folder, "out/run-1");
  EXPECT_EQ(scales, (std::vector<double>{1, 2}));
  EXPECT_EQ(radius, 7);

  config.set("training.epochs=50");
  EXPECT_EQ(usage_error([&] { config.get("training.epochs", epochs, 1, 10); }),
            "--set training.epochs=50: expected an integer from 1 to 10");
  for (const char* const bad : {"training.epochs", "=3", "training.=3", ".epochs=3", "training.epochs.x=3",
                                "layer[1].radius=3", "layer[x].radius=3", "other[0].radius=3", "training.device=\"cpu",
                                "training.epochs=3\nother = 4", "training.epochs=[1"}) {
    usage_error([&] { config.set(bad); });
  }
}

TEST(SelectKeys, TakesKeysBySectionAndName) {
  const std::string text =
      "\n[graph]\nepochs = 3\n\n[[layer]]\nradius = 1.0\nz = 2.5\n\n[[layer]]\nz = 3.0\n\n[training]\n"
      "data = ['a', 'b']\nepochs = 5\nlearning_rate = 5e-06\n";
  EXPECT_EQ(select_keys(text, [](std::string_view) { return true; }), text);
  EXPECT_EQ(select_keys(text, [](std::string_view key) { return key != "training.epochs" && key != "layer[0].z"; }),
            "\n[graph]\nepochs = 3\n\n[[layer]]\nradius = 1.0\n\n[[layer]]\nz = 3.0\n\n[training]\ndata = ['a', 'b']\n"
            "learning_rate = 5e-06\n");
  EXPECT_EQ(
      select_keys(text, [](std::string_view key) { return !key.starts_with("layer") && key.ends_with("epochs"); }),
      "\n[graph]\nepochs = 3\n\n[[layer]]\n\n[[layer]]\n\n[training]\nepochs = 5\n");
  EXPECT_THAT(usage_error([] { select_keys("a = ", [](std::string_view) { return true; }); }), HasSubstr("not TOML"));
}

TEST(Config, ASectionFromTheCommandLineIsReportedAsItWasGiven) {
  const auto error = [](const char* assignment, const char* text = "[training]\nepochs = 1\n") {
    Config config = Config::parse(text, "run.toml");
    config.set(assignment);
    int epochs = 1;
    return usage_error([&] {
      config.get("training.epochs", epochs, 1, 10);
      config.finish();
    });
  };
  EXPECT_EQ(error("foo.bar=1"), "--set foo.bar=1: unknown section, expected one that is known, such as training");
  EXPECT_EQ(error("training.epoch=1"),
            "--set training.epoch=1: unknown key, expected one that is known, such as training.epochs");
  EXPECT_EQ(error("training={epochs=0}"),
            "--set training={epochs=0}: training.epochs = 0: expected an integer from 1 to 10");
  EXPECT_EQ(error("training={epoch=3}"),
            "--set training={epoch=3}: training.epoch = 3: unknown key, expected one that is known, such as "
            "training.epochs");
  EXPECT_EQ(error("training.epochs=2", "[[layer]]\nradius = 1\nz = 2\n"),
            "run.toml:1: [[layer]]: unknown section, expected one that is known, such as training");
  EXPECT_EQ(error("training.epochs=2", "[trainin]\nradius = 1\nz = 2\n"),
            "run.toml:1: [trainin]: unknown section, expected one that is known, such as training");
}

TEST(Config, BrokenFiles) {
  EXPECT_THAT(usage_error([] { Config::parse("a = 1\nb = \n", "run.toml"); }), HasSubstr("run.toml:2: not TOML"));
  EXPECT_THAT(usage_error([] { Config::parse("a = 1\na = 2\n", "run.toml"); }), HasSubstr("run.toml:2: not TOML"));
  EXPECT_THAT(usage_error([] { Config::parse(std::string(100000, '['), "run.toml"); }),
              HasSubstr("run.toml:1: nested deeper than 32 levels"));
  EXPECT_THAT(usage_error([] { Config::parse("a = \"\xff\xfe\"\n", "run.toml"); }), HasSubstr("not TOML"));
  EXPECT_THAT(usage_error([] { Config::load("/nonexistent/run.toml"); }), HasSubstr("/nonexistent/run.toml"));
  EXPECT_THAT(usage_error([] { Config::load("/"); }), HasSubstr("is a folder"));
  Config empty = Config::parse("");
  empty.finish();
}

TEST(Config, AMovedFromOneIsAUsageErrorUntilItIsAssigned) {
  Config config = Config::parse("a = 1");
  const Config taken = std::move(config);
  int value = 0;
  const std::string message = "a configuration that was moved from, expected one that holds a file";
  EXPECT_EQ(usage_error([&] { config.get("a", value, 0, 9); }), message);
  EXPECT_EQ(usage_error([&] { config.set("a=2"); }), message);
  EXPECT_EQ(usage_error([&] { (void)config.table_count("a"); }), message);
  EXPECT_EQ(usage_error([&] { config.leave_to_others("a"); }), message);
  EXPECT_EQ(usage_error([&] { config.finish(); }), message);
  EXPECT_EQ(usage_error([&] { (void)config.resolved(); }), message);
  EXPECT_EQ(usage_error([&] { (void)config.name(); }), message);
  config = Config::parse("a = 3");
  config.get("a", value, 0, 9);
  EXPECT_EQ(value, 3);
}

}  // namespace
