"""The functions of the package `starling`: results against brute force, conventions, errors."""

import contextlib
import doctest
import importlib
import inspect
import io
import math
import re
from pathlib import Path

import pytest
import torch
from conftest import brute_force, events, lattice

import starling

SOURCE = Path(__file__).resolve().parents[2]


def check(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=0)
    torch.testing.assert_close(found[1], expected[1], rtol=0, atol=0)


# --- neighbors, neighbors_within ---


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 3, 16])
@pytest.mark.parametrize("k", [1, 7, 130])
def test_neighbors_are_those_of_brute_force(device, dtype, dimensions, k):
    x = lattice(120, dimensions, dtype=dtype, device=device)
    for loop in (True, False):
        check(starling.neighbors(x, k, loop=loop), brute_force(x, k, loop=loop))


@pytest.mark.parametrize("splits_dtype", [torch.int32, torch.int64])
def test_every_option_together(device, two_events, splits_dtype):
    x, row_splits = two_events
    row_splits = row_splits.to(splits_dtype)
    direction = (torch.arange(120, device=device) % 5 - 1).clamp(0).to(torch.int8)
    for loop in (True, False):
        options = dict(loop=loop, max_radius=18.0, direction=direction)
        check(starling.neighbors(x, 9, row_splits, **options), brute_force(x, 9, row_splits, **options))


def test_queries_that_are_not_the_points(device, two_events):
    x, row_splits = two_events
    y = lattice(31, 3, device=device, seed=1)
    query_row_splits = torch.tensor([0, 10, 12, 12, 31], device=device)
    found = starling.neighbors(x, 6, row_splits, queries=y, query_row_splits=query_row_splits)
    check(found, brute_force(x, 6, row_splits, y, query_row_splits))


def test_all_within_a_radius(device, two_events):
    x, row_splits = two_events
    for loop in (True, False):
        for most in (None, 4):
            found = starling.neighbors_within(x, 12.0, row_splits, loop=loop, max_neighbors=most)
            index, distance2 = brute_force(x, most or 120, row_splits, loop=loop, max_radius=12.0)
            assert found.row_splits.diff().tolist() == (index >= 0).sum(1).tolist()
            check((found.index, found.distance2), (index[index >= 0], distance2[index >= 0]))
            all_within = brute_force(x, 120, row_splits, loop=loop, max_radius=12.0)[0] >= 0
            assert found.within.tolist() == all_within.sum(1).tolist()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far, radius", [((3, 4, 0), 5.0), ((1, 1, 0), 2**0.5), ((28, 28, 21), 44.82187057724966)])
