"""A dynamic graph CNN of PyG's EdgeConv, with Starling's neighbours in place of torch_cluster's.

    python examples/dynamic_edge_conv.py [--device cuda] [--events 2] [--hits 10000]

torch_geometric.nn.DynamicEdgeConv is EdgeConv over the k nearest points in the current features. These few lines give it
another search. The parameters keep their names, so trained weights can be loaded. The search takes features of up to 16
dimensions.
"""

import comparison
import torch
from torch import nn
from torch_geometric.nn import EdgeConv

import starling


class DynamicEdgeConv(EdgeConv):
    def __init__(self, nn, k, aggr="max", knn_graph=starling.knn_graph, **kwargs):
        super().__init__(nn, aggr, **kwargs)
        self.k = k
        self.knn_graph = knn_graph

    def forward(self, x, batch=None):
        return super().forward(x, self.knn_graph(x, self.k, batch, loop=True))


class Network(nn.Module):
    def __init__(self, knn_graph, features=4, k=16, width=16):
        super().__init__()

        def layer(inputs):
            return nn.Sequential(nn.Linear(2 * inputs, width), nn.ReLU(), nn.Linear(width, width))

        self.first = DynamicEdgeConv(layer(features), k, knn_graph=knn_graph)
        self.second = DynamicEdgeConv(layer(width), k, knn_graph=knn_graph)
        self.out = nn.Linear(2 * width, 2)

    def forward(self, x, batch):
        first = self.first(x, batch)
        second = self.second(first, batch)
        return self.out(torch.cat((first, second), 1))


if __name__ == "__main__":
    torch.manual_seed(1)
    comparison.compare(Network, 4, starling.knn_graph, comparison.read_arguments(__doc__.splitlines()[0]))
