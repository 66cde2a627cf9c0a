#include "starling/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <fstream>
#include <limits>
#include <random>
#include <set>

#include "data.h"
#include "expect_error.h"
#include "starling/error.h"
#include "starling/tracks.h"
#include "temporary_folder.h"

namespace {

using namespace starling;
using testing::ElementsAre;
using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr const char* kHeader = "hit_id,x,y,z,volume_id,layer_id,module_id\n";

// A folder with the files of one event, "event1".
class EventTest : public testing::Test {
 protected:
  fs::path prefix() const { return folder_.path() / "event1"; }
  fs::path file(const std::string& kind) const { return folder_.path() / ("event1-" + kind); }

  void put(const std::string& kind, const std::string& content) const {
    std::ofstream(file(kind), std::ios::binary) << content;
  }
  void put_gzip(const std::string& kind, const std::string& content) const {
    gzFile out = gzopen(file(kind).c_str(), "wb");
    ASSERT_EQ(gzwrite(out, content.data(), static_cast<unsigned>(content.size())), static_cast<int>(content.size()));
    gzclose(out);
  }
  std::string get(const std::string& kind) const {
    std::ifstream in(file(kind), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // The error that reading hits with this content ends with, behind the file's name.
  std::string hits_error(const std::string& content) const {
    put("hits.csv", content);
    const std::string message = error_of(ErrorKind::input, [&] { read_event(prefix()); });
    const std::string name = file("hits.csv").string();
    EXPECT_EQ(message.substr(0, name.size()), name) << message;
    return message.substr(std::min(message.size(), name.size()));
  }
  std::vector<std::string> names() const {
    std::vector<std::string> result;
    for (const auto& entry : fs::directory_iterator(folder_.path())) result.push_back(entry.path().filename());
    std::sort(result.begin(), result.end());
    return result;
  }

  TemporaryFolder folder_;
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

void expect_same(const Event& a, const Event& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.hits.hit_id, b.hits.hit_id);
  EXPECT_TRUE(same_bits(a.hits.x, b.hits.x));
  EXPECT_TRUE(same_bits(a.hits.y, b.hits.y));
  EXPECT_TRUE(same_bits(a.hits.z, b.hits.z));
  EXPECT_EQ(a.hits.volume_id, b.hits.volume_id);
  EXPECT_EQ(a.hits.layer_id, b.hits.layer_id);
  EXPECT_EQ(a.hits.module_id, b.hits.module_id);
  ASSERT_EQ(a.truth.has_value(), b.truth.has_value());
  if (a.truth) {
    EXPECT_EQ(a.truth->particle_id, b.truth->particle_id);
    EXPECT_TRUE(same_bits(a.truth->weight, b.truth->weight));
  }
  ASSERT_EQ(a.particles.has_value(), b.particles.has_value());
  if (a.particles) {
    EXPECT_EQ(a.particles->particle_id, b.particles->particle_id);
    EXPECT_TRUE(same_bits(a.particles->vx, b.particles->vx));
    EXPECT_TRUE(same_bits(a.particles->vy, b.particles->vy));
    EXPECT_TRUE(same_bits(a.particles->vz, b.particles->vz));
    EXPECT_TRUE(same_bits(a.particles->px, b.particles->px));
    EXPECT_TRUE(same_bits(a.particles->py, b.particles->py));
    EXPECT_TRUE(same_bits(a.particles->pz, b.particles->pz));
    EXPECT_EQ(a.particles->q, b.particles->q);
    EXPECT_EQ(a.particles->nhits, b.particles->nhits);
    EXPECT_EQ(a.particles->particle_type, b.particles->particle_type);
    EXPECT_EQ(a.particles->primary, b.particles->primary);
  }
  ASSERT_EQ(a.cells.has_value(), b.cells.has_value());
  if (a.cells) {
    EXPECT_EQ(a.cells->hit, b.cells->hit);
    EXPECT_EQ(a.cells->ch0, b.cells->ch0);
    EXPECT_EQ(a.cells->ch1, b.cells->ch1);
    EXPECT_TRUE(same_bits(a.cells->value, b.cells->value));
  }
}

// Floats of every magnitude, subnormals included.
float any_float(std::mt19937& random) {
  for (;;) {
    const auto bits = static_cast<std::uint32_t>(random());
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    if (std::isfinite(value)) return value;
  }
}

Event any_event(int hits, bool all_columns) {
  std::mt19937 random(static_cast<unsigned>(hits));
  Event event;
  event.name = "event1";
  event.truth.emplace();
  event.particles.emplace();
  for (int i = 0; i < hits; ++i) {
    event.hits.hit_id.push_back((all_columns ? std::int64_t{1} << 40 : 1) * ((i * 7919) % 100003) - 5);
    for (auto* const column : {&event.hits.x, &event.hits.y, &event.hits.z}) column->push_back(any_float(random));
    event.hits.volume_id.push_back(static_cast<std::int32_t>(random()));
    event.hits.layer_id.push_back(i % 14);
    event.hits.module_id.push_back(i);
    event.truth->particle_id.push_back(i % 3 == 0 ? kNoise : i % 3 == 1 ? kUnknown : 968307936025640960 + i);
    if (all_columns) event.truth->weight.push_back(any_float(random));
  }
  Particles& p = *event.particles;
  for (int i = 0; i < hits / 10; ++i) {
    p.particle_id.push_back(std::numeric_limits<std::int64_t>::max() - i);
    for (auto* const column : {&p.vx, &p.vy, &p.vz, &p.px, &p.py, &p.pz}) column->push_back(any_float(random));
    p.q.push_back(i % 3 - 1);
    p.nhits.push_back(i % 20);
    if (all_columns) {
      p.particle_type.push_back(-211);
      p.primary.push_back(i % 2);
    }
  }
  if (all_columns) {
    event.cells.emplace();
    for (int i = 0; i < 2 * hits; ++i) {
      event.cells->hit.push_back(i / 2);
      event.cells->ch0.push_back(i);
      event.cells->ch1.push_back(-i);
      event.cells->value.push_back(any_float(random));
    }
  }
  return event;
}

TEST_F(EventTest, WhatIsWrittenReadsBackBitForBit) {
  for (const int hits : {0, 1, 10, 12345}) {
    for (const bool all_columns : {false, true}) {
      const Event event = any_event(hits, all_columns);
      const fs::path folder = folder_.path() / std::to_string(hits) / std::to_string(all_columns);
      write_event(folder, event);
      expect_same(read_event(folder / "event1", {.cells = true}), event);
    }
  }
}

TEST_F(EventTest, SignedZeroSurvives) {
  Event event = any_event(1, false);
  event.hits.x[0] = -0.0f;
  write_event(folder_.path(), event);
  EXPECT_TRUE(std::signbit(read_event(prefix()).hits.x[0]));
}

TEST_F(EventTest, ColumnsInAnyOrderAmongOthers) {
  put("hits.csv", "module_id,z,note,y,x,layer_id,volume_id,,hit_id\n3,-4.5,text,2,1e1,6,8,,77\n");
  const Hits hits = read_event(prefix()).hits;
  EXPECT_THAT(hits.hit_id, ElementsAre(77));
  EXPECT_THAT(hits.x, ElementsAre(10.0f));
  EXPECT_THAT(hits.y, ElementsAre(2.0f));
  EXPECT_THAT(hits.z, ElementsAre(-4.5f));
  EXPECT_THAT(hits.volume_id, ElementsAre(8));
  EXPECT_THAT(hits.layer_id, ElementsAre(6));
  EXPECT_THAT(hits.module_id, ElementsAre(3));
}

TEST_F(EventTest, EveryWayToWriteTheSameRows) {
  put("hits.csv", std::string(kHeader) + "1,10,-0.5,3,8,2,1\n2,1e-3,0,4,8,2,2\n");
  const Event event = read_event(prefix());
  EXPECT_FALSE(event.truth || event.particles || event.cells);
  ASSERT_EQ(event.hits.size(), 2);
  const std::string texts[] = {
      // CRLF, no end of the last line, a byte order mark
      "\xef\xbb\xbfhit_id,x,y,z,volume_id,layer_id,module_id\r\n1,10,-0.5,3,8,2,1\r\n2,1e-3,0,4,8,2,2",
      // blank lines
      "\n \t\nhit_id,x,y,z,volume_id,layer_id,module_id\n\n\r\n1,10,-0.5,3,8,2,1\n  \n2,1e-3,0,4,8,2,2\n\n\n",
      // quotes, blanks and plus signs
      "\"hit_id\", \"x\" ,y,\tz,volume_id,layer_id,\"module_id\"\n\"1\",\"10\",-.5,+3.0,8,2,\"1\"\n +2 "
      ",1.0E-3,0e7,\" 4\", 8 ,2, 2 \r\n",
      // ignored columns with commas in quotes
      "note,hit_id,x,y,z,volume_id,layer_id,module_id\n\"a,b\",1,1e1,-5e-1,3,8,2,1\n,2,0.001,0,4.,8,2,2\n",
  };
  for (const std::string& text : texts) {
    put("hits.csv", text);
    expect_same(read_event(prefix()), event);
  }
}

TEST_F(EventTest, GzippedFilesAndThePlainOneFirst) {
  const std::string row = "1,10,-0.5,3,8,2,1\n";
  put_gzip("hits.csv.gz", kHeader + row);
  put_gzip("truth.csv.gz", "hit_id,particle_id\n1,5\n");
  Event event = read_event(prefix());
  EXPECT_THAT(event.hits.x, ElementsAre(10.0f));
  EXPECT_THAT(event.truth->particle_id, ElementsAre(5));
  EXPECT_FALSE(event.particles);
  put("truth.csv", "hit_id,particle_id\n1,6\n");
  EXPECT_THAT(read_event(prefix()).truth->particle_id, ElementsAre(6));
  EXPECT_FALSE(read_event(prefix(), {.truth = false}).truth);
}

TEST_F(EventTest, AnEventWithoutHitsIsValid) {
  for (const std::string end : {"", "\n", "\r\n\r\n"}) {
    put("hits.csv", "hit_id,x,y,z,volume_id,layer_id,module_id" + end);
    put("truth.csv", "hit_id,particle_id,weight" + end);
    const Event event = read_event(prefix());
    EXPECT_EQ(event.hits.size(), 0);
    EXPECT_TRUE(event.truth && event.truth->particle_id.empty());
  }
}

TEST_F(EventTest, NumbersAtTheEdgeOfTheirTypes) {
  put("hits.csv", std::string(kHeader) +
                      "9223372036854775807,3.4028234e38,1e-60,-1e-45,2147483647,-2147483648,0\n"
                      "-9223372036854775808,1.17549435e-38,0.1000000014901161193847656250001,-0,1,1,1\n");
  const Hits hits = read_event(prefix()).hits;
  EXPECT_THAT(hits.hit_id,
              ElementsAre(std::numeric_limits<std::int64_t>::max(), std::numeric_limits<std::int64_t>::min()));
  EXPECT_THAT(hits.x, ElementsAre(std::numeric_limits<float>::max(), std::numeric_limits<float>::min()));
  EXPECT_THAT(hits.y, ElementsAre(0.0f, 0.1f));
  EXPECT_EQ(hits.z[0], -std::numeric_limits<float>::denorm_min());
}

TEST_F(EventTest, BadHitsAreNamed) {
  const std::string good = "1,1,2,3,8,2,1\n";
  const auto error = [&](const std::string& rows) { return hits_error(kHeader + rows); };
  EXPECT_EQ(hits_error(""), ": is empty, expected the columns hit_id,x,y,z,volume_id,layer_id,module_id");
  EXPECT_EQ(hits_error("\n\n"), ": is empty, expected the columns hit_id,x,y,z,volume_id,layer_id,module_id");
  EXPECT_EQ(hits_error("hit_id,x,y,volume_id,layer_id,module_id\n"),
            ":1: no column z among 'hit_id,x,y,volume_id,layer_id,module_id'");
  EXPECT_EQ(hits_error("x,hit_id,x,y,z,volume_id,layer_id,module_id\n"), ":1: column x: expected once, appears again");
  EXPECT_EQ(error(good + "2,1,2,3,8,2\n"), ":3: the row has 6 fields, expected 7");
  EXPECT_EQ(error(good + "\n2,1,2,3,8,2,1,\n"), ":4: the row has 8 fields, expected 7");
  EXPECT_EQ(error(good + "2\n"), ":3: the row has 1 fields, expected 7");
  EXPECT_EQ(error("1,1,2,3,8,2,"), ":2: module_id = nothing: expected an integer of 32 bits");
  EXPECT_EQ(error("1,one,2,3,8,2,1\n"), ":2: x = one: expected a finite number that a float can hold");
  for (const char* const bad :
       {"nan",  "NaN", "inf", "-inf", "1e39", "-1e999", "1e99999999999", "",       " ",   "1.5.2", "1,5",
        "0x10", "1e",  "--1", "+-1",  "+",    "1 2",    "\"1",           "\"1\"2", "1\"", "\x00",  "\xff"}) {
    EXPECT_THAT(error("1," + std::string(bad) + ",2,3,8,2,1\n"), HasSubstr(":2: ")) << bad;
  }
  EXPECT_EQ(error("1,nan,2,3,8,2,1\n"), ":2: x = nan: expected a finite number that a float can hold");
  for (const char* const bad : {"1.0", "1e3", "x", "", "9223372036854775808", "0x1", "1-", "- 1"}) {
    EXPECT_THAT(error(std::string(bad) + ",1,2,3,8,2,1\n"), HasSubstr(":2: hit_id = ")) << bad;
  }
  EXPECT_EQ(error("1,1,2,3,8,2,2147483648\n"), ":2: module_id = 2147483648: expected an integer of 32 bits");
  EXPECT_EQ(error(good + "\n2,1,2,3,8,2,1\n1,1,2,3,8,2,1\n"), ":5: hit_id = 1: expected once, appears again");
  EXPECT_EQ(error("-9000000000000000000,1,2,3,8,2,1\n" + good + "-9000000000000000000,1,2,3,8,2,1\n"),
            ":4: hit_id = -9000000000000000000: expected once, appears again");
  // A long field and control characters stay one short line.
  EXPECT_LT(error("1," + std::string(100000, '\t') + std::string(100000, 'x') + ",2,3,8,2,1\n").size(), 200u);
  EXPECT_THAT(error(std::string("1,\0\r,2,3,8,2,1\n", 15)), HasSubstr("x = \\x00\\x0d: expected"));
}

TEST_F(EventTest, BadTruthIsNamed) {
  put("hits.csv", std::string(kHeader) + "5,1,2,3,8,2,1\n7,1,2,3,8,2,2\n");
  const auto error = [&](const std::string& kind, const std::string& content) {
    put(kind, content);
    const std::string message = error_of(ErrorKind::input, [&] { read_event(prefix(), {.cells = true}); });
    const std::string name = file(kind).string();
    EXPECT_EQ(message.substr(0, name.size()), name) << message;
    fs::remove(file(kind));
    return message.substr(std::min(message.size(), name.size()));
  };
  EXPECT_EQ(error("truth.csv", "hit_id,particle_id\n5,0\n\n6,0\n7,0\n"),
            ":4: hit_id = 6: expected one of the hits file");
  EXPECT_EQ(error("truth.csv", "hit_id,particle_id\n5,0\n5,0\n"), ":3: hit_id = 5: expected once, appears again");
  EXPECT_THAT(error("truth.csv", "hit_id,particle_id\n5,0\n"),
              HasSubstr(": has 1 rows for 2 hits, expected one per hit"));
  EXPECT_THAT(error("truth.csv", "hit_id,particle_id\n5,-2\n7,0\n"),
              HasSubstr(":2: particle_id = -2: expected an integer of 64 bits, at least -1"));
  EXPECT_THAT(error("truth.csv", "hit_id,particle_id,weight\n5,0,nan\n7,0,0\n"), HasSubstr(":2: weight = nan"));
  EXPECT_THAT(error("truth.csv", ""), HasSubstr("is empty"));
  EXPECT_EQ(error("tracks.csv", "hit_id,track\n5,-1\n6,1\n"), ":3: hit_id = 6: expected one of the hits file");
  EXPECT_EQ(error("tracks.csv", "hit_id,track\n5,-1\n5,1\n"), ":3: hit_id = 5: expected once, appears again");
  EXPECT_THAT(error("tracks.csv", "hit_id,track\n5,-2\n"),
              HasSubstr("track = -2: expected an integer of 64 bits, at least -1, or nan for none"));
  EXPECT_EQ(error("cells.csv", "hit_id,ch0,ch1,value\n5,1,1,0.5\n6,1,1,1\n"),
            ":3: hit_id = 6: expected one of the hits file");
  const std::string particles = "particle_id,vx,vy,vz,px,py,pz,q,nhits\n";
  EXPECT_THAT(error("particles.csv", particles + "0,0,0,0,0,0,0,0,0\n"), HasSubstr(":2: particle_id = 0: expected"));
  EXPECT_EQ(error("particles.csv", particles + "4,0,0,0,0,0,0,0,0\n4,0,0,0,0,0,0,0,0\n"),
            ":3: particle_id = 4: expected once, appears again");
  EXPECT_THAT(error("particles.csv", "vx,vy,vz,px,py,pz,q\n"), HasSubstr(":1: no column particle_id"));
  EXPECT_EQ(error("tracks.csv", "hit_id,track\n5,-1\n7,9223372036854775807\n"),
            ":3: track = 9223372036854775807: expected less");
}

TEST_F(EventTest, BadGzipIsNamed) {
  std::string rows = kHeader;
  for (int i = 0; i < 5000; ++i) rows += std::to_string(i) + ",1,2,3,8,2,1\n";
  put_gzip("hits.csv.gz", rows);
  EXPECT_EQ(read_event(prefix()).hits.size(), 5000);
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix(), {.max_unpacked_bytes = 10000}); }),
              HasSubstr("hits.csv.gz: unpacks to more than the limit of 10000 bytes"));
  const std::string packed = get("hits.csv.gz");
  put("hits.csv.gz", packed.substr(0, packed.size() / 2));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix()); }),
              HasSubstr("hits.csv.gz: gzip data is cut short"));
  std::string damaged = packed;
  damaged[packed.size() / 2] = static_cast<char>(damaged[packed.size() / 2] ^ 0x10);
  put("hits.csv.gz", damaged);
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix()); }), HasSubstr("gzip data is damaged"));
  put("hits.csv.gz", rows);
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix()); }), HasSubstr("is not gzip data"));
}

