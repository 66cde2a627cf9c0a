"""starling.nn.InteractionNetwork against the golden vectors and against acorn's form of it."""

import copy
import json

import pytest
import torch
import torch.nn.utils.prune
from golden import DATA, deviation
from torch import nn

from starling.nn import InteractionNetwork

GOLDEN = DATA / "interaction_network/interaction_network.json"


def variants():
    if not GOLDEN.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no golden vectors in {GOLDEN.parent}"))]
    return list(json.loads(GOLDEN.read_text())["variants"])


def load(variant, device="cpu"):
    """The options of a variant and its tensors."""
    safetensors = pytest.importorskip("safetensors.torch")
    options = json.loads(GOLDEN.read_text())["variants"][variant]
    tensors = safetensors.load_file(GOLDEN.with_suffix(".safetensors"), device=device)
    return options, {name[len(variant) + 1 :]: value for name, value in tensors.items() if name.startswith(variant + "/")}


def make(options):
    names = ("recurrent", "norm", "bias", "concat")
    return InteractionNetwork(options["H"], options["N"], **{name: options[name] for name in names if name in options})


def acorn_name(network, name):
    """A parameter of the definitions by acorn's name: edge_network.1.2.bias is edge_network.1.6.bias."""
    mlp, layer, what = name.rsplit(".", 2)
    mlp = {"edge_output": "edge_output_transform"}.get(mlp, mlp)
    if network.recurrent:
        mlp = mlp.removesuffix(".0")
    place = int(layer) * (2 if network.norm == "none" else 3) + what.startswith("norm_")
    return f"{mlp}.{place}.{what.removeprefix('norm_')}"


def golden_network(variant, device, dtype):
    options, golden = load(variant, device)
    network = make(options)
    weights = {name: value for name, value in golden.items() if name.endswith((".weight", ".bias", "_weight", "_bias"))}
    state = {acorn_name(network, name): value for name, value in weights.items() if not name.startswith("grad/")}
    network.load_state_dict(state)
    assert sum(parameter.numel() for parameter in network.parameters()) == options["parameters"]
    gradients = {acorn_name(network, n.removeprefix("grad/")): v for n, v in golden.items() if n.startswith("grad/")}
    return network.to(device, dtype), golden, gradients


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-10), (torch.float32, 2e-5)])
@pytest.mark.parametrize("variant", variants())
def test_the_network_is_the_golden_one(variant, dtype, bound, device):
    network, golden, gradients = golden_network(variant, device, dtype)
    x, edge_attr = golden["x"].to(dtype), golden["edge_attr"].to(dtype)
    logits = network(x, golden["edge_index"], edge_attr)
    assert deviation(logits.detach(), golden["logits"]) < bound
    y, weight = golden["y"].to(dtype), golden["weight"].to(dtype)
    loss = nn.functional.binary_cross_entropy_with_logits(logits, y, weight, reduction="sum") / weight.abs().sum()
    assert abs(loss.item() - golden["loss"].item()) < bound
    loss.backward()
    largest = max(gradient.abs().max() for gradient in gradients.values())
    assert gradients.keys() == dict(network.named_parameters()).keys()
    for name, parameter in network.named_parameters():
        gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        assert (gradient - gradients[name]).abs().max() < bound * largest, name


