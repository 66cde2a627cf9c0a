"""starling.nn.quant against the golden vectors of Brevitas: values, scales, codes and gradients."""

import copy
import json

import pytest
import torch
from golden import DATA
from torch import nn

from starling.nn import InteractionNetwork
from starling.nn.quant import Quantisation, QuantIdentity, QuantLinear, QuantReLU, collecting

GOLDEN = DATA / "quantisation"
KEY = "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.value"
LAYERS = {"relu": QuantReLU, "ident": QuantIdentity}


def cases(file, kind=None):
    path = GOLDEN / f"{file}.json"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"no golden vectors in {GOLDEN}"))]
    return [pytest.param(c, id=c["case"]) for c in json.loads(path.read_text())["cases"] if kind is None or c["kind"] in kind]


_files = {}


def load(file, case, device="cpu"):
    safetensors = pytest.importorskip("safetensors.torch")
    if file not in _files:
        _files[file] = safetensors.load_file(GOLDEN / f"{file}.safetensors")
    return {n[len(case) + 1 :]: v.to(device) for n, v in _files[file].items() if n.startswith(case + "/")}


def assert_bits(value, golden):
    """Bit for bit; but a NaN is none."""
    value = value.detach()
    assert value.dtype == golden.dtype == torch.float32 and value.shape == golden.shape
    assert torch.equal(value.view(torch.int32), golden.view(torch.int32))


def assert_sum(value, golden, size):
    """A sum, relative to the sum of the sizes of its terms."""
    assert (value.double() - golden.double()).abs() <= 1e-6 * size + 1e-30


def layer_of(case, threshold, **options):
    layer = LAYERS[case["kind"]](case["bits"], return_quant_tensor=True, reference_quirks=True, **options)
    layer.load_state_dict({KEY: threshold})
    assert not collecting(layer)
    return layer.to(threshold.device)


@pytest.mark.parametrize("case", cases("quantisers", ["weight"]))
def test_weights(case, device):
    golden = load("quantisers", case["case"], device)
    w = golden["w"].clone().requires_grad_()
    layer = QuantLinear(w.shape[1], w.shape[0], bias=False, weight_bit_width=case["bits"]).to(device)
    layer.weight = nn.Parameter(w.detach().clone())
    result = layer.quant_weight()
    assert_bits(result.value, golden["y"])
    assert_bits(result.scale, golden["scale"])
    assert torch.equal(result.code, golden["q"].float())
    (result.value * golden["g"]).sum().backward()
    largest = w.abs() == w.abs().max()
    assert_bits(layer.weight.grad[~largest], golden["grad_w"][~largest])
    g, s, q = golden["g"].double(), golden["scale"].double(), golden["q"].double()
    size = (g * q).abs().sum() + (g * golden["w"].double() / s).abs().sum() + g.abs().max()
    for ours, theirs in zip(layer.weight.grad[largest], golden["grad_w"][largest]):
        assert_sum(ours, theirs, size)


@pytest.mark.parametrize("case", cases("quantisers", ["relu", "ident"]))
def test_activations(case, device):
    for mode in ("train", "eval"):
        if mode in case["mode"]:  # otherwise the case is of the other one
            check_activation(case, mode, device)


def check_activation(case, mode, device):
    golden = load("quantisers", case["case"], device)
    layer = layer_of(case, golden["threshold"]).train(mode == "train")
    x = golden["x"].clone().requires_grad_()
    result = layer(x)
    assert_bits(result.value, golden["y"])
    assert_bits(result.scale, golden["scale"])
    assert torch.equal(result.code, golden["q"].float())
    (result.value * golden["g"]).sum().backward()
    assert_bits(x.grad + 0, golden["grad_x"] + 0)
    g, q = golden["g"].double(), golden["q"].double()
    inner = (golden["x"].double() / golden["scale"].double()).clamp(-(2**13), 2**13)
    size = ((g * q).abs() + (g * inner).abs()).sum()
    assert_sum(layer.threshold.grad, golden["grad_threshold"], size)