def test_a_point_at_exactly_the_radius_is_within(device, dtype, far, radius):
    """d² ≤ radius², squared in float64: where that of float32 is less than d²."""
    x = torch.tensor([(0, 0, 0), far], device=device, dtype=dtype)
    assert starling.neighbors_within(x, radius, loop=False).index.tolist() == [1, 0]
    assert starling.neighbors(x, 2, max_radius=radius).index.tolist() == [[0, 1], [1, 0]]
    for most in (None, 1, 32):
        assert starling.radius_graph(x, radius, max_num_neighbors=most).tolist() == [[1, 0], [0, 1]]
        assert starling.radius(x, x[:1], radius, max_num_neighbors=most)[1].tolist() == ([0] if most == 1 else [0, 1])
    assert starling.radius_graph(x, radius * (1 - 1e-6)).shape == (2, 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_infinite_radius_takes_all_points_of_the_event(device, two_events, dtype):
    x, row_splits = two_events
    x = x.to(dtype)
    batch = events(row_splits, 120).to(device)
    index, _ = brute_force(x, 120, row_splits, loop=False)
    assert starling.radius_graph(x, math.inf, batch, max_num_neighbors=None).equal(edges_of(index))
    assert starling.radius_graph(x, math.inf, batch, max_num_neighbors=7).equal(edges_of(index[:, :7]))
    assert starling.radius(x, x[:3], math.inf).shape == (2, 96)
    assert starling.neighbors_within(x, math.inf, row_splits).within.tolist() == [50] * 50 + [3] * 3 + [67] * 67
    # d² of these is infinite in float32.
    assert starling.radius_graph(x[:2] * 1e30, math.inf).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(device, dtype):
    x = lattice(60, 3, dtype=dtype, device=device)
    found = starling.neighbors(x, 5)
    assert found.distance2.dtype == torch.float32
    check(found, brute_force(x.float(), 5))


def test_gradient_is_that_of_the_plain_formula(device, two_events):
    x, row_splits = two_events
    x = x.double().requires_grad_()
    weight = torch.rand(120, 4, dtype=torch.float64, device=device)
    index, distance2 = starling.neighbors(x, 4, row_splits, loop=False)
    found = index >= 0
    (gradient,) = torch.autograd.grad((weight * distance2)[found].sum(), x)
    plain = ((x[:, None] - x[index.clamp(min=0)]) ** 2).sum(2)
    (expected,) = torch.autograd.grad((weight * plain)[found].sum(), x)
    torch.testing.assert_close(gradient, expected)


def test_torch_func_sees_the_distances(device, two_events):
    x, row_splits = two_events
    x = x.double() / 40

    for distance2 in (
        lambda x: starling.neighbors(x, 4, row_splits).distance2,
        lambda x: starling.neighbors_within(x, 0.3, row_splits).distance2,
        lambda x: starling.binned_select_knn(4, x, row_splits)[1],
    ):
        energy = lambda x: torch.exp(-distance2(x)).sum()  # noqa: B023, E731
        leaf = x.clone().requires_grad_()
        (expected,) = torch.autograd.grad(energy(leaf), leaf)
        torch.testing.assert_close(torch.func.grad(energy)(x), expected)
        slope = torch.func.jvp(energy, (x,), (x.flip(0),))[1]
        torch.testing.assert_close(slope, (expected * x.flip(0)).sum())
    each = torch.func.vmap(lambda x: starling.binned_select_knn(4, x, row_splits)[0])(torch.stack((x, x.flip(0))))
    assert each[1].equal(starling.binned_select_knn(4, x.flip(0), row_splits)[0])


@pytest.mark.parametrize("loop", [True, False])
def test_no_points(device, loop):
    x = torch.zeros(0, 3, device=device)
    assert starling.neighbors(x, 4, loop=loop).index.shape == (0, 4)
    assert starling.neighbors(x, 4, torch.zeros(3, dtype=torch.int64, device=device)).distance2.shape == (0, 4)
    within = starling.neighbors_within(x, 1.0)
    assert within.row_splits.tolist() == [0] and within.index.shape == (0,) and within.distance2.shape == (0,)
    queries = lattice(2, 3, device=device)
    assert starling.neighbors(x, 2, queries=queries).index.tolist() == [[-1, -1], [-1, -1]]
    assert starling.neighbors(queries, 2, queries=x).index.shape == (0, 2)


# --- torch_cluster's functions ---


def test_signatures_are_torch_clusters():
    def names(function):
        return {name: p.default for name, p in inspect.signature(function).parameters.items()}

    none = inspect.Parameter.empty
    common = {"num_workers": 1, "batch_size": None}
    graph = {"batch": None, "loop": False, "flow": "source_to_target"}
    two = {"batch_x": None, "batch_y": None}
    assert names(starling.knn_graph) == {"x": none, "k": none, **graph, "cosine": False, **common}
    assert names(starling.radius_graph) == {"x": none, "r": none, **graph, "max_num_neighbors": 32, **common}
    assert list(names(starling.radius_graph))[2:6] == ["batch", "loop", "max_num_neighbors", "flow"]
    assert names(starling.knn) == {"x": none, "y": none, "k": none, **two, "cosine": False, **common}
    radius = {"x": none, "y": none, "r": none, **two, "max_num_neighbors": 32, **common, "ignore_same_index": False}
    assert names(starling.radius) == radius and list(names(starling.radius)) == list(radius)


def edges_of(index, flow="source_to_target"):
    query = torch.arange(index.shape[0], device=index.device)[:, None].expand_as(index)
    rows = (index, query) if flow == "source_to_target" else (query, index)
    return torch.stack([row[index >= 0] for row in rows])


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
@pytest.mark.parametrize("loop", [True, False])
@pytest.mark.parametrize("k", [1, 3, 60])
def test_knn_graph(device, two_events, flow, loop, k):
    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    expected = edges_of(brute_force(x, k, row_splits, loop=loop)[0], flow)
    for batch_size in (None, 4):
        for vector in (batch, batch.int()):
            assert starling.knn_graph(x, k, vector, loop, flow, batch_size=batch_size).equal(expected)
    expected = edges_of(brute_force(x, k, loop=loop)[0], flow)
    assert starling.knn_graph(x, k, loop=loop, flow=flow).equal(expected)


@pytest.mark.parametrize("loop", [True, False])
def test_radius_graph_keeps_the_nearest(device, two_events, loop):
    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    for most, k in ((32, 32), (3, 3), (None, 120)):
        index, _ = brute_force(x, k, row_splits, loop=loop, max_radius=14.0)
        assert starling.radius_graph(x, 14.0, batch, loop, most).equal(edges_of(index))
        found = starling.radius_graph(x, 14.0, batch, loop, most, flow="target_to_source")
        assert found.equal(edges_of(index, "target_to_source"))


def test_knn_and_radius_between_two_sets(device, two_events):
    x, row_splits = two_events
    y = lattice(31, 3, device=device, seed=1)
    query_row_splits = torch.tensor([0, 10, 12, 12, 31], device=device)
    batch_x, batch_y = events(row_splits, 120).to(device), events(query_row_splits, 31).to(device)
    index, _ = brute_force(x, 5, row_splits, y, query_row_splits)
    assert starling.knn(x, y, 5, batch_x, batch_y).equal(edges_of(index, "target_to_source"))
    index, _ = brute_force(x, 32, row_splits, y, query_row_splits, max_radius=15.0)
    assert starling.radius(x, y, 15.0, batch_x, batch_y).equal(edges_of(index, "target_to_source"))
    assert starling.knn(x, y, 5).equal(edges_of(brute_force(x, 5, queries=y)[0], "target_to_source"))


def test_fewer_events_in_one_set_than_in_the_other(device):
    x, y = lattice(6, 2, device=device), lattice(4, 2, device=device, seed=1)
    batch_x = torch.tensor([0, 0, 0, 1, 1, 1], device=device)
    batch_y = torch.tensor([0, 0, 2, 2], device=device)
    edges = starling.knn(x, y, 2, batch_x, batch_y)
    assert edges[0].tolist() == [0, 0, 1, 1]
    assert set(edges[1].tolist()) <= {0, 1, 2}


def test_points_of_one_dimension_may_come_without_it(device):
    x = torch.tensor([0.0, 1.0, 5.0, 5.5], device=device)
    assert starling.knn_graph(x, 1).tolist() == [[1, 0, 3, 2], [0, 1, 2, 3]]
    assert starling.knn(x, x[:2], 1).tolist() == [[0, 1], [0, 1]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("dimensions", [1, 4, 16])
def test_nearest_by_angle(device, dtype, dimensions):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(50, dimensions, generator=generator, dtype=torch.float64).to(device, dtype)
    unit = x.double() / x.double().norm(dim=1, keepdim=True)
    cosine = (unit @ unit.T).fill_diagonal_(-2)
    found = cosine.gather(1, starling.knn_graph(x, 5, cosine=True)[0].view(50, 5))
    torch.testing.assert_close(found, cosine.topk(5, dim=1).values, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "points, dtype, point, nearest",
    [
        ([[38, 27], [21, 15], [22, 23]], torch.bfloat16, 2, 1),
        ([[38, 27], [21, 15], [22, 23]], torch.float16, 2, 1),
        ([[1e-13, 0], [1e-13, 1e-14], [1e-20, 0]], torch.float32, 0, 2),
        ([[1e20, 0], [0, 1e20], [1e20, 1e18]], torch.float32, 0, 2),
        ([[1e-45, 0], [1e-44, 1e-44], [1e-38, 1e-45]], torch.float32, 0, 2),
        ([[1e-320, 0], [0, 1e-310], [1e300, 1e300]], torch.float64, 1, 2),
        ([[1e308, 1e308], [0, 1e-300], [1e-300, 1e-300]], torch.float64, 0, 2),
        # cos is 1 − 5e-15 and 1 − 1.25e-15
        ([[1, 0], [1, 1e-7], [1, 5e-8]], torch.float32, 0, 2),
    ],
)
def test_angles_of_vectors_that_are_hard_to_normalise(device, points, dtype, point, nearest):
    x = torch.tensor(points, dtype=torch.float64).to(device, dtype)
    assert starling.knn_graph(x, 1, cosine=True)[0, point] == nearest
    assert starling.knn(x, x[point : point + 1], 2, cosine=True)[1, 1] == nearest


def test_vectors_of_one_direction_are_equally_near(device):
    x = torch.tensor([[1, 3], [7, 21], [1e-300, 3e-300], [2, 6], [5, 15]], dtype=torch.float64, device=device)
    x[2] = x[0] * 2.0**-1000
    others = [[row for row in range(5) if row != point] for point in range(5)]
    assert starling.knn_graph(x, 4, cosine=True)[0].view(5, 4).tolist() == others


def test_a_zero_vector_counts_as_60_degrees_away(device):
    x = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.7], [1.0, 1.8], [-0.0, 0.0]], device=device)
    neighbors = starling.knn_graph(x, 4, cosine=True)[0].view(5, 4)
    # Angles from point 0: 59.5° to point 2, 60.9° to point 3. Zero vectors are 0° from each other.
    assert neighbors[[0, 2, 3]].tolist() == [[2, 1, 4, 3], [3, 0, 1, 4], [2, 1, 4, 0]]
    assert neighbors[[1, 4], 0].tolist() == [4, 1]
    assert starling.knn_graph(torch.zeros(3, 2, device=device), 2, cosine=True)[0].tolist() == [1, 2, 0, 2, 0, 1]


