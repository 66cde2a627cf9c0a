"""Starling: dynamic graph networks on exact nearest neighbours, on CPU and CUDA.

=========================  ==========================================================================================
`neighbors`                the k nearest, with every option, differentiable
`neighbors_within`         all within a radius, with every option, differentiable
`knn_graph`, `knn`         edges, as torch_cluster's and torch_geometric's functions of these names give them
`radius_graph`, `radius`   the same within a radius
`condense`                 clusters of hits from a network trained with object condensation
`row_splits_from_batch`    where each event begins, from the event of each row, and back
`batch_from_row_splits`
=========================  ==========================================================================================

`starling.nn` has layers that rebuild their graph and their loss, `starling.models` whole networks of them, and
`starling.fastgraphcompute` what takes the place of FastGraphCompute's search, layer and loss. Its functions are here too:
`binned_select_knn`, `row_splits_from_strict_batch`, `strict_batch_from_row_splits`.
"""

from .condensation import Condensed, condense
from .edges import knn, knn_graph, radius, radius_graph
from .events import batch_from_row_splits, row_splits_from_batch
from .fastgraphcompute import binned_select_knn, row_splits_from_strict_batch, strict_batch_from_row_splits
from .search import Neighbors, NeighborsWithin, neighbors, neighbors_within

__all__ = [
    "Condensed",
    "Neighbors",
    "NeighborsWithin",
    "batch_from_row_splits",
    "binned_select_knn",
    "condense",
    "knn",
    "knn_graph",
    "neighbors",
    "neighbors_within",
    "radius",
    "radius_graph",
    "row_splits_from_batch",
    "row_splits_from_strict_batch",
    "strict_batch_from_row_splits",
]
