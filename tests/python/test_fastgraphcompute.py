"""FastGraphCompute's layer and loss by its signatures, against its formulas written out in loops.

Its search has its tests in test_api.py, its layer against golden vectors in test_nn.py.
"""

import pytest
import torch
from torch import nn

from starling.fastgraphcompute import GravNetOp, ObjectCondensation, arctanhsq

HITS, EVENTS = 40, [0, 22, 22, 40]


def inputs():
    generator = torch.Generator().manual_seed(3)
    beta = torch.rand(HITS, 1, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    coords = torch.randn(HITS, 3, generator=generator, dtype=torch.float64)
    return beta.requires_grad_(), coords.requires_grad_(), torch.randint(-1, 4, (HITS, 1), generator=generator)


def loops(beta, coords, truth, splits, q_min=0.1, s_B=1.0, norm_payload=True):
    """FastGraphCompute's sums, event by event and object by object. An event without hits adds nothing here; there its
    noise is 0 / 0."""
    beta, truth = beta[:, 0], truth[:, 0]
    charge = arctanhsq(beta / 1.001) + q_min
    events = len(splits) - 1
    attraction, repulsion, of_beta = (beta.new_zeros(()) for _ in range(3))
    scaling = torch.zeros_like(beta)
    for begin, end in zip(splits, splits[1:]):
        rows = torch.arange(begin, end)
        objects = truth[rows][truth[rows] >= 0].unique()
        if begin < end:
            of_beta = of_beta + s_B * (beta[rows] * (truth[rows] < 0)).mean() / events
        for t in objects:
            mine, others = rows[truth[rows] == t], rows[truth[rows] != t]
            alpha = mine[beta[mine].argmax()]
            distance2 = (coords - coords[alpha]).square().sum(1)
            share = charge[alpha] / (len(objects) * events)
            attraction = attraction + share * (charge[mine] * distance2[mine]).sum() / len(mine)
            hinge = torch.relu(1 - torch.sqrt(distance2[others] + 1e-6))
            repulsion = repulsion + share * (charge[others] * hinge).sum() / len(others)
            penalty = 2 - 1e-3 * torch.logsumexp(beta[mine] / 1e-3, 0) - beta[mine].sum().clamp(0, 1)
            of_beta = of_beta + penalty / (len(objects) * events)
            weight = arctanhsq(beta[mine] / 1.001)
            weight = weight / weight.sum() if norm_payload else weight
            scaling = scaling.index_put((mine,), weight / (len(objects) * events))
    return attraction, repulsion, of_beta, scaling[:, None]


@pytest.mark.parametrize("options", [{}, {"q_min": 0.5, "s_B": 0.3}, {"norm_payload": False}])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_the_loss_is_the_one_in_loops(options, dtype, device):
    beta, coords, truth = inputs()
    expected = loops(beta, coords, truth, EVENTS, **options)
    loss = ObjectCondensation(**options)
    *terms, potential = loss(*(value.to(device) for value in (beta, coords, truth)), torch.tensor(EVENTS, dtype=dtype, device=device))
    assert potential is None
    generator = torch.Generator().manual_seed(4)
    payload = torch.rand(HITS, 1, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(terms, expected):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours.cpu(), theirs, atol=1e-12)
        # The last is a weight per hit: the gradient of the payload loss that it makes.
        one, other = ((value.cpu() * payload).sum() if value.dim() else value for value in (ours, theirs))
        for mine, golden in zip(*(torch.autograd.grad(v, (beta, coords), retain_graph=True, allow_unused=True) for v in (one, other))):
            golden = torch.zeros_like(mine) if mine is not None and golden is None else golden
            assert (mine is None and golden is None) or torch.allclose(mine, golden, atol=1e-10)


def test_options_of_the_loss_that_are_not_there():
    for text, options in {
        "fixed_repulsive_norm is 10.0: expected None": {"fixed_repulsive_norm": 10.0},
        "beta_scaling_epsilon is 0.1: expected 1e-3": {"beta_scaling_epsilon": 0.1},
        "v_beta_scaling is .*: expected arctanhsq": {"v_beta_scaling": torch.square},
        "weighted_obj_coordinates is 2.0: expected 0 to 1": {"weighted_obj_coordinates": 2.0},
    }.items():
        with pytest.raises(ValueError, match=text):
            ObjectCondensation(**options)
    beta, coords, truth = inputs()
    splits = torch.tensor(EVENTS)
    with pytest.raises(ValueError, match=r"beta has shape \[40\]: expected \[N, 1\]"):
        ObjectCondensation()(beta[:, 0], coords, truth, splits)
    with pytest.raises(ValueError, match=r"asso_idx has shape \[40\]: expected \[N, 1\]"):
        ObjectCondensation()(beta, coords, truth[:, 0], splits)
    assert ObjectCondensation(weighted_obj_coordinates=0.5)(beta, coords, truth, splits)[0].isfinite()


def test_the_layer_takes_the_arguments_by_name():
    layer = GravNetOp(
        in_channels=4, out_channels=8, space_dimensions=3, propagate_dimensions=5, k=6,
        output_activation=nn.ELU(), optimization_arguments={"n_bins": 10},
    )  # fmt: skip
    out, index, distance2, space = layer(torch.rand(10, 4), torch.tensor([0, 10], dtype=torch.int32))
    assert out.shape == (10, 8) and index.dtype == torch.int64 and distance2.shape == (10, 6) and space.shape == (10, 3)
    assert isinstance(layer.output_transformations[1], nn.ELU)
