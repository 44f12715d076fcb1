// With cuda_stubs.cpp stands in for CUDA's runtime and driver under tensor_map_context.cu: as the
// real driver does, it encodes a map only in a thread where a context is current, and cudaFree
// makes one so.

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstring>

static thread_local bool bound = false;
static int binds = 0;

int context_binds() {
  return binds;
}

static CUresult current_context(CUcontext* context) {
  *context = bound ? reinterpret_cast<CUcontext>(&binds) : nullptr;
  return CUDA_SUCCESS;
}

static CUresult encode(...) {
  return bound ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

extern "C" {

cudaError_t cudaFree(void*) {
  bound = true;
  binds++;
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  const bool context = strcmp(name, "cuCtxGetCurrent") == 0;
  *function = context ? reinterpret_cast<void*>(current_context) : reinterpret_cast<void*>(encode);
  *result = cudaDriverEntryPointSuccess;
  return cudaSuccess;
}
}
