// The Hopper attention kernels (TMA, mbarrier, wgmma) on small shapes, against plain loops, with
// asynchronous work completing at once, at its wait, and at random.

#include <limits>

#include "as_hopper.h"
#include "attention_case.h"
#include "kernels/attention_hopper.cuh"

using namespace gg;

namespace {

template <class T>
void check_one(int64_t m, int64_t n, int64_t d, const AttentionOptions& options, const Seen& seen) {
  Attention<T> a(m, n, d);
  a.run(options, false);
  a.check(options, seen, nullptr);
}

template <class T>
AttentionTensor tensor(const Host<T>& x) {
  const Array a = x;
  return {a.data, a.stride[0], a.stride[1], a.stride[2], 1, true};
}

/// The problem that attention.cu makes of a's arrays.
AttentionProblem problem(const Attention<f16>& a) {
  AttentionProblem p{};
  p.q = tensor(a.q), p.k = tensor(a.k), p.v = tensor(a.v), p.d_o = tensor(a.dy);
  p.batch = kBatch, p.heads = a.heads, p.groups = kGroups, p.per_group = a.heads / kGroups;
  p.m = static_cast<int>(a.m), p.n = static_cast<int>(a.n), p.d = static_cast<int>(a.d);
  p.scale = 0.1, p.left = p.right = -1, p.dtype = DType::f16;
  return p;
}

}  // namespace

/// Tails of queries and keys; one tile of keys, several; D as it is and padded.
CASE(hopper_attention_dense) {
  in_every_async_mode([] {
    const Seen all = [](int64_t, int64_t) { return true; };
    check_one<f16>(150, 290, 64, scaled(64), all);
    check_one<bf16>(70, 600, 128, scaled(128), all);
    check_one<f16>(129, 65, 72, scaled(72), all);
    check_one<bf16>(64, 130, 24, scaled(24), all);
  });
}

CASE(hopper_attention_causal) {
  in_every_async_mode([] {
    AttentionOptions options = scaled(128);
    options.right = 0;
    check_one<f16>(270, 270, 128, options, [](int64_t i, int64_t j) { return j <= i; });
    options.align_end = true;
    check_one<bf16>(100, 300, 64, options, [](int64_t i, int64_t j) { return j <= i + 200; });
  });
}

/// Blocks that stay: pairs of tiles of queries, an odd number of them, and heads without keys.
CASE(hopper_attention_of_many_heads) {
  in_every_async_mode([] {
    AttentionOptions options = scaled(24);
    options.right = 0;
    Attention<bf16> two(140, 80, 24, 34), three(257, 64, 24, 17);
    two.run(options, false);
    two.check(options, [](int64_t i, int64_t j) { return j <= i; }, nullptr);
    options.left = 20;  // no query beyond 83 sees a key
    three.run(options, false);
    three.check(options, [](int64_t i, int64_t j) { return i - 20 <= j && j <= i; }, nullptr);
  });
}

/// Tiles begin at the first key seen; some are seen whole, some by one warpgroup alone.
CASE(hopper_attention_window) {
  in_every_async_mode([] {
    AttentionOptions options = scaled(64);
    options.left = 140, options.right = 30;
    const auto seen = [](int64_t i, int64_t j) { return i - 140 <= j && j <= i + 30; };
    check_one<bf16>(400, 400, 64, options, seen);
  });
}

/// Sequences of 50, 0 and 100 queries and 90, 30 and 180 keys.
CASE(hopper_attention_packed) {
  in_every_async_mode([] {
    const int32_t q_ends[] = {0, 50, 50, 150}, k_ends[] = {0, 90, 120, 300};
    Host<int32_t> q_offsets({4}, [&](int64_t i) { return q_ends[i]; });
    Host<int32_t> k_offsets({4}, [&](int64_t i) { return k_ends[i]; });
    AttentionOptions options = scaled(128);
    options.q_offsets = q_offsets;
    options.k_offsets = k_offsets;
    check_one<f16>(150, 300, 128, options,
                   [](int64_t i, int64_t j) { return i < 50 ? j < 90 : j >= 120; });
  });
}

/// NaN in padding reaches nothing.
CASE(hopper_attention_padding) {
  in_every_async_mode([] {
    const int64_t n = 300;
    for (const int64_t length : {200, 0}) {
      Attention<bf16> a(70, n, 64);
      for (int64_t i = length * a.d; i < n * a.d; i++) {
        const auto nan = convert<bf16>(std::numeric_limits<float>::quiet_NaN());
        a.k.data[i] = nan, a.v.data[i] = nan;
      }
      Host<int32_t> lengths({1}, [=](int64_t) { return static_cast<double>(length); });
      AttentionOptions options = scaled(64);
      options.k_lengths = lengths;
      a.run(options, false);
      for (int64_t i = length * a.d; i < n * a.d; i++) {
        a.k.data[i] = a.v.data[i] = convert<bf16>(0.0f);  // for the plain loops
        CHECK_EQ(a.dk[i], 0);
        CHECK_EQ(a.dv[i], 0);
      }
      a.check(options, [=](int64_t, int64_t j) { return j < length; }, nullptr);
    }
  });
}

/// What TMA cannot read is not taken, nor what the kernels leave to others, nor on other machines.
CASE(hopper_attention_refuses) {
  const Hopper hopper;
  const AttentionProblem good = problem(Attention<f16>(130, 70, 64));
  const auto refused = [&](const auto& change) {
    AttentionProblem p = good;
    change(p);
    return !attention_hopper_takes(p);
  };
  CHECK(attention_hopper_takes(good));
  CHECK(!refused([](auto& p) { p.dtype = DType::bf16; }));
  CHECK(!refused([](auto& p) { p.d = 33; }));  // zeros in the place of the rest
  CHECK(refused([](auto& p) { p.dtype = DType::f32; }));
  CHECK(refused([](auto& p) { p.d = 129; }));
  CHECK(refused([](auto& p) { p.m = 63; }));
  CHECK(refused([](auto& p) { p.n = 63; }));
  for (const double scale : {0.0, -1.0}) CHECK(refused([=](auto& p) { p.scale = scale; }));
  CHECK(refused([](auto& p) { p.bias.data = &p; }));
  CHECK(refused([](auto& p) { p.dropout.state = &p.left; }));
  for (AttentionTensor AttentionProblem::* x :
       {&AttentionProblem::q, &AttentionProblem::k, &AttentionProblem::v, &AttentionProblem::d_o}) {
    CHECK(refused([=](auto& p) { (p.*x).vector = false; }));
    CHECK(refused([=](auto& p) { (p.*x).row += 4; }));
    CHECK(refused([=](auto& p) { (p.*x).row *= -1; }));
    CHECK(refused([=](auto& p) { p.batch = 2, (p.*x).batch = 0; }));
  }
  for (int other : {75, 80, 89, 100, 120}) {
    sim::set_architecture(other);
    CHECK(!attention_hopper_takes(good));
  }
}
