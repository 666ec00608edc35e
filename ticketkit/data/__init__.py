"""Data sets: every image of one as a uint8 array, read once. Nothing here is imported with torch until it is read."""

from ticketkit.data.datasets import DATASETS, DataRequest, DataSet, load_data
from ticketkit.data.facts import Facts
from ticketkit.data.images import ImageData

__all__ = ["DATASETS", "DataRequest", "DataSet", "Facts", "ImageData", "load_data"]
