"""Interaction networks from acorn's checkpoints and from Starling's model files, and into model files.

    python -m starling.convert acorn.ckpt tracking.safetensors --like models/tracking.safetensors

reads a checkpoint that Lightning wrote of acorn's InteractionGNN2 and writes a model file for `starling reconstruct`. The
windows, which a checkpoint does not have, and the cuts are those of the model `--like`. Without it the file holds the
network alone.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .nn import InteractionNetwork
from .nn.quant import QuantIdentity, QuantLinear, QuantReLU, collecting

__all__ = ["acorn_network", "convert", "read_acorn", "read_model", "write_model"]

_File = str | os.PathLike[str]

# Hyper-parameters of acorn's InteractionGNN2 that say what it computes, with the one value that is supported. The others
# either choose a variant (acorn_network) or concern data and training.
_GIVEN = {
    "in_out_diff_agg": True,
    "n_node_net_layers": 3,
    "n_edge_net_layers": 3,
    "n_edge_decoder_layers": 3,
    "hidden_activation": "ReLU",
    "output_activation": "ReLU",
    "edge_output_transform_final_activation": None,
}
_BY_DEFAULT = {
    "output_layer_norm": False,
    "output_batch_norm": False,
    "track_running_stats": False,
    "input_dropout": 0,
    "hidden_dropout": 0,
}
# What a hit graph has, of the space point and twice of the clusters (docs/definitions.md, Features).
_NODE_FEATURES = ["r", "phi", "z", "eta"] * 3
_EDGE_FEATURES = ["dr", "dphi", "dz", "deta", "phislope", "rphislope"]


def acorn_network(hyper_parameters: Mapping[str, Any], state_dict: Mapping[str, Tensor] | None = None) -> InteractionNetwork:
    """The network of acorn's InteractionGNN2 with these hyper-parameters, with these parameters where they are given.

    There are no biases where the state_dict has none; acorn has no hyper-parameter for it.

    Raises:
        ValueError: a hyper-parameter that is missing or has a value that is not supported, a parameter that is missing,
            has another shape or is none of the network's: the message names it, its value and what was expected.
    """

    def given(name: str) -> Any:
        if name not in hyper_parameters:
            raise ValueError(f"acorn_network: hyper-parameter {name} is missing")
        return hyper_parameters[name]

    for name, expected in _GIVEN.items():
        if given(name) != expected:
            raise ValueError(f"acorn_network: hyper-parameter {name} is {given(name)!r}: expected {expected!r}")
    for name, expected in _BY_DEFAULT.items():
        value = hyper_parameters.get(name, expected)
        if value != expected:
            raise ValueError(f"acorn_network: hyper-parameter {name} is {value!r}: expected {expected!r}")
    flags = {}
    for name, default in (("layernorm", False), ("batchnorm", False), ("concat", None), ("edge_net_recurrent", None), ("node_net_recurrent", None)):
        flags[name] = given(name) if default is None else hyper_parameters.get(name, default)
        if not isinstance(flags[name], bool):
            raise ValueError(f"acorn_network: hyper-parameter {name} is {flags[name]!r}: expected True or False")
    if flags["layernorm"] and flags["batchnorm"]:
        raise ValueError("acorn_network: hyper-parameters layernorm and batchnorm are both True: expected one of them at most")
    if flags["edge_net_recurrent"] != flags["node_net_recurrent"]:
        raise ValueError(
            f"acorn_network: hyper-parameter edge_net_recurrent is {flags['edge_net_recurrent']}, node_net_recurrent is "
            f"{flags['node_net_recurrent']}: expected both alike"
        )
    for name in ("hidden", "n_graph_iters"):
        if not isinstance(given(name), int) or isinstance(given(name), bool):
            raise ValueError(f"acorn_network: hyper-parameter {name} is {given(name)!r}: expected an integer")
    inputs = []
    for name in ("node_features", "edge_features"):
        if not isinstance(given(name), (list, tuple)) or not given(name):
            raise ValueError(f"acorn_network: hyper-parameter {name} is {given(name)!r}: expected a list of names")
        inputs.append(len(given(name)))
    network = InteractionNetwork(
        given("hidden"),
        given("n_graph_iters"),
        node_inputs=inputs[0],
        edge_inputs=inputs[1],
        recurrent=flags["edge_net_recurrent"],
        norm="layer" if flags["layernorm"] else "batch" if flags["batchnorm"] else "none",
        concat=flags["concat"],
        bias=state_dict is None or "node_encoder.0.bias" in state_dict,
    )
    if state_dict is not None:
        _load("acorn_network", network, state_dict)
    return network


def _load(function: str, network: InteractionNetwork, parameters: Mapping[str, Tensor]) -> None:
    """load_state_dict, but the error names the first parameter that does not fit. Masks of torch.nn.utils.prune are applied."""
    expected = network.state_dict()
    pruned = [name.removesuffix("_orig") for name in parameters if name.endswith(".weight_orig") and name.removesuffix("orig") + "mask" in parameters]
    if pruned:
        plain = {name: value for name, value in parameters.items() if not name.endswith((".weight_orig", ".weight_mask"))}
        parameters = plain | {name: parameters[f"{name}_orig"] * parameters[f"{name}_mask"] for name in pruned}
    for name, value in expected.items():
        if name not in parameters:
            raise ValueError(f"{function}: parameter {name} is missing: expected one of shape {list(value.shape)}")
        if not isinstance(parameters[name], Tensor) or parameters[name].shape != value.shape:
            shape = list(getattr(parameters[name], "shape", []))
            raise ValueError(f"{function}: parameter {name} has shape {shape}: expected {list(value.shape)}")
        if not bool(parameters[name].isfinite().all()):
            raise ValueError(f"{function}: parameter {name} is not finite: expected finite numbers")
    extra = next((name for name in parameters if name not in expected), None)
    if extra is not None:
        raise ValueError(f"{function}: parameter {extra} is none of this network")
    network.load_state_dict(parameters)


def _types_of(file: _File) -> list[str]:
    """What a checkpoint holds beyond tensors, numbers and texts; nothing where it is none."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(Path(file)))
    except Exception:
        return []


