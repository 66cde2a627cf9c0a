"""torch.ops.starling: values against brute force, derivatives, and every way torch runs an operator."""

import math

import pytest
import torch
from conftest import brute_force, lattice
from torch.testing._internal.optests import aot_autograd_check

import starling  # noqa: F401

ops = torch.ops.starling


def uniform(n, dimensions, dtype=torch.float32, seed=0):
    return torch.rand(n, dimensions, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def one_huge_event():
    """One event of 500 among 1,000 of none to three points."""
    sizes = torch.randint(4, (1000,), generator=torch.Generator().manual_seed(1))
    sizes[613] = 500
    return torch.cat((torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)))


def outlier(dtype):
    x = uniform(400, 3, dtype)
    x[17] = 1e6
    return x


def masks(n):
    return torch.randint(4, (n,), generator=torch.Generator().manual_seed(2), dtype=torch.int8)


HUGE = one_huge_event()
EVENTS = torch.tensor([0, 50, 50, 53, 120])
LINE = torch.arange(300)[:, None] * torch.tensor([1.0, 2.0, -3.0])
# name: points of a type, k, further arguments. Distances of the exact ones are whole numbers: indices must be the same.
EXACT = {
    "lattice": (lambda t: lattice(700, 3, side=5, dtype=t), 64, {}),
    "lattice, loop=False": (lambda t: lattice(700, 2, side=20, dtype=t), 7, {"loop": False}),
    "duplicates": (lambda t: lattice(100, 4, dtype=t).repeat(4, 1), 9, {}),
    "all equal": (lambda t: torch.full((200, 3), 0.1, dtype=t), 40, {}),
    "all equal, loop=False": (lambda t: torch.full((200, 3), 0.1, dtype=t), 40, {"loop": False}),
    "collinear": (lambda t: LINE.to(t), 12, {}),
    "k = 1": (lambda t: lattice(300, 3, dtype=t), 1, {}),
    "k = 500": (lambda t: lattice(700, 3, dtype=t), 500, {}),
    "k = N - 1": (lambda t: lattice(257, 3, dtype=t), 256, {}),
    "k > N": (lambda t: lattice(20, 3, dtype=t), 33, {}),
    "N = 1": (lambda t: lattice(1, 3, dtype=t), 2, {}),
    "N = 0": (lambda t: lattice(0, 3, dtype=t), 2, {}),
    "k = 0": (lambda t: lattice(300, 3, dtype=t), 0, {}),
    "events": (lambda t: lattice(120, 3, dtype=t), 8, {"row_splits": EVENTS}),
    "events in int32": (lambda t: lattice(120, 3, dtype=t), 8, {"row_splits": EVENTS.int()}),
    "one huge event": (lambda t: lattice(int(HUGE[-1]), 2, dtype=t), 16, {"row_splits": HUGE}),
    "no events": (lambda t: lattice(0, 3, dtype=t), 2, {"row_splits": torch.tensor([0])}),
    "radius": (lambda t: lattice(500, 3, dtype=t), 64, {"max_radius": 10.0}),
    "radius 0": (lambda t: lattice(500, 2, side=10, dtype=t), 64, {"max_radius": 0.0}),
    "direction": (lambda t: lattice(300, 3, dtype=t), 9, {"direction": masks(300)}),
    "direction in int64": (lambda t: lattice(300, 3, dtype=t), 9, {"direction": masks(300).long(), "loop": False}),
    "direction in uint8": (lambda t: lattice(300, 3, dtype=t), 9, {"direction": masks(300).to(torch.uint8)}),
    "direction in bool": (lambda t: lattice(300, 3, dtype=t), 9, {"direction": masks(300) == 1}),
    "queries": (lambda t: lattice(300, 3, dtype=t), 9, {"queries": lattice(120, 3, seed=1)}),
    "queries in events": (
        lambda t: lattice(120, 3, dtype=t),
        9,
        {"row_splits": EVENTS, "queries": lattice(11, 3, seed=1), "query_row_splits": torch.tensor([0, 4, 5, 9, 11])},
    ),
    "D = 64": (lambda t: lattice(300, 64, side=3, dtype=t), 40, {}),
    "D = 20, loop=False": (lambda t: lattice(300, 20, side=3, dtype=t), 9, {"loop": False}),
    "D = 100, duplicates": (lambda t: lattice(60, 100, dtype=t).repeat(4, 1), 9, {}),
    "no queries": (lambda t: lattice(300, 3, dtype=t), 9, {"queries": lattice(0, 3)}),
    "queries of no points": (lambda t: lattice(0, 3, dtype=t), 9, {"queries": lattice(11, 3)}),
}
ROUNDED = {f"D = {d}": (lambda t, d=d: uniform(300, d, t), 10, {}) for d in (*range(1, 18), 33, 64, 128)} | {
    "D = 64, events": (lambda t: uniform(120, 64, t), 8, {"row_splits": EVENTS}),
    "D = 64, queries": (lambda t: uniform(300, 64, t), 40, {"queries": uniform(100, 64, seed=1)}),
    "D = 64, radius": (lambda t: uniform(300, 64, t), 40, {"max_radius": 3.0}),
    "outlier": (outlier, 20, {}),
    "far from 0": (lambda t: 1e6 + 1000 * uniform(400, 3, t), 20, {}),
    "queries, radius": (lambda t: uniform(300, 4, t), 20, {"queries": uniform(100, 4, seed=1), "max_radius": 0.3}),
}
BOTH = pytest.mark.parametrize("dtype", (torch.float32, torch.float64), ids=("float32", "float64"))


