// wgmma: the product itself. Issuing it is in wgmma.cpp.
//
// Products are exact; they and d are cut off some bits below the largest exponent among them, then
// added, and the sum is truncated to float, or to 13 fraction bits for fp8 (wgmma.h). A and B are
// read from shared memory when the product runs.

#include "device/types.h"
#include "sim/count.h"
#include "sim/team.h"

namespace gg::sim {

/// Operands and accumulators of the product being computed, read as vectors of 32 bytes.
struct alignas(32) WgmmaTiles {
  union {
    double b[32][256];  ///< by k
    int32_t b_int[32][256];
  };
  union {
    double a[64][32];
    int32_t a_int[64][32];
  };
  union {
    float d[64][256];
    int32_t d_int[64][256];
  };
  double a_power[64][32], b_power[32][256];  ///< 2 to the exponents of a and b
};

WgmmaTiles* new_wgmma_tiles() {
  return new WgmmaTiles;
}
void WgmmaTilesDeleter::operator()(WgmmaTiles* tiles) const {
  delete tiles;
}

namespace {

constexpr unsigned kRowBytes = 32;  // of K in one product

bool is_integer(WgmmaType type) {
  return type == WgmmaType::s8 || type == WgmmaType::u8;
}

int element_bytes(WgmmaType type) {
  if (type == WgmmaType::tf32) return 4;
  return type == WgmmaType::f16 || type == WgmmaType::bf16 ? 2 : 1;
}

// ---- reading operands --------------------------------------------------------------------------

/// A descriptor's fields (PTX ISA, Matrix Descriptor Format).
struct Layout {
  uint32_t start, leading, stride;
  int span;  ///< bytes of a swizzled row; 0 without a swizzle
  bool trans;

  Layout(uint64_t descriptor, bool transposed)
      : start(static_cast<uint32_t>(descriptor & 0x3fff) << 4),
        leading(static_cast<uint32_t>(descriptor >> 16 & 0x3fff) << 4),
        stride(static_cast<uint32_t>(descriptor >> 32 & 0x3fff) << 4),
        trans(transposed) {
    constexpr int spans[] = {0, 128, 64, 32};
    span = spans[descriptor >> 62];
  }

