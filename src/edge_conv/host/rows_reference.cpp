#include "edge_conv/host/rows.h"

namespace starling::edgeconv {

void get_kernels_reference(Kernels<float>& kernels) { fill_kernels(kernels); }
void get_kernels_reference(Kernels<double>& kernels) { fill_kernels(kernels); }

}  // namespace starling::edgeconv
