#include "starling/track_finder.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "expect_error.h"
#include "starling/error.h"
#include "temporary_folder.h"
#include "track_finder_cases.h"

namespace {

using namespace starling;

InteractionNetworkShape small_shape() {
  InteractionNetworkShape shape;
  shape.hidden = 5;
  shape.steps = 2;
  return shape;
}

// A finder whose weights are all different.
TrackFinder small_finder(const InteractionNetworkShape& shape = small_shape()) {
  TrackFinder finder;
  InteractionNetwork network;
  network.shape = shape;
  float value = 0.f;
  for (const ArrayShape& array : arrays(layers(shape))) {
    for (std::int64_t i = 0; i < array.count(); ++i) network.weights[array.name].push_back(value += 1e-3f);
  }
  finder.network = std::move(network);
  return finder;
}

TEST(TrackFinder, WhatIsSavedIsLoaded) {
  const TemporaryFolder folder;
  for (int variant = 0; variant < 3; ++variant) {
    InteractionNetworkShape shape = small_shape();
    shape.norm = static_cast<Norm>(variant);
    shape.recurrent = variant == 1;
    shape.bias = variant != 1;
    shape.concat = variant != 2;
    shape.node_inputs = 4 + variant;
    TrackFinder finder = small_finder(shape);
    finder.scales = {900.f, 3.f, 1.f / 3.f, 2.f};
    finder.cuts = {TrackBuilder::junction_removal, 0.4f, 0.1f, 0.7f, 4, 6};
    finder.provenance = R"({"seed": 1})";
    finder.save(folder.path() / "m.safetensors");
    const TrackFinder back = TrackFinder::load(folder.path() / "m.safetensors");
    EXPECT_EQ(back.shape(), shape);
    EXPECT_EQ(std::get<InteractionNetwork>(back.network).weights, std::get<InteractionNetwork>(finder.network).weights);
    EXPECT_EQ(back.provenance, finder.provenance);
    EXPECT_EQ(back.scales.z, finder.scales.z);
    EXPECT_EQ(back.scales.phi, finder.scales.phi);
    EXPECT_EQ(back.cuts.builder, finder.cuts.builder);
    EXPECT_EQ(back.cuts.walk_add, finder.cuts.walk_add);
    EXPECT_EQ(back.cuts.min_hits, 4);
    EXPECT_EQ(back.cuts.chain_layers, 6);
  }
}

TEST(TrackFinder, ANetworkInCodesIsSavedLoadedAndRuns) {
  const TemporaryFolder folder;
  TrackFinder finder = small_finder();
  InteractionNetwork network = std::get<InteractionNetwork>(finder.network);
  network.shape.node_inputs = kNodeFeatures;
  LearnedQuantization learned;
  for (const std::string& mlp : mlps(network.shape)) learned.inputs[mlp];
  for (const DenseLayer& layer : layers(network.shape)) learned.layers[layer.name];
  finder.network = quantize(network, learned);
  finder.save(folder.path() / "m.safetensors");
  const TrackFinder back = TrackFinder::load(folder.path() / "m.safetensors");
  EXPECT_TRUE(back.network == finder.network);
  EXPECT_EQ(back.shape(), network.shape);

  HitGraph graph;
  graph.edges = {2, {0, 1}, {1, 0}};
  graph.node_features.assign(2 * kNodeFeatures, 0.3f);
  graph.edge_features.assign(2 * kEdgeFeatures, -0.2f);
  EXPECT_EQ(Session(back.plan()).logits(graph),
            quantized_network_reference(std::get<QuantizedNetwork>(finder.network), network_view(graph)));

  TensorFile file = finder.to_model().to_file();
  file.tensors["more"] = Tensor::of(std::vector<float>{1.f}, {1});
  expect_error(ErrorKind::input, "tensor \"more\" is not part of the architecture",
               [&] { TrackFinder::from_model(Model::from_file(file)); });
}

TEST(TrackFinder, WhatCouldNotBeLoadedIsNotSaved) {
  const TemporaryFolder folder;
  TrackFinder finder = small_finder();
  finder.provenance = "not JSON";
  expect_error(ErrorKind::usage, "provenance", [&] { finder.save(folder.path() / "m"); });
  finder = small_finder();
  std::get<InteractionNetwork>(finder.network).weights["edge_output.1.bias"][0] = std::nanf("");
  expect_error(ErrorKind::usage, "edge_output.1.bias, value 0 is nan", [&] { finder.save(folder.path() / "m"); });
}

TEST(TrackFinder, AWrongFileIsAnInputErrorThatNamesIt) {
  const TensorFile right = small_finder().to_model().to_file();
  const auto load = [](TensorFile file) {
    file.name = "m.safetensors";
    TrackFinder::from_model(Model::from_file(std::move(file)));
  };
  ASSERT_NO_THROW(load(right));
  const auto refused = [&](const std::string& what, const auto& change) {
    TensorFile file = right;
    change(file);
    expect_error(ErrorKind::input, what, [&] { load(file); });
    expect_error(ErrorKind::input, "m.safetensors: ", [&] { load(file); });
  };
  const auto edited = [&](const std::string& key, const std::string& from, const std::string& to,
                          const std::string& what) {
    refused(what, [&](TensorFile& file) {
      std::string& text = file.metadata.at(key);
      ASSERT_NE(text.find(from), std::string::npos) << text;
      text.replace(text.find(from), from.size(), to);
    });
  };
  refused("starling_format is missing", [](TensorFile& file) { file.metadata.erase("starling_format"); });
  refused("kind = \"showers\", expected \"tracking\"", [](TensorFile& file) { file.metadata["kind"] = "showers"; });
  refused("architecture: is missing", [](TensorFile& file) { file.metadata.erase("architecture"); });
  refused("\"cuts\" is not a JSON object", [](TensorFile& file) { file.metadata["cuts"] = "[1"; });
  refused("\"provenance\" is not a JSON object", [](TensorFile& file) { file.metadata["provenance"] = "1"; });
  edited("architecture", "interaction_network", "perceptron", "kind = \"perceptron\", expected");
  edited("architecture", "\"hidden\":5", "\"hidden\":0", "hidden = 0, expected 1..1024");
  edited("architecture", "\"hidden\":5", "\"hidden\":-5", "hidden = -5, expected a whole number");
  edited("architecture", "\"hidden\":5", "\"hidden\":99999999999999999999", "hidden = 1e+20, expected a whole number");
  edited("architecture", "\"hidden\":5", "\"hidden\":6",
         "tensor node_encoder.0.weight has the shape [5,12], expected [6,12]");
  edited("architecture", "\"hidden\":5", "\"width\":5", "hidden is missing");
  edited("architecture", "\"hidden\":5", "\"hidden\":5,\"heads\":2", "unknown key \"heads\"");
  edited("architecture", "\"layer\"", "\"group\"", "norm = \"group\", expected none, layer or batch");
  edited("architecture", "\"bias\":true", "\"bias\":1", "bias = 1, expected true or false");
  edited("windows", "\"version\":1", "\"version\":1,\"max_pt\":2", "windows: unknown key \"max_pt\"");
  edited("windows", "\"version\":1", "\"version\":1,\"version\":1", "\"windows\": key \"version\" is there twice");
  edited("architecture", "\"hidden\":5", "\"hidden\":5,\"hidden\":5",
         "\"architecture\": key \"hidden\" is there twice");
  edited("scales", "\"r\":1000.0", "\"r\":1000.0,\"r\":1000.0", "\"scales\": key \"r\" is there twice");
  edited("cuts", "\"score\":0.5", "\"score\":0.5,\"score\":0.5", "\"cuts\": key \"score\" is there twice");
  refused("\"provenance\": key \"seed\" is there twice",
          [](TensorFile& file) { file.metadata["provenance"] = R"({"runs": [{"seed": 1}, {"seed": 2, "seed": 3}]})"; });
  edited("scales", "\"r\":1000.0", "\"r\":0", "r = 0, expected a number above 0");
  edited("cuts", "walkthrough", "guess", "builder = \"guess\", expected");
  edited("cuts", "\"score\":0.5", "\"score\":1.5", "score = 1.5, expected a number in 0..1");
  refused("tensor edge_output.1.bias is missing", [](TensorFile& file) { file.tensors.erase("edge_output.1.bias"); });
  refused("tensor \"more\" is not part of the architecture",
          [](TensorFile& file) { file.tensors["more"] = Tensor::of(std::vector<float>{1.f}, {1}); });
  refused("tensor edge_output.1.bias is not F32",
          [](TensorFile& file) { file.tensors["edge_output.1.bias"] = Tensor::of(std::vector<std::int32_t>{1}, {1}); });
  for (const float value : {std::nanf(""), INFINITY}) {
    refused("tensor edge_encoder.2.bias, value 3 is ", [&](TensorFile& file) {
      file.tensors["edge_encoder.2.bias"] = Tensor::of(std::vector<float>{0.f, 0.f, 0.f, value, 0.f}, {5});
    });
  }
}

TEST(TrackFinder, SectionsOfAModelInMemoryAreChecked) {
  const Model right = small_finder().to_model();
  for (const auto& [text, what] :
       {std::pair("1", "\"provenance\" is not a JSON object"), std::pair("{", "\"provenance\" is not a JSON object"),
        std::pair(R"({"seed": 1, "seed": 2})", "\"provenance\": key \"seed\" is there twice")}) {
    Model model = right;
    model.content.metadata["provenance"] = text;
    expect_error(ErrorKind::input, what, [&] { TrackFinder::from_model(model); });
  }
  Model model = right;
  model.content.metadata["cuts"].insert(1, "\"score\":0.5,");
  expect_error(ErrorKind::input, "cuts: key \"score\" is there twice", [&] { TrackFinder::from_model(model); });
}

TEST(TrackSession, FindsWhatTheStagesFindOneAfterTheOther) {
  const TrackFinder finder = made_track_finder();
  TrackSession session(finder);
  EXPECT_EQ(session.found().edges.size(), 0);
  for (const double pileup : {5., 0., 9.}) {  // memory grows and is used again
    const Event event = made_event(pileup, 40);
    const HitGraph graph = build_hit_graph(event.hits, finder.windows, finder.scales);
    const std::vector<float> scores = Session(finder.plan()).run(graph);
    const Tracks tracks = build_tracks(graph, scores, finder.cuts), found = session.run(event.hits);
    EXPECT_GT(found.size(), 0);
    EXPECT_EQ(found.row_splits, tracks.row_splits);
    EXPECT_EQ(found.hits, tracks.hits);
    const TrackSession::Found stages = session.found();
    EXPECT_THAT(stages.edges.src, testing::ElementsAreArray(graph.edges.src));
    EXPECT_THAT(stages.edges.dst, testing::ElementsAreArray(graph.edges.dst));
    EXPECT_EQ(stages.edges.num_nodes, event.hits.size());
    EXPECT_THAT(stages.scores, testing::ElementsAreArray(scores));
    EXPECT_EQ(stages.hits_outside, graph.hits_outside);
  }
  EXPECT_EQ(session.run(Hits{}).size(), 0);
  EXPECT_EQ(session.device_bytes(), 0U);
  const Event event = made_event(0, 40);
  const auto plan = finder.plan();
  TrackSession one(finder, plan), two(finder, plan);
  EXPECT_EQ(one.run(event.hits).hits, two.run(event.hits).hits);
}

TEST(TrackSession, RefusesWhatItCannotDo) {
  const TrackFinder finder = made_track_finder();
  expect_error(ErrorKind::usage, "without a plan", [&] { TrackSession(finder, nullptr); });
  expect_error(ErrorKind::usage, "half", [&] { TrackSession(finder, Device::cpu, NumberType::half); });
  TrackSession session(finder);
  const TrackSession other = std::move(session);
  expect_error(ErrorKind::usage, "moved from", [&] { session.run(Hits{}); });
  expect_error(ErrorKind::usage, "moved from", [&] { session.found(); });
  Event event = made_event(0, 1);
  event.hits.y[2] = std::nanf("");
  expect_error(ErrorKind::input, "hit 2", [&] { TrackSession(finder).run(event.hits); });
}

}  // namespace
