#pragma once

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data.h"

// Clouds of the shared data for tests of neighbours. A test that reads them needs knn_clouds, hgcalml_feat and
// trackml_ev1000_barrel.
namespace starling {

struct RealCloud {
  std::string name;
  int dimensions;
  int k;  ///< of a search worth testing
  std::vector<float> points;
};

inline std::vector<float> read_text(const std::filesystem::path& path, bool header) {
  std::ifstream file(path);
  double x = 0;
  if (header) file >> x;
  std::vector<float> values;
  while (file >> x) values.push_back(static_cast<float>(x));
  return values;
}

inline std::vector<float> read_floats(const std::filesystem::path& path, std::streamoff skip) {
  std::ifstream file(path, std::ios::binary);
  std::vector<float> values((std::filesystem::file_size(path) - static_cast<std::size_t>(skip)) / sizeof(float));
  file.seekg(skip);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(float)));
  return values;
}

/// x, y and z of a file of hits.
inline std::vector<float> read_hits(const std::filesystem::path& path) {
  std::ifstream hits(path);
  std::vector<float> points;
  std::string line;
  std::getline(hits, line);
  while (std::getline(hits, line)) {
    const char* at = line.c_str();
    for (int column = 0; column < 4; ++column) {
      if (column > 0) points.push_back(std::strtof(at, nullptr));
      at = std::strchr(at, ',') + 1;
    }
  }
  return points;
}

inline std::vector<RealCloud> real_clouds() {
  const std::filesystem::path folder = data_folder();
  return {{"bunny", 3, 64, read_text(folder / "knn_clouds/bunny.pts", true)},
          {"final8", 8, 40, read_text(folder / "knn_clouds/final8_10K.txt", false)},
          {"milk carton", 3, 16, read_floats(folder / "knn_clouds/milk_cartoon_all_small_clorox.xyz.f32", 0)},
          {"calorimeter", 9, 40, read_floats(folder / "hgcalml_feat/np_0_feat_0.npy", 128)},
          {"hits", 3, 64, read_hits(folder / "trackml_ev1000_barrel/event000001000-hits.csv")}};
}

}  // namespace starling