  /// Where the 16 bytes lie that begin at byte 16 * unit of row mn's K.
  uint32_t k_major(uint32_t mn, uint32_t unit) const {
    if (span == 0) return start + mn / 8 * stride + mn % 8 * 16 + unit * leading;
    const uint32_t row = static_cast<uint32_t>(span);
    return swizzled(start + mn / 8 * stride + mn % 8 * row + unit * 16, span);
  }
  /// Where the 8 elements (of 16 bits) lie that begin at row 8 * unit, at one k.
  uint32_t mn_major(uint32_t unit, uint32_t k) const {
    if (span == 0) return start + unit * stride + k % 8 * 16 + k / 8 * leading;
    const uint32_t row = static_cast<uint32_t>(span), units = row / 16;
    return swizzled(
        start + unit / units * leading + unit % units * 16 + k % 8 * row + k / 8 * stride, span);
  }
};

/// 16 bytes of shared memory, as a product reads them.
const char* read_unit(const Job& job, uint32_t address) {
  Block& block = *job.lane->block;
  const char* p = block.arena + address;
  if (address < kReservedShared || address + 16 > kArenaBytes || region_is_poisoned(p, 16)) {
    fail_job(job,
             "wgmma: reads shared address 0x%x, which is outside any shared array, or has a "
             "load in flight",
             address);
  }
  tsan_read(p, 16);
  return p;
}

template <class Bits, class T, class F>
int convert_each(const char* p, T (&out)[16], F number) {
  constexpr int n = 16 / sizeof(Bits);
  Bits bits[n];
  __builtin_memcpy(bits, p, 16);
  for (int i = 0; i < n; i++) out[i] = static_cast<T>(number(bits[i]));
  return n;
}

/// The elements of 16 bytes as numbers; returns how many.
template <class T>
int convert_unit(WgmmaType type, const char* p, T (&out)[16]) {
  switch (type) {
    case WgmmaType::f16:
      return convert_each<uint16_t>(p, out, [](uint16_t b) { return to_float(f16{b}); });
    case WgmmaType::bf16:
      return convert_each<uint16_t>(p, out, [](uint16_t b) { return to_float(bf16{b}); });
    case WgmmaType::tf32:
      return convert_each<uint32_t>(p, out, [](uint32_t b) { return bits_float(b & ~0x1fffu); });
    case WgmmaType::e4m3:
      return convert_each<uint8_t>(p, out, [](uint8_t b) { return to_float(f8e4m3{b}); });
    case WgmmaType::e5m2:
      return convert_each<uint8_t>(p, out, [](uint8_t b) { return to_float(f8e5m2{b}); });
    case WgmmaType::s8:
      return convert_each<int8_t>(p, out, [](int8_t b) { return b; });
    default:
      return convert_each<uint8_t>(p, out, [](uint8_t b) { return b; });
  }
}

/// Calls f(address, mn, k) for every 16 bytes of an operand of `rows` rows in shared memory; mn and
/// k are counted in units of 16 bytes in the dimension that is contiguous, else in elements.
template <class F>
void for_each_unit(const Layout& layout, int rows, F f) {
  if (layout.trans) {
    for (int unit = 0; unit < rows / 8; unit++) {
      for (int k = 0; k < 16; k++) {
        f(layout.mn_major(static_cast<uint32_t>(unit), static_cast<uint32_t>(k)), unit, k);
      }
    }
    return;
  }
  for (int mn = 0; mn < rows; mn++) {
    for (int unit = 0; unit < 2; unit++) {
      f(layout.k_major(static_cast<uint32_t>(mn), static_cast<uint32_t>(unit)), mn, unit);
    }
  }
}

/// Calls put(mn, k, value) for every element.
template <class T, class Put>
void read_operand(const Job& job, const Layout& layout, WgmmaType type, int rows, Put put) {
  T values[16];
  for_each_unit(layout, rows, [&](uint32_t address, int mn, int k) {
    const int n = convert_unit(type, read_unit(job, address), values);
    if (layout.trans) {
      for (int i = 0; i < 8; i++) put(8 * mn + i, k, values[i]);
    } else {
      for (int i = 0; i < n; i++) put(mn, n * k + i, values[i]);
    }
  });
}

/// The same for A in registers: register j of a thread is 4 bytes of a row.
template <class T, class Put>
void read_registers(const Product& p, Put put) {
  const int n = 4 / element_bytes(p.call.a_type);
  T values[16];
  for (int t = 0; t < static_cast<int>(kWarpgroup); t++) {
    char unit[16] = {};
    __builtin_memcpy(unit, p.a[t], 16);
    convert_unit(p.call.a_type, unit, values);
    for (int j = 0; j < 4; j++) {
      const int row = t / 32 * 16 + t % 32 / 4 + j % 2 * 8;
      for (int i = 0; i < n; i++) put(row, (t % 4 + j / 2 * 4) * n + i, values[j * n + i]);
    }
  }
}

// ---- the product -------------------------------------------------------------------------------

typedef double Double4 __attribute__((vector_size(32)));
typedef float Float4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef int32_t Int4 __attribute__((vector_size(16)));
typedef int64_t Long4 __attribute__((vector_size(32)));
typedef uint32_t Unsigned8 __attribute__((vector_size(32), aligned(4), may_alias));

/// What tensor cores keep of a floating sum.
struct KeptBits {
  int term;    ///< fraction bits of a term, counted from the largest exponent of all
  int sum;     ///< of the sum, counted from its own
  double low;  ///< 2 to the least exponent of the operands' type, which subnormals have

