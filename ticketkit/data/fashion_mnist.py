"""Fashion-MNIST: 70,000 grey images of 28×28 pixels of clothes, in ten classes; H. Xiao et al., 2017, section 2."""

from __future__ import annotations

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.images import ImageData
from ticketkit.data.mnist import idx_reader, in_idx_files
from ticketkit.data.published import load_published

FASHION_MNIST = in_idx_files(
    "fashion-mnist",
    "FashionMNIST",
    title="clothes in grey",
    mirrors=True,
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    megabytes=(26, 0, 4, 0),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
)


def load_fashion_mnist(request: DataRequest) -> ImageData:
    """Load Fashion-MNIST as :func:`ticketkit.data.mnist.load_mnist` loads MNIST, whose file names and format it has.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``FashionMNIST/raw`` (default ``data``); with
            ``download``, what is missing there is fetched, 30 MB. ``image_size`` must be 28 where it is given.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched; the message says how to bring them.
    """
    return load_published(FASHION_MNIST, request, idx_reader("FashionMNIST"))


DATASETS.register(FASHION_MNIST.name, DataSet(facts=FASHION_MNIST, load=load_fashion_mnist))
