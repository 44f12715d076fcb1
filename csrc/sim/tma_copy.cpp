// TMA: moving a box between global and shared memory. Issuing it is in tma.cpp.

#include <bit>
#include <cmath>
#include <type_traits>

#include "device/tensor_map.h"
#include "sim/count.h"
#include "sim/tma.h"

namespace gg::sim {
namespace {

constexpr size_t kUnit = 16;  // what swizzles permute

// ---- boxes -------------------------------------------------------------------------------------

/// A box's row in global memory: elements begin to end of it lie inside the tensor.
struct Row {
  char* data;  ///< element 0, which may lie outside
  int begin, end;
};

/// The row whose outer coordinates are x[1 ...].
Row tensor_row(const Job& job, const int64_t (&x)[kMaxTensorRank]) {
  const TensorMapData& m = job.map;
  const int n = row_elements(job);
  ptrdiff_t offset = job.at.c[0] * static_cast<ptrdiff_t>(m.element_bytes);
  bool inside = true;
  for (int i = 1; i < m.rank; i++) {
    inside &= x[i] >= 0 && x[i] < m.dim[i];
    offset += x[i] * m.stride[i];
  }
  const int64_t left = m.dim[0] - job.at.c[0];
  const int begin = job.at.c[0] < 0 ? (-job.at.c[0] < n ? -job.at.c[0] : n) : 0;
  const int end = left < n ? (left > 0 ? static_cast<int>(left) : 0) : n;
  if (!inside || begin >= end) return {nullptr, 0, 0};
  return {m.base + offset, begin, end};
}

/// Calls f(i, row) for each row of the job's box, in the order of shared memory.
template <class F>
void for_each_tile_row(const Job& job, F f) {
  const TensorMapData& m = job.map;
  const unsigned n = rows(job);
  int64_t x[kMaxTensorRank] = {};
  for (unsigned i = 0; i < n; i++) {
    unsigned rest = i;
    for (int d = 1; d < m.rank; d++) {
      x[d] = job.at.c[d] + static_cast<int64_t>(rest % static_cast<unsigned>(m.box[d]));
      rest /= static_cast<unsigned>(m.box[d]);
    }
    f(i, tensor_row(job, x));
  }
}

/// The same for pixels: positions step between their corners, the first dimension fastest.
template <class F>
void for_each_pixel(const Job& job, F f) {
  const TensorMapData& m = job.map;
  const int spatial = m.rank - 2;
  int64_t at[kMaxTensorRank] = {}, x[kMaxTensorRank] = {};
  for (int d = 1; d < m.rank; d++) at[d] = job.at.c[d];
  for (int i = 0; i < m.pixels; i++) {
    for (int d = 1; d <= spatial; d++) x[d] = at[d] + job.at.offset[d - 1];
    x[m.rank - 1] = at[m.rank - 1];
    f(static_cast<unsigned>(i), tensor_row(job, x));
    int d = 1;
    for (; d <= spatial; d++) {
      at[d] += m.step[d - 1];
      if (at[d] < m.dim[d] + m.upper[d - 1]) break;
      at[d] = m.lower[d - 1];
    }
    if (d > spatial) at[d]++;
  }
}

template <class F>
void for_each_row(const Job& job, F f) {
  if (job.bulk) return f(0u, Row{job.global, 0, static_cast<int>(job.bytes)});
  if (job.map.im2col) return for_each_pixel(job, f);
  for_each_tile_row(job, f);
}

/// Calls f(shared, row, first, last) for each 16-byte unit of a box in the arena: elements first to
/// last of the row are in the unit.
template <class F>
void for_each_unit(const Job& job, Block& block, F f) {
  const uint32_t base = static_cast<uint32_t>(job.shared - job.lane->block->arena);
  const unsigned length = row_bytes(job);
  const int elements = static_cast<int>(kUnit) / (job.bulk ? 1 : job.map.element_bytes);
  const int swizzle = job.bulk ? 0 : job.map.swizzle_bytes;
  for_each_row(job, [&](unsigned i, const Row& row) {
    for (unsigned unit = 0; unit * kUnit < length; unit++) {
      const uint32_t address = base + i * length + unit * static_cast<uint32_t>(kUnit);
      const int first = static_cast<int>(unit) * elements;
      f(block.arena + swizzled(address, swizzle), row, first, first + elements);
    }
  });
}

void check_row(const Job& job, const Row& row, bool write) {
  if (row.data == nullptr) return;
  const int element = job.bulk ? 1 : job.map.element_bytes;
  char* begin = row.data + row.begin * element;
  const size_t bytes = static_cast<size_t>((row.end - row.begin) * element);
  if (region_is_poisoned(begin, bytes)) {
    fail_job(job, "TMA: %s %zu bytes at %p, which are not allocated", write ? "writes" : "reads",
             bytes, static_cast<void*>(begin));
  }
  count_bulk(begin, bytes, write, job.where);
  if (write) {
    if (job.reduce == TmaReduce::none) tsan_write(begin, bytes);
  } else {
    tsan_read(begin, bytes);
  }
}

// ---- copying -----------------------------------------------------------------------------------

/// The bits of a float rounded to 10 fraction bits, to nearest, ties to even; infinities and NaN as
/// they are.
uint32_t round_to_tf32(uint32_t bits) {
  if ((bits & 0x7f800000u) == 0x7f800000u) return bits;
  return (bits + 0xfffu + (bits >> 13 & 1)) & ~0x1fffu;
}

void round_unit(const Job& job, char* shared) {
  if (job.bulk || static_cast<TensorType>(job.map.type) != TensorType::tf32) return;
  uint32_t words[kUnit / 4];
  __builtin_memcpy(words, shared, kUnit);
  for (uint32_t& word : words) word = round_to_tf32(word);
  __builtin_memcpy(shared, words, kUnit);
}

void copy_unit(const Job& job, char* shared, const Row& row, int first, int last) {
  const int element = job.bulk ? 1 : job.map.element_bytes;
  if (row.data && first >= row.begin && last <= row.end) {
    __builtin_memcpy(shared, row.data + first * element, kUnit);
    return;
  }
  constexpr uint64_t zero[2] = {0, 0};
  __builtin_memcpy(shared, zero, kUnit);
  const int begin = first > row.begin ? first : row.begin, end = last < row.end ? last : row.end;
  if (row.data == nullptr || begin >= end) return;
  copy_bytes(shared + (begin - first) * element, row.data + begin * element,
             static_cast<size_t>((end - begin) * element));
}

/// *p = f(*p), atomically among CPU threads.
template <class Word, class F>
void update(char* p, F f) {
  Word* word = reinterpret_cast<Word*>(p);
  Word old = __atomic_load_n(word, __ATOMIC_RELAXED);
  while (
      !__atomic_compare_exchange_n(word, &old, f(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}

/// Sums wrap.
template <class T>
T combine(TmaReduce op, T a, T b) {
  using Unsigned = std::make_unsigned_t<T>;
  if (op == TmaReduce::add) return static_cast<T>(static_cast<Unsigned>(a) + Unsigned(b));
  return (op == TmaReduce::min) == (b < a) ? b : a;
}

/// As PTX's min and max: of a number and NaN the number, and -0 is below +0.
float combine(TmaReduce op, float a, float b) {
  if (op == TmaReduce::add) return a + b;
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) ? b : a;
  const bool below = b < a || (b == a && std::signbit(b));
  return (op == TmaReduce::min) == below ? b : a;
}

template <class T, class Word>
void reduce_element(TmaReduce op, char* global, const char* shared) {
  T value;
  __builtin_memcpy(&value, shared, sizeof value);
  update<Word>(global, [&](Word old) {
    if constexpr (is_half<T>) {
      const float a = to_float(std::bit_cast<T>(old)), b = to_float(value);
      return from_float<T>(combine(op, a, b)).bits;
    } else {
      return std::bit_cast<Word>(combine(op, std::bit_cast<T>(old), value));
    }
  });
}

void reduce_element(const Job& job, char* global, const char* shared) {
  switch (static_cast<TensorType>(job.map.type)) {
    case TensorType::i32:
      return reduce_element<int32_t, uint32_t>(job.reduce, global, shared);
    case TensorType::u32:
      return reduce_element<uint32_t, uint32_t>(job.reduce, global, shared);
    case TensorType::i64:
      return reduce_element<int64_t, uint64_t>(job.reduce, global, shared);
    case TensorType::u64:
      return reduce_element<uint64_t, uint64_t>(job.reduce, global, shared);
    case TensorType::f16:
      return reduce_element<f16, uint16_t>(job.reduce, global, shared);
    case TensorType::bf16:
      return reduce_element<bf16, uint16_t>(job.reduce, global, shared);
    default:
      return reduce_element<float, uint32_t>(job.reduce, global, shared);
  }
}

void store_unit(const Job& job, const char* shared, const Row& row, int first, int last) {
  const int element = job.bulk ? 1 : job.map.element_bytes;
  const int begin = first > row.begin ? first : row.begin, end = last < row.end ? last : row.end;
  if (row.data == nullptr || begin >= end) return;
  const char* from = shared + (begin - first) * element;
  char* to = row.data + begin * element;
  if (job.reduce == TmaReduce::none) {
    return copy_bytes(to, from, static_cast<size_t>((end - begin) * element));
  }
  for (int i = begin; i < end; i++, to += element, from += element) {
    reduce_element(job, to, from);
  }
}

}  // namespace

// ---- what engines do ---------------------------------------------------------------------------

void run_load(Team& team, Job& job) {
  const unsigned bytes = box_bytes(job);
  {
    EngineScope scope(team, JobKind::load);
    acquire(job.barrier);
    for_each_row(job, [&](unsigned, const Row& row) { check_row(job, row, false); });
    for_each_target(job, [&](Block& block, char* shared, uint64_t* barrier) {
      unpoison(shared, bytes);
      tsan_write(shared, bytes);
      proxy_async_write(block, shared, bytes);
      count_bulk(shared, bytes, true, job.where);
      for_each_unit(job, block, [&](char* unit, const Row& row, int first, int last) {
        copy_unit(job, unit, row, first, last);
        round_unit(job, unit);
      });
      release(barrier);
    });
  }
  for_each_target(job, [&](Block& block, char*, uint64_t* barrier) {
    complete_bytes(block, barrier, bytes, job);
  });
}

void run_store(Team& team, Job& job) {
  Block& block = *job.lane->block;
  const unsigned bytes = box_bytes(job);
  EngineScope scope(team, JobKind::store);
  acquire(block.tag(kStoreTag));
  tsan_read(job.shared, bytes);
  count_bulk(job.shared, bytes, false, job.where);
  release(block.tag(kStoreReadTag));
  for_each_row(job, [&](unsigned, const Row& row) { check_row(job, row, true); });
  for_each_unit(job, block, [&](const char* unit, const Row& row, int first, int last) {
    store_unit(job, unit, row, first, last);
  });
  release(block.tag(kStoreDoneTag));
}

}  // namespace gg::sim
