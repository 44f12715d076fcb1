"""What PyTorch programs ask before they choose a device: `torch.backends.mps.is_available()`."""


def is_available() -> bool:
    """False: gpugrad has no kernels for Apple's GPUs."""
    return False


def is_built() -> bool:
    """False, as `is_available`."""
    return False
