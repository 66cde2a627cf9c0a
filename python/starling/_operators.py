"""Loads the operators of learn/ops and registers the shapes that they return, for torch to trace programs."""

from pathlib import Path

import torch
from torch import Tensor

from . import _vmap

def load(file: Path | str) -> None:
    """Loads libstarling_ops.so: torch.ops.starling has its operators from then on."""
    torch.ops.load_library(str(file))  # type: ignore[no-untyped-call]
    for name, fake in (
        ("knn", _knn),
        ("radius", _radius),
        ("_distance_gradient", _distance_gradient),
        ("_distance_tangent", _distance_tangent),
        ("aggregate", _aggregate),
        ("_aggregate_gradient", _aggregate_gradient),
        ("edge_conv", _edge_conv),
        ("_edge_conv_gradient", _edge_conv_gradient),
        ("gravnet", _gravnet),
        ("_gravnet_gradient", _gravnet_gradient),
        ("condensation_loss", _condensation_loss),
        ("_condensation_gradient", _condensation_gradient),
        ("condense", _condense),
        ("check_edges", _check_edges),
        ("edges_of_nodes", _edges_of_nodes),
        ("interaction_step", _interaction_step),
        ("_interaction_step_gradient", _interaction_step_gradient),
        ("mlp_rows", _mlp_rows),
        ("_mlp_rows_gradient", _mlp_rows_gradient),
        ("gather_rows", _gather_rows),
        ("sum_rows", _sum_rows),
        ("_fake_quantize", _fake_quantize),
        ("_quantize_values_gradient", _quantize_values_gradient),
    ):
        torch.library.register_fake(f"starling::{name}", fake)
    _vmap.register()


def _distance_type(points: Tensor) -> torch.dtype:
    return torch.float64 if points.dtype == torch.float64 else torch.float32


