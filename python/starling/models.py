"""Whole networks: layers of `starling.nn` that rebuild their graph, with dense layers between them.

===============  ==================================================================================================
`GravNetModel`   GravNet as FastGraphCompute's performance/gravnet_perfm.py has it; its parameters keep their names
`DGCNN`          the same with EdgeConv over the nearest neighbours in the features (arXiv:1801.07829)
===============  ==================================================================================================
"""

import torch
from torch import Tensor, nn

from .edge_conv import DynamicEdgeConv
from .events import check_features, row_splits_of_input
from .nn import GravNetConv, GravNetOp
from .search import check_sizes

__all__ = ["DGCNN", "GravNetModel"]


class _Network(nn.Module):
    """Two dense layers; per block a graph layer and three dense layers; two dense layers more."""

    def __init__(self, in_channels: int, out_channels: int, hidden: int, width: int, blocks: int, concat: bool) -> None:
        super().__init__()
        check_sizes(in_channels=in_channels, out_channels=out_channels, hidden=hidden, width=width, blocks=blocks)
        self.concat = concat
        self.fc1 = nn.Linear(in_channels, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.dense_after_gravnet = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, hidden), nn.ReLU(inplace=True),
                nn.Linear(hidden, hidden), nn.ReLU(inplace=True),
                nn.Linear(hidden, width), nn.ReLU(inplace=True),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.fc3 = nn.Linear(blocks * width if concat else width, hidden)
        self.fc4 = nn.Linear(hidden, out_channels)

    def graph_layer(self, block: int, x: Tensor, row_splits: Tensor | None) -> Tensor:
        """The graph layer of a block: [N, hidden or width] to [N, width]."""
        raise NotImplementedError

    def forward(self, x: Tensor, batch: Tensor | None = None, *, row_splits: Tensor | None = None) -> Tensor:
        """Applies the network to x [N, in_channels].

        Args:
            x: features of the hits, those of an event in consecutive rows.
            batch: [N], the event of each hit, ascending; or
            row_splits: [B + 1], the first row of each event, then N. Neither: one event.

        Returns:
            [N, out_channels], without an activation.

        Raises:
            ValueError, TypeError: as the layers.
        """
        name = type(self).__name__
        check_features(name, x, self.fc1.in_features)
        row_splits = row_splits_of_input(name, x, batch, row_splits)
        x = torch.relu_(self.fc2(torch.relu_(self.fc1(x))))
        outputs = []
        for block, dense in enumerate(self.dense_after_gravnet):
            x = dense(self.graph_layer(block, x, row_splits))
            outputs.append(x)
        x = torch.cat(outputs, 1) if self.concat else x
        return self.fc4(torch.relu_(self.fc3(x)))  # type: ignore[no-any-return]


class GravNetModel(_Network):
    """The GravNet network of FastGraphCompute's performance script, in other places the seed model.

    With F = hidden, W = width and ReLU after every dense layer but the last: dense in → F, F → F; per block GravNet
    (F → W in the first, W → W after), dense W → F, F → F, F → W; dense W → F, F → out. No norms, no skip connections.
    The defaults with 64 features in and 10 out have 215,578 parameters. docs/definitions.md, Shower network, has the table.

    Args:
        in_channels: features of a hit.
        out_channels: values per hit.
        hidden: width of the dense layers.
        width: of what GravNet layers give.
        blocks: number of GravNet layers.
        space_dimensions, propagate_dimensions, k, factor, subtract: of the GravNet layers.
        concat: the dense layers at the end read the outputs of all blocks side by side, not only the last.
        form: "pyg": the layers are :class:`starling.nn.GravNetConv`, without an activation. "op": they are
            :class:`starling.nn.GravNetOp` with its ReLU, as in FastGraphCompute: factor 10, nothing subtracted.

    >>> _ = torch.manual_seed(0)
    >>> model = GravNetModel(64, 10)
    >>> sum(parameter.numel() for parameter in model.parameters())
    215578
    >>> model(torch.rand(100, 64)).shape
    torch.Size([100, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        hidden: int = 128,
        width: int = 64,
        blocks: int = 4,
        space_dimensions: int = 4,
        propagate_dimensions: int = 32,
        k: int = 64,
        factor: float = 10.0,
        subtract: bool = False,
        concat: bool = False,
        form: str = "pyg",
    ) -> None:
        super().__init__(in_channels, out_channels, hidden, width, blocks, concat)
        if form not in ("pyg", "op"):
            raise ValueError(f"form is {form!r}: expected 'pyg' or 'op'")
        if form == "op" and (factor != 10 or subtract):
            raise ValueError(f"factor is {factor}, subtract {subtract} with form 'op': expected 10 and False")

        def layer(inputs: int) -> nn.Module:
            sizes = (inputs, width, space_dimensions, propagate_dimensions, k)
            return GravNetConv(*sizes, factor=factor, subtract=subtract) if form == "pyg" else GravNetOp(*sizes)

        self.gravnet_layers = nn.ModuleList(layer(width if block else hidden) for block in range(blocks))

    def graph_layer(self, block: int, x: Tensor, row_splits: Tensor | None) -> Tensor:
        layer = self.gravnet_layers[block]
        if isinstance(layer, GravNetConv):
            return layer(x, row_splits=row_splits)  # type: ignore[no-any-return]
        return layer(x, row_splits).out  # type: ignore[no-any-return]


class DGCNN(_Network):
    """A dynamic graph CNN of the widths of :class:`GravNetModel`: its blocks begin with EdgeConv in place of GravNet.

    The layer of a block is :class:`starling.nn.DynamicEdgeConv` with the maximum over the k nearest in the current features,
    and an MLP 2 F → W, ReLU, W → W, F being hidden in the first block and W = width after. The defaults with 64 features in
    and 10 out have 224,650 parameters.

    Args:
        in_channels, out_channels, hidden, width, blocks, k, concat: as those of GravNetModel.

    >>> _ = torch.manual_seed(0)
    >>> model = DGCNN(64, 10)
    >>> sum(parameter.numel() for parameter in model.parameters())
    224650
    >>> model(torch.rand(100, 64)).shape
    torch.Size([100, 10])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        hidden: int = 128,
        width: int = 64,
        blocks: int = 4,
        k: int = 64,
        concat: bool = False,
    ) -> None:
        super().__init__(in_channels, out_channels, hidden, width, blocks, concat)

        def layer(inputs: int) -> nn.Module:
            return DynamicEdgeConv(nn.Sequential(nn.Linear(2 * inputs, width), nn.ReLU(), nn.Linear(width, width)), k)

        self.edgeconv_layers = nn.ModuleList(layer(width if block else hidden) for block in range(blocks))

    def graph_layer(self, block: int, x: Tensor, row_splits: Tensor | None) -> Tensor:
        return self.edgeconv_layers[block](x, row_splits=row_splits)  # type: ignore[no-any-return]