@pytest.mark.parametrize("case", cases("quantisers", ["bias"]))
def test_biases(case, device):
    golden = load("quantisers", case["case"], device)
    x, s_in, s_w = (golden[name].clone().requires_grad_() for name in ("x", "s_in", "s_w"))
    layer = QuantLinear(2, len(x), weight_bit_width=case["bits"], bias_bit_width=case["bias_bits"]).to(device)
    layer.bias = nn.Parameter(x.detach().clone())
    y = layer.quant_bias(s_w, s_in)
    assert_bits(y, golden["y"])
    assert torch.equal((y / golden["scale"]).round().long(), golden["q"].clamp(-(2**31), 2**31))
    (y * golden["g"]).sum().backward()
    assert_bits(layer.bias.grad, golden["grad_x"])
    g, s = golden["g"].double(), golden["scale"].double()
    size = (g * golden["q"].double()).abs().sum() + (g * golden["x"].double() / s).abs().sum()
    assert_sum(s_in.grad, golden["grad_s_in"], size * golden["s_w"])
    assert_sum(s_w.grad, golden["grad_s_w"], size * golden["s_in"])


@pytest.mark.parametrize("case", cases("calibration"))
def test_calibration(case, device):
    golden = load("calibration", case["case"], device)
    layer = LAYERS[case["kind"]](
        case["bits"], return_quant_tensor=True, collect_stats_steps=case["collect_stats_steps"], reference_quirks=True
    ).to(device)
    optimiser = torch.optim.AdamW(layer.parameters(), **case["adamw"]) if case["adamw"] else None
    ones = torch.ones(2, 2, device=device)
    assert_bits(layer.eval()(ones).scale, golden["eval_scale_before"])
    assert layer.state_dict() == {}
    for step in range(case["forwards"]):
        of = {name: value[step] for name, value in golden.items() if name != "eval_scale_before"}
        x = of["x"].clone().requires_grad_()
        layer.zero_grad()
        layer.train()
        result = layer(x)
        (result.value * of["g"]).sum().backward()
        assert_bits(result.value, of["y"])
        assert_bits(result.scale, of["scale"])
        assert torch.equal(result.code, of["q"].float())
        assert_bits(layer.buffer, of["buffer"])
        assert_bits(layer.threshold, of["value"])
        assert layer.counter == of["counter"]
        size = (of["g"] * of["q"]).abs().sum().double() + (of["g"] * of["x"] / of["scale"]).abs().sum().double()
        place = x.grad != of["grad_x"]
        assert place.sum() <= 1  # the element that the threshold was read from gets a sum
        for ours, theirs in zip(x.grad[place], of["grad_x"][place]):
            assert_sum(ours, theirs, size)
        assert_sum(layer.threshold.grad, of["grad_value"], size)
        assert_bits(layer.eval()(x).scale, of["eval_scale"])
        held = of["buffer"] if of["counter"] <= case["collect_stats_steps"] else of["value"].abs()
        assert_bits(layer.state_dict()[KEY].abs(), held)
        if optimiser is not None:
            optimiser.step()
            assert_bits(layer.threshold, of["value_after_step"])


def hashed(n, step, formula):
    i = torch.arange(n, dtype=torch.int64)
    u = (i * formula["a"] + step * formula["c"] + formula["d"]) % (1 << 24)
    return ((u.double() / 8388608 - 1) * (1 + step / 100)).float()


