#include <cuda_runtime.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "cuda/call.h"
#include "interaction_step/backends.h"
#include "interaction_step/cuda/rows.h"
#include "memory/layout.h"

// How the kernels follow each other. Forward: products of nodes with the first layer of the edge network, edges,
// message sums, nodes. Backward: message sums, nodes, products of nodes, edges, sums of their gradients over the edges
// of each node, products of these. Gradients of weights follow the rows that they add up, chunk by chunk, so that what
// the kernels of rows leave for them stays small.
namespace starling::interactionstep::cuda {
namespace {

/// At most this of an array of a chunk: so memory stays small. Half of it takes a tenth longer.
constexpr std::int64_t kChunkBytes = std::int64_t{16} << 20;
/// Rows of a part of the gradient of weights; its blocks are parts times squares of 4096 numbers or fewer, as many as
/// an H100 runs at once.
constexpr int kRowsPerPart = 256, kMaxBlocks = 264;

template <typename... T>
constexpr bool kAnyBFloat16 = (std::is_same_v<T, BFloat16> || ...);

template <typename... T>
Product product_of(bool tf32) {
  if (kAnyBFloat16<T...>) return Product::bfloat16;
  return tf32 ? Product::tf32 : Product::split;
}

template <Product kProduct, typename Action>
void with_tiles(int tiles, const Action& action) {
  switch (tiles) {
    case 4:
      return action(RowKernels<kProduct, 4>());
    case 6:
      return action(RowKernels<kProduct, 6>());
    case 8:
      return action(RowKernels<kProduct, 8>());
    case 12:
      return action(RowKernels<kProduct, 12>());
    default:
      return action(RowKernels<kProduct, 16>());
  }
}
/// action(the kernels)
template <typename Action>
void with_kernels(Product product, int tiles, const Action& action) {
  switch (product) {
    case Product::split:
      return with_tiles<Product::split>(tiles, action);
    case Product::tf32:
      return with_tiles<Product::tf32>(tiles, action);
    case Product::bfloat16:
      return with_tiles<Product::bfloat16>(tiles, action);
  }
}

/// Rows of a chunk, one of equal ones.
std::int64_t chunk_rows(std::int64_t rows, int width, std::size_t number_size) {
  const std::int64_t bytes = rows * width * static_cast<std::int64_t>(number_size);
  const std::int64_t chunks = std::max<std::int64_t>(1, (bytes + kChunkBytes - 1) / kChunkBytes);
  return std::max<std::int64_t>(1, (rows + chunks - 1) / chunks);
}

/// Parts of the gradient of `weights` matrices of at most this width over so many rows.
int parts_for(std::int64_t rows, int weights, int width) {
  const int side = (width + 63) / 64, most = kMaxBlocks / (weights * side * side);
  return static_cast<int>(std::clamp<std::int64_t>((rows + kRowsPerPart - 1) / kRowsPerPart, 1, most));
}

template <typename T>
Rows rows_of_type(const T* data, int width, std::int64_t stride, std::int64_t first = 0) {
  return rows_of(static_cast<const void*>(data), kAnyBFloat16<T>, width, stride, first);
}
template <typename T>
MutableRows mutable_rows(T* data, int width, std::int64_t stride, std::int64_t first = 0) {
  return rows_of(static_cast<void*>(data), kAnyBFloat16<T>, width, stride, first);
}

/// Weights as the kernels read them.
class Packer {
 public:
  Packer(Product product, int tiles) : product_(product), tiles_(tiles) {}

  std::int64_t add(const PackJob& job) {
    const std::int64_t place = size_;
    kernel_.jobs[kernel_.num_jobs] = job;
    kernel_.jobs[kernel_.num_jobs++].place = place;
    size_ += fragments(product_, job.inputs, tiles_);
    return place;
  }
  std::int64_t size() const { return size_; }

  void take(memory::Layout& layout) {
    kernel_.packed = layout.take<std::byte>(static_cast<std::size_t>(size_) * fragment_bytes(product_));
  }
  const void* at(std::int64_t place) const {
    return static_cast<const std::byte*>(kernel_.packed) + static_cast<std::size_t>(place) * fragment_bytes(product_);
  }
  void run(cudaStream_t stream) const {
    with_kernels(product_, tiles_, [&](auto kernels) { kernels.pack(kernel_, stream); });
  }

