// What pools have in common: the problem, and its windows and taps, walked.
#pragma once

#include "kernels/storage.cuh"
#include "kernels/windows.cuh"

namespace gg {

struct Pool {
  DeviceAxis z, y, x;
  Image input, output, numbers;  ///< numbers: of a max pool
  PlaceWalk walk;                ///< over the outputs, or for a gradient the inputs
  bool wide_numbers;             ///< int32, else uint8
  DType dtype;
};

/// `over` is what the walk is over: `w`'s outputs or inputs.
inline Pool make_pool(const char* op, const Windows& w, const Array& input, const Array& output,
                      const Array& numbers, bool over_inputs, int vector) {
  const WindowAxis* const a = w.axis;
  const int64_t outputs[3] = {a[0].out, a[1].out, a[2].out};
  const int64_t inputs[3] = {a[0].size, a[1].size, a[2].size};
  const Image in(input), out(output);
  return {DeviceAxis(a[0]),
          DeviceAxis(a[1]),
          DeviceAxis(a[2]),
          in,
          out,
          numbers ? Image(numbers) : Image(),
          over_inputs ? PlaceWalk(op, in, inputs, vector) : PlaceWalk(op, out, outputs, vector),
          numbers && numbers.dtype == DType::i32,
          input.dtype};
}

/// f(input offset of a tap, the tap's number) over the taps of a window that lie inside, ascending.
template <class F>
GG_DEVICE void for_each_tap(const Pool& p, const DevicePlace& at, F f) {
  const DeviceSpan zs = p.z.span(at.z), ys = p.y.span(at.y), xs = p.x.span(at.x);
  const int64_t image = at.n * p.input.n + at.c * p.input.c;
  const int64_t step = p.x.dilation * p.input.axis[2];
#pragma unroll 1
  for (int kz = zs.first; kz < zs.end; kz++) {
    const int64_t plane = image + (zs.start + kz * p.z.dilation) * p.input.axis[0];
#pragma unroll 1
    for (int ky = ys.first; ky < ys.end; ky++) {
      const int64_t row = plane + (ys.start + ky * p.y.dilation) * p.input.axis[1];
      const int64_t window = row + xs.start * p.input.axis[2];
      const int number = (kz * p.y.taps + ky) * p.x.taps;
#pragma unroll 1
      for (int kx = xs.first; kx < xs.end; kx++) f(window + kx * step, number + kx);
    }
  }
}

/// f(the window's place, its tap's number) over the windows that hold an input, ascending.
template <class F>
GG_DEVICE void for_each_window(const Pool& p, const DevicePlace& at, F f) {
  const int end_z = p.z.end_window(at.z), end_y = p.y.end_window(at.y);
  const int first_y = p.y.first_window(at.y);
  const int first_x = p.x.first_window(at.x), end_x = p.x.end_window(at.x);
#pragma unroll 1
  for (int z = p.z.first_window(at.z); z < end_z; z++) {
    const int kz = p.z.tap(z, at.z);
    if (kz < 0) continue;
#pragma unroll 1
    for (int y = first_y; y < end_y; y++) {
      const int ky = p.y.tap(y, at.y);
      if (ky < 0) continue;
#pragma unroll 1
      for (int x = first_x; x < end_x; x++) {
        const int kx = p.x.tap(x, at.x);
        if (kx < 0) continue;
        f(DevicePlace{at.n, at.c, z, y, x}, (kz * p.y.taps + ky) * p.x.taps + kx);
      }
    }
  }
}

/// f(Tag<storage>) for floating arrays, of which `arrays` must all allow vectors.
template <class F>
inline void dispatch_storage(DType dtype, std::initializer_list<const Array*> arrays, F f) {
  if (dtype == DType::f64) return f(Tag<Stored<double, 1>>{});
  const int vector = 16 / dtype_size(dtype);
  bool fits = true;
  for (const Array* a : arrays) fits = fits && channels_in_vectors(*a, vector);
  if (!fits) return f(Tag<AnyFloat<1>>{});
  if (dtype == DType::f32) return f(Tag<Stored<float, 4>>{});
  if (dtype == DType::f16) return f(Tag<Stored<f16, 8>>{});
  f(Tag<Stored<bf16, 8>>{});
}

}  // namespace gg
