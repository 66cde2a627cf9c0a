"""Registers how torch.func.vmap runs the operators: one call in which the examples of a batch are events."""

from typing import Any

import torch
from torch import Tensor

Dims = tuple[int | None, ...]


def register() -> None:
    for name, rule in (
        ("knn", _knn),
        ("radius", _radius),
        ("_distance_gradient", _distance_gradient),
        ("_distance_tangent", _distance_tangent),
    ):
        torch.library.register_vmap(f"starling::{name}", rule)


class _Examples:
    """The arguments of an operator, some with a dimension of examples."""

    def __init__(self, size: int, dims: Dims) -> None:
        self.size = size
        self.dims = dims

    def split(self, place: int, tensor: Tensor) -> Tensor:
        """Argument number `place` as [examples, rows, …]."""
        dim = self.dims[place] if place < len(self.dims) else None
        return tensor.expand(self.size, *tensor.shape) if dim is None else tensor.movedim(dim, 0)

    def join(self, place: int, tensor: Tensor) -> Tensor:
        """Argument number `place` as [examples · rows, …]."""
        return self.split(place, tensor).flatten(0, 1)

    def maybe_join(self, place: int, tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else self.join(place, tensor)

    def rows(self, place: int, tensor: Tensor) -> int:
        """Rows per example."""
        return self.split(place, tensor).shape[1]

    def apart(self, values: Tensor, rows: int) -> Tensor:
        """[examples · rows, …] as [examples, rows, …]. There may be no examples."""
        return values.reshape(self.size, rows, *values.shape[1:])

    def first_rows(self, rows: int, like: Tensor) -> Tensor:
        """The first row of each example, [examples]."""
        return torch.arange(self.size, device=like.device) * rows

    def join_splits(self, place: int, splits: Tensor, rows: int) -> Tensor:
        """Row splits of examples of so many rows as those of all examples together."""
        each = self.split(place, splits).long()
        if self.size == 0:
            return each.new_zeros(1)
        if place < len(self.dims) and self.dims[place] is not None:
            # The operator finds wrong splits that all examples share. Of others it would see the last alone.
            fits = (each[:, 0] == 0) & (each[:, -1] == rows)
            if not bool(fits.all()):
                example = int(fits.logical_not().nonzero()[0])
                raise ValueError(
                    f"row splits of example {example} go from {int(each[example, 0])} to {int(each[example, -1])}: "
                    f"expected 0 to the number of rows, {rows}"
                )
        first = self.first_rows(rows, each)
        return torch.cat(((each[:, :-1] + first[:, None]).flatten(), each[-1:, -1] + first[-1:]))

    def join_index(self, place: int, index: Tensor, rows: int) -> Tensor:
        """Rows of the points of an example, −1 = none, as rows of the points of all examples together."""
        each = self.split(place, index)
        first = self.first_rows(rows, each).reshape(-1, *[1] * (each.dim() - 1))
        return torch.where(each >= 0, each + first, -1).flatten(0, 1)


def _knn(
    info: Any,
    dims: Dims,
    points: Tensor,
    k: int,
    row_splits: Tensor | None = None,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_radius: float | None = None,
    direction: Tensor | None = None,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    examples = _Examples(info.batch_size, dims)
    rows = examples.rows(0, points)
    one_event = row_splits is None and query_row_splits is None
    if row_splits is not None:
        row_splits = examples.join_splits(2, row_splits, rows)
    if query_row_splits is not None and queries is not None:
        query_row_splits = examples.join_splits(4, query_row_splits, examples.rows(3, queries))
    if one_event:
        ends = torch.arange(examples.size + 1, device=points.device)
        row_splits = ends * rows
        query_row_splits = None if queries is None else ends * examples.rows(3, queries)
    index, distance2 = torch.ops.starling.knn(
        examples.join(0, points),
        k,
        row_splits,
        examples.maybe_join(3, queries),
        query_row_splits,
        loop,
        max_radius,
        examples.maybe_join(7, direction),
    )
    query_rows = rows if queries is None else examples.rows(3, queries)
    index, distance2 = examples.apart(index, query_rows), examples.apart(distance2, query_rows)
    first = examples.first_rows(rows, index)[:, None, None]
    return (torch.where(index >= 0, index - first, -1), distance2), (0, 0)


def _radius(info: Any, dims: Dims, *arguments: Any) -> Any:
    raise RuntimeError(
        "starling::radius gives as many neighbours as there are, which may differ between the examples of torch.func.vmap: "
        "use starling::knn with max_radius"
    )


def _distance_gradient(
    info: Any,
    dims: Dims,
    points: Tensor,
    queries: Tensor | None,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    weight: Tensor,
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    examples = _Examples(info.batch_size, dims)
    points_gradient, queries_gradient = torch.ops.starling._distance_gradient(
        *_lists(examples, points, queries, index, neighbor_row_splits), examples.join(4, weight)
    )
    query_rows = 0 if queries is None else examples.rows(1, queries)
    return (
        examples.apart(points_gradient, examples.rows(0, points)),
        examples.apart(queries_gradient, query_rows),
    ), (0, 0)


def _distance_tangent(
    info: Any,
    dims: Dims,
    points: Tensor,
    queries: Tensor | None,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    points_tangent: Tensor,
    queries_tangent: Tensor | None,
) -> tuple[Tensor, int]:
    examples = _Examples(info.batch_size, dims)
    distance2 = torch.ops.starling._distance_tangent(
        *_lists(examples, points, queries, index, neighbor_row_splits),
        examples.join(4, points_tangent),
        examples.maybe_join(5, queries_tangent),
    )
    return examples.apart(distance2, examples.rows(2, index)), 0


def _lists(
    examples: _Examples, points: Tensor, queries: Tensor | None, index: Tensor, neighbor_row_splits: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    if neighbor_row_splits is not None:
        neighbor_row_splits = examples.join_splits(3, neighbor_row_splits, examples.rows(2, index))
    return (
        examples.join(0, points),
        examples.maybe_join(1, queries),
        examples.join_index(2, index, examples.rows(0, points)),
        neighbor_row_splits,
    )
