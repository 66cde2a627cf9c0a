"""starling.nn.prune: masks against sorting, their life in training, files and quantisation."""

import pytest
import torch
from torch import nn

from starling.convert import acorn_network, read_model, write_model
from starling.nn import InteractionNetwork
from starling.nn.prune import FlatLoss, Pruner, ladder
from starling.nn.quant import Quantisation, QuantLinear


def make(seed=1):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), QuantLinear(8, 3, weight_bit_width=4))


def by_sorting(weights, masks, count):
    """The masks after the `count` smallest of the kept weights have gone: plain and slow."""
    entries = [
        (abs(w.flatten()[i].item()), layer, i)
        for layer, (w, mask) in enumerate(zip(weights, masks)) for i in range(w.numel()) if mask.flatten()[i]
    ]  # fmt: skip
    result = [mask.clone() for mask in masks]
    for _, layer, i in sorted(entries)[:count]:
        result[layer].view(-1)[i] = False
    return result


def test_rounds_are_those_of_sorting(device):
    model = make().to(device)
    pruner = Pruner(model)
    weights = [layer.weight.detach().clone() for layer in pruner.layers.values()]
    masks = [torch.ones_like(w, dtype=torch.bool) for w in weights]
    remaining = total = pruner.total
    assert total == 12 * 16 + 16 * 8 + 8 * 3
    for _ in range(9):
        masks = by_sorting(weights, masks, round(0.2 * remaining))
        remaining -= round(0.2 * remaining)
        pruner.prune(0.2)
        assert pruner.remaining == remaining
        for mask, expected, layer, weight in zip(pruner.masks.values(), masks, pruner.layers.values(), weights):
            assert torch.equal(mask, expected)
            assert torch.equal(layer.weight, torch.where(expected, weight, 0))
    assert {name: layer.bias.count_nonzero().item() for name, layer in pruner.layers.items()} == {"0": 16, "2": 8, "4": 3}


def test_the_ladder_of_the_definitions():
    removed = [100 * (1 - kept) for kept in ladder(0.2, 9)]
    assert [round(r, 1) for r in removed] == [20, 36, 48.8, 59.0, 67.2, 73.8, 79.0, 83.2, 86.6]
    pruner = Pruner(make())
    for kept in ladder(0.2, 12):
        pruner.prune(kept=kept)
        assert pruner.remaining == round(kept * pruner.total)


def test_ties_go_in_order_and_edges():
    model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 2, bias=False))
    for layer in model:
        nn.init.constant_(layer.weight, -0.5)
    pruner = Pruner(model)
    pruner.prune(0.7)
    assert [mask.tolist() for mask in pruner.masks.values()] == [[[False] * 3] * 2, [[False, True], [True, True]]]
    pruner.prune(0.0)
    assert pruner.remaining == 3
    pruner.prune(1.0)
    assert pruner.remaining == 0 and not any(layer.weight.any() for layer in model)
    pruner.prune(0.5)
    pruner.prune(kept=0.0)
    assert pruner.remaining == 0


def test_floors():
    model = make()
    with torch.no_grad():
        model[0].weight.mul_(1e-3)  # would go first
    pruner = Pruner(model, floors={"": 0.1, "0": 0.5})
    pruner.prune(kept=0.4)
    kept = {name: int(mask.sum()) for name, mask in pruner.masks.items()}
    assert kept["0"] == 96 and sum(kept.values()) == round(0.4 * pruner.total)
    pruner.prune(1.0)
    assert {name: int(mask.sum()) for name, mask in pruner.masks.items()} == {"0": 96, "2": 13, "4": 3}


@pytest.mark.parametrize("block", [(1, 16), (16, 1), (2, 3), (40, 40)])
def test_blocks(block):
    model = nn.Sequential(nn.Linear(40, 20), nn.Linear(20, 33))
    pruner = Pruner(model)
    pruner.prune(0.1)
    before = {name: mask.clone() for name, mask in pruner.masks.items()}
    remaining = pruner.remaining
    pruner.prune(0.5, block=block)
    gone, sizes = [], {True: [], False: []}
    for name, layer in pruner.layers.items():
        mask, weight = pruner.masks[name], layer.parametrizations.weight.original.detach().double().abs()
        for row in range(0, mask.shape[0], block[0]):
            for column in range(0, mask.shape[1], block[1]):
                part = (slice(row, row + block[0]), slice(column, column + block[1]))
                if before[name][part].any():
                    stays = torch.equal(mask[part], before[name][part])
                    assert stays or not mask[part].any()
                    sizes[stays].append((weight[part][before[name][part]].mean().item(), int(before[name][part].sum())))
    gone = sum(count for _, count in sizes[False])
    assert gone == remaining - pruner.remaining <= round(0.5 * remaining)
    room = round(0.5 * remaining) - gone
    # No smaller block stays but for want of room.
    assert all(count > room or all(size >= other for other, _ in sizes[False]) for size, count in sizes[True])
    assert block == (40, 40) or gone > 0.4 * remaining


