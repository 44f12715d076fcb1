// philox_words.h: eight counters in a vector of AVX-512 where the machine has it; else loops for
// the module's instructions.
#include "cpu/philox_words.h"

#include "cpu/wide.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#endif

namespace gg {
namespace {

void plain_words(PhiloxStream stream, uint64_t first, uint32_t* words) {
  constexpr int kPart = 16;
  uint32_t part[4][kPart];
  for (int done = 0; done < kPhiloxCounters; done += kPart, words += 4 * kPart) {
    for (int i = 0; i < kPart; i++) {
      const PhiloxWords w = philox(stream, first + static_cast<uint64_t>(done + i));
      for (int k = 0; k < 4; k++) part[k][i] = w.w[k];
    }
    for (int i = 0; i < kPart; i++) {
      for (int k = 0; k < 4; k++) words[4 * i + k] = part[k][i];
    }
  }
}

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)

typedef uint64_t Eight __attribute__((vector_size(64)));

/// Products of lower halves.
#define GG_PRODUCT(a, b)   \
  reinterpret_cast<Eight>( \
      _mm512_maskz_mul_epu32(0xFF, reinterpret_cast<__m512i>(a), reinterpret_cast<__m512i>(b)))

/// A word to a lane of 64 bits; products read its lower half, so the upper may hold anything. Lanes
/// hold counters 0, 4, 1, 5, 2, 6, 3, 7, so that halves of pairs unpack in order.
GG_WIDE void wide_words(PhiloxStream stream, uint64_t first, uint32_t* words) {
  constexpr Eight order = {0, 4, 1, 5, 2, 6, 3, 7};
  const Eight m0 = Eight{} + 0xD2511F53u, m1 = Eight{} + 0xCD9E8D57u;
  for (int done = 0; done < kPhiloxCounters; done += 8, words += 32) {
    Eight c0 = order + (first + static_cast<uint64_t>(done)), c1 = c0 >> 32;
    Eight c2 = Eight{} + stream.offset, c3 = c2 >> 32;
    uint32_t k0 = static_cast<uint32_t>(stream.seed), k1 = static_cast<uint32_t>(stream.seed >> 32);
    for (int round = 0; round < 10; round++) {
      const Eight p0 = GG_PRODUCT(c0, m0), p1 = GG_PRODUCT(c2, m1);
      c0 = p1 >> 32 ^ c1 ^ k0;
      c2 = p0 >> 32 ^ c3 ^ k1;
      c1 = p1, c3 = p0;
      k0 += 0x9E3779B9, k1 += 0xBB67AE85;
    }
    const Eight a = (c0 & 0xFFFFFFFF) | c1 << 32, b = (c2 & 0xFFFFFFFF) | c3 << 32;
    const Eight even = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    const Eight odd = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    __builtin_memcpy(words, &even, sizeof(even));
    __builtin_memcpy(words + 16, &odd, sizeof(odd));
  }
}

#undef GG_PRODUCT

#else

constexpr auto wide_words = plain_words;

#endif

}  // namespace

void philox_words(PhiloxStream stream, uint64_t first, uint32_t (&words)[kPhiloxWords]) {
  static const auto best = machine_is_wide() ? wide_words : plain_words;
  best(stream, first, words);
}

}  // namespace gg
