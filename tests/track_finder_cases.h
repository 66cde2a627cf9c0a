#pragma once

#include <cstdint>
#include <random>
#include <utility>

#include "starling/detector.h"
#include "starling/event.h"
#include "starling/simulate.h"
#include "starling/track_finder.h"

// Finders of tracks and events that host and device, library and program are tested with.
namespace starling {

/// A simulated event.
inline Event made_event(double pileup, std::uint64_t number) {
  static const Detector detector = read_detector(STARLING_SOURCE_DIR "/detectors/trackml.toml");
  SimulationSettings settings;
  settings.pileup = pileup;
  return simulate_event(detector, settings, number);
}

/// A finder with windows and random weights: good for nothing, but complete.
inline TrackFinder made_track_finder() {
  TrackFinder finder;
  InteractionNetwork network;
  network.shape.hidden = 8;
  network.shape.steps = 2;
  WindowSettings windows;
  windows.events = 6;
  windows.background_events = 2;
  finder.windows = learn_windows([](std::uint64_t event) { return made_event(5, event); }, windows);
  std::mt19937 random(1);
  for (const DenseLayer& layer : layers(network.shape)) {
    auto& weight = network.weights[layer.name + ".weight"];
    for (int i = 0; i < layer.in * layer.out; ++i) {
      weight.push_back((static_cast<float>(random()) / 4294967296.0F - 0.5F) * 4.0F / static_cast<float>(layer.in));
    }
    network.weights[layer.name + ".bias"].assign(static_cast<std::size_t>(layer.out), 0.2F);
  }
  finder.network = std::move(network);
  finder.provenance = R"({"data": "random weights"})";
  return finder;
}

}  // namespace starling