 private:
  Product product_;
  int tiles_;
  std::int64_t size_ = 0;
  PackKernel kernel_;
};

/// The arrays that a first layer sees, as columns of its weight.
struct Columns {
  int first = 0, width = 0;
};
/// The first `count` of arrays of one width that stand side by side.
std::vector<Columns> side_by_side(int count, int width) {
  std::vector<Columns> result;
  for (int i = 0; i < count; ++i) result.push_back({i * width, width});
  return result;
}

/// Null stays null: a size query has no parameters.
const float* offset(const float* parameters, std::int64_t place) {
  return parameters != nullptr ? parameters + place : nullptr;
}

/// An MLP: its packed weights, and the arguments of the kernels for it.
class Mlp {
 public:
  /// `with_gradient`: of the parameters, `with_sources`: and of the sources.
  Mlp(Packer& packer, const MlpShape& shape, const float* parameters, const std::vector<Columns>& sources,
      bool with_gradient, bool with_sources)
      : shape_(shape) {
    begin_ = packer.size();
    kernel_.num_layers = shape.layers;
    for (const Columns& columns : sources) columns_[kernel_.num_sources++] = columns;
    for (int l = 0; l < shape.layers; ++l) {
      const LayerShape layer = layer_of(shape, l);
      Layer& to = kernel_.layers[l];
      to.out = layer.out;
      to.norm = layer.norm;
      to.relu = layer.relu;
      if (layer.bias >= 0) to.bias = offset(parameters, layer.bias);
      to.packed = packer.size() - begin_;
      for_columns(l, [&](const Columns& columns) {
        packer.add({offset(parameters, layer.weight + columns.first), 1, layer.in, columns.width, layer.out});
      });
    }
    kernel_.packed_size = packer.size() - begin_;
    for (int l = with_sources ? 0 : 1; with_gradient && l < shape.layers; ++l) {
      const LayerShape layer = layer_of(shape, l);
      kernel_.layers[l].transposed = packer.size() - begin_ - kernel_.packed_size;
      for_columns(l, [&](const Columns& columns) {
        packer.add({offset(parameters, layer.weight + columns.first), layer.in, 1, layer.out, columns.width});
      });
    }
    kernel_.transposed_size = packer.size() - begin_ - kernel_.packed_size;
  }

  /// Once the packer has memory.
  MlpKernel kernel(const Packer& packer, const std::vector<Rows>& sources, std::int64_t num_rows) const {
    MlpKernel result = kernel_;
    std::copy(sources.begin(), sources.end(), result.sources);
    result.packed = packer.at(begin_);
    result.end_row = num_rows;
    return result;
  }

  /// The gradients of the parameters that the rows of the kernel add up.
  WeightKernel weights(const MlpKernel& kernel, const MlpGradient& gradient, int num_parts, float* parts) const {
    WeightKernel result;
    result.num_parts = num_parts;
    result.parts = parts;
    result.size = count_of(shape_);
    for (int l = 0; l < shape_.layers; ++l) {
      const LayerShape layer = layer_of(shape_, l);
      for (int s = 0; s < (l == 0 ? kernel.num_sources : 1); ++s) {
        WeightJob& job = result.jobs[result.num_jobs++];
        job.gradients = constant(gradient.sums[l]);
        job.inputs = l == 0 ? kernel.sources[s] : constant(gradient.normalised[l - 1]);
        job.relu = l > 0;
        job.weight = layer.weight + (l == 0 ? columns_[s].first : 0);
        job.stride = layer.in;
        job.bias = s == 0 ? layer.bias : -1;
      }
    }
    return result;
  }

 private:
  template <typename Action>
  void for_columns(int layer, const Action& action) const {
    if (layer > 0) return action(Columns{0, shape_.hidden});
    for (int s = 0; s < kernel_.num_sources; ++s) action(columns_[s]);
  }

  MlpShape shape_;
  MlpKernel kernel_;
  Columns columns_[kMaxSources];
  std::int64_t begin_ = 0;
};

/// What the gradient of rows leaves for that of the weights, for the rows of a chunk.
template <typename S>
struct Scratch {
  std::int64_t chunk;  ///< rows
  S* normalised[kMaxLayers - 1];
  float* scales[kMaxLayers - 1];
  S* sums[kMaxLayers];

