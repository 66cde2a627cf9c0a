"""acorn's interaction network for tracking, and the same with Starling's: one import changes.

    python examples/interaction_network.py [--device cuda] [--events 2] [--hits 10000]

Before: from acorn.stages.edge_classifier import InteractionGNN2, whose formulas are below, since acorn is no package. After:
from starling.nn import InteractionNetwork. The parameters' names are the same, so trained weights can be loaded; of a
checkpoint, starling.convert.read_acorn makes the network. There are two and a half edges per hit.
"""

import comparison
import torch
from torch import nn

from starling.nn import InteractionNetwork


def mlp(widths, relu_last=True):
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [nn.Linear(inputs, outputs), nn.LayerNorm(outputs, elementwise_affine=False), nn.ReLU()]
    del modules[-2]  # the last layer has no normalisation
    return nn.Sequential(*modules if relu_last else modules[:-1])


class InteractionGNN2(nn.Module):
    """acorn's formulas, with a wide input per edge and sums by index."""

    def __init__(self, hidden, steps):
        super().__init__()
        width = [hidden] * 3
        self.node_encoder = mlp([12, *width])
        self.edge_encoder = mlp([6, *width])
        self.edge_network = nn.ModuleList(mlp([6 * hidden, *width]) for _ in range(steps))
        self.node_network = nn.ModuleList(mlp([4 * hidden, *width]) for _ in range(steps))
        self.edge_decoder = mlp([hidden, *width])
        self.edge_output_transform = mlp([hidden, hidden, 1], relu_last=False)

    def forward(self, x, edge_index, edge_attr):
        src, dst = edge_index
        x0, e0 = x, e = self.node_encoder(x), self.edge_encoder(edge_attr)
        for edge_network, node_network in zip(self.edge_network, self.node_network):
            x, e = torch.cat([x, x0], 1), torch.cat([e, e0], 1)
            e = edge_network(torch.cat([e, x[src], x[dst]], 1))
            nothing = e.new_zeros(x.shape[0], e.shape[1])
            messages = [nothing.index_add(0, end, e) for end in (dst, src)]
            x = node_network(torch.cat([*messages, x], 1))
            logits = self.edge_output_transform(self.edge_decoder(e))
        return logits.squeeze(-1)


def loss(model, x, edge_index, edge_attr):
    logits = model(x, edge_index, edge_attr)
    return nn.functional.binary_cross_entropy_with_logits(logits, (edge_attr[:, 0] > 0).to(logits.dtype)) + 0 * total(model)


def total(model):
    """So that the last node network, which feeds nothing, has a gradient in both models: 0."""
    return sum(parameter.sum() for parameter in model.parameters())


if __name__ == "__main__":
    torch.manual_seed(1)
    arguments = comparison.read_arguments(__doc__.splitlines()[0])
    x, batch, _ = comparison.make_hits(arguments, 12)
    first = batch * arguments.hits  # of the hit's event: edges stay within it
    src = torch.arange(len(x)).repeat_interleave(5)[::2]
    edge_index = torch.stack((src, first[src] + torch.randint(arguments.hits, src.shape)))
    inputs = (x, edge_index, torch.randn(len(src), 6))
    before, after = InteractionGNN2(48, 8), InteractionNetwork(48, 8)
    comparison.compare("plain torch, acorn's formulas", before, after, loss, inputs, arguments)
