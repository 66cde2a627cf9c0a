#include "message/host/rows.h"

namespace starling::message {

void get_kernels_avx512(Kernels<float>& kernels) { fill_kernels(kernels); }
void get_kernels_avx512(Kernels<double>& kernels) { fill_kernels(kernels); }

}  // namespace starling::message
