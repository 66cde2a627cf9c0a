#include "sensitivity_trials.h"

#include <oneapi/tbb/parallel_for.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "starling/error.h"

namespace starling::cli {
namespace {

// "edge_network.3.1": the MLP edge_network.3, place 1.
std::string mlp_of(const std::string& layer) { return layer.substr(0, layer.rfind('.')); }
int place_of(const std::string& layer) { return std::stoi(layer.substr(layer.rfind('.') + 1)); }
std::string before(const std::string& layer) { return mlp_of(layer) + '.' + std::to_string(place_of(layer) - 1); }

// The weighted cross-entropy of training: log(1 + exp(x)) - label · x, divided by the sum of the weights' magnitudes.
double edge_loss(const std::vector<float>& logits, const std::vector<float>& labels,
                 const std::vector<float>& weights) {
  double loss = 0, sum = 0;
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const double x = logits[e];
    loss += weights[e] * (std::max(x, 0.) + std::log1p(std::exp(-std::abs(x))) - labels[e] * x);
    sum += std::abs(weights[e]);
  }
  return sum > 0 ? loss / sum : 0;
}

// All but the smallest weights; of equal ones the first go.
std::vector<std::uint8_t> kept_weights(const std::vector<float>& weight, double pruned) {
  std::vector<std::size_t> order(weight.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return std::abs(weight[a]) < std::abs(weight[b]); });
  std::vector<std::uint8_t> kept(weight.size(), 1);
  const auto count = static_cast<std::size_t>(std::lround(pruned * static_cast<double>(weight.size())));
  for (std::size_t i = 0; i < count; ++i) kept[order[i]] = 0;
  return kept;
}

std::int64_t nodes_on_edges(const EdgeList& edges) {
  std::vector<std::uint8_t> on(static_cast<std::size_t>(edges.num_nodes), 0);
  for (const std::int32_t node : edges.src) on[static_cast<std::size_t>(node)] = 1;
  for (const std::int32_t node : edges.dst) on[static_cast<std::size_t>(node)] = 1;
  return std::count(on.begin(), on.end(), 1);
}

}  // namespace

SensitivityTrials::SensitivityTrials(const TrackFinder& finder, const LossWeights& weights)
    : windows_(finder.windows), scales_(finder.scales), weights_(weights) {
  const auto* const network = std::get_if<InteractionNetwork>(&finder.network);
  if (network == nullptr) throw Error(ErrorKind::usage, "the model is in codes already: expected one in float");
  network_ = *network;
  for (const LayerCost& cost : layer_costs(network_)) {
    if (cost.macs_per_node + cost.macs_per_edge > 0) layers_.push_back(cost.name);
  }
  for (const std::string& mlp : mlps(network_.shape)) thresholds_.inputs[mlp].bits = kMostBits;
  for (const DenseLayer& layer : starling::layers(network_.shape)) {
    LearnedQuantization::Layer& one = thresholds_.layers[layer.name];
    one.weight_bits = one.output_bits = kMostBits;
    one.bias_bits = 32;
  }
}

void SensitivityTrials::add(const Event& event, const TargetCuts& target) {
  const TruthTable table = truth_table(event, target);
  Sample sample;
  sample.graph = build_hit_graph(event.hits, windows_, scales_);
  sample.truth = edge_truth(sample.graph.edges, table);
  for (std::size_t e = 0; e < sample.graph.edges.src.size(); ++e) {
    const bool same = sample.truth.same_particle[e] != 0;
    sample.labels.push_back(same ? 1.f : 0.f);
    sample.weights.push_back(static_cast<float>(sample.truth.unknown[e] != 0  ? 0.
                                                : !same                       ? weights_.fake
                                                : sample.truth.target[e] != 0 ? weights_.target
                                                                              : weights_.other));
  }
  // Batch normalisation counts the nodes without edges; otherwise they are left out.
  nodes_ += static_cast<double>(network_.shape.norm == Norm::batch ? sample.graph.edges.num_nodes
                                                                   : nodes_on_edges(sample.graph.edges));
  edges_ += static_cast<double>(sample.graph.edges.src.size());
  samples_.push_back(std::move(sample));
}

void SensitivityTrials::calibrate(std::size_t events) {
  std::vector<GraphView> graphs;
  for (std::size_t i = 0; i < std::min(events, samples_.size()); ++i) graphs.push_back(network_view(samples_[i].graph));
  starling::calibrate(network_, graphs, thresholds_);
}

bool SensitivityTrials::reads_features(const std::string& layer) {
  return layer == "node_encoder.0" || layer == "edge_encoder.0";
}

QuantizedNetwork SensitivityTrials::network(const std::vector<std::pair<std::string, LayerSetting>>& settings) const {
  LearnedQuantization learned = thresholds_;
  for (const auto& [layer, setting] : settings) {
    LearnedQuantization::Layer& one = learned.layers.at(layer);
    one.weight_bits = setting.bits;
    if (place_of(layer) > 0) {
      learned.layers.at(before(layer)).output_bits = setting.bits;
    } else if (!reads_features(layer)) {
      learned.inputs.at(mlp_of(layer)).bits = setting.bits;
    }
    if (setting.pruned > 0) one.kept = kept_weights(network_.weights.at(layer + ".weight"), setting.pruned);
  }
  return quantize(network_, learned);
}

