"""A network of FastGraphCompute's GravNetOp with its loss, and the same with Starling's: two imports change.

    python examples/fastgraphcompute.py [--device cuda] [--events 2] [--hits 10000]

Before: from fastgraphcompute.gnn_ops import GravNetOp
        from fastgraphcompute.object_condensation import ObjectCondensation
After:  from starling.fastgraphcompute import GravNetOp, ObjectCondensation

Where FastGraphCompute is not installed, its formulas in plain PyTorch stand for it here.
"""

import comparison
import torch
from torch import nn

from starling.fastgraphcompute import GravNetOp, ObjectCondensation, strict_batch_from_row_splits

try:
    from fastgraphcompute.gnn_ops import GravNetOp as GravNetOpBefore
    from fastgraphcompute.object_condensation import ObjectCondensation as ObjectCondensationBefore

    NAME = "FastGraphCompute"
except ImportError:
    NAME = f"its formulas, {comparison.knn_graph_before()[0]}"

    class GravNetOpBefore(comparison.GravNetBefore):
        """out = ReLU(Linear([x ‖ mean ‖ max])); the other values that it returns are left out."""

        def __init__(self, in_channels, out_channels, space_dimensions, propagate_dimensions, k):
            super().__init__(in_channels, out_channels, space_dimensions, propagate_dimensions, k)
            self.space_transformations, self.propagate_transformations = self.lin_s, self.lin_h
            del self.lin_s, self.lin_h, self.lin_out1, self.lin_out2
            both = nn.Linear(in_channels + 2 * propagate_dimensions, out_channels)
            self.output_transformations = nn.Sequential(both, nn.ReLU())

        def forward(self, x, row_splits):
            space, features = self.space_transformations(x), self.propagate_transformations(x)
            messages = self.aggregates(space, features, strict_batch_from_row_splits(row_splits))
            return self.output_transformations(torch.cat([x, messages], 1)), None, None, space

    class ObjectCondensationBefore(nn.Module):
        """Attraction, repulsion and the terms of β of FastGraphCompute's loss, with tensors [objects, hits] per event."""

        def forward(self, beta, coords, asso_idx, row_splits):
            totals = []
            for begin, end in zip(row_splits[:-1].tolist(), row_splits[1:].tolist()):
                b, x, truth = beta[begin:end, 0], coords[begin:end], asso_idx[begin:end, 0]
                charge = torch.arctanh(b / 1.001) ** 2 + 0.1
                member = truth[None] == truth[truth >= 0].unique()[:, None]
                alpha = torch.where(member, b[None], -1).argmax(1)
                distance2 = (x[None] - x[alpha][:, None]).square().sum(2)
                inside, outside = member.sum(1), (~member).sum(1).clamp_min(1)
                attraction = (member * charge[None] * distance2).sum(1) / inside
                hinge = torch.relu(1 - torch.sqrt(distance2 + 1e-6))
                repulsion = (~member * charge[None] * hinge).sum(1) / outside
                smooth = 1e-3 * torch.where(member, b[None] / 1e-3, -torch.inf).logsumexp(1)
                penalty = 2 - smooth - (member * b[None]).sum(1).clamp(0, 1)
                noise = (b * (truth < 0)).mean()
                means = [(charge[alpha] * potential).mean() for potential in (attraction, repulsion)]
                totals.append((*means, penalty.mean() + noise))
            return *(torch.stack(term).mean() for term in zip(*totals)), None, None


class Network(nn.Module):
    def __init__(self, GravNetOp, ObjectCondensation, features=8, width=32, k=16):
        super().__init__()
        self.first = GravNetOp(features, width, space_dimensions=4, propagate_dimensions=16, k=k)
        self.second = GravNetOp(width, width, space_dimensions=4, propagate_dimensions=16, k=k)
        self.out = nn.Linear(width, 4)
        self.condensation = ObjectCondensation()

    def forward(self, x, truth, row_splits):
        first, *_ = self.first(x, row_splits)
        second, *_ = self.second(first, row_splits)
        out = self.out(second)
        beta, coords = out[:, :1].sigmoid(), out[:, 1:]
        L_V, L_rep, L_b, *_ = self.condensation(beta, coords, truth, row_splits)
        return L_V + L_rep + L_b


def loss(model, x, truth, row_splits):
    return model(x, truth, row_splits)


if __name__ == "__main__":
    torch.manual_seed(1)
    arguments = comparison.read_arguments(__doc__.splitlines()[0])
    x, batch, jet = comparison.make_hits(arguments, 8)
    truth = torch.where(torch.arange(len(jet)) % 10 == 0, -1, jet)[:, None]
    row_splits = torch.arange(arguments.events + 1) * arguments.hits
    before, after = Network(GravNetOpBefore, ObjectCondensationBefore), Network(GravNetOp, ObjectCondensation)
    comparison.compare(NAME, before, after, loss, (x, truth, row_splits), arguments)