def test_2_of_4(device):
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(16, 8), nn.Linear(8, 6), nn.Linear(6, 5)).to(device)
    pruner = Pruner(model)
    pruner.prune(0.3)
    pruner.prune_2_of_4()
    for layer, mask in zip(model, pruner.masks.values()):
        weight = layer.parametrizations.weight.original.detach()
        for part, kept in zip(weight.split(4, 1), mask.split(4, 1)):
            assert (kept.sum(1) <= 2).all()
            if part.shape[1] == 4:
                for row, left in zip(part.abs(), kept):
                    assert not left.any() or row[left].min() >= row[~left].median()
    assert torch.equal(nn.functional.linear(torch.eye(16, device=device), model[0].weight).t(), model[0].weight)
    ties = nn.Linear(4, 1)
    nn.init.ones_(ties.weight)
    pruner = Pruner(ties)
    pruner.prune_2_of_4()
    assert pruner.masks[""].tolist() == [[True, True, False, False]]


def test_masks_survive_training_files_and_quantisation(device, tmp_path):
    torch.manual_seed(3)
    network = InteractionNetwork(8, 2, quantisation=Quantisation(4, 16, 4, 4, collect_stats_steps=2)).to(device)
    pruner = Pruner(network, floors={"edge_output_transform": 0.5})
    pruner.prune(0.6)
    masks = {name: mask.clone() for name, mask in pruner.masks.items()}
    x, edge_attr = torch.randn(20, 12, device=device), torch.randn(60, 6, device=device)
    edge_index = torch.randint(20, (2, 60), device=device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01, weight_decay=0.1)
    for _ in range(5):
        optimiser.zero_grad()
        network(x, edge_index, edge_attr).square().sum().backward()
        optimiser.step()
        for name, layer in pruner.layers.items():
            gradient = layer.parametrizations.weight.original.grad
            assert gradient is None or not gradient[~masks[name]].any()
            assert not layer.weight[~masks[name]].any() and not layer.quant_weight().value[~masks[name]].any()
            assert layer.weight[masks[name]].count_nonzero() == masks[name].sum()
    torch.save({"model": network.state_dict(), "pruner": pruner.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    again = InteractionNetwork(8, 2, quantisation=network.quantisation).to(device)
    other = Pruner(again)
    again.load_state_dict(state["model"])
    other.load_state_dict(state["pruner"])
    assert all(torch.equal(mask, masks[name]) for name, mask in other.masks.items())
    expected = network.eval()(x, edge_index, edge_attr)
    assert torch.equal(again.eval()(x, edge_index, edge_attr), expected)
    assert Pruner(again).remaining == pruner.remaining  # masks that are there are taken over
    other.remove()
    assert torch.equal(again(x, edge_index, edge_attr), expected)
    assert all(name.endswith(("weight", "bias", "value")) for name in again.state_dict())


def test_a_pruned_network_in_a_model_file(tmp_path):
    network = InteractionNetwork(8, 2)
    pruner = Pruner(network)
    pruner.prune(0.5)
    write_model(network, tmp_path / "pruned.safetensors")
    again = read_model(tmp_path / "pruned.safetensors")
    zeros = sum(int((m.weight == 0).sum()) for m in again.modules() if isinstance(m, nn.Linear))
    assert zeros == pruner.total - pruner.remaining
    # As torch.nn.utils.prune stores them, in checkpoints of acorn.
    options = {
        "hidden": 8, "n_graph_iters": 2, "n_node_net_layers": 3, "n_edge_net_layers": 3, "n_edge_decoder_layers": 3, "layernorm": True,
        "node_features": ["f"] * 12, "edge_features": ["f"] * 6, "concat": True, "in_out_diff_agg": True, "edge_net_recurrent": False,
        "node_net_recurrent": False, "hidden_activation": "ReLU", "output_activation": "ReLU", "edge_output_transform_final_activation": None,
    }  # fmt: skip
    state = again.state_dict()
    for name in ("node_encoder.0", "edge_network.1.3"):
        mask = torch.rand(state[f"{name}.weight"].shape) < 0.5
        state[f"{name}.weight_orig"], state[f"{name}.weight_mask"] = state.pop(f"{name}.weight"), mask.float()
    loaded = acorn_network(options, state)
    assert torch.equal(loaded.edge_network[1][3].weight, state["edge_network.1.3.weight_orig"] * state["edge_network.1.3.weight_mask"])


def test_rewinding():
    model = make()
    pruner = Pruner(model)
    with pytest.raises(ValueError, match="nothing to go back to: expected a call of remember"):
        pruner.rewind()
    weights = {name: layer.weight.detach().clone() for name, layer in pruner.layers.items()}
    pruner.remember()
    for _ in range(2):
        with torch.no_grad():
            for layer in pruner.layers.values():
                layer.parametrizations.weight.original.add_(torch.randn_like(layer.weight))
        pruner.prune(0.3)
        pruner.rewind()
        for name, layer in pruner.layers.items():
            assert torch.equal(layer.weight, weights[name] * pruner.masks[name])
    other = Pruner(make(seed=5))
    other.load_state_dict(pruner.state_dict())
    other.rewind()
    assert all(torch.equal(layer.weight, weights[name]) for name, layer in other.layers.items())
    with pytest.raises(ValueError, match="remembered has other layers or shapes"):
        Pruner(nn.Linear(2, 2)).load_state_dict(pruner.state_dict())


def test_compiled():
    model = make()
    pruner = Pruner(model)
    pruner.prune(0.5)
    x = torch.rand(10, 12)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x), model(x))
    compiled(x).sum().backward()
    pruner.prune(0.5)
    assert torch.equal(compiled(x), model(x))


