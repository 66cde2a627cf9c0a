#pragma once

// A function that host and device share. On the host each source has its own: some are compiled for several instruction
// sets, and the linker must not choose one of those for all.
#ifdef __CUDACC__
#define STARLING_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define STARLING_HOST_DEVICE static inline
#endif
