// With cuda_stubs.cpp stands in for CUDA's runtime under launch_limits.cu: a kernel's limit is the
// last that was set.

#include <cuda_runtime_api.h>
#include <unistd.h>

#include <atomic>

static std::atomic<size_t> limit{48 * 1024};
static std::atomic<int> refused{0};

int refusals() {
  return refused;
}

extern "C" {

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int value) {
  limit = value;
  return cudaSuccess;
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void*, void**) {
  usleep(200);  // the other thread's turn
  if (config->dynamicSmemBytes <= limit) return cudaSuccess;
  refused++;
  return cudaErrorInvalidValue;
}

cudaError_t cudaPeekAtLastError() {
  return cudaSuccess;
}
cudaError_t cudaFuncGetName(const char** name, const void*) {
  *name = "kernel";
  return cudaSuccess;
}
}