def test_nearest_by_angle_needs_finite_coordinates(device):
    x = torch.tensor([[1.0, 2.0], [3.0, math.inf]], device=device)
    with pytest.raises(ValueError, match="row 1"):
        starling.knn_graph(x, 1, cosine=True)
    with pytest.raises(ValueError, match="expected 1 to 1024 dimensions"):
        starling.knn_graph(x[:, :0], 1, cosine=True)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_integer_points(device, dtype):
    x, y = lattice(60, 3, device=device), lattice(20, 3, device=device, seed=1)
    a, b = x.to(dtype), y.to(dtype)
    assert starling.knn_graph(a, 5).equal(starling.knn_graph(x, 5))
    assert starling.knn_graph(a, 5, cosine=True).equal(starling.knn_graph(x, 5, cosine=True))
    assert starling.radius_graph(a, 12).equal(starling.radius_graph(x, 12))
    assert starling.knn(a, b, 5).equal(starling.knn(x, y, 5))
    assert starling.radius(a, b, 12).equal(starling.radius(x, y, 12))
    row_splits = torch.tensor([0, 60])
    index, distance2 = starling.binned_select_knn(5, a, row_splits)
    assert index.equal(starling.binned_select_knn(5, x, row_splits)[0]) and distance2.dtype == torch.float64


