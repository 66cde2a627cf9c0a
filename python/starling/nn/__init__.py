"""Layers whose graph is rebuilt inside the network, in place of torch_geometric's and FastGraphCompute's, and their loss;
the interaction network of tracking.

====================  ==============================================================================================
`GravNetConv`         GravNet (arXiv:1902.07987) with the signature and parameters of torch_geometric.nn.GravNetConv
`GravNetOp`           the same layer as FastGraphCompute has it
`EdgeConv`            EdgeConv (arXiv:1801.07829) with the signature and parameters of torch_geometric.nn.EdgeConv
`DynamicEdgeConv`     the same over the nearest neighbours in its input, as torch_geometric.nn.DynamicEdgeConv
`ObjectCondensation`  the loss of object condensation (arXiv:2002.03605)
`InteractionNetwork`  the network that scores the edges of a hit graph, with the parameters of acorn's InteractionGNN2
====================  ==============================================================================================

No [N, k, features] and no [objects, N] tensor is made, forward or backward, and every run gives the same bytes.
"""

import contextlib
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..edge_conv import DynamicEdgeConv, EdgeConv
from ..events import check_features, row_splits_of_input
from ..search import check_count, check_sizes
from .interaction_network import InteractionNetwork

__all__ = [
    "Condensation",
    "DynamicEdgeConv",
    "EdgeConv",
    "GravNetConv",
    "GravNetOp",
    "GravNetOutput",
    "InteractionNetwork",
    "ObjectCondensation",
]


def _space(linear: nn.Linear, x: Tensor) -> Tensor:
    """The learned space. It is computed in float32 at least, under autocast too: in 16 bits many hits lie at one place."""
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    device = x.device.type
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext():
        return nn.functional.linear(x.to(dtype), linear.weight.to(dtype), linear.bias.to(dtype))


def _check_sizes(in_channels: int, out_channels: int, space_dimensions: int, propagate_dimensions: int, k: int) -> None:
    """Of a GravNet layer."""
    check_sizes(
        in_channels=in_channels,
        out_channels=out_channels,
        space_dimensions=space_dimensions,
        propagate_dimensions=propagate_dimensions,
    )
    check_count("k", k)


class GravNetConv(nn.Module):
    """The GravNet layer: neighbours are searched in a learned space, and messages weighted by distance there.

    s = lin_s(x), h = lin_h(x); over the k nearest j of each hit i in s, the hit itself included, w_ij = exp(−factor
    d²_ij) and out = lin_out1(x) + lin_out2([mean_j w_ij h_j ‖ max_j w_ij h_j]). The mean is over the neighbours that are
    there; a hit without neighbours gets zeros. Of equal maxima the first neighbour's gets the gradient.

    A state_dict of torch_geometric's GravNetConv loads. float16 and bfloat16 come in and go out; features are stored in
    them, sums and the learned space are of float32, under autocast too.

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
        _check_sizes(in_channels, out_channels, space_dimensions, propagate_dimensions, k)
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
            TypeError: x or batch that is no tensor, such as a pair of them.
        """
        check_features("GravNetConv", x, self.in_channels)
        row_splits = row_splits_of_input("GravNetConv", x, batch, row_splits)
        messages, *_ = torch.ops.starling.gravnet(
            _space(self.lin_s, x), self.lin_h(x), self.k, row_splits, self.factor, self.loop, subtract=self.subtract
        )
        return self.lin_out1(x) + self.lin_out2(messages)  # type: ignore[no-any-return]

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
    """[N, space_dimensions]: the learned space; float32 where x has 16 bits."""