def _read_checkpoint(file: _File, trusted: bool) -> dict[str, Any]:
    try:
        checkpoint: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=not trusted)
    except OSError as error:
        raise ValueError(f"read_acorn: {file}: {error.strerror or error}") from None
    except ModuleNotFoundError as error:
        raise ValueError(f"read_acorn: {file} holds objects of a package that is not installed: {error.name}") from None
    except Exception as error:  # torch has no one type for a file that is none
        types = [] if trusted else _types_of(file)
        if types:
            raise ValueError(
                f"read_acorn: {file} holds more than tensors, numbers and texts ({', '.join(types)}): reading that runs "
                "code which the file chooses; expected trusted=True (--trusted) if you know where the file comes from"
            ) from None
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"read_acorn: {file}: expected a checkpoint that Lightning wrote ({reason})") from None
    for name in ("state_dict", "hyper_parameters"):
        if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(name), Mapping):
            raise ValueError(f"read_acorn: {file}: {name} is missing: expected a checkpoint that Lightning wrote")
    return checkpoint


def read_acorn(file: _File, *, trusted: bool = False) -> InteractionNetwork:
    """The network of a checkpoint that Lightning wrote of acorn's InteractionGNN2.

    Args:
        file: its `state_dict` and `hyper_parameters` are read.
        trusted: the file may hold any objects of Python. Reading these can run any code: only for files of your own.

    Raises:
        ValueError: a file that is none, or holds more than tensors, numbers and texts and is not `trusted`; what
            :func:`acorn_network` refuses. The message names the file.
    """
    return _network_of(file, _read_checkpoint(file, trusted))


def _network_of(file: _File, checkpoint: Mapping[str, Any]) -> InteractionNetwork:
    try:
        return acorn_network(checkpoint["hyper_parameters"], checkpoint["state_dict"])
    except ValueError as error:
        raise ValueError(f"read_acorn: {file}: {str(error).removeprefix('acorn_network: ')}") from None


def _mlps(network: InteractionNetwork) -> Iterator[tuple[str, nn.Sequential]]:
    """The MLPs by their names in a model file."""
    for name in ("node_encoder", "edge_encoder", "edge_network", "node_network", "edge_decoder", "edge_output"):
        module = getattr(network, "edge_output_transform" if name == "edge_output" else name)
        if name.endswith("_network"):
            yield from ((f"{name}.{step}", mlp) for step, mlp in enumerate([module] if network.recurrent else module))
        else:
            yield name, module


def _parameters(network: InteractionNetwork) -> dict[str, tuple[nn.Module, str]]:
    """Where the parameters are that a model file calls edge_network.1.2.bias and the like."""
    result: dict[str, tuple[nn.Module, str]] = {}
    for mlp, modules in _mlps(network):
        layer = -1
        for module in modules:
            layer += isinstance(module, nn.Linear)
            prefix = "norm_" if isinstance(module, nn.BatchNorm1d) else ""
            for what in ("weight", "bias") if isinstance(module, (nn.Linear, nn.BatchNorm1d)) else ():
                if getattr(module, what) is not None:
                    result[f"{mlp}.{layer}.{prefix}{what}"] = module, what
    return result


