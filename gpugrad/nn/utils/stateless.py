"""functional_call, under its older name; see `gpugrad.func`."""

from ...func.functional_call import functional_call

__all__ = ["functional_call"]
