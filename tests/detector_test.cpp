#include "starling/detector.h"

#include <gmock/gmock.h>

#include <cmath>
#include <fstream>
#include <map>
#include <numbers>
#include <sstream>

#include "data.h"
#include "starling/error.h"
#include "temporary_folder.h"

namespace starling {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

Detector trackml() { return read_detector(std::filesystem::path(STARLING_SOURCE_DIR) / "detectors" / "trackml.toml"); }

const std::string kBarrel = R"(
[[volume]]
id = 8
shape = "barrel"
layers = [2, 4]
positions = [100, 200]
modules_phi = [20, 40]
half_width = 20.0
half_length = 50.0
radiation_lengths = [0.01, 0.01]
interaction_lengths = [0.01, 0.01]
)";

const std::string kDisc = R"(
[[volume]]
id = 9
shape = "disc"
layers = [1]
positions = [-500]
ring_radii = [60, 120]
ring_modules = [10, 20]
ring_half_widths_inner = [10, 12]
ring_half_widths_outer = [12, 14]
ring_offsets = [-1, 2]
stagger = 0.5
half_length = 30.0
radiation_lengths = [0.01]
interaction_lengths = [0.01]
)";

std::string replaced(std::string text, const std::string& old, const std::string& by) {
  const auto at = text.find(old);
  EXPECT_NE(at, std::string::npos) << old;
  return text.replace(at, old.size(), by);
}

class ReadDetector : public ::testing::Test {
 protected:
  Detector read(const std::string& text) {
    const auto file = folder_.path() / "detector.toml";
    std::ofstream(file) << text;
    return read_detector(file);
  }

