#include <algorithm>

#include "cuda/launch.cuh"
#include "interaction_step/cuda/numbers.cuh"

// The gradient of a weight is a product over all rows. Rows are divided into parts, a function of the sizes alone; a
// block of threads adds up one part of a square of the weight, each of its warps every fourth group of rows, and the
// warps' sums are added in order. Then the parts are added up. A warp copies its groups of rows to shared memory while
// it multiplies the ones before: a ring of its own, which no other warp waits for.
namespace starling::interactionstep::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kStages = 4;  // of a ring

/// A part of a square of a weight: rows `from` to `to` − 1. kTiles: of eight columns, per side of the square.
template <int kTiles, bool kSplit>
class Square {
 public:
  static constexpr int kSide = 8 * kTiles, kRowTiles = kTiles / 2;
  /// Numbers from row to row in shared memory: the lanes that read a fragment meet in no bank.
  static constexpr int kPitch = kSide + 8;
  /// An array of a group: eight rows of float, or 16 of bfloat16. The ring of a warp holds its square in the end.
  static constexpr int kArrayBytes = 8 * kPitch * static_cast<int>(sizeof(float));
  static constexpr int kRingBytes = kStages * 2 * kArrayBytes;
  static_assert(kRingBytes >= kSide * kPitch * static_cast<int>(sizeof(float)));
  static constexpr int kBytes = kWarps * (kRingBytes + kSide * static_cast<int>(sizeof(float)));

  /// blockIdx: part, square, job.
  __device__ Square(const WeightKernel& kernel, unsigned char* memory)
      : kernel_(kernel), job_(kernel.jobs[blockIdx.z]), memory_(memory), ring_(memory + warp_ * kRingBytes) {
    const int across = (job_.inputs.width + kSide - 1) / kSide;
    first_output_ = static_cast<int>(blockIdx.y) / across * kSide;
    first_input_ = static_cast<int>(blockIdx.y) % across * kSide;
    const std::int64_t rows = kernel.end_row - kernel.first_row;
    const std::int64_t each = (rows + kernel.num_parts - 1) / kernel.num_parts;
    from_ = kernel.first_row + blockIdx.x * each;
    to_ = min(from_ + each, kernel.end_row);
  }
  __device__ bool is_there() const { return first_output_ < job_.gradients.width; }

  __device__ void add_rows() {
    if constexpr (kSplit) {
      if (job_.gradients.is_bfloat16 && job_.inputs.is_bfloat16) return add_groups<16, std::uint16_t, std::uint16_t>();
      if (job_.gradients.is_bfloat16) return add_groups<8, std::uint16_t, float>();
      if (job_.inputs.is_bfloat16) return add_groups<8, float, std::uint16_t>();
    }
    add_groups<8, float, float>();
  }