TEST_F(EventTest, KnownTracksAreTruthAndReconstructedOnesAreNot) {
  put("hits.csv", std::string(kHeader) + "5,1,2,3,8,2,1\n7,1,2,3,8,2,2\n9,1,2,3,8,2,2\n");
  put("particles.csv", "particle_id,vx,vy,vz,px,py,pz,q,nhits\n4,0,0,0,0,0,0,0,0\n");
  put("tracks.csv", "track,hit_id\n0,9\n-1,5\n");
  Event event = read_event(prefix());
  ASSERT_TRUE(event.truth);
  EXPECT_THAT(event.truth->particle_id, ElementsAre(kUnknown, kUnknown, 1));
  EXPECT_FALSE(event.particles);

  fs::remove(file("tracks.csv"));
  write_tracks(file("tracks.csv"), event.hits, tracks_from_labels(std::vector<std::int32_t>{0, -1, 0}));
  event = read_event(prefix());
  EXPECT_FALSE(event.truth);
  EXPECT_TRUE(event.particles);
}

TEST_F(EventTest, KnownTracksMayHaveIdsOfOtherTools) {
  put("hits.csv", std::string(kHeader) + "1,1,2,3,8,2,1\n2,1,2,3,8,2,2\n3,1,2,3,8,2,2\n4,1,2,3,8,2,2\n");
  put("tracks.csv", "hit_id,track\n1,4505867370102784\n2,12.0\n3,nan\n4,\n");
  EXPECT_THAT(read_event(prefix()).truth->particle_id, ElementsAre(4505867370102785, 13, kUnknown, kUnknown));
}

