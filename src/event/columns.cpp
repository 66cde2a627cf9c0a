// Columns that a caller fills must fit together: checked where they are handed in.
#include <limits>
#include <string>
#include <utility>

#include "starling/error.h"
#include "starling/event.h"

namespace starling {
namespace {

void check_length(const char* table, const char* name, std::size_t length, std::size_t expected, const char* first) {
  if (length != expected) {
    throw Error(ErrorKind::usage, std::string(table) + ": column " + name + " has " + std::to_string(length) +
                                      " entries, expected " + std::to_string(expected) + " as in column " + first);
  }
}

}  // namespace

void HitsView::check() const {
  if (x.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorKind::usage, "hits: " + std::to_string(x.size()) + " hits, expected at most 2147483647");
  }
  for (const auto& [name, column] : {std::pair("y", y), std::pair("z", z)}) {
    check_length("hits", name, column.size(), x.size(), "x");
  }
  for (const auto& [name, column] :
       {std::pair("volume_id", volume_id), std::pair("layer_id", layer_id), std::pair("module_id", module_id)}) {
    check_length("hits", name, column.size(), x.size(), "x");
  }
}

Hits::operator HitsView() const {
  const HitsView view{x, y, z, volume_id, layer_id, module_id};
  view.check();
  check_length("hits", "hit_id", hit_id.size(), x.size(), "x");
  return view;
}

void Particles::check() const {
  const auto column = [&](const char* name, std::size_t length) {
    if (length != 0) check_length("particles", name, length, particle_id.size(), "particle_id");
  };
  column("vx", vx.size());
  column("vy", vy.size());
  column("vz", vz.size());
  column("px", px.size());
  column("py", py.size());
  column("pz", pz.size());
  column("q", q.size());
  column("nhits", nhits.size());
  column("particle_type", particle_type.size());
  column("primary", primary.size());
}

}  // namespace starling