def on(device, dtype, case):
    points, k, options = case
    options = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in options.items()}
    if "queries" in options:
        options["queries"] = options["queries"].to(dtype)
    return points(dtype).to(device), k, options


@BOTH
@pytest.mark.parametrize("name", EXACT)
def test_knn_is_what_brute_force_gives(device, dtype, name):
    x, k, options = on(device, dtype, EXACT[name])
    index, distance2 = ops.knn(x, k, **options)
    right_index, right_distance2 = brute_force(x, k, **options)
    assert index.dtype == torch.int64 and distance2.dtype == dtype
    assert torch.equal(index, right_index)
    assert torch.equal(distance2, right_distance2)


@BOTH
@pytest.mark.parametrize("name", ROUNDED)
def test_knn_of_rounded_distances(device, dtype, name):
    x, k, options = on(device, dtype, ROUNDED[name])
    index, distance2 = ops.knn(x, k, **options)
    _, right = brute_force(x, k, **options)
    close = {"rtol": 2e-6, "atol": 0} if dtype == torch.float32 else {"rtol": 1e-14, "atol": 0}
    torch.testing.assert_close(distance2, right, **close)
    torch.testing.assert_close(plain(x, index, options.get("queries")).to(dtype), distance2, **close)
    tied = distance2[:, 1:] == distance2[:, :-1]
    # -1 pads; the point itself comes before its duplicates.
    first = 1 if "queries" not in options else 0
    assert (distance2[:, 1:] >= distance2[:, :-1]).all()
    assert ((index[:, 1:] > index[:, :-1]) | ~tied | (index[:, 1:] < 0))[:, first:].all()


@pytest.mark.parametrize("dtype", (torch.float16, torch.bfloat16), ids=("float16", "bfloat16"))
def test_16_bits_are_computed_in_float32(device, dtype):
    x = uniform(300, 3).to(device, dtype).requires_grad_()
    index, distance2 = ops.knn(x, 9)
    right_index, right_distance2 = ops.knn(x.detach().float(), 9)
    assert torch.equal(index, right_index) and torch.equal(distance2, right_distance2)
    _, index, distance2, _ = ops.radius(x, 0.2)
    right = ops.radius(x.detach().float(), 0.2)
    assert torch.equal(index, right[1]) and torch.equal(distance2, right[2])
    distance2.sum().backward()
    assert x.grad.dtype == dtype and x.grad.isfinite().all()


@BOTH
@pytest.mark.parametrize("name", [name for name in EXACT if "radius" not in name])
@pytest.mark.parametrize("max_neighbors", (None, 3))
def test_radius_is_what_brute_force_gives(device, dtype, name, max_neighbors):
    x, _, options = on(device, dtype, EXACT[name])
    most = x.shape[0] if max_neighbors is None else max_neighbors
    splits, index, distance2, within = ops.radius(x, 9.0, max_neighbors=max_neighbors, **options)
    right_index, right_distance2 = brute_force(x, most, max_radius=9.0, **options)
    assert torch.equal(within, (brute_force(x, x.shape[0], max_radius=9.0, **options)[0] >= 0).sum(1))
    found = right_index >= 0
    assert splits[0] == 0 and torch.equal(splits.diff(), found.sum(1))
    assert torch.equal(index, right_index[found])
    assert torch.equal(distance2, right_distance2[found])


