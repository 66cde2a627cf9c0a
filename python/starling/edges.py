"""Edges between neighbours, with the signatures and conventions of torch_cluster (and of torch_geometric.nn).

The result is exact and unique: ascending by (d², index) for each query, the same on every device. docs/python.md lists
every difference from the originals. Points have 1 to 1,024 dimensions; a tensor [N] is N points of one dimension. Integer
coordinates are computed in float64.

Edges carry no gradient: take distances from :func:`starling.neighbors` where they must be differentiable.
"""

import torch
from torch import Tensor

from .events import cannot_wait, checked_row_splits, is_integer
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
        x: [N, D] or [N], floating-point or integer, finite.
        k: the number of neighbours per point, the point itself included with `loop`.
        batch: [N], integers, sorted: the event of each row. Edges never cross events.
        loop: a point is its own first neighbour; else it is left out.
        flow: "source_to_target" or "target_to_source".
        cosine: nearest by angle, computed in float64 for every dtype of `x`. A zero vector has no direction: it counts as
            60° away from every point that has one, and as 0° away from other zero vectors.
        num_workers: no effect; the host search uses torch's number of threads.
        batch_size: the number of events; None takes it from `batch`. Without `batch` there is one event.

    Returns:
        edge_index [2, E], int64: row 0 the neighbour (source), row 1 the point (target); `flow` "target_to_source"
        swaps them. By point, then by distance. E = N · k but where an event has too few points.

    torch.compile breaks the graph where it needs a value: the number of events if `batch_size` is None, and E where an
    event may have too few points. With fullgraph=True, give `batch_size` and set
    torch._dynamo.config.capture_dynamic_output_shape_ops to True; without `batch` neither is needed.

    Raises:
        ValueError: an unknown `flow`, a `batch` that is not sorted or does not fit `x`, a `batch_size` other than 1 without
            `batch`; as :func:`starling.neighbors`.
        TypeError: a `batch` that is not of an integer dtype.

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
        r: the radius, in the unit of the coordinates, not negative; infinity takes all points of the event.
        max_num_neighbors: the largest number of neighbours per point, the nearest, the point itself included with `loop`;
            None keeps all. The default, 32, is torch_cluster's: it cuts dense neighbourhoods.

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
        x: [N, D] or [N], floating-point or integer, finite.
        y: [M, D] or [M], finite, of the dtype of `x`.
        batch_x: [N], integers, sorted: the event of each row of `x`.
        batch_y: [M], the same for `y`. Where there is one event, either may be left out.

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
    ignore_same_index: bool = False,
) -> Tensor:
    """For each point of `y` all points of `x` at most `r` away.

    Args:
        ignore_same_index: row i of `y` leaves out row i of `x`, and does not count it among `max_num_neighbors`.

    The other arguments, the errors and the order of edges are those of :func:`radius_graph` and :func:`knn`.

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
    most = max_num_neighbors
    if ignore_same_index and most is not None and most >= 0:
        most += 1
    splits, index, *_ = neighbors_within(
        x, r, row_splits, queries=y, query_row_splits=query_row_splits, max_neighbors=most
    )
    query = _queries(splits, index)
    if ignore_same_index:
        kept = index != query
        if max_num_neighbors is not None:
            # Where the same index was not among them, the farthest is one too many.
            others = torch.cumsum(kept, 0)
            before = torch.cat((others.new_zeros(1), others))[splits[:-1]]
            kept &= others - before[query] <= max_num_neighbors
        query, index = query[kept], index[kept]
    return torch.stack((query, index))


def _check_flow(flow: str) -> None:
    if flow not in ("source_to_target", "target_to_source"):
        raise ValueError(f"flow must be 'source_to_target' or 'target_to_source'; it is {flow!r}")


def _points(name: str, x: Tensor, cosine: bool = False) -> Tensor:
    if x.dim() not in (1, 2):
        raise ValueError(f"{name} must be [rows, dimensions] or [rows]; it has the shape {list(x.shape)}")
    x = x.detach()
    x = x.unsqueeze(1) if x.dim() == 1 else x
    if is_integer(x.dtype):
        x = x.double()
    return _directions(x) if cosine else x


def _directions(x: Tensor) -> Tensor:
    """Unit vectors in float64; zero vectors stay zero. |a/|a| − b/|b||² = 2 (1 − cos): the same order.

    The largest coordinate is divided out first: nothing overflows or underflows, and vectors of the same direction
    become the same bytes, since equal quotients round equally. The sum runs in a fixed order on every device.
    """
    if x.shape[1] == 0:
        return x
    x = x.double()
    largest = x.abs().amax(1, keepdim=True)
    x = x / torch.where(largest > 0, largest, 1)
    length = sum(x.square().unbind(1), x.new_zeros(x.shape[0])).sqrt().unsqueeze(1)
    return x / torch.where(length > 0, length, 1)


def _row_splits(name: str, batch: Tensor | None, of: str, x: Tensor, num_events: int | None) -> Tensor | None:
    if batch is None:
        if num_events not in (None, 1):
            raise ValueError(f"batch_size is {num_events} without {name}: expected 1 or None")
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
    given = [batch for batch in (batch_x, batch_y) if batch is not None]
    if given and num_events is None:
        last = [batch[-1:].long() for batch in given if batch.shape[0] > 0]
        num_events = max(int(torch.cat(last).amax()) + 1, 1) if last else 1
    if len(given) == 1 and num_events != 1:
        missing = "batch_x" if batch_x is None else "batch_y"
        raise ValueError(f"{missing} must be given where there are {num_events} events: only for one it may be left out")
    row_splits = _row_splits("batch_x", batch_x, "x", x, num_events)
    query_row_splits = _row_splits("batch_y", batch_y, "y", y, num_events)
    return (row_splits, query_row_splits) if len(given) == 2 else (None, None)


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
