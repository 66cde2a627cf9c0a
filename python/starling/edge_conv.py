"""EdgeConv and DynamicEdgeConv: see starling.nn."""

import torch
import torch.nn.functional
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .events import check_features, is_integer, row_splits_of_input
from .search import check_count, neighbors

# The limits of the fused operator (include/starling/edge_conv.h).
_WIDEST = 1024
_WIDEST_FUSED = 256

# Modules that treat each row by itself, so that rows may be given to them in pieces.
_BY_ROW = (
    nn.Sequential, nn.Identity, nn.Linear, nn.LayerNorm, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU,
    nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.Hardtanh,
    nn.Hardswish, nn.Hardsigmoid,
)  # fmt: skip
_EDGES_AT_ONCE = 2**18


def has_hooks(module: nn.Module) -> bool:
    """Whether a call of the module runs more than its forward(): weight_norm, spectral_norm and prune work so."""
    hooks = (
        module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks,
    )  # fmt: skip
    return any(hooks)


def _check_integer(name: str, what: str, index: Tensor) -> None:
    if not is_integer(index.dtype):
        raise ValueError(f"{name}: {what} is {index.dtype}: expected an integer dtype")


def _linear_layers(module: nn.Module) -> tuple[list[nn.Linear], bool] | None:
    """The layers of Linear[, ReLU, Linear]*[, ReLU], and whether the ReLU at the end is there; None for all else."""
    modules = list(module) if type(module) is nn.Sequential else [module]
    if not modules or any(type(m) is not (nn.ReLU if i % 2 else nn.Linear) for i, m in enumerate(modules)):
        return None
    if any(has_hooks(m) for m in (module, *modules)):
        return None
    return [m for m in modules if isinstance(m, nn.Linear)], len(modules) % 2 == 0


