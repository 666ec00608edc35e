"""One process of coverage-guided fuzzing by atheris; ``run.py --engine atheris`` starts it, see there.

A breach is written down and the run goes on. What ends the process itself (memory, a hang, a crash of the
interpreter) leaves libFuzzer's ``crash-…``, ``oom-…`` or ``timeout-…`` in the same folder.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from random import Random

import atheris

# Before any of it is imported elsewhere. The mutations and contracts are no part of it: their branches are not news.
with atheris.instrument_imports(include=["ticketkit", "rfc8785"], enable_loader_override=False):
    import ticketkit.bundle
    import ticketkit.stretch  # noqa: F401

import corpus
from campaign import HANG_SECONDS, Session
from mutations import make_mapping, mutate, mutate_mapping

_LONGEST = 2**17
_WRITTEN_EVERY = 2.0
_FRESH = 0.2
"""How often to mutate a file to start from in place of one that was found: what is new is broken, mostly."""
_BLIND = 0.05


def main() -> None:
    """Fuzz until so many inputs were tried, then write the tally and end."""
    options = _options()
    session = Session(target=options.target, folder=options.folder, out=options.out, alarm=False)
    seeds = _write_seeds(options.target, options.folder / "seeds")
    options.corpus.mkdir(parents=True, exist_ok=True)
    written = time.monotonic()

    def try_one(data: bytes) -> None:
        nonlocal written
        session.feed(bytes(data), "atheris", thorough=session.tally.inputs % 8 == 0)
        done = session.tally.inputs >= options.inputs
        if done or time.monotonic() - written > _WRITTEN_EVERY:
            session.tally.write(options.tally)
            written = time.monotonic()
        if done:
            sys.stdout.flush()
            os._exit(0)  # libFuzzer would call this a crash otherwise; what it found is in its corpus already

    def change(data: bytes, most: int, seed: int) -> bytes:
        random = Random(seed)
        if random.random() < _FRESH:
            data = random.choice(seeds)
        if random.random() < _BLIND:  # libFuzzer's own mutations know which comparisons failed
            return bytes(atheris.Mutate(bytes(data), most))
        if options.target == "bundle":
            return mutate(bytes(data), random, random.choice(seeds))[:most]
        text = make_mapping(random) if random.random() < _FRESH else corpus.decoded(bytes(data))
        return corpus.encoded(mutate_mapping(text, random))[:most]

    arguments = [
        sys.argv[0],
        str(options.corpus),
        str(options.folder / "seeds"),
        f"-seed={options.seed + 1}",  # zero would be a random one
        f"-max_len={_LONGEST}",
        f"-timeout={HANG_SECONDS}",
        "-mutate_depth=1",  # each is one to a few already
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
        "-reload=1",
        f"-artifact_prefix={options.out}/",
    ]
    atheris.Setup(arguments, try_one, custom_mutator=change)
    atheris.Fuzz()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--target", choices=("bundle", "mapping"), required=True)
    for name in ("--inputs", "--seed"):
        parser.add_argument(name, type=int, required=True)
    for name in ("--folder", "--out", "--corpus", "--tally"):
        parser.add_argument(name, type=Path, required=True)
    return parser.parse_args()


def _write_seeds(target: str, folder: Path) -> list[bytes]:
    seeds = corpus.bundles() if target == "bundle" else [corpus.encoded(text) for text in corpus.mappings()]
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(sorted(set(seeds))):
        (folder / f"{number:04d}").write_bytes(data)
    return seeds


if __name__ == "__main__":
    main()
