// Counts memory requests of kernels: bank conflicts, coalescing, bytes. For programs built in the
// `counters` flavour of tests/sim/build.py.
//
// Accesses of a warp's lanes by one instruction (its n-th execution by each lane) make one request.
//   global   cost: 32-byte sectors it touches; ideal: its distinct bytes / 32, rounded up
//   shared   cost: wavefronts: the most distinct words any of the 32 banks of 4 bytes must give;
//            8-byte accesses go by half warps, 16-byte ones by quarters; ideal: one for each
// Not memory, and so not counted: a thread's own stack (registers), the launching CPU thread's
// stack (kernel parameters; arrays of counted kernels must be on the heap), static data
// (constants).
//
// Lanes that skip an instruction in a turn of a loop and execute it later are grouped with others'
// earlier turns: counts of ragged tails are approximate, totals of bytes hardly change.
#pragma once

namespace gg::sim {

/// Forgets all counts.
void reset_counters();

/// Prints, for each kernel that ran and each instruction of it,
///   KERNEL <kernel's address> <launches>
///   LINE <kernel's address> <code address or file:line> <load|store|atomic> <global|shared>
///        <bytes of a lane> <requests> <cost> <ideal> <distinct bytes>
/// in one line each. tests/sim/counters.py reads it and finds names and lines.
void print_counters();

}  // namespace gg::sim
