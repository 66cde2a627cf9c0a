"""Layers against the golden vectors, their derivatives, and every way torch runs them."""

import pytest
import torch
from golden import GOLDEN, cases, deviation, load
from torch import nn

import starling
from starling.nn import GravNetConv, GravNetOp, ObjectCondensation

def layer_of(options, dtype):
    sizes = (16, 12, options["S"], options["P"], options["k"])
    if options["form"] == "pyg":
        names = {"factor": "factor", "loop": "loop", "subtract": "subtract_from_own"}
        return GravNetConv(*sizes, **{ours: options[theirs] for ours, theirs in names.items()}).to(dtype)
    return GravNetOp(*sizes, nn.Identity() if options["activation"] == "identity" else None).to(dtype)


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("case", cases("gravnet"))
def test_gravnet_is_the_golden_one(case, dtype, bound, device):
    options, golden = load("gravnet", case, device)
    layer = layer_of(options, dtype).to(device)
    layer.load_state_dict({name: golden[name] for name in layer.state_dict()})
    x = golden["x"].to(dtype).requires_grad_()
    found = starling.neighbors(golden["s"], options["k"], golden["row_splits"], loop=options["loop"])
    assert torch.equal(found.index, golden["idx"].long())
    assert torch.equal(found.distance2, golden["d2"])
    out = layer(x, row_splits=golden["row_splits"])
    out = out.out if isinstance(layer, GravNetOp) else out
    (out * golden["g"].to(dtype)).sum().backward()
    assert deviation(out.detach(), golden["out"]) < bound
    assert deviation(x.grad, golden["grad/x"]) < bound
    for name, parameter in layer.named_parameters():
        expected = golden[f"grad/{name}"]
        if name in ("lin_s.bias", "space_transformations.bias"):  # 0 but for rounding
            scale = golden[f"grad/{name.replace('bias', 'weight')}"].abs().max()
            assert parameter.grad.abs().max() <= bound * scale
        else:
            assert deviation(parameter.grad, expected) < bound, name


@pytest.mark.parametrize("options", [{}, {"subtract": True}, {"loop": False}, {"factor": 0.0}])
def test_derivatives(options):
    torch.manual_seed(3)
    layer = GravNetConv(3, 4, 2, 3, k=4, **options).double()
    x = torch.rand(9, 3, dtype=torch.float64, requires_grad=True)
    splits = torch.tensor([0, 6, 6, 7, 9])
    assert torch.autograd.gradcheck(lambda x: layer(x, row_splits=splits), x)
    assert torch.autograd.gradgradcheck(lambda x: layer(x, row_splits=splits), x)


@pytest.mark.parametrize("divisor", ["found", "all", "weights"])
@pytest.mark.parametrize("weights", ["distance2", "weight", None])
def test_derivatives_of_messages(divisor, weights):
    torch.manual_seed(4)
    index = torch.tensor([[0, 2, 1], [1, -1, 3], [-1, -1, -1], [3, 0, 0]])
    features = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    values = torch.rand(4, 3, dtype=torch.float64, requires_grad=True)

    def aggregate(features, values):
        named = {} if weights is None else {weights: values}
        return torch.ops.starling.aggregate(features, index, factor=2.0, divisor=divisor, **named)[0]

    if weights:
        assert torch.autograd.gradcheck(aggregate, (features, values))
    if divisor != "weights" and weights:
        assert torch.autograd.gradgradcheck(aggregate, (features, values))


HALVES = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("subtract", [False, True])
def test_messages_of_16_bits_are_those_of_float32_rounded(dtype, subtract, device):
    """Features are stored in 16 bits and computed in float32: rounded once, forward and backward."""
    torch.manual_seed(11)
    index = torch.randint(-1, 50, (50, 7), device=device)
    distance2 = torch.rand(50, 7, device=device).requires_grad_()
    features = torch.randn(50, 20, device=device).to(dtype)
    upstream = torch.randn(50, 40, device=device).to(dtype)
    results = []
    for type in (dtype, torch.float32):
        h = features.to(type).requires_grad_()
        out, slot = torch.ops.starling.aggregate(h, index, None, distance2, subtract=subtract)
        assert out.dtype == type
        gradients = torch.autograd.grad(out, (h, distance2), upstream.to(type))
        assert gradients[0].dtype == type and gradients[1].dtype == torch.float32
        results.append([out.to(dtype), slot, gradients[0].to(dtype), gradients[1]])
    assert all(torch.equal(mine, rounded) for mine, rounded in zip(*results))