def _knn(
    points: Tensor,
    k: int,
    row_splits: Tensor | None = None,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_radius: float | None = None,
    direction: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    shape = ((points if queries is None else queries).shape[0], k)
    return points.new_empty(shape, dtype=torch.int64), points.new_empty(shape, dtype=_distance_type(points))


def _radius(
    points: Tensor,
    radius: float,
    row_splits: Tensor | None = None,
    queries: Tensor | None = None,
    query_row_splits: Tensor | None = None,
    loop: bool = True,
    max_neighbors: int | None = None,
    direction: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = (points if queries is None else queries).shape[0]
    entries = torch.library.get_ctx().new_dynamic_size()
    return (
        points.new_empty(rows + 1, dtype=torch.int64),
        points.new_empty(entries, dtype=torch.int64),
        points.new_empty(entries, dtype=_distance_type(points)),
        points.new_empty(rows, dtype=torch.int64),
    )


def _distance_gradient(
    points: Tensor, queries: Tensor | None, index: Tensor, neighbor_row_splits: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor]:
    rows = 0 if queries is None else queries.shape[0]
    return points.new_empty(points.shape), points.new_empty((rows, points.shape[1]))


def _distance_tangent(
    points: Tensor,
    queries: Tensor | None,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    points_tangent: Tensor,
    queries_tangent: Tensor | None,
) -> Tensor:
    return points.new_empty(index.shape)


def _aggregate(
    features: Tensor,
    index: Tensor,
    neighbor_row_splits: Tensor | None = None,
    distance2: Tensor | None = None,
    weight: Tensor | None = None,
    factor: float = 10.0,
    divisor: str = "found",
    absent_is_zero: bool = False,
    subtract: bool = False,
) -> tuple[Tensor, Tensor]:
    rows = index.shape[0] if neighbor_row_splits is None else neighbor_row_splits.shape[0] - 1
    width = features.shape[1]
    return features.new_empty((rows, 2 * width)), features.new_empty((rows, width), dtype=torch.int32)


def _aggregate_gradient(
    features: Tensor,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    distance2: Tensor | None,
    weight: Tensor | None,
    factor: float,
    divisor: str,
    absent_is_zero: bool,
    subtract: bool,
    out_gradient: Tensor,
    max_slot: Tensor,
) -> tuple[Tensor, Tensor]:
    return features.new_empty(features.shape), features.new_empty(index.shape, dtype=_distance_type(features))


def _gravnet(
    space: Tensor,
    features: Tensor,
    k: int,
    row_splits: Tensor | None = None,
    factor: float = 10.0,
    loop: bool = True,
    absent_is_zero: bool = False,
    subtract: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows, width = features.shape
    return (
        features.new_empty((rows, 2 * width)),
        features.new_empty((rows, k), dtype=torch.int32),
        features.new_empty((rows, k), dtype=_distance_type(features)),
        features.new_empty((rows, width), dtype=torch.int32),
    )


def _gravnet_gradient(
    space: Tensor,
    features: Tensor,
    index: Tensor,
    distance2: Tensor,
    max_slot: Tensor,
    factor: float,
    absent_is_zero: bool,
    subtract: bool,
    out_gradient: Tensor,
    distance2_gradient: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return space.new_empty(space.shape), features.new_empty(features.shape)


def _edge_conv(
    target: Tensor,
    source: Tensor,
    index: Tensor,
    neighbor_row_splits: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    aggr: str = "max",
    relu: bool = False,
    tf32: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    rows = target.shape[0]
    width = target.shape[1] if weight is None else weight.shape[0]
    kept_rows = rows if aggr == "max" or relu else 0
    return (
        target.new_empty((rows, width)),
        target.new_empty((kept_rows, width), dtype=torch.int32),
        target.new_empty(rows, dtype=torch.int32),
    )


def _edge_conv_gradient(
    target: Tensor,
    source: Tensor,
    index: Tensor,
    neighbor_row_splits: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    aggr: str,
    relu: bool,
    out_gradient: Tensor,
    kept: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        target.new_empty(target.shape),
        source.new_empty(source.shape),
        target.new_empty(0, dtype=_distance_type(target)) if weight is None else weight.new_empty(weight.shape),
        target.new_empty(0, dtype=_distance_type(target)) if bias is None else bias.new_empty(bias.shape),
    )


def _condensation_loss(
    beta: Tensor,
    x: Tensor,
    truth: Tensor,
    row_splits: Tensor | None = None,
    scale: Tensor | None = None,
    weight: Tensor | None = None,
    payload: Tensor | None = None,
    form: str = "slide",
    soft: bool = False,
    q_min: float = 0.1,
    centre: float = 0.0,
    scale_of: str = "mean",
    payload_per_event: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    events = 1 if row_splits is None else row_splits.shape[0] - 1
    channels = 0 if payload is None else payload.shape[1]
    dtype = _distance_type(beta)
    term = [beta.new_empty(events, dtype=dtype) for _ in range(4)]
    return term[0], term[1], term[2], term[3], beta.new_empty((events, channels), dtype=dtype)


def _condensation_gradient(
    beta: Tensor,
    x: Tensor,
    truth: Tensor,
    row_splits: Tensor | None,
    scale: Tensor | None,
    weight: Tensor | None,
    payload: Tensor | None,
    form: str,
    soft: bool,
    q_min: float,
    centre: float,
    scale_of: str,
    payload_per_event: bool,
    of_attraction: Tensor,
    of_repulsion: Tensor,
    of_objects: Tensor,
    of_noise: Tensor,
    of_payload: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hits = beta.shape[0]
    channels = 0 if payload is None else payload.shape[1]
    return (
        beta.new_empty(hits),
        x.new_empty(x.shape),
        beta.new_empty(0 if scale is None else hits),
        beta.new_empty((0 if payload is None else hits, channels)),
    )


def _condense(
    beta: Tensor,
    x: Tensor,
    row_splits: Tensor | None,
    t_beta: float,
    t_d: float,
    scale: Tensor | None = None,
    assign: str = "collect",
) -> tuple[Tensor, Tensor]:
    return beta.new_empty(beta.shape, dtype=torch.int64), beta.new_empty(beta.shape, dtype=torch.int64)


def _check_edges(edge_index: Tensor, num_nodes: int) -> Tensor:
    return edge_index.new_empty(edge_index.shape, dtype=torch.int64)


def _edges_of_nodes(ends: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    return ends.new_empty((num_nodes + 1,)), ends.new_empty(ends.shape)


def _interaction_step(
    x: Tensor,
    x0: Tensor | None,
    e: Tensor,
    e0: Tensor | None,
    src: Tensor,
    dst: Tensor,
    lists: list[Tensor],
    edge_parameters: Tensor,
    node_parameters: Tensor | None = None,
    bias: bool = True,
    norm: bool = True,
    tf32: bool | None = None,
) -> tuple[Tensor, Tensor]:
    return e.new_empty(e.shape), x.new_empty((0 if node_parameters is None else x.shape[0], x.shape[1]))


def _interaction_step_gradient(
    x: Tensor,
    x0: Tensor | None,
    e: Tensor,
    e0: Tensor | None,
    src: Tensor,
    dst: Tensor,
    lists: list[Tensor],
    edge_parameters: Tensor,
    node_parameters: Tensor | None,
    bias: bool,
    norm: bool,
    tf32: bool | None,
    edges: Tensor,
    edges_gradient: Tensor | None,
    nodes_gradient: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    def like(values: Tensor | None) -> Tensor:
        return x.new_empty((0,)) if values is None else values.new_empty(values.shape)

    return like(x), like(x0), like(e), like(e0), like(edge_parameters), like(node_parameters)


def _mlp_rows(
    inputs: Tensor,
    parameters: Tensor,
    hidden: int,
    outputs: int,
    layers: int = 3,
    bias: bool = True,
    norm: bool = True,
    relu: bool = True,
    type: torch.dtype | None = None,
    tf32: bool | None = None,
) -> Tensor:
    return inputs.new_empty((inputs.shape[0], outputs), dtype=type or inputs.dtype)


def _mlp_rows_gradient(
    inputs: Tensor,
    parameters: Tensor,
    hidden: int,
    outputs: int,
    layers: int,
    bias: bool,
    norm: bool,
    relu: bool,
    tf32: bool | None,
    out_gradient: Tensor,
    wants_inputs: bool,
) -> tuple[Tensor, Tensor]:
    shape = inputs.shape if wants_inputs else (0,)
    return inputs.new_empty(shape), parameters.new_empty(parameters.shape)


def _gather_rows(rows: Tensor, index: Tensor) -> Tensor:
    return rows.new_empty((index.shape[0], rows.shape[1]))


def _sum_rows(rows: Tensor, index: Tensor, count: int) -> Tensor:
    return rows.new_empty((count, rows.shape[1]))


def _fake_quantize(
    x: Tensor,
    magnitude: Tensor,
    divisor: float,
    low: float,
    high: float,
    least: float,
    bound_scale: bool,
    passes_outside: bool,
    power_of_two: bool,
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(magnitude)


def _quantize_values_gradient(
    parts: list[Tensor],
    magnitude: Tensor,
    divisor: float,
    low: float,
    high: float,
    least: float,
    bound_scale: bool,
    passes_outside: bool,
    power_of_two: bool,
    values_gradient: Tensor,
    scale_gradient: Tensor | None,
    wanted: int,
) -> tuple[list[Tensor], Tensor]:
    of_parts = [part.new_empty(part.shape if wanted >> i & 1 else (0,)) for i, part in enumerate(parts)]
    return of_parts, torch.empty_like(magnitude)
