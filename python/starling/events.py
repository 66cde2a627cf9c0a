"""Several events in one tensor: `row_splits` (the first row of each event) and `batch` (the event of each row)."""

import torch
from torch import Tensor


MOST_EVENTS = 2**31 - 1


def row_splits_from_batch(batch: Tensor, num_events: int | None = None) -> Tensor:
    """The row splits of a sorted batch vector. Nothing is sorted: rows stay where they are.

    Args:
        batch: [N], integers: the event of each row, from 0, ascending. Numbers that do not occur are empty events.
        num_events: B, at least the largest number + 1; that is what None takes.

    Returns:
        [B + 1], int64, on the device of `batch`: the first row of each event, then N.

    On CUDA this waits once for the device, to check the order and to learn B. While a CUDA graph is captured waiting is
    impossible: then `num_events` must be given. Inside torch.compile the graph breaks where it is not given. In both, a
    batch vector that is not sorted fails as an assertion on the device.

    Raises:
        ValueError: `batch` is not [N], not sorted, begins below 0 or reaches `num_events`.
        TypeError: `batch` is not of an integer dtype.

    >>> row_splits_from_batch(torch.tensor([0, 0, 0, 2, 2]), num_events=4)
    tensor([0, 3, 3, 5, 5])
    """
    return checked_row_splits(batch, num_events).to(batch.device)


def checked_row_splits(batch: Tensor, num_events: int | None) -> Tensor:
    """The same in host memory: waiting for the device to check the order brings them there. On the device only where
    waiting is impossible."""
    if batch.dim() != 1:
        raise ValueError(f"batch must be [N], one event number per row; it has the shape {list(batch.shape)}")
    if not is_integer(batch.dtype):
        raise TypeError(f"batch must be of an integer dtype; it is {batch.dtype}")
    batch = batch.long()
    if num_events is not None and not 0 <= num_events <= MOST_EVENTS:
        raise ValueError(f"the number of events must be in 0 to {MOST_EVENTS}; it is {num_events}")
    if num_events is None:
        if not torch.compiler.is_compiling() and cannot_wait(batch):
            raise ValueError("the number of events must be given while a CUDA graph is captured: it cannot be read then")
        num_events = int(batch[-1]) + 1 if batch.shape[0] > 0 else 0
        if not torch.compiler.is_compiling() and num_events > MOST_EVENTS:
            raise ValueError(f"batch names event {num_events - 1}, but there may be {MOST_EVENTS} events at most")
    splits = torch.searchsorted(batch, torch.arange(max(num_events, 0) + 1, dtype=batch.dtype, device=batch.device))
    unsorted = (batch[1:] < batch[:-1]).any()
    if cannot_wait(batch):
        fits = (splits[0] == 0) & (splits[-1] == batch.shape[0])
        torch._assert_async(fits & ~unsorted, "batch must ascend from 0 to below the number of events")
        return splits
    host = torch.cat((splits, unsorted.view(1))).cpu()
    if host[-1]:
        raise unsorted_error(batch)
    if host[0] > 0:
        raise ValueError(f"batch must begin at 0 or above; row 0 has {int(batch[0])}")
    if host[-2] < batch.shape[0]:
        raise ValueError(f"batch names event {int(batch[-1])}, but there are {num_events} events")
    return host[:-1]


def unsorted_error(batch: Tensor) -> ValueError:
    """The error that names the first row of a batch vector that is not sorted."""
    row = int((batch[1:] < batch[:-1]).nonzero()[0]) + 1
    return ValueError(
        f"batch must be sorted: row {row} belongs to event {int(batch[row])}, the row before it to event "
        f"{int(batch[row - 1])}"
    )


def is_integer(dtype: torch.dtype) -> bool:
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def check_features(layer: str, x: Tensor, features: int | None = None) -> None:
    """Raises unless x, the input of a layer, is one tensor [N, features], of any number of features where it is None."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{layer}: x is a {type(x).__name__}: expected one tensor: bipartite input is not supported")
    if x.dim() != 2 or (features is not None and x.shape[1] != features):
        raise ValueError(f"{layer}: x has shape {list(x.shape)}: expected [N, {features or 'features'}]")


def row_splits_of_input(layer: str, x: Tensor, batch: Tensor | None, row_splits: Tensor | None) -> Tensor | None:
    """The row splits of a layer's input x [N, features], whose events are given by `batch`, by `row_splits` or not at all."""
    if batch is None:
        return row_splits
    if row_splits is not None:
        raise ValueError(f"{layer}: batch and row_splits are both given: expected one of them")
    if not isinstance(batch, Tensor):
        raise TypeError(f"{layer}: batch is a {type(batch).__name__}: expected one tensor: bipartite input is not supported")
    if batch.dim() != 1 or batch.shape[0] != x.shape[0]:
        raise ValueError(
            f"{layer}: batch has shape {list(batch.shape)}: expected [{x.shape[0]}]; row splits go by row_splits="
        )
    return row_splits_from_batch(batch)


def cannot_wait(tensor: Tensor) -> bool:
    """Whether the values of the tensor cannot be read now."""
    return torch.compiler.is_compiling() or (tensor.is_cuda and torch.cuda.is_current_stream_capturing())


def batch_from_row_splits(row_splits: Tensor, num_rows: int | None = None) -> Tensor:
    """The batch vector of row splits.

    Args:
        row_splits: [B + 1], integers, ascending from 0 to N.
        num_rows: N. On CUDA this spares waiting for the device, which None does; then, as in torch.compile, row splits
            that do not fit fail as an assertion on the device.

    Returns:
        [N], int64, on the device of `row_splits`: the event of each row.

    Raises:
        ValueError: `row_splits` is not [B + 1] with B ≥ 0, not of an integer dtype, or does not ascend from 0 to N.

    >>> batch_from_row_splits(torch.tensor([0, 3, 3, 5]))
    tensor([0, 0, 0, 2, 2])
    """
    if row_splits.dim() != 1 or row_splits.shape[0] == 0:
        raise ValueError(f"row_splits must be [B + 1]; it has the shape {list(row_splits.shape)}")
    if not is_integer(row_splits.dtype):
        raise ValueError(f"row_splits must be of an integer dtype; it is {row_splits.dtype}")
    splits = row_splits.long()
    sizes = splits.diff()
    if cannot_wait(splits) or (splits.is_cuda and num_rows is not None):
        fits = (splits[0] == 0) & (sizes >= 0).all()
        if num_rows is not None:
            fits = fits & (splits[-1] == num_rows)
        torch._assert_async(fits, "row_splits must ascend from 0 to the number of rows")
    else:
        _check_row_splits(splits.cpu(), num_rows)
    events = torch.arange(splits.shape[0] - 1, device=splits.device)
    return torch.repeat_interleave(events, sizes, output_size=num_rows)


def _check_row_splits(splits: Tensor, num_rows: int | None) -> None:
    if splits[0] != 0:
        raise ValueError(f"row_splits[0] is {int(splits[0])}: expected 0")
    falls = (splits[1:] < splits[:-1]).nonzero()
    if falls.shape[0] > 0:
        place = int(falls[0]) + 1
        raise ValueError(
            f"row_splits[{place}] is {int(splits[place])}, less than the entry before, {int(splits[place - 1])}: expected "
            "ascending rows"
        )
    if num_rows is not None and splits[-1] != num_rows:
        raise ValueError(
            f"row_splits[{splits.shape[0] - 1}] is {int(splits[-1])}: expected the number of rows, {num_rows}"
        )
