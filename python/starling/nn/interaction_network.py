"""InteractionNetwork: see starling.nn."""

import contextlib
import itertools

import torch
import torch.nn.functional
from torch import Tensor, nn

from .. import _library  # noqa: F401
from ..edge_conv import has_hooks
from ..events import check_features
from ..search import check_sizes
from .quant import QuantIdentity, Quantisation, QuantLinear

_WIDEST = 1024  # the limits of a model file (include/starling/interaction_network.h)
_MOST_STEPS = 64
_NORMS = ("layer", "batch", "none")
_BATCH_NORM_EPSILON = 6e-5
_WIDEST_FUSED = 128  # kMaxTrainedWidth of include/starling/interaction_step.h


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


def _mlp(
    name: str, widths: list[int], norm: str, bias: bool, quantisation: Quantisation | None, *, relu_last: bool = True
) -> nn.Sequential:
    """Linear, normalisation, ReLU, …; the last Linear has no normalisation, and a ReLU where `relu_last`.

    A quantised one begins with what rounds its input, as in Brevitas' models.
    """
    layers: list[nn.Linear] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        if quantisation is None:
            layers.append(nn.Linear(inputs, outputs, bias))
        else:
            layers.append(quantisation.linear(f"{name}.{layer}", inputs, outputs, bias))
    modules: list[nn.Module] = [] if quantisation is None else [quantisation.input(name, layers[0])]
    for layer, linear in enumerate(layers):
        modules.append(linear)
        last = layer == len(layers) - 1
        if norm != "none" and not last:
            width = linear.out_features
            normalisation = _BatchNorm(width) if norm == "batch" else nn.LayerNorm(width, elementwise_affine=False)
            modules.append(normalisation if quantisation is None else quantisation.normalisation(f"{name}.{layer}", normalisation))
        if relu_last or not last:
            following = None if last else layers[layer + 1]
            modules.append(nn.ReLU() if quantisation is None else quantisation.relu(f"{name}.{layer}", following))
    return nn.Sequential(*modules)


def _is_called(mlp: nn.Sequential) -> bool:
    """Whether an MLP must be called as a module, since a call of its first layer runs more than that layer's products: hooks,
    by which torch.nn.utils.prune and spectral_norm work, too."""
    return has_hooks(mlp) or has_hooks(mlp[0]) or (not isinstance(mlp[0], nn.Linear) and has_hooks(mlp[1]))


def _joined(mlp: nn.Sequential) -> Tensor:
    """The parameters of an MLP in float32, one after the other, as fused operators take them."""
    layers = (module for module in mlp if isinstance(module, nn.Linear))
    arrays = (array for layer in layers for array in (layer.weight, layer.bias) if array is not None)
    return torch.cat([array.reshape(-1) for array in arrays]).float()


def _finish(mlp: nn.Sequential, sums: Tensor) -> Tensor:
    """The rest of an MLP after the products of its first layer."""
    modules = list(mlp)
    for module in modules[1 if isinstance(modules[0], nn.Linear) else 2 :]:
        sums = module(sums)
    return sums


