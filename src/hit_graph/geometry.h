#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "arithmetic/host_device.h"
#include "starling/event.h"

// Formulas for host and device. Nothing here may be contracted to fused multiply-adds: the sources that include it are
// compiled accordingly, so that both give the same bytes.

namespace starling {

/// As std::min and std::max, also for what is not a number.
STARLING_HOST_DEVICE float lesser(float a, float b) { return b < a ? b : a; }
STARLING_HOST_DEVICE float greater(float a, float b) { return a < b ? b : a; }

/// A hit as the windows see it: mm; r is the distance from the beam line, which is at x = y = 0.
struct alignas(16) Point {
  float x, y, z, r;
};

STARLING_HOST_DEVICE float distance_from_beam(float x, float y) {
  return static_cast<float>(std::sqrt(double{x} * x + double{y} * y));
}

inline Point make_point(const HitsView& hits, std::int32_t hit) {
  const auto i = static_cast<std::size_t>(hit);
  return {hits.x[i], hits.y[i], hits.z[i], distance_from_beam(hits.x[i], hits.y[i])};
}

/// A helix through the beam line and two hits.
struct DoubletFit {
  float k;    ///< signed curvature, 1/mm: 6e-4 / pt[GeV] at 2 T
  float cot;  ///< cot θ = dz/ds along the arc
  float z0;   ///< z at the beam line, mm
};

/// Length of the arc from the beam line out to radius r, to third order in k·r.
STARLING_HOST_DEVICE float arc_length(float r, float k) { return r * (1.f + k * k * r * r * (1.f / 24.f)); }

/// Fits a → b. False where b does not lie further out, or lies in the other half of the transverse plane.
STARLING_HOST_DEVICE bool fit_doublet(const Point& a, const Point& b, DoubletFit& fit) {
  const float dx = b.x - a.x, dy = b.y - a.y;
  const float cross = a.x * b.y - a.y * b.x;
  const float dot = a.x * b.x + a.y * b.y;
  fit.k = 2.f * cross / (a.r * b.r * std::sqrt(dx * dx + dy * dy));
  const float sa = arc_length(a.r, fit.k), sb = arc_length(b.r, fit.k);
  fit.cot = (b.z - a.z) / (sb - sa);
  fit.z0 = a.z - sa * fit.cot;
  return (b.r > a.r) & (sb > sa) & (dot > 0.f);  // without branches: the host fits several at a time
}

/// The step from one hit to the next, as triplets use it.
struct Step {
  float dx, dy, dz;
  float chord;   ///< in the transverse plane, mm
  float length;  ///< in space, mm
};

STARLING_HOST_DEVICE Step make_step(const Point& a, const Point& b) {
  Step step{b.x - a.x, b.y - a.y, b.z - a.z, 0.f, 0.f};
  const float chord2 = step.dx * step.dx + step.dy * step.dy;
  step.chord = std::sqrt(chord2);
  step.length = std::sqrt(chord2 + step.dz * step.dz);
  return step;
}

/// A helix through three hits a, b, c.
struct TripletFit {
  float k;     ///< signed curvature, 1/mm
  float d0;    ///< signed distance of the circle from the beam line, mm
  float bend;  ///< sine of the angle between a–b and b–c in the plane of arc length and z
};

STARLING_HOST_DEVICE float triplet_curvature(const Step& ab, const Step& bc) {
  const float cross = ab.dx * bc.dy - ab.dy * bc.dx;
  const float dot = ab.dx * bc.dx + ab.dy * bc.dy;
  const float ac2 = ab.chord * ab.chord + bc.chord * bc.chord + 2.f * dot;
  return 2.f * cross / (ab.chord * bc.chord * std::sqrt(ac2));
}

STARLING_HOST_DEVICE float triplet_bend(const Step& ab, const Step& bc, float k) {
  const float k2 = k * k * (1.f / 24.f);
  const float s_ab = ab.chord * (1.f + k2 * ab.chord * ab.chord);
  const float s_bc = bc.chord * (1.f + k2 * bc.chord * bc.chord);
  return (bc.dz * s_ab - ab.dz * s_bc) / (ab.length * bc.length);
}

/// With t the unit tangent at a and n its normal: q = k·|a|² + 2(a·n), d0 = q / (1 + √(1 + k·q)).
STARLING_HOST_DEVICE float triplet_d0(const Point& a, const Step& ab, float k) {
  const float sine = 0.5f * k * ab.chord;
  const float cosine = std::sqrt(1.f - sine * sine);
  const float tx = (ab.dx * cosine + ab.dy * sine) / ab.chord;
  const float ty = (ab.dy * cosine - ab.dx * sine) / ab.chord;
  const float q = k * (a.x * a.x + a.y * a.y) + 2.f * (a.y * tx - a.x * ty);
  return q / (1.f + std::sqrt(1.f + k * q));
}

STARLING_HOST_DEVICE TripletFit fit_triplet(const Point& a, const Step& ab, const Step& bc) {
  TripletFit fit;
  fit.k = triplet_curvature(ab, bc);
  fit.bend = triplet_bend(ab, bc, fit.k);
  fit.d0 = triplet_d0(a, ab, fit.k);
  return fit;
}

/// |cot θ| by which the cell of a triplet is chosen.
STARLING_HOST_DEVICE float triplet_cot(const Step& ab) { return std::fabs(ab.dz / ab.chord); }

}  // namespace starling
