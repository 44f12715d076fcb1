"""How float32 matrices are multiplied on devices with tensor cores."""

from __future__ import annotations

from ..errors import ArgumentError

PRECISIONS = ("exact", "high", "tf32")
"""MatmulPrecision of csrc/core/functors.h."""

_PYTORCH = {"highest": "high", "high": "tf32", "medium": "tf32"}


class _Setting:
    """Read by every float32 gemm, so a plain attribute."""

    name = "high"


SETTING = _Setting()


def set_matmul_precision(precision: str) -> None:
    """Choose how float32 matrices are multiplied (matmul, linear and all that is built on gemm).

    - ``"exact"``: every product and sum in float32, on ordinary CUDA cores.
    - ``"high"`` (default): as accurate as ``"exact"``, on tensor cores where that is faster. Each
      factor x is split into hi = tf32(x) and lo = tf32(x - hi), and x y is summed as hi hi + hi lo
      + lo hi, the sums in float32 outside the tensor core (3xTF32; Ootomo & Yokota 2022). Infinity
      and NaN come out as in ``"exact"``; the last bits may differ.
    - ``"tf32"``: one tensor-core product of factors rounded to 11 significant bits: some three
      decimal digits, several times faster.

    Other dtypes and device cpu, which is always exact, do not look at it. Holds for the whole
    process, from the next operation on. Raises ArgumentError for any other name.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(
            f"set_matmul_precision: precision is {precision!r}; it must be one of {PRECISIONS}."
        )
    SETTING.name = precision


class _Matmul:
    """PyTorch's ``torch.backends.cuda.matmul``."""

    @property
    def allow_tf32(self) -> bool:
        """Whether the precision is "tf32"; setting it chooses "tf32" or "high"."""
        return SETTING.name == "tf32"

    @allow_tf32.setter
    def allow_tf32(self, allow: bool) -> None:
        if allow:
            set_matmul_precision("tf32")
        elif self.allow_tf32:  # "exact" stays
            set_matmul_precision("high")

    def __setattr__(self, name: str, value: object) -> None:
        if name != "allow_tf32":
            raise AttributeError(
                f"backends.cuda.matmul has no setting {name!r}, only allow_tf32; all sums are "
                "float32."
            )
        super().__setattr__(name, value)


matmul = _Matmul()


def get_matmul_precision() -> str:
    """What `set_matmul_precision` chose: "exact", "high" or "tf32"."""
    return SETTING.name


def set_float32_matmul_precision(precision: str) -> None:
    """PyTorch's name for `set_matmul_precision`, with PyTorch's levels.

    "highest" (accurate to float32) is our "high"; "high" and "medium" are our "tf32".
    """
    if precision not in tuple(_PYTORCH):  # a tuple takes what cannot be a key
        raise ArgumentError(
            f"set_float32_matmul_precision: precision is {precision!r}; it must be one of "
            f"{tuple(_PYTORCH)}.\n  set_matmul_precision takes gpugrad's own {PRECISIONS}."
        )
    set_matmul_precision(_PYTORCH[precision])


def get_float32_matmul_precision() -> str:
    """What PyTorch calls the precision: "high" for our "tf32", else "highest"."""
    return "high" if SETTING.name == "tf32" else "highest"