def test_integer_points_beyond_float32(device):
    x = torch.tensor([[0], [2**30], [2**30 + 1], [2**30 + 3]], device=device)
    assert starling.knn_graph(x, 1)[0].tolist() == [1, 2, 1, 2]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_batch_vectors_of_other_integer_types(dtype):
    x = lattice(120, 3)
    row_splits = torch.tensor([0, 50, 53, 120])
    batch = events(row_splits, 120)
    assert starling.row_splits_from_batch(batch.to(dtype)).equal(row_splits)
    assert starling.knn_graph(x, 4, batch.to(dtype)).equal(starling.knn_graph(x, 4, batch))
    assert starling.radius(x, x, 9.0, batch.to(dtype), batch).equal(starling.radius(x, x, 9.0, batch, batch))
    with pytest.raises(ValueError, match="row 1 belongs to event 0, the row before it to event 1"):
        starling.row_splits_from_batch(torch.tensor([1, 0]).to(dtype))


def test_one_batch_vector_is_enough_for_one_event(device):
    x, y = lattice(60, 3, device=device), lattice(20, 3, device=device, seed=1)
    batch_x, batch_y = (torch.zeros(n, dtype=torch.int64, device=device) for n in (60, 20))
    for batch_size in (None, 1):
        for batches in ((batch_x, None), (None, batch_y), (None, None), (batch_x, batch_y)):
            assert starling.knn(x, y, 5, *batches, batch_size=batch_size).equal(starling.knn(x, y, 5))
            assert starling.radius(x, y, 9.0, *batches, batch_size=batch_size).equal(starling.radius(x, y, 9.0))
    with pytest.raises(ValueError, match="batch_y must be given where there are 2 events"):
        starling.knn(x, y, 5, torch.arange(60, device=device) // 30)
    with pytest.raises(ValueError, match="batch_x must be given where there are 3 events"):
        starling.radius(x, y, 5, None, batch_y, batch_size=3)
    with pytest.raises(ValueError, match="row 0 has -1"):
        starling.knn(x, y, 5, batch_x - 1)


def test_batch_size_without_batch_is_1(device):
    x = lattice(20, 3, device=device)
    assert starling.knn_graph(x, 5, batch_size=1).equal(starling.knn_graph(x, 5))
    for call in (
        lambda: starling.knn_graph(x, 5, batch_size=2),
        lambda: starling.radius_graph(x, 5.0, batch_size=0),
        lambda: starling.knn(x, x, 5, batch_size=2),
        lambda: starling.radius(x, x, 5.0, batch_size=2),
    ):
        with pytest.raises(ValueError, match="without batch.*: expected 1 or None"):
            call()


@pytest.mark.parametrize("most", [None, 1, 4])
def test_radius_that_ignores_the_same_index(device, two_events, most):
    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    found = starling.radius(x, x, 12.0, batch, batch, most, ignore_same_index=True)
    assert found.equal(starling.radius_graph(x, 12.0, batch, False, most, flow="target_to_source"))
    y = lattice(120, 3, device=device, seed=1)
    index, _ = brute_force(x, 120, row_splits, y, row_splits, max_radius=12.0)
    index[index == torch.arange(120, device=device)[:, None]] = -1
    kept = (index >= 0).cumsum(1) <= (most or 120)
    expected = edges_of(index.masked_fill(~kept, -1), "target_to_source")
    assert starling.radius(x, y, 12.0, batch, batch, most, ignore_same_index=True).equal(expected)
    with pytest.raises(ValueError, match="max_neighbors is -1"):
        starling.radius(x, y, 12.0, batch, batch, -1, ignore_same_index=True)


@pytest.mark.parametrize("most", [1, 32])
def test_many_coinciding_points_keep_the_first(device, most):
    """As long as all within the radius are measured, 10¹⁰ distances, this takes minutes."""
    n = 100_000
    edges = starling.radius_graph(torch.zeros(n, 3, device=device), 1.0, max_num_neighbors=most)
    assert edges.shape == (2, n * most)
    index = edges[0].view(n, most)
    assert (index[most:] == torch.arange(most, device=device)).all()
    assert index[0].tolist() == list(range(1, most + 1))


def test_coinciding_points_find_k_others(device):
    edges = starling.knn_graph(torch.zeros(6, 2, device=device), 4)
    assert edges.shape == (2, 24) and not (edges[0] == edges[1]).any()


@pytest.mark.parametrize("batch", [None, torch.zeros(0, dtype=torch.int64)])
def test_graphs_without_points(device, batch):
    x = torch.zeros(0, 3, device=device)
    batch = None if batch is None else batch.to(device)
    for edges in (
        starling.knn_graph(x, 3, batch),
        starling.knn_graph(x, 3, batch, cosine=True),
        starling.radius_graph(x, 3.0, batch),
        starling.knn(x, x, 3, batch, batch),
        starling.radius(x, x, 3.0, batch, batch),
        starling.radius(x, x, 3.0, batch, batch, ignore_same_index=True),
    ):
        assert edges.shape == (2, 0) and edges.dtype == torch.int64


def test_torch_cluster_finds_the_same(device):
    torch_cluster = pytest.importorskip("torch_cluster", reason="torch_cluster is not installed")
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(500, 3, generator=generator, dtype=torch.float64).to(device)  # no ties: its order of those is its own
    y = torch.rand(80, 3, generator=generator, dtype=torch.float64).to(device)
    batch_x = torch.arange(500, device=device) // 130
    batch_y = torch.arange(80, device=device) // 20
    for flow in ("source_to_target", "target_to_source"):
        for loop in (True, False):
            call = (x, 8, batch_x, loop, flow)
            assert starling.knn_graph(*call).equal(torch_cluster.knn_graph(*call))
            call = (x, 0.2, batch_x, loop, 100, flow)
            ours, theirs = (set(zip(*f(*call).tolist())) for f in (starling.radius_graph, torch_cluster.radius_graph))
            assert ours == theirs
    call = (x, y, 8, batch_x, batch_y)
    assert starling.knn(*call).equal(torch_cluster.knn(*call))
    call = (x, y, 0.2, batch_x, batch_y, 100)
    ours, theirs = (set(zip(*f(*call).tolist())) for f in (starling.radius, torch_cluster.radius))
    assert ours == theirs


# --- FastGraphCompute's function ---


def test_binned_select_knn(device, two_events):
    x, row_splits = two_events
    index, distance2 = brute_force(x, 6, row_splits)
    missing = index < 0
    found = starling.binned_select_knn(6, x, row_splits, n_bins=torch.tensor(5), max_bin_dims=3)
    check(found, (index, distance2.masked_fill(missing, 0)))
    own = torch.arange(120, device=device)[:, None].expand_as(index)
    found = starling.binned_select_knn(6, x, row_splits, torch_compatible_indices=True)
    check(found, (torch.where(missing, own, index), distance2.masked_fill(missing, 0)))


def test_binned_select_knn_codes_of_direction(device):
    x = torch.arange(5.0, device=device)[:, None]
    # only a neighbour, only has neighbours, neither, both, both
    direction = torch.tensor([0, 1, 2, 3, -1], device=device)
    index, distance2 = starling.binned_select_knn(3, x, torch.tensor([0, 5], device=device), direction)
    assert index.tolist() == [[0, -1, -1], [1, 0, 3], [2, -1, -1], [3, 4, 0], [4, 3, 0]]
    assert distance2.tolist() == [[0, 0, 0], [0, 1, 4], [0, 0, 0], [0, 1, 9], [0, 1, 16]]
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.uint64):
        codes = torch.tensor([0, 1, 2, 3, 4], device=device).to(dtype)
        assert starling.binned_select_knn(3, x, torch.tensor([0, 5], device=device), codes)[0].equal(index)