TEST_F(EventTest, ColumnsOfParticlesMayBeAbsent) {
  put("hits.csv", std::string(kHeader) + "5,1,2,3,8,2,1\n");
  // The columns that Acts writes.
  put("particles.csv",
      "particle_id,particle_type,process,vx,vy,vz,vt,px,py,pz,m,q\n4503599644147712,13,0,1,2,3,0,4,5,6,0.1,-1\n");
  const Particles acts = *read_event(prefix()).particles;
  EXPECT_THAT(acts.particle_id, ElementsAre(4503599644147712));
  EXPECT_THAT(acts.pz, ElementsAre(6.0f));
  EXPECT_TRUE(acts.nhits.empty());
  put("particles.csv", "particle_id\n7\n9\n");
  const Event event = read_event(prefix());
  EXPECT_EQ(event.particles->size(), 2);
  EXPECT_TRUE(event.particles->px.empty() && event.particles->q.empty());
  write_event(folder_.path() / "again", event);
  expect_same(read_event(folder_.path() / "again" / "event1"), event);
}

TEST_F(EventTest, TracksReadBack) {
  Hits hits;
  hits.hit_id = {3, 1, 1000000000000};
  Tracks tracks;
  tracks.row_splits = {0, 1, 2};
  tracks.hits = {0, 2};
  write_tracks(file("tracks.csv"), hits, tracks);
  EXPECT_EQ(get("tracks.csv"), "hit_id,track_id\n3,0\n1,-1\n1000000000000,1\n");
  Tracks read = read_tracks(file("tracks.csv"), hits);
  EXPECT_EQ(read.row_splits, tracks.row_splits);
  EXPECT_EQ(read.hits, tracks.hits);
  tracks.hits = {0, 3};
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("x.csv"), hits, tracks); }),
              HasSubstr("x.csv: entry 1 of the tracks' hits is 3, expected 0..2"));
  tracks = {{0, 2}, {2, 2}};
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("x.csv"), hits, tracks); }),
              HasSubstr("x.csv: entry 1 of the tracks' hits is 2, expected once on track 0, appears again"));
  tracks = {{0, 1}, {2}};
  hits.hit_id[2] = 3;
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("x.csv"), hits, tracks); }),
              HasSubstr("x.csv: hit_id[2] = 3: expected once, appears again"));
  EXPECT_THAT(names(), ElementsAre("event1-tracks.csv"));
}

