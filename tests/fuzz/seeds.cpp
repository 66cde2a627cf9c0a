// Writes the first inputs of the fuzz targets: fuzz_seeds FOLDER.

#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "starling/safetensors.h"

namespace {

using namespace starling;
namespace fs = std::filesystem;

void put(const fs::path& file, const std::string& content) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << content;
}

std::string gzip(const std::string& content) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void event_seeds(const fs::path& folder) {
  const std::string hits =
      "hit_id,x,y,z,volume_id,layer_id,module_id\n1,-32.5544,1e-3,-469.865,8,2,1\n9000000000,0,.5,+3,13,4,12\n";
  const std::string truth = "hit_id,particle_id,tx,weight\n9000000000,-1,0,0.5\n1,824163129872097282,1,1e-60\n";
  const std::string particles =
      "particle_id,vx,vy,vz,px,py,pz,q,nhits,particle_type,primary\n824163129872097282,0,0,-5.1,1,2,3,-1,8,211,1\n";
  const std::string cells = "hit_id,ch0,ch1,value\n1,274,839,0.295811\n1,275,839,0.1\n";
  const std::string known = "hit_id,track\n1,0\n9000000000,-1\n", tracks = "hit_id,track_id\n1,-1\n9000000000,7\n";
  const std::string rs = "\x1e";
  put(folder / "plain", hits + rs + truth + rs + particles + rs + cells + rs + known + rs + tracks);
  put(folder / "gzip", gzip(hits) + rs + gzip(truth));
  put(folder / "windows", "\xef\xbb\xbf\"hit_id\" ,x,y,z,volume_id,layer_id,module_id\r\n\r\n\"1\",1,2,3,4,5,6");
}

void model_seeds(const fs::path& folder) {
  fs::create_directories(folder);
  TensorFile file;
  file.tensors["a.weight"] = Tensor::of(std::vector<float>{1, 2, 3, 4, 5, 6}, {2, 3});
  file.tensors["empty"] = Tensor::of(std::vector<std::int32_t>{}, {0, 7});
  file.metadata["note"] = "two\nlines";
  write_safetensors(folder / "tensors", file);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  event_seeds(fs::path(argv[1]) / "event");
  model_seeds(fs::path(argv[1]) / "model");
  return 0;
}