class GravNetOp(nn.Module):
    """GravNet as FastGraphCompute has it, with its parameters' names.

    As :class:`GravNetConv`, but out = activation(output([x ‖ mean ‖ max])), and a missing neighbour counts as a message
    of 0: the mean divides by k always, and the maximum is at least 0 where an event has fewer than k hits.

    Args:
        in_channels, out_channels, space_dimensions, propagate_dimensions, k: as those of GravNetConv.
        output_activation: of the output; None is ReLU.
        optimization_arguments: no effect: it is here so that calls need no change.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        space_dimensions: int,
        propagate_dimensions: int,
        k: int,
        output_activation: nn.Module | None = None,
        optimization_arguments: dict[str, object] | None = None,
    ) -> None:
        super().__init__()
        _check_sizes(in_channels, out_channels, space_dimensions, propagate_dimensions, k)
        self.in_channels = in_channels
        self.k = k
        self.space_transformations = nn.Linear(in_channels, space_dimensions)
        self.propagate_transformations = nn.Linear(in_channels, propagate_dimensions)
        self.output_transformations = nn.Sequential(
            nn.Linear(in_channels + 2 * propagate_dimensions, out_channels), nn.ReLU() if output_activation is None else output_activation,
        )

    def forward(self, x: Tensor, row_splits: Tensor) -> GravNetOutput:
        """Applies the layer to x [N, in_channels] of the events that row_splits [B + 1] name.

        Raises:
            ValueError, TypeError: as GravNetConv.
        """
        check_features("GravNetOp", x, self.in_channels)
        space = _space(self.space_transformations, x)
        messages, index, distance2, _ = torch.ops.starling.gravnet(
            space, self.propagate_transformations(x), self.k, row_splits, absent_is_zero=True
        )
        out = self.output_transformations(torch.cat([x, messages], 1))
        return GravNetOutput(out, index.long(), distance2, space)


class _PayloadWeights(torch.autograd.Function):
    """The weights ξ of payload losses with their norm: [N], once differentiable in β.

    The payload term is linear in the payload losses, so the weights are its gradient along them; and the gradient of
    Σ g · weight along β is that of the term with g for the losses.
    """

    @staticmethod
    def forward(ctx, beta, truth, row_splits, soft, per_event):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(beta, truth, row_splits)
        ctx.options = soft, per_event
        return _payload_gradients(beta, truth, row_splits, torch.zeros_like(beta), soft, per_event)[1]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):  # type: ignore[no-untyped-def]
        beta, truth, row_splits = ctx.saved_tensors
        of_beta, _ = _payload_gradients(beta, truth, row_splits, gradient, *ctx.options)
        return of_beta, None, None, None, None


def _payload_gradients(
    beta: Tensor, truth: Tensor, row_splits: Tensor | None, losses: Tensor, soft: bool, per_event: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of the payload term, the mean over the events, along β and along the losses."""
    events = 1 if row_splits is None else row_splits.shape[0] - 1
    none = beta.new_zeros(events)
    of_term = beta.new_full((events, 1), 1 / max(events, 1))
    of_beta, _, _, of_losses = torch.ops.starling._condensation_gradient(
        beta, beta.new_zeros(beta.shape[0], 1), truth, row_splits, None, None, losses.contiguous()[:, None],
        "paper", soft, 0.1, 0.0, "alpha", per_event, none, none, none, none, of_term,
    )  # fmt: skip
    return of_beta, of_losses[:, 0]


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
        centre: 0 to 1; above 0 in "slide" and "fgc" alone: an object's centre is (1 − centre) x_α + centre · the mean of its hits, weighted by charge.
        scale_of: "mean" of the object's scales, weighted by charge, or that of "alpha"; this in "slide" alone.
        payload_per_event: payload losses are averaged over an event's hits instead of over its objects first.
        noise_weight: s_B, of the noise term in the total.

    Raises:
        ValueError: an option out of range, or that the form does not have.

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
        if form not in ("paper", "slide", "fgc"):
            raise ValueError(f"ObjectCondensation: form is {form!r}: expected 'paper', 'slide' or 'fgc'")
        if not 1e-6 <= q_min < float("inf"):
            raise ValueError(f"ObjectCondensation: q_min is {q_min}: expected a finite number of at least 1e-6")
        if not 0 <= centre <= 1:
            raise ValueError(f"ObjectCondensation: centre is {centre}: expected 0 to 1")
        if form == "paper" and centre != 0:
            raise ValueError(f"ObjectCondensation: centre is {centre}: expected 0, since the form 'paper' has none")
        if scale_of not in ("mean", "alpha"):
            raise ValueError(f"ObjectCondensation: scale_of is {scale_of!r}: expected 'mean' or 'alpha'")
        if form != "slide" and scale_of != "mean":
            raise ValueError(
                f"ObjectCondensation: scale_of is {scale_of!r}: expected 'mean', since the form {form!r} has no scales"
            )
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
            scale: [N], above 0; in "slide" alone. None is 1.
            weight: [N], of an object, read at its hit of largest β; in "slide" alone. None is 1.
            payload: [N, P], losses of the hits, P up to 8. Their gradient passes on to whatever made them.
            per_event: the terms of each event, [B], not their means.

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, a scale or weight that the form does not have, a value
                that is not finite, a β outside 0 to 1, a scale that is not above 0.
        """
        for name, value in (("scale", scale), ("weight", weight)):
            if value is not None and self.form != "slide":
                raise ValueError(
                    f"ObjectCondensation: {name} is given: expected None, since the form {self.form!r} has none"
                )
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

    def payload_weights(self, beta: Tensor, truth: Tensor, row_splits: Tensor | None = None) -> Tensor:
        """The weight of each hit's payload loss, [N]: Σ_h weight_h L_h is the payload term of the losses L, a mean over events.

        So any loss per hit can be added without being handed in. Noise has weight 0. Once differentiable in β.

        Args:
            beta, truth, row_splits: as those of the loss.

        Raises:
            ValueError: as the loss.
        """
        beta = beta if beta.dtype == torch.float64 else beta.float()
        return _PayloadWeights.apply(beta, truth, row_splits, self.soft, self.payload_per_event)  # type: ignore[no-any-return, no-untyped-call]

    def extra_repr(self) -> str:
        return f"{self.form!r}, q_min={self.q_min}"