TEST_F(EventTest, TracksOfOtherTools) {
  Hits hits;
  hits.hit_id = {3, 1, 7, 9};
  const auto read = [&](const std::string& rows) {
    put("tracks.csv", "event_id,hit_id,track_id\n" + rows);
    return read_tracks(file("tracks.csv"), hits);
  };
  const auto error = [&](const std::string& rows) { return error_of(ErrorKind::input, [&] { read(rows); }); };
  put_gzip("tracks.csv.gz", "hit_id,track_id\n9,1\n");
  EXPECT_THAT(read_tracks(file("tracks.csv"), hits).hits, ElementsAre(3));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_tracks(file("none.csv"), hits); }),
              HasSubstr("none.csv: cannot be"));
  // Particle ids as track ids, no track in every way of saying so.
  Tracks tracks = read("0,1,4505867370102784\n0,3,4505867370102784\n0,7,-1\n");
  EXPECT_THAT(tracks.hits, ElementsAre(0, 1));
  EXPECT_THAT(tracks.row_splits, ElementsAre(0, 2));
  tracks = read("0,9,9223372036854775807\n0,3,12.0\n0,7,nan\n0,1,\n");
  EXPECT_THAT(tracks.hits, ElementsAre(0, 3));
  EXPECT_THAT(tracks.row_splits, ElementsAre(0, 1, 2));
  // Hits 1 and 7 are on two tracks each.
  tracks = read("0,7,5\n0,1,5\n0,9,4\n0,7,4\n0,1,1.2e1\n0,1,-1\n0,3,12\n");
  EXPECT_THAT(tracks.row_splits, ElementsAre(0, 2, 4, 6));
  EXPECT_THAT(tracks.hits, ElementsAre(0, 1, 1, 2, 2, 3)) << "tracks 12, 5 and 4";
  write_tracks(folder_.path() / "shared.csv", hits, tracks);
  const Tracks again = read_tracks(folder_.path() / "shared.csv", hits);
  EXPECT_EQ(again.hits, tracks.hits);
  EXPECT_EQ(again.row_splits, tracks.row_splits);

  hits.hit_id = {3, 1, 7, 3};
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read("0,1,4\n"); }),
              HasSubstr("hit 3 has the hit_id of an earlier one"));
  hits.hit_id = {3, 1, 7, 9};
  EXPECT_THAT(error("0,1,4\n0,1,4\n"), HasSubstr(":3: hit_id = 1: expected once per track, appears again"));
  EXPECT_THAT(error("0,2,4\n"), HasSubstr(":2: hit_id = 2: expected one of the hits file"));
  for (const char* const bad : {"-2", "1.5", "1e300", "9223372036854775808", "9007199254740994.0", "inf", "none"}) {
    EXPECT_THAT(error("0,1," + std::string(bad) + "\n"),
                HasSubstr(":2: track_id = " + std::string(bad) + ": expected"));
  }
}