  explicit KeptBits(WgmmaType type) {
    const bool fp8 = type == WgmmaType::e4m3 || type == WgmmaType::e5m2;
    term = fp8 ? 13 : 25, sum = fp8 ? 13 : 23;
    const bool half = type == WgmmaType::f16 || type == WgmmaType::e5m2;
    low = half ? 0x1p-14 : type == WgmmaType::e4m3 ? 0x1p-6 : 0x1p-126;
  }
};

constexpr int64_t kExponentBits = 0x7ff0000000000000;

/// 2 to the exponent of x, at least `low`; 0 for 0.
double power_of(double x, double low) {
  int64_t bits;
  __builtin_memcpy(&bits, &x, 8);
  bits &= kExponentBits;
  double power;
  __builtin_memcpy(&power, &bits, 8);
  return x == 0 || power > low ? power : low;
}

/// Toward zero to a whole number below 2^31.
Double4 whole(Double4 x) {
  return __builtin_convertvector(__builtin_convertvector(x, Int4), Double4);
}

/// To float toward zero, with `kept` of a double's 52 fraction bits.
Float4 truncate(Double4 x, int kept) {
  const Long4 bits = reinterpret_cast<Long4>(x) & ~((int64_t{1} << (52 - kept)) - 1);
  return __builtin_convertvector(reinterpret_cast<Double4>(bits), Float4);
}

/// d + a b for one row and four columns.
Double4 dot(const WgmmaTiles& t, int i, int j, int k, int term_bits, Double4 d) {
  const auto four = [&](const double (&row)[256]) {
    return *reinterpret_cast<const Double4*>(&row[j]);
  };
  const Double4 of_d = reinterpret_cast<Double4>(reinterpret_cast<Long4>(d) & kExponentBits);
  Double4 largest = of_d > 0x1p-126 ? of_d : Double4{} + 0x1p-126, exact = d;
  for (int l = 0; l < k; l++) {
    const Double4 power = t.a_power[i][l] * four(t.b_power[l]);
    largest = power > largest ? power : largest;
    exact += t.a[i][l] * four(t.b[l]);
  }
  const Double4 unit = largest * (1.0 / static_cast<double>(int64_t{1} << term_bits));
  const Double4 scale = 1.0 / unit;
  Double4 sum = whole(d * scale);
  for (int l = 0; l < k; l++) sum += whole(t.a[i][l] * four(t.b[l]) * scale);
  return exact - exact == 0.0 ? sum * unit : exact;  // exact where it is not finite
}

void multiply(WgmmaTiles& t, int n, int k, const KeptBits& kept) {
  for (int i = 0; i < 64; i++) {
    for (int l = 0; l < k; l++) t.a_power[i][l] = power_of(t.a[i][l], kept.low);
  }
  for (int l = 0; l < k; l++) {
    for (int j = 0; j < n; j++) t.b_power[l][j] = power_of(t.b[l][j], kept.low);
  }
  for (int i = 0; i < 64; i++) {
    for (int j = 0; j < n; j += 4) {
      Float4* const d = reinterpret_cast<Float4*>(&t.d[i][j]);
      const Double4 sum = dot(t, i, j, k, kept.term, __builtin_convertvector(*d, Double4));
      *d = truncate(sum, kept.sum);
    }
  }
}

/// Sums wrap, so they are formed without a sign.
void multiply_integers(WgmmaTiles& t, int n, int k) {
  for (int i = 0; i < 64; i++) {
    for (int j = 0; j < n; j += 8) {
      Unsigned8 sum = *reinterpret_cast<const Unsigned8*>(&t.d_int[i][j]);
      for (int l = 0; l < k; l++) {
        const uint32_t a = static_cast<uint32_t>(t.a_int[i][l]);
        sum += a * *reinterpret_cast<const Unsigned8*>(&t.b_int[l][j]);
      }
      *reinterpret_cast<Unsigned8*>(&t.d_int[i][j]) = sum;
    }
  }
}

/// Calls f(register, place in the tile) for each pair of accumulators of all threads.
template <class F>
void for_each_pair(const Product& p, WgmmaTiles& tiles, F f) {
  for (int t = 0; t < static_cast<int>(kWarpgroup); t++) {
    const int row = t / 32 * 16 + t % 32 / 4, column = t % 4 * 2;
    for (int i = 0; i < p.call.n / 2; i += 2) {
      f(p.d[t] + i, &tiles.d_int[row + (i / 2 % 2) * 8][column + i / 4 * 8]);
    }
  }
}

void compute(const Job& job, const Product& p, WgmmaTiles& tiles) {
  const WgmmaCall& c = p.call;
  const int k = static_cast<int>(kRowBytes) / element_bytes(c.a_type);
  const Layout a(c.a_descriptor, c.trans_a), b(c.b_descriptor, c.trans_b);
  const auto put_a = [&](int row, int l, double v) { tiles.a[row][l] = v; };
  const auto put_a_int = [&](int row, int l, int32_t v) { tiles.a_int[row][l] = v; };
  for_each_pair(p, tiles, [&](const uint32_t* d, int32_t* tile) {
    const uint64_t zero = 0;
    __builtin_memcpy(tile, c.accumulate ? static_cast<const void*>(d) : &zero, 8);
  });
  if (is_integer(c.a_type)) {
    if (c.a) {
      read_registers<int32_t>(p, put_a_int);
    } else {
      read_operand<int32_t>(job, a, c.a_type, 64, put_a_int);
    }
    read_operand<int32_t>(job, b, c.b_type, c.n,
                          [&](int n, int l, int32_t v) { tiles.b_int[l][n] = v; });
    multiply_integers(tiles, c.n, k);
  } else {
    if (c.a) {
      read_registers<double>(p, put_a);
    } else {
      read_operand<double>(job, a, c.a_type, 64, put_a);
    }
    read_operand<double>(job, b, c.b_type, c.n, [&](int n, int l, double v) { tiles.b[l][n] = v; });
    multiply(tiles, c.n, k, KeptBits(c.a_type));
  }
}

// ---- accumulators in flight --------------------------------------------------------------------

size_t accumulator_bytes(const Product& p) {
  return static_cast<size_t>(p.call.n) / 2 * sizeof(uint32_t);
}

void show_accumulators(const Product& p) {
  if (!kAsan) return;
  for (uint32_t* d : p.d) unpoison(d, accumulator_bytes(p));
}

}  // namespace

void check_product_proxy(const Block& block, const Product& p) {
  if (block.async.proxy.cells == nullptr) return;
  const WgmmaCall& c = p.call;
  const auto check = [&](uint32_t address, int, int) {
    if (address + 16 > kArenaBytes) return;  // read_unit reports it
    const char* text = proxy_dirty(block, block.arena + address, 16, &p);
    if (text) fail(p.where, "wgmma: %s", text);
  };
  if (c.a == nullptr) for_each_unit(Layout(c.a_descriptor, c.trans_a), 64, check);
  for_each_unit(Layout(c.b_descriptor, c.trans_b), c.n, check);
}

void hide_accumulators(const Warpgroup& g) {
  if (!kAsan) return;
  for (uint32_t i = g.done; i != g.issued; i++) {
    const Product& p = *g.products[i % kMaxProducts];
    if (p.issued < kWarpgroup) continue;
    for (uint32_t* d : p.d) poison(d, accumulator_bytes(p));
  }
}

void run_product(Team& team, Job& job) {
  Block& block = *job.lane->block;
  Warpgroup& g = block.async.warpgroups[job.warpgroup];
  Product& p = *g.products[g.done % kMaxProducts];
  WgmmaTiles& tiles = *team.engine.tiles;
  show_accumulators(p);
  {
    EngineScope scope(team, JobKind::product);
    acquire(block.tag(kWarpgroupTags + 2 * job.warpgroup));
    compute(job, p, tiles);
    release(block.tag(kWarpgroupTags + 2 * job.warpgroup + 1));
  }
  for_each_pair(p, tiles, [](uint32_t* d, const int32_t* tile) { __builtin_memcpy(d, tile, 8); });
  g.done++;
  p.next = team.engine.free_products;
  team.engine.free_products = &p;
  if (team.run->schedule.async != Async::eager) hide_accumulators(g);
  for (unsigned w = 0; w < 4; w++) {
    if (g.waiting[w]) wake(team, block.warps[4 * job.warpgroup + w].number, g.waiting[w]);
    g.waiting[w] = 0;
  }
}

}  // namespace gg::sim
