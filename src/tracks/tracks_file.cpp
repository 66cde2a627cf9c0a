#include "tracks/tracks_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "files/files.h"
#include "starling/error.h"
#include "table/csv.h"
#include "table/id_column.h"

namespace starling {
namespace fs = std::filesystem;
namespace {

// A hit on a track, as one row of the file says.
struct Member {
  std::int64_t track;
  std::int32_t hit, row;

  bool operator<(const Member& other) const {
    if (track != other.track) return track < other.track;
    return hit != other.hit ? hit < other.hit : row < other.row;
  }
};

// The rows that name a track, sorted by track, then hit.
std::vector<Member> read_members(std::string_view text, const std::string& name, const Hits& hits) {
  std::vector<std::int64_t> hit_id, track;
  const csv::Column columns[] = {{"hit_id", &hit_id}, {.name = "track_id", .into = &track, .least = -1, .missing = -1}};
  const std::int32_t rows = csv::read(text, name, columns);
  const IdIndex index(hits.hit_id);
  if (index.duplicate() >= 0) {
    throw Error(ErrorKind::usage,
                name + ": hit " + std::to_string(index.duplicate()) + " has the hit_id of an earlier one");
  }
  const IdColumn ids{text, name, "hit_id", hit_id};
  std::vector<Member> members;
  for (std::int32_t row = 0; row < rows; ++row) {
    const auto at = static_cast<std::size_t>(row);
    const std::int32_t hit = ids.find(row, index);
    if (track[at] >= 0) members.push_back({track[at], hit, row});
  }
  std::sort(members.begin(), members.end());
  for (std::size_t i = 1; i < members.size(); ++i) {
    if (members[i].track == members[i - 1].track && members[i].hit == members[i - 1].hit) {
      ids.fail(members[i].row, "expected once per track, appears again");
    }
  }
  return members;
}

}  // namespace

Tracks parse_tracks(std::string_view text, const std::string& name, const Hits& hits) {
  const std::vector<Member> members = read_members(text, name, hits);
  // The tracks as ranges of members, those with the smaller first hit first.
  std::vector<std::pair<std::size_t, std::size_t>> ranges;
  for (std::size_t begin = 0; begin < members.size();) {
    std::size_t end = begin + 1;
    while (end < members.size() && members[end].track == members[begin].track) ++end;
    ranges.emplace_back(begin, end);
    begin = end;
  }
  std::stable_sort(ranges.begin(), ranges.end(),
                   [&](const auto& a, const auto& b) { return members[a.first].hit < members[b.first].hit; });
  Tracks tracks;
  for (const auto& [begin, end] : ranges) {
    for (std::size_t i = begin; i < end; ++i) tracks.hits.push_back(members[i].hit);
    tracks.row_splits.push_back(static_cast<std::int32_t>(tracks.hits.size()));
  }
  return tracks;
}

Tracks read_tracks(const fs::path& file, const Hits& hits) {
  const fs::path found = files::find(file).value_or(file);
  const files::Bytes content = files::read_unpacked(found, ReadOptions().max_unpacked_bytes);
  return parse_tracks(content.text(), found.string(), hits);
}

void check_tracks_place(const fs::path& file) {
  files::check_place(file, [](std::string_view head) { return head.starts_with("hit_id,track_id\n"); });
}

void write_tracks(const fs::path& file, const Hits& hits, const TracksView& tracks) {
  tracks.check(hits.size(), file.c_str());
  check_unique(file.string() + ": hit_id", hits.hit_id);
  std::vector<std::int32_t> first(hits.hit_id.size(), -1);  // track of each hit
  std::vector<std::pair<std::int32_t, std::int32_t>> more;  // (hit, track) of hits that are on another one already
  for (std::int32_t track = 0; track < tracks.size(); ++track) {
    for (std::int32_t i = tracks.row_splits[track]; i < tracks.row_splits[track + 1]; ++i) {
      const std::int32_t hit = tracks.hits[i];
      if (first[hit] < 0) {
        first[hit] = track;
      } else {
        more.emplace_back(hit, track);
      }
    }
  }
  std::sort(more.begin(), more.end());
  std::vector<std::int64_t> hit_id;
  std::vector<std::int32_t> track_id;
  auto next = more.begin();
  for (std::int32_t hit = 0; hit < hits.size(); ++hit) {
    hit_id.push_back(hits.hit_id[hit]);
    track_id.push_back(first[hit]);
    for (; next != more.end() && next->first == hit; ++next) {
      hit_id.push_back(hits.hit_id[hit]);
      track_id.push_back(next->second);
    }
  }
  check_tracks_place(file);
  files::Writer writer(file, files::Durable::no);
  csv::write(writer, file.string(), std::vector<csv::Source>{{"hit_id", hit_id}, {"track_id", track_id}});
  writer.commit();
}

}  // namespace starling
