#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_scan.h>

#include <algorithm>
#include <functional>

#include "lists/lists.h"
#include "memory/layout.h"

// A stable counting sort of the entries by point: the order does not depend on the threads.
namespace starling::lists::host {
namespace {

constexpr std::size_t kChunks = 16;  // the entries are counted and placed in so many tasks

struct Arrays {
  std::uint32_t* begin;
  std::uint32_t* entry;
  std::int32_t* row_of;
  std::uint32_t* place;  // [kChunks, points] scratch
};

std::size_t lay_out(const Lists& lists, std::span<std::byte> memory, Arrays& arrays) {
  const auto entries = static_cast<std::size_t>(lists.num_entries);
  const auto points = static_cast<std::size_t>(lists.num_points);
  memory::Layout layout(memory);
  arrays.begin = layout.take<std::uint32_t>(points + 1);
  arrays.entry = layout.take<std::uint32_t>(entries);
  arrays.row_of = lists.row_splits != nullptr ? layout.take<std::int32_t>(entries) : nullptr;
  arrays.place = layout.take<std::uint32_t>(kChunks * points);
  return layout.bytes();
}

}  // namespace

std::size_t turn_round_bytes(const Lists& lists) {
  Arrays arrays;
  return lay_out(lists, {}, arrays);
}

Holders turn_round(const Lists& lists, std::span<std::byte> workspace) {
  Arrays arrays;
  lay_out(lists, workspace, arrays);
  const auto points = static_cast<std::size_t>(lists.num_points);
  const auto chunk_begin = [&](std::size_t chunk) {
    return lists.num_entries * static_cast<std::int64_t>(chunk) / static_cast<std::int64_t>(kChunks);
  };
  tbb::parallel_for(std::size_t{0}, kChunks, [&](std::size_t chunk) {
    std::uint32_t* const count = arrays.place + chunk * points;
    std::fill_n(count, points, 0U);
    for (std::int64_t e = chunk_begin(chunk); e < chunk_begin(chunk + 1); ++e) {
      if (lists.index[e] >= 0) ++count[lists.index[e]];
    }
  });
  // Counts become places: all of a point's, chunk by chunk, before those of the next.
  const std::uint32_t total = tbb::parallel_scan(
      tbb::blocked_range<std::size_t>(0, points, 1 << 12), 0U,
      [&](const tbb::blocked_range<std::size_t>& range, std::uint32_t sum, bool is_final) {
        for (std::size_t point = range.begin(); point < range.end(); ++point) {
          if (is_final) arrays.begin[point] = sum;
          for (std::size_t chunk = 0; chunk < kChunks; ++chunk) {
            std::uint32_t& place = arrays.place[chunk * points + point];
            const std::uint32_t count = place;
            if (is_final) place = sum;
            sum += count;
          }
        }
        return sum;
      },
      std::plus<>());
  arrays.begin[points] = total;
  tbb::parallel_for(std::size_t{0}, kChunks, [&](std::size_t chunk) {
    std::uint32_t* const place = arrays.place + chunk * points;
    std::int32_t row = 0;
    if (lists.row_splits != nullptr) {
      const std::int64_t* const end = lists.row_splits + lists.num_rows + 1;
      row =
          static_cast<std::int32_t>(std::upper_bound(lists.row_splits, end, chunk_begin(chunk)) - lists.row_splits) - 1;
    }
    for (std::int64_t e = chunk_begin(chunk); e < chunk_begin(chunk + 1); ++e) {
      if (lists.row_splits != nullptr) {
        while (lists.row_splits[row + 1] <= e) ++row;
        arrays.row_of[e] = row;
      }
      if (lists.index[e] >= 0) arrays.entry[place[lists.index[e]]++] = static_cast<std::uint32_t>(e);
    }
  });
  return {arrays.begin, arrays.entry, arrays.row_of};
}

}  // namespace starling::lists::host
