"""FastGraphCompute's functions: the search, and row splits from a batch vector and back."""

import torch
from torch import Tensor

from .events import batch_from_row_splits, is_integer, unsorted_error
from .search import check_count, neighbors


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

    Neighbours are ascending by (d², index). docs/python.md lists every difference from the original.

    Args:
        K: the number of neighbours, the point itself included; 0 gives empty lists.
        coords: [V, D], D from 1 to 1,024, finite. Integers are computed in float64.
        row_splits: [B + 1], integers: the first row of each event, then V.
        direction: [V], integers: 0 = may only be a neighbour, 1 = may only have neighbours, 2 = neither; other values, no
            restriction. None and an empty tensor are no restriction for all.
        n_bins, max_bin_dims: no effect: there are no bins. They are here so that calls need no change.
        torch_compatible_indices: where there are fewer than K neighbours, the point itself in place of −1.

    Returns:
        (idx [V, K] int64, d² [V, K]): each point first in its own row, always; −1 and d² = 0 where there are fewer than
        K neighbours (zero is FastGraphCompute's; :func:`starling.neighbors` has +inf).

    Raises:
        ValueError: as :func:`starling.neighbors`; a direction that is not of an integer dtype.

    >>> idx, distance2 = binned_select_knn(3, torch.tensor([[0.0], [1.0], [5.0]]), torch.tensor([0, 2, 3]))
    >>> idx
    tensor([[ 0,  1, -1],
            [ 1,  0, -1],
            [ 2, -1, -1]])
    """
    check_count("K", K)
    if is_integer(coords.dtype):
        coords = coords.double()
    if is_integer(row_splits.dtype):
        row_splits = row_splits.long()
    direction = None if direction is None or direction.numel() == 0 else _direction(direction)
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
    if not is_integer(direction.dtype):
        raise ValueError(f"direction must be of an integer dtype; it is {direction.dtype}")
    direction = direction.flatten().long()
    restricted = (direction >= 0) & (direction <= 2)
    return torch.where(restricted, direction + 1, 0).to(torch.int8)


def row_splits_from_strict_batch(batch: Tensor) -> Tensor:
    """The row splits of a sorted batch vector, where each number that occurs is an event: there are no empty events.

    :func:`starling.row_splits_from_batch` counts events from 0 to the largest number instead.

    Args:
        batch: [N], integers, ascending. Equal numbers are one event; which numbers they are has no effect.

    Returns:
        [B + 1], int64, on the device of `batch`: the first row of each event, then N. [0, 0] where N = 0.

    Raises:
        ValueError: `batch` is not [N] or not sorted.
        TypeError: `batch` is not of an integer dtype.

    >>> row_splits_from_strict_batch(torch.tensor([0, 0, 0, 2, 2]))
    tensor([0, 3, 5])
    """
    if batch.dim() != 1:
        raise ValueError(f"batch must be [N], one event number per row; it has the shape {list(batch.shape)}")
    if not is_integer(batch.dtype):
        raise TypeError(f"batch must be of an integer dtype; it is {batch.dtype}")
    batch = batch.long()
    if bool((batch[1:] < batch[:-1]).any()):
        raise unsorted_error(batch)
    ends = batch.new_tensor([0, batch.shape[0]])
    return torch.cat((ends[:1], (batch[1:] != batch[:-1]).nonzero().flatten() + 1, ends[1:]))


def strict_batch_from_row_splits(row_splits: Tensor) -> Tensor:
    """The batch vector of row splits: :func:`starling.batch_from_row_splits` by FastGraphCompute's name.

    >>> strict_batch_from_row_splits(torch.tensor([0, 3, 5]))
    tensor([0, 0, 0, 1, 1])
    """
    return batch_from_row_splits(row_splits)
