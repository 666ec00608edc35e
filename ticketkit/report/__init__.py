"""Reports as values: what a ticket holds, what two tickets share, how a ticket did beside its baselines.

Pure numpy, no rendering. Nothing is imported here, so that ``inspect`` pays only for the report that it shows.
"""
