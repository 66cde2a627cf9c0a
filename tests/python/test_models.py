"""Networks against the golden vectors: outputs of every layer, all gradients, numbers of parameters."""

import pytest
import torch
from golden import cases, deviation, load

from starling.models import DGCNN, GravNetModel

# Where the layers of a kind are, and what PyG's parameters are called in FastGraphCompute's layer.
FASTGRAPHCOMPUTE = {"lin_s": "space_transformations", "lin_h": "propagate_transformations"}


def parameter_count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_numbers_of_parameters():
    assert parameter_count(GravNetModel(64, 10)) == 215_578
    assert parameter_count(GravNetModel(64, 10, form="op")) == 215_578
    assert parameter_count(DGCNN(64, 10)) == 224_650


def make_model(kind, sizes):
    widths = {"hidden": sizes["hidden"], "width": 2 * sizes["prop"], "k": sizes["k"]}
    if kind == "dgcnn":
        return DGCNN(sizes["in"], sizes["out"], **widths)
    return GravNetModel(
        sizes["in"], sizes["out"], **widths, space_dimensions=sizes["space"], propagate_dimensions=sizes["prop"],
        form="op" if kind == "op" else "pyg",
    )  # fmt: skip


def as_op(parameters):
    """Golden parameters, or their gradients, of the form pyg by the names of the form op."""
    renamed = {}
    for name, value in parameters.items():
        if ".lin_out1." in name:
            both = torch.cat([value, parameters[name.replace("lin_out1", "lin_out2")]], 1)
            renamed[name.replace("lin_out1", "output_transformations.0")] = both
        elif ".lin_out2.bias" in name:
            renamed[name.replace("lin_out2", "output_transformations.0")] = value
        elif ".lin_out2." not in name:
            for pyg, op in FASTGRAPHCOMPUTE.items():
                name = name.replace(pyg, op)
            renamed[name] = value
    return renamed


def golden_state(kind, golden):
    other = "gravnet_layers" if kind == "dgcnn" else "edgeconv_layers"
    state = {name.removeprefix("weights/"): value for name, value in golden.items() if name.startswith("weights/")}
    state = {name: value for name, value in state.items() if not name.startswith(other)}
    return as_op(state) if kind == "op" else state


def ramp(size, like):
    return torch.tensor([((7919 * i) % 17 - 8) / 8 for i in range(size)], dtype=torch.float64, device=like.device)


def check_gradient(name, gradient, golden, bound):
    """Against the whole gradient, or its products with a fixed vector; whether one of them is there."""
    if f"grad/{name}" in golden:
        expected = golden[f"grad/{name}"]
        if name.endswith(("lin_s.bias", "space_transformations.bias")):  # 0 but for rounding
            assert gradient.abs().max() <= bound * max(golden["scale"], 1)
        else:
            assert deviation(gradient, expected) < bound, name
        return True
    if f"proj/{name}/row" in golden:
        rows, columns = gradient.shape
        gradient = gradient.double()
        assert deviation(gradient @ ramp(columns, gradient), golden[f"proj/{name}/row"]) < bound, name
        assert deviation(ramp(rows, gradient) @ gradient, golden[f"proj/{name}/col"]) < bound, name
        return True
    return False


KINDS = ["gravnet", "op", "dgcnn"]


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", cases("models"))
def test_the_network_is_the_golden_one(case, kind, dtype, bound, device):
    options, golden = load("models", case, device)
    model = make_model(kind, options["sizes"]).to(device, dtype)
    model.load_state_dict(golden_state(kind, golden))
    assert parameter_count(model) == options[kind]["parameters"]
    golden = {name.removeprefix(kind + "/"): value for name, value in golden.items() if name.startswith(kind + "/")}
    if kind == "op":  # gradients too are named as PyG's
        grads = {name.removeprefix("grad/"): value for name, value in golden.items() if name.startswith("grad/")}
        golden |= {f"grad/{name}": value for name, value in as_op(grads).items()} if grads else {}
    golden["scale"] = max((float(v.abs().max()) for n, v in golden.items() if n.startswith(("grad/", "proj/"))), default=1)
    x = golden["x"].to(dtype).requires_grad_()
    outputs = {}
    for block, dense in enumerate(model.dense_after_gravnet):
        dense.register_forward_hook(lambda _, __, out, block=block: outputs.update({f"block{block}/out": out.detach().clone()}))
    out = model(x, row_splits=golden["row_splits"])
    assert deviation(out.detach(), golden["out"]) < bound
    for name, value in outputs.items():
        if name in golden:
            assert deviation(value, golden[name]) < bound, name
    (out * golden["g"].to(dtype)).sum().backward()
    checked = check_gradient("x", x.grad, golden, bound)
    for name, parameter in model.named_parameters():
        checked += check_gradient(name, parameter.grad, golden, bound)
    assert checked == (0 if (case, kind) == ("full", "op") else len(list(model.parameters())) + 1)


def test_the_head_reads_all_blocks():
    torch.manual_seed(1)
    model = GravNetModel(3, 2, hidden=8, width=6, blocks=3, propagate_dimensions=4, k=4, concat=True)
    assert model.fc3.weight.shape == (8, 18)
    x = torch.rand(20, 3, requires_grad=True)
    model(x, torch.arange(20) // 8).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_wrong_arguments():
    with pytest.raises(ValueError, match="form is 'fgc': expected 'pyg' or 'op'"):
        GravNetModel(3, 2, form="fgc")
    with pytest.raises(ValueError, match="factor is 1.0, subtract False with form 'op': expected 10 and False"):
        GravNetModel(3, 2, form="op", factor=1.0)
    with pytest.raises(ValueError, match="subtract True with form 'op'"):
        GravNetModel(3, 2, form="op", subtract=True)
    assert GravNetModel(3, 2, subtract=True).gravnet_layers[1].subtract
    model = GravNetModel(3, 2, hidden=8, width=6, blocks=1, k=4)
    with pytest.raises(ValueError, match="GravNetModel: batch and row_splits are both given"):
        model(torch.rand(4, 3), torch.zeros(4, dtype=torch.int64), row_splits=torch.tensor([0, 4]))
    x = torch.rand(4, 3)
    for make in (GravNetModel, DGCNN):
        name = make.__name__
        model = make(3, 2, hidden=8, width=6, blocks=1, k=4)
        with pytest.raises(ValueError, match=rf"{name}: batch has shape \[2\]: expected \[4\]; row splits go by row_splits="):
            model(x, torch.tensor([0, 4]))
        with pytest.raises(ValueError, match=rf"{name}: x has shape \[4, 2\]: expected \[N, 3\]"):
            model(x[:, :2])
        with pytest.raises(TypeError, match=f"{name}: x is a tuple: expected one tensor: bipartite input is not supported"):
            model((x, x))
        with pytest.raises(ValueError, match="in_channels is -1: expected at least 1"):
            make(-1, 2)
        with pytest.raises(ValueError, match="blocks is 0: expected at least 1"):
            make(3, 2, blocks=0)


@pytest.mark.parametrize("make", [GravNetModel, DGCNN])
def test_compiled_and_exported(make):
    torch.manual_seed(2)
    model = make(3, 2, hidden=8, width=6, blocks=2, k=4)
    x = torch.rand(50, 3)
    expected = model(x)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), expected)
    compiled(x).sum().backward()
    assert torch.equal(torch.export.export(model, (x,)).module()(x), expected)
