"""Layers for quantisation-aware training, in place of Brevitas': their numbers, gradients and state_dicts.

==============  ====================================================================================================
`QuantLinear`   Linear with weights of 2 to 12 bits and a bias of its own width
`QuantReLU`     ReLU whose output has 2 to 12 bits
`QuantIdentity` the same for signed values: in front of the first QuantLinear
`QuantTensor`   values and their scale, from one of these layers to the next
`Quantisation`  the bits of every site of a :class:`starling.nn.InteractionNetwork`
==============  ====================================================================================================

A layer computes with values that are codes times a scale, q · s, in float32 (docs/definitions.md, Fake quantisation). Gradients
go straight through the rounding. The numbers are those of Brevitas 0.13 bit for bit, and so are the gradients.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional
from torch import Tensor, nn

from .. import _library  # noqa: F401
from ..search import check_sizes

__all__ = ["QuantIdentity", "QuantLinear", "QuantReLU", "QuantTensor", "Quantisation", "collecting"]

COLLECT_STEPS = 300


class QuantTensor(NamedTuple):
    """Values of codes: what a quantised bias needs of its layer's input."""

    value: Tensor
    """q · s, in float32 (float64 where it is computed in it)."""
    scale: Tensor
    """s, []; of weights with a scale per output, [outputs]."""

    @property
    def code(self) -> Tensor:
        """q, whole numbers in the type of the values, without a gradient."""
        scale = self.scale if self.scale.dim() == 0 else self.scale.view(-1, *[1] * (self.value.dim() - 1))
        return (self.value / scale).round().detach()


def check_bits(name: str, bits: int | None, most: int = 12, *, optional: bool = False) -> None:
    """Raises ValueError unless `bits` is an integer in 2 to `most`, or None where it is optional."""
    if optional and bits is None:
        return
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= most:
        raise ValueError(f"{name} is {bits}: expected an integer in 2 to {most}")


class _QuantActivation(nn.Module):
    """What QuantReLU and QuantIdentity share: the learned threshold."""

    _is_signed: bool
    # Where a state_dict of Brevitas has the threshold.
    _KEY = "act_quant.fused_activation_quant_proxy.tensor_quant.scaling_impl.value"

    def __init__(
        self,
        bit_width: int = 8,
        *,
        return_quant_tensor: bool = False,
        collect_stats_steps: int = COLLECT_STEPS,
        power_of_two: bool = False,
        reference_quirks: bool = False,
    ) -> None:
        super().__init__()
        check_bits("bit_width", bit_width)
        check_sizes(collect_stats_steps=collect_stats_steps)
        self.bit_width = bit_width
        self.return_quant_tensor = return_quant_tensor
        self.collect_stats_steps = collect_stats_steps
        self.power_of_two = power_of_two
        self.reference_quirks = reference_quirks
        self.threshold = nn.Parameter(torch.ones(()))
        self.register_buffer("buffer", torch.ones(()), persistent=False)
        self.buffer: Tensor
        self.counter = 0
        """Training forwards so far, up to collect_stats_steps + 1: from there on the threshold is learned."""

    @property
    def collects(self) -> bool:
        """Whether the next forward reads the threshold from its input."""
        return self.training and self.counter < self.collect_stats_steps

    def threshold_of(self, x: Tensor) -> Tensor:
        """[]: the threshold for this forward. In training, the first collect_stats_steps calls read it from x."""
        if self.training and self.counter <= self.collect_stats_steps and x.numel() > 0:
            collected: Tensor = self._collect(x)
            return collected
        return self.threshold if self.counter > self.collect_stats_steps else self.buffer.abs()

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _collect(self, x: Tensor) -> Tensor:
        if self.counter == self.collect_stats_steps:
            with torch.no_grad():
                # The reference has a parameter that the optimiser has decayed since the first step, and multiplies it.
                self.threshold.copy_(self.threshold * self.buffer.abs() if self.reference_quirks else self.buffer.abs())
            self.counter += 1
            return self.threshold
        with torch.autocast(x.device.type, enabled=False):
            own: Tensor = torch.ops.starling.calibrated_threshold(x if self._is_signed else x.relu())
            with torch.no_grad():
                least = own.clamp_min(1e-10).to(self.buffer.dtype)
                self.buffer.copy_(least if self.counter == 0 else self.buffer * 0.9 + least * 0.1)
        self.counter += 1
        return own + 0 * self.threshold  # the parameter has a gradient from the first step on: 0

    def quantise(self, x: Tensor, threshold: Tensor) -> QuantTensor:
        """x by a threshold that threshold_of() gave, for parts of one input."""
        bound_scale = self.reference_quirks and not self.training
        threshold = threshold.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
        return QuantTensor(
            *torch.ops.starling.quantize_activation(
                x, threshold, self.bit_width, self._is_signed, self.power_of_two, bound_scale
            )
        )

    def forward(self, input: Tensor | QuantTensor) -> Tensor | QuantTensor:
        """Rounds the input, [..., features]: values of float32 or float64, of float16 and bfloat16 in float32."""
        x = input.value if isinstance(input, QuantTensor) else input
        result = self.quantise(x, self.threshold_of(x))
        return result if self.return_quant_tensor else result.value

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if self.counter == 0:
            return
        value = self.threshold if self.counter > self.collect_stats_steps else self.buffer.abs()
        destination[prefix + self._KEY] = value if keep_vars else value.detach()

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = prefix + self._KEY
        if strict:
            unexpected_keys.extend(name for name in state_dict if name.startswith(prefix) and name != key)
        if key not in state_dict:  # one that was saved before any training forward has none
            return
        value = torch.as_tensor(state_dict[key])
        if value.numel() != 1 or not bool(value.isfinite().all()):
            error_msgs.append(f"{key} is {value.tolist()}: expected one finite number")
            return
        with torch.no_grad():
            self.threshold.copy_(value.reshape(()))
        self.counter = self.collect_stats_steps + 1

    def extra_repr(self) -> str:
        return f"bit_width={self.bit_width}" + (", power_of_two=True" if self.power_of_two else "")


