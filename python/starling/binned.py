"""FastGraphCompute's interface to the search."""

import torch
from torch import Tensor

from .search import neighbors


def binned_select_knn(
    K: int,
    coords: Tensor,
    row_splits: Tensor,
    direction: Tensor | None = None,
    n_bins: Tensor | int | None = None,
    max_bin_dims: int = 3,
    torch_compatible_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """The K nearest points of each point, with FastGraphCompute's signature and conventions. Differentiable in `coords`.

    What differs: neighbours are ascending by (d², index); float64 stays float64; any number of points, none included,
    and 1 to 16 dimensions; the gradient is the same bytes every run; it works in inference mode.

    Args:
        K: the point itself included, at least 1.
        coords: [V, D], finite.
        row_splits: [B + 1], int32 or int64: the first row of each event, then V.
        direction: [V], an integer dtype: 0 = may only be a neighbour, 1 = may only have neighbours, 2 = neither; other
            values, no restriction.
        n_bins, max_bin_dims: no effect: there are no bins. They are here so that calls need no change.
        torch_compatible_indices: where there are fewer than K neighbours, the point itself in place of −1.

    Returns:
        (idx [V, K] int64, d² [V, K]): each point first in its own row, always; −1 and d² = 0 where there are fewer than
        K neighbours (zero is FastGraphCompute's; :func:`starling.neighbors` has +inf).

    Raises:
        ValueError: as :func:`starling.neighbors`; a direction that is not integers.

    >>> idx, distance2 = binned_select_knn(3, torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 2, 3]))
    >>> idx
    tensor([[ 0,  1, -1],
            [ 1,  0, -1],
            [ 2, -1, -1]])
    """
    if K < 1:
        raise ValueError(f"K must be at least 1, for the point itself; it is {K}")
    if direction is not None:
        direction = _direction(direction)
    index, distance2 = neighbors(coords, K, row_splits, direction=direction)
    if direction is not None or row_splits.shape[0] != 2 or K > coords.shape[0]:
        missing = index < 0
        own = torch.arange(index.shape[0], device=index.device).unsqueeze(1)
        first = torch.arange(K, device=index.device) == 0
        index = torch.where(missing if torch_compatible_indices else missing & first, own, index)
        distance2 = distance2.masked_fill(missing, 0)
    return index, distance2


def _direction(direction: Tensor) -> Tensor:
    """FastGraphCompute's codes as ours: each is one less."""
    if direction.dtype.is_floating_point or direction.dtype.is_complex or direction.dtype == torch.bool:
        raise ValueError(f"direction must be of an integer dtype; it is {direction.dtype}")
    direction = direction.flatten()
    restricted = (direction >= 0) & (direction <= 2)
    return torch.where(restricted, direction + 1, 0).to(torch.int8)
