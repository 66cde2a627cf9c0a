#pragma once

#include <cmath>
#include <limits>
#include <numbers>

namespace starling::simulate {

inline constexpr double kNever = std::numeric_limits<double>::infinity();

/// A charged particle on its helix around z. Lengths in mm.
struct Helix {
  double x = 0, y = 0, z = 0;
  double tx = 1, ty = 0;  ///< unit direction across the field
  double cot = 0;         ///< dz / ds, s = path length across the field
  double curvature = 0;   ///< dφ/ds of the direction, 1/mm; negative for a positive charge in a field along +z

  double radius() const { return std::hypot(x, y); }

  /// Moves by the path length s across the field (either sign).
  void advance(double s) {
    const double half = 0.5 * curvature * s;
    const double sine = std::sin(half), cosine = std::cos(half);
    const double chord = std::abs(half) > 1e-4 ? s * sine / half : s * (1 - half * half / 6);
    x += chord * (tx * cosine - ty * sine);
    y += chord * (ty * cosine + tx * sine);
    z += s * cot;
    turn(2 * sine * cosine, 1 - 2 * sine * sine);
  }

  /// Rotates the direction by an angle given as its sine and cosine.
  void turn(double sine, double cosine) {
    const double old = tx;
    tx = tx * cosine - ty * sine;
    ty = ty * cosine + old * sine;
  }

  /// The path length, in [0, 2π/|curvature|), to the next crossing of the cylinder of this radius, outwards or inwards;
  /// kNever where there is none. With τ = (2/κ) tan(κs/2), r²(s) = R² is a quadratic in τ, (1 + κ p·n − Dκ²/4) τ² +
  /// 2 p·t τ − D = 0 with D = R² − r² and n the normal of the direction t: exact, and well behaved for κ → 0.
  double to_cylinder(double cylinder, bool outwards) const {
    const double difference = cylinder * cylinder - x * x - y * y;
    const double a = 1 + curvature * (y * tx - x * ty) - 0.25 * difference * curvature * curvature;
    const double b = x * tx + y * ty;
    const double discriminant = b * b + a * difference;
    if (discriminant < 0) return kNever;
    // The root that r grows through is outward, the other inward; each in the form that does not cancel.
    const double root = std::sqrt(discriminant);
    double numerator, denominator;
    if (outwards) {
      numerator = b > 0 ? difference : root - b;
      denominator = b > 0 ? b + root : a;
    } else {
      numerator = b > 0 ? -(b + root) : -difference;
      denominator = b > 0 ? a : root - b;
    }
    if (denominator < 0) {
      numerator = -numerator;
      denominator = -denominator;
    }
    if (curvature == 0) return numerator >= 0 && denominator > 0 ? numerator / denominator : kNever;
    const double half = std::atan2(0.5 * std::abs(curvature) * numerator, denominator);
    return 2 * (half < 0 ? half + std::numbers::pi : half) / std::abs(curvature);
  }

  /// The path length to the plane at this z; kNever where it lies behind.
  double to_plane(double plane) const {
    const double s = cot != 0 ? (plane - z) / cot : kNever;
    return s >= 0 ? s : kNever;
  }
};

}  // namespace starling::simulate
