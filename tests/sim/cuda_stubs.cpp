// What nvcc's host code needs of CUDA's runtime beside what a program is about: it is linked in the
// runtime's place.

#include <cuda_runtime_api.h>

extern "C" {

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t) {
  return "error";
}
const char* cudaGetErrorString(cudaError_t) {
  return "error";
}

// What nvcc's host code calls at its start and end to register kernels, of which there are none.
void** __cudaRegisterFatBinary(void*) {
  return nullptr;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
char __cudaInitModule(void**) {
  return 0;
}
}
