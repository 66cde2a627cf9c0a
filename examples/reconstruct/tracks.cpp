// The way of one event, from hits to tracks.
#include <starling/error.h>
#include <starling/event.h>
#include <starling/hit_graph.h>
#include <starling/track_finder.h>
#include <starling/tracks.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: reconstruct_tracks MODEL EVENT TRACKS.csv\n");
    return 2;
  }
  try {
    const starling::TrackFinder finder = starling::TrackFinder::load(argv[1]);
    const starling::Event event = starling::read_event(argv[2]);
    const starling::HitGraph graph = starling::build_hit_graph(event.hits, finder.windows, finder.scales);
    const std::vector<float> scores = starling::Session(finder.plan()).run(graph);
    const starling::Tracks tracks = starling::build_tracks(graph, scores, finder.cuts);
    starling::write_tracks(argv[3], event.hits, tracks);
    std::printf("%d hits, %ld edges, %d tracks\n", event.hits.size(), static_cast<long>(graph.edges.size()),
                tracks.size());
    return 0;
  } catch (const starling::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return error.exit_code();
  }
}