def test_inputs_need_not_be_contiguous(device):
    x = lattice(400, 6, device=device)
    view, queries = x[::2, 1:4], x.flip(1)[5:77, ::2]
    splits = torch.tensor([0, 1, 150, 1, 200, 1], device=device)[::2]
    direction = masks(400).to(device)[::2]
    assert not view.is_contiguous() and not queries.is_contiguous() and not splits.is_contiguous()
    for a, b in (
        (ops.knn(view, 5, splits, direction=direction), brute_force(view, 5, splits, direction=direction)),
        (ops.knn(view, 5, queries=queries), brute_force(view, 5, queries=queries)),
    ):
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    moved = view.detach().clone().requires_grad_()
    view = view.detach().requires_grad_()
    weight = uniform(5, 200).to(device).T
    (ops.knn(view, 5)[1] * weight).sum().backward()
    (ops.knn(moved, 5)[1] * weight.contiguous()).sum().backward()
    assert torch.equal(view.grad, moved.grad)


def bad(x):
    """name: a call that must fail, and what the message must say."""
    n, d = x.shape
    splits = torch.tensor([0, 3, n], device=x.device)
    nan = x.clone()
    nan[41, 1] = math.nan
    infinite = x.clone()
    infinite[7, 0] = math.inf
    return {
        "k < 0": (lambda: ops.knn(x, -3), "k is -3: expected 0"),
        "k > int32": (lambda: ops.knn(x, 2**31), "k is 2147483648"),
        "rows > int32": (lambda: ops.knn(x[:1].expand(2**31, d), 1), "at most 2147483647 rows"),
        "M k": (lambda: ops.knn(x, 2**31 - 1, queries=x[:1].expand(2**31 - 1, d)), "more than memory can hold"),
        "one dimension": (lambda: ops.knn(x[0], 3), r"points has shape \[3\]: expected \[rows, dimensions\]"),
        "D = 0": (lambda: ops.knn(x[:, :0], 3), "expected 1 to 1024 dimensions"),
        "D = 1025": (lambda: ops.knn(x.new_zeros(5, 1025), 3), r"\[5, 1025\]: expected 1 to 1024 dimensions"),
        "int": (lambda: ops.knn(x.int(), 3), "points is Int: expected float64"),
        "complex": (lambda: ops.knn(x.to(torch.complex64), 3), "points is ComplexFloat: expected float64"),
        "queries of another type": (lambda: ops.knn(x, 3, queries=x.double()), "queries is Double"),
        "queries of another D": (lambda: ops.knn(x, 3, queries=x[:, :2]), "expected the same dimensions"),
        "splits of float": (lambda: ops.knn(x, 3, splits.float()), "row_splits is Float: expected int32 or int64"),
        "splits in two dimensions": (lambda: ops.knn(x, 3, splits[None]), "row_splits has shape"),
        "empty splits": (lambda: ops.knn(x, 3, splits[:0]), "row_splits is empty"),
        "splits not from 0": (lambda: ops.knn(x, 3, splits + 1), r"row_splits\[0\] is 1: expected 0"),
        "splits not to N": (lambda: ops.knn(x, 3, splits[:2]), rf"row_splits\[1\] is 3: expected the number of rows, {n}"),
        "splits beyond N": (lambda: ops.knn(x, 3, splits * 2**32), "expected the number of rows"),
        "splits descend": (lambda: ops.knn(x, 3, splits[[0, 2, 1, 2]]), "expected ascending rows"),
        "splits on the host descend": (lambda: ops.knn(x, 3, splits[[0, 2, 1, 2]].cpu()), "expected ascending rows"),
        "only splits of points": (lambda: ops.knn(x, 3, splits, x), "given without query_row_splits"),
        "only splits of queries": (lambda: ops.knn(x, 3, None, x, splits), "given without row_splits"),
        "splits of no queries": (lambda: ops.knn(x, 3, splits, None, splits), "given without queries"),
        "other events": (lambda: ops.knn(x, 3, splits, x, splits[[0, 2]]), "query_row_splits has 2 entries: expected 3"),
        "loop of queries": (lambda: ops.knn(x, 3, queries=x, loop=False), "loop is False with queries"),
        "loop of queries, radius": (lambda: ops.radius(x, 3.0, queries=x, loop=False), "loop is False with queries"),
        "radius < 0": (lambda: ops.knn(x, 3, max_radius=-1.0), "max_radius is -1: expected ≥ 0"),
        "radius NaN": (lambda: ops.knn(x, 3, max_radius=math.nan), "max_radius is nan"),
        "NaN as the radius": (lambda: ops.radius(x, math.nan), "radius is nan: expected ≥ 0"),
        "max_neighbors < 0": (lambda: ops.radius(x, 1.0, max_neighbors=-1), "max_neighbors is -1"),
        "direction of float": (lambda: ops.knn(x, 3, direction=x[:, 0]), "direction is Float"),
        "direction of others": (lambda: ops.knn(x, 3, direction=masks(5).to(x.device)), r"direction has shape \[5\]"),
        "direction of queries": (lambda: ops.knn(x, 3, queries=x, direction=masks(n).to(x.device)), "with queries"),
        "NaN": (lambda: ops.knn(nan, 3), "points row 41"),
        "infinity": (lambda: ops.knn(infinite, 3), "points row 7"),
        "NaN in a query": (lambda: ops.knn(x, 3, queries=nan), "queries row 41"),
        "NaN, radius": (lambda: ops.radius(nan, 1.0), "points row 41"),
    }


