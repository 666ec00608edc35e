"""Data sets: every image of one as a uint8 array, read once. Nothing here is imported with torch until it is read."""

from ticketkit.data.images import DATASETS, DataRequest, ImageData, load_data

__all__ = ["DATASETS", "DataRequest", "ImageData", "load_data"]