  void take(memory::Layout& layout, std::int64_t rows, bool keeps_first, int width) {
    chunk = chunk_rows(rows, width, sizeof(S));
    const std::int64_t first_sums = keeps_first ? rows : chunk;
    const auto size = static_cast<std::size_t>(chunk * width);
    for (S*& array : normalised) array = layout.take<S>(size);
    for (float*& array : scales) array = layout.take<float>(static_cast<std::size_t>(chunk));
    sums[0] = layout.take<S>(static_cast<std::size_t>(first_sums * width));
    for (int l = 1; l < kMaxLayers; ++l) sums[l] = layout.take<S>(size);
  }
};

/// The gradient of an MLP over rows 0 to num_rows − 1, and of its parameters. `keeps_first`: the gradients of the first
/// layer's sums are wanted of all rows.
template <typename S>
void gradient_of(const Mlp& mlp, MlpKernel kernel, MlpGradient gradient, const Scratch<S>& scratch, bool keeps_first,
                 int num_parts, float* parts, Product product, int tiles, cudaStream_t stream) {
  const std::int64_t num_rows = kernel.end_row;
  std::int64_t first = 0;
  do {  // without rows once: then the gradients of the parameters are 0
    kernel.first_row = first;
    kernel.end_row = std::min(first + scratch.chunk, num_rows);
    for (int l = 0; l < kernel.num_layers; ++l) {
      const int width = kernel.layers[l].out;
      if (l + 1 < kernel.num_layers) {
        gradient.normalised[l] = mutable_rows(scratch.normalised[l], width, width, first);
        gradient.scales[l] = scratch.scales[l];
      }
      gradient.sums[l] = mutable_rows(scratch.sums[l], width, width, l == 0 && keeps_first ? 0 : first);
    }
    with_kernels(product, tiles, [&](auto kernels) { kernels.gradient(kernel, gradient, stream); });
    WeightKernel weights = mlp.weights(kernel, gradient, num_parts, parts);
    weights.first_row = kernel.first_row;
    weights.end_row = kernel.end_row;
    weights.adds = first > 0;
    weight_gradient(weights, tiles, product != Product::tf32, stream);
    first += scratch.chunk;
  } while (first < num_rows);
}

EndLists lists_of(const Holders& holders) { return {holders.begin, holders.entry}; }

/// MLPs over rows.
template <typename In, typename Out>
struct RowsPlan {
  /// What lies between layers is stored in bfloat16 where one end is.
  using S = std::conditional_t<kAnyBFloat16<In, Out>, BFloat16, float>;

  RowsPlan(const MlpRows<In, Out>& mlp_rows, bool with_gradient, bool with_inputs)
      : rows(mlp_rows),
        product(product_of<In, Out>(mlp_rows.tf32)),
        width(std::max({mlp_rows.shape.inputs, mlp_rows.shape.hidden, mlp_rows.shape.outputs})),
        tiles(tiles_for(width)),
        packer(product, tiles),
        mlp(packer, mlp_rows.shape, mlp_rows.parameters, side_by_side(1, mlp_rows.shape.inputs), with_gradient,
            with_inputs),
        num_parts(parts_for(mlp_rows.num_rows, mlp_rows.shape.layers, width)) {}

  std::size_t lay_out(std::span<std::byte> memory, bool with_gradient) {
    memory::Layout layout(memory);
    packer.take(layout);
    if (with_gradient) {
      parts = layout.take<float>(static_cast<std::size_t>(num_parts * count_of(rows.shape)));
      scratch.take(layout, rows.num_rows, false, width);
    }
    return layout.bytes();
  }
  MlpKernel kernel() const {
    return mlp.kernel(packer, std::vector<Rows>(1, rows_of_type(rows.inputs, rows.shape.inputs, rows.shape.inputs)),
                      rows.num_rows);
  }

  const MlpRows<In, Out>& rows;
  Product product;
  int width, tiles;
  Packer packer;
  Mlp mlp;
  int num_parts;
  float* parts = nullptr;
  Scratch<S> scratch{};
};

/// One message-passing step.
template <typename S>
struct StepPlan {
  StepPlan(const InteractionStep<S>& interaction_step, bool with_gradient)
      : step(interaction_step),
        hidden(step.hidden),
        states(step.concat ? 2 : 1),
        product(product_of<S>(step.tf32)),
        tiles(tiles_for(hidden)),
        packer(product, tiles),
        edge(packer, edge_shape(step), step.edge_parameters, side_by_side(states, hidden), with_gradient, true),
        edge_parts(parts_for(std::max(step.num_edges, step.num_nodes), states + 2, hidden)),
        node_parts(parts_for(step.num_nodes, node_inputs(step) + 2, hidden)) {
    const int wide = edge_inputs(step) * hidden;
    linear_begin = packer.size();
    for (int end = 0; end < 2; ++end) {
      for (int state = 0; state < states; ++state)
        packer.add({offset(step.edge_parameters, column_of(end, state)), 1, wide, hidden, hidden});
    }
    linear_size = packer.size() - linear_begin;
    if (with_gradient) {
      transposed_begin = packer.size();
      for (int state = 0; state < states; ++state) {
        for (int end = 0; end < 2; ++end)
          packer.add({offset(step.edge_parameters, column_of(end, state)), wide, 1, hidden, hidden});
      }
    }
    if (step.node_parameters != nullptr)
      node.emplace(packer, node_shape(step), step.node_parameters, side_by_side(node_inputs(step), hidden),
                   with_gradient, true);
  }