@pytest.mark.skipif(not GOLDEN.exists(), reason=f"no golden vectors in {GOLDEN}")
def test_calibration_over_300_forwards_and_large_inputs(device):
    content = json.loads((GOLDEN / "calibration.json").read_text())
    for case in content["long"]:
        layer = LAYERS[case["case"].split("/")[1]](case["bits"], return_quant_tensor=True).to(device)
        rows = {row["step"]: row for row in case["rows"]}
        for step in range(1, 303):
            x = hashed(case["n"], step, content["formula"]).to(device)
            scale = layer.train()(x).scale
            if step in rows:
                row = rows[step]
                assert (scale.item(), layer.buffer.item(), layer.counter) == (row["scale"], row["buffer"], row["counter"])
                assert layer.threshold.item() == row["value"]
                assert layer.eval()(x).scale.item() == row["eval_scale"]
    for case in content["percentile"]:
        layer = QuantIdentity(8).to(device)
        layer(hashed(case["n"], case["step"], content["formula"]).to(device))
        assert layer.buffer.item() == case["buffer"], case["n"]


def test_without_quirks_the_optimiser_leaves_the_threshold_alone():
    thresholds = []
    for quirks in (False, True):
        layer = QuantReLU(8, collect_stats_steps=3, reference_quirks=quirks)
        optimiser = torch.optim.AdamW(layer.parameters(), lr=0.05, weight_decay=0.5)
        for _ in range(4):
            optimiser.zero_grad()
            layer(torch.tensor([0.5, 2.0])).sum().backward()
            if layer.counter <= 3:
                optimiser.step()
        thresholds.append(layer.threshold.item())
    assert thresholds[0] == 2 and thresholds[1] < 1.9
    tiny = torch.tensor(1e-9)
    for quirks, scale in ((False, 1e-9 / 128), (True, 1e-10)):
        layer = QuantIdentity(8, return_quant_tensor=True, reference_quirks=quirks)
        layer.load_state_dict({KEY: tiny})
        assert layer.eval()(torch.ones(3)).scale.item() == pytest.approx(scale)


def golden_block(golden, case):
    """Brevitas' Sequential: 0 identity, 1 Linear, 2 LayerNorm, 3 ReLU, 4 Linear, 5 ReLU; its parameters by name."""
    bits, bias_bits, width = case["bits"], case["bias_bits"], case["width"]
    linear = {"weight_bit_width": bits, "bias_bit_width": bias_bits}
    block = nn.Sequential(
        QuantIdentity(bits, return_quant_tensor=True),
        QuantLinear(case["inputs"], width, **linear),
        nn.LayerNorm(width, elementwise_affine=False),
        QuantReLU(bits, return_quant_tensor=True),
        QuantLinear(width, width, **linear),
        QuantReLU(bits, return_quant_tensor=True),
    )
    names = {f"0.{KEY}": "in.threshold", f"3.{KEY}": "0.threshold", f"5.{KEY}": "1.threshold"}
    names |= {f"{place}.{what}": f"{k}.{what}" for place, k in ((1, 0), (4, 1)) for what in ("weight", "bias")}
    block.load_state_dict({ours: golden[theirs] for ours, theirs in names.items()})
    return block, {ours.replace(KEY, "threshold"): theirs for ours, theirs in names.items()}


def assert_gradients(module, golden, names):
    """Weights and inputs relative to the largest entry; biases and thresholds are sums with cancellation."""
    largest = max(float(golden[f"grad/{name}"].abs().max()) for name in names.values())
    for ours, theirs in names.items():
        gradient, expected = module.get_parameter(ours).grad, golden[f"grad/{theirs}"]
        gradient = torch.zeros_like(expected) if gradient is None else gradient
        scale = float(expected.abs().max()) if theirs.endswith("weight") else largest
        assert (gradient - expected).abs().max() <= 1e-5 * scale, ours


