// wgmma: an instruction is gathered from 128 threads, and runs when the last has issued it. Threads
// do not wait for one another until wgmma_wait.

#include "sim/team.h"

namespace gg::sim {
namespace {

Warpgroup& warpgroup_of(const Lane& lane, Where where) {
  const dim3 shape = lane.geometry->block;
  const unsigned threads = shape.x * shape.y * shape.z, index = lane.linear / kWarpgroup;
  if ((index + 1) * kWarpgroup > threads) {
    fail(where, "wgmma: warps %u to %u are needed, and the block has %u threads", 4 * index,
         4 * index + 3, threads);
  }
  return lane.block->async.warpgroups[index];
}

Product& begin_product(const Lane& lane, Warpgroup& g, const WgmmaCall& call, Where where) {
  Engine& e = lane.block->team->engine;
  if (g.issued - g.done == kMaxProducts || e.free_products == nullptr) {
    fail(where, "wgmma: more than %u products under way", kMaxProducts);
  }
  Product& p = *e.free_products;
  e.free_products = p.next;
  p.call = call;
  p.where = where;
  p.group = lane.async.product_groups;
  p.warpgroup = lane.linear / kWarpgroup;
  p.issued = 0;
  g.products[g.issued++ % kMaxProducts] = &p;
  return p;
}

void check_same(const Product& p, const WgmmaCall& c, uint32_t group, Where where) {
  const WgmmaCall& o = p.call;
  const char* what = nullptr;
  if (!same_place(p.where, where)) what = "they are at different places";
  if (o.n != c.n || o.a_type != c.a_type || o.b_type != c.b_type) what = "their shapes differ";
  if (o.trans_a != c.trans_a || o.trans_b != c.trans_b) what = "their transpositions differ";
  if ((o.a == nullptr) != (c.a == nullptr)) what = "A is in registers for some";
  if (o.a_descriptor != c.a_descriptor) what = "A's descriptors differ";
  if (o.b_descriptor != c.b_descriptor) what = "B's descriptors differ";
  if (o.accumulate != c.accumulate) what = "only some accumulate";
  if (p.group != group) what = "they committed different numbers of groups";
  if (what == nullptr) return;
  fail(where,
       "wgmma meets the one at %s:%u: the warpgroup's 128 threads must issue the same, but %s",
       p.where.file_name(), static_cast<unsigned>(p.where.line()), what);
}

}  // namespace

uint64_t wgmma_descriptor(const void* shared, unsigned leading_bytes, unsigned stride_bytes,
                          int swizzle_bytes, Where where) {
  need_hopper("wgmma_descriptor", where);
  check_shared(shared, 16, 16, "wgmma_descriptor", where);
  const uint32_t address =
      static_cast<uint32_t>(static_cast<const char*>(shared) - current()->block->arena);
  const unsigned offsets = leading_bytes | stride_bytes;
  if (offsets % 16 != 0 || offsets >= 1u << 18) {
    fail(where, "wgmma_descriptor: leading %u and stride %u must be multiples of 16 below 2^18",
         leading_bytes, stride_bytes);
  }
  if (swizzled(address, swizzle_bytes) != address) {
    fail(where,
         "wgmma_descriptor: shared address 0x%x is not in the first row of a swizzle pattern: "
         "tiles start at multiples of %d bytes",
         address, 8 * swizzle_bytes);
  }
  const uint64_t mode = swizzle_bytes == 128 ? 1 : swizzle_bytes == 64 ? 2 : swizzle_bytes ? 3 : 0;
  return address >> 4 | uint64_t{leading_bytes >> 4} << 16 | uint64_t{stride_bytes >> 4} << 32 |
         mode << 62;
}

void wgmma_fence(Where where) {
  need_hopper("wgmma_fence", where);
  current()->async.products_fenced = true;
}

void wgmma(const WgmmaCall& call, Where where) {
  need_hopper("wgmma", where);
  Lane& lane = *current();
  LaneAsync& a = lane.async;
  Block& block = *lane.block;
  Team& team = *block.team;
  Warpgroup& g = warpgroup_of(lane, where);
  if (!a.products_fenced) {
    fail(where, "wgmma: wgmma_fence comes first, after each wgmma_wait<0> too");
  }
  const bool first = a.products == g.issued;
  Product& p = first ? begin_product(lane, g, call, where) : *g.products[a.products % kMaxProducts];
  if (!first) check_same(p, call, a.product_groups, where);
  const unsigned thread = lane.linear % kWarpgroup, index = lane.linear / kWarpgroup;
  p.d[thread] = call.d;
  p.fences[thread] = a.proxy_fences;
  // Hardware reads A's registers while the product runs; writing them too early is not seen here.
  if (call.a) __builtin_memcpy(p.a[thread], call.a, 16);
  a.products++;
  a.products_open = a.products_uncommitted = true;
  a.product_where = where;
  release(block.tag(kWarpgroupTags + 2 * index));
  if (++p.issued < kWarpgroup) return;
  check_product_proxy(block, p);
  if (team.run->schedule.async != Async::eager) hide_accumulators(g);
  Job& job = new_job(team, JobKind::product, where);
  job.warpgroup = index;
  submit(team, job);
}

void wgmma_commit(Where where) {
  need_hopper("wgmma_commit", where);
  LaneAsync& a = current()->async;
  a.product_groups++;
  a.products_uncommitted = false;
}

void wgmma_wait(unsigned groups, Where where) {
  need_hopper("wgmma_wait", where);
  Lane& lane = *current();
  LaneAsync& a = lane.async;
  Warpgroup& g = warpgroup_of(lane, where);
  if (a.products_uncommitted) {
    fail(where, "wgmma_wait: wgmma_commit is missing after the wgmma at %s:%u",
         a.product_where.file_name(), static_cast<unsigned>(a.product_where.line()));
  }
  const uint32_t target = a.product_groups - groups;
  while (static_cast<int32_t>(g.done - a.products) < 0 &&
         static_cast<int32_t>(g.products[g.done % kMaxProducts]->group - target) < 0) {
    g.waiting[lane.linear / 32 % 4] |= 1u << lane.lane;
    wait("wgmma_wait", where);
  }
  if (groups == 0) a.products_fenced = a.products_open = false;
  acquire(lane.block->tag(kWarpgroupTags + 2 * (lane.linear / kWarpgroup) + 1));
  maybe_switch();
}

}  // namespace gg::sim