  /// Of the edge network's first layer: x or x⁰ (`state`) of src or dst (`end`).
  int column_of(int end, int state) const { return (states + end * states + state) * hidden; }

  std::size_t lay_out(std::span<std::byte> memory, bool with_gradient) {
    memory::Layout layout(memory);
    packer.take(layout);
    const auto of_nodes = static_cast<std::size_t>(std::int64_t{2} * step.num_nodes * hidden);
    sums = layout.take<float>(of_nodes);
    if (with_gradient) {
      of_sums = layout.take<float>(of_nodes);
      of_states = layout.take<float>(of_nodes);
      const std::int64_t edge_size = edge_parts * count_of(edge_shape(step)),
                         node_size = node ? node_parts * count_of(node_shape(step)) : 0;
      parts = layout.take<float>(static_cast<std::size_t>(std::max(edge_size, node_size)));
      scratch.take(layout, std::max(step.num_edges, node ? step.num_nodes : 0), true, hidden);
    }
    return layout.bytes();
  }

  Rows state_rows(const S* rows) const { return rows_of_type(rows, hidden, hidden); }
  /// One half of an array of two per node.
  Rows half(const float* array, int which) const { return rows_of_type(array + which * hidden, hidden, 2 * hidden); }
  MutableRows mutable_half(float* array, int which) const {
    return mutable_rows(array + which * hidden, hidden, 2 * hidden);
  }
  std::vector<Rows> states_of(const S* now, const S* at_first) const {
    std::vector<Rows> result{state_rows(now)};
    if (step.concat) result.push_back(state_rows(at_first));
    return result;
  }

  MlpKernel edge_kernel() const {
    MlpKernel kernel = edge.kernel(packer, states_of(step.e, step.e0), step.num_edges);
    kernel.gathered[0] = {half(sums, 0), step.src, step.num_nodes};
    kernel.gathered[1] = {half(sums, 1), step.dst, step.num_nodes};
    return kernel;
  }
  MlpKernel node_kernel() const {
    std::vector<Rows> sources{half(sums, 0), half(sums, 1)};
    for (const Rows& rows : states_of(step.x, step.x0)) sources.push_back(rows);
    return node->kernel(packer, sources, step.num_nodes);
  }

  /// The products of nodes with the first layer of the edge network, into `sums`: of src beside those of dst.
  void multiply_nodes(cudaStream_t stream) const {
    LinearKernel linear;
    linear.num_rows = step.num_nodes;
    for (const Rows& rows : states_of(step.x, step.x0)) linear.sources[linear.num_sources++] = rows;
    linear.num_outs = 2;
    for (int end = 0; end < 2; ++end) linear.outs[end] = mutable_half(sums, end);
    linear.packed = packer.at(linear_begin);
    linear.out_size = linear_size / linear.num_outs;
    with_kernels(product, tiles, [&](auto kernels) { kernels.linear(linear, stream); });
  }

  /// The gradients of these products, in `sums`, into those of the states, to which `of_states` is added.
  void multiply_back(const InteractionStepGradients<S>& gradients, cudaStream_t stream) const {
    LinearKernel linear;
    linear.num_rows = step.num_nodes;
    linear.num_sources = 2;
    for (int end = 0; end < 2; ++end) linear.sources[end] = half(sums, end);
    linear.num_outs = states;
    for (int state = 0; state < states; ++state) {
      if (node) linear.addends[state] = half(of_states, state);
      linear.outs[state] = mutable_rows(state == 0 ? gradients.x : gradients.x0, hidden, hidden);
    }
    linear.packed = packer.at(transposed_begin);
    linear.out_size = linear_size / linear.num_outs;
    with_kernels(product, tiles, [&](auto kernels) { kernels.linear(linear, stream); });
  }

