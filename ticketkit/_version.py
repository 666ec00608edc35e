"""The package's version, by itself so that the build can read it without importing the package."""

__version__ = "0.5.0"
