// Function qualifiers for code that runs on both sides of the bus. Includes nothing, so that
// host-only files may use it.
#pragma once

#if defined(__CUDACC__)
#define GG_HD __host__ __device__ __forceinline__
#else
#define GG_HD inline
#endif