@pytest.mark.parametrize("dtype", HALVES)
def test_second_derivative_of_16_bits(dtype, device):
    index = torch.tensor([[0, 1], [1, 0], [2, -1]], device=device)
    features = torch.rand(3, 4, device=device).to(dtype).requires_grad_()
    distance2 = torch.rand(3, 2, device=device, requires_grad=True)
    out, _ = torch.ops.starling.aggregate(features, index, None, distance2)
    of_features, of_distance2 = torch.autograd.grad(out.float().square().sum(), (features, distance2), create_graph=True)
    (of_features.float().sum() + of_distance2.sum()).backward()
    assert features.grad.dtype == dtype and features.grad.isfinite().all() and distance2.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, *HALVES])
@pytest.mark.parametrize("options", [{}, {"loop": False, "subtract": True}, {"absent_is_zero": True, "factor": 1.0}])
def test_gravnet_is_a_search_and_an_aggregate(options, dtype, device):
    torch.manual_seed(12)
    space, features = torch.rand(60, 3, device=device).to(dtype), torch.randn(60, 12, device=device).to(dtype)
    splits = torch.tensor([0, 40, 40, 45, 60])
    results = []
    for whole in (True, False):
        s, h = space.clone().requires_grad_(), features.clone().requires_grad_()
        if whole:
            out, index, distance2, slot = torch.ops.starling.gravnet(s, h, 8, splits, **options)
            assert index.dtype == torch.int32
            index = index.long()
        else:
            named = dict(options)
            index, distance2 = starling.neighbors(s, 8, splits, loop=named.pop("loop", True))
            divisor = "all" if named.get("absent_is_zero") else "found"
            out, slot = torch.ops.starling.aggregate(h, index, None, distance2, divisor=divisor, **named)
        weight = torch.linspace(-1, 1, out.numel(), device=device).reshape(out.shape).to(dtype)
        loss = (out * weight).sum() + 0.1 * torch.where(index >= 0, distance2, 0).sum()
        results.append([out, index, distance2, slot, *torch.autograd.grad(loss, (s, h))])
    for mine, composed in zip(*results):
        assert mine.dtype == composed.dtype
        # Gradients of 16 bits are summed up in another order: once rounded for out, once for the distances.
        same = torch.equal(mine, composed) or (
            mine.is_floating_point() and torch.allclose(mine, composed, rtol=0, atol=1e-2 * float(composed.abs().max()))
        )
        assert same if dtype in HALVES else torch.equal(mine, composed) or torch.allclose(mine, composed, rtol=1e-5, atol=1e-6)


def test_gravnet_is_differentiated_through_distances_alone_and_twice(device):
    torch.manual_seed(13)
    space = torch.rand(9, 2, dtype=torch.float64, device=device, requires_grad=True)
    features = torch.randn(9, 3, dtype=torch.float64, device=device, requires_grad=True)
    splits = torch.tensor([0, 6, 9])

    def both(space, features):
        out, _, distance2, _ = torch.ops.starling.gravnet(space, features, 3, splits)
        return out, distance2

    assert torch.autograd.gradcheck(both, (space, features))
    assert torch.autograd.gradgradcheck(both, (space, features))
    of_space, of_features = torch.autograd.grad(both(space, features)[1].sum(), (space, features), allow_unused=True)
    expected = torch.autograd.grad(starling.neighbors(space, 3, splits).distance2.sum(), space)[0]
    assert of_features is None and torch.equal(of_space, expected)


def test_row_splits_of_the_neighbours():
    torch.manual_seed(5)
    x = torch.rand(30, 3, dtype=torch.float64)
    features = torch.randn(30, 4, dtype=torch.float64, requires_grad=True)
    within = starling.neighbors_within(x, 0.4)
    out, _ = torch.ops.starling.aggregate(features, within.index, within.row_splits, within.distance2)
    weights = torch.exp(-10 * within.distance2)
    for row in range(30):
        entries = slice(within.row_splits[row], within.row_splits[row + 1])
        messages = weights[entries, None] * features[within.index[entries]]
        expected = torch.cat([messages.mean(0), messages.amax(0)])
        assert torch.allclose(out[row], expected)


