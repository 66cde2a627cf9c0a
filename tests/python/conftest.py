"""What the tests of the Python package share: devices, points with exact distances, brute force."""

import pytest
import torch


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        metafunc.parametrize("device", ["cpu"] + (["cuda"] if torch.cuda.is_available() else []))


def lattice(n, dimensions, side=40, dtype=torch.float32, device="cpu", seed=0):
    """Random points [n, dimensions] of a lattice: distances are exact in float32, and many are equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(side, (n, dimensions), generator=generator).to(device, dtype)


def brute_force(x, k, row_splits=None, queries=None, query_row_splits=None, loop=True, max_radius=None, direction=None):
    """index and d² [M, k] by sorting all pairs, on the CPU in double."""
    device, dtype = x.device, x.dtype
    x = x.detach().cpu().double()
    own = queries is None
    y = x if own else queries.detach().cpu().double()
    n, m = x.shape[0], y.shape[0]
    event_x = events(row_splits, n)
    event_y = event_x if own else events(query_row_splits, m)
    d2 = ((y[:, None] - x[None]) ** 2).sum(2)
    possible = event_y[:, None] == event_x[None]
    if max_radius is not None:
        possible &= d2 <= max_radius**2
    key = d2.clone()
    if own:
        itself = torch.eye(n, dtype=torch.bool)
        code = torch.zeros(n, dtype=torch.int64) if direction is None else direction.cpu().long()
        possible &= ((code == 0) | (code == 1))[None]
        possible = (possible | itself) if loop else (possible & ~itself)
        possible &= ((code == 0) | (code == 2))[:, None]
        key[itself] = -1
    key[~possible] = float("inf")
    order = key.argsort(dim=1, stable=True)
    order = torch.cat((order, order.new_zeros(m, max(0, k - n))), 1)[:, :k]
    found = possible.sum(1)[:, None] > torch.arange(k)
    index = torch.where(found, order, -1)
    distance2 = torch.where(found, d2.gather(1, order) if n else d2.new_zeros(m, k), float("inf"))
    return index.to(device), distance2.to(device, dtype)


def events(row_splits, n):
    if row_splits is None:
        return torch.zeros(n, dtype=torch.int64)
    return torch.repeat_interleave(torch.arange(len(row_splits) - 1), row_splits.cpu().long().diff())


@pytest.fixture
def two_events(device):
    """120 points in 3 dimensions; events of 50, 0, 3 and 67."""
    x = lattice(120, 3, device=device)
    return x, torch.tensor([0, 50, 50, 53, 120], device=device)
