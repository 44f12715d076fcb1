"""What a multiprocessor can do: the numbers behind every predicted bound of the ladder."""

from __future__ import annotations

from dataclasses import dataclass

#: Bytes that L1 or shared memory gives or takes in a clock: one wavefront. All of sm_75 and up.
PORT_BYTES = 128
#: Warp instructions a multiprocessor starts in a clock.
ISSUE = 4


@dataclass(frozen=True)
class Machine:
    """One GPU at its boost clock. Sources: NVIDIA's data sheets and white papers, but for two.

    ``mma_sync`` is the fraction of the tensor peak that mma.sync can reach (Hopper: 0.63, after
    arXiv 2501.12084; wgmma reaches the rest). ``l2_gbs`` is approximate: A100's is the white
    paper's 5120 bytes a clock, H200's what microbenchmarks of H100 find.
    """

    name: str
    multiprocessors: int
    clock_ghz: float
    fp32_lanes: int  #: FP32 multiply-adds of a multiprocessor in a clock
    tensor_flop: int  #: bfloat16 FLOP of a multiprocessor in a clock, dense, float sums
    mma_sync: float
    l2_gbs: float
    memory_gbs: float

    @property
    def l2_bytes(self) -> float:
        """Bytes from L2 for one multiprocessor in a clock, when all of them ask."""
        return self.l2_gbs / self.clock_ghz / self.multiprocessors

    def peak(self, dtype: str) -> float:
        """TFLOP/s in float32 (FP32 lanes) or bfloat16 (tensor cores)."""
        flop = 2 * self.fp32_lanes if dtype == "float32" else self.tensor_flop
        return self.multiprocessors * flop * self.clock_ghz / 1e3


A100 = Machine("A100", 108, 1.41, 64, 2048, 1.0, 7200, 2039)  # SXM, 80 GB
#: 1.83 GHz gives the data sheet's 989 TFLOP/s of the tensor cores; its FP32 figure is at 1.98 GHz.
H200 = Machine("H200", 132, 1.83, 128, 4096, 0.63, 5600, 4800)  # SXM

MACHINES = [A100, H200]
