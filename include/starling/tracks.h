#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "starling/device.h"
#include "starling/graph.h"

namespace starling {

class Config;
struct HitGraphView;
struct Hits;

enum class TrackBuilder { components, walkthrough, junction_removal };

/// How scored edges become tracks (docs/definitions.md, Track building). An edge whose score is NaN takes no part.
///
/// components: the connected components of the edges with score >= `score`.
///
/// walkthrough: of the edges with score >= `walk_min`, a component whose hits all have at most two edges is a track. In
/// every other component a hit is followed outwards by its best-scored edge and by every edge with score >= `walk_add`;
/// the longest path that begins at an inner end (a hit without an edge from further in) is a track, its hits are taken
/// away, and so on. With a path go the hits beside it, such as the second ones where modules overlap: hits whose other
/// edges with score >= `walk_add` all lead to the path, or lead to it on both sides and no less often than elsewhere;
/// then those beside them. Of paths of one length the one with the larger sum of scores goes first, then that of the
/// smaller hit. An edge that would close a cycle is left out of the walk.
///
/// junction_removal: of the edges with score >= `score`, those that are the best outgoing edge of their inner hit and
/// the best incoming one of their outer hit; then components.
struct TrackCuts {
  TrackBuilder builder = TrackBuilder::walkthrough;
  float score = 0.5f;     ///< edges below take no part (components, junction removal)
  float walk_min = 0.1f;  ///< edges below take no part (walkthrough)
  float walk_add = 0.6f;  ///< every continuation from here on is followed, not only the best (walkthrough)
  int min_hits = 3;       ///< shorter candidates are dropped
  /// Candidates on so few layers are dropped unless they are whole chains: on three layers or more, with one edge from
  /// each layer to the next, every two edges in a row inside the window of a triplet. Two edges that share a hit need
  /// not be parts of one helix. 0 = all stay.
  int chain_layers = 5;
};

/// Reads the section [tracks] of a configuration: a key for each cut, of the same name.
TrackCuts read_track_cuts(Config& config);

/// "components", "walkthrough" or "junction_removal"; both throw ErrorKind::usage for anything else.
TrackBuilder parse_track_builder(const std::string& name);
std::string to_string(TrackBuilder builder);

/// Tracks as lists of hits in the caller's memory: valid as long as the arrays that it views.
struct TracksView {
  std::span<const std::int32_t> row_splits;  ///< [tracks + 1]; empty where there are none
  std::span<const std::int32_t> hits;  ///< those of track t are hits[row_splits[t]] .. hits[row_splits[t + 1] - 1]

  std::int32_t size() const { return row_splits.empty() ? 0 : static_cast<std::int32_t>(row_splits.size()) - 1; }
  /// Throws ErrorKind::usage unless num_hits is 0 or more, the row splits rise from 0 to the number of hits, all hits
  /// are in 0 .. num_hits - 1, and no hit is twice on a track; the message begins with `caller`.
  void check(std::int32_t num_hits, const char* caller) const;
  /// The track of each of `num_hits` hits, −1 = none. Throws as check does.
  std::vector<std::int32_t> track_of_hit(std::int32_t num_hits) const;
};

/// Tracks as lists of hits; a moved-from object has none. Those that are built share no hit, and are ordered by their
/// smallest hit index.
struct Tracks {
  std::vector<std::int32_t> row_splits{0};  ///< [tracks + 1]
  std::vector<std::int32_t> hits;