@pytest.mark.parametrize("name", bad(torch.zeros(120, 3)))
def test_bad_arguments(device, name):
    call, message = bad(lattice(120, 3, device=device))[name]
    with pytest.raises(ValueError, match=rf"^starling::(knn|radius): .*{message}"):
        call()


def test_unknown_direction():
    for dtype, code in ((torch.int64, 2**32 + 1), (torch.int64, 256), (torch.int32, -7), (torch.uint8, 200), (torch.int8, 9)):
        direction = torch.tensor([0, 1, 2, code, 0], dtype=dtype)
        with pytest.raises(ValueError, match=f"^starling::knn: direction row 3 is {code}: expected 0 to 3"):
            ops.knn(lattice(5, 2), 2, direction=direction)


def test_row_splits_beyond_int32_are_named():
    for row_splits in (torch.tensor([0, 2**32 + 2]), torch.tensor([0, 2**32 + 2, 5])):
        with pytest.raises(ValueError, match=r"row_splits\[1\] is 4294967298: expected the number of rows, 5"):
            ops.knn(lattice(5, 2), 2, row_splits)


def plain(x, index, queries=None):
    """d² of the pairs in index by torch's own operators; +inf for -1."""
    y = x if queries is None else queries
    if index.numel() == 0:
        return index.to(x.dtype)
    distance2 = ((y[:, None] - x[index.clamp(min=0)]) ** 2).sum(2)
    return torch.where(index >= 0, distance2, math.inf)


def kept(distance2):
    """d² with 0 for the padding, whose infinity finite differences cannot take."""
    return torch.where(distance2.isinf(), 0, distance2)


SEARCHES = {
    "knn": lambda x, y: kept(ops.knn(x, 6)[1]),
    "knn, padded": lambda x, y: kept(ops.knn(x, 20, torch.tensor([0, 4, 4, 14]))[1]),
    "knn, loop=False, radius": lambda x, y: kept(ops.knn(x, 6, loop=False, max_radius=0.5)[1]),
    "knn of queries": lambda x, y: kept(ops.knn(x, 6, queries=y)[1]),
    "radius": lambda x, y: ops.radius(x, 0.5, max_neighbors=6)[2],
    "radius of queries": lambda x, y: ops.radius(x, 0.5, queries=y)[2],
}


