"""Fashion-MNIST: 60,000 training and 10,000 test images of clothing, 28 x 28, in MNIST's layout."""

from __future__ import annotations

from gpugrad.data.mnist import MNIST, Publication

_FASHION = Publication(
    "Fashion-MNIST",
    ("FashionMNIST/raw", "FashionMNIST", "fashion-mnist", "fashion"),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    md5={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


class FashionMNIST(MNIST):
    """As MNIST: tensors (n, 1, 28, 28) and labels, or transform(PIL image) and label.

    Pixels are (value / 255 - 0.2860) / 0.3530. Its four files have MNIST's names, so they must lie
    in a folder of their own: root/FashionMNIST/raw/, root/FashionMNIST/ or root/fashion-mnist/.

    Args: as MNIST's, but there is no copy in the package. download: fetch the files to
    root/FashionMNIST/raw (30 MB, checked by their MD5) where there are none.

    Source: Xiao, Rasul, Vollgraf 2017.
    """

    published = _FASHION
    classes = (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    )  # fmt: skip
    mean = 0.2860
    std = 0.3530
