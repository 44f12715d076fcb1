// TMA: what threads call, and its rules. Moving the data is in tma_copy.cpp.

#include "sim/tma.h"

#include "device/tensor_map.h"

namespace gg::sim {
namespace {

// ---- checks ------------------------------------------------------------------------------------

void check_map(const TensorMapData* map, const TmaCoordinates& at, bool im2col, const char* name,
               Where where) {
  if (map->valid != kTensorMapValid) fail(where, "%s: not a tensor map", name);
  if (at.rank != map->rank) {
    fail(where, "%s: %d coordinates for a map of rank %d", name, at.rank, map->rank);
  }
  if (im2col != (map->im2col != 0)) {
    fail(where, "%s: the map is %s", name, im2col ? "not one for im2col" : "one for im2col");
  }
}

/// PTX ISA, Tensor Im2col Mode: the widths of an offset, and where the first pixel may lie.
void check_pixels(const TensorMapData& map, const TmaCoordinates& at, const char* name,
                  Where where) {
  const int spatial = map.rank - 2;
  const int limit = spatial == 1 ? 65535 : spatial == 2 ? 255 : 31;
  for (int i = 0; i < spatial; i++) {
    const char dimension = "whd"[i];
    if (at.offset[i] > limit) {
      fail(where, "%s: offset %d of %c; with a map of rank %d it must be 0 to %d", name,
           at.offset[i], dimension, map.rank, limit);
    }
    const int64_t last = map.dim[i + 1] + map.upper[i] - 1;
    if (at.c[i + 1] < map.lower[i] || at.c[i + 1] > last) {
      fail(where, "%s: starts at %c = %d, outside the map's corners: %d to %lld", name, dimension,
           at.c[i + 1], map.lower[i], static_cast<long long>(last));
    }
  }
}

void check_box(const Job& job, const void* shared, const char* name, Where where) {
  const unsigned bytes = box_bytes(job);
  const int pattern = job.bulk ? 16 : 8 * job.map.swizzle_bytes;
  const size_t alignment = static_cast<size_t>(job.bulk ? 16 : pattern > 128 ? pattern : 128);
  check_shared(shared, bytes, 1, name, where);
  const size_t address = static_cast<size_t>(job.shared - job.lane->block->arena);
  if (address % alignment != 0) {
    fail(where, "%s: shared address 0x%zx is not aligned to %zu bytes", name, address, alignment);
  }
  if (region_is_poisoned(shared, bytes)) {
    fail(where,
         "%s: the box of %u bytes at shared address 0x%zx is not inside a shared array, or "
         "has a load in flight",
         name, bytes, address);
  }
}

void check_bulk(const void* global, unsigned bytes, const char* name, Where where) {
  check_alignment(global, 16, name, where);
  if (bytes == 0 || bytes % 16 != 0) {
    fail(where, "%s: %u bytes; it must be a positive multiple of 16", name, bytes);
  }
}

/// Until the bytes arrive the destination holds NaN, and ASan reports whoever touches it.
void hide(const Job& job, Where where, const char* name) {
  const unsigned bytes = box_bytes(job);
  const bool later = current()->block->team->run->schedule.async != Async::eager;
  for_each_target(job, [&](Block& block, char* shared, uint64_t* barrier) {
    block_of_rank(block, block.async.rank, name, where);
    check_mbarrier_fenced(find_mbarrier(block, barrier, name, where), name, where);
    if (!later) return;
    volatile uint64_t* words = reinterpret_cast<uint64_t*>(shared);
    for (unsigned i = 0; i < bytes / 8; i++) words[i] = ~uint64_t{0};
    poison(shared, bytes);
  });
}

void start_load(Job& job, void* shared, uint64_t* barrier, const char* name, Where where) {
  check_box(job, shared, name, where);
  check_shared(barrier, sizeof *barrier, sizeof *barrier, name, where);
  if (job.mask == 0 || job.mask >> job.lane->block->async.cluster_blocks) {
    fail(where, "%s: mask 0x%x in a cluster of %u", name, job.mask,
         job.lane->block->async.cluster_blocks);
  }
  hide(job, where, name);
  release(barrier);
  submit(*job.lane->block->team, job);
  maybe_switch();
}

void start_store(Job& job, const void* shared, const char* name, Where where) {
  Lane& lane = *job.lane;
  check_box(job, shared, name, where);
  if (const char* text = proxy_dirty(*lane.block, shared, box_bytes(job))) {
    fail(where, "%s: %s", name, text);
  }
  job.group = lane.async.store_groups;
  lane.async.stores_open = true;
  lane.async.store_where = where;
  release(lane.block->tag(kStoreTag));
  submit(*lane.block->team, job);
  maybe_switch();
}

void check_reduction(const TensorMapData& map, TmaReduce reduce, Where where) {
  const TensorType type = static_cast<TensorType>(map.type);
  const bool is_f32 = type == TensorType::f32;
  const bool fits = type == TensorType::i32 || type == TensorType::u32 || type == TensorType::i64 ||
                    type == TensorType::u64 || type == TensorType::f16 || type == TensorType::bf16;
  if (reduce == TmaReduce::none || fits || (is_f32 && reduce == TmaReduce::add)) return;
  fail(where,
       "tma_reduce: not for this type; add: 32- and 64-bit integers, f16, bf16, f32; min and "
       "max: the same without f32");
}

Job& job_with_map(JobKind kind, const TensorMapData* map, const void* shared,
                  const TmaCoordinates& at, Where where) {
  Job& job = new_job(*current()->block->team, kind, where);
  job.bulk = false;
  copy_bytes(reinterpret_cast<char*>(&job.map), reinterpret_cast<const char*>(map), sizeof job.map);
  job.at = at;
  job.shared = static_cast<char*>(const_cast<void*>(shared));
  return job;
}

Job& bulk_job(JobKind kind, const void* global, const void* shared, unsigned bytes, Where where) {
  Job& job = new_job(*current()->block->team, kind, where);
  job.bulk = true;
  job.reduce = TmaReduce::none;
  job.global = static_cast<char*>(const_cast<void*>(global));
  job.bytes = bytes;
  job.shared = static_cast<char*>(const_cast<void*>(shared));
  return job;
}

}  // namespace

// ---- what threads call -------------------------------------------------------------------------

void tma_load(void* shared, const TensorMapData* map, uint64_t* barrier, const TmaCoordinates& at,
              bool im2col, bool multicast, unsigned mask, Where where) {
  const char* name = im2col ? "tma_load_im2col" : multicast ? "tma_load_multicast" : "tma_load";
  need_hopper(name, where);
  check_map(map, at, im2col, name, where);
  if (im2col) check_pixels(*map, at, name, where);
  Job& job = job_with_map(JobKind::load, map, shared, at, where);
  job.barrier = barrier;
  job.mask = multicast ? mask : 1u << job.lane->block->async.rank;
  start_load(job, shared, barrier, name, where);
}

void bulk_load(void* shared, const void* global, unsigned bytes, uint64_t* barrier, Where where) {
  need_hopper("bulk_load", where);
  check_bulk(global, bytes, "bulk_load", where);
  Job& job = bulk_job(JobKind::load, global, shared, bytes, where);
  job.barrier = barrier;
  job.mask = 1u << job.lane->block->async.rank;
  start_load(job, shared, barrier, "bulk_load", where);
}

void tma_store(const TensorMapData* map, const void* shared, const TmaCoordinates& at,
               TmaReduce reduce, Where where) {
  const char* name = reduce == TmaReduce::none ? "tma_store" : "tma_reduce";
  need_hopper(name, where);
  check_map(map, at, false, name, where);
  check_reduction(*map, reduce, where);
  Job& job = job_with_map(JobKind::store, map, shared, at, where);
  job.reduce = reduce;
  start_store(job, shared, name, where);
}

void bulk_store(void* global, const void* shared, unsigned bytes, Where where) {
  need_hopper("bulk_store", where);
  check_bulk(global, bytes, "bulk_store", where);
  start_store(bulk_job(JobKind::store, global, shared, bytes, where), shared, "bulk_store", where);
}

void tma_commit(Where where) {
  need_hopper("tma_store_commit", where);
  LaneAsync& lane = current()->async;
  lane.store_groups++;
  lane.stores_open = false;
}

void tma_wait(unsigned groups, bool read, Where where) {
  need_hopper(read ? "tma_store_wait_read" : "tma_store_wait", where);
  Lane& lane = *current();
  LaneAsync& a = lane.async;
  if (a.store_groups - a.stores_waited > groups) a.stores_waited = a.store_groups - groups;
  run_stores(*lane.block->team, lane, a.stores_waited);
  acquire(lane.block->tag(read ? kStoreReadTag : kStoreDoneTag));
  maybe_switch();
}

void tma_prefetch(const TensorMapData* map, Where where) {
  need_hopper("tma_prefetch", where);
  if (map->valid != kTensorMapValid) fail(where, "tma_prefetch: not a tensor map");
}

}  // namespace gg::sim
