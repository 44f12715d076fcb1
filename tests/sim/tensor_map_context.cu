// Tensor maps against the driver of tensor_map_runtime.cpp: a thread that has called nothing of
// CUDA yet gets its map too. Prints how often a context was bound (test_hopper.py).

#include <cstdio>
#include <thread>

#include "device/tensor_map.h"

int context_binds();

static void make(bool im2col) {
  const int64_t dims[3] = {64, 8, 8}, strides[2] = {256, 2048};
  const int box[3] = {32, 8, 8}, one[1] = {1}, zero[1] = {0};
  if (im2col) {
    gg::tensor_map_im2col(gg::TensorType::f32, 3, nullptr, dims, strides, {zero, zero, one, 32, 8},
                          gg::Swizzle::k128);
  } else {
    gg::tensor_map_tiled(gg::TensorType::f32, 3, nullptr, dims, strides, box, gg::Swizzle::k128);
  }
}

int main() {
  try {
    make(false);
    make(true);
    for (bool im2col : {false, true}) {
      // Exceptions do not leave a thread.
      std::thread([im2col] {
        try {
          make(im2col);
          make(im2col);
        } catch (const std::exception& e) {
          printf("%s\n", e.what());
        }
      }).join();
    }
  } catch (const std::exception& e) {
    printf("%s\n", e.what());
  }
  printf("bound %d times\n", context_binds());
}
