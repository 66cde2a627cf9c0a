"""EdgeConv against the golden vectors and plain torch, its derivatives, and every way torch runs it."""

import pytest
import torch
from conftest import brute_force, lattice
from test_nn import cases, deviation, load
from torch import nn
from torch.nn.utils import prune

import starling
import starling.edge_conv
from starling.nn import DynamicEdgeConv, EdgeConv

DTYPES = [(torch.float64, 1e-10), (torch.float32, 1e-5)]


def mlp(*widths, relu_at_the_end=False):
    layers = []
    for fan_in, fan_out in zip(widths[:-1], widths[1:]):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*(layers if relu_at_the_end else layers[:-1]))


class Opaque(nn.Module):
    """A module that EdgeConv cannot look into."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def plain(module, aggr, x, neighbours):
    """The definition, edge by edge; ties are left to torch."""
    out = []
    for row, sources in enumerate(neighbours.tolist()):
        sources = [source for source in sources if source >= 0]
        own = x[row].expand(len(sources), -1)
        messages = module(torch.cat([own, x[sources] - own], 1))
        if not sources:
            out.append(messages.new_zeros(messages.shape[1]))
        else:
            out.append({"max": lambda m: m.amax(0), "mean": lambda m: m.mean(0), "sum": lambda m: m.sum(0)}[aggr](messages))
    return torch.stack(out)


@pytest.mark.parametrize("dtype, bound", DTYPES)
@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize("case", cases("edgeconv"))
def test_edge_conv_is_the_golden_one(case, opaque, dtype, bound, device):
    options, golden = load("edgeconv", case, device)
    module = mlp(2 * options["F"], *options["widths"])
    layer = DynamicEdgeConv(module, options["k"], options["aggr"]) if options["dynamic"] else EdgeConv(module, options["aggr"])
    layer.load_state_dict({name: golden[name] for name in layer.state_dict()})
    layer.to(device, dtype)
    parameters = dict(layer.named_parameters())
    if opaque:
        layer.nn = Opaque(layer.nn)
    x = golden["x"].to(dtype).requires_grad_()
    if options["dynamic"]:
        found = starling.neighbors(golden["x"], options["k"], golden["row_splits"])
        assert torch.equal(found.index, golden["idx"].long())
        assert torch.equal(found.distance2, golden["d2"])
        out = layer(x, row_splits=golden["row_splits"])
    else:
        out = layer(x, neighbours=golden["idx"])
    (out * golden["g"].to(dtype)).sum().backward()
    assert deviation(out.detach(), golden["out"]) < bound
    assert deviation(x.grad, golden["grad/x"]) < bound
    for name, parameter in parameters.items():
        assert deviation(parameter.grad, golden[f"grad/{name}"]) < bound, name


WIDTHS = [(6, 5), (6, 5, 4), (6, 4, 4, 3), (6, 300, 3), (6, 1030)]


@pytest.mark.parametrize("aggr", ["max", "mean", "add"])
@pytest.mark.parametrize("relu_at_the_end", [False, True])
@pytest.mark.parametrize("widths", WIDTHS)
def test_every_kind_of_module_is_the_definition(widths, relu_at_the_end, aggr, device, monkeypatch):
    monkeypatch.setattr(starling.edge_conv, "_EDGES_AT_ONCE", 16)  # so that these few edges come in pieces
    torch.manual_seed(1)
    module = mlp(*widths, relu_at_the_end=relu_at_the_end).double().to(device)
    x = torch.randn(30, 3, dtype=torch.float64, device=device, requires_grad=True)
    neighbours = torch.randint(-1, 30, (30, 5), device=device)
    neighbours[7] = -1
    values = [x, *module.parameters()]
    out = EdgeConv(module, aggr)(x, neighbours=neighbours)
    expected = plain(module, aggr.replace("add", "sum"), x, neighbours)
    assert torch.allclose(out, expected)
    g = torch.randn_like(out)
    for ours, theirs in zip(torch.autograd.grad(out, values, g), torch.autograd.grad(expected, values, g)):
        assert torch.allclose(ours, theirs)


def test_a_module_that_looks_at_several_rows_gets_all_edges_at_once(device, monkeypatch):
    monkeypatch.setattr(starling.edge_conv, "_EDGES_AT_ONCE", 16)
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU()).to(device)
    x = torch.randn(30, 3, device=device)
    neighbours = torch.randint(0, 30, (30, 5), device=device)
    out = EdgeConv(module)(x, neighbours=neighbours)
    assert int(module[1].num_batches_tracked) == 1
    own = x[:, None].expand(-1, 5, -1)
    module[1].reset_running_stats()
    messages = module(torch.cat([own, x[neighbours] - own], 2).flatten(0, 1)).unflatten(0, (30, 5))
    assert torch.allclose(out, messages.amax(1), atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("aggr", ["max", "mean", "sum"])
def test_derivatives(layers, aggr):
    torch.manual_seed(3)
    layer = EdgeConv(mlp(6, *[5, 4, 3][:layers]), aggr).double()
    x = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)
    neighbours = torch.randint(-1, 9, (9, 4))
    parameters = list(layer.parameters())
    assert torch.autograd.gradcheck(lambda x, *_: layer(x, neighbours=neighbours), (x, *parameters), fast_mode=layers == 3)


def test_it_is_differentiated_once():
    layer = EdgeConv(nn.Linear(6, 5)).double()
    x = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x, neighbours=torch.randint(0, 9, (9, 4))).square().sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="expected to be differentiated once"):
        gradient.sum().backward()


@pytest.mark.parametrize("module", [mlp(6, 5), mlp(6, 5, 4), Opaque(mlp(6, 5, 4))])
def test_edges_and_lists_are_the_same(module, device):
    torch.manual_seed(4)
    layer = EdgeConv(module).to(device)
    x = torch.randn(40, 3, device=device)
    neighbours = starling.neighbors(x, 6).index
    edges = torch.stack([neighbours.flatten(), torch.arange(40, device=device).repeat_interleave(6)])
    expected = layer(x, neighbours=neighbours)
    assert torch.equal(layer(x, neighbours), expected)  # more than two hits: no edge list

    # Products of other rows may round otherwise.
    def near(a, b):
        return torch.allclose(a, b, atol=1e-6)

    assert near(layer(x, edges[:, torch.randperm(240, device=device)]), expected)
    # Sources and targets that are different points.
    assert near(layer((x, x[:11]), neighbours=neighbours[:11]), expected[:11])
    # Targets without edges get zeros.
    assert torch.equal(layer(x, edges[:, 6:])[0], torch.zeros_like(expected[0]))


def test_of_equal_edges_the_first_has_the_gradient(device):
    layer = EdgeConv(nn.Linear(2, 1, bias=False)).to(device)
    nn.init.constant_(layer.nn.weight, 1.0)
    x = torch.zeros(4, 1, device=device, requires_grad=True)
    edges = torch.tensor([[2, 3, 1, 1], [0, 0, 0, 1]], device=device)
    layer(x, edges)[0].sum().backward()
    assert x.grad.flatten().tolist() == [0, 0, 1, 0]


def test_dynamic_in_many_dimensions(device):
    torch.manual_seed(5)
    layer = DynamicEdgeConv(mlp(80, 16, 8), k=7).to(device)
    x = lattice(60, 40, device=device)
    splits = torch.tensor([0, 25, 25, 60], device=device)
    index, _ = brute_force(x, 7, splits)
    assert torch.equal(layer(x, row_splits=splits), EdgeConv(layer.nn)(x, neighbours=index))


def test_batch_and_row_splits_are_the_same_events():
    torch.manual_seed(6)
    layer = DynamicEdgeConv(mlp(8, 8, 8), k=3)
    x = torch.rand(10, 4)
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 3, 3, 3, 3])
    both = layer(x, batch)
    assert torch.equal(both, layer(x, row_splits=torch.tensor([0, 4, 6, 6, 10])))
    assert torch.allclose(both[:4], layer(x[:4]), atol=1e-6)
    with pytest.raises(ValueError, match="expected one of them"):
        layer(x, batch, row_splits=torch.tensor([0, 10]))


@pytest.mark.parametrize("module", [mlp(8, 5), mlp(8, 5, 4), mlp(8, 5, 4, 3)])
def test_no_hits(module, device):
    for layer in (EdgeConv(module), DynamicEdgeConv(module, 3)):
        layer = layer.to(device)
        x = torch.empty(0, 4, device=device)
        lists = {"neighbours": torch.empty(0, 3, dtype=torch.int64, device=device)} if type(layer) is EdgeConv else {}
        out = layer(x, **lists)
        assert out.shape == (0, layer.nn[-1].out_features)
        layer.zero_grad()
        out.sum().backward()
        assert all(not parameter.grad.any() for parameter in layer.parameters())


@pytest.mark.parametrize("module", [mlp(8, 5), mlp(8, 5, 4)])
@pytest.mark.parametrize("aggr", ["max", "mean"])
def test_compiled_exported_and_half(module, aggr):
    torch.manual_seed(7)
    layer = DynamicEdgeConv(module, 6, aggr)
    x = torch.rand(50, 4)
    expected = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
    compiled(x).sum().backward()
    exported = torch.export.export(layer, (x,)).module()
    assert torch.equal(exported(x), expected)
    edges = starling.knn_graph(x, 6, loop=True)
    static = torch.compile(EdgeConv(module, aggr), fullgraph=True, backend="aot_eager")
    assert torch.allclose(static(x, edges), expected, atol=1e-6)
    with torch.inference_mode():
        assert torch.equal(layer(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        x.requires_grad_()
        out = layer(x)
        assert out.dtype == torch.bfloat16
        assert deviation(out.detach(), expected.double()) < 0.05
        out.float().sum().backward()
        assert x.grad.dtype == torch.float32 and x.grad.isfinite().all()
    for dtype in (torch.bfloat16, torch.float16):
        half = layer.to(dtype)
        for mode in (torch.inference_mode, torch.enable_grad):
            with mode():
                assert half(x.detach().to(dtype)).dtype == dtype
        values = x.detach().to(dtype).requires_grad_()
        half(values).sum().backward()
        assert values.grad.dtype == dtype
        layer.float()


def test_operators_pass_torchs_own_checks():
    torch.manual_seed(8)
    target, source, weight = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((7, 5), (9, 5), (3, 5)))
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    index = torch.randint(-1, 9, (7, 4))
    splits = torch.arange(0, 29, 4)
    for arguments in (
        (target, source, index),
        (target, source, index.flatten(), splits, None, None, "mean", True),
        (target, source, index, None, None, None, "sum"),
        (target, source, index, None, weight, bias, "max", True),
        (target, source, index, None, weight, None, "max", True),
    ):
        torch.library.opcheck(torch.ops.starling.edge_conv, arguments)


def test_state_dict_of_torch_geometric_loads():
    geometric = pytest.importorskip("torch_geometric.nn", reason="torch_geometric is not installed")
    theirs = geometric.EdgeConv(mlp(8, 5, 4))
    ours = EdgeConv(mlp(8, 5, 4))
    ours.load_state_dict(theirs.state_dict())
    x, edges = torch.rand(20, 4), torch.randint(0, 20, (2, 60))
    assert torch.allclose(ours(x, edges), theirs(x, edges), atol=1e-6)


def test_parameters_are_drawn_anew():
    layer = EdgeConv(mlp(8, 5, 4))
    before = [parameter.clone() for parameter in layer.parameters()]
    layer.reset_parameters()
    assert all(not torch.equal(*pair) for pair in zip(layer.parameters(), before))


@pytest.mark.parametrize("module", [mlp(8, 64), mlp(8, 64, 64), mlp(8, 8, 8, 8)])
@pytest.mark.parametrize("aggr", ["max", "mean"])
def test_the_gradient_is_the_same_bytes_every_run(module, aggr, device):
    torch.manual_seed(9)
    layer = DynamicEdgeConv(module, 16, aggr).to(device)
    x = torch.rand(3000, 4, device=device)
    gradients = []
    for _ in range(2):
        values = x.clone().requires_grad_()
        layer.zero_grad()
        layer(values).square().sum().backward()
        gradients.append([values.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    assert all(torch.equal(first, second) for first, second in zip(*gradients))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_products_are_in_tf32_where_torch_says_so():
    torch.manual_seed(10)
    layer = EdgeConv(mlp(128, 64, 64)).cuda()
    x = torch.randn(500, 64, device="cuda")
    neighbours = torch.randint(0, 500, (500, 16), device="cuda")
    exact = layer.double()(x.double(), neighbours=neighbours)
    layer.float()
    allowed = torch.backends.cuda.matmul.allow_tf32
    errors = {}
    try:
        for tf32 in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            errors[tf32] = deviation(layer(x, neighbours=neighbours).detach(), exact)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed
    assert errors[False] < 1e-6
    assert 1e-5 < errors[True] < 5e-3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("module", [mlp(8, 6), mlp(8, 16, 6)])
@pytest.mark.parametrize("aggr", ["max", "mean"])
def test_a_cuda_graph_holds_forward_and_backward(module, aggr):
    torch.manual_seed(11)
    layer = DynamicEdgeConv(module, 8, aggr).cuda()
    x = torch.rand(500, 4, device="cuda", requires_grad=True)

    def step():
        return torch.autograd.grad(layer(x).square().sum(), [x, *layer.parameters()])

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        expected = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradients = step()
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(*pair) for pair in zip(gradients, expected))


@pytest.mark.parametrize(
    "wrap",
    [
        torch.nn.utils.weight_norm,
        torch.nn.utils.spectral_norm,
        torch.nn.utils.parametrizations.weight_norm,
        lambda m: prune.random_unstructured(m, "weight", 0.5),
        lambda m: m.register_forward_hook(lambda _, inputs, out: 2 * out) and m,
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_hooks_of_the_layers_are_called(wrap):
    torch.manual_seed(0)
    linear = wrap(nn.Linear(6, 5)).eval()
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.mul_(1.5)  # what hooks make of the parameters is out of date until they run
    x, index = torch.rand(9, 3), torch.randint(-1, 9, (9, 4))
    ours = EdgeConv(linear)(x, neighbours=index)
    opaque = EdgeConv(nn.Sequential(linear, nn.Identity()))(x, neighbours=index)
    assert deviation(ours, opaque) < 1e-6


def test_wrong_arguments():
    layer = EdgeConv(mlp(6, 5, 4))
    x, index, edges = torch.rand(4, 3), torch.zeros(4, 2, dtype=torch.int64), torch.zeros(2, 7, dtype=torch.int64)
    edge_conv = torch.ops.starling.edge_conv
    for text, call in {
        "k is -1: expected an integer in 0": lambda: DynamicEdgeConv(mlp(6, 5), -1),
        r"DynamicEdgeConv: batch has shape \[2\]: expected \[4\]; row splits go by row_splits=": lambda: DynamicEdgeConv(mlp(6, 5), 2)(
            x, torch.tensor([0, 4])
        ),
        r"DynamicEdgeConv: x has shape \[3\]: expected \[N, features\]": lambda: DynamicEdgeConv(mlp(6, 5), 2)(x[0]),
        "aggr is 'median': expected 'max', 'mean' or 'sum'": lambda: EdgeConv(mlp(6, 5), "median"),
        "expected edge_index or neighbours": lambda: layer(x),
        "edge_index or neighbours, one": lambda: layer(x, edges, neighbours=index),
        r"neighbours has shape \(3, 2\): expected \[4, k\]": lambda: layer(x, neighbours=index[:3]),
        r"edge_index has shape \(7,\)": lambda: layer(x, edges[0]),
        "edge_index has target 4: expected 0 to 3": lambda: layer(x, edges + torch.tensor([[0], [4]])),
        "edge_index has target -1": lambda: layer(x, edges - torch.tensor([[0], [1]])),
        "edge_index has source -1": lambda: layer(x, edges - torch.tensor([[1], [0]])),
        "edge_index is torch.float32: expected an integer": lambda: layer(x, edges + 0.7),
        "edge_index is torch.bool": lambda: layer(x, edges > 0),
        "neighbours is torch.float64": lambda: layer(x, neighbours=torch.zeros(4, 2, dtype=torch.float64)),
        r"index\[0\] is 9": lambda: layer(x, neighbours=index + 9),
        "x has 5 features and nn takes 6: expected 10": lambda: layer(torch.rand(4, 5), neighbours=index),
        r"x has shape \(4,\)": lambda: layer(torch.rand(4), neighbours=index),
        "aggr is 'add'": lambda: edge_conv(x, x, index, aggr="add"),
        "index is Int": lambda: edge_conv(x, x, index.int()),
        r"index has shape \[3, 2\]: expected \[4, k\]": lambda: edge_conv(x, x, index[:3]),
        "source is Double, target Float: expected both float64, or neither": lambda: edge_conv(x, x.double(), index),
        "target is Long: expected float64": lambda: edge_conv(x.long(), x, index),
        r"source has shape \[4, 2\]": lambda: edge_conv(x, x[:, :2], index),
        r"weight has shape \[5, 2\]": lambda: edge_conv(x, x, index, None, torch.rand(5, 2), None, "max", True),
        "weight is given without max and relu": lambda: edge_conv(x, x, index, None, torch.rand(5, 3), None, "mean", True),
        "max with relu and without weight": lambda: edge_conv(x, x, index, relu=True),
        r"bias has shape \[5\]: expected one number per row of the weight": lambda: edge_conv(x, x, index, bias=torch.rand(5)),
        r"neighbor_row_splits is Long \[4\]": lambda: edge_conv(x, x, index.flatten(), torch.arange(4)),
    }.items():
        with pytest.raises(ValueError, match=text):
            call()
    with pytest.raises(TypeError, match="DynamicEdgeConv: x is a tuple: expected one tensor: bipartite input is not supported"):
        DynamicEdgeConv(mlp(6, 5), 2)((x, x))
    for wrong in ((x, None), (x, x, x)):
        with pytest.raises(TypeError, match="EdgeConv: x is Tensor and .*: expected one tensor or two"):
            layer(wrong, neighbours=index)
