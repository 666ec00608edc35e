"""The formats, one module each; the registry finds them by themselves."""
