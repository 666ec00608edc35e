import importlib.util
import os
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from ticketkit.data import DataRequest, ImageData, load_data
from ticketkit.errors import DataError
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute
from ticketkit.train.distributed import ALONE, Group, part_of

JOB = Path(__file__).parents[2] / "ranks_job.py"
CPU = Compute()
RANKS = 2


def load_job() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ranks_job", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


job = load_job()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """What two gloo processes came to, and the folder in which they did."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(RANKS), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, JOB, folder, "cpu"], env=os.environ | shared | {"RANK": str(rank)}, stderr=subprocess.PIPE
        )
        for rank in range(RANKS)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    return folder, [pickle.loads((folder / f"rank-{rank}.pickle").read_bytes()) for rank in range(RANKS)]


Ranks = tuple[Path, list[dict[str, Any]]]


def test_ranks_average_gather_and_are_told(ranks: Ranks):
    for done in ranks[1]:
        assert done["mean"] == [0.5, 0.5]
        assert done["gathered"] == [[0, 7], [1, 7]]
        assert done["of first"] == {"made by": 0}
    assert sorted(done["claims"] for done in ranks[1]) == [False, True], "one rank alone is to speak"


def test_what_must_be_alike_is_compared(ranks: Ranks):
    for done in ranks[1]:
        assert done["alike"] == ""
        assert done["not alike"] == "every rank must have the same thing (rank 1 has not what rank 0 has)"
        assert done["apart"] == "every rank must have the same weights to start from (rank 1 has not what rank 0 has)"
        assert done["odd"] == "a batch must be shared evenly by 2 ranks (recipe odd has batch 33)"


def test_batch_normalisation_sees_the_whole_batch(ranks: Ranks):
    whole = job.normalise(ALONE)
    parts = [done["normalised"] for done in ranks[1]]
    assert set(whole) == set(parts[0])
    for name, expected in whole.items():
        if name in ("given", "gradient"):
            found = torch.cat([part[name] for part in parts])
        elif name.endswith(" gradient"):
            found = sum(part[name] for part in parts)
        else:  # the running statistics, which every rank has
            assert all(torch.equal(part[name], parts[0][name]) for part in parts)
            found = parts[0][name]
        torch.testing.assert_close(
            found, expected, rtol=1e-12, atol=1e-12, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.parametrize("name", job.ARCHS)
def test_a_step_of_two_ranks_is_that_of_one_but_for_rounding(ranks: Ranks, name: str):
    first, second = (done["steps"][name] for done in ranks[1])
    for what in ("gradients", "values"):
        assert first[what].tobytes() == second[what].tobytes(), "ranks do not drift apart"
    assert first["loss"] == second["loss"]
    alone = job.take_steps(ALONE, name, CPU)
    assert first["names"] == alone["names"]
    # Sums of float32 in another order. One process that takes the images of a batch in another order is as far off:
    # 1e-6 of the gradients' norm.
    for what in ("gradients", "values"):
        assert np.linalg.norm(first[what] - alone[what]) <= 1e-5 * np.linalg.norm(alone[what])
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-5)
    for buffer, values in alone["buffers"].items():
        np.testing.assert_allclose(first["buffers"][buffer], values, rtol=1e-4, atol=1e-5, err_msg=buffer)


@pytest.mark.parametrize("name", job.ARCHS[:2])
def test_two_ranks_find_the_ticket_of_one(ranks: Ranks, name: str):
    first, second = (done["found"][name] for done in ranks[1])
    assert first["id"] == second["id"]
    assert first["losses"] == second["losses"]
    alone = job.find(ALONE, name, CPU)
    kept = sum(int(mask.sum()) for mask in alone["mask"].values())
    assert sum(int(mask.sum()) for mask in first["mask"].values()) == kept
    both = sum(int((mask & alone["mask"][tensor]).sum()) for tensor, mask in first["mask"].items())
    # Rounding swaps weights that are as good as equal. In longer trainings it now and then tips an activation over the
    # kink of a ReLU, after which two trainings part; one process with its images in another order does so too.
    assert both >= 0.98 * kept
    assert first["accuracies"] == pytest.approx(alone["accuracies"], abs=0.02)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-3)
    assert first["environment"] == alone["environment"] | {"ranks": 2}


def test_only_the_first_rank_keeps_a_run_and_all_go_on_with_it(ranks: Ranks):
    folder, (first, second) = ranks
    assert [path.name for path in sorted(folder.glob("run-*"))] == ["run-0"]
    assert first["kept"] == second["kept"] == first["found"]["mlp-64-20-10"]["id"]
    assert first["resumed"] == second["resumed"] == [], "no level was trained again"


class Part(Group):
    """A rank of which nothing but its place is asked."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def test_ranks_share_every_batch_whether_images_are_held_or_streamed(
    folder_of_images: Callable[..., ImageData],
):
    recipe = Recipe(name="r", epochs=2, batch=6, lr=0.1, crop=1, flip=True)
    for stream in (False, True):
        whole = Batches(folder_of_images(stream=stream), recipe)
        assert whole.streamed is stream
        parts = [part_of(whole, Part(rank, 3)).epoch(5, 1, first=2) for rank in range(3)]
        for (images, labels), *shared in zip(whole.epoch(5, 1, first=2), *parts, strict=True):
            assert torch.equal(images, torch.cat([images for images, _ in shared]))
            assert torch.equal(labels, torch.cat([labels for _, labels in shared]))
        assert part_of(whole, ALONE) is whole
        with pytest.raises(DataError, match="4 ranks"):
            part_of(whole, Part(0, 4))


@pytest.fixture
def folder_of_images(tmp_path: Path) -> Callable[..., ImageData]:
    from PIL import Image

    random = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / part / name
            folder.mkdir(parents=True)
            for index in range(15):
                Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{index}.png")

    def load(**options: object) -> ImageData:
        return load_data("folder", DataRequest(data_dir=tmp_path / "pets", cache_dir=tmp_path / "cache", **options))

    return load