def test_binned_select_knn_of_no_neighbours(device):
    x = lattice(5, 3, device=device)
    for row_splits in ([0, 5], [0, 2, 5]):
        index, distance2 = starling.binned_select_knn(0, x, torch.tensor(row_splits, device=device))
        assert index.shape == (5, 0) and index.dtype == torch.int64
        assert distance2.shape == (5, 0) and distance2.dtype == torch.float32


def test_binned_select_knn_without_directions(device, two_events):
    x, row_splits = two_events
    none = torch.empty(0, dtype=torch.int64, device=device)
    check(starling.binned_select_knn(5, x, row_splits, none), starling.binned_select_knn(5, x, row_splits))
    # FastGraphCompute hands on what it got, without looking at its type.
    check(starling.binned_select_knn(5, x, row_splits, none.float()), starling.binned_select_knn(5, x, row_splits))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_row_splits_of_events_that_occur(device, dtype):
    def splits(*numbers):
        return starling.row_splits_from_strict_batch(torch.tensor(numbers, device=device).to(dtype))

    assert splits(0, 0, 0, 1, 1, 2, 2, 2).tolist() == [0, 3, 5, 8]
    assert splits(3, 3, 7).tolist() == [0, 2, 3]
    assert splits(0, 0).tolist() == [0, 2]
    assert splits().tolist() == [0, 0] and splits().dtype == torch.int64
    with pytest.raises(ValueError, match="row 3 belongs to event 0, the row before it to event 1"):
        splits(0, 0, 1, 0, 2)
    if dtype == torch.int64:
        assert splits(-(2**63), -(2**63), 2**63 - 1).tolist() == [0, 2, 3]
    batch = starling.strict_batch_from_row_splits(splits(0, 0, 0, 1, 1, 2, 2, 2))
    assert batch.tolist() == [0, 0, 0, 1, 1, 2, 2, 2]
    with pytest.raises(TypeError, match="torch.float32"):
        starling.row_splits_from_strict_batch(torch.zeros(3, device=device))
    with pytest.raises(ValueError, match=r"\[2, 2\]"):
        starling.row_splits_from_strict_batch(torch.zeros(2, 2, dtype=dtype, device=device))