class AcornNetwork(nn.Module):
    """The formulas of acorn's InteractionGNN2 as they stand: wide concatenations, sums by index_add."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x, edge_index, edge_attr):
        net = self.network
        src, dst = edge_index.long()
        x0 = x = net.node_encoder(x)
        e0 = e = net.edge_encoder(edge_attr)
        for step in range(net.steps):
            edge, node = (m if net.recurrent else m[step] for m in (net.edge_network, net.node_network))
            if net.concat:
                x, e = torch.cat([x, x0], 1), torch.cat([e, e0], 1)
            e = edge(torch.cat([e, x[src], x[dst]], 1))
            nothing = torch.zeros(x.shape[0], e.shape[1], dtype=e.dtype, device=e.device)
            x = node(torch.cat([nothing.index_add(0, dst, e), nothing.index_add(0, src, e), x], 1))
            out = net.edge_output_transform(net.edge_decoder(e))
        return out.squeeze(-1)


OPTIONS = [
    {}, {"norm": "batch"}, {"norm": "none"}, {"recurrent": True}, {"bias": False}, {"concat": False},
    {"recurrent": True, "concat": False, "norm": "batch", "bias": False},
]  # fmt: skip


def graph(nodes, edges, dtype=torch.float64, device="cpu"):
    generator = torch.Generator().manual_seed(nodes + edges)
    x = torch.randn(nodes, 12, generator=generator, dtype=dtype)
    edge_index = torch.randint(max(nodes, 1), (2, edges), generator=generator)
    return x.to(device), edge_index.to(device), torch.randn(edges, 6, generator=generator, dtype=dtype).to(device)


@pytest.mark.parametrize("nodes, edges", [(0, 0), (1, 0), (1, 1), (2, 1), (1, 50), (5, 40), (40, 100)])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_is_acorns_network(options, nodes, edges, device):
    torch.manual_seed(1)
    network = InteractionNetwork(6, 3, **options).double().to(device)
    inputs = graph(nodes, edges, device=device)
    results = []
    for model in (network, AcornNetwork(network)):
        x, edge_attr = inputs[0].clone().requires_grad_(), inputs[2].clone().requires_grad_()
        logits = model(x, inputs[1], edge_attr)
        assert logits.shape == (edges,)
        gradients = torch.autograd.grad(logits.square().sum(), [x, edge_attr, *network.parameters()], allow_unused=True)
        results.append([logits.detach(), *gradients])
    largest = max([1.0, *(g.abs().max().item() for g in results[1] if g is not None and g.numel() > 0)])
    for ours, acorns in zip(*results):
        if acorns is None or ours is None:  # the last node network, which acorn runs for nothing
            assert all(g is None or not g.any() for g in (ours, acorns))
        else:
            torch.testing.assert_close(ours, acorns, rtol=0, atol=1e-9 * largest)


def test_hooks_of_layers_run(device):
    """torch.nn.utils.prune makes a layer's weight anew in a hook of each call, spectral_norm in a parametrization."""
    torch.manual_seed(5)
    network = InteractionNetwork(6, 2).double().to(device)
    inputs = graph(20, 50, device=device)
    for layer in (network.edge_network[0][0], network.edge_network[1][3], network.node_encoder[0]):
        nn.utils.prune.l1_unstructured(layer, "weight", 0.5)
    nn.utils.parametrizations.spectral_norm(network.edge_network[1][0])
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(3):
        logits = network(*inputs)
        optimiser.zero_grad()
        logits.square().mean().backward()
        optimiser.step()
        network.eval()  # spectral_norm goes on with every call in training
        torch.testing.assert_close(network(*inputs), AcornNetwork(network)(*inputs))
        assert not torch.equal(network(*inputs), logits)
        network.train()
    called = []
    network.edge_network[0].register_forward_hook(lambda *_: called.append(1))
    network(*inputs)
    assert called == [1]


