"""starling.convert: checkpoints of acorn, model files, and the numbers of the program `starling` from both."""

import json
import os
import pathlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from starling.convert import acorn_network, convert, main, read_acorn, read_model, write_model
from starling.nn import InteractionNetwork
from starling.nn.prune import Pruner
from starling.nn.quant import Quantisation, QuantIdentity, QuantLinear, QuantReLU

SOURCE = Path(__file__).resolve().parents[2]
SHIPPED = SOURCE / "models/tracking.safetensors"
PROGRAM = os.environ.get("STARLING_PROGRAM")

# As acorn's configurations of InteractionGNN2 have them, training and all.
NAMES = ["r", "phi", "z", "eta"]
HYPER_PARAMETERS = {
    "hidden": 8, "n_graph_iters": 2, "n_node_net_layers": 3, "n_edge_net_layers": 3, "n_edge_decoder_layers": 3,
    "node_features": [*NAMES, *(f"cluster_{n}_1" for n in NAMES), *(f"cluster_{n}_2" for n in NAMES)],
    "node_scales": [1000, 3.14, 1000.0, 1.0] * 3,
    "edge_features": ["dr", "dphi", "dz", "deta", "phislope", "rphislope"],
    "layernorm": True, "batchnorm": False, "concat": True, "in_out_diff_agg": True,
    "edge_net_recurrent": False, "node_net_recurrent": False,
    "hidden_activation": "ReLU", "output_activation": "ReLU", "edge_output_transform_final_activation": None,
    "checkpointing": True, "lr": 0.001, "stage_dir": "somewhere", "epoch_metric": None,
}  # fmt: skip

VARIANTS = [
    {}, {"layernorm": False}, {"layernorm": False, "batchnorm": True}, {"concat": False},
    {"edge_net_recurrent": True, "node_net_recurrent": True},
    {"edge_net_recurrent": True, "node_net_recurrent": True, "layernorm": False, "n_graph_iters": 3},
]  # fmt: skip


def make_checkpoint(file, changes=(), bias=True, **content):
    """A checkpoint of a network with random parameters, as Lightning writes it; the network."""
    torch.manual_seed(1)
    hyper_parameters = HYPER_PARAMETERS | dict(changes)
    network = acorn_network(hyper_parameters)
    if not bias:
        names = ("recurrent", "norm", "concat")
        network = InteractionNetwork(network.hidden, network.steps, bias=False, **{n: getattr(network, n) for n in names})
    for parameter in network.parameters():
        parameter.data.copy_(torch.rand(parameter.shape) - 0.5)
    checkpoint = {
        "epoch": 7, "global_step": 800, "pytorch-lightning_version": "2.2.1", "hyper_parameters": hyper_parameters,
        "state_dict": network.state_dict(), "optimizer_states": [{"state": {0: torch.rand(3)}}], **content,
    }  # fmt: skip
    torch.save(checkpoint, file)
    return network