  /// The part of the edge network's gradient that is a sum over nodes.
  void weights_of_nodes(cudaStream_t stream) const {
    WeightKernel weights;
    weights.end_row = step.num_nodes;
    weights.num_parts = edge_parts;
    weights.parts = parts;
    weights.size = count_of(edge_shape(step));
    const std::vector<Rows> rows = states_of(step.x, step.x0);
    for (int end = 0; end < 2; ++end) {
      for (int state = 0; state < states; ++state) {
        WeightJob& job = weights.jobs[weights.num_jobs++];
        job.gradients = half(sums, end);
        job.inputs = rows[static_cast<std::size_t>(state)];
        job.weight = column_of(end, state);
        job.stride = std::int64_t{edge_inputs(step)} * hidden;
      }
    }
    weight_gradient(weights, tiles, product != Product::tf32, stream);
  }

  const InteractionStep<S>& step;
  int hidden, states;
  Product product;
  int tiles;
  Packer packer;
  Mlp edge;
  std::optional<Mlp> node;
  int edge_parts, node_parts;
  std::int64_t linear_begin = 0, linear_size = 0, transposed_begin = 0;

  /// [num_nodes, 2 H]: message sums [in, out]; at other times products of nodes [src, dst], or their gradients.
  float* sums = nullptr;
  float* of_sums = nullptr;    ///< gradients of message sums
  float* of_states = nullptr;  ///< gradients of x and x⁰ as the node network sees them
  float* parts = nullptr;
  Scratch<S> scratch{};
};

}  // namespace

template <typename In, typename Out>
std::size_t workspace_bytes(const MlpRows<In, Out>& rows) {
  return RowsPlan<In, Out>(rows, false, false).lay_out({}, false);
}
template <typename In, typename Out>
std::size_t gradient_workspace_bytes(const MlpRows<In, Out>& rows) {
  return RowsPlan<In, Out>(rows, true, true).lay_out({}, true);
}

template <typename In, typename Out>
void mlp_rows(const MlpRows<In, Out>& rows, Out* out, std::span<std::byte> workspace, const Execution& execution) {
  if (rows.num_rows == 0) return;
  RowsPlan<In, Out> plan(rows, false, false);
  plan.lay_out(workspace, false);
  plan.packer.run(execution.stream);
  const MutableRows outs = mutable_rows(out, rows.shape.outputs, rows.shape.outputs);
  with_kernels(plan.product, plan.tiles, [&](auto kernels) { kernels.mlp(plan.kernel(), outs, execution.stream); });
}

template <typename In, typename Out>
void mlp_rows_gradient(const MlpRows<In, Out>& rows, const Out* out_gradient, In* inputs_gradient,
                       ParameterOf<Out>* parameters_gradient, std::span<std::byte> workspace,
                       const Execution& execution) {
  RowsPlan<In, Out> plan(rows, true, inputs_gradient != nullptr);
  plan.lay_out(workspace, true);
  plan.packer.run(execution.stream);
  MlpGradient gradient;
  gradient.out_gradient = rows_of_type(out_gradient, rows.shape.outputs, rows.shape.outputs);
  if (inputs_gradient != nullptr)
    gradient.sources[0] = mutable_rows(inputs_gradient, rows.shape.inputs, rows.shape.inputs);
  gradient_of(plan.mlp, plan.kernel(), gradient, plan.scratch, false, plan.num_parts, plan.parts, plan.product,
              plan.tiles, execution.stream);
  add_parts(plan.parts, plan.num_parts, count_of(rows.shape), parameters_gradient, execution.stream);
}

template <typename S>
std::size_t workspace_bytes(const InteractionStep<S>& step) {
  return StepPlan<S>(step, false).lay_out({}, false);
}
template <typename S>
std::size_t gradient_workspace_bytes(const InteractionStep<S>& step) {
  return StepPlan<S>(step, true).lay_out({}, true);
}

template <typename S>
void interaction_step(const InteractionStep<S>& step, S* edges, S* nodes, std::span<std::byte> workspace,
                      const Execution& execution) {
  StepPlan<S> plan(step, false);
  plan.lay_out(workspace, false);
  const cudaStream_t stream = execution.stream;
  plan.packer.run(stream);
  plan.multiply_nodes(stream);
  const int hidden = step.hidden;
  with_kernels(plan.product, plan.tiles, [&](auto kernels) {
    kernels.mlp(plan.edge_kernel(), mutable_rows(edges, hidden, hidden), stream);
    if (!plan.node) return;
    sum_rows(plan.state_rows(edges), lists_of(step.incoming), lists_of(step.outgoing), step.num_nodes, plan.sums,
             stream);
    kernels.mlp(plan.node_kernel(), mutable_rows(nodes, hidden, hidden), stream);
  });
}

template <typename S>
void interaction_step_gradient(const InteractionStep<S>& step, const S* edges, const S* edges_gradient,
                               const S* nodes_gradient, const InteractionStepGradients<S>& gradients,
                               std::span<std::byte> workspace, const Execution& execution) {
  StepPlan<S> plan(step, true);
  plan.lay_out(workspace, true);
  const cudaStream_t stream = execution.stream;
  plan.packer.run(stream);
  const int hidden = step.hidden;

  MlpGradient of_edges;
  if (edges_gradient != nullptr) of_edges.out_gradient = plan.state_rows(edges_gradient);
  if (plan.node) {
    sum_rows(plan.state_rows(edges), lists_of(step.incoming), lists_of(step.outgoing), step.num_nodes, plan.sums,
             stream);
    MlpGradient of_nodes;
    of_nodes.out_gradient = plan.state_rows(nodes_gradient);
    for (int which = 0; which < 2; ++which) of_nodes.sources[which] = plan.mutable_half(plan.of_sums, which);
    for (int state = 0; state < plan.states; ++state)
      of_nodes.sources[2 + state] = plan.mutable_half(plan.of_states, state);
    gradient_of(*plan.node, plan.node_kernel(), of_nodes, plan.scratch, false, plan.node_parts, plan.parts,
                plan.product, plan.tiles, stream);
    add_parts(plan.parts, plan.node_parts, count_of(node_shape(step)), gradients.node_parameters, stream);
    of_edges.out_terms[0] = {plan.half(plan.of_sums, 0), step.dst, step.num_nodes};
    of_edges.out_terms[1] = {plan.half(plan.of_sums, 1), step.src, step.num_nodes};
  }

  plan.multiply_nodes(stream);
  of_edges.sources[0] = mutable_rows(gradients.e, hidden, hidden);
  if (step.concat) of_edges.sources[1] = mutable_rows(gradients.e0, hidden, hidden);
  gradient_of(plan.edge, plan.edge_kernel(), of_edges, plan.scratch, true, plan.edge_parts, plan.parts, plan.product,
              plan.tiles, stream);
  sum_rows(plan.state_rows(plan.scratch.sums[0]), lists_of(step.outgoing), lists_of(step.incoming), step.num_nodes,
           plan.sums, stream);
  plan.weights_of_nodes(stream);
  add_parts(plan.parts, plan.edge_parts, count_of(edge_shape(step)), gradients.edge_parameters, stream);
  plan.multiply_back(gradients, stream);
}

#define STARLING_INSTANTIATE(In, Out)                                                                                \
  template std::size_t workspace_bytes(const MlpRows<In, Out>&);                                                     \
  template std::size_t gradient_workspace_bytes(const MlpRows<In, Out>&);                                            \
  template void mlp_rows(const MlpRows<In, Out>&, Out*, std::span<std::byte>, const Execution&);                     \
  template void mlp_rows_gradient(const MlpRows<In, Out>&, const Out*, In*, ParameterOf<Out>*, std::span<std::byte>, \
                                  const Execution&)
STARLING_INSTANTIATE(float, float);
STARLING_INSTANTIATE(float, BFloat16);
STARLING_INSTANTIATE(BFloat16, BFloat16);
STARLING_INSTANTIATE(BFloat16, float);
#undef STARLING_INSTANTIATE

#define STARLING_INSTANTIATE(S)                                                                              \
  template std::size_t workspace_bytes(const InteractionStep<S>&);                                           \
  template std::size_t gradient_workspace_bytes(const InteractionStep<S>&);                                  \
  template void interaction_step(const InteractionStep<S>&, S*, S*, std::span<std::byte>, const Execution&); \
  template void interaction_step_gradient(const InteractionStep<S>&, const S*, const S*, const S*,           \
                                          const InteractionStepGradients<S>&, std::span<std::byte>, const Execution&)
STARLING_INSTANTIATE(float);
STARLING_INSTANTIATE(BFloat16);
#undef STARLING_INSTANTIATE

}  // namespace starling::interactionstep::cuda
