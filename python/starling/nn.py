"""Layers whose graph is rebuilt inside the network, in place of torch_geometric's and FastGraphCompute's, and their loss.

====================  ==============================================================================================
`GravNetConv`         GravNet (arXiv:1902.07987) with the signature and parameters of torch_geometric.nn.GravNetConv
`GravNetOp`           the same layer as FastGraphCompute has it
`EdgeConv`            EdgeConv (arXiv:1801.07829) with the signature and parameters of torch_geometric.nn.EdgeConv
`DynamicEdgeConv`     the same over the nearest neighbours in its input, as torch_geometric.nn.DynamicEdgeConv
`ObjectCondensation`  the loss of object condensation (arXiv:2002.03605)
====================  ==============================================================================================

No [N, k, features] and no [objects, N] tensor is made, forward or backward, and every run gives the same bytes.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .edge_conv import DynamicEdgeConv, EdgeConv
from .events import row_splits_from_batch
from .search import neighbors


def _aggregate(
    features: Tensor, index: Tensor, distance2: Tensor, factor: float, subtract: bool = False, absent: bool = False
) -> Tensor:
    """Mean and maximum of the messages exp(−factor d²) h_j, side by side: [N, 2 P]."""
    divisor = "all" if absent else "found"
    out, _ = torch.ops.starling.aggregate(features, index, None, distance2, None, factor, divisor, absent, subtract)
    return out  # type: ignore[no-any-return]


class GravNetConv(nn.Module):
    """The GravNet layer: neighbours are searched in a learned space, and messages weighted by distance there.

    s = lin_s(x), h = lin_h(x); over the k nearest j of each hit i in s, the hit itself included, w_ij = exp(−factor
    d²_ij) and out = lin_out1(x) + lin_out2([mean_j w_ij h_j ‖ max_j w_ij h_j]). The mean is over the neighbours that are
    there; a hit without neighbours gets zeros. Of equal maxima the first neighbour's gets the gradient.

    A state_dict of torch_geometric's GravNetConv loads.

    Args:
        in_channels: features of a hit.
        out_channels: features of the output.
        space_dimensions: S, of the learned space, 1 to 1,024.
        propagate_dimensions: P, features of a message.
        k: neighbours of a hit, itself included where `loop` says so.
        factor: of d² in the weights.
        loop: False leaves the hit itself out and finds k others.
        subtract: messages' aggregates are taken off the hit's own h: [h − mean ‖ h − max].

    >>> _ = torch.manual_seed(0)
    >>> GravNetConv(3, 5, space_dimensions=2, propagate_dimensions=4, k=2)(torch.rand(6, 3)).shape
    torch.Size([6, 5])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_dimensions: int,
        propagate_dimensions: int,
        k: int,
        *,
        factor: float = 10.0,
        loop: bool = True,
        subtract: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.k = k
        self.factor = factor
        self.loop = loop
        self.subtract = subtract
        self.lin_s = nn.Linear(in_channels, space_dimensions)
        self.lin_h = nn.Linear(in_channels, propagate_dimensions)
        self.lin_out1 = nn.Linear(in_channels, out_channels, bias=False)
        self.lin_out2 = nn.Linear(2 * propagate_dimensions, out_channels)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for linear in (self.lin_s, self.lin_h, self.lin_out1, self.lin_out2):
            linear.reset_parameters()

    def forward(self, x: Tensor, batch: Tensor | None = None, *, row_splits: Tensor | None = None) -> Tensor:
        """Applies the layer to x [N, in_channels].

        Args:
            x: features of the hits, those of an event in consecutive rows.
            batch: [N], the event of each hit, ascending; or
            row_splits: [B + 1], the first row of each event, then N. Neither: one event.

        Returns:
            [N, out_channels].

        Raises:
            ValueError: shapes that do not fit, `batch` and `row_splits` both, a coordinate that is not finite.
        """
        if batch is not None:
            if row_splits is not None:
                raise ValueError("GravNetConv: batch and row_splits are both given: expected one of them")
            row_splits = row_splits_from_batch(batch)
        found = neighbors(self.lin_s(x), self.k, row_splits, loop=self.loop)
        messages = _aggregate(self.lin_h(x), found.index, found.distance2, self.factor, self.subtract)
        return self.lin_out1(x) + self.lin_out2(messages.to(x.dtype))  # type: ignore[no-any-return]

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, k={self.k}"


class GravNetOutput(NamedTuple):
    """What GravNetOp returns."""

    out: Tensor
    """[N, out_channels]."""
    index: Tensor  # type: ignore[assignment]
    """[N, k], int64: the neighbours of each hit, −1 where there are fewer."""
    distance2: Tensor
    """[N, k]: their squared distances in the learned space, +inf where the index is −1."""
    space: Tensor
    """[N, space_dimensions]: the learned space."""


