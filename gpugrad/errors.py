"""What gpugrad raises. Each text names the operation, its arguments, and the way out."""

from __future__ import annotations


class GpugradError(RuntimeError):
    """Base of every error that gpugrad raises on purpose."""


class ShapeError(GpugradError, ValueError):
    """Shapes do not fit the operation."""


class DTypeError(GpugradError, TypeError):
    """A dtype does not fit the operation, or is not supported."""


class ArgumentError(GpugradError, ValueError):
    """An option has a value outside what the operation accepts."""


class DeviceError(GpugradError):
    """A device is missing, mixed, or cannot run this build."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A device has no room for an array."""


class GraphError(GpugradError):
    """The autograd graph cannot do what was asked: freed, changed in place, or cut."""


class CheckpointError(GraphError):
    """A checkpointed function did something else when backward ran it again."""


class CaptureError(GpugradError):
    """A step cannot be captured, or a call does not fit the captured one."""


class IndexOutOfRangeError(GpugradError, IndexError):
    """An index or label lies outside its axis. CUDA reports it when it next synchronises."""


class DataError(GpugradError, ValueError):
    """A data or model file is missing, truncated, corrupt, or not what it claims to be."""


class MissingFileError(DataError, FileNotFoundError):
    """A file is not there."""


class NonFiniteError(GpugradError, FloatingPointError):
    """A loss, gradient or value became NaN or infinite."""


class LinAlgError(GpugradError, ValueError):
    """A matrix is singular, not positive definite, or a factorisation does not converge."""


class GradcheckError(GpugradError, AssertionError):
    """A gradient is not what differences say."""


class PackageError(GpugradError, ImportError):
    """A package that only a part of gpugrad needs is not installed."""
