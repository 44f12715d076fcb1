#include "sim/proxy.h"

#include <cstdio>

#include "sim/team.h"

namespace gg::sim {
namespace {

/// The block of the running thread's team that p is shared memory of.
Block* owner(const void* p) {
  for (Block& block : current()->block->team->blocks) {
    const char* arena = block.arena;
    if (p >= arena && p < arena + kArenaBytes) return &block;
  }
  return nullptr;
}

template <class F>
void for_each_cell(const Block& block, const void* shared, size_t bytes, F f) {
  const size_t first = static_cast<size_t>(static_cast<const char*>(shared) - block.arena);
  for (size_t i = first / 4; i <= (first + bytes - 1) / 4; i++) f(block.async.proxy.cells[i], i);
}

}  // namespace

void proxy_begin_block(Block& block) {
  if (block.async.proxy.cells == nullptr) return;
  memset(block.async.proxy.cells.get(), 0, ProxyState::kCells * sizeof(ProxyState::Cell));
}

void proxy_generic_write(const void* shared, size_t bytes) {
  const Lane& lane = *current();
  Block* block = owner(shared);
  if (block == nullptr || bytes == 0) return;
  ProxyState& proxy = block->async.proxy;
  if (proxy.cells == nullptr) proxy.cells.reset(new ProxyState::Cell[ProxyState::kCells]());
  for_each_cell(*block, shared, bytes, [&](ProxyState::Cell& cell, size_t) {
    cell = {lane.number + 1, lane.async.proxy_fences};
  });
}

static uint32_t fences_of(const Lane& lane, const Block& block, const Product* product) {
  const bool issued_it =
      product && lane.block == &block && lane.linear / kWarpgroup == product->warpgroup;
  return issued_it ? product->fences[lane.linear % kWarpgroup] : lane.async.proxy_fences;
}

const char* proxy_dirty(const Block& block, const void* shared, size_t bytes,
                        const Product* product) {
  if (block.async.proxy.cells == nullptr) return nullptr;
  static thread_local char text[160];
  const Team& team = *block.team;
  text[0] = '\0';
  for_each_cell(block, shared, bytes, [&](const ProxyState::Cell& cell, size_t i) {
    if (cell.writer == 0 || text[0]) return;
    const Lane& writer = team.lanes[cell.writer - 1];
    if (static_cast<int32_t>(fences_of(writer, block, product) - cell.fences) > 0) return;
    const uint3 t = writer.thread_index;
    snprintf(text, sizeof text,
             "thread (%u, %u, %u) wrote shared address 0x%zx and did not call fence_proxy_async",
             t.x, t.y, t.z, 4 * i);
  });
  return text[0] ? text : nullptr;
}

void proxy_async_write(Block& block, const void* shared, size_t bytes) {
  if (block.async.proxy.cells == nullptr || bytes == 0) return;
  for_each_cell(block, shared, bytes, [](ProxyState::Cell& cell, size_t) { cell = {0, 0}; });
}

void fence_proxy_async(Where where) {
  need_hopper("fence_proxy_async", where);
  current()->async.proxy_fences++;
}

}  // namespace gg::sim