def _learned(network: InteractionNetwork) -> tuple[dict[str, Tensor], dict[str, int], dict[str, float]]:
    """Masks, bits and thresholds of a quantised network, by what a model file calls their places.

    Raises:
        ValueError: one whose thresholds are still collected, or with values of a kind that integers do not have.
    """
    options = network.quantisation
    assert options is not None
    for site, value in (("norm_outputs", options.norm_outputs), ("message_sums", options.message_sums)):
        if value is not None:
            raise ValueError(f"write_model: {site} is {value}: expected None: a network in a file has no such site")
    masks, bits, thresholds = {}, {}, {}
    unused = None if network.recurrent else f"node_network.{network.steps - 1}"  # it never ran
    for mlp, modules in _mlps(network):
        layer = -1
        for module in modules:
            name = f"{mlp}.{layer}.output"
            if isinstance(module, QuantLinear):
                layer += 1
                bits[f"{mlp}.{layer}.weight"] = module.weight_bit_width
                if module.bias is not None and module.bias_bit_width is not None:
                    bits[f"{mlp}.{layer}.bias"] = module.bias_bit_width
                elif module.bias is not None:
                    raise ValueError(f"write_model: the bias of {mlp}.{layer} has no bits: expected 2 to 32 everywhere")
                parts: Any = module.parametrizations if parametrize.is_parametrized(module, "weight") else None
                for part in () if parts is None else parts.weight:
                    if hasattr(part, "mask"):
                        masks[f"{mlp}.{layer}"] = part.mask
            elif isinstance(module, (QuantIdentity, QuantReLU)):
                name = f"{mlp}.input" if isinstance(module, QuantIdentity) else name
                if collecting(module) and mlp != unused:
                    raise ValueError(
                        f"write_model: the threshold of {name} is still collected, {module.counter} of {module.collect_stats_steps} training "
                        "forwards: expected more of them before"
                    )
                bits[name] = module.bit_width
                thresholds[name] = float(module.buffer if collecting(module) else module.threshold)
            elif isinstance(module, (nn.Linear, nn.ReLU, nn.Identity)):
                raise ValueError(f"write_model: {mlp} has a {type(module).__name__} in float: expected bits at every site")
    return masks, bits, thresholds


def read_model(file: _File) -> InteractionNetwork:
    """The network of a model file of Starling, of the kind tracking or of a network alone.

    Raises:
        ValueError: what is no such file; the message names the file and what is wrong with it.
    """
    _, sections, arrays = torch.ops.starling._read_network(str(file))
    if "quantization" in sections:
        raise ValueError(f"read_model: {file}: a network of codes: expected one in float")
    shape = json.loads(sections["architecture"])
    del shape["kind"]
    network = InteractionNetwork(**shape)
    with torch.no_grad():
        for name, (module, what) in _parameters(network).items():
            getattr(module, what).copy_(arrays[name])
    return network


