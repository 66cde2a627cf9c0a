// The way of one event, from calorimeter hits to showers.
#include <starling/calorimeter.h>
#include <starling/error.h>
#include <starling/shower_finder.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: reconstruct_showers MODEL EVENT CLUSTERS.csv PARTICLES.csv\n");
    return 2;
  }
  try {
    const starling::ShowerFinder finder = starling::ShowerFinder::load(argv[1]);
    const starling::CalorimeterEvent event = starling::read_calorimeter_event(argv[2]);
    const starling::FoundShowers showers = starling::ShowerSession(finder).run(event.hits);
    starling::write_showers(argv[3], argv[4], event.hits.hit_id, showers, finder.outputs.classes);
    std::printf("%d hits, %d showers\n", event.hits.size(), showers.size());
    return 0;
  } catch (const starling::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}
