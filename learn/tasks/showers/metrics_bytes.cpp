#include "learn/tasks/showers/metrics_bytes.h"

#include <cstring>
#include <type_traits>

namespace starling::learn::showers {
namespace {

template <class Value>
void put(std::string& bytes, const Value* values, std::size_t count) {
  static_assert(std::is_trivially_copyable_v<Value>);
  bytes.append(reinterpret_cast<const char*>(values), count * sizeof(Value));
}

class Reader {
 public:
  explicit Reader(const std::string& bytes) : bytes_(bytes) {}
  bool at_end() const { return at_ == bytes_.size(); }

  template <class Value>
  void get(Value* values, std::size_t count) {
    if (count == 0) return;
    std::memcpy(values, bytes_.data() + at_, count * sizeof(Value));
    at_ += count * sizeof(Value);
  }

 private:
  const std::string& bytes_;
  std::size_t at_ = 0;
};

struct Header {
  double min_energy;
  std::int64_t events, hits, all_showers, all_clusters;
  double largest_visible;
  std::size_t showers, clusters;
};

}  // namespace

std::string to_bytes(const std::vector<ShowerMetrics>& metrics) {
  std::string bytes;
  for (const ShowerMetrics& one : metrics) {
    const Header header = {one.min_energy,   one.events,          one.hits,           one.all_showers,
                           one.all_clusters, one.largest_visible, one.showers.size(), one.clusters.size()};
    put(bytes, &header, 1);
    put(bytes, one.showers.data(), one.showers.size());
    put(bytes, one.clusters.data(), one.clusters.size());
  }
  return bytes;
}

std::vector<ShowerMetrics> from_bytes(const std::string& bytes) {
  std::vector<ShowerMetrics> metrics;
  for (Reader reader(bytes); !reader.at_end();) {
    Header header;
    reader.get(&header, 1);
    ShowerMetrics& one = metrics.emplace_back();
    one.min_energy = header.min_energy;
    one.events = header.events;
    one.hits = header.hits;
    one.all_showers = header.all_showers;
    one.all_clusters = header.all_clusters;
    one.largest_visible = header.largest_visible;
    one.showers.resize(header.showers);
    one.clusters.resize(header.clusters);
    reader.get(one.showers.data(), header.showers);
    reader.get(one.clusters.data(), header.clusters);
  }
  return metrics;
}

}  // namespace starling::learn::showers