def assert_same(a, b):
    assert str(a) == str(b)
    for (name, value), (other, expected) in zip(a.state_dict().items(), b.state_dict().items(), strict=True):
        assert name == other and torch.equal(value, expected), name


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_there_and_back(changes, bias, tmp_path):
    network = make_checkpoint(tmp_path / "acorn.ckpt", changes, bias)
    assert_same(read_acorn(tmp_path / "acorn.ckpt"), network)
    for name, like in (("network", None), ("tracking", SHIPPED)):
        file = tmp_path / f"{name}.safetensors"
        convert(tmp_path / "acorn.ckpt", file, like=like)
        assert_same(read_model(file), network)
        kind, sections, arrays = torch.ops.starling._read_network(str(file))
        assert kind == (name if name == "tracking" else "interaction_network")
        assert json.loads(sections["provenance"]) == {
            "acorn": "acorn.ckpt", "epoch": 7, "global_step": 800, "pytorch-lightning_version": "2.2.1",
        }  # fmt: skip
        if like is not None:
            _, expected, others = torch.ops.starling._read_network(str(SHIPPED))
            assert json.loads(sections["scales"]) == {"r": 1000, "phi": 3.14, "z": 1000, "eta": 1}
            assert all(sections[part] == expected[part] for part in ("windows", "cuts"))
            windows = [array for array in others if array.startswith("windows.")]
            assert windows and all(torch.equal(arrays[array], others[array]) for array in windows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["acorn.ckpt", "network.safetensors", "tracking.safetensors"]


def test_the_shipped_model(tmp_path):
    """It loads, and what is written of it is the same network."""
    network = read_model(SHIPPED)
    assert sum(parameter.numel() for parameter in network.parameters()) == 280_177
    write_model(network, tmp_path / "again.safetensors", like=SHIPPED)
    assert_same(read_model(tmp_path / "again.safetensors"), network)


def run(*command):
    subprocess.run([PROGRAM, *command], check=True, capture_output=True)


def simulated_graph(folder, model, phi):
    """Node features, edges and edge features of a simulated event, as `starling graph` gives them."""
    numpy = pytest.importorskip("numpy")
    run("simulate", "--events=1", "--pileup=1", f"--detector={SOURCE / 'detectors/trackml.toml'}", f"--out={folder}")
    run("graph", f"--model={model}", "--features", f"--out={folder}", folder / "event000000000")
    hits, graph = (
        numpy.genfromtxt(folder / f"event000000000-{table}.csv", delimiter=",", names=True) for table in ("hits", "graph")
    )
    x, y, z = (hits[axis] for axis in "xyz")
    r = numpy.hypot(x, y)
    once = numpy.stack([r / 1000, numpy.arctan2(y, x) / phi, z / 1000, numpy.arcsinh(z / r)], 1)
    nodes = torch.tensor(numpy.concatenate([once] * 3, 1), dtype=torch.float32)
    ends = [numpy.searchsorted(hits["hit_id"], graph[end]) for end in ("hit_id_src", "hit_id_dst")]
    features = numpy.stack([graph[name] for name in HYPER_PARAMETERS["edge_features"]], 1)
    return nodes, torch.tensor(numpy.stack(ends)), torch.tensor(features, dtype=torch.float32)


def program_scores(folder, model):
    """The scores of `starling reconstruct` for the edges of simulated_graph()."""
    numpy = pytest.importorskip("numpy")
    run("reconstruct", f"--model={model}", "--scores", f"--out={folder}", folder / "event000000000")
    tables = [numpy.genfromtxt(folder / f"event000000000-{name}.csv", delimiter=",", names=True) for name in ("graph", "scores")]
    assert all(numpy.array_equal(tables[0][end], tables[1][end]) for end in ("hit_id_src", "hit_id_dst"))
    return torch.tensor(tables[1]["score"])


@pytest.mark.skipif(not PROGRAM, reason="STARLING_PROGRAM does not name the program starling, which gives the scores")
@pytest.mark.parametrize("model", ["shipped", "acorn"])
def test_scores_are_those_of_the_program(model, tmp_path):
    """Events from `starling simulate`, edges from `starling graph`, scores from `starling reconstruct`."""
    file, phi = SHIPPED, torch.pi
    if model == "acorn":
        make_checkpoint(tmp_path / "acorn.ckpt")
        file, phi = tmp_path / "acorn.safetensors", 3.14
        convert(tmp_path / "acorn.ckpt", file, like=SHIPPED)
    graph = simulated_graph(tmp_path, file, phi)
    scores = program_scores(tmp_path, file)
    with torch.no_grad():
        difference = (read_model(file)(*graph).sigmoid() - scores).abs()
    assert len(scores) > 100 and scores.max() - scores.min() > 0.01
    assert difference.mean() < 1e-6 and difference.max() < 2e-5  # float32 through all steps, and features of 1 ulp


@pytest.mark.skipif(not PROGRAM, reason="STARLING_PROGRAM does not name the program starling, which gives the scores")
def test_scores_of_a_quantised_network_are_those_of_the_program(tmp_path):
    """The program computes with integers what training computes with rounded values."""
    shipped = read_model(SHIPPED)
    network = InteractionNetwork(quantisation=Quantisation(8, 16, 8, 8, collect_stats_steps=1))
    linears = ([m for m in module.modules() if isinstance(m, torch.nn.Linear)] for module in (network, shipped))
    for ours, theirs in zip(*linears, strict=True):
        ours.load_state_dict(theirs.state_dict())
    Pruner(network).prune(0.05)
    graph = simulated_graph(tmp_path, SHIPPED, torch.pi)
    with torch.no_grad():
        for _ in range(2):
            network(*graph)
        scores = network.eval()(*graph).sigmoid()
    file = tmp_path / "codes.safetensors"
    write_model(network, file, like=SHIPPED, provenance={"made by": "a test"})
    assert file.stat().st_size < SHIPPED.stat().st_size / 3
    difference = (program_scores(tmp_path, file) - scores).abs()
    assert difference.mean() < 1e-3 and difference.median() < 1e-5 and difference.max() < 0.2
    with pytest.raises(ValueError, match="codes.safetensors: a network of codes: expected one in float"):
        read_model(file)
    write_model(shipped, tmp_path / "again.safetensors", like=file)  # windows and cuts are there as in the model in float
    assert_same(read_model(tmp_path / "again.safetensors"), shipped)


@pytest.mark.parametrize("options", [{}, {"per_channel": True, "power_of_two": True}, {"layers": {"edge_output.1": {"weights": 12, "biases": 32}}}], ids=str)
@pytest.mark.parametrize("variant", [{}, {"norm": "batch"}, {"recurrent": True}, {"bias": False}, {"norm": "none", "concat": False}], ids=str)
def test_codes_in_a_file_are_those_of_training(variant, options, tmp_path):
    torch.manual_seed(2)
    network = InteractionNetwork(8, 2, quantisation=Quantisation(4, 16, 5, 6, collect_stats_steps=1, **options), **variant)
    pruner = Pruner(network)
    pruner.prune(0.5)
    x, edge_index, edge_attr = torch.randn(20, 12), torch.randint(20, (2, 60)), torch.randn(60, 6)
    for _ in range(2):
        network(x, edge_index, edge_attr)
    write_model(network, tmp_path / "codes.safetensors")
    kind, sections, arrays = torch.ops.starling._read_network(str(tmp_path / "codes.safetensors"))
    assert kind == "interaction_network" and "quantization" in sections
    checked = 0
    for mlp, modules in (("node_encoder", network.node_encoder), ("edge_output", network.edge_output_transform)):
        for layer, linear in enumerate(m for m in modules if isinstance(m, QuantLinear)):
            kept = linear.parametrizations.weight[0].mask
            assert 0 < kept.sum() < kept.numel()
            assert torch.equal(arrays[f"{mlp}.{layer}.weight"].flatten().float(), linear.quant_weight().code[kept] + 0)  # those kept
            checked += 1
    assert checked == 5


def test_quantised_networks_that_a_file_cannot_hold(tmp_path):
    file = tmp_path / "codes.safetensors"
    for quantisation, message in (
        (Quantisation(), "threshold of node_encoder.input is still collected, 0 of 300 training forwards"),
        (Quantisation(norm_outputs=8), "norm_outputs is 8: expected None"),
        (Quantisation(message_sums=8), "message_sums is 8: expected None"),
        (Quantisation(None, None, 8, 8), "has a Linear in float: expected bits at every site"),
        (Quantisation(biases=None), "the bias of node_encoder.0 has no bits: expected 2 to 32 everywhere"),
        (Quantisation(8, None, None, 8), "has no bits|has a ReLU in float"),
    ):
        network = InteractionNetwork(4, 1, quantisation=quantisation)
        if quantisation != Quantisation():
            for module in network.modules():
                if isinstance(module, (QuantIdentity, QuantReLU)):
                    module.counter = 301
        with pytest.raises(ValueError, match=message):
            write_model(network, file)
    assert not file.exists()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"in_out_diff_agg": False}, "hyper-parameter in_out_diff_agg is False: expected True"),
        ({"n_node_net_layers": 2}, "hyper-parameter n_node_net_layers is 2: expected 3"),
        ({"hidden_activation": "SiLU"}, "hyper-parameter hidden_activation is 'SiLU': expected 'ReLU'"),
        ({"track_running_stats": True}, "hyper-parameter track_running_stats is True: expected False"),
        ({"hidden_dropout": 0.1}, "hyper-parameter hidden_dropout is 0.1: expected 0"),
        ({"layernorm": "yes"}, "hyper-parameter layernorm is 'yes': expected True or False"),
        ({"batchnorm": True}, "hyper-parameters layernorm and batchnorm are both True: expected one of them at most"),
        ({"node_net_recurrent": True}, "hyper-parameter edge_net_recurrent is False, node_net_recurrent is True: expected both alike"),
        ({"hidden": 8.0}, "hyper-parameter hidden is 8.0: expected an integer"),
        ({"hidden": 2000}, "hidden is 2000: expected at most 1024"),
        ({"node_features": []}, r"hyper-parameter node_features is \[\]: expected a list of names"),
        ({"hidden": 9}, r"parameter node_encoder.0.weight has shape \[8, 12\]: expected \[9, 12\]"),
        ({"n_graph_iters": 3}, r"parameter edge_network.2.0.weight is missing: expected one of shape \[8, 48\]"),
        ({"n_graph_iters": 1}, "parameter edge_network.1.0.weight is none of this network"),
    ],
)
def test_hyper_parameters_that_do_not_fit(changes, message, tmp_path):
    network = make_checkpoint(tmp_path / "acorn.ckpt")
    file = tmp_path / "other.ckpt"
    torch.save({"hyper_parameters": HYPER_PARAMETERS | changes, "state_dict": network.state_dict()}, file)
    with pytest.raises(ValueError, match=f"^(read_acorn: {file}: )?{message}"):
        read_acorn(file)
    with pytest.raises(ValueError, match="hyper-parameter concat is missing"):
        acorn_network({name: value for name, value in HYPER_PARAMETERS.items() if name != "concat"})