  std::string message(const std::string& text) {
    try {
      read(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr("detector.toml"));
      return error.what();
    }
    ADD_FAILURE() << "no error for\n" << text;
    return {};
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(ReadDetector, ReadsABarrelAndADisc) {
  const Detector detector = read("name = \"small\"\nfield = 1.5\n[[cylinder]]\nradius = 20\n" + kBarrel + kDisc);
  EXPECT_EQ(detector.name, "small");
  EXPECT_EQ(detector.field, 1.5);
  EXPECT_EQ(detector.solenoid_length, 0);
  ASSERT_EQ(detector.cylinders.size(), 1u);
  EXPECT_EQ(detector.cylinders[0].radius, 20);
  ASSERT_EQ(detector.layers.size(), 3u);
  EXPECT_EQ(detector.layers[1].volume_id, 8);
  EXPECT_EQ(detector.layers[1].layer_id, 4);
  EXPECT_EQ(detector.layers[1].position, 200);
  ASSERT_EQ(detector.layers[1].rings.size(), 1u);
  EXPECT_EQ(detector.layers[1].rings[0].modules, 40);
  EXPECT_EQ(detector.layers[1].rings[0].center, 0);

  const DetectorLayer& disc = detector.layers[2];
  EXPECT_EQ(disc.shape, DetectorLayer::Shape::disc);
  ASSERT_EQ(disc.rings.size(), 2u);
  EXPECT_EQ(disc.rings[0].offset, 1) << "offsets are given along |z|";
  EXPECT_EQ(disc.rings[1].stagger, -0.5);
  EXPECT_EQ(disc.rings[1].half_width_high, 14);
}

TEST_F(ReadDetector, SaysWhatIsWrong) {
  EXPECT_THAT(message("name = \"none\"\n"), HasSubstr("[[volume]]"));
  EXPECT_THAT(message(replaced(kBarrel, "shape = \"barrel\"", "")), HasSubstr("volume[0].shape"));
  EXPECT_THAT(message(replaced(kBarrel, "\"barrel\"", "\"cone\"")), AllOf(HasSubstr("cone"), HasSubstr("disc")));
  EXPECT_THAT(message(replaced(kBarrel, "positions = [100, 200]", "")), HasSubstr("volume[0].positions"));
  EXPECT_THAT(message(replaced(kBarrel, "[100, 200]", "[100, 200, 300]")), HasSubstr("volume[0].layers"));
  EXPECT_THAT(message(replaced(kBarrel, "[100, 200]", "[10, 200]")), HasSubstr("volume[0].positions"));
  EXPECT_THAT(message(replaced(kBarrel, "[100, 200]", "[-100, 200]")), HasSubstr("volume[0].positions"));
  EXPECT_THAT(message(replaced(kBarrel, "[20, 40]", "[20.5, 40]")), HasSubstr("volume[0].modules_phi"));
  EXPECT_THAT(message(replaced(kBarrel, "[20, 40]", "[0, 40]")), HasSubstr("volume[0].modules_phi"));
  EXPECT_THAT(message(replaced(kBarrel, "half_length = 50.0", "half_length = nan")), HasSubstr("half_length"));
  EXPECT_THAT(message(replaced(kBarrel, "half_width", "half_with")), HasSubstr("half_with"));
  EXPECT_THAT(message(replaced(kBarrel, "layers = [2, 4]", "layers = [2, 2]")), HasSubstr("twice"));
  EXPECT_THAT(message(kBarrel + kBarrel), HasSubstr("volume 8, layer 2"));
  EXPECT_THAT(message(replaced(kDisc, "[60, 120]", "[20, 120]")), HasSubstr("ring_radii"));
  EXPECT_THAT(message(replaced(kDisc, "[10, 20]", "[10]")), HasSubstr("ring_modules"));
  EXPECT_THAT(message("field = 1e9\n" + kBarrel), HasSubstr("field"));
  EXPECT_THAT(message("solenoid_center = [1, 2]\n" + kBarrel), HasSubstr("solenoid_center"));
  EXPECT_THAT(message("[[volume]\n"), HasSubstr("detector.toml"));
}

TEST_F(ReadDetector, AMissingFileIsAUsageError) {
  try {
    read_detector("/nowhere/detector.toml");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::usage);
    EXPECT_THAT(error.what(), HasSubstr("/nowhere/detector.toml"));
  }
}

TEST(TrackmlDetector, HasFortyEightLayers) {
  const Detector detector = trackml();
  EXPECT_EQ(detector.layers.size(), 48u);
  int barrels = 0, modules = 0;
  for (const DetectorLayer& layer : detector.layers) {
    barrels += layer.shape == DetectorLayer::Shape::barrel;
    for (const ModuleRing& ring : layer.rings) modules += ring.modules;
  }
  EXPECT_EQ(barrels, 10);
  EXPECT_EQ(modules, 18728);
}

// Every module of the challenge's list stands where ours does.
TEST(TrackmlDetector, ItsModulesStandWhereTheChallengesDo) {
  STARLING_NEEDS_DATA("trackml_full");
  std::map<std::pair<int, int>, const DetectorLayer*> layers;
  const Detector detector = trackml();
  for (const DetectorLayer& layer : detector.layers) layers[{layer.volume_id, layer.layer_id}] = &layer;

  std::ifstream file(data_folder() / "trackml_full" / "detectors.csv");
  std::string line;
  std::getline(file, line);
  ASSERT_TRUE(line.starts_with("volume_id,layer_id,module_id,cx,cy,cz,")) << line;
  int count = 0;
  double worst = 0;
  while (std::getline(file, line)) {
    for (char& c : line) c = c == ',' ? ' ' : c;
    std::istringstream fields(line);
    int volume, id, module;
    double x, y, z;
    ASSERT_TRUE(fields >> volume >> id >> module >> x >> y >> z) << line;
    ASSERT_TRUE(layers.contains({volume, id})) << line;
    const DetectorLayer& layer = *layers[{volume, id}];
    double nearest = 1e9;
    for (const ModuleRing& ring : layer.rings) {
      const double sector = 2 * std::numbers::pi / ring.modules;
      const int k = static_cast<int>(std::floor((std::atan2(y, x) + std::numbers::pi) / sector)) % ring.modules;
      const double phi = -std::numbers::pi + (k + 0.5) * sector;
      const double off = layer.position + ring.offset + (k % 2 == 0 ? ring.stagger : -ring.stagger);
      const bool barrel = layer.shape == DetectorLayer::Shape::barrel;
      const double r = barrel ? off : ring.center, along = barrel ? ring.center : off;
      nearest = std::min(nearest, std::hypot(x - r * std::cos(phi), y - r * std::sin(phi), z - along));
    }
    worst = std::max(worst, nearest);
    ++count;
  }
  EXPECT_EQ(count, 18728);
  EXPECT_LT(worst, 0.5) << "mm; the innermost discs are staggered in four steps, ours in two";
}

}  // namespace
}  // namespace starling
