#include "message/host/rows.h"

namespace starling::message {

void get_kernels_avx2(Kernels<float, float>& kernels) { fill_kernels(kernels); }
void get_kernels_avx2(Kernels<double, double>& kernels) { fill_kernels(kernels); }
void get_kernels_avx2(Kernels<float, Float16>& kernels) { fill_kernels(kernels); }
void get_kernels_avx2(Kernels<float, BFloat16>& kernels) { fill_kernels(kernels); }

}  // namespace starling::message