def test_batch_and_row_splits_are_the_same_events():
    torch.manual_seed(6)
    layer = GravNetConv(4, 8, 3, 5, k=3)
    x = torch.rand(10, 4)
    batch = torch.tensor([0, 0, 0, 0, 1, 1, 3, 3, 3, 3])
    both = layer(x, batch)
    assert torch.equal(both, layer(x, row_splits=torch.tensor([0, 4, 6, 6, 10])))
    # Events do not see each other; products of fewer rows may round otherwise.
    assert torch.allclose(both[:4], layer(x[:4]), atol=1e-6)
    with pytest.raises(ValueError, match="expected one of them"):
        layer(x, batch, row_splits=torch.tensor([0, 10]))


def test_an_empty_activation_is_kept():
    assert len(GravNetOp(4, 8, 3, 5, 3, nn.Sequential()).output_transformations[1]) == 0
    assert isinstance(GravNetOp(4, 8, 3, 5, 3).output_transformations[1], nn.ReLU)


def test_parameters_are_drawn_anew():
    layer = GravNetConv(4, 8, 3, 5, k=3)
    before = {name: parameter.clone() for name, parameter in layer.named_parameters()}
    layer.reset_parameters()
    assert all(not torch.equal(parameter, before[name]) for name, parameter in layer.named_parameters())


def test_no_hits(device):
    layer = GravNetConv(4, 8, 3, 5, k=3).to(device)
    out = layer(torch.empty(0, 4, device=device))
    assert out.shape == (0, 8)
    out.sum().backward()
    assert all(not parameter.grad.any() for parameter in layer.parameters())


def test_compiled_exported_and_half():
    torch.manual_seed(7)
    layer = GravNetConv(4, 8, 3, 5, k=6)
    x = torch.rand(50, 4)
    expected = layer(x)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
    compiled(x).sum().backward()
    exported = torch.export.export(layer, (x,)).module()
    assert torch.equal(exported(x), expected)


@pytest.mark.parametrize("dtype", HALVES)
def test_half_in_and_out_and_autocast(dtype, device):
    torch.manual_seed(7)
    layer = GravNetConv(4, 8, 3, 5, k=6).to(device)
    x = torch.rand(50, 4, device=device)
    expected = layer(x).detach()
    with torch.autocast(device, dtype):
        out = layer(x)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert out.dtype == dtype and torch.equal(compiled, out)
    out.float().sum().backward()
    assert layer.lin_h.weight.grad.dtype == torch.float32 and layer.lin_h.weight.grad.isfinite().all()
    assert (out.float() - expected).abs().mean() < 0.05
    half = layer.to(dtype)(x.to(dtype).requires_grad_())
    assert half.dtype == dtype
    half.sum().backward()
    assert (half.float() - expected).abs().mean() < 0.05


def test_the_space_of_16_bits_has_no_hits_at_one_place(device):
    torch.manual_seed(14)
    layer = GravNetOp(4, 8, 3, 5, k=2).to(device)
    x, splits = torch.rand(2000, 4, device=device) + 100, torch.tensor([0, 2000])
    for run in (lambda: layer(x, splits), lambda: layer.to(torch.bfloat16)(x.to(torch.bfloat16), splits)):
        with torch.autocast(device, torch.bfloat16):
            out = run()
        assert out.space.dtype == torch.float32 and out.out.dtype == torch.bfloat16
    with torch.autocast(device, torch.bfloat16):
        assert (GravNetOp(4, 8, 3, 5, k=2).to(device)(x, splits).distance2[:, 1] > 0).all()


def test_state_dict_of_torch_geometric_loads():
    geometric = pytest.importorskip("torch_geometric.nn", reason="torch_geometric is not installed")
    pytest.importorskip("torch_cluster", reason="torch_cluster is not installed: GravNetConv needs it even to be made")
    theirs = geometric.GravNetConv(4, 8, 3, 5, k=6)
    ours = GravNetConv(4, 8, 3, 5, k=6)
    ours.load_state_dict(theirs.state_dict())