@pytest.mark.parametrize("case", cases("block"))
def test_a_block(case, device):
    golden = load("block", case["case"], device)
    block, names = golden_block(golden, case)
    block.to(device)
    codes = {}
    for place, name in ((0, "in"), (3, "0.out"), (5, "1.out")):
        block[place].register_forward_hook(lambda _, __, out, name=name: codes.update({name: out}))
    x = golden["x"].clone().requires_grad_()
    y = block(x).value
    for name, result in codes.items():
        assert torch.equal(result.code, golden[f"codes/{name}"].float()), name
        assert_bits(result.scale, golden[f"scale/{name}"])
    for place, k, front in ((1, 0, "in"), (4, 1, "0.out")):
        weight = block[place].quant_weight()
        assert torch.equal(weight.code, golden[f"codes/{k}.weight"].float())
        assert_bits(weight.scale, golden[f"scale/{k}.weight"])
        bias = block[place].quant_bias(weight.scale, codes[front].scale)
        assert torch.equal((bias / (weight.scale * codes[front].scale)).round().long(), golden[f"codes/{k}.bias"].long())
    assert_bits(y, golden["y"])
    (y * golden["g"]).sum().backward()
    assert (x.grad - golden["grad/x"]).abs().max() <= 1e-5 * golden["grad/x"].abs().max()
    assert_gradients(block, golden, names)
    assert_bits(block.eval()(golden["x"]).value, golden["y"])


def test_bits_scales_and_biases_of_every_width(device):
    torch.manual_seed(1)
    x, weight = torch.randn(50, 6, device=device), torch.randn(5, 6, device=device)
    for bits in range(2, 13):
        most = 2 ** (bits - 1) - 1
        layer = QuantLinear(6, 5, weight_bit_width=bits, per_channel=True).to(device)
        layer.weight = nn.Parameter(weight.clone())
        result = layer.quant_weight()
        assert result.scale.shape == (5,)
        assert torch.equal(result.scale.cpu(), weight.cpu().abs().amax(1) / most)
        assert torch.equal(result.code.abs().amax(1), torch.full((5,), float(most), device=device))
        for row in range(5):  # each output is a matrix of its own
            alone = torch.ops.starling.quantize_weight(weight[row : row + 1], bits)[0]
            assert torch.equal(result.value[row : row + 1], alone)
        (result.value * torch.arange(30, device=device).view(5, 6)).sum().backward()
        assert layer.weight.grad.isfinite().all()
        for layer in (QuantReLU(bits, return_quant_tensor=True), QuantIdentity(bits, return_quant_tensor=True)):
            codes = layer.to(device)(x).code
            low, high = (0, 2**bits - 1) if isinstance(layer, QuantReLU) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
            assert codes.min() >= low and codes.max() <= high and codes.abs().max() >= high


@pytest.mark.parametrize("per_channel", [False, True])
def test_powers_of_two(per_channel, device):
    torch.manual_seed(2)
    layer = QuantLinear(6, 5, weight_bit_width=4, per_channel=per_channel, power_of_two=True).to(device)
    plain = QuantLinear(6, 5, weight_bit_width=4, per_channel=per_channel).to(device)
    plain.load_state_dict(layer.state_dict())
    scale, exact = layer.quant_weight().scale, plain.quant_weight().scale
    assert torch.equal(scale, torch.exp2(exact.double().log2().ceil()).float())
    g = torch.randn(5, 6, device=device)
    (layer.quant_weight().value * g).sum().backward()
    # Straight through: gradients of the scale follow the scale.
    w, s = layer.weight.detach().double(), scale.double().view(-1, 1) if per_channel else scale.double()
    q = (w / s).round().clamp(-7, 7)
    of_scale = g.double() * (q - w / s)
    of_scale = of_scale.sum(1, keepdim=True) if per_channel else of_scale.sum()
    of_scale = of_scale * s / (exact.double().view(-1, 1) if per_channel else exact.double()) / 7
    largest = w.abs() == (w.abs().amax(1, keepdim=True) if per_channel else w.abs().max())
    expected = g.double() + torch.where(largest, w.sign() * of_scale, torch.zeros_like(w))
    torch.testing.assert_close(layer.weight.grad.double(), expected, rtol=1e-5, atol=1e-6)
    exactly = torch.tensor([[0.875, -0.25]], device=device)  # 7/8: the scale is a power of two already
    assert torch.ops.starling.quantize_weight(exactly, 4, False, True)[1] == 0.125
    activation = QuantIdentity(4, return_quant_tensor=True, power_of_two=True).to(device)
    assert activation(torch.tensor([3.0, -1.0], device=device)).scale == 0.5


