"""InteractionNetwork: see starling.nn."""

import contextlib
import itertools

import torch
import torch.nn.functional
from torch import Tensor, nn

from . import _library  # noqa: F401
from .events import check_features
from .search import check_sizes

_WIDEST = 1024  # the limits of a model file (include/starling/interaction_network.h)
_MOST_STEPS = 64
_NORMS = ("layer", "batch", "none")
_BATCH_NORM_EPSILON = 6e-5


class _BatchNorm(nn.BatchNorm1d):
    """By the statistics of its input always, which may be one row."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=_BATCH_NORM_EPSILON, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:
        if input.shape[0] == 0:
            return input
        return torch.batch_norm(
            input, self.weight, self.bias, None, None, True, 0.0, self.eps, torch.backends.cudnn.enabled
        )


def _mlp(widths: list[int], norm: str, bias: bool, *, relu_last: bool = True) -> nn.Sequential:
    """Linear, normalisation, ReLU, …; the last Linear has no normalisation, and a ReLU where `relu_last`."""
    modules: list[nn.Module] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        last = layer == len(widths) - 2
        modules.append(nn.Linear(inputs, outputs, bias=bias))
        if norm == "layer" and not last:
            modules.append(nn.LayerNorm(outputs, elementwise_affine=False))
        if norm == "batch" and not last:
            modules.append(_BatchNorm(outputs))
        if relu_last or not last:
            modules.append(nn.ReLU())
    return nn.Sequential(*modules)


def _finish(mlp: nn.Sequential, sums: Tensor) -> Tensor:
    """The rest of an MLP after the products of its first layer."""
    for module in list(mlp)[1:]:
        sums = module(sums)
    return sums


def _encode(mlp: nn.Sequential, features: Tensor) -> Tensor:
    """Features have more digits than 16 bits hold: the first layer multiplies them in float32 at least, under autocast too."""
    first = mlp[0]
    assert isinstance(first, nn.Linear)
    device, stored = features.device.type, first.weight.dtype
    dtype = torch.float64 if stored == torch.float64 else torch.float32
    with torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else contextlib.nullcontext():
        bias = None if first.bias is None else first.bias.to(dtype)
        sums = nn.functional.linear(features.to(dtype), first.weight.to(dtype), bias)
    return _finish(mlp, sums.to(stored))


def _add_product(sums: Tensor | None, rows: Tensor, weight: Tensor) -> Tensor:
    """sums + rows · weightᵀ; the sums are one row (a bias), as many as there are rows, or none."""
    return torch.mm(rows, weight.t()) if sums is None else torch.addmm(sums, rows, weight.t())


class InteractionNetwork(nn.Module):
    """The interaction network that scores edges: acorn's InteractionGNN2, with its parameters' names and layout.

    docs/definitions.md, Network, writes it down. A state_dict of acorn's model loads, and :mod:`starling.convert` reads
    its checkpoints. The first layer of an edge network is multiplied per node and gathered, so that no [E, 6 H] tensor is
    made. The last node network feeds nothing: it has parameters, and it never runs. Sums over edges are in the order of
    the edges, in float32 at least, and so are those of gradients: every run gives the same bytes.

    Under autocast, and as a model of float16 or bfloat16, the first layer of both encoders is still computed in float32.

    Args:
        hidden: H, the hidden width, 1 to 1,024.
        steps: N, message-passing steps, 1 to 64.
        node_inputs, edge_inputs: features of a node and of an edge.
        recurrent: all steps share one edge network and one node network.
        norm: "layer", "batch" (by the statistics of the input, also in evaluation) or "none".
        bias: whether the Linear layers have biases.
        concat: the outputs of the encoders go into every step.

    Raises:
        ValueError: an option out of range.

    >>> _ = torch.manual_seed(0)
    >>> network = InteractionNetwork(hidden=8, steps=2)
    >>> edge_index = torch.tensor([[0, 1, 2], [1, 2, 3]])
    >>> network(torch.rand(4, 12), edge_index, torch.rand(3, 6)).shape
    torch.Size([3])
    >>> sum(parameter.numel() for parameter in InteractionNetwork().parameters())
    280177
    """

    def __init__(
        self,
        hidden: int = 48,
        steps: int = 8,
        *,
        node_inputs: int = 12,
        edge_inputs: int = 6,
        recurrent: bool = False,
        norm: str = "layer",
        bias: bool = True,
        concat: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(hidden=hidden, steps=steps, node_inputs=node_inputs, edge_inputs=edge_inputs)
        for name, size, most in (("hidden", hidden, _WIDEST), ("steps", steps, _MOST_STEPS)):
            if size > most:
                raise ValueError(f"{name} is {size}: expected at most {most}")
        if norm not in _NORMS:
            raise ValueError(f"InteractionNetwork: norm is {norm!r}: expected 'layer', 'batch' or 'none'")
        self.hidden = hidden
        self.steps = steps
        self.node_inputs = node_inputs
        self.edge_inputs = edge_inputs
        self.recurrent = recurrent
        self.norm = norm
        self.bias = bias
        self.concat = concat

        def hidden_mlp(inputs: int) -> nn.Sequential:
            return _mlp([inputs, hidden, hidden, hidden], norm, bias)

        def per_step(inputs: int) -> nn.Module:
            return hidden_mlp(inputs) if recurrent else nn.ModuleList(hidden_mlp(inputs) for _ in range(steps))

        self.node_encoder = hidden_mlp(node_inputs)
        self.edge_encoder = hidden_mlp(edge_inputs)
        self.edge_network = per_step((6 if concat else 3) * hidden)
        self.node_network = per_step((4 if concat else 3) * hidden)
        self.edge_decoder = hidden_mlp(hidden)
        self.edge_output_transform = _mlp([hidden, hidden, 1], norm, bias, relu_last=False)

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for module in self.modules():
            if isinstance(module, (nn.Linear, _BatchNorm)):
                module.reset_parameters()

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """The logits of the edges: their scores are the sigmoids of these.

        Args:
            x: [N, node_inputs], features of the nodes.
            edge_index: [2, E], int32 or int64, sources above targets.
            edge_attr: [E, edge_inputs], features of the edges.

        Returns:
            [E], of the dtype of the parameters (under autocast: of its dtype).

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, an edge that ends at no node (not while a CUDA graph is
                captured).
            TypeError: x or edge_attr that is no tensor.
        """
        src, dst = self._check(x, edge_index, edge_attr)
        x0 = x = _encode(self.node_encoder, x)
        e0 = e = _encode(self.edge_encoder, edge_attr)
        for step in range(self.steps):
            x, e = self._step(step, x, x0, e, e0, src, dst)
        return self.edge_output_transform(self.edge_decoder(e)).squeeze(1)  # type: ignore[no-any-return]

    def _step(
        self, step: int, x: Tensor, x0: Tensor, e: Tensor, e0: Tensor, src: Tensor, dst: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One message-passing step: the states of nodes [N, H] and edges [E, H] after it.

        This is the place for an operator that does a whole step on a GPU.
        """
        gather, sum_rows = torch.ops.starling.gather_rows, torch.ops.starling.sum_rows
        edge_network, node_network = self._networks(step)
        first = edge_network[0]
        assert isinstance(first, nn.Linear)
        # Columns of the first layer: [e, e0, x_src, x0_src, x_dst, x0_dst], or [e, x_src, x_dst].
        states = torch.cat([x, x0], 1) if self.concat else x
        own, of_source, of_target = torch.split(first.weight, states.shape[1], 1)
        sums = _add_product(first.bias, e, own[:, : self.hidden])
        if self.concat:
            sums = _add_product(sums, e0, own[:, self.hidden :])
        sums = sums + gather(torch.mm(states, of_source.t()), src)
        sums = sums + gather(torch.mm(states, of_target.t()), dst)
        e = _finish(edge_network, sums)
        if step + 1 < self.steps:
            nodes = x.shape[0]
            x = node_network(torch.cat([sum_rows(e, dst, nodes), sum_rows(e, src, nodes), states], 1))
        return x, e

    def _networks(self, step: int) -> tuple[nn.Sequential, nn.Sequential]:
        edge, node = self.edge_network, self.node_network
        if isinstance(edge, nn.ModuleList) and isinstance(node, nn.ModuleList):
            edge, node = edge[step], node[step]
        assert isinstance(edge, nn.Sequential) and isinstance(node, nn.Sequential)
        return edge, node

    def _check(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> tuple[Tensor, Tensor]:
        """Raises where the arguments do not fit. The nodes at which edges begin and end, [E] of int64 each."""
        name = type(self).__name__
        check_features(name, x, self.node_inputs)
        if not isinstance(edge_attr, Tensor):
            raise TypeError(f"{name}: edge_attr is a {type(edge_attr).__name__}: expected one tensor")
        if edge_index.dim() != 2 or edge_index.shape[0] != 2:
            raise ValueError(f"{name}: edge_index has shape {list(edge_index.shape)}: expected [2, edges]")
        if edge_index.dtype not in (torch.int32, torch.int64):
            raise ValueError(f"{name}: edge_index is {edge_index.dtype}: expected torch.int64 or torch.int32")
        edges = edge_index.shape[1]
        if edge_attr.dim() != 2 or edge_attr.shape[0] != edges or edge_attr.shape[1] != self.edge_inputs:
            raise ValueError(
                f"{name}: edge_attr has shape {list(edge_attr.shape)}: expected [{edges}, {self.edge_inputs}], "
                "a row per edge of edge_index"
            )
        weight = self.node_encoder[0].weight
        assert isinstance(weight, Tensor)
        for what, value in (("x", x), ("edge_attr", edge_attr)):
            if not value.is_floating_point():
                raise ValueError(f"{name}: {what} is {value.dtype}: expected {weight.dtype} as the parameters")
            if value.dtype == torch.float64 and weight.dtype != torch.float64:
                raise ValueError(f"{name}: {what} is {value.dtype}: expected {weight.dtype} as the parameters, or call double()")
        for what, value in (("x", x), ("edge_index", edge_index), ("edge_attr", edge_attr)):
            if value.device != weight.device:
                raise ValueError(f"{name}: {what} is on {value.device}: expected {weight.device} as the parameters")
        src, dst = torch.ops.starling.check_edges(edge_index, x.shape[0])
        return src, dst

    def extra_repr(self) -> str:
        variants = (("recurrent", self.recurrent), ("no biases", not self.bias), ("no concat", not self.concat))
        return ", ".join([f"hidden={self.hidden}", f"steps={self.steps}", f"norm={self.norm!r}", *(n for n, is_on in variants if is_on)])
