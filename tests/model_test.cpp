#include "starling/model.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "data.h"
#include "expect_error.h"
#include "starling/error.h"
#include "starling/track_finder.h"
#include "temporary_folder.h"

namespace {

using namespace starling;

Model example() {
  Model model;
  model.kind = "example";
  model.content.tensors["float"] = Tensor::of(std::vector<float>{1.f, 2.f}, {2});
  model.content.tensors["half"] = Tensor::of(std::vector<float>{1.f, 2.f}, {2}, Tensor::Type::f16);
  model.content.tensors["brain"] = Tensor::of(std::vector<float>{1.f, 2.f}, {2}, Tensor::Type::bf16);
  model.content.tensors["bytes"] = Tensor::of(std::vector<std::int8_t>{-128, 127}, {2});
  model.content.tensors["fours"] = Tensor::of(std::vector<std::int8_t>{-8, 7, 1, 2, 3, 4}, {2, 3}, Tensor::Type::i4);
  model.content.tensors["twos"] = Tensor::of(std::vector<std::int8_t>{-2, -1, 0, 1, 1}, {1, 5}, Tensor::Type::i2);
  model.content.metadata["settings"] = R"({"a": 1})";
  return model;
}

std::string bytes_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(Model, EveryTypeComesBack) {
  const TemporaryFolder folder;
  const Model model = example();
  model.save(folder.path() / "m");
  const Model back = Model::load(folder.path() / "m");
  EXPECT_EQ(back.kind, "example");
  EXPECT_EQ(back.section("settings"), R"({"a": 1})");
  EXPECT_EQ(back.content.metadata.size(), 1u);
  ASSERT_EQ(back.content.tensors.size(), model.content.tensors.size());
  for (const auto& [name, tensor] : model.content.tensors) {
    const Tensor& other = back.content.at(name);
    EXPECT_TRUE(other.type == tensor.type) << name;
    EXPECT_EQ(other.shape, tensor.shape) << name;
    EXPECT_EQ(other.bytes, tensor.bytes) << name;
  }
  back.save(folder.path() / "again");
  EXPECT_EQ(bytes_of(folder.path() / "again"), bytes_of(folder.path() / "m"));
}

TEST(Model, AnyReaderOfSafetensorsReadsIt) {
  const TemporaryFolder folder;
  example().save(folder.path() / "m");
  const TensorFile file = read_safetensors(folder.path() / "m");
  EXPECT_EQ(file.metadata.at("starling_format"), "2");
  EXPECT_TRUE(file.at("fours").type == Tensor::Type::u8);
  EXPECT_EQ(file.at("fours").shape, (std::vector<std::int64_t>{2, 2}));
}

TEST(Model, AFileOfFormatOneLoads) {
  const std::filesystem::path file = std::filesystem::path(STARLING_SOURCE_DIR) / "models" / "tracking.safetensors";
  const Model model = Model::load(file);
  EXPECT_EQ(model.kind, "");
  // What is loaded goes out as format 2 and comes back the same.
  const TemporaryFolder folder;
  const TrackFinder finder = TrackFinder::from_model(model);
  finder.save(folder.path() / "m");
  const Model again = Model::load(folder.path() / "m");
  EXPECT_EQ(again.kind, "tracking");
  ASSERT_EQ(again.content.tensors.size(), model.content.tensors.size());
  for (const auto& [name, tensor] : model.content.tensors)
    EXPECT_EQ(again.content.at(name).bytes, tensor.bytes) << name;
  EXPECT_EQ(again.section("windows"), model.section("windows"));
  EXPECT_EQ(again.section("provenance"), model.section("provenance"));
  const TrackFinder back = TrackFinder::from_model(again);
  EXPECT_EQ(to_json(back.cuts), to_json(finder.cuts));
  EXPECT_EQ(back.shape(), finder.shape());
}

TEST(Model, AWrongFileIsAnInputErrorThatNamesIt) {
  const TensorFile right = example().to_file();
  ASSERT_NO_THROW(Model::from_file(right));
  const auto refused = [&](const std::string& what, const std::function<void(TensorFile&)>& change) {
    TensorFile file = right;
    file.name = "m.safetensors";
    change(file);
    expect_error(ErrorKind::input, what, [&] { Model::from_file(file); });
    expect_error(ErrorKind::input, "m.safetensors: ", [&] { Model::from_file(file); });
  };
  const auto packed = [&](const std::string& what, const std::string& text) {
    refused(what, [&](TensorFile& file) { file.metadata["packed"] = text; });
  };
  refused("starling_format is missing", [](TensorFile& file) { file.metadata.erase("starling_format"); });
  refused("starling_format = \"3\", expected \"1\" or \"2\"",
          [](TensorFile& file) { file.metadata["starling_format"] = "3"; });
  refused("kind is missing", [](TensorFile& file) { file.metadata.erase("kind"); });
  refused("kind = \"\", expected", [](TensorFile& file) { file.metadata["kind"] = ""; });
  refused("\"settings\" is not a JSON object", [](TensorFile& file) { file.metadata["settings"] = "{"; });
  for (const std::size_t levels : {std::size_t{64}, std::size_t{100000}}) {
    refused("\"settings\" nests deeper than 64 levels", [&](TensorFile& file) {
      file.metadata["settings"] = "{\"a\": " + std::string(levels, '[') + std::string(levels, ']') + "}";
    });
  }
  refused("unused bits of a row are not 0",
          [](TensorFile& file) { file.tensors["fours"].bytes[1] |= std::byte{0x80}; });
  packed("\"packed\" is not a JSON object", "[]");
  packed("packed: tensor \"none\": is missing", R"({"none": {"type": "I4", "columns": 3}})");
  packed("packed: tensor \"float\": expected an array of U8", R"({"float": {"type": "I4", "columns": 3}})");
  packed("2 bytes per row, expected 3 for 5 I4", R"({"fours": {"type": "I4", "columns": 5}})");
  packed("type = \"I3\", expected I4 or I2", R"({"fours": {"type": "I3", "columns": 3}})");
  packed("columns = -3, expected a whole number", R"({"fours": {"type": "I4", "columns": -3}})");
  packed("columns is missing", R"({"fours": {"type": "I4"}})");
  packed("unknown key \"rows\"", R"({"fours": {"type": "I4", "columns": 3, "rows": 2}})");
  packed("is not a JSON object", R"({"fours": 4})");
}

TEST(Model, WhatCouldNotBeLoadedIsNotSaved) {
  const auto refused = [](const std::string& what, const std::function<void(Model&)>& change) {
    Model model = example();
    change(model);
    expect_error(ErrorKind::usage, what, [&] { model.to_file(); });
  };
  refused("without a kind", [](Model& model) { model.kind = ""; });
  refused("\"settings\" is not a JSON object", [](Model& model) { model.content.metadata["settings"] = "1"; });
  refused("section packed: a reserved name", [](Model& model) { model.content.metadata["packed"] = "{}"; });
  refused("tensor \"fours\": its bytes do not fit",
          [](Model& model) { model.content.tensors["fours"].bytes.pop_back(); });
}

TEST(Model, ASectionThatIsNotThereIsNamed) {
  expect_error(ErrorKind::input, "cuts: is missing", [] { (void)example().section("cuts"); });
}

}  // namespace
