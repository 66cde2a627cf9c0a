#pragma once

#include <cstddef>
#include <cstdint>

#include "dense/integer_arithmetic.h"

/// The arithmetic of dense layers in integers on a tile of rows, once per instruction level, with the same bytes at
/// every level: what integer_arithmetic.h defines. This header and the files that implement it include nothing else: an
/// inline function compiled with instruction-set flags must not be what the rest of the program links.
///
/// A tile has IntegerKernels::tile rows, and a vector holds one column of some of them: rows never meet in a vector, so
/// that a weight is one number for all of them and normalisation adds nothing across lanes. What follows the rows that
/// a tile really has (`count`) is computed and never read.
///
/// - Codes of a tile are [columns / group, tile, group]: the `group` codes that one instruction multiplies side by
///   side. They lie in memory as code - lowest of what a quantiser can give here, 0 .. 2^bits - 1: in one byte, or in
///   two where a quantiser of the network has more than 8 bits. What a lowest below 0 takes off a sum is part of what
///   the sum starts from.
/// - Sums of a tile are [columns, tile].
namespace starling::dense {

inline constexpr int kCodeColumns = 16;  ///< columns of codes and sums are padded to a multiple, with weights 0
inline constexpr int kMostDepth = 64;    ///< of IntegerKernels::depth

/// Rows of `bytes` bytes that a later product will gather: this one fetches them into the cache.
struct CodeAhead {
  const void* data = nullptr;
  const std::int32_t* rows = nullptr;
  int count = 0, bytes = 0;
};

/// A group of weights of one output, and which group of the inputs it multiplies.
struct ListedWeights {
  std::int32_t group;
  std::int32_t weights;  ///< `group` of them, as an instruction reads them
};

/// A packed matrix: outputs in panels, or as lists of what is not zero, or both, added up.
struct IntegerWeights {
  int inputs = 0;               ///< columns of codes, a multiple of kCodeColumns
  int columns = 0;              ///< outputs, a multiple of kCodeColumns
  const void* panels = nullptr; /**< or null. Panels of panel_columns() outputs, one behind the other: for each `depth`
                                     inputs, for each output, its weights; see IntegerKernels */
  int chain = 1;                ///< groups whose products 16 bits hold added up, where IntegerKernels::saturates
  const std::int32_t* list_ends = nullptr;  ///< [columns] where the list of an output ends, or null
  const ListedWeights* listed = nullptr;
  const void* start = nullptr;  ///< [columns, start_lanes] sums
};

/// sums = start + W codes; or, onto sums that are there, sums += W codes. Codes are read, and have no effect, up to a
/// multiple of IntegerKernels::depth columns.
struct IntegerProduct {
  const IntegerWeights* weights;
  const void* codes;
  void* sums;
  bool onto_sums = false;
  CodeAhead ahead;
};

/// sums[c][r] = by_src[src[r]][c] + by_dst[dst[r]][c], of rows of `columns` sums.
struct GatheredSums {
  const void* by_src;
  const void* by_dst;
  const std::int32_t* src;
  const std::int32_t* dst;
  int count, columns;
  void* sums;
};

/// A tile of codes from rows of `columns` codes: row r is the one that places[r] names.
struct GatheredCodes {
  const void* rows;
  const std::int32_t* places;
  int count, columns;
  void* tile;
};

/// A tile's first `count` rows as rows of `columns` sums, or codes, one behind the other.
struct TileToRows {
  const void* tile;
  int columns, count;
  void* rows;
};

/// Sums to the codes of a ReLU's quantiser, through layer normalisation or without.
struct IntegerQuantize {
  void* sums;  ///< with `ratio` they are rescaled where they lie
  int count;
  int columns;  ///< of sums, of which codes are made
  int width;    ///< outputs
  bool normalise;
  double floor;             ///< of integer_deviation()
  const double* ratio;      ///< [columns] of rescaled(), or null
  const float* scale;       ///< [columns] of value_of(), without normalisation
  const float *low, *high;  ///< [columns] just below and just above scale / step: the exact value lies between
  CodeGrid grid;
  /// Whether values are so bounded that 32-bit arithmetic finds all codes but doubtful ones: width times any sum is
  /// below 2^31 in magnitude, any value below 2^30 steps of the grid, and floor / width² below 10^30.
  bool bounded;
  void* codes;  ///< of `columns` columns; those behind the width become codes of the grid
};

/// Codes to the codes of another quantiser. `table` has one entry per code; where `linear`, the entry is
/// min(rint(code · factor), highest) for each. The tile behind it is the one that comes next: it is fetched.
struct Requantize {
  const void* in;
  void* out;
  int columns, count;
  const void* table;  ///< of the type of a code; 256 entries for codes of one byte
  int codes;          ///< that there can be
  bool linear;
  float factor;
  std::int32_t highest;
};

/// Codes of the sums of messages: the row t of the tile gets, for the sum of the rows that edges[splits[t]] ..
/// edges[splits[t + 1] - 1] name, the code of its value; without edges those rows are splits[t] .. splits[t + 1] - 1.
struct Messages {
  const void* codes;           ///< rows of `columns` codes
  const std::int32_t* splits;  ///< [count + 1]
  const std::int32_t* edges;
  int count, columns;
  float scale;  ///< of the messages
  CodeGrid grid;
  bool linear;  ///< the code is min(rint(sum · factor), highest) for each sum
  float factor;
  void* scratch;  ///< [tile, columns] codes
  void* out;
};

/// Values [columns, tile] to codes of a tile, by code_of().
struct QuantizeValues {
  const float* values;
  int columns;
  CodeGrid grid;
  void* out;
};

struct IntegerKernels {
  const char* name;
  int code_bytes;    ///< 1 or 2
  int sum_bytes;     ///< 4 or 8
  int tile;          ///< rows of a tile
  int panel;         ///< most outputs in a panel
  int group;         ///< codes side by side
  int depth;         ///< inputs side by side in packed weights; their number is padded to a multiple with weights 0
  int start_lanes;   ///< copies of what a sum starts from
  int weight_bytes;  ///< 1 or 2
  bool saturates;    ///< sums of two products have 16 bits: see IntegerWeights::chain
  /// Lists take less time than panels where a smaller part than this of the groups of weights is not zero.
  double listed_part;
  /// What a thread calls before its first product and after its last, or null.
  void (*enter)();
  void (*leave)();
  void (*product)(const IntegerProduct&);
  void (*gather_sums)(const GatheredSums&);
  void (*gather_codes)(const GatheredCodes&);
  void (*sums_to_rows)(const TileToRows&);
  void (*codes_to_rows)(const TileToRows&);
  void (*quantize)(const IntegerQuantize&);
  void (*requantize)(const Requantize&);
  void (*messages)(const Messages&);
  void (*quantize_values)(const QuantizeValues&);
};

/// Outputs in the next panel: all are multiples of 4.
static inline int panel_columns(int columns_left, int most) { return columns_left < most ? columns_left : most; }

extern const IntegerKernels kIntegerReference8, kIntegerReference16, kIntegerWide16;
extern const IntegerKernels kIntegerAvx2Of8, kIntegerAvx2Of16;
extern const IntegerKernels kIntegerAvx512VnniOf8, kIntegerAvx512VnniOf16, kIntegerAvx512AmxOf8;

}  // namespace starling::dense
