"""Loads the operators of learn/ops and registers the shapes that they return, for torch to trace programs."""

from pathlib import Path

import torch
from torch import Tensor

from . import _vmap

def load(file: Path | str) -> None:
    """Loads libstarling_ops.so: torch.ops.starling has its operators from then on."""
    torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
    for name, fake in (
        ("knn", _knn),
        ("radius", _radius),
        ("_distance_gradient", _distance_gradient),
        ("_distance_tangent", _distance_tangent),
    ):
        torch.library.register_fake(f"starling::{name}", fake)
    _vmap.register()


def _distance_type(points: Tensor) -> torch.dtype:
    return torch.float64 if points.dtype == torch.float64 else torch.float32


def _knn(
    points: Tensor,
    k: int,
    row_splits: Tensor | None = None,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_radius: float | None = None,
    direction: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    shape = ((points if queries is None else queries).shape[0], k)
    return points.new_empty(shape, dtype=torch.int64), points.new_empty(shape, dtype=_distance_type(points))


def _radius(
    points: Tensor,
    radius: float,
    row_splits: Tensor | None = None,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_neighbors: int | None = None,
    direction: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = (points if queries is None else queries).shape[0]
    entries = torch.library.get_ctx().new_dynamic_size()
    return (
        points.new_empty(rows + 1, dtype=torch.int64),
        points.new_empty(entries, dtype=torch.int64),
        points.new_empty(entries, dtype=_distance_type(points)),
        points.new_empty(rows, dtype=torch.int64),
    )


def _distance_gradient(
    points: Tensor, queries: Tensor | None, index: Tensor, neighbor_row_splits: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor]:
    rows = 0 if queries is None else queries.shape[0]
    return points.new_empty(points.shape), points.new_empty((rows, points.shape[1]))


def _distance_tangent(
    points: Tensor,
    queries: Tensor | None,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    points_tangent: Tensor,
    queries_tangent: Tensor | None,
) -> Tensor:
    return points.new_empty(index.shape)
