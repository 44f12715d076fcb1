// See typed_runs.h: every loop that reads or writes a run, once for all operations.
#include "cpu/typed_runs.h"

#include <cmath>
#include <type_traits>

#include "core/checks.h"
#include "cpu/runs.h"

namespace gg {
namespace {

/// Is S read as T?
template <class T, class S>
constexpr bool reads() {
  if constexpr (std::is_same_v<T, uint8_t>) {
    return true;
  } else if constexpr (std::is_same_v<T, float>) {
    return is_half<S> || std::is_same_v<S, float>;
  } else if constexpr (std::is_same_v<T, double>) {
    return std::is_same_v<S, double>;
  } else {
    return std::is_integral_v<S> && sizeof(S) <= sizeof(T);
  }
}

template <class T, class S>
void read(const void* x, int64_t stride, T* __restrict run, int64_t n) {
  using Stored = std::conditional_t<std::is_same_v<S, bool>, uint8_t, S>;
  const Stored* const from = static_cast<const Stored*>(x);
  if constexpr (std::is_same_v<T, float> && is_half<S>) {
    read_run(from, stride, run, n);
  } else {
    const auto as_t = [](Stored v) {
      if constexpr (std::is_same_v<T, uint8_t> || std::is_same_v<S, bool>) {
        return static_cast<T>(convert<bool>(v));  // others' bytes may be neither 0 nor 1
      } else {
        return static_cast<T>(v);
      }
    };
    if (stride == 1) {
      for (int64_t i = 0; i < n; i++) run[i] = as_t(from[i]);
    } else {
      for (int64_t i = 0; i < n; i++) run[i] = as_t(from[i * stride]);
    }
  }
}

/// Do all fit int32? (NaN does not.)
bool all_narrow(const float* x, int64_t n) {
  int wide = 0;
  for (int64_t i = 0; i < n; i++) wide |= !(std::fabs(x[i]) < 0x1p31f);
  return wide == 0;
}

template <class T, class S>
void write(const T* __restrict run, void* y, int64_t stride, int64_t n) {
  S* const to = static_cast<S*>(y);
  if constexpr (std::is_same_v<T, float> && std::is_signed_v<S> && sizeof(S) >= 4 &&
                std::is_integral_v<S>) {
    if (stride == 1 && all_narrow(run, n)) {  // vectors have no other conversion
      for (int64_t i = 0; i < n; i++) to[i] = static_cast<int32_t>(run[i]);
      return;
    }
  }
  write_run(run, to, stride, n);
}

template <class F8>
void read_float8(const void* x, int64_t stride, float* __restrict run, int64_t n) {
  const F8* const from = static_cast<const F8*>(x);
  for (int64_t i = 0; i < n; i++) run[i] = to_float(from[i * stride]);
}

template <class T, class F8>
void write_float8(const T* __restrict run, void* y, int64_t stride, int64_t n) {
  F8* const to = static_cast<F8*>(y);
  for (int64_t i = 0; i < n; i++) to[i * stride] = from_float<F8>(static_cast<float>(run[i]));
}

}  // namespace

template <class T>
RunReader<T>::RunReader(DType dtype) : itemsize(dtype_size(dtype)) {
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::f8e4m3) read = &read_float8<f8e4m3>;
    if (dtype == DType::f8e5m2) read = &read_float8<f8e5m2>;
    if (read) return;
  }
  dispatch_all(dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    same = std::is_same_v<S, T> && !std::is_same_v<T, uint8_t>;  // that is truth, see read
    if constexpr (reads<T, S>()) this->read = &gg::read<T, S>;
  });
  if (read == nullptr) fail("RunReader", "not for ", dtype);
}

template <class T>
RunWriter<T>::RunWriter(DType dtype) : itemsize(dtype_size(dtype)) {
  if constexpr (!std::is_same_v<T, uint8_t>) {
    if (dtype == DType::f8e4m3) write = &write_float8<T, f8e4m3>;
    if (dtype == DType::f8e5m2) write = &write_float8<T, f8e5m2>;
    if (write) return;
  }
  dispatch_all(dtype, [&](auto tag) {
    using S = typename decltype(tag)::type;
    same = std::is_same_v<S, T>;
    if constexpr (!std::is_same_v<T, uint8_t>) this->write = &gg::write<T, S>;
  });
  if constexpr (std::is_same_v<T, uint8_t>) {
    same = dtype == DType::boolean;
    if (same) write = &gg::write<uint8_t, bool>;
  }
  if (write == nullptr) fail("RunWriter", "not for ", dtype);
}

template struct RunReader<float>;
template struct RunReader<double>;
template struct RunReader<int32_t>;
template struct RunReader<int64_t>;
template struct RunReader<uint8_t>;
template struct RunWriter<float>;
template struct RunWriter<double>;
template struct RunWriter<int32_t>;
template struct RunWriter<int64_t>;
template struct RunWriter<uint8_t>;

}  // namespace gg