def test_compiled():
    torch.manual_seed(3)
    block = nn.Sequential(
        QuantIdentity(6, return_quant_tensor=True, collect_stats_steps=2), QuantLinear(5, 4, weight_bit_width=4, bias_bit_width=8),
        nn.LayerNorm(4), QuantReLU(4, collect_stats_steps=2), QuantLinear(4, 3),
    )  # fmt: skip
    x = torch.randn(20, 5)
    assert collecting(block)
    for _ in range(3):
        block(x)
    assert not collecting(block)
    compiled = torch.compile(block, fullgraph=True, backend="aot_eager")
    expected = block(x)
    expected.square().sum().backward()
    gradients = [parameter.grad for parameter in block.parameters()]
    block.zero_grad()
    result = compiled(x)
    result.square().sum().backward()
    assert torch.equal(result, expected)
    for parameter, gradient in zip(block.parameters(), gradients):
        torch.testing.assert_close(parameter.grad, gradient)
    assert torch.equal(compiled.eval()(x), block.eval()(x))
    assert torch.equal(torch.export.export(block, (x,)).module()(x), block(x))


def test_types_and_autocast(device):
    torch.manual_seed(4)
    layers = nn.Sequential(QuantIdentity(8, return_quant_tensor=True), QuantLinear(5, 4, bias_bit_width=16)).to(device)
    x = torch.randn(20, 5, device=device)
    layers(x)
    assert layers(x.bfloat16()).dtype == torch.float32
    doubles = nn.Sequential(QuantIdentity(8, return_quant_tensor=True), QuantLinear(5, 4, bias_bit_width=16)).to(device).double()
    doubles.load_state_dict(layers.state_dict())
    assert doubles.eval()(x.double()).dtype == torch.float64
    expected = layers.eval()(x)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert torch.equal(layers(x), expected)
    layers.train()
    assert layers[0](torch.empty(0, 5, device=device)).value.shape == (0, 5)
    assert layers[0].counter == 2  # an empty input is none to collect from


def test_state_dicts_of_brevitas():
    """Names and what is there when: nothing before training, then the buffer, then the threshold."""
    layer = nn.Sequential(QuantReLU(4, collect_stats_steps=2))
    assert dict(layer.state_dict()) == {}
    layer.load_state_dict({})
    assert collecting(layer)
    layer(torch.tensor([3.0]))
    assert layer.state_dict() == {f"0.{KEY}": 3}
    layer(torch.tensor([1.0]))
    layer(torch.tensor([1.0]))
    assert not collecting(layer)
    (value,) = layer.state_dict().values()
    assert value.item() == pytest.approx(2.8)
    other = nn.Sequential(QuantReLU(4))
    other.load_state_dict(layer.state_dict())
    assert not collecting(other) and other[0].threshold.item() == value.item()
    for state, message in (
        ({f"0.{KEY}": torch.tensor(float("nan"))}, "expected one finite number"),
        ({f"0.{KEY}": torch.ones(2)}, "expected one finite number"),
        ({"0.threshold": torch.ones(())}, "Unexpected"),
    ):
        with pytest.raises(RuntimeError, match=message):
            other.load_state_dict(state)
    assert list(QuantLinear(3, 2, bias_bit_width=4).state_dict()) == ["weight", "bias"]
    assert [name for name, _ in QuantReLU(4).named_parameters()] == ["threshold"]