TEST_F(EventTest, WhatIsThereAndIsNotATracksFileOfOursStays) {
  Hits hits;
  hits.hit_id = {3};
  const Tracks none;
  for (const std::string content : {"hit_id,track,old_track_id\n3,1,2\n", "hit_id,track\n3,1\n", "", "hit_id,track_id",
                                    "track_id,hit_id\n3,1\n", "hit_id,track_id,x\n3,1,1\n"}) {
    put("tracks.csv", content);
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("tracks.csv"), hits, none); }),
                HasSubstr("event1-tracks.csv: is there and is not an earlier result"));
    EXPECT_EQ(get("tracks.csv"), content);
  }
  fs::remove(file("tracks.csv"));
  put_gzip("tracks.csv.gz", "hit_id,track\n3,1\n");
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("tracks.csv"), hits, none); }),
              HasSubstr("event1-tracks.csv.gz: is there and would be hidden"));
  EXPECT_THAT(names(), ElementsAre("event1-tracks.csv.gz"));
  fs::remove(file("tracks.csv.gz"));
  fs::create_symlink("nowhere", file("tracks.csv"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_tracks(file("tracks.csv"), hits, none); }),
              HasSubstr("not a regular file"));
  fs::remove(file("tracks.csv"));
  write_tracks(file("tracks.csv"), hits, none);
  write_tracks(file("tracks.csv"), hits, none);
}

