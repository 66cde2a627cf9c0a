"""FastGraphCompute's search, layer, loss and row splits, with its signatures: a model of it switches by its imports."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from . import nn as layers
from .events import batch_from_row_splits, is_integer, unsorted_error
from .nn import GravNetOp
from .search import check_count, neighbors

__all__ = [
    "GravNetOp",
    "ObjectCondensation",
    "binned_select_knn",
    "row_splits_from_strict_batch",
    "strict_batch_from_row_splits",
]


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


def arctanhsq(x: Tensor) -> Tensor:
    """FastGraphCompute's scaling of β."""
    return torch.arctanh(x) ** 2


class ObjectCondensation(nn.Module):
    """FastGraphCompute's loss, with its signature and results, over :class:`starling.nn.ObjectCondensation`'s form "fgc".

    docs/python.md lists every difference from the original.

    Args:
        q_min: the least charge, at least 1e-6.
        s_B: factor of the noise term in L_b.
        norm_payload: payload weights are divided by their sum over the object.
        weighted_obj_coordinates: in 0 to 1: an object's centre is so far from its hit of largest β to the mean of its
            hits, here weighted by charge.
        fixed_repulsive_norm: None; a number is not supported.
        beta_scaling_epsilon: 1e-3; others are not supported.
        v_beta_scaling, p_beta_scaling: `arctanhsq`; others are not supported.
    """

    def __init__(
        self,
        q_min: float = 0.1,
        s_B: float = 1.0,
        norm_payload: bool = True,
        weighted_obj_coordinates: float = 0.0,
        fixed_repulsive_norm: float | None = None,
        beta_scaling_epsilon: float = 1e-3,
        v_beta_scaling: Callable[[Tensor], Tensor] = arctanhsq,
        p_beta_scaling: Callable[[Tensor], Tensor] = arctanhsq,
    ) -> None:
        super().__init__()
        if fixed_repulsive_norm is not None:
            raise ValueError(f"fixed_repulsive_norm is {fixed_repulsive_norm}: expected None")
        if beta_scaling_epsilon != 1e-3:
            raise ValueError(f"beta_scaling_epsilon is {beta_scaling_epsilon}: expected 1e-3")
        for name, scaling in (("v_beta_scaling", v_beta_scaling), ("p_beta_scaling", p_beta_scaling)):
            # FastGraphCompute's own is another function of the same name.
            if getattr(scaling, "__name__", None) != arctanhsq.__name__:
                raise ValueError(f"{name} is {scaling!r}: expected arctanhsq")
        if not 0 <= weighted_obj_coordinates <= 1:
            raise ValueError(f"weighted_obj_coordinates is {weighted_obj_coordinates}: expected 0 to 1")
        self.norm_payload = norm_payload
        self.loss = layers.ObjectCondensation("fgc", q_min=q_min, centre=weighted_obj_coordinates, noise_weight=s_B)

    def forward(
        self, beta: Tensor, coords: Tensor, asso_idx: Tensor, row_splits: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """Computes the loss.

        Args:
            beta: [N, 1], in 0 to 1.
            coords: [N, C], cluster coordinates, C from 1 to 8.
            asso_idx: [N, 1], integers: the object of each hit in its event, negative is noise.
            row_splits: [B + 1], integers: the first row of each event, then N.

        Returns:
            (L_V, L_rep, L_b, pl_scaling [N, 1], None): attraction, repulsion, the terms of β with noise, and the weights
            of payload losses: the sum of weight · loss over all hits is the payload loss. The original's fifth value, the
            potential of each hit's object, is not computed.

        Raises:
            ValueError: as :class:`starling.nn.ObjectCondensation`; shapes other than these.
        """
        for name, value in (("beta", beta), ("asso_idx", asso_idx)):
            if value.dim() != 2 or value.shape[1] != 1:
                raise ValueError(f"ObjectCondensation: {name} has shape {list(value.shape)}: expected [N, 1]")
        row_splits = row_splits.long() if is_integer(row_splits.dtype) else row_splits
        hits, truth = beta[:, 0], asso_idx[:, 0]
        terms = self.loss(hits, coords, truth, row_splits)
        weights = self.loss.payload_weights(hits, truth, row_splits) if self.norm_payload else _weights(hits, truth, row_splits)
        return terms.attraction, terms.repulsion, terms.objects + self.loss.noise_weight * terms.noise, weights[:, None], None


def _weights(beta: Tensor, truth: Tensor, row_splits: Tensor) -> Tensor:
    """Payload weights that are not divided by their sum over the object, but by objects and events."""
    event = batch_from_row_splits(row_splits).to(truth.device)
    events = row_splits.shape[0] - 1
    objects = torch.unique(torch.stack((event, truth), 1)[truth >= 0], dim=0)[:, 0]
    count = torch.bincount(objects, minlength=events)
    return torch.where(truth >= 0, arctanhsq(beta / 1.001), 0) / (count[event].clamp_min(1) * events)
