"""The arms, one module each; a new one is a new module that registers itself."""