def test_parameters_that_are_not_finite(tmp_path):
    network = make_checkpoint(tmp_path / "acorn.ckpt")
    network.edge_decoder[3].bias.data[2] = float("nan")
    torch.save({"hyper_parameters": HYPER_PARAMETERS, "state_dict": network.state_dict()}, tmp_path / "nan.ckpt")
    with pytest.raises(ValueError, match=r"nan.ckpt: parameter edge_decoder.3.bias is not finite"):
        convert(tmp_path / "nan.ckpt", tmp_path / "out.safetensors")
    with pytest.raises(ValueError, match="edge_decoder.1.bias"):
        write_model(network, tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


class Evil:
    def __reduce__(self):
        return pathlib.Path.touch, (pathlib.Path("touched"),)


def test_nothing_of_a_checkpoint_runs_unless_it_is_trusted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = make_checkpoint("acorn.ckpt", callbacks=Evil())
    with pytest.raises(ValueError, match=r"acorn.ckpt holds more than tensors, numbers and texts \(.*pathlib.Path.*\).*trusted=True"):
        read_acorn("acorn.ckpt")
    assert not Path("touched").exists()
    assert_same(read_acorn("acorn.ckpt", trusted=True), network)
    assert Path("touched").exists()


def test_files_that_are_none(tmp_path):
    file = tmp_path / "none.ckpt"
    with pytest.raises(ValueError, match=f"read_acorn: {file}: No such file or directory"):
        read_acorn(file)
    for content in (b"", b"text", SHIPPED.read_bytes()[:1000]):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"read_acorn: {file}: expected a checkpoint that Lightning wrote"):
            read_acorn(file)
    torch.save({"state_dict": {}}, file)
    with pytest.raises(ValueError, match="hyper_parameters is missing: expected a checkpoint that Lightning wrote"):
        read_acorn(file)
    for model, message in (
        (tmp_path / "absent.safetensors", "absent.safetensors"),
        (file, "none.ckpt"),
        (SOURCE / "models/showers.safetensors", 'kind = "showers", expected "tracking" or "interaction_network"'),
    ):
        with pytest.raises(ValueError, match=message):
            read_model(model)


