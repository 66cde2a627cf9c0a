#include "reconstruct_events.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "environment.h"

namespace starling::cli {

void add_written(nlohmann::ordered_json& line, const std::vector<WrittenFile>& written) {
  for (const WrittenFile& file : written) {
    const std::string label = file.label;
    line[label == "picture" ? label : label + "_file"] = file.path.string();
  }
}

void print_sum(const Reconstruction& options, const ReconstructionSum& sum, const std::string& found,
               const std::vector<WrittenFile>& written) {
  std::printf("\n%zu %s, %lld hits, %lld %s in %.2f s; at most %.2f GB of memory", sum.events,
              sum.events == 1 ? "event" : "events", static_cast<long long>(sum.hits), static_cast<long long>(sum.found),
              (found + (sum.found == 1 ? "" : "s")).c_str(), sum.seconds, static_cast<double>(peak_memory()) / 1e9);
  if (sum.device_bytes > 0) std::printf(", %.2f GB of the GPU's", static_cast<double>(sum.device_bytes) / 1e9);
  std::printf("\n");
  std::size_t longest = std::string("picture").size();  // whether or not there is one
  for (const WrittenFile& file : written) longest = std::max(longest, std::string(file.label).size());
  for (const WrittenFile& file : written) {
    const std::filesystem::path path = sum.events == 1 ? file.path : options.out / (std::string("<event>") + file.end);
    std::printf("%-*s %s\n", static_cast<int>(longest) + 1, (std::string(file.label) + ":").c_str(), path.c_str());
  }
}

}  // namespace starling::cli
