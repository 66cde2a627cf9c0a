"""PyG's GravNetConv, with Starling's neighbours in place of torch_cluster's.

    python examples/gravnet.py [--device cuda] [--events 2] [--hits 10000]

The layer is that of torch_geometric.nn.GravNetConv, which needs its own search (pyg-lib) to be installed: the same
formula and parameter names, so trained weights can be loaded. Here the search is an argument.
"""

import comparison
import torch
from torch import nn
from torch_geometric.nn import MessagePassing

import starling


class GravNetConv(MessagePassing):
    """out = lin_out1(x) + lin_out2([mean_j w_ij h_j ‖ max_j w_ij h_j]) over the k nearest in s = lin_s(x), the point itself
    included, with h = lin_h(x) and w_ij = exp(−10 |s_i − s_j|²)."""

    def __init__(self, inputs, outputs, space_dimensions, propagate_dimensions, k, knn_graph=starling.knn_graph):
        super().__init__(aggr=["mean", "max"])
        self.k = k
        self.knn_graph = knn_graph
        self.lin_s = nn.Linear(inputs, space_dimensions)
        self.lin_h = nn.Linear(inputs, propagate_dimensions)
        self.lin_out1 = nn.Linear(inputs, outputs, bias=False)
        self.lin_out2 = nn.Linear(2 * propagate_dimensions, outputs)

    def forward(self, x, batch=None):
        s, h = self.lin_s(x), self.lin_h(x)
        edges = self.knn_graph(s, self.k, batch, loop=True)
        weight = torch.exp(-10 * (s[edges[0]] - s[edges[1]]).square().sum(1))
        return self.lin_out1(x) + self.lin_out2(self.propagate(edges, x=h, weight=weight))

    def message(self, x_j, weight):
        return weight[:, None] * x_j


class Network(nn.Module):
    def __init__(self, knn_graph, features=8, width=32, k=16):
        super().__init__()
        self.first = GravNetConv(features, width, 4, 16, k, knn_graph)
        self.second = GravNetConv(width, width, 4, 16, k, knn_graph)
        self.out = nn.Linear(width, 2)

    def forward(self, x, batch):
        return self.out(self.second(self.first(x, batch).relu(), batch).relu())


if __name__ == "__main__":
    torch.manual_seed(1)
    comparison.compare(Network, 8, starling.knn_graph, comparison.read_arguments(__doc__.splitlines()[0]))