def test_wrong_arguments():
    for make, message in (
        (lambda: QuantReLU(1), "bit_width is 1: expected an integer in 2 to 12"),
        (lambda: QuantIdentity(13), "bit_width is 13: expected an integer in 2 to 12"),
        (lambda: QuantReLU(4.0), "bit_width is 4.0: expected an integer in 2 to 12"),
        (lambda: QuantReLU(4, collect_stats_steps=0), "collect_stats_steps is 0: expected at least 1"),
        (lambda: QuantLinear(2, 2, weight_bit_width=16), "weight_bit_width is 16: expected an integer in 2 to 12"),
        (lambda: QuantLinear(2, 2, bias_bit_width=33), "bias_bit_width is 33: expected an integer in 2 to 32"),
        (lambda: QuantLinear(2, 2, bias_bit_width=8)(torch.rand(3, 2)), "input is a tensor without a scale: expected a QuantTensor"),
        (lambda: torch.ops.starling.quantize_weight(torch.rand(3), 4), r"weight has shape \[3\]: expected \[outputs, inputs\]"),
        (lambda: torch.ops.starling.quantize_activation(torch.rand(3), torch.rand(2), 4, True), r"threshold has shape \[2\]: expected \[\]"),
        (lambda: torch.ops.starling.quantize_bias(torch.rand(3), torch.rand(2), 4), r"scale has shape \[2\]: expected"),
        (lambda: torch.ops.starling.calibrated_threshold(torch.rand(0)), r"x has shape \[0\]: expected one value at least"),
    ):
        with pytest.raises(ValueError, match=message):
            make()
    x = torch.rand(3, 2, requires_grad=True)
    values, _ = torch.ops.starling.quantize_weight(x, 4)
    with pytest.raises(NotImplementedError, match="second derivative"):
        torch.autograd.grad(values.sum(), x, create_graph=True)
    torch.library.opcheck(
        torch.ops.starling._fake_quantize.default, (x, torch.tensor(1.0, requires_grad=True), 7.0, -7.0, 7.0, 0.0, False, False, False)
    )


# --- the interaction network ---


def places(network):
    """The modules of the Linear layers and of what rounds, by the names of the definitions."""
    result = {}
    for mlp, module in network.named_modules():
        if not isinstance(module, nn.Sequential) or not isinstance(module[0], QuantIdentity):
            continue
        name = mlp.replace("edge_output_transform", "edge_output")
        result[f"{name}.in"], k = f"{mlp}.0", -1
        for place, part in enumerate(module):
            if isinstance(part, QuantLinear):
                k += 1
                result[f"{name}.{k}"] = f"{mlp}.{place}"
            if isinstance(part, QuantReLU):
                result[f"{name}.{k}.out"] = f"{mlp}.{place}"
    return result


@pytest.mark.parametrize("case", cases("gnn"))
def test_the_network(case, device):
    golden = load("gnn", case["case"], device)
    b = case["bits"]
    quantisation = Quantisation(weights=b, biases=b, activations=b, inputs=b)
    network = InteractionNetwork(case["H"], case["N"], quantisation=quantisation)
    where = places(network)
    state, names = {}, {}
    for name, place in where.items():
        if name.endswith((".in", ".out")):
            theirs = name.removesuffix(".out") + ".threshold"
            state[f"{place}.{KEY}"], names[f"{place}.threshold"] = golden[theirs], theirs
        else:
            for what in ("weight", "bias"):
                state[f"{place}.{what}"], names[f"{place}.{what}"] = golden[f"{name}.{what}"], f"{name}.{what}"
    network.load_state_dict(state)
    network.to(device)
    assert not collecting(network)
    codes = {}
    for name, place in where.items():
        if name.endswith((".in", ".out")) and not (name.startswith("edge_network") and name.endswith(".in")):
            layer = network.get_submodule(place)
            hook = layer.register_forward_hook
            hook(lambda layer, inputs, out, name=name: codes.update({name: layer.quantise(inputs[0], layer.threshold_of(inputs[0]))}))
    x, edge_attr = (golden[name].clone().requires_grad_() for name in ("x", "edge_attr"))
    logits = network(x, golden["edge_index"], edge_attr)
    assert (logits - golden["logits"]).abs().max() < 1e-6
    checked = 0
    for name, result in codes.items():
        assert torch.equal(result.code, golden[f"codes/{name}"].float()), name
        assert_bits(result.scale, golden[f"scale/{name}"])
        checked += 1
    assert checked == len([name for name in golden if name.startswith("codes/")]) - case["N"]  # what edge networks read is in parts
    (logits * golden["g"]).sum().backward()
    for ours, theirs in ((x, "x"), (edge_attr, "edge_attr")):
        assert (ours.grad - golden[f"grad/{theirs}"]).abs().max() <= 1e-5 * golden[f"grad/{theirs}"].abs().max()
    assert_gradients(network, golden, names)
    assert (network.eval()(golden["x"], golden["edge_index"], golden["edge_attr"]) - golden["logits"]).abs().max() < 1e-6


