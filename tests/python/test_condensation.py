"""Clustering of object condensation: the golden vectors, a plain loop, and every way torch runs it."""

import json
import os
from pathlib import Path

import pytest
import torch

import starling

GOLDEN = Path(os.environ.get("STARLING_DATA", Path(__file__).parents[3] / "shared/data")) / "dynamic_networks"


def cases():
    """The names of the golden cases; one that skips where the data is absent."""
    if not (GOLDEN / "inference.json").exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no golden vectors in {GOLDEN}"))]
    return [name for name in json.loads((GOLDEN / "inference.json").read_text())["cases"] if name != "inputs"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("case", cases())
def test_golden(device, dtype, case):
    tensors = pytest.importorskip("safetensors.torch").load_file(GOLDEN / "inference.safetensors")
    options = json.loads((GOLDEN / "inference.json").read_text())["cases"][case]
    beta, x, scale = (tensors[f"inputs/{name}"].to(device, dtype) for name in ("beta", "x", "scale"))
    if dtype == torch.float16 and not beta.float().cpu().equal(tensors["inputs/beta"]):
        pytest.skip("β of the golden vectors is not exact in float16")
    found = starling.condense(
        beta,
        x,
        tensors["inputs/row_splits"].to(device),
        t_beta=options["t_beta"],
        t_d=options["t_d"],
        scale=None if options["scale"] == "ones" else scale,
        assign=options["variant"],
    )
    assert found.id.dtype == found.point.dtype == torch.int64
    assert found.id.cpu().equal(tensors[f"{case}/id"].long())
    assert found.point.cpu().equal(tensors[f"{case}/cp"].long())


def random_hits(device, dtype=torch.float32):
    """300 hits of a lattice in events of 120, 0, 30 and 150; β in steps of 1/16, so that many are equal."""
    generator = torch.Generator().manual_seed(0)
    beta = torch.randint(17, (300,), generator=generator) / 16
    x = torch.randint(12, (300, 2), generator=generator)
    scale = 2.0 ** torch.randint(-1, 2, (300,), generator=generator)
    return *(t.to(device, dtype) for t in (beta, x, scale)), torch.tensor([0, 120, 120, 150, 300], device=device)


def greedy(beta, x, row_splits, t_beta, t_d, scale, assign):
    """The definition, one point after the other, in double on the CPU."""
    beta, x, scale = (values.cpu().double() for values in (beta, x, scale))
    id, point = torch.full((2, len(beta)), -1)
    distance2 = torch.full((len(beta),), float("inf"), dtype=torch.float64)
    for first, last in zip(row_splits.tolist(), row_splits.tolist()[1:]):
        count = 0
        for row in sorted(range(first, last), key=lambda row: (-beta[row].item(), row)):
            if id[row] >= 0 or beta[row] < t_beta:
                continue
            own = slice(first, last)
            d2 = ((x[own] - x[row]) ** 2).sum(1)
            free = id[own] < 0
            taken = (d2 <= (t_d * scale[row]) ** 2) & (free | (d2 < distance2[own]) if assign == "nearest" else free)
            id[own][taken] = count
            point[own][taken] = row
            distance2[own][taken] = d2[taken]
            count += 1
    return id, point


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("assign", ["collect", "nearest"])
@pytest.mark.parametrize("splits_dtype", [torch.int32, torch.int64])
def test_is_the_greedy_sequence(device, dtype, assign, splits_dtype):
    beta, x, scale, row_splits = random_hits(device, dtype)
    for t_beta, t_d in ((0.25, 1.5), (0.0, 0.0), (0.5, float("inf")), (2.0, 1.0)):
        found = starling.condense(
            beta, x, row_splits.to(splits_dtype), t_beta=t_beta, t_d=t_d, scale=scale, assign=assign
        )
        id, point = greedy(beta, x, row_splits, t_beta, t_d, scale, assign)
        assert found.id.cpu().equal(id) and found.point.cpu().equal(point)


def test_one_event_without_scales(device):
    beta, x, _, _ = random_hits(device)
    found = starling.condense(beta, x, t_beta=0.25, t_d=2.0)
    id, point = greedy(beta, x, torch.tensor([0, 300]), 0.25, 2.0, torch.ones(300), "collect")
    assert found.id.cpu().equal(id) and found.point.cpu().equal(point)
    assert found.id.device == x.device


def test_row_splits_on_the_cpu_and_memory_with_gaps(device):
    beta, x, scale, row_splits = random_hits(device)
    expected = starling.condense(beta, x, row_splits, t_beta=0.25, t_d=1.5, scale=scale)
    wide = torch.stack((x[:, 0], beta, x[:, 1], scale), 1)
    found = starling.condense(wide[:, 1], wide[:, ::2], row_splits.cpu(), t_beta=0.25, t_d=1.5, scale=wide[:, 3])
    assert found.id.equal(expected.id) and found.point.equal(expected.point)


def test_nothing_to_cluster(device):
    for row_splits in (None, torch.tensor([0]), torch.tensor([0, 0, 0])):
        found = starling.condense(
            torch.ones(0, device=device), torch.ones(0, 3, device=device), row_splits, t_beta=0.1, t_d=1.0
        )
        assert found.id.shape == found.point.shape == (0,)


def test_has_no_gradient(device):
    beta, x, scale, row_splits = random_hits(device)
    found = starling.condense(beta.requires_grad_(), x.requires_grad_(), row_splits, t_beta=0.25, t_d=1.5)
    assert not found.id.requires_grad and not found.point.requires_grad
    assert starling.condense(beta.detach(), x.detach(), row_splits, t_beta=0.25, t_d=1.5).id.equal(found.id)


def test_compiles_and_exports(device):
    class Model(torch.nn.Module):
        def forward(self, beta, x, row_splits, scale):
            return starling.condense(beta * 1, x * 2, row_splits, t_beta=0.25, t_d=3.0, scale=scale, assign="nearest")

    beta, x, scale, row_splits = random_hits(device)
    expected = Model()(beta, x, row_splits, scale)
    torch._dynamo.reset()
    for found in (
        torch.compile(Model(), fullgraph=True, backend="aot_eager")(beta, x, row_splits, scale),
        torch.export.export(Model(), (beta, x, row_splits, scale)).module()(beta, x, row_splits, scale),
    ):
        assert found[0].equal(expected.id) and found[1].equal(expected.point)


def test_the_operator_is_as_torch_expects(device):
    beta, x, scale, row_splits = random_hits(device)
    arguments = (beta, x, row_splits, 0.25, 1.5, scale, "nearest")
    torch.library.opcheck(torch.ops.starling.condense.default, arguments)


def test_in_a_cuda_graph():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    beta, x, scale, row_splits = random_hits("cuda")
    expected = starling.condense(beta, x, row_splits, t_beta=0.25, t_d=1.5, scale=scale)
    graph = torch.cuda.CUDAGraph()
    still = beta.clone()
    with torch.cuda.graph(graph):
        found = starling.condense(still, x, row_splits, t_beta=0.25, t_d=1.5, scale=scale)
    graph.replay()
    assert found.id.equal(expected.id) and found.point.equal(expected.point)
    still.fill_(0)
    graph.replay()
    assert (found.id == -1).all()


def test_errors_say_what_was_expected(device):
    beta, x, scale, row_splits = random_hits(device)

    def refuses(match, beta=beta, x=x, row_splits=row_splits, **options):
        with pytest.raises(ValueError, match=f"starling::condense: {match}"):
            starling.condense(beta, x, row_splits, **{"t_beta": 0.25, "t_d": 1.5, "scale": scale, **options})

    def with_value(values, row, value):
        values = values.clone()
        values[row] = value
        return values

    nan = float("nan")
    refuses(r"x has shape \[300\]: expected \[hits, 1 to 8 dimensions\]", x=beta)
    refuses(r"x has shape \[300, 9\]", x=torch.zeros(300, 9, device=device))
    refuses(r"beta has shape \[299\], x \[300, 2\]: expected one value per hit", beta=beta[1:])
    refuses(r"scale has shape \[1\], x \[300, 2\]", scale=scale[:1])
    refuses("beta is Double on .*: expected Float on .* as x", beta=beta.double())
    refuses("x is Long: expected float64, float32, float16 or bfloat16", x=x.long())
    refuses("assign is 'all': expected 'collect' or 'nearest'", assign="all")
    refuses("t_beta is nan", t_beta=nan)
    refuses("t_d is -1.*: expected at least 0", t_d=-1.0)
    refuses(".*row.split.* is 150", row_splits=row_splits[:-1])
    # On the CPU the message says which of the three; on CUDA it names the row.
    refuses("beta.* of row 7 is", beta=with_value(beta, 7, nan))
    refuses(".*x.* of row 8 is", x=with_value(x, 8, float("inf")))
    refuses(".*scale of row 9 is", scale=with_value(scale, 9, 0))
