"""Edges between neighbours, with the signatures and conventions of torch_cluster (and of torch_geometric.nn).

What differs, all of it on purpose: the result is exact and unique, ascending by (d², index) for each query, on every
device; k has no limit and distances none; without `loop` a point finds k others even where points coincide; radius
searches keep the nearest `max_num_neighbors`, not arbitrary ones, and include points at exactly `r`; an unsorted batch
vector is an error. Points have 1 to 16 dimensions; a tensor [N] is N points of one.

Edges carry no gradient: take distances from :func:`starling.neighbors` where they must be differentiable.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .events import cannot_wait, checked_row_splits
from .search import neighbors, neighbors_within


def knn_graph(
    x: Tensor,
    k: int,
    batch: Tensor | None = None,
    loop: bool = False,
    flow: str = "source_to_target",
    cosine: bool = False,
    num_workers: int = 1,
    batch_size: int | None = None,
) -> Tensor:
    """Edges from the k nearest points to each point.

    Args:
        x: [N, D] or [N], finite.
        k: neighbours a point, itself included where `loop` says so.
        batch: [N], int32 or int64, sorted: the event of each row. Edges never cross events.
        loop: a point is its own first neighbour; else it is left out.
        flow: "source_to_target" or "target_to_source".
        cosine: nearest by angle: 1 − cos. Points at the origin have no angle; they are as far from all others as 60°.
        num_workers: no effect; the host search uses torch's number of threads.
        batch_size: the number of events, found out of `batch` if None.

    Returns:
        edge_index [2, E], int64: row 0 the neighbour (source), row 1 the point (target); `flow` "target_to_source"
        swaps them. By point, then by distance. E = N · k but where an event has too few points.

    With `batch_size`, or without `batch`, it works in torch.compile(fullgraph=True); where an event may have too few
    points, E depends on the data, and torch._dynamo.config.capture_dynamic_output_shape_ops must be True for that.

    Raises:
        ValueError, TypeError: an unknown `flow`, a `batch` that is not sorted or does not fit `x`.
        ValueError: as :func:`starling.neighbors`.

    >>> x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> knn_graph(x, k=2, batch=torch.tensor([0, 0, 0, 0]))
    tensor([[1, 2, 0, 3, 0, 3, 1, 2],
            [0, 0, 1, 1, 2, 2, 3, 3]])
    """
    _check_flow(flow)
    x = _points("x", x, cosine)
    row_splits = _row_splits("batch", batch, "x", x, batch_size)
    index, _ = neighbors(x, k, row_splits, loop=loop)
    full = _all_have(k if loop else k + 1, x, row_splits)
    return _edges(index, full, query_row=1 if flow == "source_to_target" else 0)


def radius_graph(
    x: Tensor,
    r: float,
    batch: Tensor | None = None,
    loop: bool = False,
    max_num_neighbors: int | None = 32,
    flow: str = "source_to_target",
    num_workers: int = 1,
    batch_size: int | None = None,
) -> Tensor:
    """Edges to each point from all points at most `r` away.

    Args:
        r: the radius, in the unit of the coordinates, not negative.
        max_num_neighbors: a point keeps at most so many, the nearest, itself included where `loop` says so; None keeps
            all. Beware of the default, 32, which is torch_cluster's.

    The other arguments, the result and the errors are those of :func:`knn_graph`.

    >>> x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> radius_graph(x, r=2.5, batch=torch.tensor([0, 0, 0, 0]))
    tensor([[1, 2, 0, 3, 0, 3, 1, 2],
            [0, 0, 1, 1, 2, 2, 3, 3]])
    """
    _check_flow(flow)
    x = _points("x", x)
    row_splits = _row_splits("batch", batch, "x", x, batch_size)
    splits, index, *_ = neighbors_within(x, r, row_splits, loop=loop, max_neighbors=max_num_neighbors)
    query = _queries(splits, index)
    return torch.stack((index, query) if flow == "source_to_target" else (query, index))


def knn(
    x: Tensor,
    y: Tensor,
    k: int,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    cosine: bool = False,
    num_workers: int = 1,
    batch_size: int | None = None,
) -> Tensor:
    """For each point of `y` the k nearest points of `x`.

    Args:
        x: [N, D] or [N], finite.
        y: [M, D] or [M], finite, of the dtype of `x`.
        batch_x: [N], int32 or int64, sorted: the event of each row of `x`.
        batch_y: [M], the same for `y`.

    The other arguments and the errors are those of :func:`knn_graph`.

    Returns:
        [2, E], int64: row 0 the row of `y`, row 1 the row of `x`. By row of `y`, then by distance.

    >>> x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> y = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> knn(x, y, 2, torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0]))
    tensor([[0, 0, 1, 1],
            [0, 1, 2, 3]])
    """
    x, y = _points("x", x, cosine), _points("y", y, cosine)
    row_splits, query_row_splits = _both_row_splits(x, y, batch_x, batch_y, batch_size)
    index, _ = neighbors(x, k, row_splits, queries=y, query_row_splits=query_row_splits)
    return _edges(index, _all_have(k, x, row_splits), query_row=0)


def radius(
    x: Tensor,
    y: Tensor,
    r: float,
    batch_x: Tensor | None = None,
    batch_y: Tensor | None = None,
    max_num_neighbors: int | None = 32,
    num_workers: int = 1,
    batch_size: int | None = None,
) -> Tensor:
    """For each point of `y` all points of `x` at most `r` away.

    Arguments, errors and the order of edges are those of :func:`radius_graph` and :func:`knn`.

    Returns:
        [2, E], int64: row 0 the row of `y`, row 1 the row of `x`.

    >>> x = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
    >>> y = torch.tensor([[-1.0, 0.0], [1.0, 0.0]])
    >>> radius(x, y, 1.5, torch.tensor([0, 0, 0, 0]), torch.tensor([0, 0]))
    tensor([[0, 0, 1, 1],
            [0, 1, 2, 3]])
    """
    x, y = _points("x", x), _points("y", y)
    row_splits, query_row_splits = _both_row_splits(x, y, batch_x, batch_y, batch_size)
    splits, index, *_ = neighbors_within(
        x, r, row_splits, queries=y, query_row_splits=query_row_splits, max_neighbors=max_num_neighbors
    )
    return torch.stack((_queries(splits, index), index))


def _check_flow(flow: str) -> None:
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow must be 'source_to_target' or 'target_to_source'; it is {flow!r}")


def _points(name: str, x: Tensor, cosine: bool = False) -> Tensor:
    if x.dim() not in (1, 2):
        raise ValueError(f"{name} must be [rows, dimensions] or [rows]; it has the shape {list(x.shape)}")
    x = x.detach()
    x = x.unsqueeze(1) if x.dim() == 1 else x
    # |a/|a| − b/|b||² = 2 (1 − cos): the same order.
    return normalize(x, dim=1) if cosine else x


def _row_splits(name: str, batch: Tensor | None, of: str, x: Tensor, num_events: int | None) -> Tensor | None:
    if batch is None:
        return None
    if batch.dim() != 1 or batch.shape[0] != x.shape[0]:
        raise ValueError(
            f"{name} must have one number for each of the {x.shape[0]} rows of {of}; it has the shape "
            f"{list(batch.shape)}"
        )
    if batch.device != x.device:
        raise ValueError(f"{name} must be on the device of {of}, {x.device}; it is on {batch.device}")
    return checked_row_splits(batch, num_events)


def _both_row_splits(
    x: Tensor, y: Tensor, batch_x: Tensor | None, batch_y: Tensor | None, num_events: int | None
) -> tuple[Tensor | None, Tensor | None]:
    if (batch_x is None) != (batch_y is None):
        raise ValueError("batch_x and batch_y must be given together")
    if batch_x is not None and batch_y is not None and num_events is None:
        last = [batch[-1:] for batch in (batch_x, batch_y)]
        num_events = int(torch.cat(last).amax()) + 1 if x.shape[0] + y.shape[0] > 0 else 0
    return _row_splits("batch_x", batch_x, "x", x, num_events), _row_splits("batch_y", batch_y, "y", y, num_events)


def _all_have(k: int, x: Tensor, row_splits: Tensor | None) -> bool:
    """Whether it is known that every event has at least k points, so that every query has all its neighbours."""
    if row_splits is None:
        return x.shape[0] >= k
    if cannot_wait(row_splits):
        return False
    return row_splits.shape[0] < 2 or int(row_splits.diff().amin()) >= k


def _edges(index: Tensor, full: bool, query_row: int) -> Tensor:
    query = torch.arange(index.shape[0], device=index.device).unsqueeze(1).expand_as(index)
    edges = torch.stack((query, index) if query_row == 0 else (index, query)).flatten(1)
    return edges if full else edges[:, (index >= 0).flatten()]


def _queries(row_splits: Tensor, index: Tensor) -> Tensor:
    """The query of each neighbour."""
    rows = torch.arange(row_splits.shape[0] - 1, device=row_splits.device)
    return torch.repeat_interleave(rows, row_splits.diff(), output_size=index.shape[0])
