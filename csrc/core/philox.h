// Random numbers from counters: the same bits on every device, in any order, on any number of
// threads. This file is the definition; gpugrad/backends/reference and csrc/cpu follow it.
//
// Only + - * /, sqrt, comparisons and bit operations on float64 and integers, in the order written,
// each rounded (no libm, no fused multiply-add): random.cu is built with -fmad=false, the host with
// -ffp-contract=off.
//
// Philox4x32-10: Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "device/qualifiers.h"

namespace gg {

// ---- Philox ------------------------------------------------------------------------------------

/// The four words of one counter.
struct PhiloxWords {
  uint32_t w[4];
};

/// One stream: a key and the upper half of the counter.
struct PhiloxStream {
  uint64_t seed;
  uint64_t offset;  ///< base + call, wrapping
};

/// Stream of a draw: state = {seed, base} in device memory, call numbers the generator's draws.
GG_HD PhiloxStream philox_stream(const int64_t* state, int64_t call) {
  return {static_cast<uint64_t>(state[0]),
          static_cast<uint64_t>(state[1]) + static_cast<uint64_t>(call)};
}

/// Words of counter {lo(c), hi(c), lo(offset), hi(offset)} under key {lo(seed), hi(seed)}.
/// Ten rounds; the key grows by the Weyl constants between rounds (nine times).
GG_HD PhiloxWords philox(PhiloxStream stream, uint64_t c) {
  uint32_t c0 = static_cast<uint32_t>(c), c1 = static_cast<uint32_t>(c >> 32);
  uint32_t c2 = static_cast<uint32_t>(stream.offset);
  uint32_t c3 = static_cast<uint32_t>(stream.offset >> 32);
  uint32_t k0 = static_cast<uint32_t>(stream.seed);
  uint32_t k1 = static_cast<uint32_t>(stream.seed >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{0xD2511F53} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {{c0, c1, c2, c3}};
}

/// 64 bits of words 2k (low) and 2k + 1 (high), k = 0 or 1.
GG_HD uint64_t philox_pair(const PhiloxWords& words, int k) {
  return uint64_t{words.w[2 * k]} | uint64_t{words.w[2 * k + 1]} << 32;
}

// ---- uniform -----------------------------------------------------------------------------------

/// u in [0, 1) of `bits` <= 32 bits, exact: the upper bits of a word.
GG_HD double unit_from_word(uint32_t word, int bits) {
  return static_cast<double>(word >> (32 - bits)) * (1.0 / static_cast<double>(1ull << bits));
}

/// u in [0, 1) of 53 bits, exact: the upper bits of a pair of words.
GG_HD double unit_from_pair(uint64_t pair) {
  return static_cast<double>(static_cast<int64_t>(pair >> 11)) * (1.0 / 9007199254740992.0);
}

/// The affine map of `uniform`. limit: the largest number of y's dtype below high, but not less
/// than low, found by the host. The caller rounds the result to y's dtype (float16 and bfloat16:
/// to float32 first, then to the half).
GG_HD double uniform_value(double u, double low, double high, double limit) {
  const double x = low + (high - low) * u;
  return x > limit ? limit : x;
}

/// The map of `uniform` for integer y; span = high - low, at most 2^32.
GG_HD int64_t uniform_integer(uint32_t word, int64_t low, uint64_t span) {
  return low + static_cast<int64_t>(uint64_t{word} * span >> 32);
}

/// Bernoulli and dropout: is the 24-bit u = (word >> 8) / 2^24 below p? Exact in T: float for
/// float16, bfloat16 and float32 p, double for float64.
template <class T>
GG_HD bool unit_below(uint32_t word, T p) {
  return static_cast<T>(static_cast<int32_t>(word >> 8)) * static_cast<T>(1.0 / 16777216.0) < p;
}

/// The same for a p that all elements share: (word >> 8) < threshold decides it in integers.
GG_HD uint32_t unit_threshold(double p) {
  return static_cast<uint32_t>(std::ceil(p * 16777216.0));
}

// ---- normal ------------------------------------------------------------------------------------

GG_HD double double_from_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

GG_HD uint64_t bits_of_double(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof(x));
  return bits;
}

/// log u for normal u in (0, 1].
///   u = m 2^e with m in [0.5, 1) (frexp); if m < sqrt(1/2): m = m + m, e = e - 1.
///   f = m - 1;  s = f / (m + 1);  t = s s;  log m = 2 s + s t Q(t), Q by Horner's rule, fitted to
///   (2 atanh(s) / s - 2) / t on [0, 0.0295] (relative error of log m below 1e-17).
///   log u = e ln2_hi + (2 s + (s (t Q) + e ln2_lo)); e ln2_hi is exact.
GG_HD double philox_log(double u) {
  const uint64_t bits = bits_of_double(u);
  double e = static_cast<double>(static_cast<int32_t>(bits >> 52) - 1022);
  double m = double_from_bits((bits & 0x000FFFFFFFFFFFFFull) | 0x3FE0000000000000ull);
  const bool small = m < 0.7071067811865476;
  m = small ? m + m : m;
  e = small ? e - 1.0 : e;
  const double s = (m - 1.0) / (m + 1.0);
  const double t = s * s;
  double q = 0x1.2b584aae78a57p-3;   // 0.14616449685043406
  q = q * t + 0x1.39fe606542ddep-3;  // 0.15331721600556042
  q = q * t + 0x1.7462b4ab2ef6bp-3;  // 0.18182889125261723
  q = q * t + 0x1.c71c62e5800a1p-3;  // 0.22222211134794808
  q = q * t + 0x1.2492492df148dp-2;  // 0.28571428625975487
  q = q * t + 0x1.99999999952e2p-2;  // 0.39999999999899505
  q = q * t + 0x1.5555555555558p-1;  // 0.666666666666667
  const double ln2_hi = 0x1.62e42fefp-1, ln2_lo = 0x1.473de6af278edp-34;
  return e * ln2_hi + ((s + s) + (s * (t * q) + e * ln2_lo));
}

struct Pair {
  double first, second;
};

/// {cos, sin} of 2 pi u, u in [0, 1) a multiple of 2^-52.
///   x = 4 u;  q = floor(x + 0.5), 0..4;  f = x - q in [-0.5, 0.5] (exact);  t = f f;
///   c = cos(pi f / 2) = 1 + t C(t),  s = sin(pi f / 2) = f pi/2 + f (t S(t)), both by Horner's
///   rule, fitted on [0, 0.25] (errors below 1e-16).  q odd: (c, s) = (-s, c);  q in {2, 3}: both
///   change sign. (q = 4 is q = 0.)
GG_HD Pair philox_cos_sin(double u) {
  const double x = 4.0 * u;
  const int q = static_cast<int>(x + 0.5);
  const double f = x - static_cast<double>(q);
  const double t = f * f;
  double c = -0x1.b2f3eb054afcdp-28;  // -6.329396344967424e-09
  c = c * t + 0x1.f9ce245cada0bp-22;  // 4.710678405505227e-07
  c = c * t - 0x1.a6d1eef479be1p-16;  // 2.5202039028029178e-05
  c = c * t + 0x1.e1f5068688d5bp-11;  // 0.0009192602745468447
  c = c * t - 0x1.55d3c7e3cb241p-6;   // 0.020863480763340773
  c = c * t + 0x1.03c1f081b5acp-2;    // 0.2536695079010478
  c = c * t - 0x1.3bd3cc9be45dep+0;   // 1.2337005501361697
  c = 1.0 + t * c;
  double s = 0x1.e4a9d9166f052p-25;   // 5.642225369163528e-08
  s = s * t - 0x1.e3027dea82bd7p-19;  // 3.5987029509735105e-06
  s = s * t + 0x1.50783208843ebp-13;  // 0.00016044116661409423
  s = s * t - 0x1.32d2cce500387p-8;   // 0.004681754134254207
  s = s * t + 0x1.466bc6775a476p-4;   // 0.07969262624614423
  s = s * t - 0x1.4abbce625be52p-1;   // 0.6459640975062462
  s = f * 0x1.921fb54442d18p+0 + f * (t * s);
  const double first = q & 1 ? -s : c, second = q & 1 ? c : s;
  return {q & 2 ? -first : first, q & 2 ? -second : second};
}

/// The number in [1, 2) whose fraction is the upper 52 bits of a pair of words.
GG_HD double one_to_two(uint64_t pair) {
  return double_from_bits(uint64_t{0x3FF0000000000000} | pair >> 12);
}

/// sqrt(-2 log u), u = 2 - one_to_two, in (0, 1].
GG_HD double philox_radius(uint64_t pair) {
  return std::sqrt(-2.0 * philox_log(2.0 - one_to_two(pair)));
}

/// {cos, sin} of 2 pi v, v = one_to_two - 1, in [0, 1).
GG_HD Pair philox_direction(uint64_t pair) {
  return philox_cos_sin(one_to_two(pair) - 1.0);
}

/// Two independent standard normals of one counter (Box and Muller 1958): the radius of pair 0
/// times the direction of pair 1; the cosine for the even element, the sine for the odd one.
/// y = mean + std z in float64, rounded to y's dtype (halves: to float32 first).
GG_HD Pair philox_normal(const PhiloxWords& words) {
  const double r = philox_radius(philox_pair(words, 0));
  const Pair z = philox_direction(philox_pair(words, 1));
  return {r * z.first, r * z.second};
}

// ---- permutation -------------------------------------------------------------------------------

/// A permutation of 0..n-1 as a function: a balanced Feistel network of eight rounds over numbers
/// of 2 h bits, h >= 3 the least with 4^h >= n, walked until the image is below n (Mitchell,
/// Stokes, Frank, Holmes 2022, "Bandwidth-optimal random shuffling for GPUs"). Round keys: the
/// words of counters 0 and 1. (Over 16 numbers eight rounds do not mix: chi-squared shows it. From
/// 64 they do.)
struct Feistel {
  uint32_t key[8];
  uint64_t n;
  int half;
};

GG_HD Feistel feistel(PhiloxStream stream, int64_t n) {
  const PhiloxWords a = philox(stream, 0), b = philox(stream, 1);
  Feistel network{{a.w[0], a.w[1], a.w[2], a.w[3], b.w[0], b.w[1], b.w[2], b.w[3]},
                  static_cast<uint64_t>(n),
                  3};
  while (uint64_t{1} << (2 * network.half) < network.n) network.half++;
  return network;
}

/// 32 bits that all depend on every bit of x: xor-shifts and odd multipliers.
GG_HD uint32_t mix_bits(uint32_t x) {
  x = (x ^ x >> 16) * 0x7FEB352D;
  x = (x ^ x >> 15) * 0x846CA68B;
  return x ^ x >> 16;
}

/// Image of i. One pass: left, right = upper and lower h bits; eight times
/// left, right = right, left ^ (mix_bits(right + key[round]) mod 2^h); then join them again.
GG_HD int64_t feistel_image(const Feistel& network, int64_t i) {
  const uint32_t mask = static_cast<uint32_t>((uint64_t{1} << network.half) - 1);
  uint64_t x = static_cast<uint64_t>(i);
  do {
    uint32_t left = static_cast<uint32_t>(x >> network.half);
    uint32_t right = static_cast<uint32_t>(x) & mask;
    for (int round = 0; round < 8; round++) {
      const uint32_t next = left ^ (mix_bits(right + network.key[round]) & mask);
      left = right;
      right = next;
    }
    x = uint64_t{left} << network.half | right;
  } while (x >= network.n);
  return static_cast<int64_t>(x);
}

}  // namespace gg
