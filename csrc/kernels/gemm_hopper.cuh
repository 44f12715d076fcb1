// The Hopper GEMM, as gemm_plan.cu and gemm.cu see it. Host only.
#pragma once

#include "kernels/gemm_plan.cuh"

namespace gg {

/// Whether they can read operand 0 (a) or 1 (b) as it lies: one axis contiguous (k, unless its type
/// has 16 bits), all else aligned to 16 bytes.
bool gemm_hopper_reads(const GemmProblem& g, int operand, DType inputs);

/// Whether gemm_hopper*.cu can multiply g as it stands on this tile, orientation included: code and
/// device are sm_90a; the tile is one of theirs for this math; a and b can be read; y has at most
/// three batch axes longer than 1. k may be split at multiples of 128 bytes.
bool gemm_hopper_fits(const GemmProblem& g, GemmMath math, DType inputs, const GemmTile& tile,
                      int architecture);

/// Runs it. g fits on the plan's tile.
void launch_gemm_hopper(Stream stream, const GemmProblem& g, const GemmPlan& plan, DType inputs);

}  // namespace gg