def test_binned_select_knn_gradient_of_missing_neighbours_is_zero(device):
    x = torch.tensor([[0.0], [2.0]], device=device, requires_grad=True)
    _, distance2 = starling.binned_select_knn(4, x, torch.tensor([0, 2], device=device))
    distance2.sum().backward()
    assert x.grad.tolist() == [[-8.0], [8.0]]


# --- events ---


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_row_splits_and_batch_convert_into_each_other(device, dtype):
    row_splits = torch.tensor([0, 0, 3, 3, 7, 7], device=device, dtype=dtype)
    batch = starling.batch_from_row_splits(row_splits)
    assert batch.dtype == torch.int64 and batch.tolist() == [1, 1, 1, 3, 3, 3, 3]
    assert starling.batch_from_row_splits(row_splits, num_rows=7).equal(batch)
    back = starling.row_splits_from_batch(batch.to(dtype), 5)
    assert back.dtype == torch.int64 and back.tolist() == row_splits.tolist()
    assert starling.row_splits_from_batch(batch).tolist() == [0, 0, 3, 3, 7]
    assert starling.row_splits_from_batch(batch[:0]).tolist() == [0]
    assert starling.row_splits_from_batch(batch[:0], 2).tolist() == [0, 0, 0]
    assert starling.batch_from_row_splits(row_splits[:1]).tolist() == []


# --- errors ---


def test_errors_of_batch(device):
    x = lattice(4, 2, device=device)

    def batch(*numbers, dtype=torch.int64):
        return torch.tensor(numbers, device=device, dtype=dtype)

    with pytest.raises(ValueError, match="row 2 belongs to event 0, the row before it to event 1"):
        starling.knn_graph(x, 2, batch(0, 1, 0, 1))
    with pytest.raises(ValueError, match=r"4 rows of x; it has the shape \[3\]"):
        starling.knn_graph(x, 2, batch(0, 0, 1))
    with pytest.raises(ValueError, match="row 0 has -1"):
        starling.radius_graph(x, 2, batch(-1, 0, 0, 0))
    with pytest.raises(ValueError, match="event 3, but there are 3 events"):
        starling.knn_graph(x, 2, batch(0, 1, 2, 3), batch_size=3)
    with pytest.raises(TypeError, match="torch.float32"):
        starling.knn_graph(x, 2, batch(0, 0, 0, 0, dtype=torch.float32))
    with pytest.raises(ValueError, match=r"\[2, 2\]"):
        starling.row_splits_from_batch(batch(0, 0, 1, 1).view(2, 2))
    with pytest.raises(ValueError, match="-1"):
        starling.row_splits_from_batch(batch(0), -1)
    with pytest.raises(ValueError, match=r"\[B \+ 1\]"):
        starling.batch_from_row_splits(batch())
    for row_splits, num_rows, message in (
        (batch(1, 3), None, r"row_splits\[0\] is 1: expected 0"),
        (batch(0, 3, 2), None, r"row_splits\[2\] is 2, less than the entry before, 3: expected ascending rows"),
        (batch(0, 3, dtype=torch.float32), None, "integer dtype; it is torch.float32"),
    ):
        with pytest.raises(ValueError, match=message):
            starling.batch_from_row_splits(row_splits, num_rows)
    with pytest.raises(ValueError, match=r"row_splits\[1\] is 3: expected the number of rows, 4"):
        starling.batch_from_row_splits(batch(0, 3).cpu(), 4)
    with pytest.raises(ValueError, match="event 4611686018427387904, but there may be 2147483647 events at most"):
        starling.row_splits_from_batch(batch(0, 2**62))
    with pytest.raises(ValueError, match=r"2147483647; it is 2147483648"):
        starling.knn_graph(x, 2, batch(0, 0, 0, 0), batch_size=2**31)


