"""Loads the operators of learn/ops and tells torch the shapes of what they return while a program is traced."""

import torch


def load(path) -> None:
    """Loads libstarling_ops.so from path: torch.ops.starling has its operators from then on."""
    torch.ops.load_library(path)
    for name, fake in (("knn", _knn), ("radius", _radius)):
        torch.library.register_fake(f"starling::{name}", fake)


def _distance_type(points):
    return torch.float64 if points.dtype == torch.float64 else torch.float32


def _knn(points, k, row_splits=None, queries=None, query_row_splits=None, loop=True, max_radius=None, direction=None):
    shape = ((points if queries is None else queries).shape[0], k)
    return points.new_empty(shape, dtype=torch.int64), points.new_empty(shape, dtype=_distance_type(points))


def _radius(points, radius, row_splits=None, queries=None, query_row_splits=None, loop=True, max_neighbors=None,
            direction=None):
    rows = (points if queries is None else queries).shape[0]
    edges = torch.library.get_ctx().new_dynamic_size()
    return (points.new_empty(rows + 1, dtype=torch.int64), points.new_empty(edges, dtype=torch.int64),
            points.new_empty(edges, dtype=_distance_type(points)))