def test_the_order_of_sums_is_fixed(device):
    """The same bytes in every run, with any number of threads, and the sum of each node is in the order of its edges."""
    torch.manual_seed(2)
    network = InteractionNetwork(16, 3).to(device)
    inputs = graph(300, 20_000, torch.float32, device)

    def run():
        network.zero_grad()
        logits = network(*inputs)
        logits.square().sum().backward()
        return [logits.detach(), *(p.grad for p in network.parameters() if p.grad is not None)]

    threads = torch.get_num_threads()
    first = run()
    assert all(torch.equal(a, b) for a, b in zip(first, run()))
    rows, index = torch.randn(20_000, 3).to(device), inputs[1][0]
    try:
        torch.set_num_threads(1)
        one = torch.ops.starling.sum_rows(rows, index, 300)
        torch.set_num_threads(2)
        assert torch.equal(torch.ops.starling.sum_rows(rows, index, 300), one)
        assert torch.equal(torch.ops.starling.sum_rows(rows, index.int(), 300), one)
    finally:
        torch.set_num_threads(threads)
    if device == "cpu":
        expected = torch.zeros(300, 3)
        for edge, node in enumerate(index.tolist()):
            expected[node] += rows[edge]
        assert torch.equal(one, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_steps_on_cuda_are_fused_operators(options):
    """The network of float64 on the host gives what they give, but for rounding."""
    torch.manual_seed(5)
    network = InteractionNetwork(48, 3, **options).cuda()
    inputs = graph(200, 1_000, torch.float32, "cuda")
    exact = copy.deepcopy(network).cpu().double()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        logits = network(*inputs)
    is_fused = any(event.name == "starling::interaction_step" for event in profile.events())
    assert is_fused == (options.get("norm") != "batch")
    expected = exact(inputs[0].cpu().double(), inputs[1].cpu(), inputs[2].cpu().double())
    assert deviation(logits.detach().cpu().double(), expected.detach()) < 1e-4
    with torch.autocast("cuda", dtype=torch.bfloat16):
        assert deviation(network(*inputs).detach().cpu().double(), expected.detach()) < 0.1


def test_sums_and_gathers_are_each_others_derivative(device):
    rows = torch.randn(7, 2, dtype=torch.float64, device=device, requires_grad=True)
    index = torch.tensor([4, 0, 4, 1, 1, 1, 3], device=device)
    gather, sum_rows = torch.ops.starling.gather_rows, torch.ops.starling.sum_rows
    options = {"check_forward_ad": True}
    assert torch.autograd.gradcheck(lambda r: sum_rows(r, index, 5), rows, **options)
    assert torch.autograd.gradcheck(lambda r: gather(r, index), rows, **options)
    assert torch.autograd.gradgradcheck(lambda r: sum_rows(r, index, 5), rows)
    assert torch.autograd.gradgradcheck(lambda r: gather(r, index), rows)
    for call in (lambda: sum_rows(rows, index, 5), lambda: gather(rows, index)):
        assert torch.equal(torch.autograd.grad(call().sum(), rows)[0], torch.autograd.grad(call().sum(), rows)[0])
    for operator, arguments in ((gather, (rows, index)), (sum_rows, (rows, index, 5))):
        torch.library.opcheck(operator.default, arguments)
    torch.library.opcheck(torch.ops.starling.check_edges.default, (index.view(1, 7).repeat(2, 1), 5))
    with pytest.raises(ValueError, match=r"sum_rows: index is .*: expected int32 or int64"):
        sum_rows(rows, index.to(torch.uint8), 5)
    with pytest.raises(ValueError, match=r"gather_rows: rows has shape \[14\]: expected \[rows, width\]"):
        gather(rows.view(14), index)
    halves = torch.full((5000, 1), 0.1, dtype=torch.bfloat16, device=device)
    total = sum_rows(halves, torch.zeros(5000, dtype=torch.int64, device=device), 1)
    assert total.dtype == torch.bfloat16 and abs(total.item() - 500) < 4  # in bfloat16 it would stay at 32


@pytest.mark.parametrize("options", [{}, {"recurrent": True, "norm": "batch", "concat": False}], ids=str)
def test_compiled(options, device):
    torch.manual_seed(3)
    network = InteractionNetwork(8, 2, **options).to(device)
    inputs = graph(30, 200, torch.float32, device)
    expected = network(*inputs)
    expected.sum().backward()
    gradients = [p.grad for p in network.parameters()]
    network.zero_grad()
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    logits = compiled(*inputs)
    logits.sum().backward()
    assert deviation(logits.detach(), expected.detach()) < 1e-5
    largest = max(g.abs().max() for g in gradients if g is not None)
    for parameter, gradient in zip(network.parameters(), gradients):
        assert (parameter.grad is None) == (gradient is None)
        assert gradient is None or (parameter.grad - gradient).abs().max() < 1e-5 * largest
    with pytest.raises(ValueError, match=r"check_edges: edge_index\[1, 3\] is 30: expected a node, 0 to 29"):
        edge_index = inputs[1].clone()
        edge_index[1, 3] = 30
        compiled(inputs[0], edge_index, inputs[2])


def test_exported():
    network = InteractionNetwork(8, 2)
    inputs = graph(30, 200, torch.float32)
    nodes, edges = torch.export.Dim("nodes", min=2), torch.export.Dim("edges", min=2)
    program = torch.export.export(network, inputs, dynamic_shapes=({0: nodes}, {1: edges}, {0: edges}))
    for sizes in ((30, 200), (17, 55)):
        inputs = graph(*sizes, torch.float32)
        assert torch.equal(program.module()(*inputs), network(*inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits(dtype, device):
    """Under autocast, and as a model of 16 bits: features keep their digits."""
    torch.manual_seed(4)
    network = InteractionNetwork(16, 3).to(device)
    x, edge_index, edge_attr = graph(50, 300, torch.float32, device)
    expected = network(x, edge_index, edge_attr)
    with torch.autocast(device, dtype=dtype):
        logits = network(x, edge_index, edge_attr)
    assert logits.dtype == dtype
    assert deviation(logits.detach(), expected.detach().double()) < 0.05
    logits.float().square().sum().backward()
    assert all(p.grad is None or (p.grad.dtype == torch.float32 and p.grad.isfinite().all()) for p in network.parameters())
    stored = copy.deepcopy(network).to(dtype)
    assert deviation(stored(x, edge_index, edge_attr).detach(), expected.detach().double()) < 0.1
    # The sums of the first layer of both encoders, before normalisation, are in float32.
    types = []
    for encoder in (network.node_encoder, network.edge_encoder):
        encoder[1].register_forward_pre_hook(lambda _, inputs: types.append(inputs[0].dtype))
    with torch.autocast(device, dtype=dtype):
        network(x, edge_index, edge_attr)
    assert types == [torch.float32] * 2


def test_wrong_arguments(device):
    for options, message in (
        ({"hidden": 0}, "hidden is 0: expected at least 1"),
        ({"hidden": 1025}, "hidden is 1025: expected at most 1024"),
        ({"steps": 65}, "steps is 65: expected at most 64"),
        ({"node_inputs": -1}, "node_inputs is -1: expected at least 1"),
        ({"norm": "instance"}, "norm is 'instance': expected 'layer', 'batch' or 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            InteractionNetwork(**options)
    network = InteractionNetwork(4, 1).to(device)
    x, edges, edge_attr = graph(5, 7, torch.float32, device)
    outside, negative = edges.clone(), edges.int()
    outside[0, 2], negative[1, 6] = 5, -1
    for arguments, message in (
        ((x[:, :4], edges, edge_attr), r"x has shape \[5, 4\]: expected \[N, 12\]"),
        ((x, edges[0], edge_attr), r"edge_index has shape \[7\]: expected \[2, edges\]"),
        ((x, edges.t(), edge_attr), r"edge_index has shape \[7, 2\]: expected \[2, edges\]"),
        ((x, edges.float(), edge_attr), "edge_index is torch.float32: expected torch.int64 or torch.int32"),
        ((x, edges, edge_attr[:6]), r"edge_attr has shape \[6, 6\]: expected \[7, 6\], a row per edge"),
        ((x, edges, edge_attr[:, :5]), r"edge_attr has shape \[7, 5\]: expected \[7, 6\]"),
        ((x.double(), edges, edge_attr), "x is torch.float64: expected torch.float32 as the parameters, or call double"),
        ((x, edges, edge_attr.int()), "edge_attr is torch.int32: expected torch.float32 as the parameters"),
        ((x, outside, edge_attr), r"edge_index\[0, 2\] is 5: expected a node, 0 to 4"),
        ((x, negative, edge_attr), r"edge_index\[1, 6\] is -1: expected a node, 0 to 4"),
    ):
        with pytest.raises(ValueError, match=message):
            network(*arguments)
    with pytest.raises(TypeError, match="x is a tuple: expected one tensor"):
        network((x, x), edges, edge_attr)
    with pytest.raises(TypeError, match="edge_attr is a NoneType: expected one tensor"):
        network(x, edges, None)
