#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "gravnet/check.h"
#include "gravnet/shape.h"
#include "starling/error.h"
#include "starling/gravnet.h"

namespace starling {
namespace gravnet {
namespace {

using Row = std::vector<double>;
using Matrix = std::vector<Row>;  // one row per hit

class Reference {
 public:
  Reference(const GravNet& network, const GravNetHits& hits) : network_(network), hits_(hits) {
    for (DenseLayer& layer : layers(network.shape)) all_.push_back(std::move(layer));
  }

  Matrix run() const {
    const GravNetShape& shape = network_.shape;
    Matrix x(static_cast<std::size_t>(hits_.num_hits));
    for (std::size_t i = 0; i < x.size(); ++i) {
      const float* const row = hits_.features + i * static_cast<std::size_t>(shape.inputs);
      x[i].assign(row, row + shape.inputs);
    }
    x = linear("fc2", linear("fc1", x));
    Matrix joined(x.size());
    for (int block = 0; block < shape.blocks; ++block) {
      const std::string graph = "gravnet_layers." + std::to_string(block),
                        dense = "dense_after_gravnet." + std::to_string(block);
      const Matrix own = linear(graph + ".lin_out1", x);
      const Matrix gathered =
          linear(graph + ".lin_out2", aggregates(linear(graph + ".lin_s", x), linear(graph + ".lin_h", x)));
      x = own;
      for (std::size_t i = 0; i < x.size(); ++i) {
        for (std::size_t c = 0; c < x[i].size(); ++c) x[i][c] += gathered[i][c];
      }
      for (const char* const layer : {".0", ".2", ".4"}) x = linear(dense + layer, x);
      for (std::size_t i = 0; i < x.size(); ++i) joined[i].insert(joined[i].end(), x[i].begin(), x[i].end());
    }
    return linear("fc4", linear("fc3", shape.concat ? joined : x));
  }

 private:
  Matrix linear(const std::string& name, const Matrix& in) const {
    const DenseLayer& layer =
        *std::find_if(all_.begin(), all_.end(), [&](const DenseLayer& one) { return one.name == name; });
    const std::vector<float>& weight = network_.weights.at(name + ".weight");
    Matrix out;
    for (const Row& row : in) {
      Row& y = out.emplace_back(layer.out);
      for (int o = 0; o < layer.out; ++o) {
        double sum = layer.bias ? double{network_.weights.at(name + ".bias")[o]} : 0.;
        for (int i = 0; i < layer.in; ++i) sum += double{weight[std::size_t(o) * layer.in + i]} * row[i];
        y[o] = layer.relu && sum < 0. ? 0. : sum;
      }
    }
    return out;
  }

  // Mean and maximum of the messages from the k nearest of the same event, the hit itself first.
  Matrix aggregates(const Matrix& s, const Matrix& h) const {
    Matrix out(s.size());
    for (std::int32_t event = 0; event < hits_.num_events; ++event) {
      const bool whole = hits_.row_splits == nullptr;
      const std::int32_t begin = whole ? 0 : hits_.row_splits[event],
                         end = whole ? hits_.num_hits : hits_.row_splits[event + 1];
      for (std::int32_t i = begin; i < end; ++i) out[i] = aggregate(s, h, i, begin, end);
    }
    return out;
  }

  Row aggregate(const Matrix& s, const Matrix& h, std::int32_t i, std::int32_t begin, std::int32_t end) const {
    std::vector<double> distance2(static_cast<std::size_t>(end - begin));
    for (std::int32_t j = begin; j < end; ++j) {
      for (std::size_t d = 0; d < s[i].size(); ++d) {
        distance2[j - begin] += (s[i][d] - s[j][d]) * (s[i][d] - s[j][d]);
      }
    }
    distance2[i - begin] = -1;  // before its duplicates
    std::vector<std::int32_t> order(distance2.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) { return distance2[a] < distance2[b]; });
    distance2[i - begin] = 0;
    order.resize(std::min<std::size_t>(order.size(), network_.shape.k));

    const std::size_t width = h[i].size();
    Row row(2 * width);
    for (std::size_t f = 0; f < width; ++f) {
      double sum = 0., most = -INFINITY;
      for (const std::int32_t j : order) {
        const double message = std::exp(-double{network_.shape.factor} * distance2[j]) * h[begin + j][f];
        sum += message;
        most = std::max(most, message);
      }
      const double own = network_.shape.subtract ? h[i][f] : 0., sign = network_.shape.subtract ? -1. : 1.;
      row[f] = own + sign * sum / double(order.size());
      row[width + f] = own + sign * most;
    }
    return row;
  }

  const GravNet& network_;
  const GravNetHits& hits_;
  std::vector<DenseLayer> all_;
};

}  // namespace
}  // namespace gravnet

std::vector<double> gravnet_reference(const GravNet& network, const GravNetHits& hits) {
  gravnet::checked(network);
  gravnet::check_hits(hits, &network.weights.at("fc4.bias")[0], "gravnet_reference");
  gravnet::check_splits(hits, "gravnet_reference");
  std::vector<double> out;
  for (const gravnet::Row& row : gravnet::Reference(network, hits).run()) out.insert(out.end(), row.begin(), row.end());
  return out;
}

}  // namespace starling