  operator TracksView() const { return {row_splits, hits}; }
  std::int32_t size() const { return TracksView(*this).size(); }
  std::vector<std::int32_t> track_of_hit(std::int32_t num_hits) const {
    return TracksView(*this).track_of_hit(num_hits);
  }
};

/// The tracks of a hit graph, `scores` having one entry per edge. A track's hits are ordered outwards: layer by layer,
/// those of one layer together, by their distance from the beam line; a layer stands where its innermost hit does.
/// Deterministic; ties go to the hit that comes first in the graph's `order`, so the set of tracks does not depend on
/// the order of the hits, up to hits that agree in layer, module and all coordinates: they are interchangeable. Throws
/// ErrorKind::usage where sizes or indices do not fit, and for an unknown builder.
Tracks build_tracks(const HitGraphView& graph, std::span<const float> scores, const TrackCuts& cuts);

/// The tracks of any graph whose edges point outwards; those from a hit to itself are ignored. Nothing is known of
/// layers, so `chain_layers` has no effect, a track's hits are ordered by their longest way from an inner end, and ties
/// go to the smaller hit index. Throws as above.
Tracks build_tracks(const EdgeListView& edges, std::span<const float> scores, const TrackCuts& cuts);

/// Where tracks are written: arrays in memory that the caller lends, on the device that builds them. Entries of
/// row_splits behind the count, and of hits behind those of the tracks, are left as they were.
struct TracksMemory {
  std::int32_t* row_splits = nullptr;  ///< [num_nodes + 1]
  std::int32_t* hits = nullptr;        ///< [num_nodes]
  std::int32_t* count = nullptr;       ///< one element: the number of tracks
};

/// Bytes of workspace of build_tracks() below for a graph of this size (any smaller one fits too). Throws
/// ErrorKind::usage for sizes below 0, more than 2^31 − 1 edges and an unknown builder.
std::size_t build_tracks_bytes(std::int32_t num_nodes, std::int64_t num_edges, const TrackCuts& cuts,
                               const Execution& execution = {});

/// The same tracks in the same order into lent memory, on the host or on a CUDA device: the same entries for the same
/// scores. `scores` is [E].
///
/// On a device the number of edges may be one that only the device knows (EdgeListView::count): nothing here depends on
/// it but the work. What the host refuses in arrays only the device sees there: an edge whose end is no node takes no
/// part, and execution.bad_row, where not null, becomes the smallest such edge, or −1; a triplet whose edge is not
/// there is none. Whatever else the arrays hold, tracks stay in range and share no hit.
///
/// Throws ErrorKind::usage for sizes that do not fit, a null pointer, a workspace that is too small and an unknown
/// builder, and on the host as above.
void build_tracks(const HitGraphView& graph, const float* scores, const TrackCuts& cuts, const TracksMemory& tracks,
                  std::span<std::byte> workspace, const Execution& execution = {});
void build_tracks(const EdgeListView& edges, const float* scores, const TrackCuts& cuts, const TracksMemory& tracks,
                  std::span<std::byte> workspace, const Execution& execution = {});

/// Tracks from one track index per hit (a tracks file), −1 = on none; hits in ascending order. Any other index names a
/// track.
Tracks tracks_from_labels(std::span<const std::int32_t> track_of_hit);

/// Writes the columns (hit_id, track_id), one row per hit in the order of `hits`; −1 = on no track. A hit on several
/// tracks has a row for each. Written beside its place and renamed. Throws ErrorKind::usage where the tracks do not fit
/// the hits, for a hit that is twice on a track and a hit_id that appears again, and as check_tracks_place.
void write_tracks(const std::filesystem::path& file, const Hits& hits, const TracksView& tracks);

/// Makes sure that write_tracks may write here: nothing is there, or an earlier result of it, which is a plain file
/// whose header is exactly hit_id,track_id. An event's own truth has other columns. Throws ErrorKind::usage.
void check_tracks_place(const std::filesystem::path& file);

/// Reads tracks from the columns (hit_id, track_id) of any program's `file`, or of `file`.gz where there is no
/// `file`; other columns are ignored.
/// −1, nan and an empty track_id mean no track, as does a hit without a row; any other integer of 64 bits names a
/// track, and may be written as a float ("12.0"). A hit may have several rows, and is on each of their tracks. The hits
/// of a track are in ascending order; tracks are ordered by their first hit, then by track_id. Throws ErrorKind::input
/// naming the line for an unknown hit_id, and for one that is twice on a track.
Tracks read_tracks(const std::filesystem::path& file, const Hits& hits);

}  // namespace starling
