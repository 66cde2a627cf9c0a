#include <torch/library.h>

// The schemas of the operators. cpu.cpp, cuda.cpp and *_autograd.cpp implement them; python/starling registers their
// shapes (_operators.py) and their rules for torch.func.vmap (_vmap.py).
//
// points [N, D] and queries [M, D] (none = the points) hold coordinates; float16 and bfloat16 are computed in float32.
// Distances are squared, in ascending order of (d², index). Indices are int64 rows of points.

TORCH_LIBRARY(starling, m) {
  // The k nearest: index and distance2 [M, k], padded with −1 and +infinity.
  m.def(
      "knn(Tensor points, SymInt k, Tensor? row_splits=None, Tensor? queries=None, Tensor? query_row_splits=None, "
      "bool loop=True, float? max_radius=None, Tensor? direction=None) -> (Tensor index, Tensor distance2)",
      {at::Tag::pt2_compliant_tag});
  // All within a radius, or the max_neighbors nearest of them: neighbor_row_splits [M + 1], index and distance2 [E];
  // within [M], the number within the radius, also of those that max_neighbors leaves out.
  m.def(
      "radius(Tensor points, float radius, Tensor? row_splits=None, Tensor? queries=None, "
      "Tensor? query_row_splits=None, bool loop=True, int? max_neighbors=None, Tensor? direction=None) -> "
      "(Tensor neighbor_row_splits, Tensor index, Tensor distance2, Tensor within)",
      {at::Tag::pt2_compliant_tag, at::Tag::dynamic_output_shape});

  // Autograd's: what starling::distance_gradient and starling::distance_tangent (neighbors.h) give for the lists of
  // knn, or with row splits of radius. Without queries, queries_gradient is [0, D].
  m.def(
      "_distance_gradient(Tensor points, Tensor? queries, Tensor index, Tensor? neighbor_row_splits, Tensor weight) -> "
      "(Tensor points_gradient, Tensor queries_gradient)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "_distance_tangent(Tensor points, Tensor? queries, Tensor index, Tensor? neighbor_row_splits, "
      "Tensor points_tangent, Tensor? queries_tangent) -> Tensor",
      {at::Tag::pt2_compliant_tag});

  // What starling::aggregate (message.h) gives for lists of knn, or with row splits of radius: mean and maximum of the
  // messages side by side, out [M, 2 F], and max_slot [M, F], int32. Weights are exp(−factor distance2), or `weight`,
  // or 1. divisor: found, all or weights.
  m.def(
      "aggregate(Tensor features, Tensor index, Tensor? neighbor_row_splits=None, Tensor? distance2=None, "
      "Tensor? weight=None, float factor=10., str divisor='found', bool absent_is_zero=False, bool subtract=False) -> "
      "(Tensor out, Tensor max_slot)",
      {at::Tag::pt2_compliant_tag});
  // Autograd's: gradients of the features and, laid out as the index is, of distance2 or of the weights.
  m.def(
      "_aggregate_gradient(Tensor features, Tensor index, Tensor? neighbor_row_splits, Tensor? distance2, "
      "Tensor? weight, float factor, str divisor, bool absent_is_zero, bool subtract, Tensor out_gradient, "
      "Tensor max_slot) -> (Tensor features_gradient, Tensor weight_gradient)",
      {at::Tag::pt2_compliant_tag});

  // What starling::edge_conv (edge_conv.h) gives of target p [M, H] and source q [S, H] for lists of knn, or with row
  // splits of radius: out [M, W], kept [M, W] or [0, W] and found [M], int32. aggr: max, mean or sum. Products are in
  // TF32 where tf32 says so; without it, where torch.backends.cuda.matmul allows it or target is float16 or bfloat16.
  m.def(
      "edge_conv(Tensor target, Tensor source, Tensor index, Tensor? neighbor_row_splits=None, Tensor? weight=None, "
      "Tensor? bias=None, str aggr='max', bool relu=False, bool? tf32=None) -> "
      "(Tensor out, Tensor kept, Tensor found)",
      {at::Tag::pt2_compliant_tag});
  // Autograd's: gradients of target, source, weight and bias; those of what is not given are empty.
  m.def(
      "_edge_conv_gradient(Tensor target, Tensor source, Tensor index, Tensor? neighbor_row_splits, Tensor? weight, "
      "Tensor? bias, str aggr, bool relu, Tensor out_gradient, Tensor kept) -> (Tensor target_gradient, "
      "Tensor source_gradient, Tensor weight_gradient, Tensor bias_gradient)",
      {at::Tag::pt2_compliant_tag});

  // The messages of a GravNet layer: knn among space [N, D], then aggregate over features [N, F] with weights
  // exp(−factor d²), in one, so that backward turns the lists round once. out [N, 2 F]; index [N, k], int32; distance2
  // [N, k]; max_slot [N, F], int32. With absent_is_zero missing neighbours count as messages of 0, in the mean too.
  m.def(
      "gravnet(Tensor space, Tensor features, SymInt k, Tensor? row_splits=None, float factor=10., bool loop=True, "
      "bool absent_is_zero=False, bool subtract=False) -> (Tensor out, Tensor index, Tensor distance2, Tensor "
      "max_slot)",
      {at::Tag::pt2_compliant_tag});
  // Autograd's: gradients of space and features from those of out and, where there are any, of distance2.
  m.def(
      "_gravnet_gradient(Tensor space, Tensor features, Tensor index, Tensor distance2, Tensor max_slot, float factor, "
      "bool absent_is_zero, bool subtract, Tensor out_gradient, Tensor? distance2_gradient) -> (Tensor space_gradient, "
      "Tensor features_gradient)",
      {at::Tag::pt2_compliant_tag});

  // What starling::condensation_loss (condensation.h) gives: terms per event [B], payload [B, P]. form: paper, slide or
  // fgc; scale_of: mean or alpha.
  m.def(
      "condensation_loss(Tensor beta, Tensor x, Tensor truth, Tensor? row_splits=None, Tensor? scale=None, "
      "Tensor? weight=None, Tensor? payload=None, str form='slide', bool soft=False, float q_min=0.1, "
      "float centre=0., str scale_of='mean', bool payload_per_event=False) -> (Tensor attraction, Tensor repulsion, "
      "Tensor objects, Tensor noise, Tensor payload)",
      {at::Tag::pt2_compliant_tag});
  // Autograd's: gradients of beta, x, scale and payload; those of what is not given are empty.
  m.def(
      "_condensation_gradient(Tensor beta, Tensor x, Tensor truth, Tensor? row_splits, Tensor? scale, Tensor? weight, "
      "Tensor? payload, str form, bool soft, float q_min, float centre, str scale_of, bool payload_per_event, "
      "Tensor of_attraction, Tensor of_repulsion, Tensor of_objects, Tensor of_noise, Tensor of_payload) -> "
      "(Tensor beta_gradient, Tensor x_gradient, Tensor scale_gradient, Tensor payload_gradient)",
      {at::Tag::pt2_compliant_tag});

  // Clustering as starling::condense (condensation.h): beta [N], x [N, D], scale [N] to id and point, int64 [N].
  // assign: collect or nearest.
  m.def(
      "condense(Tensor beta, Tensor x, Tensor? row_splits, float t_beta, float t_d, Tensor? scale=None, "
      "str assign='collect') -> (Tensor id, Tensor point)",
      {at::Tag::pt2_compliant_tag});

  // Edges [2, E] of int32 or int64, source above target, as int64. ValueError for an edge that ends at no node.
  m.def("check_edges(Tensor edge_index, SymInt num_nodes) -> Tensor", {at::Tag::pt2_compliant_tag});
  // rows[index] of rows [R, W] by index [E], int32 or int64: [E, W].
  m.def("gather_rows(Tensor rows, Tensor index) -> Tensor", {at::Tag::pt2_compliant_tag});
  // out[v] = the sum of the rows [E, W] whose index is v, in their order and in float32 at least: [count, W].
  m.def("sum_rows(Tensor rows, Tensor index, SymInt count) -> Tensor", {at::Tag::pt2_compliant_tag});

  // Fake quantisation (docs/definitions.md): values that are codes times a scale, and the scale, [] or per row of x
  // [rows]. Differentiable once, straight through. quantize_weight: bits 2 to 12. quantize_activation: of ReLU(x), or
  // of x where is_signed; bits 2 to 12. quantize_bias: at a scale [] or [outputs], bits 2 to 32. calibrated_threshold:
  // a percentile of |x|, above 0 to 100.
  m.def(
      "quantize_weight(Tensor weight, int bits, bool per_channel=False, bool power_of_two=False) -> "
      "(Tensor values, Tensor scale)",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "quantize_activation(Tensor x, Tensor threshold, int bits, bool is_signed, bool power_of_two=False, "
      "bool bound_scale=False) -> (Tensor values, Tensor scale)",
      {at::Tag::pt2_compliant_tag});
  m.def("quantize_bias(Tensor bias, Tensor scale, int bits) -> Tensor", {at::Tag::pt2_compliant_tag});
  m.def("calibrated_threshold(Tensor x, float percentile=99.999) -> Tensor", {at::Tag::pt2_compliant_tag});
  m.def(
      "_fake_quantize(Tensor x, Tensor magnitude, float divisor, float low, float high, float least, "
      "bool bound_scale, bool passes_outside, bool power_of_two) -> (Tensor values, Tensor scale)",
      {at::Tag::pt2_compliant_tag});
  // The same for training as a whole, on CUDA in few kernels. quantize_parts: arrays [rows, width] side by side,
  // signed, at one threshold. quantize_rows: z = sums [R, W] + quantize_bias(bias, weight_scale · input_scale) +
  // gather_ends(nodes), its layer normalisation, its ReLU, of `bits`. quantize_weights: of parameters, segments of
  // `sizes` one after the other, those that have outputs, the others as they are; all scales one after the other.
  m.def(
      "quantize_parts(Tensor[] parts, Tensor threshold, int bits, bool power_of_two) -> (Tensor values, Tensor scale)");
  m.def(
      "quantize_rows(Tensor sums, Tensor? bias, Tensor? weight_scale, Tensor? input_scale, int bias_bits, "
      "Tensor? nodes, Tensor? first, Tensor? second, Tensor[] lists, bool norm, Tensor threshold, int bits, "
      "bool power_of_two) -> "
      "(Tensor values, Tensor scale)");
  m.def(
      "quantize_weights(Tensor parameters, int[] sizes, int[] outputs, int[] bits, bool per_channel, bool "
      "power_of_two) -> "
      "(Tensor values, Tensor scales)");
  // The kernels of these, in float32, and their gradients.
  m.def(
      "_quantize_values(Tensor[] parts, Tensor magnitude, float divisor, float low, float high, float least, "
      "bool bound_scale, bool passes_outside, bool power_of_two) -> (Tensor values, Tensor scale)");
  m.def(
      "_quantize_values_gradient(Tensor[] parts, Tensor magnitude, float divisor, float low, float high, float least, "
      "bool bound_scale, bool passes_outside, bool power_of_two, Tensor values_gradient, Tensor? scale_gradient, "
      "int wanted) -> (Tensor[] parts_gradient, Tensor magnitude_gradient)");
  m.def(
      "_quantize_rows(Tensor sums, Tensor? bias, Tensor? weight_scale, Tensor? input_scale, int bias_bits, "
      "Tensor? nodes, Tensor? first, Tensor? second, Tensor[] lists, bool norm, Tensor threshold, int bits, "
      "bool power_of_two) -> "
      "(Tensor values, Tensor scale)");
  m.def(
      "_quantize_rows_gradient(Tensor sums, Tensor? bias, Tensor? weight_scale, Tensor? input_scale, int bias_bits, "
      "Tensor? nodes, Tensor? first, Tensor? second, bool norm, Tensor threshold, int bits, bool power_of_two, "
      "Tensor values_gradient, "
      "Tensor? scale_gradient) -> (Tensor sums_gradient, Tensor bias_gradient, Tensor weight_scale_gradient, "
      "Tensor input_scale_gradient, Tensor threshold_gradient)");
  m.def(
      "_quantize_weights(Tensor parameters, int[] sizes, int[] outputs, int[] bits, bool per_channel, bool "
      "power_of_two) -> "
      "(Tensor values, Tensor scales)");
  m.def(
      "_quantize_weights_gradient(Tensor parameters, int[] sizes, int[] outputs, int[] bits, bool per_channel, "
      "bool power_of_two, "
      "Tensor values_gradient, Tensor? scales_gradient) -> Tensor");

  // Masks of weights [outputs, inputs], true where a weight is kept. prune: the blocks of least mean |w| go, over all
  // matrices, round(amount · remaining weights) in all, but each matrix keeps its floor, a fraction of its weights.
  // prune_2_of_4: of each four inputs in a row two are kept at most.
  m.def(
      "prune(Tensor[] weights, Tensor[] masks, float amount, float[] floors, int block_outputs=1, "
      "int block_inputs=1) -> Tensor[]");
  m.def("prune_2_of_4(Tensor weight, Tensor mask) -> Tensor");

  // For training on the interaction network (interaction_step.h). The edges that end at each node, ascending: those of
  // node v are edge[begin[v]:begin[v + 1]]. All int32: ends [E], begin [num_nodes + 1], edge [E].
  m.def("edges_of_nodes(Tensor ends, SymInt num_nodes) -> (Tensor begin, Tensor edge)", {at::Tag::pt2_compliant_tag});
  // Of the nodes at both ends of edges, int32 [E], lists: edges_of_nodes of first, then of second. gather_ends: float32
  // nodes [N, 2 W] to nodes[first, :W] + nodes[second, W:], [E, W]. sum_ends, its gradient: edges [E, W] to [N, 2 W].
  m.def("gather_ends(Tensor nodes, Tensor first, Tensor second, Tensor[] lists) -> Tensor");
  m.def("sum_ends(Tensor edges, Tensor first, Tensor second, Tensor[] lists) -> Tensor");
  // What starling::interaction_step gives of x and x0 [N, H], e and e0 [E, H], float32 or bfloat16, and of src and dst
  // [E], int32: edges [E, H], nodes [N, H], or [0, H] without node_parameters. lists: edges_of_nodes of src, then of
  // dst. Parameters are float32, one after the other. float64 on the CPU, which computes all in it, row by row.
  // tf32=None: as torch.backends.cuda.matmul says.
  m.def(
      "interaction_step(Tensor x, Tensor? x0, Tensor e, Tensor? e0, Tensor src, Tensor dst, Tensor[] lists, "
      "Tensor edge_parameters, Tensor? node_parameters=None, bool bias=True, bool norm=True, bool? tf32=None) -> "
      "(Tensor edges, Tensor nodes)",
      {at::Tag::pt2_compliant_tag});
  // Autograd's: gradients of what has one; those of what is not given are empty.
  m.def(
      "_interaction_step_gradient(Tensor x, Tensor? x0, Tensor e, Tensor? e0, Tensor src, Tensor dst, Tensor[] lists, "
      "Tensor edge_parameters, Tensor? node_parameters, bool bias, bool norm, bool? tf32, Tensor edges, "
      "Tensor? edges_gradient, Tensor? nodes_gradient) -> (Tensor x_gradient, Tensor x0_gradient, Tensor e_gradient, "
      "Tensor e0_gradient, Tensor edge_parameters_gradient, Tensor node_parameters_gradient)",
      {at::Tag::pt2_compliant_tag});
  // What starling::mlp_rows gives of inputs [R, inputs]: [R, outputs] of `type`, as the inputs where there is none.
  m.def(
      "mlp_rows(Tensor inputs, Tensor parameters, int hidden, int outputs, int layers=3, bool bias=True, "
      "bool norm=True, bool relu=True, ScalarType? type=None, bool? tf32=None) -> Tensor",
      {at::Tag::pt2_compliant_tag});
  m.def(
      "_mlp_rows_gradient(Tensor inputs, Tensor parameters, int hidden, int outputs, int layers, bool bias, bool norm, "
      "bool relu, bool? tf32, Tensor out_gradient, bool wants_inputs) -> "
      "(Tensor inputs_gradient, Tensor parameters_gradient)",
      {at::Tag::pt2_compliant_tag});

  // A model file of the kind tracking or interaction_network (model.h): kind, sections of JSON and arrays. ValueError
  // for what InteractionNetwork::from_model or TrackFinder::from_model refuses.
  m.def("_read_network(str file) -> (str kind, Dict(str, str) sections, Dict(str, Tensor) arrays)");
  m.def("_write_network(str file, str kind, Dict(str, str) sections, Dict(str, Tensor) arrays) -> ()");
  // The same of a quantised network (quantized_network.h): arrays in float, masks by layer; bits and thresholds by
  // "<layer>.weight", "<layer>.bias", "<layer>.output" and "<mlp>.input".
  m.def(
      "_write_quantized_network(str file, str kind, Dict(str, str) sections, Dict(str, Tensor) arrays, "
      "Dict(str, Tensor) masks, Dict(str, int) bits, Dict(str, float) thresholds, bool per_channel, "
      "bool power_of_two) -> ()");
}
