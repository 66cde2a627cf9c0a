"""A network of PyG's GravNetConv, and the same with Starling's: one import changes.

    python examples/gravnet.py [--device cuda] [--events 2] [--hits 10000]

Before: from torch_geometric.nn import GravNetConv. After: from starling.nn import GravNetConv. The signature and the
parameters' names are the same, so trained weights can be loaded.
"""

import comparison
import torch
from torch import nn

from starling.nn import GravNetConv


class Network(nn.Module):
    def __init__(self, GravNetConv, features=8, width=32, k=16):
        super().__init__()
        self.first = GravNetConv(features, width, space_dimensions=4, propagate_dimensions=16, k=k)
        self.second = GravNetConv(width, width, space_dimensions=4, propagate_dimensions=16, k=k)
        self.out = nn.Linear(width, 2)

    def forward(self, x, batch):
        return self.out(self.second(self.first(x, batch).relu(), batch).relu())


def loss(model, x, batch):
    return model(x, batch).square().mean()


if __name__ == "__main__":
    torch.manual_seed(1)
    arguments = comparison.read_arguments(__doc__.splitlines()[0])
    x, batch, _ = comparison.make_hits(arguments, 8)
    before, after = Network(comparison.GravNetBefore), Network(GravNetConv)
    comparison.compare(f"torch_geometric, {comparison.knn_graph_before()[0]}", before, after, loss, (x, batch), arguments)
