// Runs normalisation on arrays as large as it takes to see how it uses memory, and prints the
// counts. test_norm_budgets.py has what each kernel may use.

#include <cstdlib>

#include "host_array.h"
#include "sim/counters/counters.h"

using namespace gg;

namespace {

const bool is_hopper = (sim::set_architecture(90), true);

/// An array at a multiple of 256 bytes, as cudaMalloc's.
template <class T>
Host<T> device_array(const Shape& shape) {
  Host<T> a(shape);
  const size_t bytes = (a.size * sizeof(T) + 255) / 256 * 256;
  a.data = std::shared_ptr<T[]>(static_cast<T*>(aligned_alloc(256, bytes)), free);
  for (int64_t i = 0; i < a.size; i++) a.data[i] = convert<T>(noise(i) + 2);
  return a;
}

/// Counts what `run` does with images: `reads` of them are read and `writes` written, at the least.
template <class T, class F>
void count(const Host<T>& image, int reads, int writes, F run) {
  const int64_t bytes = image.size * static_cast<int64_t>(sizeof(T));
  sim::reset_counters();
  run();
  printf("NOTE read %ld\nNOTE written %ld\n", reads * bytes, writes * bytes);
  sim::print_counters();
}

/// [N, C, H, W] of memory [N, H, W, C].
Array seen_as_image(const Array& last) {
  return transposed(transposed(last, 1, 3), 2, 3);
}

template <class T>
struct Rows {
  Host<T> x, dy, out, sum, weight, bias, dweight, dbias;
  Host<float> mean, rstd;

  Rows(int64_t m, int64_t d)
      : x(device_array<T>({m, d})),
        dy(device_array<T>({m, d})),
        out(device_array<T>({m, d})),
        sum(device_array<T>({m, d})),
        weight(device_array<T>({d})),
        bias(device_array<T>({d})),
        dweight(device_array<T>({d})),
        dbias(device_array<T>({d})),
        mean(device_array<float>({m})),
        rstd(device_array<float>({m})) {}

  void forward() {
    count(x, 1, 1,
          [&] { layer_norm(nullptr, x, Array(), weight, bias, Array(), out, mean, rstd, 1e-5); });
  }
  void forward_with_residual() {
    count(x, 2, 2, [&] { layer_norm(nullptr, x, dy, weight, bias, sum, out, mean, rstd, 1e-5); });
  }
  void backward() {
    const Host<uint8_t> space =
        device_array<uint8_t>({layer_norm_grad_workspace(x, dweight, dbias)});
    count(x, 2, 1, [&] {
      layer_norm_grad(nullptr, dy, x, weight, mean, rstd, Array(), out, dweight, dbias, space);
    });
  }
};

template <class T>
struct Images {
  Host<T> x, dy, out;
  Array x_image, dy_image, out_image;
  Host<float> mean, rstd, weight, bias, dweight, dbias, group_mean, group_rstd;

  Images(const Shape& s, bool last)
      : x(device_array<T>(s)),
        dy(device_array<T>(s)),
        out(device_array<T>(s)),
        x_image(last ? seen_as_image(x) : Array(x)),
        dy_image(last ? seen_as_image(dy) : Array(dy)),
        out_image(last ? seen_as_image(out) : Array(out)),
        mean(device_array<float>({x_image.shape[1]})),
        rstd(device_array<float>({x_image.shape[1]})),
        weight(device_array<float>({x_image.shape[1]})),
        bias(device_array<float>({x_image.shape[1]})),
        dweight(device_array<float>({x_image.shape[1]})),
        dbias(device_array<float>({x_image.shape[1]})),
        group_mean(device_array<float>({s[0], 4})),
        group_rstd(device_array<float>({s[0], 4})) {}

  void stats() {
    const Host<uint8_t> space = device_array<uint8_t>({batch_norm_stats_workspace(x_image)});
    count(x, 1, 1, [&] {
      batch_norm_stats(nullptr, x_image, mean, rstd, Array(), Array(), 0.1, 1e-5, space);
    });
  }
  void apply() {
    count(x, 1, 1, [&] {
      batch_norm_apply(nullptr, x_image, mean, rstd, weight, bias, Array(), Activation::relu,
                       out_image);
    });
  }
  void backward() {
    const Host<uint8_t> space = device_array<uint8_t>({batch_norm_grad_workspace(x_image)});
    count(x, 2, 1, [&] {
      batch_norm_grad(nullptr, dy_image, x_image, Array(), mean, rstd, weight, Activation::none,
                      false, out_image, dweight, dbias, Array(), space);
    });
  }
  void groups() {
    count(x, 1, 1, [&] {
      group_norm(nullptr, x_image, weight, bias, out_image, group_mean, group_rstd, 1e-5);
    });
  }
};

}  // namespace

// clang-format off
CASE(rows_64x1024) { Rows<float>(64, 1024).forward(); }
CASE(rows_64x4096_f16) { Rows<f16>(64, 4096).forward(); }
CASE(rows_2x80000) { Rows<float>(2, 80000).forward(); }
CASE(rows_residual_64x1024) { Rows<float>(64, 1024).forward_with_residual(); }
CASE(rows_grad_2048x1024) { Rows<float>(2048, 1024).backward(); }
CASE(rows_grad_512x256_f16) { Rows<f16>(512, 256).backward(); }
CASE(stats_nchw) { Images<float>({4, 16, 64, 64}, false).stats(); }
CASE(stats_last_f16) { Images<f16>({4, 32, 32, 64}, true).stats(); }
CASE(apply_nchw_f16) { Images<f16>({4, 16, 32, 32}, false).apply(); }
CASE(apply_last) { Images<float>({4, 32, 32, 64}, true).apply(); }
CASE(grad_nchw) { Images<float>({4, 16, 64, 64}, false).backward(); }
CASE(grad_last_f16) { Images<f16>({4, 32, 32, 64}, true).backward(); }
CASE(groups_nchw) { Images<float>({4, 16, 32, 32}, false).groups(); }
CASE(groups_last_f16) { Images<f16>({4, 16, 16, 64}, true).groups(); }
// clang-format on
