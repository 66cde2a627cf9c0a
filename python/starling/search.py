"""Exact nearest neighbours with every option: by number, or all within a radius."""

from typing import NamedTuple, SupportsIndex

import torch
from torch import Tensor

from . import _library  # noqa: F401


class Neighbors(NamedTuple):
    """The nearest neighbours of each of M queries, ascending by (d², index)."""

    index: Tensor  # type: ignore[assignment]
    """[M, k], int64: rows of the points; −1 where there are fewer than k."""
    distance2: Tensor
    """[M, k]: squared Euclidean distances, in the square of the coordinates' unit; +inf where the index is −1."""


class NeighborsWithin(NamedTuple):
    """All neighbours within a radius, of M queries one after the other, each query's ascending by (d², index)."""

    row_splits: Tensor
    """[M + 1], int64: the neighbours of query i are the entries row_splits[i] to row_splits[i + 1] − 1."""
    index: Tensor  # type: ignore[assignment]
    """[E], int64: rows of the points."""
    distance2: Tensor
    """[E]: squared Euclidean distances, in the square of the coordinates' unit."""
    within: Tensor
    """[M], int64: the number of points within the radius of each query, also of those that `max_neighbors` leaves out."""


def check_count(name: str, count: object, most: int = 2**31 - 1) -> None:
    """Raises ValueError unless `count` is an integer in 0 to `most`. torch checks symbols of torch.export itself."""
    if isinstance(count, torch.SymInt):
        return
    number = count if isinstance(count, int) else count.__index__() if isinstance(count, SupportsIndex) else -1
    if not 0 <= number <= most:
        raise ValueError(f"{name} is {count}: expected an integer in 0 to {most}")


def check_sizes(**sizes: int) -> None:
    """Raises ValueError unless each size of a layer is at least 1."""
    for name, size in sizes.items():
        if size < 1:
            not_lazy = " (not derived from the input)" if name == "in_channels" else ""
            raise ValueError(f"{name} is {size}: expected at least 1{not_lazy}")


def neighbors(
    x: Tensor,
    k: int,
    row_splits: Tensor | None = None,
    *,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_radius: float | None = None,
    direction: Tensor | None = None,
) -> Neighbors:
    """The k nearest points of each query in the same event, exactly, by squared Euclidean distance.

    The result is unique: ascending (d², index), the same bytes on any number of threads and on CUDA. `distance2` is
    differentiable in `x` and `queries`, to any order, backward and forward, also in torch.func. The shapes do not depend
    on the data, so it compiles with torch.compile(fullgraph=True), and on CUDA it can be captured in a CUDA graph.

    Args:
        x: [N, D], the points; D from 1 to 1,024; float32 or float64, float16 or bfloat16 (computed and returned in
            float32). Every coordinate must be finite.
        k: the number of neighbours, the point itself included with `loop`; may exceed N.
        row_splits: [B + 1], int32 or int64: the first row of each event, then N; None is one event. See
            :func:`starling.row_splits_from_batch`.
        queries: [M, D] of the dtype of `x`; None asks for the neighbours of the points themselves (M = N).
        query_row_splits: [B + 1], the same for `queries`.
        loop: the point itself is its own first neighbour; False leaves it out. With `queries` False is an error.
        max_radius: neighbours are at most this far away (d² ≤ max_radius², as in :func:`neighbors_within`), in the
            coordinates' unit; None is no limit.
        direction: [N], integers: 0 = no restriction, 1 = may only be a neighbour, 2 = may only have neighbours, 3 = neither.
            A point that may not have neighbours gets a row without any, not even itself. Without `queries` only.

    Returns:
        Neighbors(index [M, k], distance2 [M, k]); −1 and +inf where there are fewer than k.

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, k that is no integer in 0 to 2³¹ − 1, M · k out of range, row splits that do not
            ascend from 0 to N, a coordinate that is not finite: the message says which and what was expected.

    >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    >>> neighbors(x, 2)
    Neighbors(index=tensor([[0, 2],
            [1, 2],
            [2, 0]]), distance2=tensor([[ 0.,  1.],
            [ 0., 18.],
            [ 0.,  1.]]))
    """
    check_count("k", k)
    return Neighbors(*torch.ops.starling.knn(x, k, row_splits, queries, query_row_splits, loop, max_radius, direction))


def neighbors_within(
    x: Tensor,
    radius: float,
    row_splits: Tensor | None = None,
    *,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_neighbors: int | None = None,
    direction: Tensor | None = None,
) -> NeighborsWithin:
    """All points within a radius of each query in the same event: those with d² ≤ radius².

    radius² is computed in float64 and rounded to the type of the coordinates, in which d² is computed (float32 for the
    16-bit types). A d² that overflows there (distances beyond 1.8e19 in float32) is +inf, within an infinite radius only.

    Arguments and errors are those of :func:`neighbors`, but for:

    Args:
        radius: in the coordinates' unit, not negative; infinity takes all points of the event.
        max_neighbors: the largest number of neighbours per query, the nearest; None keeps all.

    Returns:
        NeighborsWithin(row_splits [M + 1], index [E], distance2 [E], within [M]). A query with within > max_neighbors was
        cut short. E depends on the data: on CUDA this waits once.

    >>> x = torch.tensor([[0.0], [1.0], [5.0]])
    >>> neighbors_within(x, 2.0, loop=False)
    NeighborsWithin(row_splits=tensor([0, 1, 2, 2]), index=tensor([1, 0]), distance2=tensor([1., 1.]), within=tensor([1, 1, 0]))
    """
    if max_neighbors is not None:
        check_count("max_neighbors", max_neighbors, 2**63 - 1)
    return NeighborsWithin(
        *torch.ops.starling.radius(x, radius, row_splits, queries, query_row_splits, loop, max_neighbors, direction)
    )