def test_the_gradient_is_the_same_bytes_every_run(device):
    torch.manual_seed(9)
    layer = GravNetConv(4, 8, 3, 32, k=16).to(device)
    x = torch.rand(3000, 4, device=device)
    gradients = []
    for _ in range(2):
        layer.zero_grad()
        layer(x).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in (layer.lin_h.weight, layer.lin_s.weight)])
    assert all(torch.equal(first, second) for first, second in zip(*gradients))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_graph_holds_layer_and_loss():
    torch.manual_seed(10)
    layer, loss = GravNetConv(4, 3, 3, 8, k=8).cuda(), ObjectCondensation("paper")
    x, truth = torch.rand(500, 4, device="cuda"), torch.randint(-1, 9, (500,), device="cuda", dtype=torch.int32)

    def step():
        out = layer(x)
        return loss(out[:, 0].sigmoid(), out[:, 1:], truth).total

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        expected = step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        total = step()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(total, expected.detach())


def test_wrong_arguments():
    features, index = torch.rand(4, 3), torch.zeros(4, 2, dtype=torch.int64)
    aggregate = torch.ops.starling.aggregate
    for text, call in {
        "expected 'found', 'all' or 'weights'": lambda: aggregate(features, index, divisor="mean"),
        "features is Long: expected float64, float32, float16 or bfloat16": lambda: aggregate(index, index),
        "k is -1: expected an integer in 0": lambda: GravNetConv(3, 4, 2, 2, k=-1),
        "k is 1.5: expected an integer in 0": lambda: GravNetOp(3, 4, 2, 2, k=1.5),
        r"row_splits\[1\] is 3: expected the number of rows, 4": lambda: GravNetConv(3, 4, 2, 2, k=2)(features, row_splits=torch.tensor([0, 3])),
        r"points row 0 is not finite|points row 0": lambda: GravNetConv(3, 4, 2, 2, k=2)(features / 0),
        "expected the same rows": lambda: torch.ops.starling.gravnet(features, features[:3], 2),
        "features is Double, space Float: expected both float64, or neither": lambda: torch.ops.starling.gravnet(features, features.double(), 2),
        "expected 1 to .* dimensions": lambda: torch.ops.starling.gravnet(features[:, :0], features, 2),
        "expected int64": lambda: aggregate(features, index.int()),
        r"expected \[4, 2\]": lambda: aggregate(features, index, distance2=torch.rand(4, 3)),
        r"index\[0\] is 7": lambda: aggregate(features, index + 7),
        r"index\[0\] is 4294967297: expected −1 or a row below 4": lambda: aggregate(features, index + 2**32 + 1),
        r"index\[0\] is -4294967297": lambda: aggregate(features, index - 2**32 - 1),
        "distance2 is Double, features Float: expected both float64, or neither": lambda: aggregate(
            features, index, distance2=torch.rand(4, 2).double()
        ),
        "weight is Float, features Double": lambda: aggregate(features.double(), index, weight=torch.rand(4, 2)),
        "features is Long: expected float64": lambda: aggregate(features.long(), index),
        "expected a finite number of at least 0": lambda: aggregate(features, index, factor=-1.0),
        "expected one of them": lambda: aggregate(features, index, distance2=torch.rand(4, 2), weight=torch.rand(4, 2)),
    }.items():
        with pytest.raises(ValueError, match=text):
            call()


