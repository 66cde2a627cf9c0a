#pragma once

#include "starling/metrics.h"

/// Sizes and indices of what callers give to the metrics. Throw ErrorKind::usage; the message begins with `caller`.
namespace starling {

/// The truth has one row per hit, its weights none or as many, and a column of the particles one per particle or none.
void check_event(const Event& event, const char* caller);

/// Columns of one length, and every hit is noise, unknown or of a row. `num_hits` is how many hits the table must be
/// of.
void check_table(const TruthTable& truth, std::int64_t num_hits, const char* caller);

/// Flags for each of `num_edges` edges.
void check_labels(const EdgeTruth& truth, std::size_t num_edges, const char* caller);

}  // namespace starling
