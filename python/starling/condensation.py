"""Object condensation: clusters from what a network has learned."""

from typing import NamedTuple

import torch
from torch import Tensor

from . import _library  # noqa: F401


class Condensed(NamedTuple):
    """The condensation point of each of N hits."""

    id: Tensor
    """[N], int64: number of the hit's point in its event, from 0 in the order found; −1 where no point took it."""
    point: Tensor
    """[N], int64: row of that point; −1 where there is none."""


def condense(
    beta: Tensor,
    x: Tensor,
    row_splits: Tensor | None = None,
    *,
    t_beta: float,
    t_d: float,
    scale: Tensor | None = None,
    assign: str = "collect",
) -> Condensed:
    """Clusters hits: condensation points by descending β, each with the hits in its reach (arXiv:2002.03605).

    Again and again the free hit of largest β among those with β ≥ `t_beta`, of the smallest row where β is equal, becomes
    a point and takes every free hit of its event with d² ≤ r², where r = `t_d` · its scale. The result is the same on any
    number of threads and on CUDA. The shapes do not depend on the data, so it compiles with torch.compile(fullgraph=True),
    and on CUDA it can be captured in a CUDA graph. It has no gradient.

    Args:
        beta: [N], the condensation weight of each hit, in 0 to 1; of the dtype of `x`.
        x: [N, D], the cluster coordinates; D from 1 to 8; float32 or float64, float16 or bfloat16 (computed in float32).
        row_splits: [B + 1], int32 or int64: the first row of each event, then N; None is one event. See
            :func:`starling.row_splits_from_batch`.
        t_beta: the smallest β of a point, inclusive; rounded to the dtype of the computation.
        t_d: the reach of a point of scale 1, in the coordinates' unit, inclusive; 0 joins hits at the same place only;
            infinity takes the whole event. r² is computed in float64, then rounded to the type of the coordinates.
        scale: [N], above 0, of the dtype of `x`: the learned radius of each hit, read where it is a point; None is 1.
        assign: "collect": a hit stays with the point that took it. "nearest": the same points, then each hit that was
            taken goes to the nearest of the points whose reach it is in; the earlier point where d² is equal.

    Returns:
        Condensed(id [N], point [N]).

    Raises:
        ValueError: shapes, dtypes or devices that do not fit, t_beta that is no number, t_d < 0, row splits that do not
            ascend from 0 to N, values that are not finite, a β outside 0 to 1, a scale that is not above 0: the message
            says which and what was expected.

    >>> beta = torch.tensor([0.3, 0.9, 0.1, 0.8, 0.2])
    >>> x = torch.tensor([[0.0], [1.0], [2.0], [5.0], [9.0]])
    >>> condense(beta, x, t_beta=0.25, t_d=1.5)
    Condensed(id=tensor([ 0,  0,  0,  1, -1]), point=tensor([ 1,  1,  1,  3, -1]))
    """
    return Condensed(*torch.ops.starling.condense(beta, x, row_splits, t_beta, t_d, scale, assign))
