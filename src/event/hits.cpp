#include <limits>
#include <string>
#include <utility>

#include "starling/error.h"
#include "starling/event.h"

namespace starling {
namespace {

void check_column(const char* name, std::size_t length, std::size_t expected) {
  if (length != expected) {
    throw Error(ErrorKind::usage, std::string("hits: column ") + name + " has " + std::to_string(length) +
                                      " entries, expected " + std::to_string(expected) + " as in column x");
  }
}

}  // namespace

void HitsView::check() const {
  if (x.size() > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    throw Error(ErrorKind::usage, "hits: " + std::to_string(x.size()) + " hits, expected at most 2147483647");
  }
  for (const auto& [name, column] : {std::pair("y", y), std::pair("z", z)}) check_column(name, column.size(), x.size());
  for (const auto& [name, column] :
       {std::pair("volume_id", volume_id), std::pair("layer_id", layer_id), std::pair("module_id", module_id)}) {
    check_column(name, column.size(), x.size());
  }
}

Hits::operator HitsView() const {
  const HitsView view{x, y, z, volume_id, layer_id, module_id};
  view.check();
  check_column("hit_id", hit_id.size(), x.size());
  return view;
}

}  // namespace starling
