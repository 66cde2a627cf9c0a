#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>

#include <nanoflann.hpp>
#include <stdexcept>

#include "neighbors.h"

namespace {

struct Cloud {
  const float* points;
  std::int32_t n;
  int dimensions;
  std::size_t kdtree_get_point_count() const { return static_cast<std::size_t>(n); }
  float kdtree_get_pt(std::size_t i, std::size_t d) const {
    return points[i * static_cast<std::size_t>(dimensions) + d];
  }
  template <class Box>
  bool kdtree_get_bbox(Box&) const {
    return false;
  }
};

template <int kDimensions>
void run(const Cloud& cloud, int k, std::int32_t* index, float* distance2) {
  using Tree = nanoflann::KDTreeSingleIndexAdaptor<nanoflann::L2_Simple_Adaptor<float, Cloud, float, std::int32_t>,
                                                   Cloud, kDimensions, std::int32_t>;
  const Tree tree(kDimensions, cloud, nanoflann::KDTreeSingleIndexAdaptorParams(10));
  tbb::parallel_for(tbb::blocked_range<std::int32_t>(0, cloud.n, 64), [&](const auto& rows) {
    for (std::int32_t row = rows.begin(); row < rows.end(); ++row) {
      const auto at = static_cast<std::size_t>(row) * static_cast<std::size_t>(k);
      nanoflann::KNNResultSet<float, std::int32_t> result(static_cast<std::size_t>(k));
      result.init(index + at, distance2 + at);
      tree.findNeighbors(result, cloud.points + static_cast<std::size_t>(row) * kDimensions, nanoflann::SearchParams());
    }
  });
}

}  // namespace

void nanoflann_knn(const float* points, std::int32_t n, int dimensions, int k, std::int32_t* index, float* distance2) {
  const Cloud cloud{points, n, dimensions};
  switch (dimensions) {
    case 2:
      return run<2>(cloud, k, index, distance2);
    case 3:
      return run<3>(cloud, k, index, distance2);
    case 4:
      return run<4>(cloud, k, index, distance2);
    case 6:
      return run<6>(cloud, k, index, distance2);
    case 8:
      return run<8>(cloud, k, index, distance2);
    case 10:
      return run<10>(cloud, k, index, distance2);
    default:
      throw std::invalid_argument("dimensions is " + std::to_string(dimensions) + ": expected 2, 3, 4, 6, 8 or 10");
  }
}

std::string nanoflann_version() {
  char text[16];
  std::snprintf(text, sizeof(text), "%x.%x.%x", NANOFLANN_VERSION >> 8 & 0xF, NANOFLANN_VERSION >> 4 & 0xF,
                NANOFLANN_VERSION & 0xF);
  return text;
}