TEST_F(EventTest, AnEventIsReplacedWhole) {
  const Event more = any_event(30, true);
  Event less = any_event(20, false);
  less.truth.reset();
  less.particles.reset();
  write_event(folder_.path(), any_event(10, true));
  write_event(folder_.path(), more);
  expect_same(read_event(prefix(), {.cells = true}), more);
  // Any tool's cells have the columns of ours: without cells in their place they stay, and so does the event.
  const auto before = names();
  const std::string cells = get("cells.csv");
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), less); }),
              HasSubstr("event1-cells.csv: is there and the new event has no cells"));
  EXPECT_EQ(names(), before);
  EXPECT_EQ(get("cells.csv"), cells);
  expect_same(read_event(prefix(), {.cells = true}), more);
  fs::remove(file("cells.csv"));
  write_event(folder_.path(), less);
  expect_same(read_event(prefix(), {.cells = true}), less);
  EXPECT_THAT(names(), ElementsAre("event1-hits.csv"));
  write_event(folder_.path(), less);

  // A write that was cut short left parts without hits.
  fs::remove(file("hits.csv"));
  put("truth.csv", "hit_id,particle_id\n1,1\n");
  write_event(folder_.path(), less);
  expect_same(read_event(prefix(), {.cells = true}), less);
}

