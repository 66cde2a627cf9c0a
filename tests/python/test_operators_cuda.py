"""torch.ops.starling on CUDA: what only a device has. The rest is in test_operators.py, for every device."""

import pytest
import torch

import starling

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

ops = torch.ops.starling


def points(n, dimensions=4, seed=0):
    return torch.rand(n, dimensions, generator=torch.Generator().manual_seed(seed))


def cluster(n, dimensions=4):
    generator = torch.Generator().manual_seed(3)
    centre = torch.rand(200, dimensions, generator=generator)
    return centre[torch.randint(200, (n,), generator=generator)] + 0.01 * torch.randn(n, dimensions, generator=generator)


def derivatives(x, k, weight, **options):
    """index, d², and the first and second derivative of a function of it."""
    x = x.detach().requires_grad_()
    index, distance2 = ops.knn(x, k, **options)
    (gradient,) = torch.autograd.grad(distance2, x, weight, create_graph=True)
    (second,) = torch.autograd.grad(gradient, x, gradient.detach())
    return index, distance2, gradient, second


@pytest.mark.parametrize("make", (points, cluster), ids=("uniform", "cluster"))
@pytest.mark.parametrize("dimensions", (3, 8))
def test_the_bytes_of_the_host(make, dimensions):
    x = make(50_000, dimensions)
    splits = torch.tensor([0, 17, 17, 40_000, 50_000])
    weight = points(50_000, 32, seed=1)
    host = derivatives(x, 32, weight, row_splits=splits)
    for place in ("cpu", "cuda"):
        device = derivatives(x.cuda(), 32, weight.cuda(), row_splits=splits.to(place))
        assert all(torch.equal(a, b.cpu()) for a, b in zip(host, device, strict=True))
    host = ops.radius(x, 0.05, splits, max_neighbors=100)
    device = ops.radius(x.cuda(), 0.05, splits.cuda(), max_neighbors=100)
    assert all(torch.equal(a, b.cpu()) for a, b in zip(host, device, strict=True))


def test_the_same_bytes_every_run_on_every_stream():
    x, weight = cluster(200_000).cuda(), points(200_000, 64, seed=1).cuda()
    first = derivatives(x, 64, weight)
    for _ in range(3):
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            again = derivatives(x, 64, weight)
        torch.cuda.current_stream().wait_stream(stream)
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_a_cuda_graph_holds_search_and_derivatives():
    x, weight = cluster(20_000).cuda(), points(20_000, 16, seed=1).cuda()
    splits = torch.tensor([0, 5_000, 20_000], device="cuda")
    place = x.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        derivatives(place, 16, weight, row_splits=splits)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = derivatives(place, 16, weight, row_splits=splits)
    for seed in (5, 6):
        place.copy_(points(20_000, seed=seed))
        graph.replay()
        right = derivatives(place, 16, weight, row_splits=splits)
        assert all(torch.equal(a, b) for a, b in zip(right, captured, strict=True))
    # A row that is not finite cannot be reported; indices are still in range.
    place[17] = float("nan")
    graph.replay()
    assert captured[0].min() >= -1 and captured[0].max() < 20_000


def capture(call):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()


def test_what_a_cuda_graph_cannot_hold():
    x = points(1_000).cuda()
    ops.knn(x, 3)
    with pytest.raises(RuntimeError, match="capture starling::knn with max_radius"):
        capture(lambda: ops.radius(x, 0.1))
    with pytest.raises(ValueError, match="row_splits is on cpu while a CUDA graph is captured: expected cuda"):
        capture(lambda: ops.knn(x, 3, torch.tensor([0, 1_000])))
    assert ops.knn(x, 3)[0].shape == (1_000, 3)


def test_edges_by_angle_are_those_of_the_host():
    x = points(20_000, 5) - 0.5
    x[::1000] = 0
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        host = starling.knn_graph(x.to(dtype), 8, cosine=True)
        assert torch.equal(starling.knn_graph(x.to("cuda", dtype), 8, cosine=True).cpu(), host)


def test_many_coinciding_points_within_an_infinite_radius():
    x = torch.zeros(100_000, 3)
    host = starling.radius_graph(x, float("inf"), max_num_neighbors=7)
    assert torch.equal(starling.radius_graph(x.cuda(), float("inf"), max_num_neighbors=7).cpu(), host)


def test_jacobians_of_torch_func_are_those_of_the_host():
    x = points(40, 3).double()

    def energy(x):
        return torch.exp(-ops.knn(x, 5)[1]).sum(1)

    for transform in (torch.func.jacrev, torch.func.jacfwd):
        torch.testing.assert_close(transform(energy)(x.cuda()).cpu(), transform(energy)(x))
    batch = torch.stack([x, x.flip(0), x * 2])
    each = torch.func.vmap(torch.func.grad(lambda x: energy(x).sum()))
    torch.testing.assert_close(each(batch.cuda()).cpu(), each(batch))


def test_a_cuda_graph_holds_the_batch_vector():
    batch = torch.tensor([0, 0, 1, 1, 1, 3], device="cuda", dtype=torch.int16)
    starling.row_splits_from_batch(batch, 4)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        splits = starling.row_splits_from_batch(batch, 4)
    batch.copy_(torch.tensor([0, 1, 1, 2, 2, 2]))
    graph.replay()
    assert splits.tolist() == [0, 1, 3, 6, 6]
    with pytest.raises(ValueError, match="must be given while a CUDA graph is captured"):
        capture(lambda: starling.row_splits_from_batch(batch))


def test_tensors_of_two_devices():
    x = points(100)
    for call, message in (
        (lambda: ops.knn(x, 3, torch.tensor([0, 100]).cuda()), "expected cpu"),
        (lambda: ops.knn(x.cuda(), 3, queries=x), "queries is Float on cpu: expected Float on cuda"),
        (lambda: ops.knn(x.cuda(), 3, direction=torch.zeros(100, dtype=torch.int8)), "direction is on cpu"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("mode", ("default", "reduce-overhead"))
def test_a_compiled_model_trains(mode):
    """Two dynamic layers; reduce-overhead puts them in a CUDA graph."""

    def run(x, w, splits):
        for _ in range(2):
            index, distance2 = ops.knn(x @ w, 8, splits)
            x = x + (torch.exp(-10 * distance2)[:, :, None] * x[index]).mean(1)
        return (x**2).mean()

    torch._dynamo.reset()
    compiled = torch.compile(run, fullgraph=True, mode=mode)
    w = points(8, 4, seed=1).cuda().requires_grad_()
    for seed in range(4):
        x = points(3_000, 8, seed=seed).cuda()
        splits = torch.tensor([0, 1_000, 3_000], device="cuda")
        torch.compiler.cudagraph_mark_step_begin()
        value = compiled(x, w, splits)
        (gradient,) = torch.autograd.grad(value, w)
        right = run(x, w, splits)
        torch.testing.assert_close(value, right, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(gradient, torch.autograd.grad(right, w)[0], rtol=1e-3, atol=1e-4)