@pytest.mark.parametrize("name", SEARCHES)
def test_derivatives_are_those_of_finite_differences(device, name):
    x = uniform(14, 3, torch.float64).to(device).requires_grad_()
    y = uniform(5, 3, torch.float64, seed=1).to(device).requires_grad_()
    inputs = (x, y) if "queries" in name else (x,)
    search = lambda x, y=None: SEARCHES[name](x, y)  # noqa: E731
    assert torch.autograd.gradcheck(search, inputs, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(search, inputs, check_fwd_over_rev=True)


@pytest.mark.parametrize("separate", (False, True), ids=("points", "queries"))
def test_derivatives_of_the_derivatives(device, separate):
    """The operators that autograd is made of, in every argument: backward, forward, forward over backward."""
    x = uniform(6, 2, torch.float64).to(device).requires_grad_()
    y = uniform(3, 2, torch.float64, seed=1).to(device).requires_grad_() if separate else None
    move_x = uniform(6, 2, torch.float64, seed=2).to(device).requires_grad_()
    move_y = uniform(3, 2, torch.float64, seed=3).to(device).requires_grad_() if separate else None
    lists = [(ops.knn(x, 2, queries=y)[0].detach(), None)]
    splits, index, *_ = ops.radius(x, 0.4, queries=y)
    lists.append((index, splits))
    for index, splits in lists:
        weight = uniform(index.numel(), 1, torch.float64, seed=4).to(device).view(index.shape).requires_grad_()
        for function, inputs in (
            (lambda x, g, y=None: ops._distance_gradient(x, y, index, splits, g)[: 1 if y is None else 2], (x, weight)),
            (lambda x, u, y=None, v=None: ops._distance_tangent(x, y, index, splits, u, v), (x, move_x)),
        ):
            if separate:
                inputs = (*inputs, y) if inputs[1] is weight else (*inputs, y, move_y)
            assert torch.autograd.gradcheck(function, inputs, check_forward_ad=True)
            assert torch.autograd.gradgradcheck(function, inputs, check_fwd_over_rev=True)


def test_backward_twice_needs_the_graph(device):
    x = uniform(9, 2).to(device).requires_grad_()
    distance2 = ops.knn(x, 3)[1].sum()
    distance2.backward()
    with pytest.raises(RuntimeError, match="second time"):
        distance2.backward()


# torch.func sees the derivatives of every kind, and batches of calls.


@pytest.mark.parametrize("name", SEARCHES)
def test_jacobians_of_torch_func(device, name):
    x = uniform(8, 2, torch.float64).to(device)
    y = uniform(5, 2, torch.float64, seed=1).to(device)
    if "padded" in name:
        x = uniform(14, 2, torch.float64).to(device)
    search = SEARCHES[name]
    which = (0, 1) if "queries" in name else (0,)
    right = torch.autograd.functional.jacobian(search, (x, y))
    for transform in (torch.func.jacrev, torch.func.jacfwd):
        found = transform(search, argnums=which)(x, y)
        for place in which:
            torch.testing.assert_close(found[place], right[place])

    def energy(x, y):
        return torch.exp(-search(x, y)).sum()

    right = torch.autograd.functional.hessian(energy, (x, y))
    for hessian in (torch.func.hessian, lambda f, argnums: torch.func.jacrev(torch.func.jacrev(f, argnums), argnums)):
        found = hessian(energy, argnums=which)(x, y)
        for a in which:
            for b in which:
                torch.testing.assert_close(found[a][b], right[a][b])


def test_forward_mode(device):
    x, move = (uniform(30, 3, torch.float64, seed=seed).to(device) for seed in (0, 1))
    index, right = ops.knn(x, 5)[0], torch.autograd.functional.jvp(lambda x: ops.knn(x, 5)[1], x, move)[1]
    torch.testing.assert_close(torch.func.jvp(lambda x: ops.knn(x, 5)[1], (x,), (move,))[1], right)
    with torch.autograd.forward_ad.dual_level():
        found, distance2 = ops.knn(torch.autograd.forward_ad.make_dual(x, move), 5)
        assert torch.equal(found, index)
        torch.testing.assert_close(torch.autograd.forward_ad.unpack_dual(distance2).tangent, right)
    half = torch.func.jvp(lambda x: ops.knn(x, 5)[1], (x.half(),), (move.half(),))
    assert half[1].dtype == torch.float32
    torch.testing.assert_close(half[1].double(), right, rtol=0.01, atol=0.01)


VMAPPED = {
    "points": (lambda x, y, s, d: ops.knn(x, 5), (0, None, None, None)),
    "points, last dimension": (lambda x, y, s, d: ops.knn(x, 5), (2, None, None, None)),
    "loop=False, radius": (lambda x, y, s, d: ops.knn(x, 25, loop=False, max_radius=9.0), (0, None, None, None)),
    "events": (lambda x, y, s, d: ops.knn(x, 5, s), (0, None, None, None)),
    "events of each": (lambda x, y, s, d: ops.knn(x, 5, s), (None, None, 0, None)),
    "queries": (lambda x, y, s, d: ops.knn(x, 5, queries=y), (None, 0, None, None)),
    "points and queries in events": (lambda x, y, s, d: ops.knn(x, 5, s, y, s // 2), (0, 0, 0, None)),
    "directions": (lambda x, y, s, d: ops.knn(x, 5, direction=d), (None, None, None, 0)),
}


@pytest.mark.parametrize("name", VMAPPED)
def test_vmap_is_a_loop(device, name):
    function, dims = VMAPPED[name]
    x = torch.stack([lattice(20, 3, seed=seed) for seed in range(4)])
    y = torch.stack([lattice(10, 3, seed=seed) for seed in range(4)])
    splits = torch.tensor([[0, 4, 20], [0, 0, 20], [0, 20, 20], [0, 12, 20]])
    arguments = [tensor.to(device) for tensor in (x, y, splits, torch.stack([masks(20).roll(i) for i in range(4)]))]
    right = [function(*(a[i if dim is not None else 0] for a, dim in zip(arguments, dims))) for i in range(4)]
    given = [a[0] if dim is None else a.movedim(0, dim) for a, dim in zip(arguments, dims)]
    for found, each in zip(torch.func.vmap(function, dims)(*given), zip(*right)):
        assert torch.equal(found, torch.stack(each))


def test_vmap_of_no_examples(device):
    x, y = torch.zeros(0, 20, 3, device=device), torch.zeros(0, 10, 3, device=device)
    index, distance2 = torch.func.vmap(lambda x: ops.knn(x, 5))(x)
    assert index.shape == distance2.shape == (0, 20, 5)
    assert torch.func.vmap(lambda x, y: ops.knn(x, 5, queries=y))(x, y)[0].shape == (0, 10, 5)
    splits = torch.tensor([0, 4, 20], device=device)
    assert torch.func.vmap(lambda x: ops.knn(x, 5, splits))(x)[0].shape == (0, 20, 5)
    energy = torch.func.grad(lambda x: ops.knn(x, 5)[1].sum())
    assert torch.func.vmap(energy)(x).shape == (0, 20, 3)
    assert torch.func.vmap(lambda x: torch.func.jvp(lambda x: ops.knn(x, 5)[1], (x,), (x,))[1])(x).shape == (0, 20, 5)


def test_vmap_of_gradients(device):
    x = torch.stack([uniform(20, 3, seed=seed) for seed in range(4)]).to(device)

    def energy(x):
        return torch.exp(-ops.knn(x, 5)[1]).sum()

    found = torch.func.vmap(torch.func.grad(energy))(x)
    assert torch.equal(found, torch.stack([torch.func.grad(energy)(each) for each in x]))


def test_what_vmap_cannot_do(device):
    x = torch.stack([lattice(20, 3, seed=seed) for seed in range(2)]).to(device)
    with pytest.raises(RuntimeError, match="use starling::knn with max_radius"):
        torch.func.vmap(lambda x: ops.radius(x, 9.0))(x)
    splits = torch.tensor([[0, 4, 19], [0, 4, 20]], device=device)
    with pytest.raises(ValueError, match="example 0 go from 0 to 19: expected 0 to the number of rows, 20"):
        torch.func.vmap(lambda x, splits: ops.knn(x, 2, splits))(x, splits)
    with pytest.raises(ValueError, match="expected the number of rows"):
        torch.func.vmap(lambda x: ops.knn(x, 2, splits[0]))(x)
    with pytest.raises(ValueError, match="given without"):
        torch.func.vmap(lambda x: ops.knn(x, 2, splits[1], x))(x)


def test_the_third_derivative():
    x = uniform(6, 2, torch.float64).requires_grad_()

    def slope(x):
        energy = torch.exp(-ops.knn(x, 3)[1]).sum()
        return (torch.autograd.grad(energy, x, create_graph=True)[0] ** 2).sum()

    assert torch.autograd.gradgradcheck(slope, x)


@pytest.mark.parametrize("separate", (False, True), ids=("points", "queries"))
def test_gradient_is_that_of_the_plain_formula(device, separate):
    x = uniform(2000, 4).to(device).requires_grad_()
    y = uniform(300, 4, seed=1).to(device).requires_grad_() if separate else None
    weight = uniform(2000, 40, seed=2).to(device)[: 300 if separate else 2000]
    inputs = (x, y) if separate else (x,)
    index, distance2 = ops.knn(x, 40, queries=y)
    ours = torch.autograd.grad((torch.exp(-10 * distance2) * weight).sum(), inputs)
    theirs = torch.autograd.grad((torch.exp(-10 * plain(x, index, y)) * weight).sum(), inputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_padding_has_no_gradient(device):
    x = uniform(5, 3).to(device).requires_grad_()
    index, distance2 = ops.knn(x, 9)
    assert (index[:, 5:] == -1).all() and distance2[:, 5:].isinf().all()
    for value in (1.0, math.inf, math.nan):
        weight = torch.ones_like(distance2)
        weight[:, 5:] = value
        (gradient,) = torch.autograd.grad(distance2, x, weight, retain_graph=True)
        (right,) = torch.autograd.grad(plain(x, index[:, :5]).sum(), x)
        torch.testing.assert_close(gradient, right)
    # As a network uses it: exp(-inf) is 0, and so is what comes back.
    (gradient,) = torch.autograd.grad(torch.exp(-distance2).sum(), x)
    assert gradient.isfinite().all()


def test_gradient_of_nothing(device):
    for n, m in ((0, 0), (0, 3), (3, 0)):
        x = uniform(n, 2).to(device).requires_grad_()
        y = uniform(m, 2).to(device).requires_grad_()
        for distance2 in (ops.knn(x, 2, queries=y)[1], ops.radius(x, 0.1, queries=y)[2]):
            for gradient in torch.autograd.grad(torch.exp(-distance2).sum(), (x, y)):
                assert not gradient.any()
    assert not ops.knn(x, 2)[0].requires_grad


def test_same_bytes_every_time(device):
    x = lattice(5000, 3, side=12, device=device).requires_grad_()
    results, threads = [], torch.get_num_threads()
    for count in (1, 3, 1, 2):
        torch.set_num_threads(count)
        torch.use_deterministic_algorithms(count != 3)
        index, distance2 = ops.knn(x, 30)
        (gradient,) = torch.autograd.grad(torch.exp(-distance2 / 7).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad((gradient**2).sum(), x)
        results.append((index, distance2, gradient, second, *ops.radius(x, 2.0)))
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def knn_loss(x, splits):
    index, distance2 = ops.knn(x, 5, splits, max_radius=0.4)
    return (torch.exp(-distance2) * (index >= 0)).sum()


def radius_loss(x, splits):
    row_splits, _, distance2, _ = ops.radius(x, 0.4, splits)
    return torch.exp(-distance2).sum() + row_splits.diff().max()


@pytest.mark.parametrize("loss", (knn_loss, radius_loss), ids=("knn", "radius"))
@pytest.mark.parametrize("backend", ("aot_eager", "inductor"))
def test_compiles_as_one_graph(device, backend, loss):
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend=backend)
    for n in (30, 31, 57):
        x = uniform(n, 3).to(device).requires_grad_()
        splits = torch.tensor([0, 10, n], device=device)
        value, right = compiled(x, splits), loss(x, splits)
        torch.testing.assert_close(value, right)
        torch.testing.assert_close(torch.autograd.grad(value, x), torch.autograd.grad(right, x))


@pytest.mark.parametrize("loss", (knn_loss, radius_loss), ids=("knn", "radius"))
@pytest.mark.parametrize("strict", (False, True), ids=("", "strict"))
def test_exports_with_any_number_of_points(device, loss, strict):
    class Model(torch.nn.Module):
        def forward(self, x, splits):
            return loss(x, splits)

    def arguments(n):
        return uniform(n, 3).to(device), torch.tensor([0, 10, n], device=device)

    sizes = {"x": {0: torch.export.Dim("points")}, "splits": None}
    program = torch.export.export(Model(), arguments(30), dynamic_shapes=sizes, strict=strict)
    assert "torch.ops.starling" in program.graph_module.code or "starling." in str(program.graph)
    for n in (30, 77, 11):
        torch.testing.assert_close(program.module()(*arguments(n)), loss(*arguments(n)))


def test_opcheck(device):
    x, y = uniform(20, 3).to(device), uniform(7, 3, seed=1).to(device)
    splits, query_splits = torch.tensor([0, 9, 20], device=device), torch.tensor([0, 7, 7], device=device)
    index = ops.knn(x, 4, queries=y)[0]
    row_splits, near, *_ = ops.radius(x, 0.3)
    weight, near_weight = uniform(7, 4).to(device), uniform(len(near), 1).to(device)[:, 0]
    move_x, move_y = uniform(20, 3, seed=2).to(device), uniform(7, 3, seed=3).to(device)
    for operator, arguments in (
        (ops.knn, (x, 4)),
        (ops.knn, (x.half(), 4, splits.int(), None, None, False, 0.5, masks(20).to(device))),
        (ops.knn, (x.double(), 4, splits, y.double(), query_splits)),
        (ops.radius, (x, 0.3)),
        (ops.radius, (x, 0.3, splits, y, query_splits, True, 3)),
        (ops._distance_gradient, (x, y, index, None, weight)),
        (ops._distance_gradient, (x, None, near, row_splits, near_weight)),
        (ops._distance_tangent, (x, y, index, None, move_x, move_y)),
        (ops._distance_tangent, (x, None, near, row_splits, move_x, None)),
    ):
        checks = torch.library.opcheck(operator.default, arguments)
        assert set(checks.values()) == {"SUCCESS"}


def interaction_arguments(device, dtype, concat=True, node=True):
    """What starling::interaction_step takes, for 7 nodes, 20 edges and 4 features."""
    generator = torch.Generator().manual_seed(1)
    src, dst = torch.randint(7, (2, 20), generator=generator, dtype=torch.int32).to(device)

    def values(*shape):
        numbers = torch.rand(shape, generator=generator, dtype=torch.float64) - 0.3
        return numbers.to(device, dtype).requires_grad_()

    x0, e0 = (values(7, 4), values(20, 4)) if concat else (None, None)
    lists = [*ops.edges_of_nodes(src, 7), *ops.edges_of_nodes(dst, 7)]
    edge, nodes = ((6, 4) if concat else (3, 3))
    parameters = values(4 * 4 * (edge + 2) + 12)
    node_parameters = values(4 * 4 * (nodes + 2) + 12) if node else None
    return values(7, 4), x0, values(20, 4), e0, src, dst, lists, parameters, node_parameters


def test_edges_of_nodes(device):
    ends = torch.tensor([2, 0, 2, 3, 2], dtype=torch.int32, device=device)
    begin, edge = ops.edges_of_nodes(ends, 5)
    assert begin.tolist() == [0, 1, 1, 4, 5, 5] and edge.tolist() == [1, 0, 2, 4, 3]
    assert begin.dtype == edge.dtype == torch.int32


def test_interaction_step_opcheck(device):
    for concat in (True, False):
        for node in (True, False):
            arguments = interaction_arguments(device, torch.float32, concat, node)
            checks = torch.library.opcheck(ops.interaction_step.default, arguments)
            assert set(checks.values()) == {"SUCCESS"}
    inputs = uniform(20, 3).to(device).requires_grad_()
    parameters = uniform(56, 1, seed=1).to(device)[:, 0].requires_grad_()
    checks = torch.library.opcheck(ops.mlp_rows.default, (inputs, parameters, 4, 4))
    assert set(checks.values()) == {"SUCCESS"}
    ends = torch.tensor([2, 0, 2], dtype=torch.int32, device=device)
    assert set(torch.library.opcheck(ops.edges_of_nodes.default, (ends, 4)).values()) == {"SUCCESS"}


def test_interaction_step_gradient_in_double():
    x, x0, e, e0, src, dst, lists, edge, node = interaction_arguments("cpu", torch.float64)

    def step(x, x0, e, e0, edge, node):
        return ops.interaction_step(x, x0, e, e0, src, dst, lists, edge, node)

    assert torch.autograd.gradcheck(step, (x, x0, e, e0, edge, node))
    with pytest.raises(NotImplementedError, match="second derivative"):
        (gradient,) = torch.autograd.grad(step(x, x0, e, e0, edge, node)[0].sum(), e, create_graph=True)
        gradient.sum().backward()


def test_interaction_step_wrong_arguments(device):
    x, x0, e, e0, src, dst, lists, edge, node = interaction_arguments(device, torch.float32)
    for text, arguments in (
        ("x0 and e0: expected both or none", (x, None, e, e0, src, dst, lists, edge)),
        ("e0 is Float", (x, x0, e, e0[1:], src, dst, lists, edge)),
        ("src is Long", (x, x0, e, e0, src.long(), dst, lists, edge)),
        ("lists has 2 tensors: expected", (x, x0, e, e0, src, dst, lists[:2], edge)),
        ("edge_parameters is Float", (x, x0, e, e0, src, dst, lists, edge[1:])),
    ):
        with pytest.raises(ValueError, match=text):
            ops.interaction_step(*arguments)


def test_traced_derivatives(device):
    # opcheck adds up all outputs, which with gradients fails for the integer ones: here for d² alone.
    x, y = uniform(20, 3).to(device).requires_grad_(), uniform(7, 3, seed=1).to(device).requires_grad_()
    for search in (lambda x, y: ops.knn(x, 4, queries=y)[1], lambda x, y: ops.radius(x, 0.4, queries=y)[2]):
        aot_autograd_check(search, (x, y), {}, True, check_gradients=True)
    index = ops.knn(x, 4, queries=y)[0]
    weight = uniform(7, 4).to(device).requires_grad_()
    torch.library.opcheck(ops._distance_gradient.default, (x, y, index, None, weight))
    torch.library.opcheck(ops._distance_tangent.default, (x, y, index, None, x.detach().clone().requires_grad_(), y))


def test_inference_mode_and_no_grad(device):
    x = uniform(100, 3).to(device).requires_grad_()
    right = ops.knn(x, 5)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            index, distance2 = ops.knn(x, 5)
            created_inside = ops.knn(x * 1, 5)[1]
        assert torch.equal(index, right[0]) and torch.equal(distance2, right[1]) and not distance2.requires_grad
        assert torch.equal(created_inside, right[1])


def test_autocast_leaves_distances_in_float32(device):
    x = uniform(100, 3).to(device).requires_grad_()
    with torch.autocast(device, dtype=torch.bfloat16):
        distance2 = ops.knn(x, 5)[1]
        learned = x @ torch.eye(3, device=device)
        assert learned.dtype == torch.bfloat16
        assert ops.knn(learned, 5)[1].dtype == torch.float32
    assert torch.equal(distance2, ops.knn(x, 5)[1]) and distance2.dtype == torch.float32
    torch.exp(-distance2).sum().backward()
    assert x.grad.dtype == torch.float32