def graph(nodes=30, edges=100):
    generator = torch.Generator().manual_seed(5)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    return torch.randn(nodes, 12, generator=generator), edge_index, torch.randn(edges, 6, generator=generator)


VARIANTS = [{}, {"norm": "batch"}, {"recurrent": True}, {"bias": False}, {"concat": False, "norm": "none"}]


def copy_parameters(source, target):
    """Of Linear layers and batch normalisations, in their order."""
    of = [[m for m in network.modules() if isinstance(m, (nn.Linear, nn.BatchNorm1d))] for network in (source, target)]
    for one, other in zip(*of, strict=True):
        other.load_state_dict(one.state_dict())


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_site_and_variant(variant):
    """With 12 bits it is near the network in float. What an edge network reads is calibrated as a whole."""
    torch.manual_seed(6)
    every = Quantisation(12, 32, 12, 12, norm_outputs=12, node_states=11, edge_states=12, message_sums=12, collect_stats_steps=6)
    network = InteractionNetwork(8, 3, quantisation=every, **variant)
    x, edge_index, edge_attr = graph()
    for linear in (m for m in network.modules() if isinstance(m, nn.Linear)):
        nn.init.uniform_(linear.weight, -((3 / linear.in_features) ** 0.5), (3 / linear.in_features) ** 0.5)
    states = []
    for encoder in (network.node_encoder, network.edge_encoder):
        encoder.register_forward_hook(lambda _, __, out: states.append(out.detach()))
    first = copy.deepcopy(network)
    front = (first.edge_network if first.recurrent else first.edge_network[0])[0]
    assert front.collects
    first(torch.cat([x, 50 * x[:1]]), edge_index, edge_attr).square().sum().backward()  # no edge reads the last node
    if not first.recurrent:
        assert front.buffer == max(states[0][edge_index.flatten()].abs().max(), states[1].abs().max())
    assert all(p.grad is None or p.grad.isfinite().all() for p in first.parameters())
    for _ in range(7):
        network(x, edge_index, edge_attr)
    last = None if network.recurrent else network.node_network[2]
    assert not any(m.counter < 7 for m in quantisers(network) if last is None or m not in quantisers(last))
    others = InteractionNetwork(8, 3, **variant)
    copy_parameters(network, others)
    with torch.no_grad():
        exact, rounded = others(x, edge_index, edge_attr), network.eval()(x, edge_index, edge_attr)
    assert 0 < (rounded - exact).abs().max() < 0.1 * (exact - exact.mean()).abs().max()
    state = network.state_dict()
    again = InteractionNetwork(8, 3, quantisation=every, **variant)
    again.load_state_dict(state)
    assert torch.equal(again.eval()(x, edge_index, edge_attr), rounded)


def quantisers(module):
    return [m for m in module.modules() if isinstance(m, (QuantIdentity, QuantReLU))]


