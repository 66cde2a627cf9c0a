// Times reading and writing the hits of one event against plain C++ streams. bench/read_event.py runs this and adds
// pandas.read_csv.
//
//   build/release/bench/bench_read_event [PREFIX]

#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "starling/error.h"
#include "starling/event.h"
#include "timing.h"

namespace {

using namespace starling;
namespace fs = std::filesystem;

// What one would write without thinking about speed: a line, a stream on it, a number at a time.
Hits read_with_streams(const fs::path& file) {
  Hits hits;
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  while (std::getline(in, line)) {
    std::istringstream fields(line);
    std::int64_t hit_id = 0;
    std::int32_t volume_id = 0, layer_id = 0, module_id = 0;
    float x = 0, y = 0, z = 0;
    char comma = 0;
    fields >> hit_id >> comma >> x >> comma >> y >> comma >> z >> comma >> volume_id >> comma >> layer_id >> comma >>
        module_id;
    hits.hit_id.push_back(hit_id);
    hits.x.push_back(x);
    hits.y.push_back(y);
    hits.z.push_back(z);
    hits.volume_id.push_back(volume_id);
    hits.layer_id.push_back(layer_id);
    hits.module_id.push_back(module_id);
  }
  return hits;
}

void write_with_streams(const fs::path& file, const Hits& h) {
  std::ofstream out(file);
  out.precision(9);
  out << "hit_id,x,y,z,volume_id,layer_id,module_id\n";
  for (std::size_t i = 0; i < h.hit_id.size(); ++i) {
    out << h.hit_id[i] << ',' << h.x[i] << ',' << h.y[i] << ',' << h.z[i] << ',' << h.volume_id[i] << ','
        << h.layer_id[i] << ',' << h.module_id[i] << '\n';
  }
}

void row(const char* what, double ms, double ours) { std::printf("%-34s %9.1f ms %8.1fx\n", what, ms, ms / ours); }

}  // namespace

int main(int argc, char** argv) try {
  const char* const data = std::getenv("STARLING_DATA");
  const fs::path prefix = argc > 1
                              ? fs::path(argv[1])
                              : (data != nullptr ? fs::path(data) : fs::path(STARLING_SOURCE_DIR) / "../shared/data") /
                                    "trackml_full/event000001005";
  const fs::path file = prefix.string() + "-hits.csv";
  const Event event = read_event(prefix, {.truth = false});
  const Hits plain = read_with_streams(file);
  if (plain.hit_id != event.hits.hit_id || plain.x != event.hits.x || plain.module_id != event.hits.module_id) {
    std::fprintf(stderr, "%s: the two readers disagree\n", file.c_str());
    return 1;
  }

  print_machine();
  std::printf("%s: %d hits, one thread, best of 20 (streams: 3)\n", fs::weakly_canonical(file).filename().c_str(),
              event.hits.size());
  const double ours = best_ms(20, [&] { read_event(prefix, {.truth = false}); });
  row("starling::read_event", ours, ours);
  row("ifstream, getline, istringstream", best_ms(3, [&] { read_with_streams(file); }), ours);

  const fs::path folder = fs::temp_directory_path() / "starling-bench-read-event";
  const double writing = best_ms(20, [&] { write_event(folder, event); });
  row("starling::write_event", writing, writing);
  row("ofstream <<", best_ms(3, [&] { write_with_streams(folder / "plain.csv", event.hits); }), writing);
  fs::remove_all(folder);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 3;
}
