#include <torch/library.h>

// The schemas of the operators. cpu.cpp, cuda.cpp and autograd.cpp implement them; python/starling registers their
// shapes (_operators.py) and their rules for torch.func.vmap (_vmap.py).
//
// points [N, D] and queries [M, D] (none = the points) hold coordinates; float16 and bfloat16 are computed in float32.
// Distances are squared, in ascending order of (d², index). Indices are int64 rows of points.

TORCH_LIBRARY(starling, m) {
  // The k nearest: index and distance2 [M, k], padded with −1 and +infinity.
  m.def(
      "knn(Tensor points, SymInt k, Tensor? row_splits=None, Tensor? queries=None, Tensor? query_row_splits=None, "
      "bool loop=True, float? max_radius=None, Tensor? direction=None) -> (Tensor index, Tensor distance2)",
      {at::Tag::pt2_compliant_tag});
  // All within a radius, or the max_neighbors nearest of them: neighbor_row_splits [M + 1], index and distance2 [E];
  // within [M], the number within the radius, also of those that max_neighbors leaves out.
  m.def(
      "radius(Tensor points, float radius, Tensor? row_splits=None, Tensor? queries=None, "
      "Tensor? query_row_splits=None, bool loop=True, int? max_neighbors=None, Tensor? direction=None) -> "
      "(Tensor neighbor_row_splits, Tensor index, Tensor distance2, Tensor within)",
      {at::Tag::pt2_compliant_tag, at::Tag::dynamic_output_shape});

  // Autograd's: what starling::distance_gradient and starling::distance_tangent (neighbors.h) give for the lists of
  // knn, or with row splits of radius. Without queries, queries_gradient is [0, D].
  m.def(
      "_distance_gradient(Tensor points, Tensor? queries, Tensor index, Tensor? neighbor_row_splits, Tensor weight) -> "
      "(Tensor points_gradient, Tensor queries_gradient)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "_distance_tangent(Tensor points, Tensor? queries, Tensor index, Tensor? neighbor_row_splits, "
      "Tensor points_tangent, Tensor? queries_tangent) -> Tensor",
      {at::Tag::pt2_compliant_tag});
}
