"""`starling export`: what other programs compute from its ONNX files, beside the networks that they are of."""

import json
import subprocess

import pytest
import torch
from golden import deviation
from test_convert import PROGRAM, SHIPPED, program_scores, simulated_graph
from test_interaction_network import OPTIONS, golden_network, graph, variants
from test_quant import KEY, cases, load, places

from starling.convert import read_model, write_model
from starling.nn import InteractionNetwork
from starling.nn.prune import Pruner
from starling.nn.quant import Quantisation

numpy = pytest.importorskip("numpy")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.skipif(not PROGRAM, reason="STARLING_PROGRAM does not name the program starling, which exports")

CODES = ["qdq", "qcdq", "qonnx"]


class Exported:
    """A network as a file of one form, as a runtime computes it."""

    def __init__(self, network, form, folder):
        model, self.file = folder / "model.safetensors", folder / f"{form}.onnx"
        write_model(network, model, like=SHIPPED, provenance={"made by": "a test"})
        subprocess.run([PROGRAM, "export", model, f"--{form}", self.file], check=True, stdout=subprocess.DEVNULL)
        self.model = onnx.load(self.file)
        onnx.checker.check_model(self.model, full_check=True)
        if form == "qonnx":
            self.run = evaluator(self.model).run
            return
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        # Its products saturate on processors without VNNI; what prevents that fails on shared weights (docs/export.md).
        options.add_session_config_entry("session.disable_quant_qdq" if network.recurrent else "session.x64quantprecision", "1")
        self.run = onnxruntime.InferenceSession(self.file, options, providers=["CPUExecutionProvider"]).run

    def __call__(self, x, edge_index, edge_attr):
        inputs = {"x": x.float().numpy(), "edge_index": edge_index.long().numpy(), "edge_attr": edge_attr.float().numpy()}
        (logits,) = self.run(None, inputs)
        assert logits.dtype == numpy.float32 and logits.shape == (edge_index.shape[1],)
        return torch.tensor(logits)


def evaluator(model):
    """onnx's reference in Python, with Quant as the package qonnx computes it."""
    quant = pytest.importorskip("qonnx.custom_op.general.quant").quant
    from onnx.reference import ReferenceEvaluator
    from onnx.reference.op_run import OpRun

    class Quant(OpRun):
        op_domain = "qonnx.custom_op.general"

        def _run(self, x, scale, zero, bits, signed=None, narrow=None, rounding_mode=None):
            return (quant(x, scale, zero, bits, signed, narrow, rounding_mode).astype(numpy.float32),)

    return ReferenceEvaluator(model, new_ops=[Quant])


@pytest.mark.parametrize("variant", variants())
def test_golden_networks_in_float(variant, tmp_path):
    network, golden, _ = golden_network(variant, "cpu", torch.float32)
    logits = Exported(network, "onnx", tmp_path)(golden["x"], golden["edge_index"], golden["edge_attr"])
    assert deviation(logits, golden["logits"]) < 2e-5


SIZES = [(0, 0), (1, 0), (1, 1), (2, 1), (5, 40), (40, 100)]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_sizes_in_float(options, steps, tmp_path):
    torch.manual_seed(1)
    network = InteractionNetwork(6, steps, **options)
    exported = Exported(network, "onnx", tmp_path)
    for nodes, edges in SIZES:
        inputs = graph(nodes, edges, torch.float32)
        logits = exported(*inputs)
        with torch.no_grad():
            expected = network(*inputs)
        largest = max(0.01, expected.abs().max()) if edges else 1  # one row, normalised over rows, leaves nothing but rounding
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5 * largest, msg=f"{nodes} nodes, {edges} edges")


@pytest.mark.parametrize("case", cases("gnn"))
def test_golden_networks_in_codes(case, tmp_path):
    """No value of these lies near the boundary of two codes, so logits are those of the golden codes."""
    golden = load("gnn", case["case"])
    b = case["bits"]
    network = InteractionNetwork(case["H"], case["N"], quantisation=Quantisation(weights=b, biases=b, activations=b, inputs=b))
    state = {}
    for name, place in places(network).items():
        if name.endswith((".in", ".out")):
            state[f"{place}.{KEY}"] = golden[name.removesuffix(".out") + ".threshold"]
        else:
            state |= {f"{place}.{what}": golden[f"{name}.{what}"] for what in ("weight", "bias")}
    network.load_state_dict(state)
    for form in CODES if b == 8 else CODES[1:]:
        logits = Exported(network, form, tmp_path)(golden["x"], golden["edge_index"], golden["edge_attr"])
        assert (logits - golden["logits"]).abs().max() < 2e-6, form