class EdgeConv(nn.Module):
    """EdgeConv: x_i' is the aggregate over the neighbours j of nn([x_i ‖ x_j − x_i]).

    docs/definitions.md, EdgeConv, writes it down. The first Linear layer is multiplied once per node, not per edge, and
    no [N, k, features] tensor is made, forward or backward, where `nn` is one of these with `aggr`:

    =========================================  =================
    Linear, or Linear, ReLU                    max, mean, sum
    Linear, ReLU, Linear                       max, mean, sum
    Linear, ReLU, Linear, ReLU                 max
    =========================================  =================

    the Linear layers in an nn.Sequential, up to 1,024 features wide; for the maximum of two layers 256; none of them
    with hooks. There float32 products on a GPU run on tensor cores: in TF32 where
    torch.backends.cuda.matmul.allow_tf32 says so or the operands are float16 or bfloat16, otherwise about as exact as
    float32.

    Any other `nn` is applied to the edges' features as they stand: 2^18 edges at once, which backward computes anew,
    where all its modules are Linear layers, activations, LayerNorm, Dropout or Sequentials of these; all edges at once
    where there is another, such as BatchNorm, which may look at several rows.

    Of equal maxima the first in the list gets the gradient. A hit without neighbours gets zeros. Every run gives the
    same bytes. A state_dict of torch_geometric's EdgeConv loads.

    Args:
        nn: a module of 2 F features to O.
        aggr: "max", "mean" or "sum" ("add" is "sum").

    >>> _ = torch.manual_seed(0)
    >>> conv = EdgeConv(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5)))
    >>> conv(torch.rand(4, 3), neighbours=torch.tensor([[0, 1], [1, 2], [2, -1], [3, 0]])).shape
    torch.Size([4, 5])
    """

    def __init__(self, nn: nn.Module, aggr: str = "max") -> None:
        super().__init__()
        if aggr not in ("max", "mean", "sum", "add"):
            raise ValueError(f"{type(self).__name__}: aggr is {aggr!r}: expected 'max', 'mean' or 'sum'")
        self.nn = nn
        self.aggr = "sum" if aggr == "add" else aggr

    def reset_parameters(self) -> None:
        """Draws all parameters anew."""
        for module in self.nn.modules():
            reset = getattr(module, "reset_parameters", None)
            if reset is not None:
                reset()

    def forward(
        self,
        x: Tensor | tuple[Tensor, Tensor],
        edge_index: Tensor | None = None,
        *,
        neighbours: Tensor | None = None,
    ) -> Tensor:
        """Applies the layer to x [N, F].

        Args:
            x: features; or those of the sources and of the targets, where these are different points.
            edge_index: [2, E], int64, sources above their targets, in any order. A tensor whose first size is not 2 is
                taken for `neighbours`.
            neighbours: [N, k], int64: the sources of each target, −1 anywhere for none; instead of edge_index.

        Returns:
            [N, O].

        Raises:
            ValueError: shapes, dtypes or devices that do not fit, edge_index and neighbours both or none, on the CPU an
                index that is no row of x. (On a GPU such an edge counts as none.)
            TypeError: x that is neither one tensor nor two.
        """
        name = type(self).__name__
        if (edge_index is None) == (neighbours is None):
            raise ValueError(f"{name}: expected edge_index or neighbours, one of them")
        pair = (x, x) if isinstance(x, Tensor) else x
        if len(pair) != 2 or not all(isinstance(points, Tensor) for points in pair):
            raise TypeError(f"{name}: x is {' and '.join(type(points).__name__ for points in pair)}: expected one tensor or two")
        source, target = pair
        if source.dim() != 2 or target.dim() != 2 or source.shape[1] != target.shape[1]:
            raise ValueError(
                f"{name}: x has shape {tuple(source.shape)} and {tuple(target.shape)}: expected [N, features], alike"
            )
        if edge_index is not None and edge_index.dim() == 2 and edge_index.shape[0] != 2:
            edge_index, neighbours = None, edge_index
        if edge_index is None:
            assert neighbours is not None
            if neighbours.dim() != 2 or neighbours.shape[0] != target.shape[0]:
                raise ValueError(
                    f"{name}: neighbours has shape {tuple(neighbours.shape)}: expected [{target.shape[0]}, k]"
                )
            _check_integer(name, "neighbours", neighbours)
            return self._over_lists(source, target, neighbours.long(), None)
        if edge_index.dim() != 2:
            raise ValueError(f"{name}: edge_index has shape {tuple(edge_index.shape)}: expected [2, edges]")
        _check_integer(name, "edge_index", edge_index)
        sources, targets = edge_index.long()
        if targets.is_cpu and targets.numel() > 0 and not torch.compiler.is_compiling():
            for what, rows, count in (("source", sources, source.shape[0]), ("target", targets, target.shape[0])):
                least, most = (int(value) for value in rows.aminmax())
                if least < 0 or most >= count:
                    wrong = least if least < 0 else most
                    raise ValueError(f"{name}: edge_index has {what} {wrong}: expected 0 to {count - 1}")
        # Stable: of equal maxima the first edge counts.
        sorted_targets, order = targets.sort(stable=True)
        splits = torch.searchsorted(sorted_targets, torch.arange(target.shape[0] + 1, device=targets.device))
        return self._over_lists(source, target, sources[order], splits)

    def _over_lists(self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor | None) -> Tensor:
        """index [N, k], or [E] with row splits [N + 1]."""
        split = _linear_layers(self.nn)
        if split is not None:
            layers, ends_with_relu = split
            is_max = self.aggr == "max"
            fits = layers[0].out_features <= (_WIDEST if len(layers) == 1 or not is_max else _WIDEST_FUSED)
            if fits and len(layers) == 1:
                return self._one_layer(source, target, index, splits, layers[0], ends_with_relu)
            if fits and len(layers) == 2 and is_max and layers[1].out_features <= _WIDEST_FUSED:
                return self._max_of_two_layers(source, target, index, splits, layers, ends_with_relu)
            if fits and len(layers) == 2 and not is_max and not ends_with_relu:
                return self._mean_of_two_layers(source, target, index, splits, layers)
        return self._any_module(source, target, index, splits)

    def _by_node(self, source: Tensor, target: Tensor, layer: nn.Linear) -> tuple[Tensor, Tensor]:
        """The first layer's shares (W₁ − W₂) x_i + b and W₂ x_j."""
        features = target.shape[1]
        if layer.in_features != 2 * features:
            raise ValueError(
                f"{type(self).__name__}: x has {features} features and nn takes {layer.in_features}: expected "
                f"{2 * features}"
            )
        of_self, of_other = layer.weight[:, :features], layer.weight[:, features:]
        linear = torch.nn.functional.linear
        return linear(target, of_self - of_other, layer.bias), linear(source, of_other)

    def _one_layer(
        self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor | None, layer: nn.Linear, relu: bool
    ) -> Tensor:
        p, q = self._by_node(source, target, layer)
        is_max = self.aggr == "max"
        out, _, _ = torch.ops.starling.edge_conv(p, q, index, splits, None, None, self.aggr, relu and not is_max)
        # The maximum of the ReLUs is the ReLU of the maximum.
        return out.relu() if relu and is_max else out  # type: ignore[no-any-return]

    def _max_of_two_layers(
        self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor | None, layers: list[nn.Linear], relu: bool
    ) -> Tensor:
        p, q = self._by_node(source, target, layers[0])
        out, _, _ = torch.ops.starling.edge_conv(p, q, index, splits, layers[1].weight, layers[1].bias, "max", True)
        return out.relu() if relu else out  # type: ignore[no-any-return]

    def _mean_of_two_layers(
        self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor | None, layers: list[nn.Linear]
    ) -> Tensor:
        # The last layer of a mean or sum is the mean or sum of the last layer, but for the bias, which a mean has once
        # where the list is not empty and a sum as often as there are edges.
        p, q = self._by_node(source, target, layers[0])
        hidden, _, found = torch.ops.starling.edge_conv(p, q, index, splits, None, None, self.aggr, True)
        out = torch.nn.functional.linear(hidden, layers[1].weight)
        if layers[1].bias is None:
            return out
        times = found if self.aggr == "sum" else found.clamp(max=1)
        return out + times[:, None].to(out.dtype) * layers[1].bias.to(out.dtype)  # type: ignore[no-any-return]

    def _any_module(self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor | None) -> Tensor:
        if splits is None:
            present = index >= 0
            splits = torch.nn.functional.pad(present.sum(1).cumsum(0), (1, 0))
            index = index[present]
        edges = index.shape[0]
        if not all(type(module) in _BY_ROW for module in self.nn.modules()) or edges <= _EDGES_AT_ONCE:
            return self._edges(source, target, index, splits)
        # Whole rows, up to about so many edges.
        cuts = torch.searchsorted(splits, torch.arange(0, edges, _EDGES_AT_ONCE, device=splits.device), right=True) - 1
        rows = sorted({0, *cuts.tolist(), target.shape[0]})
        pieces = []
        for begin, end in zip(rows[:-1], rows[1:]):
            first, last = splits[begin], splits[end]
            arguments = (source, target[begin:end], index[first:last], splits[begin : end + 1] - first)
            pieces.append(
                checkpoint(self._edges, *arguments, use_reentrant=False)
                if torch.is_grad_enabled()
                else self._edges(*arguments)
            )
        return torch.cat(pieces)

    def _edges(self, source: Tensor, target: Tensor, index: Tensor, splits: Tensor) -> Tensor:
        """The edges' messages by `nn` and their aggregate: sums of one order, where indexing would have none."""
        rows = torch.repeat_interleave(
            torch.arange(target.shape[0], device=splits.device), splits.diff(), output_size=index.shape[0]
        )
        own = _rows_of(target, rows)
        messages = self.nn(torch.cat([own, _rows_of(source, index) - own], 1))
        places = torch.arange(index.shape[0], device=index.device)
        return _aggregate(messages, torch.where(index < 0, -1, places), splits, self.aggr)

    def extra_repr(self) -> str:
        return f"aggr={self.aggr!r}"