def test_sizes_and_inputs_that_do_not_fit():
    layer, op, x = GravNetConv(3, 4, 2, 2, k=2), GravNetOp(3, 4, 2, 2, k=2), torch.rand(100, 3)
    splits = torch.tensor([0, 100])
    for make in (GravNetConv, GravNetOp):
        for place, name in enumerate(("in_channels", "out_channels", "space_dimensions", "propagate_dimensions")):
            for size in (-1, 0):
                sizes = [3, 4, 2, 2]
                sizes[place] = size
                with pytest.raises(ValueError, match=f"^{name} is {size}: expected at least 1"):
                    make(*sizes, k=2)
        with pytest.raises(ValueError, match=r"in_channels is -1: expected at least 1 \(not derived from the input\)$"):
            make(-1, 4, 2, 2, k=2)
    for error, text, call in (
        (ValueError, r"GravNetConv: batch has shape \[2\]: expected \[100\]; row splits go by row_splits=", lambda: layer(x, splits)),
        (ValueError, r"batch has shape \[100, 1\]: expected \[100\]", lambda: layer(x, torch.zeros(100, 1, dtype=torch.int64))),
        (ValueError, r"GravNetConv: x has shape \[100, 2\]: expected \[N, 3\]", lambda: layer(x[:, :2])),
        (ValueError, r"GravNetConv: x has shape \[3\]: expected \[N, 3\]", lambda: layer(x[0])),
        (ValueError, r"GravNetOp: x has shape \[100, 2\]: expected \[N, 3\]", lambda: op(x[:, :2], splits)),
        (TypeError, "GravNetConv: x is a tuple: expected one tensor: bipartite input is not supported", lambda: layer((x, x))),
        (TypeError, "GravNetOp: x is a tuple: expected one tensor", lambda: op((x, x), splits)),
        (TypeError, "GravNetConv: batch is a tuple: expected one tensor", lambda: layer(x, (splits, splits))),
    ):
        with pytest.raises(error, match=text):
            call()


def test_only_the_layers_are_exported():
    names: dict[str, object] = {}
    exec("from starling.nn import *\nfrom starling.models import *", names)
    assert {name for name in names if not name.startswith("__")} == {
        "Condensation", "DynamicEdgeConv", "EdgeConv", "GravNetConv", "GravNetOp", "GravNetOutput", "InteractionNetwork",
        "ObjectCondensation", "DGCNN", "GravNetModel",
    }  # fmt: skip


CONDENSATION = {
    "paper": {},
    "paper_soft": {"soft": True},
    "paper_payload_event": {"payload_per_event": True},
    "paper_qmin1": {"q_min": 1.0},
    "slide": {},
    "slide_alpha_scale": {"scale_of": "alpha"},
    "slide_mean_centre": {"centre": 1.0},
    "slide_half_centre": {"centre": 0.5},
    "slide_soft": {"soft": True},
    "fgc": {},
}


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden vectors in {GOLDEN}")
@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("inputs", ["plain", "edge"])
@pytest.mark.parametrize("case", CONDENSATION)
def test_condensation_is_the_golden_one(case, inputs, dtype, bound, device):
    _, hits = load("condensation", f"{inputs}/inputs", device)
    _, golden = load("condensation", f"{inputs}/{case}", device)
    values = {name: hits[name].to(dtype).requires_grad_() for name in ("beta", "x", "phi", "payload")}
    loss = ObjectCondensation(case.split("_")[0], **CONDENSATION[case])
    arguments = (values["beta"], values["x"], hits["truth"], hits["row_splits"])
    named = {"payload": values["payload"]}
    if loss.form == "slide":
        named |= {"scale": values["phi"], "weight": hits["w"].to(dtype)}
    per_event = loss(*arguments, **named, per_event=True)
    terms = loss(*arguments, **named)
    for name, ours in {"att": "attraction", "rep": "repulsion", "obj": "objects", "noise": "noise", "payload": "payload"}.items():
        assert deviation(getattr(per_event, ours).detach(), golden[name]) < bound
        term = getattr(terms, ours)
        assert deviation(term.detach(), golden[f"total/{name}"]) < bound
        term = term[0] + 0.5 * term[1] if name == "payload" else term
        gradients = torch.autograd.grad(term, list(values.values()), retain_graph=True, allow_unused=True)
        for value, gradient in zip(values, gradients):
            if gradient is None:
                assert value == "phi" and loss.form != "slide" and not golden.get(f"grad/{name}/{value}", torch.zeros(1)).any()
                continue
            expected = golden.get(f"grad/{name}/{value}", torch.zeros_like(gradient, dtype=torch.float64))
            assert deviation(gradient, expected) < bound, (name, value)


def condensation_inputs(dtype=torch.float64):
    generator = torch.Generator().manual_seed(8)
    beta = torch.rand(30, generator=generator, dtype=dtype) * 0.9 + 0.05
    x = torch.randn(30, 2, generator=generator, dtype=dtype)
    payload = torch.rand(30, 1, generator=generator, dtype=dtype)
    scale = torch.rand(30, generator=generator, dtype=dtype) + 0.5
    truth = torch.randint(-1, 4, (30,), generator=generator)
    return beta, x, payload, scale, truth, torch.tensor([0, 17, 17, 30])