def test_flat_losses():
    flat = FlatLoss(epochs=3, spread=0.1, most=6)
    assert [flat.update(loss) for loss in (3, 2, 1.5, 1, 0.7)] == [False] * 5
    assert flat.update(0.4)  # the most
    flat.reset()
    assert [flat.update(loss) for loss in (1.0, 1.04, 0.95, 0.951)] == [False, False, True, True]
    assert [FlatLoss(2, 0.0).update(1.0)] == [False]


def test_wrong_arguments():
    pruner = Pruner(make())
    for call, message in (
        (lambda: Pruner(nn.ReLU()), "ReLU has no Linear layer: expected one at least"),
        (lambda: Pruner(make(), floors={"0": 1.5}), "floors: 0 is 1.5: expected 0 to 1"),
        (lambda: Pruner(make(), floors={"1": 0.5}), "floors: 1 is no layer of the model: expected one such as 0"),
        (lambda: pruner.prune(), "amount is None, kept is None: expected one of them"),
        (lambda: pruner.prune(0.1, kept=0.5), "amount is 0.1, kept is 0.5: expected one of them"),
        (lambda: pruner.prune(1.5), "starling::prune: amount is 1.5: expected 0 to 1"),
        (lambda: pruner.prune(kept=-0.1), "kept is -0.1: expected 0 to 1"),
        (lambda: pruner.prune(0.5, block=(0, 1)), r"a block is \[0, 1\]: expected at least 1"),
        (lambda: ladder(1.0, 3), "amount is 1.0: expected a number between 0 and 1"),
        (lambda: ladder(0.2, 0), "rounds is 0: expected at least 1"),
        (lambda: FlatLoss(1), "epochs is 1: expected at least 2"),
        (lambda: FlatLoss(spread=float("nan")), "spread is nan: expected a finite number"),
        (lambda: FlatLoss(most=0), "most is 0: expected at least 1"),
        (lambda: FlatLoss().update(float("nan")), "loss is nan: expected a finite number"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    pruner.prune(kept=0.5)
    with pytest.raises(ValueError, match="kept is 0.8, 275 weights: expected at most the 172 that remain"):
        pruner.prune(kept=0.8)
    with torch.no_grad():
        pruner.layers["2"].parametrizations.weight.original[0, 0] = float("nan")
    with pytest.raises(ValueError, match="a weight is not finite"):
        pruner.prune(0.1)