def write_model(
    network: InteractionNetwork,
    file: _File,
    *,
    like: _File | None = None,
    scales: Mapping[str, float] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Writes a model file, beside its place and then renamed: in float32, or a quantised network in codes.

    Args:
        network: on any device. A quantised one has bits at every site but `norm_outputs` and `message_sums`, and its thresholds
            are collected; masks of :mod:`starling.nn.prune` are stored.
        like: a model file of the kind tracking: the new one has its windows, its cuts and, but for `scales`, its scales of
            features, and `starling reconstruct` takes it. None writes the network alone, which C++ reads by
            InteractionNetwork::from_model and Python by :func:`read_model`.
        scales: r and z in mm, phi in rad, eta: what the node features of the network were divided by.
        provenance: what the file shall say about where the network is from: anything that JSON has.

    Raises:
        ValueError: a network that is not finite, one of other features than those of a hit graph together with `like`,
            a quantised one that is not as said, scales without `like`, a model `like` that is none, a place where no file can be written.
    """
    learned = None if network.quantisation is None else _learned(network)
    if like is None:
        if scales is not None:
            raise ValueError(f"write_model: scales is {dict(scales)} without like: expected None: a network alone has none")
        kind, sections, arrays = "interaction_network", {}, {}
    else:
        kind, sections, arrays = torch.ops.starling._read_network(str(like))
        if kind != "tracking":
            raise ValueError(f"write_model: {like}: a model of the kind {kind}: expected tracking, with windows and cuts")
        if (network.node_inputs, network.edge_inputs) != (len(_NODE_FEATURES), len(_EDGE_FEATURES)):
            raise ValueError(
                f"write_model: a network of {network.node_inputs} node and {network.edge_inputs} edge features: expected 12 and 6, "
                "those of a hit graph"
            )
        arrays = {name: value for name, value in arrays.items() if name.startswith("windows.")}
        for section in ("provenance", "quantization"):
            sections.pop(section, None)
        if scales is not None:
            sections["scales"] = json.dumps(dict(scales))
    variants = ("hidden", "steps", "recurrent", "norm", "bias", "concat", "node_inputs", "edge_inputs")
    shape = {name: getattr(network, name) for name in variants}
    sections["architecture"] = json.dumps({"kind": "interaction_network", **shape})
    if provenance is not None:
        sections["provenance"] = json.dumps(dict(provenance))
    for name, (module, what) in _parameters(network).items():
        arrays[name] = getattr(module, what).detach().float()  # a masked weight with its zeros
    if learned is None:
        torch.ops.starling._write_network(str(file), kind, sections, arrays)
    else:
        options = network.quantisation
        assert options is not None
        torch.ops.starling._write_quantized_network(str(file), kind, sections, arrays, *learned, options.per_channel, options.power_of_two)


def _plain(name: Any) -> str:
    """A feature's name without what different versions of acorn put around it: cluster_r_1, hit_r and r are r."""
    plain = str(name)
    for prefix in ("hit_", "cluster_", "edge_"):
        plain = plain.removeprefix(prefix)
    return plain.removesuffix("_1").removesuffix("_2")


def _scales_of(file: _File, hyper_parameters: Mapping[str, Any]) -> dict[str, float] | None:
    """What the checkpoint's node features were divided by. Raises where its features are not those of a hit graph."""
    for name, expected in (("node_features", _NODE_FEATURES), ("edge_features", _EDGE_FEATURES)):
        value = list(hyper_parameters[name])
        if [_plain(feature) for feature in value] != expected:
            raise ValueError(f"convert: {file}: hyper-parameter {name} is {value}: expected {expected}")
    scales = hyper_parameters.get("node_scales")
    if scales is None:
        return None
    repeated = isinstance(scales, (list, tuple)) and len(scales) == 12 and list(scales) == list(scales[:4]) * 3
    if not repeated or not all(isinstance(scale, (int, float)) and scale > 0 for scale in scales):
        raise ValueError(
            f"convert: {file}: hyper-parameter node_scales is {scales!r}: expected four numbers above 0, three times"
        )
    return dict(zip(_NODE_FEATURES[:4], map(float, scales)))


def convert(checkpoint: _File, out: _File, *, like: _File | None = None, trusted: bool = False) -> InteractionNetwork:
    """Writes a model file of a checkpoint of acorn's InteractionGNN2, and returns its network.

    The scales of the features are the checkpoint's `node_scales`, where it has them.

    Args:
        checkpoint, trusted: as those of :func:`read_acorn`.
        out, like: as those of :func:`write_model`.

    Raises:
        ValueError: as these functions; with `like`, features that are not those of a hit graph, in their order.
    """
    content = _read_checkpoint(checkpoint, trusted)
    network = _network_of(checkpoint, content)
    provenance: dict[str, Any] = {"acorn": Path(checkpoint).name}
    for name in ("epoch", "global_step", "pytorch-lightning_version"):
        if isinstance(content.get(name), (int, str)):
            provenance[name] = content[name]
    scales = None if like is None else _scales_of(checkpoint, content["hyper_parameters"])
    write_model(network, out, like=like, scales=scales, provenance=provenance)
    return network


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m starling.convert", description="Makes a model file of a checkpoint of acorn's InteractionGNN2.")
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="what Lightning wrote: state_dict and hyper_parameters")
    parser.add_argument("out", type=Path, metavar="MODEL", help="the model file to write")
    parser.add_argument("--like", type=Path, metavar="MODEL", help="a tracking model: the new one has its windows and cuts")
    parser.add_argument("--trusted", action="store_true", help="read objects of Python too, which may run any code")
    arguments = parser.parse_args()
    try:
        network = convert(arguments.checkpoint, arguments.out, like=arguments.like, trusted=arguments.trusted)
    except ValueError as error:
        print(f"starling.convert: {error}", file=sys.stderr)
        return 3
    parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{arguments.out}: {'network' if arguments.like is None else 'tracking model'}, {parameters} parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