class QuantReLU(_QuantActivation):
    """ReLU with an output of 2^b codes: q = min(rint(max(x, 0) / s), 2^b − 1) with s = threshold / (2^b − 1).

    The threshold is learned. In the first `collect_stats_steps` training forwards each uses its own input's 99.999th
    percentile, and a buffer follows it (0.9 · buffer + 0.1 · new); the forward after these turns the buffer into the
    parameter `threshold`. Until then evaluation uses the buffer. A state_dict holds the threshold alone, by Brevitas' name;
    loading one ends the collection.

    While it collects, a forward is not for torch.compile(fullgraph=True): calibrate first.

    Args:
        bit_width: b, 2 to 12.
        return_quant_tensor: the result is a QuantTensor, as a QuantLinear with a quantised bias needs it.
        collect_stats_steps: training forwards with a threshold from the input.
        power_of_two: scales are rounded up to powers of two.
        reference_quirks: as Brevitas 0.13: the optimiser decays the threshold while it is collected (it is 1 then) and
            the buffer is multiplied with it; in evaluation 1e-10 is the least scale, not the least threshold.

    Raises:
        ValueError: bits outside 2 to 12, a number of steps below 1.

    >>> layer = QuantReLU(bit_width=2, return_quant_tensor=True)
    >>> layer(torch.tensor([-1.0, 0.3, 1.0, 2.0, 3.0])).code
    tensor([0., 0., 1., 2., 3.])
    """

    _is_signed = False


class QuantIdentity(_QuantActivation):
    """Signed values of 2^b codes: q = rint(x / s) cut off at −2^(b−1) and 2^(b−1) − 1, with s = threshold / 2^(b−1).

    All else is as in :class:`QuantReLU`.

    >>> layer = QuantIdentity(bit_width=3, return_quant_tensor=True)
    >>> layer(torch.tensor([-4.0, -0.4, 1.4, 4.0])).code
    tensor([-4., -0.,  1.,  3.])
    """

    _is_signed = True


