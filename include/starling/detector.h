#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace starling {

/// Flat modules of one kind, evenly spaced in phi: a ring of a barrel layer or of a disc. Module k stands at
/// phi = −π + (2k + 1) π / modules. mm.
struct ModuleRing {
  double center = 0;       ///< of the modules: z (barrel) or r (disc)
  double offset = 0;       ///< of the ring from the layer's position, along r (barrel) or z (disc)
  double stagger = 0;      ///< even modules stand further out by this, odd ones further in
  double half_length = 0;  ///< along z (barrel) or r (disc)
  double half_width_low = 0, half_width_high = 0;  ///< along phi, at the two ends (discs: inner, outer)
  std::int32_t modules = 0;
};

/// One sensitive surface: a cylinder around the beam line or a disc across it, made of modules. mm, rad.
struct DetectorLayer {
  enum class Shape { barrel, disc };
  std::int32_t volume_id = 0, layer_id = 0;
  Shape shape = Shape::barrel;
  double position = 0;  ///< barrel: mean radius; disc: mean z
  double tilt = 0;      ///< barrel: angle of a module's normal to its radius, rad
  std::vector<ModuleRing> rings;
  double radiation_lengths = 0;    ///< x/X0 of a perpendicular crossing, supports included
  double interaction_lengths = 0;  ///< x/λ of the same, for nuclear interactions of hadrons
  double resolution_rphi = 0;      ///< σ of the measurement along phi, mm
  double resolution_rz = 0;        ///< σ along z (barrel) or r (disc), mm
  double strip_length = 0;         ///< where > 0, that coordinate is the middle of a strip of this length instead, mm
  double efficiency = 1;           ///< chance that a crossing of a module leaves a hit
  double max_incidence = 1e9;      ///< tangent of the largest angle to a module's normal that still leaves a hit
  double noise = 0;                ///< mean noise hits per module and event
};

/// A cylinder around the beam line that measures nothing: beam pipe, shield, support tube. mm.
struct PassiveCylinder {
  double radius = 0;
  double half_length = 0;  ///< along z
  double radiation_lengths = 0, interaction_lengths = 0;
};

/// A tracking detector in the field of a solenoid along z.
struct Detector {
  std::string name;
  double field = 2.0;  ///< T, in the middle of the solenoid
  /// Length and radius of the solenoid, mm: on the axis the field is that of a thin coil of this size, off the axis
  /// its first orders in r. 0 = uniform.
  double solenoid_length = 0, solenoid_radius = 0;
  std::array<double, 3> solenoid_center{};  ///< x, y, z of its middle, mm
  std::vector<PassiveCylinder> cylinders;
  std::vector<DetectorLayer> layers;
};

enum class DetectorKind { tracker, calorimeter };

/// What a TOML file describes: its key `kind`, a tracker where it has none. Reads nothing else of it. Throws
/// ErrorKind::usage naming line, key and value.
DetectorKind detector_kind(const std::filesystem::path& file);

/// Reads a tracker described in TOML (detectors/trackml.toml is one). Throws ErrorKind::usage naming line, key and
/// value.
Detector read_detector(const std::filesystem::path& file);

}  // namespace starling