class GravNetOp(nn.Module):
    """GravNet as FastGraphCompute has it, with its parameters' names.

    As :class:`GravNetConv`, but out = activation(output([x ‖ mean ‖ max])), and a missing neighbour counts as a message
    of 0: the mean divides by k always, and the maximum is at least 0 where an event has fewer than k hits.

    Args:
        in_channels, out_channels, space_dimensions, propagate_dimensions, k: as those of GravNetConv.
        activation: of the output; None is ReLU.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_dimensions: int,
        propagate_dimensions: int,
        k: int,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.k = k
        self.space_transformations = nn.Linear(in_channels, space_dimensions)
        self.propagate_transformations = nn.Linear(in_channels, propagate_dimensions)
        self.output_transformations = nn.Sequential(
            nn.Linear(in_channels + 2 * propagate_dimensions, out_channels), nn.ReLU() if activation is None else activation,
        )

    def forward(self, x: Tensor, row_splits: Tensor) -> GravNetOutput:
        """Applies the layer to x [N, in_channels] of the events that row_splits [B + 1] name.

        Raises:
            ValueError: as GravNetConv.
        """
        space = self.space_transformations(x)
        found = neighbors(space, self.k, row_splits)
        messages = _aggregate(
            self.propagate_transformations(x), found.index, found.distance2, 10.0, absent=True
        )
        out = self.output_transformations(torch.cat([x, messages.to(x.dtype)], 1))
        return GravNetOutput(out, found.index, found.distance2, space)


class Condensation(NamedTuple):
    """The terms of object condensation: their means over the events of the batch, or [B] each with `per_event`."""

    attraction: Tensor
    repulsion: Tensor
    objects: Tensor
    noise: Tensor
    payload: Tensor
    """[P], or [B, P]; P is 0 without payload."""
    total: Tensor
    """attraction + repulsion + objects + noise_weight · noise + the sum of the payload's channels."""


class ObjectCondensation(nn.Module):
    """The loss of object condensation, as docs/definitions.md, Object condensation, writes it down.

    It is once differentiable: a second derivative raises NotImplementedError.

    Args:
        form: "paper", "slide" or "fgc" (FastGraphCompute's).
        q_min: the least charge, at least 1e-6.
        soft: charge arctanh²(β / 1.001) + q_min instead of β cut at 1 − 2⁻¹³; None is True for "fgc" alone.
        centre: of "slide": an object's centre is (1 − centre) x_α + centre · the mean of its hits, weighted by charge.
        scale_of: of "slide": "mean" of the object's scales, weighted by charge, or that of "alpha".
        payload_per_event: payload losses are averaged over an event's hits instead of over its objects first.
        noise_weight: s_B, of the noise term in the total.

    >>> loss = ObjectCondensation("paper")
    >>> beta = torch.tensor([0.9, 0.1, 0.8], requires_grad=True)
    >>> x = torch.tensor([[0.0, 0.0], [0.0, 0.5], [0.5, 0.0]], requires_grad=True)
    >>> terms = loss(beta, x, truth=torch.tensor([0, 0, -1]))
    >>> terms.total.backward()
    >>> terms.objects
    tensor(0.1000, grad_fn=<MeanBackward1>)
    """

    def __init__(
        self,
        form: str = "slide",
        *,
        q_min: float = 0.1,
        soft: bool | None = None,
        centre: float = 0.0,
        scale_of: str = "mean",
        payload_per_event: bool = False,
        noise_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.form = form
        self.q_min = q_min
        self.soft = form == "fgc" if soft is None else soft
        self.centre = centre
        self.scale_of = scale_of
        self.payload_per_event = payload_per_event
        self.noise_weight = noise_weight

    def forward(
        self,
        beta: Tensor,
        x: Tensor,
        truth: Tensor,
        row_splits: Tensor | None = None,
        *,
        scale: Tensor | None = None,
        weight: Tensor | None = None,
        payload: Tensor | None = None,
        per_event: bool = False,
    ) -> Condensation:
        """Computes the terms.

        Args:
            beta: [N], in 0 to 1, both included: float32 or float64, float16 or bfloat16 (computed in float32).
            x: [N, D], cluster coordinates, D from 1 to 8. They and the other values are float64 where `beta` is, and only
                there.
            truth: [N], int8, uint8, int16, int32 or int64: the object of each hit in its event, any number from 0;
                negative is noise. Only which numbers are equal matters.
            row_splits: [B + 1], the first row of each event, then N; None is one event.
            scale: [N], above 0; of "slide". None is 1.
            weight: [N], of an object, read at its hit of largest β; of "slide". None is 1.
            payload: [N, P], losses of the hits, P up to 8. Their gradient passes on to whatever made them.
            per_event: the terms of each event, [B], not their means.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, options out of range, a value that is not finite, a β
                outside 0 to 1, a scale that is not above 0.
        """
        terms = torch.ops.starling.condensation_loss(
            beta,
            x,
            truth,
            row_splits,
            scale,
            weight,
            payload,
            self.form,
            self.soft,
            self.q_min,
            self.centre,
            self.scale_of,
            self.payload_per_event,
        )
        if not per_event:
            events = 1 if row_splits is None else row_splits.shape[0] - 1
            terms = [term.mean(0) if events > 0 else term.sum(0) for term in terms]
        attraction, repulsion, objects, noise, of_payload = terms
        total = attraction + repulsion + objects + self.noise_weight * noise + of_payload.sum(-1)
        return Condensation(attraction, repulsion, objects, noise, of_payload, total)

    def extra_repr(self) -> str:
        return f"{self.form!r}, q_min={self.q_min}"