double SensitivityTrials::bops(const std::vector<LayerCost>& costs) const {
  double sum = 0;
  for (const LayerCost& cost : costs) sum += nodes_ * cost.bops_per_node + edges_ * cost.bops_per_edge;
  return sum / static_cast<double>(samples_.size());
}

// Losses and counts are summed in the order of the events, on any number of threads.
Measured SensitivityTrials::measure(const std::shared_ptr<const EdgePlan>& plan,
                                    const std::vector<LayerCost>& costs) const {
  std::vector<Measured> of_events(samples_.size());
  oneapi::tbb::parallel_for(std::size_t{0}, samples_.size(), [&](std::size_t i) {
    const Sample& sample = samples_[i];
    std::vector<float> values = Session(plan).logits(sample.graph);
    of_events[i].loss = edge_loss(values, sample.labels, sample.weights);
    if (!values.empty()) {
      edge_scores(values.data(), static_cast<std::int64_t>(values.size()), nullptr, values.data(), {});
    }
    of_events[i].edges = count_edges(sample.truth, values, 0.5f);
  });
  Measured sum;
  for (const Measured& one : of_events) {
    sum.loss += one.loss / static_cast<double>(samples_.size());
    sum.edges += one.edges;
  }
  sum.bops = bops(costs);
  return sum;
}

Measured SensitivityTrials::measure(const QuantizedNetwork& network) const {
  return measure(std::make_shared<QuantizedPlan>(network), layer_costs(network));
}

Measured SensitivityTrials::measure_float() const {
  return measure(std::make_shared<Plan>(network_), layer_costs(network_));
}

Trial SensitivityTrials::measure(const std::string& layer, const LayerSetting& setting) const {
  const QuantizedNetwork changed = network({{layer, setting}});
  Trial trial{layer, setting, measure(changed), 0};
  for (const LayerCost& cost : layer_costs(changed)) {
    if (cost.name == layer) trial.layer_bops = bops(cost);
  }
  return trial;
}

BitAssignment assign_bits(const std::vector<std::pair<std::string, double>>& full_bops,
                          const std::vector<Trial>& trials, double base_loss, double most) {
  struct State {
    int bits = SensitivityTrials::kMostBits;
    double bops = 0, loss = 0;  ///< loss: added to that of 12 bits
  };
  std::vector<State> states;
  for (const auto& [layer, bops] : full_bops) states.push_back({SensitivityTrials::kMostBits, bops, 0});
  double added = 0;
  for (;;) {
    std::size_t best_layer = states.size();
    State best;
    double best_rate = 0;
    for (const Trial& trial : trials) {
      const auto found = std::find_if(full_bops.begin(), full_bops.end(),
                                      [&](const auto& layer) { return layer.first == trial.layer; });
      const auto at = static_cast<std::size_t>(found - full_bops.begin());
      const State& now = states[at];
      // NaN stays NaN, and fits nowhere.
      const State next{trial.setting.bits, trial.layer_bops, std::max(trial.measured.loss - base_loss, 0.)};
      const double saved = now.bops - next.bops, more = next.loss - now.loss;
      if (next.bits >= now.bits || saved <= 0 || !(base_loss + added + more <= most)) continue;
      const double rate = saved / std::max(more, 1e-12);
      if (rate <= best_rate) continue;
      best_rate = rate;
      best_layer = at;
      best = next;
    }
    if (best_layer == states.size()) break;
    added += best.loss - states[best_layer].loss;
    states[best_layer] = best;
  }
  BitAssignment result;
  for (std::size_t i = 0; i < states.size(); ++i) result.bits.emplace_back(full_bops[i].first, states[i].bits);
  result.predicted_loss = base_loss + added;
  return result;
}

std::string to_toml(const BitAssignment& assignment, const InteractionNetworkShape& shape) {
  const auto bits_of = [&](const std::string& layer) {
    for (const auto& [name, bits] : assignment.bits) {
      if (name == layer) return bits;
    }
    return SensitivityTrials::kMostBits;
  };
  std::string text = "[quantization]\nbits = 12\nfeatures = 12\nbiases = 32\n";
  const std::vector<DenseLayer> all = starling::layers(shape);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const std::string& name = all[i].name;
    const bool read_in_mlp = i + 1 < all.size() && mlp_of(all[i + 1].name) == mlp_of(name);
    const int weights = bits_of(name), read = read_in_mlp ? bits_of(all[i + 1].name) : SensitivityTrials::kMostBits;
    std::string other;
    const auto add = [&](const char* key, int bits) {
      if (bits != SensitivityTrials::kMostBits) other += key + std::string(" = ") + std::to_string(bits) + '\n';
    };
    add("weights", weights);
    if (place_of(name) == 0 && !SensitivityTrials::reads_features(name)) add("inputs", weights);
    add("activations", read);
    if (!other.empty()) text += "\n[[quantization.layer]]\nname = \"" + name + "\"\n" + other;
  }
  return text;
}

}  // namespace starling::cli
