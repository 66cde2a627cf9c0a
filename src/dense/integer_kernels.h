#pragma once

#include <cstddef>
#include <cstdint>

#include "dense/integer_arithmetic.h"

/// The arithmetic of dense layers in integers on a tile of rows, once per instruction level, with the same bytes at
/// every level: what integer_arithmetic.h defines. This header and the files that implement it include nothing else: an
/// inline function compiled with instruction-set flags must not be what the rest of the program links.
///
/// Codes lie in memory as code - lowest of their quantiser, 0 .. 2^bits - 1: in one byte, or in two where a quantiser
/// of the network has more than 8 bits. What a lowest below 0 takes off a sum is part of what the sum starts from.
namespace starling::dense {

/// Rows of codes begin `stride` codes apart; the first `width`, a multiple of kCodeGroup, are read.
struct CodeRows {
  const void* data;
  std::ptrdiff_t stride;
  int width;
};

inline constexpr int kCodeGroup = 4;     ///< inputs are padded with weights 0 to a multiple
inline constexpr int kCodeColumns = 16;  ///< rows of codes are padded to a multiple
inline constexpr int kMostCodeInputs = 4;

/// Rows of `bytes` bytes that a later product will gather: this one fetches them into the cache.
struct CodeAhead {
  const void* data = nullptr;
  const std::int32_t* rows = nullptr;
  int count = 0, bytes = 0;
};

/// sums = start + W [inputs side by side] + gathered rows. Sums wrap around where they are larger than their type while
/// they are added up: what a layer bounds is the whole sum.
struct IntegerProduct {
  CodeRows inputs[kMostCodeInputs];
  int num_inputs;
  int rows;
  const void* weights;  ///< packed: see IntegerKernels
  int chain;            ///< of PackedCodes
  int columns;          ///< of sums, a multiple of the vector width
  const void* start;    ///< [columns] sums
  const void* by_src = nullptr;
  const void* by_dst = nullptr;  ///< rows of `columns` sums, gathered by src and dst; both or none
  const std::int32_t* src = nullptr;
  const std::int32_t* dst = nullptr;
  CodeAhead ahead;
  void* sums;  ///< [rows, columns]
};

/// Sums to the codes of a ReLU's quantiser, through layer normalisation or without.
struct IntegerQuantize {
  void* sums;  ///< [rows, columns]; with `ratio` they are rescaled where they lie
  int rows;
  int columns;  ///< of sums
  int width;    ///< outputs
  bool normalise;
  double floor;         ///< of integer_deviation()
  const double* ratio;  ///< [columns] of rescaled(), or null
  const float* scale;   ///< [columns] of value_of(), without normalisation
  CodeGrid grid;
  /// Whether values are so bounded that 32-bit arithmetic finds all codes but doubtful ones: width times any sum is
  /// below 2^31 in magnitude, any value below 2^30 steps of the grid, and floor / width² below 10^30.
  bool bounded;
  void* codes;            ///< [rows, stride]; columns behind the width become codes of the grid
  std::ptrdiff_t stride;  ///< the width, padded to a multiple of kCodeColumns
};

/// Codes to the codes of another quantiser. `table` has one entry per code; where `linear`, the entry is
/// min(rint(code · factor) + offset, highest) for each.
struct Requantize {
  const void* in;
  void* out;
  std::int64_t count;  ///< a multiple of kCodeColumns
  const void* table;   ///< of the type of a code; 256 entries for codes of one byte
  bool linear;
  float factor;
  std::int32_t offset, highest;
};

/// out[t] = the sum of the rows that edges[splits[t]] .. edges[splits[t + 1] - 1] name; no list = the rows
/// splits[t] .. splits[t + 1] - 1 themselves.
struct CodeSums {
  const void* codes;           ///< rows of `columns` codes
  const std::int32_t* splits;  ///< [rows + 1]
  const std::int32_t* edges;
  int rows, columns;  ///< columns: a multiple of kCodeColumns
  std::int32_t* out;  ///< [rows, columns]
};

/// Sums of codes of the scale `scale` to codes.
struct QuantizeSums {
  const std::int32_t* sums;
  std::int64_t count;  ///< a multiple of kCodeColumns
  float scale;
  CodeGrid grid;
  void* out;
};

/// Values to codes, by code_of().
struct QuantizeValues {
  const float* values;
  std::int64_t count;  ///< a multiple of kCodeColumns
  CodeGrid grid;
  void* out;
};

/// Packed weights are panels of columns (panel_vectors() of float_kernels.h), one behind the other: for each group of
/// inputs panel_vectors vectors, in which each lane has the group's weights of its column.
struct IntegerKernels {
  const char* name;
  int code_bytes;     ///< 1 or 2
  int sum_bytes;      ///< 4 or 8
  int width;          ///< sums in a vector; rows are padded to a multiple
  int panel_vectors;  ///< most vectors in a panel of packed weights
  int group;          ///< inputs that one lane takes at a time: 1, 2 or 4
  int weight_bytes;   ///< 1 or 2
  int most_pair;      ///< largest magnitude of the sum of two neighbouring products that it can add up
  void (*product)(const IntegerProduct&);
  void (*quantize)(const IntegerQuantize&);
  void (*requantize)(const Requantize&);
  void (*sum_rows)(const CodeSums&);
  void (*quantize_sums)(const QuantizeSums&);
  void (*quantize_values)(const QuantizeValues&);
};

extern const IntegerKernels kIntegerReference8, kIntegerReference16, kIntegerWide16;
extern const IntegerKernels kIntegerAvx2Of8, kIntegerAvx2Of16;
extern const IntegerKernels kIntegerAvx512VnniOf8, kIntegerAvx512VnniOf16;

}  // namespace starling::dense