  /// Adds up the warps' sums, in order, into the block's part.
  __device__ void store() {
    auto* const own = reinterpret_cast<float*>(ring_);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        float* const line = own + (16 * i + 8 * h + group_) * kPitch + 2 * quarter_;
#pragma unroll
        for (int j = 0; j < kTiles; ++j)
          *reinterpret_cast<float2*>(line + 8 * j) = {sums_[i][j][2 * h], sums_[i][j][2 * h + 1]};
        if (quarter_ == 0) biases()[warp_ * kSide + 16 * i + 8 * h + group_] = bias_[i][h];
      }
    }
    __syncthreads();
    float* const part = kernel_.parts + blockIdx.x * kernel_.size;
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kSide; i += kThreads) {
      const int output = i / kSide, input = i % kSide;
      if (first_output_ + output >= job_.gradients.width || first_input_ + input >= job_.inputs.width) continue;
      float total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w)
        total += reinterpret_cast<const float*>(memory_ + w * kRingBytes)[output * kPitch + input];
      add(part + job_.weight + (first_output_ + output) * job_.stride + first_input_ + input, total);
    }
    if (job_.bias < 0 || first_input_ > 0) return;
    for (int i = static_cast<int>(threadIdx.x); i < kSide && first_output_ + i < job_.gradients.width; i += kThreads) {
      float total = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) total += biases()[w * kSide + i];
      add(part + job_.bias + first_output_ + i, total);
    }
  }

 private:
  __device__ float* biases() const { return reinterpret_cast<float*>(memory_ + kWarps * kRingBytes); }
  /// This block alone adds to the number: the operation is atomic so that nobody waits for what was there.
  __device__ void add(float* at, float value) const {
    if (kernel_.adds) {
      atomicAdd(at, value);
    } else {
      *at = value;
    }
  }

  template <typename Number>
  __device__ static bool is_aligned(const Rows& rows) {
    return (reinterpret_cast<std::uintptr_t>(rows.data) | rows.stride * sizeof(Number) | rows.width * sizeof(Number)) %
               16 ==
           0;
  }
  /// Starts to copy kCount rows from `row` on, columns first_column to first_column + kSide − 1; what is not there
  /// becomes 0.
  template <int kCount, typename Number>
  __device__ void bring(const Rows& rows, bool is_aligned, std::int64_t row, int first_column, Number* to) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto* const from = static_cast<const Number*>(rows.data);
    if (is_aligned) {
      constexpr int kEach = 16 / static_cast<int>(sizeof(Number)), kAcross = kSide / kEach, kAll = kCount * kAcross;
#pragma unroll
      for (int i = 0; i < (kAll + 31) / 32; ++i) {
        const int n = 32 * i + lane, r = n / kAcross, c = n % kAcross * kEach;
        if (kAll % 32 != 0 && n >= kAll) break;
        const bool there = row + r < to_ && first_column + c < rows.width;
        copy_16(to + r * kPitch + c, from + (there ? (row + r - rows.first) * rows.stride + first_column + c : 0),
                there);
      }
      return;
    }
    for (int n = lane; n < kCount * kSide; n += 32) {
      const int r = n / kSide, c = n % kSide;
      const bool there = row + r < to_ && first_column + c < rows.width;
      to[r * kPitch + c] = there ? from[(row + r - rows.first) * rows.stride + first_column + c] : Number(0);
    }
  }

  template <int kCount, typename Gradient, typename Input>
  __device__ void add_groups() {
    constexpr std::int64_t kStep = kWarps * kCount;
    const bool aligned_gradients = is_aligned<Gradient>(job_.gradients),
               aligned_inputs = is_aligned<Input>(job_.inputs);
    const auto bring_group = [&](std::int64_t row, int stage) {
      unsigned char* const at = ring_ + stage * 2 * kArrayBytes;
      if (row < to_) {
        bring<kCount>(job_.gradients, aligned_gradients, row, first_output_, reinterpret_cast<Gradient*>(at));
        bring<kCount>(job_.inputs, aligned_inputs, row, first_input_, reinterpret_cast<Input*>(at + kArrayBytes));
      }
      commit_copies();
    };
    std::int64_t row = from_ + warp_ * kCount;
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) bring_group(row + s * kStep, s);
#pragma unroll 1
    for (int stage = 0; row < to_; row += kStep, stage = (stage + 1) % kStages) {
      wait_for_copies<kStages - 2>();
      __syncwarp();  // the others' copies are there, and all have read the stage that comes anew
      bring_group(row + (kStages - 1) * kStep, (stage + kStages - 1) % kStages);
      const unsigned char* const at = ring_ + stage * 2 * kArrayBytes;
      multiply(reinterpret_cast<const Gradient*>(at), reinterpret_cast<const Input*>(at + kArrayBytes));
    }
    __syncwarp();
    if constexpr (kCount == 8) {
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
        for (int h = 0; h < 2; ++h) {
          bias_[i][h] += __shfl_xor_sync(0xFFFFFFFFU, bias_[i][h], 1);
          bias_[i][h] += __shfl_xor_sync(0xFFFFFFFFU, bias_[i][h], 2);
        }
      }
    }
  }

  __device__ static float read(float number) { return number; }
  __device__ static float read(std::uint16_t number) { return __uint_as_float(std::uint32_t{number} << 16); }

  /// Rows in float, or of both kinds: products of TF32 numbers, which those of bfloat16 are too, over eight rows.
  template <typename Gradient, typename Input>
  __device__ void multiply(const Gradient* gradients, const Input* inputs) {
    gradients += quarter_ * kPitch + group_;
    inputs += quarter_ * kPitch + group_;
    std::uint32_t high[kRowTiles][4], low[kRowTiles][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int v = 0; v < 4; ++v) {
        const float g = read(gradients[v / 2 * 4 * kPitch + 16 * i + v % 2 * 8]);
        bias_[i][v % 2] += g;
        const Split parts = operand<kSplit>(g);
        high[i][v] = parts.high;
        low[i][v] = parts.low;
      }
    }
    const float least = job_.relu ? 0.f : -INFINITY;  // NaN stays NaN
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      Split b[2];
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const float x = read(inputs[h * 4 * kPitch + 8 * j]);
        b[h] = operand<kSplit>(x < least ? least : x);
      }
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        if constexpr (kSplit) {
          multiply_add_tf32(sums_[i][j], low[i], b[0].high, b[1].high);
          multiply_add_tf32(sums_[i][j], high[i], b[0].low, b[1].low);
        }
        multiply_add_tf32(sums_[i][j], high[i], b[0].high, b[1].high);
      }
    }
  }

  /// Of either half; NaN stays NaN.
  __device__ static std::uint32_t at_least(std::uint32_t both, __nv_bfloat162 least) {
    __nv_bfloat162 numbers;
    memcpy(&numbers, &both, sizeof(both));
    numbers = __hmax2_nan(numbers, least);
    memcpy(&both, &numbers, sizeof(both));
    return both;
  }

  /// Rows in bfloat16: products over 16 rows. The bias is the product with a column of ones.
  __device__ void multiply(const std::uint16_t* gradients, const std::uint16_t* inputs) {
    constexpr std::uint32_t kOnes = 0x3F803F80U;
    const int lane = static_cast<int>(threadIdx.x) % 32, eight = lane / 8 % 2 * 8, sixteen = lane / 16 * 8;
    std::uint32_t a[kRowTiles][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      load_transposed(a[i], gradients + (sixteen + lane % 8) * kPitch + 16 * i + eight);
      float bias[4] = {bias_[i][0], 0, bias_[i][1], 0};
      multiply_add(bias, a[i], kOnes, kOnes, __nv_bfloat16());
      bias_[i][0] = bias[0];
      bias_[i][1] = bias[2];
    }
    const __nv_bfloat162 least = __float2bfloat162_rn(job_.relu ? 0.f : -INFINITY);
#pragma unroll
    for (int j = 0; j < kTiles; j += 2) {
      std::uint32_t b[4];
      load_transposed(b, inputs + (eight + lane % 8) * kPitch + 8 * j + sixteen);
#pragma unroll
      for (std::uint32_t& both : b) both = at_least(both, least);
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        multiply_add(sums_[i][j], a[i], b[0], b[1], __nv_bfloat16());
        multiply_add(sums_[i][j + 1], a[i], b[2], b[3], __nv_bfloat16());
      }
    }
  }

  const WeightKernel& kernel_;
  const WeightJob& job_;
  unsigned char* memory_;
  const int warp_ = static_cast<int>(threadIdx.x) / 32, group_ = threadIdx.x % 32 / 4, quarter_ = threadIdx.x % 4;
  unsigned char* ring_;
  int first_output_, first_input_;
  std::int64_t from_, to_;
  float sums_[kRowTiles][kTiles][4] = {};
  float bias_[kRowTiles][2] = {};
};

