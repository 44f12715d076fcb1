// Jobs of the asynchronous engines: which run when.

#include "sim/engine.h"

#include <cstdarg>
#include <cstdio>

#include "sim/team.h"

namespace gg::sim {

// ---- set-up ------------------------------------------------------------------------------------

/// Memory is taken before GPU threads run (sanitizer.h), and only where they may need it.
void begin_engine(Team& team) {
  if (architecture() != 90) return;
  Engine& e = team.engine;
  if (e.jobs == nullptr) {
    e.jobs.reset(new Job[kMaxJobs]);
    e.products.reset(new Product[kMaxTeamProducts]);
    e.tiles.reset(new_wgmma_tiles());
    e.touched = true;
  }
  if (!e.touched) return;
  e.touched = false;
  for (Lane& lane : team.lanes) lane.async = LaneAsync{};
  e.oldest = e.newest = e.free = nullptr;
  e.free_products = nullptr;
  e.count = 0;
  for (unsigned i = kMaxJobs; i-- > 0; e.free = &e.jobs[i]) e.jobs[i].next = e.free;
  for (unsigned i = kMaxTeamProducts; i-- > 0; e.free_products = &e.products[i]) {
    e.products[i].next = e.free_products;
  }
}

void end_engine(Team& team) {
  if (!kTsan) return;
  for (void*& fiber : team.engine.tsan) {
    if (fiber) tsan_destroy(fiber);
    fiber = nullptr;
  }
}

void begin_block_async(Team& team, Block& block, unsigned number) {
  BlockAsync& a = block.async;
  const dim3 c = team.run->launch->cluster;
  a.cluster_blocks = c.x * c.y * c.z;
  a.rank = number % a.cluster_blocks;
  a.cluster = &team.blocks[number - a.rank];
  a.barrier = ClusterBarrier{};
  a.mbarrier_count = 0;
  for (unsigned w = 0; w < kMaxWarps; w++) a.in_cluster_wait[w] = a.in_mbarrier_wait[w] = 0;
  for (Warpgroup& g : a.warpgroups) {
    g.done = g.issued = 0;
    for (uint32_t& w : g.waiting) w = 0;
  }
  proxy_begin_block(block);
}

EngineScope::EngineScope(Team& team, JobKind kind) : team_(team) {
  if (!kTsan) return;
  void*& fiber = team.engine.tsan[static_cast<unsigned>(kind)];
  if (fiber == nullptr) fiber = tsan_create();
  thread_ = tsan_current();
  tsan_switch(fiber);
}

EngineScope::~EngineScope() {
  release(&team_.end_tag);
  if (kTsan) tsan_switch(thread_);
}

void need_hopper(const char* name, Where where) {
  if (architecture() == 90) {
    current()->block->team->engine.touched = true;
    return;
  }
  fail(where, "%s needs architecture 90 (Hopper, sm_90a), and the simulated GPU is %d", name,
       architecture());
}

// ---- errors ------------------------------------------------------------------------------------

void fail_job(const Job& job, const char* format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const uint3 b = job.lane->geometry->block_index, i = job.lane->thread_index;
  fail(job.where, "%s; issued by block (%u, %u, %u) thread (%u, %u, %u), now running", text, b.x,
       b.y, b.z, i.x, i.y, i.z);
}

// ---- the list ----------------------------------------------------------------------------------

static void unlink(Engine& e, Job& job) {
  (job.previous ? job.previous->next : e.oldest) = job.next;
  (job.next ? job.next->previous : e.newest) = job.previous;
  e.count--;
}

static void run(Team& team, Job& job) {
  switch (job.kind) {
    case JobKind::load:
      run_load(team, job);
      break;
    case JobKind::store:
      run_store(team, job);
      break;
    default:
      run_product(team, job);
  }
  job.next = team.engine.free;
  team.engine.free = &job;
}

static void take_and_run(Team& team, Job& job) {
  unlink(team.engine, job);
  run(team, job);
}

Job& new_job(Team& team, JobKind kind, Where where) {
  Engine& e = team.engine;
  if (e.free == nullptr) take_and_run(team, *e.oldest);
  Job& job = *e.free;
  e.free = job.next;
  job.kind = kind;
  job.where = where;
  job.lane = current();
  return job;
}

void submit(Team& team, Job& job) {
  if (team.run->schedule.async == Async::eager) return run(team, job);
  Engine& e = team.engine;
  job.next = nullptr;
  job.previous = e.newest;
  (e.newest ? e.newest->next : e.oldest) = &job;
  e.newest = &job;
  e.count++;
}

// ---- when --------------------------------------------------------------------------------------

static Job& any_job(Team& team) {
  Job* job = team.engine.oldest;
  for (unsigned skip = team.next_random() % team.engine.count; skip; skip--) job = job->next;
  return *job;
}

bool run_idle(Team& team) {
  Engine& e = team.engine;
  if (e.count == 0) return false;
  take_and_run(team, team.run->schedule.async == Async::random ? any_job(team) : *e.newest);
  return true;
}

void run_by_chance(Team& team) {
  if (team.engine.count == 0 || team.run->schedule.async != Async::random) return;
  if ((team.next_random() & 7) == 0) take_and_run(team, any_job(team));
}

void run_stores(Team& team, const Lane& lane, uint32_t group) {
  for (Job* job = team.engine.oldest; job;) {
    Job* next = job->next;
    const bool due = static_cast<int32_t>(job->group - group) < 0;
    if (job->kind == JobKind::store && job->lane == &lane && due) take_and_run(team, *job);
    job = next;
  }
}

// ---- exits -------------------------------------------------------------------------------------

static void check_no_job_uses(Team& team, const Block& block) {
  for (const Job* job = team.engine.oldest; job; job = job->next) {
    const bool loads = job->kind == JobKind::load;
    const Block& own = *job->lane->block;
    const bool reached =
        loads && own.async.cluster == block.async.cluster && (job->mask >> block.async.rank & 1);
    if (reached || (!loads && &own == &block)) {
      fail(job->where, "the block exits while this %s its shared memory",
           loads ? "TMA load still writes" : "TMA store or wgmma still reads");
    }
  }
}

void lane_left_async(Lane& lane) {
  if (!lane.block->team->engine.touched) return;
  const LaneAsync& a = lane.async;
  if (a.stores_open) fail(a.store_where, "the thread exits without committing this TMA store");
  if (a.stores_waited != a.store_groups) {
    fail(a.store_where, "the thread exits without waiting for this TMA store");
  }
  if (a.products_open) fail(a.product_where, "the thread exits without waiting for this wgmma");
  if (lane.block->live == 0) check_no_job_uses(*lane.block->team, *lane.block);
  lane_left_cluster(lane);
}

}  // namespace gg::sim