@pytest.mark.parametrize("options", [("paper", {}), ("slide", {"centre": 0.3}), ("slide", {"scale_of": "alpha"}), ("fgc", {}), ("fgc", {"centre": 0.5})])
def test_derivatives_of_condensation(options):
    form, named = options
    *values, truth, splits = condensation_inputs()
    values = [value.requires_grad_() for value in values]
    loss = ObjectCondensation(form, **named)
    values = values if form == "slide" else values[:3]
    assert torch.autograd.gradcheck(
        lambda beta, x, payload, scale=None: loss(beta, x, truth, splits, payload=payload, scale=scale).total, values
    )


@pytest.mark.parametrize("per_event", [False, True])
@pytest.mark.parametrize("form", ["slide", "fgc"])
def test_payload_weights_make_the_payload_term(form, per_event, device):
    beta, _, payload, _, truth, splits = (values.to(device) for values in condensation_inputs())
    x = torch.zeros(30, 2, dtype=torch.float64, device=device)
    beta.requires_grad_()
    payload.requires_grad_()
    loss = ObjectCondensation(form, payload_per_event=per_event)
    term = loss(beta, x, truth, splits, payload=payload).payload.sum()
    weights = loss.payload_weights(beta, truth, splits)
    assert (weights[truth < 0] == 0).all()
    sum_of_losses = (weights * payload[:, 0]).sum()
    assert torch.allclose(sum_of_losses, term)
    for mine, golden in zip(*(torch.autograd.grad(one, (beta, payload)) for one in (sum_of_losses, term))):
        assert torch.allclose(mine, golden)
    assert torch.autograd.gradcheck(lambda beta: loss.payload_weights(beta, truth, splits), beta)


def test_payload_weights_of_no_hits_and_of_noise():
    loss = ObjectCondensation()
    assert loss.payload_weights(torch.empty(0), torch.empty(0, dtype=torch.int64)).shape == (0,)
    assert not loss.payload_weights(torch.rand(5), torch.full((5,), -1)).any()


def test_condensation_is_differentiated_once():
    beta, x, payload, scale, truth, splits = condensation_inputs()
    for values in (beta, x, payload, scale):
        values.requires_grad_()
    total = ObjectCondensation()(beta, x, truth, splits, scale=scale, payload=payload).total
    gradients = torch.autograd.grad(total, (beta, x, payload, scale), create_graph=True)
    for gradient in gradients:
        assert gradient.requires_grad
        with pytest.raises(NotImplementedError, match="expected to be differentiated once"):
            torch.autograd.grad(gradient.sum(), x, retain_graph=True)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_objects_have_numbers_of_any_integer_dtype(device, dtype):
    beta, x, _, _, truth, splits = (values.to(device) for values in condensation_inputs())
    truth = truth if dtype != torch.uint8 else truth.clamp_min(0)
    loss = ObjectCondensation()
    assert torch.equal(loss(beta, x, truth.to(dtype), splits).total, loss(beta, x, truth.int(), splits).total)


@pytest.mark.parametrize("offset, factor", [(4505867370102784, 1), (0, 2**32), (2**31 - 2, 1), (2**63 - 4, 1)])
def test_objects_have_numbers_of_64_bits(device, offset, factor):
    beta, x, _, _, truth, splits = (values.to(device) for values in condensation_inputs())
    beta.requires_grad_()
    wide = torch.where(truth < 0, -(2**40), truth * factor + offset)
    terms = [ObjectCondensation()(beta, x, numbers, splits) for numbers in (truth, wide)]
    assert all(torch.equal(small, large) for small, large in zip(*terms))
    gradients = [torch.autograd.grad(each.total, beta)[0] for each in terms]
    assert torch.equal(*gradients)