def _encode(mlp: nn.Sequential, features: Tensor) -> Tensor:
    """Features have more digits than 16 bits hold: the first layer multiplies them in float32 at least, under autocast too."""
    first = mlp[0]
    if not isinstance(first, nn.Linear) or _is_called(mlp):  # quantised, or with hooks
        return mlp(features)  # type: ignore[no-any-return]
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

    Where a layer has hooks, as those that torch.nn.utils.prune and spectral_norm leave, its MLP is called as it is, with a
    [E, 6 H] tensor; parametrizations need none.

    Under autocast, and as a model of float16 or bfloat16, the first layer of both encoders is still computed in float32.

    On CUDA a step in float32 or bfloat16 is one fused operator, which keeps the states of nodes and edges alone, for a
    network up to 128 wide without batch normalisation, hooks in its steps and quantisation. It is differentiable once.

    Args:
        hidden: H, the hidden width, 1 to 1,024.
        steps: N, message-passing steps, 1 to 64.
        node_inputs, edge_inputs: features of a node and of an edge.
        recurrent: all steps share one edge network and one node network.
        norm: "layer", "batch" (by the statistics of the input, also in evaluation) or "none".
        bias: whether the Linear layers have biases.
        concat: the outputs of the encoders go into every step.
        quantisation: the bits of weights, biases, activations and other sites: the network is then one of quantisation-aware
            training, computed in float32 (float64), under autocast too. Its MLPs begin with a QuantIdentity, so that parameters'
            names are those of the same model of Brevitas' layers. None is a network in float.

    Raises:
        ValueError: an option out of range, a layer in `quantisation` that the network does not have.

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
        quantisation: Quantisation | None = None,
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

        self.quantisation = quantisation

        def hidden_mlp(name: str, inputs: int) -> nn.Sequential:
            return _mlp(name, [inputs, hidden, hidden, hidden], norm, bias, quantisation)

        def per_step(name: str, inputs: int) -> nn.Module:
            if recurrent:
                return hidden_mlp(f"{name}.0", inputs)
            return nn.ModuleList(hidden_mlp(f"{name}.{step}", inputs) for step in range(steps))

        self.node_encoder = hidden_mlp("node_encoder", node_inputs)
        self.edge_encoder = hidden_mlp("edge_encoder", edge_inputs)
        self.edge_network = per_step("edge_network", (6 if concat else 3) * hidden)
        self.node_network = per_step("node_network", (4 if concat else 3) * hidden)
        self.edge_decoder = hidden_mlp("edge_decoder", hidden)
        self.edge_output_transform = _mlp("edge_output", [hidden, hidden, 1], norm, bias, quantisation, relu_last=False)
        if quantisation is not None:
            self.message_sums = nn.ModuleList(quantisation.sums() for _ in range(1 if recurrent else steps - 1))
            self._check_names(quantisation)

    def _check_names(self, quantisation: Quantisation) -> None:
        """Raises where a layer of other bits is none of the network."""
        mlps = {"node_encoder": 3, "edge_encoder": 3, "edge_decoder": 3, "edge_output": 2}
        for step in range(1 if self.recurrent else self.steps):
            mlps |= {f"edge_network.{step}": 3, f"node_network.{step}": 3}
        names = {*mlps, *(f"{mlp}.{layer}" for mlp, layers in mlps.items() for layer in range(layers)), "edge_network", "node_network"}
        for name in quantisation.layers:
            if name not in names:
                raise ValueError(f"quantisation: layers has {name!r}: expected an MLP or a layer of this network, such as edge_network.0.1")

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
        if self.quantisation is not None and torch.is_autocast_enabled(x.device.type):
            with torch.autocast(x.device.type, enabled=False):
                return self._logits(x, edge_attr, src, dst)
        return self._logits(x, edge_attr, src, dst)

    def _logits(self, x: Tensor, edge_attr: Tensor, src: Tensor, dst: Tensor) -> Tensor:
        x0 = x = _encode(self.node_encoder, x)
        e0 = e = _encode(self.edge_encoder, edge_attr)
        lists: list[Tensor] = []
        if self._is_fused(x):
            src, dst = src.int(), dst.int()
            lists = [part for ends in (src, dst) for part in torch.ops.starling.edges_of_nodes(ends, x.shape[0])]
        for step in range(self.steps):
            x, e = self._step(step, x, x0, e, e0, src, dst, lists)
        return self.edge_output_transform(self.edge_decoder(e)).squeeze(1)  # type: ignore[no-any-return]

    def _is_fused(self, states: Tensor) -> bool:
        """Whether the steps are fused operators."""
        plain = states.is_cuda and states.dtype in (torch.float32, torch.bfloat16) and self.quantisation is None
        if not plain or self.norm == "batch" or self.hidden > _WIDEST_FUSED:
            return False
        return not any(has_hooks(module) for part in (self.edge_network, self.node_network) for module in part.modules())

    def _step(
        self, step: int, x: Tensor, x0: Tensor, e: Tensor, e0: Tensor, src: Tensor, dst: Tensor, lists: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """One message-passing step: the states of nodes [N, H] and edges [E, H] after it. `lists`, those of edges_of_nodes for
        src and dst, are empty unless the step is fused.
        """
        gather, sum_rows = torch.ops.starling.gather_rows, torch.ops.starling.sum_rows
        edge_network, node_network = self._networks(step)
        if lists:
            first = (x0, e0) if self.concat else (None, None)
            of_nodes = _joined(node_network) if step + 1 < self.steps else None
            edges, nodes = torch.ops.starling.interaction_step(
                x, first[0], e, first[1], src, dst, lists, _joined(edge_network), of_nodes, self.bias, self.norm == "layer"
            )
            return nodes, edges
        states = torch.cat([x, x0], 1) if self.concat else x
        own = [e, e0] if self.concat else [e]
        if _is_called(edge_network):
            e = edge_network(torch.cat([*own, gather(states, src), gather(states, dst)], 1))
        else:
            of_nodes, of_edges, weight, bias = self._first_layer(edge_network, states, own, src, dst)
            # Columns of the first layer: [e, e0, x_src, x0_src, x_dst, x0_dst], or [e, x_src, x_dst].
            columns, of_source, of_target = torch.split(weight, states.shape[1], 1)
            sums = bias
            for rows, part in zip(of_edges, torch.split(columns, self.hidden, 1)):
                sums = _add_product(sums, rows, part)
            sums = sums + gather(torch.mm(of_nodes, of_source.t()), src)
            sums = sums + gather(torch.mm(of_nodes, of_target.t()), dst)
            e = _finish(edge_network, sums)
        if step + 1 < self.steps:
            nodes = x.shape[0]
            messages = torch.cat([sum_rows(e, dst, nodes), sum_rows(e, src, nodes)], 1)
            if self.quantisation is not None:
                messages = self.message_sums[0 if self.recurrent else step](messages)
            x = node_network(torch.cat([messages, states], 1))
        return x, e

    def _first_layer(
        self, mlp: nn.Sequential, states: Tensor, of_edges: list[Tensor], src: Tensor, dst: Tensor
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor | None]:
        """What the first layer of an edge network multiplies, of nodes and of edges, its weights and its bias."""
        front, first = mlp[0], mlp[1]
        if isinstance(front, nn.Linear):
            return states, of_edges, front.weight, front.bias
        scale = None
        if isinstance(front, QuantIdentity):
            # One scale serves the whole input, so nodes are rounded before they are gathered. Only a percentile of the
            # first forwards of a training is over all rows as they are gathered.
            gather = torch.ops.starling.gather_rows
            whole = torch.cat([*of_edges, gather(states, src), gather(states, dst)], 1) if front.collects else of_edges[0]
            threshold = front.threshold_of(whole)
            states, scale = front.quantise(states, threshold)
            of_edges = [front.quantise(rows, threshold).value for rows in of_edges]
        assert isinstance(first, nn.Linear)
        if not isinstance(first, QuantLinear):
            return states, of_edges, first.weight, first.bias
        weight = first.quant_weight()
        return states, of_edges, weight.value, first.quant_bias(weight.scale, scale)

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
        weight = self.node_encoder[0 if self.quantisation is None else 1].weight
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
