#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace starling {

/// One sensitive surface: a cylinder around the beam line or a disc across it. mm, rad.
struct DetectorLayer {
  enum class Shape { barrel, disc };
  std::int32_t volume_id = 0, layer_id = 0;
  Shape shape = Shape::barrel;
  double position = 0;           ///< barrel: mean radius; disc: mean z
  double spread = 0;             ///< modules stand within position ± spread
  double min = 0, max = 0;       ///< barrel: z range; disc: r range
  double radiation_lengths = 0;  ///< x/X0 of a perpendicular crossing, supports included
  double resolution_rphi = 0;    ///< σ of the measurement along phi, mm
  double resolution_rz = 0;      ///< σ along z (barrel) or r (disc), mm
  double pitch_rz = 0;           ///< where > 0, the measurement along z or r is flat over this strip length instead, mm
  double efficiency = 1;         ///< chance that a crossing leaves a hit
  double overlap = 0;            ///< chance that a crossing leaves a second hit in a neighbouring module
  std::int32_t modules_phi = 1, modules_rz = 1;  ///< how many modules share the surface, for module_id
  double noise_hits = 0;                         ///< mean hits that no particle made, at pile-up 200
  double unlabelled_hits = 0;  ///< mean hits of particles too soft to follow, at pile-up 200, labelled as noise
};

/// A tracking detector in a uniform field along z.
struct Detector {
  std::string name;
  double field = 2.0;           ///< T
  double beam_pipe_radius = 0;  ///< mm; 0 = none
  double beam_pipe_radiation_lengths = 0;
  std::vector<DetectorLayer> layers;
};

/// Reads a detector described in TOML (detectors/trackml.toml is one). Throws ErrorKind::usage naming line, key and
/// value.
Detector read_detector(const std::filesystem::path& file);

}  // namespace starling