TEST_F(EventTest, AnEventOfSomethingElseIsNeitherReplacedNorHidden) {
  Event event = any_event(5, false);
  const auto expect_refused = [&](const std::string& kind, const std::string& content, const char* what) {
    const auto before = names();
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); }), HasSubstr(what)) << kind;
    EXPECT_EQ(get(kind), content) << kind;
    EXPECT_EQ(names(), before);
    for (const std::string& name : before) fs::remove(folder_.path() / name);
  };
  // Gzipped files, whatever is in them.
  for (const std::string kind : {"hits", "truth", "particles", "cells", "tracks"}) {
    put(kind + ".csv.gz", "gzip");
    expect_refused(kind + ".csv.gz", "gzip", "is there and would be hidden");
  }
  // The columns of TrackML's training events.
  put("truth.csv", "hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight\n");
  expect_refused("truth.csv", "hit_id,particle_id,tx,ty,tz,tpx,tpy,tpz,weight\n", "is not an earlier result");
  // Its test events have hits and cells, whose columns are ours, but no truth.
  put("hits.csv", kHeader);
  expect_refused("hits.csv", kHeader, "is there without event1-truth.csv");
  // A reduced event whose truth are its tracks.
  put("tracks.csv", "hit_id,track\n");
  expect_refused("tracks.csv", "hit_id,track\n", "is not an earlier result");
  // Fewer columns than the new event has.
  put("truth.csv", "hit_id,particle_id\n");
  event.truth->weight.assign(5, 0.2f);
  expect_refused("truth.csv", "hit_id,particle_id\n", "is not an earlier result");
  put("particles.csv", "particle_id,px,vx\n");
  event.particles.reset();
  expect_refused("particles.csv", "particle_id,px,vx\n", "is not an earlier result");

  write_tracks(file("tracks.csv"), event.hits, Tracks());
  write_event(folder_.path(), event);
  event.name = "../event1";
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); }), HasSubstr("'../event1'"));
}

TEST_F(EventTest, EventsAreFound) {
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(folder_.path()); }), HasSubstr("no event in this folder"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(folder_.path() / "none"); }), HasSubstr("none: no event"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix()); }), HasSubstr("event1-hits.csv: no such file"));
  for (const char* const name : {"b-hits.csv", "a-hits.csv.gz", "b-hits.csv.gz", "-hits.csv", "c-truth.csv", "d.txt",
                                 "._a-hits.csv", "._b-hits.csv.gz"}) {
    std::ofstream(folder_.path() / name) << kHeader;
  }
  const fs::path a = folder_.path() / "a", b = folder_.path() / "b";
  EXPECT_THAT(find_events(folder_.path()), ElementsAre(a, b));
  EXPECT_THAT(find_events(folder_.path() / ""), ElementsAre(a, b));
  EXPECT_THAT(find_events(a), ElementsAre(a));
  EXPECT_THAT(find_events(folder_.path() / "a-hits.csv.gz"), ElementsAre(a));
  EXPECT_THAT(find_events(folder_.path() / "b-hits.csv"), ElementsAre(b));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(folder_.path() / "b-hits.csv.gz"); }),
              HasSubstr("b-hits.csv is beside it and would be read"));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { find_events(folder_.path() / "c-hits.csv"); }),
              HasSubstr("c-hits.csv: no such file"));
  EXPECT_EQ(read_event(b).name, "b");
}

TEST_F(EventTest, APipeIsNoEvent) {
  ASSERT_EQ(mkfifo(file("hits.csv").c_str(), 0600), 0);
  EXPECT_THAT(find_events(folder_.path()), ElementsAre(prefix()));
  EXPECT_THAT(error_of(ErrorKind::input, [&] { read_event(prefix()); }),
              HasSubstr("event1-hits.csv: is not a regular file"));
}