template <int kTiles, bool kSplit>
__global__ void __launch_bounds__(kThreads) weight_kernel(const __grid_constant__ WeightKernel kernel) {
  extern __shared__ __align__(16) unsigned char memory[];
  after_previous();
  Square<kTiles, kSplit> square(kernel, memory);
  if (!square.is_there()) return;
  square.add_rows();
  square.store();
}

constexpr int kStretches = 8;

/// A warp takes 32 numbers of a stretch of the parts; the sums of the stretches are added in order.
__global__ void __launch_bounds__(32 * kStretches)
    add_kernel(const float* parts, int count, std::int64_t size, float* out) {
  constexpr int kAtOnce = 16;
  __shared__ float of_stretches[kStretches][32];
  after_previous();
  const int lane = threadIdx.x % 32, stretch = threadIdx.x / 32;
  const std::int64_t i = std::int64_t{blockIdx.x} * 32 + lane, read = min(i, size - 1);
  const int each = (count + kStretches - 1) / kStretches;
  const int from = stretch * each, to = min(from + each, count);
  float sum = 0;
  for (int part = from; part < to; part += kAtOnce) {
    float value[kAtOnce];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) value[n] = parts[min(part + n, to - 1) * size + read];
#pragma unroll
    for (int n = 0; n < kAtOnce; ++n) sum = part + n < to ? sum + value[n] : sum;
  }
  of_stretches[stretch][lane] = sum;
  __syncthreads();
  if (stretch > 0 || i >= size) return;
  for (int s = 1; s < kStretches; ++s) sum += of_stretches[s][lane];
  out[i] = sum;
}

template <int kTiles, bool kSplit>
void launch(const WeightKernel& kernel, cudaStream_t stream) {
  using S = Square<kTiles, kSplit>;
  int squares = 0;
  for (int i = 0; i < kernel.num_jobs; ++i) {
    const WeightJob& job = kernel.jobs[i];
    squares = std::max(squares, blocks_of(job.gradients.width, S::kSide) * blocks_of(job.inputs.width, S::kSide));
  }
  const dim3 grid(static_cast<unsigned>(kernel.num_parts), static_cast<unsigned>(squares),
                  static_cast<unsigned>(kernel.num_jobs));
  const auto run = weight_kernel<kTiles, kSplit>;
  call(cudaFuncSetAttribute(run, cudaFuncAttributeMaxDynamicSharedMemorySize, S::kBytes));
  launch_after(run, grid, kThreads, S::kBytes, stream, kernel);
}

template <int kTiles>
void launch(const WeightKernel& kernel, bool split, cudaStream_t stream) {
  split ? launch<kTiles, true>(kernel, stream) : launch<kTiles, false>(kernel, stream);
}

}  // namespace

void weight_gradient(const WeightKernel& kernel, int tiles, bool split, cudaStream_t stream) {
  // Squares of 48 columns where two or one fill the width, of 32 or 64 otherwise.
  if (tiles == 4) return launch<4>(kernel, split, stream);
  if (tiles == 6 || tiles == 12) return launch<6>(kernel, split, stream);
  launch<8>(kernel, split, stream);
}

void add_parts(const float* parts, int num_parts, std::int64_t size, float* out, cudaStream_t stream) {
  launch_after(add_kernel, blocks_of(size, 32), 32 * kStretches, 0, stream, parts, num_parts, size, out);
}

}  // namespace starling::interactionstep::cuda
