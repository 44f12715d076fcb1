// The tiles of int_tile.h for the instructions the module is built for: AVX2, or whatever the
// compiler makes of short loops elsewhere.
#include "cpu/int_tile.h"

#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace gg {
namespace {

template <class G>
struct Vector;

#if defined(__AVX2__)

struct Words {
  using Register = __m256i;
  static constexpr int lanes = 8, rows = 6;

  static Register zero() { return _mm256_setzero_si256(); }
  static Register add(Register a, Register b) { return _mm256_add_epi32(a, b); }
};

template <>
struct Vector<Pairs> : Words {
  static Register load(const Pairs* x) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  }
  static Register set(Pairs x) { return _mm256_set1_epi32(static_cast<int>(x)); }
  static Register fma(Register a, Register b, Register c) {
    return _mm256_add_epi32(c, _mm256_madd_epi16(a, b));
  }
  static void store(Pairs* y, Register x) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), x); }
};

template <>
struct Vector<int32_t> : Words {
  static Register load(const int32_t* x) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
  }
  static Register set(int32_t x) { return _mm256_set1_epi32(x); }
  static Register fma(Register a, Register b, Register c) {
    return _mm256_add_epi32(c, _mm256_mullo_epi32(a, b));
  }
  static void store(int32_t* y, Register x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), x);
  }
};

/// There is no product of 64 bits. That of the low halves is summed in `low`; those of a low half
/// and a high one in `crossed`, in 32 bits: more of them do not count, 32 bits further up.
template <>
struct Vector<int64_t> {
  struct Register {
    __m256i low, crossed;
  };
  static constexpr int lanes = 4, rows = 3;

  static Register zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
  static Register load(const int64_t* x) {
    return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x)), _mm256_setzero_si256()};
  }
  static Register set(int64_t x) {
    const __m256i all = _mm256_set1_epi64x(x);
    return {all, _mm256_shuffle_epi32(all, 0xb1)};
  }
  static Register fma(Register a, Register b, Register c) {
    return {_mm256_add_epi64(c.low, _mm256_mul_epu32(a.low, b.low)),
            _mm256_add_epi32(c.crossed, _mm256_mullo_epi32(a.crossed, b.low))};
  }
  static Register add(Register a, Register b) {
    return {_mm256_add_epi64(a.low, b.low), _mm256_add_epi32(a.crossed, b.crossed)};
  }
  static void store(int64_t* y, Register x) {
    const __m256i high =
        _mm256_add_epi64(_mm256_slli_epi64(x.crossed, 32),
                         _mm256_and_si256(x.crossed, _mm256_set1_epi64x(-1LL << 32)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y), _mm256_add_epi64(x.low, high));
  }
};

#else

uint32_t product(Pairs a, Pairs b) {
  const auto half = [](uint32_t x) { return static_cast<int32_t>(static_cast<int16_t>(x)); };
  const uint32_t x = static_cast<uint32_t>(a), y = static_cast<uint32_t>(b);
  return static_cast<uint32_t>(half(x) * half(y)) +
         static_cast<uint32_t>(half(x >> 16) * half(y >> 16));
}
uint32_t product(int32_t a, int32_t b) {
  return static_cast<uint32_t>(a) * static_cast<uint32_t>(b);
}
uint64_t product(int64_t a, int64_t b) {
  return static_cast<uint64_t>(a) * static_cast<uint64_t>(b);
}

template <class G>
struct Vector {
  using Sum = decltype(product(G(), G()));
  struct Register {
    G of[16 / sizeof(G)];
  };
  static constexpr int lanes = 16 / sizeof(G), rows = 4;

  static Register zero() { return {}; }
  static Register load(const G* x) {
    Register y;
    for (int l = 0; l < lanes; l++) y.of[l] = x[l];
    return y;
  }
  static Register set(G x) {
    Register y;
    for (int l = 0; l < lanes; l++) y.of[l] = x;
    return y;
  }
  static Register fma(Register a, Register b, Register c) {
    for (int l = 0; l < lanes; l++) {
      c.of[l] = static_cast<G>(static_cast<Sum>(c.of[l]) + product(a.of[l], b.of[l]));
    }
    return c;
  }
  static Register add(Register a, Register b) {
    for (int l = 0; l < lanes; l++) {
      a.of[l] = static_cast<G>(static_cast<Sum>(a.of[l]) + static_cast<Sum>(b.of[l]));
    }
    return a;
  }
  static void store(G* y, Register x) {
    for (int l = 0; l < lanes; l++) y[l] = x.of[l];
  }
};

#endif

}  // namespace
}  // namespace gg

#include "cpu/int_tile_body.h"

namespace gg {
namespace {

bool machine_has_vnni() {
#if defined(__x86_64__) && defined(__GNUC__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}

}  // namespace

template <class G>
const IntTiles<G>* int_tiles() {
  static const IntTiles<G>* const best = machine_has_vnni() ? int_tiles_avx512<G>() : nullptr;
  if constexpr (std::is_same_v<G, Quads>) {
    return best;
  } else {
    static constexpr IntTiles<G> own = all_int_tiles<G>();
    return best ? best : &own;
  }
}

template const IntTiles<Quads>* int_tiles<Quads>();
template const IntTiles<Pairs>* int_tiles<Pairs>();
template const IntTiles<int32_t>* int_tiles<int32_t>();
template const IntTiles<int64_t>* int_tiles<int64_t>();

}  // namespace gg