def test_models_that_cannot_be_written(tmp_path):
    network = InteractionNetwork(4, 1)
    alone = tmp_path / "alone.safetensors"
    write_model(network, alone)
    with pytest.raises(ValueError, match="alone.safetensors: a model of the kind interaction_network: expected tracking"):
        write_model(network, tmp_path / "out.safetensors", like=alone)
    with pytest.raises(ValueError, match="a network of 3 node and 6 edge features: expected 12 and 6"):
        write_model(InteractionNetwork(4, 1, node_inputs=3), tmp_path / "out.safetensors", like=SHIPPED)
    with pytest.raises(ValueError, match="without like: expected None"):
        write_model(network, tmp_path / "out.safetensors", scales={"r": 1.0})
    with pytest.raises(ValueError, match="scales: phi"):
        write_model(network, tmp_path / "out.safetensors", like=SHIPPED, scales={"r": 1.0})
    with pytest.raises(ValueError, match="absent"):
        write_model(network, tmp_path / "absent/out.safetensors")
    for name, value in (
        ("node_features", ["z", *HYPER_PARAMETERS["node_features"][1:]]),
        ("edge_features", HYPER_PARAMETERS["edge_features"][::-1]),
        ("node_scales", [1000.0, 3.14, 1000.0, 1.0] * 2 + [1.0] * 4),
        ("node_scales", [0, 1, 1, 1] * 3),
    ):
        make_checkpoint(tmp_path / "acorn.ckpt", {name: value})
        with pytest.raises(ValueError, match=f"acorn.ckpt: hyper-parameter {name} is .*: expected "):
            convert(tmp_path / "acorn.ckpt", tmp_path / "out.safetensors", like=SHIPPED)
    assert not (tmp_path / "out.safetensors").exists()


def test_the_command(tmp_path, monkeypatch, capsys):
    make_checkpoint(tmp_path / "acorn.ckpt")
    out = tmp_path / "tracking.safetensors"
    monkeypatch.setattr(sys, "argv", ["convert", str(tmp_path / "acorn.ckpt"), str(out), f"--like={SHIPPED}"])
    assert main() == 0
    assert capsys.readouterr().out == f"{out}: tracking model, {sum(p.numel() for p in read_model(out).parameters())} parameters\n"
    if PROGRAM:
        info = subprocess.run([PROGRAM, "info", out, "--json"], check=True, capture_output=True, text=True)
        assert json.loads(info.stdout)["hidden"] == 8
    monkeypatch.setattr(sys, "argv", ["convert", "absent.ckpt", str(out)])
    assert main() == 3
    assert capsys.readouterr().err == "starling.convert: read_acorn: absent.ckpt: No such file or directory\n"