class QuantLinear(nn.Linear):
    """Linear with weights of codes: q = rint(W / s) in ±(2^(b−1) − 1), with s = max|W| / (2^(b−1) − 1) at every forward.

    A bias of B bits has the scale of the input times that of the weights and codes from −2^(B−1) to 2^(B−1) − 1. Its
    range shrinks as b grows: at B = b = 6 most biases of a network are cut off, at B = 16 none. Biases that are cut off get no
    gradient.

    It is computed in float32, under autocast too: 16 bits do not hold a code times its scale.

    A state_dict of torch's Linear or of Brevitas' QuantLinear loads: weight and bias, in float.

    Args:
        in_features, out_features, bias: as those of torch.nn.Linear.
        weight_bit_width: b, 2 to 12.
        bias_bit_width: B, 2 to 32; None leaves the bias in float.
        per_channel: one scale per output instead of one per matrix.
        power_of_two: scales are rounded up to powers of two.

    Raises:
        ValueError: bits out of range.

    >>> _ = torch.manual_seed(0)
    >>> layer = QuantLinear(3, 2, weight_bit_width=4, bias_bit_width=8)
    >>> layer(QuantIdentity(bit_width=4, return_quant_tensor=True)(torch.rand(5, 3))).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        weight_bit_width: int = 8,
        bias_bit_width: int | None = None,
        per_channel: bool = False,
        power_of_two: bool = False,
    ) -> None:
        super().__init__(in_features, out_features, bias)
        check_bits("weight_bit_width", weight_bit_width)
        check_bits("bias_bit_width", bias_bit_width, 32, optional=True)
        self.weight_bit_width = weight_bit_width
        self.bias_bit_width = bias_bit_width
        self.per_channel = per_channel
        self.power_of_two = power_of_two

    def quant_weight(self) -> QuantTensor:
        """The rounded weights [out_features, in_features] and their scale, [] or [out_features]."""
        return QuantTensor(
            *torch.ops.starling.quantize_weight(self.weight, self.weight_bit_width, self.per_channel, self.power_of_two)
        )

    def quant_bias(self, weight_scale: Tensor, input_scale: Tensor | None) -> Tensor | None:
        """The rounded bias [out_features] for an input of this scale, or the bias as it is where it has no bits."""
        if self.bias is None or self.bias_bit_width is None:
            return self.bias
        if input_scale is None:
            raise ValueError(
                f"QuantLinear: the input is a tensor without a scale: expected a QuantTensor, which the bias of {self.bias_bit_width} bits "
                "needs: return_quant_tensor=True in the layer in front"
            )
        bias: Tensor = torch.ops.starling.quantize_bias(self.bias, weight_scale * input_scale, self.bias_bit_width)
        return bias

    def forward(self, input: Tensor | QuantTensor) -> Tensor:
        """[..., in_features] to [..., out_features].

        Raises:
            ValueError: a tensor without a scale, where the bias has bits.
        """
        value, scale = input if isinstance(input, QuantTensor) else (input, None)
        with torch.autocast(value.device.type, enabled=False):
            weight = self.quant_weight()
            bias = self.quant_bias(weight.scale, scale)
            return nn.functional.linear(value.to(weight.value.dtype), weight.value, bias)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, weight_bit_width={self.weight_bit_width}, bias_bit_width={self.bias_bit_width}"


@dataclass(frozen=True)
class Quantisation:
    """The bits of every site of a network: None leaves a site in float.

    >>> Quantisation(weights=4, biases=16, activations=4, inputs=6, layers={"edge_output": {"weights": 8}}).weights
    4
    """

    weights: int | None = 8
    """Of the Linear layers, 2 to 12, as all but biases."""
    biases: int | None = 8
    """2 to 32; they need weights and the layers' inputs to have bits."""
    activations: int | None = 8
    """Of the outputs of ReLUs."""
    inputs: int | None = 8
    """Of what an MLP reads, all of it by one scale."""
    norm_outputs: int | None = None
    """Of normalisations, in front of the ReLU."""
    node_states: int | None = None
    """Of the last ReLU of the node encoder and of node networks; None: as activations."""
    edge_states: int | None = None
    """Of the last ReLU of the edge encoder and of edge networks; None: as activations."""
    message_sums: int | None = None
    """Of the sums of messages, not negative, in front of a node network; one scale for both directions."""
    layers: Mapping[str, Mapping[str, int | None]] = field(default_factory=dict)
    """Other bits of single layers ("edge_network.3.1") or MLPs ("edge_network.3"): weights, biases, activations,
    norm_outputs and, of MLPs, inputs. Names are those of docs/definitions.md, Network; the longest that fits counts."""
    per_channel: bool = False
    power_of_two: bool = False
    collect_stats_steps: int = COLLECT_STEPS
    reference_quirks: bool = False

    def __post_init__(self) -> None:
        sites = ("weights", "biases", "activations", "inputs", "norm_outputs", "node_states", "edge_states", "message_sums")
        for site in sites:
            check_bits(site, getattr(self, site), 32 if site == "biases" else 12, optional=True)
        for name, bits in self.layers.items():
            for site, value in bits.items():
                if site not in sites[:5]:
                    raise ValueError(f"layers: {name} has {site}: expected {', '.join(sites[:5])}")
                check_bits(f"layers: {name}: {site}", value, 32 if site == "biases" else 12, optional=True)

    def bits(self, name: str, site: str) -> int | None:
        """Of a site of the layer or MLP `name`."""
        names = [key for key in self.layers if (name + ".").startswith(key + ".") and site in self.layers[key]]
        if names:
            return self.layers[max(names, key=len)][site]
        states = {"node": self.node_states, "edge": self.edge_states}.get(name.partition("_")[0])
        is_state = site == "activations" and name.endswith(".2") and not name.startswith("edge_decoder")
        bits: int | None = states if is_state and states is not None else getattr(self, site)
        return bits

    def linear(self, name: str, inputs: int, outputs: int, bias: bool) -> nn.Linear:
        """The Linear layer `name`."""
        weights, biases = self.bits(name, "weights"), self.bits(name, "biases") if bias else None
        if weights is None and biases is None:
            return nn.Linear(inputs, outputs, bias)
        mlp, _, layer = name.rpartition(".")
        front = self.bits(mlp, "inputs") if layer == "0" else self.bits(f"{mlp}.{int(layer) - 1}", "activations")
        if weights is None or (biases is not None and front is None):
            raise ValueError(f"layer {name}: biases is {biases}: expected None, since its weights or its inputs have no bits")
        return QuantLinear(
            inputs, outputs, bias, weight_bit_width=weights, bias_bit_width=biases, per_channel=self.per_channel, power_of_two=self.power_of_two
        )

    def _activation(self, kind: type[_QuantActivation], bits: int, return_quant_tensor: bool = False) -> nn.Module:
        return kind(
            bits,
            return_quant_tensor=return_quant_tensor,
            collect_stats_steps=self.collect_stats_steps,
            power_of_two=self.power_of_two,
            reference_quirks=self.reference_quirks,
        )

    def relu(self, name: str, following: nn.Linear | None) -> nn.Module:
        """The ReLU behind the layer `name` and in front of the layer `following`."""
        bits = self.bits(name, "activations")
        return nn.ReLU() if bits is None else self._activation(QuantReLU, bits, isinstance(following, QuantLinear))

    def input(self, mlp: str, following: nn.Linear) -> nn.Module:
        """What stands at the beginning of an MLP."""
        bits = self.bits(mlp, "inputs")
        return nn.Identity() if bits is None else self._activation(QuantIdentity, bits, isinstance(following, QuantLinear))

    def normalisation(self, name: str, norm: nn.Module) -> nn.Module:
        """The normalisation behind the layer `name`."""
        bits = self.bits(name, "norm_outputs")
        return norm if bits is None else nn.Sequential(norm, self._activation(QuantIdentity, bits))

    def sums(self) -> nn.Module:
        """What stands behind the sums of messages."""
        return nn.Identity() if self.message_sums is None else self._activation(QuantReLU, self.message_sums)


def collecting(module: nn.Module) -> bool:
    """Whether a quantiser in the module still reads its threshold from its input in training."""
    return any(isinstance(m, _QuantActivation) and m.counter <= m.collect_stats_steps for m in module.modules())
