"""CIFAR-100: 60,000 colour images of 32×32 pixels in a hundred classes; A. Krizhevsky, 2009, section 3."""

from __future__ import annotations

from ticketkit.data.cifar10 import batches_reader
from ticketkit.data.datasets import DATASETS, DataRequest, DataSet
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData
from ticketkit.data.published import load_published

CLASSES = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CIFAR100 = Facts(
    name="cifar100",
    title="small colour photographs",
    source="download",
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    classes=tuple(CLASSES.split()),
    megabytes={"cifar-100-python": 169},
    how_to="put cifar-100-python or cifar-100-python.tar.gz from https://www.cs.toronto.edu/~kriz/cifar.html there",
)


def load_cifar100(request: DataRequest) -> ImageData:
    """Load CIFAR-100, with its hundred fine labels, as :func:`ticketkit.data.cifar10.load_cifar10` loads CIFAR-10.

    Args:
        request: ``data_dir`` is the folder that holds, or will hold, ``cifar-100-python`` (default ``data``); with
            ``download``, what is missing there is fetched, 169 MB. ``image_size`` must be 32 where it is given.

    Raises:
        DataError: If the files are missing or damaged and could not be fetched; the message says how to bring them.
    """
    return load_published(CIFAR100, request, batches_reader("CIFAR100"))


DATASETS.register(CIFAR100.name, DataSet(facts=CIFAR100, load=load_cifar100))
