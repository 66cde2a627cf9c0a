"""A dynamic graph CNN of PyG's DynamicEdgeConv, and the same with Starling's: one import changes.

    python examples/dynamic_edge_conv.py [--device cuda] [--events 2] [--hits 10000]

Before: from torch_geometric.nn import DynamicEdgeConv. After: from starling.nn import DynamicEdgeConv. The signature and
the parameters' names are the same, so trained weights can be loaded.
"""

import comparison
import torch
from torch import nn
from torch_geometric.nn import EdgeConv

from starling.nn import DynamicEdgeConv


class DynamicEdgeConvBefore(EdgeConv):
    """torch_geometric.nn.DynamicEdgeConv, which cannot be made where pyg-lib and torch_cluster are absent, with another
    search."""

    def __init__(self, nn, k, aggr="max"):
        super().__init__(nn, aggr)
        self.k = k
        self.knn_graph = comparison.knn_graph_before()[1]

    def forward(self, x, batch=None):
        return super().forward(x, self.knn_graph(x, self.k, batch, loop=True))


class Network(nn.Module):
    def __init__(self, DynamicEdgeConv, features=4, k=16, width=32):
        super().__init__()

        def layer(inputs):
            return nn.Sequential(nn.Linear(2 * inputs, width), nn.ReLU(), nn.Linear(width, width))

        self.first = DynamicEdgeConv(layer(features), k)
        self.second = DynamicEdgeConv(layer(width), k)
        self.out = nn.Linear(2 * width, 2)

    def forward(self, x, batch):
        first = self.first(x, batch)
        second = self.second(first, batch)
        return self.out(torch.cat((first, second), 1))


def loss(model, x, batch):
    return model(x, batch).square().mean()


if __name__ == "__main__":
    torch.manual_seed(1)
    arguments = comparison.read_arguments(__doc__.splitlines()[0])
    x, batch, _ = comparison.make_hits(arguments, 4)
    before, after = Network(DynamicEdgeConvBefore), Network(DynamicEdgeConv)
    comparison.compare(f"torch_geometric, {comparison.knn_graph_before()[0]}", before, after, loss, (x, batch), arguments)