def quantised(bits, graph, *, hidden=8, steps=3, weights=None, pruned=0.0, per_channel=False, power_of_two=False, **options):
    """A network with thresholds as the graph has them, its features finer than its states, as compact models have it."""
    torch.manual_seed(3)
    fine = {"node_encoder": {"inputs": 12}, "edge_encoder": {"inputs": 12}, "edge_encoder.1": {"activations": 11, "weights": 10}}
    quantisation = Quantisation(bits, 16, bits, bits, collect_stats_steps=1, per_channel=per_channel, power_of_two=power_of_two, layers=fine)
    network = InteractionNetwork(hidden, steps, quantisation=quantisation, **options)
    linears = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    for linear in linears:
        torch.nn.init.uniform_(linear.weight, -((3 / linear.in_features) ** 0.5), (3 / linear.in_features) ** 0.5)
    if weights is not None:
        for ours, theirs in zip(linears, (m for m in weights.modules() if isinstance(m, torch.nn.Linear)), strict=True):
            ours.load_state_dict(theirs.state_dict())
    if pruned:
        Pruner(network).prune(pruned)
    with torch.no_grad():
        for _ in range(2):
            network(*graph)
        for name, parameter in network.named_parameters():
            if name.endswith("threshold"):  # not a simple ratio of others, which would put values between two codes
                parameter.mul_(1.0 + 0.1 * torch.rand(()))
    return network.eval()


def last_step(network):
    """What one step of one code in front of the last product changes in a logit, at most."""
    linear, relu = network.edge_output_transform[-1], network.edge_output_transform[-2]
    return (linear.quant_weight().value.detach().abs().max() * relu(torch.zeros(1)).scale.detach()).item()


@pytest.mark.parametrize("bits", [8, 3])
@pytest.mark.parametrize("variant", OPTIONS, ids=str)
def test_codes_are_those_of_training(variant, bits, tmp_path):
    """Normalisation and sums round otherwise, so that single codes may be others."""
    inputs = graph(40, 150, torch.float32)
    network = quantised(bits, inputs, per_channel=bits == 3, power_of_two=bits == 3, pruned=0.6, **variant)
    for form in CODES if bits == 8 else CODES[1:]:
        exported = Exported(network, form, tmp_path)
        for nodes, edges in (*SIZES[:4], (40, 150)):
            inputs = graph(nodes, edges, torch.float32)
            logits = exported(*inputs)
            with torch.no_grad():
                difference = (logits - network(*inputs)).abs()
            assert not edges or difference.max() < last_step(network), (form, nodes, edges)
        assert difference.median() < 1e-5, form


@pytest.mark.parametrize("bits", ["float", 8, 6])
def test_scores_are_those_of_the_program(bits, tmp_path):
    """The shipped network on a simulated event: in codes the program computes with integers."""
    inputs = simulated_graph(tmp_path, SHIPPED, torch.pi)
    shipped = read_model(SHIPPED)
    network = shipped if bits == "float" else quantised(bits, inputs, hidden=48, steps=8, weights=shipped, pruned=0.05)
    exported = Exported(network, "onnx" if bits == "float" else "qcdq", tmp_path)
    scores, expected = exported(*inputs).sigmoid(), program_scores(tmp_path, tmp_path / "model.safetensors")
    difference = (scores - expected).abs()
    unequal = ((scores > 0.5) != (expected > 0.5)).double().mean()
    print(f"{bits}: {len(scores)} edges, {100 * unequal:.3f} % on the other side of 0.5; mean difference {difference.mean():.1e}")
    if bits == "float":
        assert difference.mean() < 1e-6 and difference.max() < 2e-5
    else:
        assert difference.median() < 1e-4 and difference.mean() < 1e-3 and unequal < 2e-3


def test_what_a_file_says(tmp_path):
    torch.manual_seed(1)
    network = InteractionNetwork(6, 2)
    exported = Exported(network, "onnx", tmp_path)
    metadata = {entry.key: json.loads(entry.value) for entry in exported.model.metadata_props}
    assert metadata.keys() == {"architecture", "scales", "cuts", "provenance"}
    assert metadata["provenance"] == {"made by": "a test"} and metadata["architecture"]["hidden"] == 6
    weight = next(array for array in exported.model.graph.initializer if array.name == "edge_network.1.2.weight")
    assert torch.equal(torch.tensor(onnx.numpy_helper.to_array(weight)), network.edge_network[1][6].weight)