def test_condensation_compiled_exported_and_half():
    beta, x, payload, scale, truth, splits = condensation_inputs(torch.float32)
    loss = ObjectCondensation()
    beta.requires_grad_()
    expected = loss(beta, x, truth, splits, scale=scale, payload=payload)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")(beta, x, truth, splits, scale=scale, payload=payload)
    assert torch.equal(compiled.total, expected.total)
    compiled.total.backward()
    assert beta.grad.isfinite().all()
    exported = torch.export.export(loss, (beta, x, truth, splits)).module()
    assert torch.equal(exported(beta, x, truth, splits).total, loss(beta, x, truth, splits).total)
    half = loss(beta.detach().bfloat16(), x.bfloat16(), truth, splits)
    assert half.total.isfinite()


def test_wrong_arguments_of_condensation():
    beta, x, payload, scale, truth, splits = condensation_inputs(torch.float32)
    loss = ObjectCondensation()
    for text, call in {
        "expected 'paper', 'slide' or 'fgc'": lambda: ObjectCondensation("slides"),
        "expected 'mean' or 'alpha'": lambda: ObjectCondensation(scale_of="max"),
        "centre is 2.0: expected 0 to 1": lambda: ObjectCondensation(centre=2.0),
        "centre is nan": lambda: ObjectCondensation(centre=float("nan")),
        "centre is 0.5: expected 0, since the form 'paper' has none": lambda: ObjectCondensation("paper", centre=0.5),
        "scale_of is 'alpha': expected 'mean', since the form 'paper'": lambda: ObjectCondensation("paper", scale_of="alpha"),
        "scale_of is 'alpha': expected 'mean', since the form 'fgc'": lambda: ObjectCondensation("fgc", scale_of="alpha"),
        "scale is given: expected None, since the form 'paper'": lambda: ObjectCondensation("paper")(beta, x, truth, scale=scale),
        "weight is given: expected None, since the form 'paper'": lambda: ObjectCondensation("paper")(beta, x, truth, weight=scale),
        "scale is given: expected None, since the form 'fgc'": lambda: ObjectCondensation("fgc")(beta, x, truth, scale=scale),
        "weight is given: expected None, since the form 'fgc'": lambda: ObjectCondensation("fgc")(beta, x, truth, weight=scale),
        r"expected \[30\]": lambda: loss(beta, x, truth[:4]),
        "truth is Float: expected int8, uint8, int16, int32 or int64": lambda: loss(beta, x, truth.float()),
        "truth is Bool": lambda: loss(beta, x, truth > 0),
        "x is Double, beta Float: expected both float64, or neither": lambda: loss(beta, x.double(), truth),
        "scale is Double, beta Float": lambda: loss(beta, x, truth, scale=scale.double()),
        "weight is Double, beta Float": lambda: loss(beta, x, truth, weight=scale.double()),
        "payload is Double, beta Float": lambda: loss(beta, x, truth, payload=payload.double()),
        "beta is Long: expected float64, float32, float16 or bfloat16": lambda: loss(beta.long(), x, truth),
        "row_splits is Float: expected int32 or int64": lambda: loss(beta, x, truth, splits.float()),
        "row_splits is Bool: expected int32 or int64": lambda: loss(beta, x, truth, splits > 0),
        "row_splits has shape": lambda: loss(beta, x, truth, splits[None]),
        r"row_splits\[1\] is 4294967298: expected the number of rows, 30": lambda: loss(beta, x, truth, torch.tensor([0, 2**32 + 2])),
        "beta of row 4 is 1.5.*: expected a number in 0 to 1": lambda: loss(beta.index_fill(0, torch.tensor([4]), 1.5), x, truth),
        "beta of row 0 is -": lambda: loss(-beta, x, truth),
        "q_min is 0.0: expected a finite number of at least 1e-6": lambda: ObjectCondensation(q_min=0.0),
        "q_min is inf": lambda: ObjectCondensation(q_min=float("inf")),
        "q_min is nan": lambda: ObjectCondensation(q_min=float("nan")),
        "expected 1 to 8": lambda: loss(beta, x.repeat(1, 5), truth),
        "x of row 3 is nan": lambda: loss(beta, x.index_fill(0, torch.tensor([3]), float("nan")), truth),
        "scale of row 0 is": lambda: loss(beta, x, truth, scale=-scale),
        "the last entry|last row split|expected the number of rows": lambda: loss(beta, x, truth, splits[:2]),
    }.items():
        with pytest.raises(ValueError, match=text):
            call()
