#pragma once

namespace starling::dense::cuda {

/// Inputs of a part of a layer take a multiple of so many rows of packed weights, so that rows of inputs are read in
/// steps of 16 bytes.
inline constexpr int kInputStep = 4;

constexpr int padded_inputs(int inputs) { return (inputs + kInputStep - 1) / kInputStep * kInputStep; }

}  // namespace starling::dense::cuda