def _aggregate(messages: Tensor, index: Tensor, splits: Tensor | None, aggr: str) -> Tensor:
    """Aggregates of rows [M, F] over lists."""
    rows = index.shape[0] if splits is None else splits.shape[0] - 1
    blocks = [
        torch.ops.starling.edge_conv(block.new_zeros(rows, block.shape[1]), block, index, splits, None, None, aggr)[0]
        for block in torch.split(messages, _WIDEST, 1)
    ]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, 1)


def _rows_of(x: Tensor, rows: Tensor) -> Tensor:
    """x[rows], 0 where a row is −1; the gradient adds up in the order of `rows`."""
    return _aggregate(x, rows[:, None], None, "sum")


class DynamicEdgeConv(EdgeConv):
    """EdgeConv over the k nearest neighbours in the input's features, the hit itself among them.

    Args:
        nn, aggr: as those of EdgeConv.
        k: neighbours of a hit, itself included.

    >>> _ = torch.manual_seed(0)
    >>> DynamicEdgeConv(nn.Linear(6, 8), k=2)(torch.rand(5, 3), batch=torch.tensor([0, 0, 0, 1, 1])).shape
    torch.Size([5, 8])
    """

    def __init__(self, nn: nn.Module, k: int, aggr: str = "max") -> None:
        super().__init__(nn, aggr)
        check_count("k", k)
        self.k = k

    def forward(  # type: ignore[override]
        self, x: Tensor, batch: Tensor | None = None, *, row_splits: Tensor | None = None
    ) -> Tensor:
        """Applies the layer to x [N, F].

        Args:
            x: features of the hits, those of an event in consecutive rows. Their gradient does not flow through the
                choice of neighbours.
            batch: [N], the event of each hit, ascending; or
            row_splits: [B + 1], the first row of each event, then N. Neither: one event.

        Returns:
            [N, O].

        Raises:
            ValueError: as EdgeConv; `batch` and `row_splits` both, a feature that is not finite.
            TypeError: x or batch that is no tensor, such as a pair of them.
        """
        check_features("DynamicEdgeConv", x)
        row_splits = row_splits_of_input("DynamicEdgeConv", x, batch, row_splits)
        found = neighbors(x.detach(), self.k, row_splits)
        return super().forward(x, neighbours=found.index)

    def extra_repr(self) -> str:
        return f"k={self.k}, aggr={self.aggr!r}"