@pytest.mark.parametrize("k", [2.5, "2", -1, 2**31, 2**70])
def test_errors_of_k(device, k):
    x = lattice(4, 2, device=device)
    row_splits = torch.tensor([0, 4], device=device)
    message = "is -?[0-9.]+: expected an integer in 0 to 2147483647"
    for call in (
        lambda: starling.neighbors(x, k),
        lambda: starling.knn_graph(x, k),
        lambda: starling.knn(x, x, k),
        lambda: starling.binned_select_knn(k, x, row_splits),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    if k != 2**31:
        with pytest.raises(ValueError, match="is -?[0-9.]+: expected an integer in 0 to"):
            starling.neighbors_within(x, 1.0, max_neighbors=k)


def test_errors_of_the_functions_for_graphs(device):
    x = lattice(4, 2, device=device)
    with pytest.raises(ValueError, match="'sideways'"):
        starling.knn_graph(x, 2, flow="sideways")
    with pytest.raises(ValueError, match=r"\[4, 2, 1\]"):
        starling.radius_graph(x[..., None], 2.0)
    with pytest.raises(ValueError, match="K is -1: expected an integer in 0 to 2147483647"):
        starling.binned_select_knn(-1, x, torch.tensor([0, 4], device=device))
    with pytest.raises(ValueError, match=r"\[3\]"):
        starling.binned_select_knn(2, x, torch.tensor([0, 4], device=device), torch.zeros(3, dtype=torch.int64, device=device))
    with pytest.raises(ValueError, match="torch.float32"):
        starling.binned_select_knn(2, x, torch.tensor([0, 4], device=device), torch.zeros(4))


def bad_calls(device):
    x = lattice(4, 2, device=device)

    def splits(*rows, dtype=torch.int64, device=device):
        return torch.tensor(rows, device=device, dtype=dtype)

    nan = x.clone()
    nan[2, 1] = float("nan")
    return {
        "points of one dimension": lambda: starling.neighbors(x[:, 0], 2),
        "1025 dimensions": lambda: starling.neighbors(x.new_zeros(4, 1025), 2),
        "no dimension": lambda: starling.neighbors(x.new_zeros(4, 0), 2),
        "integer points": lambda: starling.neighbors(x.long(), 2),
        "k < 0": lambda: starling.neighbors(x, -1),
        "N k overflows": lambda: starling.neighbors(x, 2**62),
        "N k is beyond memory": lambda: starling.neighbors(x.new_zeros(100_000, 2), 2**31),
        "row splits end early": lambda: starling.neighbors(x, 2, splits(0, 3)),
        "row splits end late": lambda: starling.neighbors(x, 2, splits(0, 5)),
        "row splits begin late": lambda: starling.neighbors(x, 2, splits(1, 4)),
        "row splits descend": lambda: starling.neighbors(x, 2, splits(0, 3, 2, 4)),
        "row splits of two dimensions": lambda: starling.neighbors(x, 2, splits(0, 4)[None]),
        "no row splits": lambda: starling.neighbors(x, 2, splits()),
        "row splits of floats": lambda: starling.neighbors(x, 2, splits(0, 4, dtype=torch.float32)),
        "queries of other dimensions": lambda: starling.neighbors(x, 2, queries=x.new_zeros(3, 3)),
        "queries of another dtype": lambda: starling.neighbors(x, 2, queries=x.double()),
        "queries of other events": lambda: starling.neighbors(
            x, 2, splits(0, 2, 4), queries=x, query_row_splits=splits(0, 4)
        ),
        "row splits of queries that are the points": lambda: starling.neighbors(x, 2, query_row_splits=splits(0, 4)),
        "a negative radius": lambda: starling.neighbors(x, 2, max_radius=-1.0),
        "a radius of nan": lambda: starling.neighbors_within(x, float("nan")),
        "fewer neighbours than none": lambda: starling.neighbors_within(x, 1.0, max_neighbors=-1),
        "direction of too few": lambda: starling.neighbors(x, 2, direction=splits(0, 0, 0, dtype=torch.int8)),
        "direction of floats": lambda: starling.neighbors(x, 2, direction=x[:, 0]),
        "nan": lambda: starling.neighbors(nan, 2),
        "nan within": lambda: starling.neighbors_within(nan, 1.0),
        "nan in queries": lambda: starling.neighbors(x, 2, queries=nan),
    }


@pytest.mark.parametrize("name", bad_calls("cpu"))
def test_bad_arguments_are_reported(device, name):
    with pytest.raises(ValueError, match="expected|more than memory can hold|without|row 2"):
        bad_calls(device)[name]()


def test_devices_must_agree():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    x = lattice(4, 2, device="cuda")
    with pytest.raises(ValueError, match="cpu"):
        starling.neighbors(x, 2, queries=x.cpu())
    with pytest.raises(ValueError, match="cpu"):
        starling.knn_graph(x, 2, torch.zeros(4, dtype=torch.int64))


# --- torch.compile ---


def compiled(function):
    return torch.compile(function, fullgraph=True, backend="aot_eager")


def test_compiles_into_one_graph(device, two_events):
    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    check(compiled(lambda x: starling.neighbors(x, 5, row_splits))(x), starling.neighbors(x, 5, row_splits))
    found = compiled(lambda x: starling.binned_select_knn(5, x, row_splits))(x)
    check(found, starling.binned_select_knn(5, x, row_splits))
    assert compiled(lambda x: starling.knn_graph(x, 5))(x).equal(starling.knn_graph(x, 5))
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        found = compiled(lambda x, batch: starling.knn_graph(x, 5, batch, batch_size=4))(x, batch)
        assert found.equal(starling.knn_graph(x, 5, batch))
        assert compiled(lambda x: starling.radius_graph(x, 12.0))(x).equal(starling.radius_graph(x, 12.0))


def test_compiled_code_breaks_where_a_value_is_needed(device, two_events):
    """Without fullgraph, every call gives in torch.compile what it gives outside."""
    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    one = torch.zeros(120, dtype=torch.int64, device=device)
    for function in (
        lambda x, batch: starling.knn_graph(x, 5, batch),
        lambda x, batch: starling.knn_graph(x, 5, batch, batch_size=4),
        lambda x, batch: starling.knn_graph(x, 5, cosine=True),
        lambda x, batch: starling.radius_graph(x, 12.0, batch),
        lambda x, batch: starling.knn(x, x, 5, batch, batch),
        lambda x, batch: starling.knn(x, x, 5, one),
        lambda x, batch: starling.radius(x, x, 12.0, batch, batch, ignore_same_index=True),
        lambda x, batch: starling.row_splits_from_batch(batch),
        lambda x, batch: starling.batch_from_row_splits(starling.row_splits_from_batch(batch)),
        lambda x, batch: starling.row_splits_from_strict_batch(batch),
    ):
        torch._dynamo.reset()
        assert torch.compile(function, backend="eager")(x, batch).equal(function(x, batch))


@pytest.mark.parametrize("strict", [False, True])
def test_exports(device, two_events, strict):
    class Model(torch.nn.Module):
        def forward(self, x, batch):
            return starling.knn_graph(x, 5, batch, batch_size=4)

    x, row_splits = two_events
    batch = events(row_splits, 120).to(device)
    program = torch.export.export(Model(), (x, batch), strict=strict)
    for splits in (row_splits, torch.tensor([0, 10, 100, 102, 120])):
        batch = events(splits, 120).to(device)
        assert program.module()(x.flip(0), batch).equal(starling.knn_graph(x.flip(0), 5, batch))


def test_compiled_code_sees_an_unsorted_batch():
    x = lattice(4, 2)
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        graph = compiled(lambda x, batch: starling.knn_graph(x, 2, batch, batch_size=2))
        with pytest.raises(RuntimeError, match="batch must ascend"):
            graph(x, torch.tensor([0, 1, 0, 1]))
        graph = compiled(lambda x, batch: starling.knn(x, x, 2, batch, batch_size=1))
        with pytest.raises(RuntimeError, match="batch must ascend"):
            graph(x, torch.tensor([0, 0, 0, 1]))


# --- documentation ---


@pytest.mark.parametrize("module", ["condensation", "edge_conv", "edges", "events", "fastgraphcompute", "models", "nn", "nn.interaction_network", "nn.prune", "nn.quant", "search"])
def test_examples_in_docstrings(module):
    result = doctest.testmod(importlib.import_module(f"starling.{module}"), extraglobs={"torch": torch})
    assert result.attempted > 0 and result.failed == 0


def python_blocks(page):
    blocks = re.findall(r"```python\n(.*?)```", (SOURCE / page).read_text(), re.DOTALL)
    assert blocks
    return blocks


def test_examples_in_the_page():
    """Each block runs after those before it. The comments of calls that say a value, and of print, are compared."""
    names = {}
    values = 0
    for block in python_blocks("docs/python.md"):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            exec(block, names)
        printed = re.findall(r"^ *print\(.*\) +# (.*)$", block, re.MULTILINE)
        assert output.getvalue().splitlines() == printed
        for expression, value in re.findall(r"^(starling\.\w+\(.*\))\s+# (\[[\d, ]+\])$", block, re.MULTILINE):
            assert eval(expression, names).tolist() == eval(value), expression
            values += 1
    assert values >= 2
    assert names["assign"].shape == (2, 80) and names["forces"].shape == (8, 100, 3)


def test_the_example_in_the_readme():
    names = {"x": torch.rand(100, 3), "batch": torch.arange(100) // 50}
    for block in python_blocks("README.md"):
        exec(block, names)
