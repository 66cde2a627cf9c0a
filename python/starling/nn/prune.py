"""Pruning of weights by size, over all layers at once, in rounds, for any torch model.

===========  ========================================================================================================
`Pruner`     masks of a model's weights, rounds of pruning, rewinding
`ladder`     the fractions of the weights that are kept, round by round
`FlatLoss`   says when the validation loss is flat, and the next round is due
===========  ========================================================================================================

    pruner = Pruner(model)
    for kept in ladder(0.2, 12):
        pruner.prune(kept=kept)
        train(model)                       # pruned weights are 0 in every forward; FlatLoss says how long

Weights are those of the Linear layers (starling.nn.quant's too); biases stay. Their masks are buffers of the model, so they are
in its state_dict and move with it: a Pruner of the same model, made before load_state_dict, has them again.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from .. import _library  # noqa: F401

__all__ = ["FlatLoss", "Pruner", "ladder"]


class _Mask(nn.Module):
    """What a weight goes through: 0 where it is pruned."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))
        self.mask: Tensor

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask


class Pruner:
    """Masks of the weights of a model's Linear layers, all of them kept at first.

    A weight is `layer.weight` as before, 0 where it is pruned, in training, under quantisation and in files; what is trained is
    `layer.parametrizations.weight.original`, and a state_dict has this and `layer.parametrizations.weight.0.mask`. A pruned
    weight has no gradient.

    Args:
        module: the model. Its masks, where it has some already, are taken over.
        floors: the least fraction of its weights that a layer keeps, by the layer's name; a name covers all layers in it. The longest
            that fits counts; others keep nothing for certain.

    Raises:
        ValueError: a model without Linear layers, a floor outside 0 to 1 or of no layer.

    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> pruner = Pruner(model)
    >>> pruner.prune(0.25)
    >>> pruner.remaining, pruner.total
    (60, 80)
    """

    def __init__(self, module: nn.Module, *, floors: Mapping[str, float] | None = None) -> None:
        self.layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
        if not self.layers:
            raise ValueError(f"Pruner: {type(module).__name__} has no Linear layer: expected one at least")
        self.floors = {name: self._floor(name, floors or {}) for name in self.layers}
        for name, floor in (floors or {}).items():
            if not 0 <= floor <= 1:
                raise ValueError(f"Pruner: floors: {name} is {floor}: expected 0 to 1")
            if not any(self._covers(name, layer) for layer in self.layers):
                raise ValueError(f"Pruner: floors: {name} is no layer of the model: expected one such as {next(iter(self.layers))}")
        for layer in self.layers.values():
            if not parametrize.is_parametrized(layer, "weight"):
                parametrize.register_parametrization(layer, "weight", _Mask(layer.weight))
        self._rewound: dict[str, Tensor] = {}

    @staticmethod
    def _covers(name: str, layer: str) -> bool:
        return (layer + ".").startswith(name + ".") or name == ""

    def _floor(self, layer: str, floors: Mapping[str, float]) -> float:
        names = [name for name in floors if self._covers(name, layer)]
        return floors[max(names, key=len)] if names else 0.0

    def _mask(self, layer: nn.Linear) -> _Mask:
        mask = layer.parametrizations.weight[0]  # type: ignore[index,union-attr]
        assert isinstance(mask, _Mask)
        return mask

    def _original(self, layer: nn.Linear) -> Tensor:
        original: Tensor = layer.parametrizations.weight.original  # type: ignore[union-attr,assignment]
        return original

    @property
    def masks(self) -> dict[str, Tensor]:
        """The masks by the layers' names, bool [outputs, inputs], True where a weight is kept."""
        return {name: self._mask(layer).mask for name, layer in self.layers.items()}

    @property
    def total(self) -> int:
        """The number of weights."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def remaining(self) -> int:
        """The number of weights that are kept."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    def prune(self, amount: float | None = None, *, kept: float | None = None, block: tuple[int, int] = (1, 1)) -> None:
        """Prunes the smallest weights that remain, over all layers.

        round(amount · remaining) go, those of least |w|, of equal ones the first in the order of layers, outputs and inputs. A
        layer that is at its floor keeps its weights, and others go in their place; where all are, fewer go.

        Args:
            amount: the fraction of the remaining weights that go; or
            kept: the fraction of all weights that stay, as :func:`ladder` gives them.
            block: weights of so many outputs and inputs go together, by their mean |w|: (1, 16) prunes in rows of 16. As many
                blocks go as fit into the number of weights.

        Raises:
            ValueError: both or neither of amount and kept, one outside 0 to 1, more kept than remains, a block of no
                weight, a weight that is not finite.
        """
        if (amount is None) == (kept is None):
            raise ValueError(f"Pruner.prune: amount is {amount}, kept is {kept}: expected one of them")
        if kept is not None:
            if not 0 <= kept <= 1:
                raise ValueError(f"Pruner.prune: kept is {kept}: expected 0 to 1")
            remaining, wanted = self.remaining, round(kept * self.total)
            if wanted > remaining:
                raise ValueError(f"Pruner.prune: kept is {kept}, {wanted} weights: expected at most the {remaining} that remain")
            amount = (remaining - wanted) / remaining if remaining > 0 else 0.0
        masks = torch.ops.starling.prune(
            [self._original(layer) for layer in self.layers.values()], list(self.masks.values()), amount, list(self.floors.values()), *block
        )
        self._set(masks)

    def prune_2_of_4(self) -> None:
        """Leaves at most two of each four weights of an output that follow each other, the largest: NVIDIA's 2:4 sparsity.

        Weights that are pruned already count among those that go. Floors do not count. Where a layer's inputs are no multiple of four,
        at most two of the last ones are left.
        """
        pairs = zip(self.layers.values(), self.masks.values())
        self._set([torch.ops.starling.prune_2_of_4(self._original(layer), mask) for layer, mask in pairs])

    def _set(self, masks: Iterable[Tensor]) -> None:
        for layer, mask in zip(self.layers.values(), masks):
            self._mask(layer).mask.copy_(mask)

    def remember(self) -> None:
        """Keeps a copy of all weights: what :meth:`rewind` goes back to."""
        self._rewound = {name: self._original(layer).detach().clone() for name, layer in self.layers.items()}

    def rewind(self) -> None:
        """Sets the weights back to those of the last :meth:`remember`; the masks stay. Call it once, after every round or never.

        Raises:
            ValueError: nothing was remembered.
        """
        if not self._rewound:
            raise ValueError("Pruner.rewind: nothing to go back to: expected a call of remember() before")
        with torch.no_grad():
            for name, layer in self.layers.items():
                self._original(layer).copy_(self._rewound[name])

    def remove(self) -> None:
        """Takes the masks off: the weights are parameters as before, those that were pruned are 0."""
        for layer in self.layers.values():
            parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs beside the model's own state_dict, which has the masks."""
        return {"remembered": dict(self._rewound)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes what state_dict() gave.

        Raises:
            ValueError: weights of other layers or shapes.
        """
        remembered: dict[str, Tensor] = dict(state["remembered"])
        shapes = {name: layer.weight.shape for name, layer in self.layers.items()}
        if remembered and {name: value.shape for name, value in remembered.items()} != shapes:
            raise ValueError("Pruner.load_state_dict: remembered has other layers or shapes: expected those of this model")
        self._rewound = remembered


def ladder(amount: float, rounds: int) -> Iterator[float]:
    """The fraction of all weights that is kept after each round, where each prunes `amount` of what remains: (1 − amount)ⁿ.

    Raises:
        ValueError: an amount that is not between 0 and 1, rounds below 1.

    >>> [round(kept, 4) for kept in ladder(0.2, 3)]
    [0.8, 0.64, 0.512]
    """
    if not 0 < amount < 1:
        raise ValueError(f"ladder: amount is {amount}: expected a number between 0 and 1")
    if rounds < 1:
        raise ValueError(f"ladder: rounds is {rounds}: expected at least 1")
    return ((1 - amount) ** number for number in range(1, rounds + 1))


class FlatLoss:
    """Says when a validation loss is flat: max − min over the last epochs is at most `spread` times their mean.

    Args:
        epochs: how many epochs are looked at, at least 2.
        spread: relative to the mean, not negative.
        most: the epochs after which it is flat in any case; None is no limit.

    Raises:
        ValueError: an option out of range.

    >>> flat = FlatLoss(epochs=3, spread=0.01)
    >>> [flat.update(loss) for loss in (0.9, 0.7, 0.6, 0.601, 0.599)]
    [False, False, False, False, True]
    """

    def __init__(self, epochs: int = 5, spread: float = 0.005, most: int | None = None) -> None:
        if epochs < 2:
            raise ValueError(f"FlatLoss: epochs is {epochs}: expected at least 2")
        if not 0 <= spread < float("inf"):
            raise ValueError(f"FlatLoss: spread is {spread}: expected a finite number of at least 0")
        if most is not None and most < 1:
            raise ValueError(f"FlatLoss: most is {most}: expected at least 1")
        self.epochs = epochs
        self.spread = spread
        self.most = most
        self.losses: list[float] = []

    def update(self, loss: float) -> bool:
        """Takes the loss of one epoch; whether the losses are flat now.

        Raises:
            ValueError: a loss that is not finite.
        """
        value = float(loss)
        if not abs(value) < float("inf"):
            raise ValueError(f"FlatLoss: loss is {value}: expected a finite number")
        self.losses.append(value)
        last = self.losses[-self.epochs :]
        if self.most is not None and len(self.losses) >= self.most:
            return True
        return len(last) == self.epochs and max(last) - min(last) <= self.spread * abs(sum(last) / len(last))

    def reset(self) -> None:
        """Forgets the losses: a round begins."""
        self.losses = []