TEST_F(EventTest, NothingHalfWrittenIsLeft) {
  Event event = any_event(3000, true);
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event("/dev/null/folder", event); }), HasSubstr("/dev/null"));

  // A limit on the size of files stands in for a disk that fills up.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{100000, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string message = error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); });
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_THAT(message, HasSubstr("cannot be written: File too large"));
  EXPECT_TRUE(names().empty());

  const auto expect_refused = [&](auto change, const char* what) {
    Event bad = event;
    change(bad);
    EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), bad); }), HasSubstr(what));
    EXPECT_TRUE(names().empty());
  };
  expect_refused([](Event& bad) { bad.truth->particle_id.pop_back(); }, "particle_id has 2999 entries, expected 3000");
  expect_refused([](Event& bad) { bad.truth->weight.pop_back(); }, "weight has 2999 entries, expected 3000");
  expect_refused([](Event& bad) { bad.particles->q.pop_back(); }, "q has 299 entries, expected 300");
  expect_refused([](Event& bad) { bad.cells->ch1.pop_back(); }, "ch1 has 5999 entries, expected 6000");
  // What read_event would refuse.
  expect_refused([](Event& bad) { bad.hits.hit_id[5] = bad.hits.hit_id[2]; }, "event1-hits.csv: hit_id[5] = ");
  expect_refused([](Event& bad) { bad.truth->particle_id[4] = -2; },
                 "event1-truth.csv: particle_id[4] = -2: expected -1 or more");
  expect_refused([](Event& bad) { bad.particles->particle_id[3] = 0; },
                 "event1-particles.csv: particle_id[3] = 0: expected 1 or more");
  expect_refused([](Event& bad) { bad.particles->particle_id[3] = bad.particles->particle_id[1]; },
                 "event1-particles.csv: particle_id[3] = ");
  expect_refused([](Event& bad) { bad.particles->nhits[6] = -1; },
                 "event1-particles.csv: nhits[6] = -1: expected 0 or more");
  event.hits.z[7] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); }),
              HasSubstr("event1-hits.csv: z[7] = nan: expected a finite number"));
  event.hits.z.resize(7);
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); }),
              HasSubstr("z has 7 entries, expected 3000"));
  event.cells->hit[0] = 3000;
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { write_event(folder_.path(), event); }),
              HasSubstr("cell of hit 3000: expected one of 3000 hits"));
  EXPECT_TRUE(names().empty());
}

TEST(RealEvents, Barrel) {
  STARLING_NEEDS_DATA("trackml_ev1000_barrel");
  const std::vector<fs::path> events = find_events(data_folder() / "trackml_ev1000_barrel");
  ASSERT_EQ(events.size(), 1u);
  const Event event = read_event(events[0]);
  EXPECT_EQ(event.name, "event000001000");
  ASSERT_EQ(event.hits.size(), 55446);
  EXPECT_EQ(event.hits.hit_id[0], 16874);
  EXPECT_EQ(event.hits.x[0], -32.5544f);
  EXPECT_EQ(event.hits.z[1], -464.428f);
  EXPECT_EQ(event.hits.module_id.back(), 707);
  const auto& id = event.truth->particle_id;
  EXPECT_EQ(std::count(id.begin(), id.end(), kNoise), 12626);
  EXPECT_EQ(std::count(id.begin(), id.end(), kUnknown), 1653);
  EXPECT_EQ(id[0], 824163129872097282);
  EXPECT_EQ(std::set(id.begin(), id.end()).size(), 7948u + 2);
  EXPECT_TRUE(event.truth->weight.empty());
  EXPECT_EQ(event.particles->size(), 12263);
  EXPECT_EQ(event.particles->nhits[1], 11);
  EXPECT_TRUE(event.particles->particle_type.empty());
}

TEST(RealEvents, WholeWithKnownTracks) {
  STARLING_NEEDS_DATA("trackml_full");
  const std::vector<fs::path> events = find_events(data_folder() / "trackml_full");
  ASSERT_EQ(events.size(), 2u);
  for (const auto& [prefix, hits, known] :
       {std::tuple(events[0], 93680, 4036 - 203), {events[1], 110023, 5332 - 232}}) {
    const Event event = read_event(prefix);
    EXPECT_EQ(event.hits.size(), hits);
    const auto& id = event.truth->particle_id;
    EXPECT_EQ(std::count_if(id.begin(), id.end(), [](std::int64_t i) { return i > 0; }), known);
    EXPECT_EQ(std::count(id.begin(), id.end(), kUnknown), hits - known);
    EXPECT_FALSE(event.particles);
  }
}

TEST(RealEvents, GzippedWithCells) {
  STARLING_NEEDS_DATA("trackml_gnntracking_ev1");
  const Event event = read_event(data_folder() / "trackml_gnntracking_ev1" / "event000000001", {.cells = true});
  EXPECT_EQ(event.hits.size(), 5527);
  EXPECT_EQ(event.particles->size(), 548);
  EXPECT_EQ(event.particles->particle_type[0], -211);
  EXPECT_EQ(event.truth->weight[0], 6.96929e-06f);
  ASSERT_EQ(event.cells->hit.size(), 18564u);
  EXPECT_EQ(event.cells->hit[2], 1);
  EXPECT_EQ(event.cells->value[2], 0.107025f);

  const TemporaryFolder folder;
  write_event(folder.path(), event);
  expect_same(read_event(folder.path() / event.name, {.cells = true}), event);
}

}  // namespace