def test_sites():
    """Every site has the bits that were asked for, and nothing else is rounded."""
    found = lambda network, kind: {n: m.bit_width for n, m in network.named_modules() if isinstance(m, kind)}  # noqa: E731
    network = InteractionNetwork(4, 2, quantisation=Quantisation(None, None, None, None))
    assert not quantisers(network) and not found(network, QuantReLU)
    assert not [m for m in network.modules() if isinstance(m, QuantLinear)]
    network = InteractionNetwork(4, 2, quantisation=Quantisation(3, None, None, None, edge_states=5, node_states=6))
    assert all(m.weight_bit_width == 3 and m.bias_bit_width is None for m in network.modules() if isinstance(m, QuantLinear))
    places = ["edge_encoder", "node_encoder", "edge_network.0", "edge_network.1", "node_network.0", "node_network.1"]
    assert found(network, QuantReLU) == {f"{name}.8": 5 if name.startswith("edge") else 6 for name in places}
    layers = {
        "edge_network": {"weights": 5}, "edge_network.1": {"inputs": 9}, "edge_network.1.0": {"weights": 2, "biases": 20, "activations": 7},
        "edge_output.1": {"weights": 12},
    }  # fmt: skip
    network = InteractionNetwork(4, 2, quantisation=Quantisation(4, 16, 4, 4, norm_outputs=8, message_sums=10, layers=layers))
    bits = {n: (m.weight_bit_width, m.bias_bit_width) for n, m in network.named_modules() if isinstance(m, QuantLinear)}
    assert bits.pop("edge_network.1.1") == (2, 20) and bits.pop("edge_output_transform.4") == (12, 16)
    assert all(value == (5 if name.startswith("edge_network") else 4, 16) for name, value in bits.items())
    assert network.edge_network[1][0].bit_width == 9 and network.edge_network[1][3].bit_width == 7
    assert network.edge_network[0][0].bit_width == 4 and network.edge_network[0][2][1].bit_width == 8
    assert [m.bit_width for m in network.message_sums] == [10]
    for make, message in (
        (lambda: Quantisation(1), "weights is 1: expected an integer in 2 to 12"),
        (lambda: Quantisation(biases=40), "biases is 40: expected an integer in 2 to 32"),
        (lambda: Quantisation(layers={"edge_output": {"weight": 4}}), "edge_output has weight: expected weights, biases"),
        (lambda: Quantisation(layers={"edge_output": {"weights": 0}}), "edge_output: weights is 0: expected an integer in 2 to 12"),
        (lambda: Quantisation(inputs=None), "layer node_encoder.0: biases is 8: expected None, since"),
        (lambda: Quantisation(weights=None), "layer node_encoder.0: biases is 8: expected None, since"),
        (lambda: Quantisation(layers={"edge_network.2": {"inputs": 4}}), "layers has 'edge_network.2': expected an MLP or a layer"),
    ):
        with pytest.raises(ValueError, match=message):
            InteractionNetwork(4, 2, quantisation=make())


def test_the_network_compiled_and_under_autocast():
    torch.manual_seed(7)
    network = InteractionNetwork(8, 1, quantisation=Quantisation(6, 16, 6, 6, collect_stats_steps=1))
    inputs = graph()
    for _ in range(2):
        network(*inputs)
    expected = network(*inputs)
    assert torch.equal(torch.compile(network, fullgraph=True, backend="aot_eager")(*inputs), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(network(*inputs), expected)


def test_training_lowers_the_loss():
    """Straight-through gradients train a network of 4 bits. Its loss goes up and down: the last ten steps count."""
    torch.manual_seed(8)
    network = InteractionNetwork(8, 2, quantisation=Quantisation(4, 16, 4, 4, collect_stats_steps=5))
    x, edge_index, edge_attr = graph(50, 300)
    label = (edge_attr[:, 0] + x[edge_index[0], 0] > 0).float()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3)
    losses = []
    for _ in range(120):
        value = nn.functional.binary_cross_entropy_with_logits(network(x, edge_index, edge_attr), label)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        losses.append(value.item())
    assert sum(losses[-10:]) / 10 < 0.6 * losses[0]
