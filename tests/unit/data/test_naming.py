from __future__ import annotations

import pytest

from ticketkit.data import load_data
from ticketkit.data.framing import CentreCrop
from ticketkit.data.naming import DataName, framed_name, limited_name, parse_data_name


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("digits", {"loader": "digits"}),
        ("cifar10[:5000]", {"loader": "cifar10", "limits": ((5000, None),)}),
        ("cifar10[:,:1000]", {"loader": "cifar10", "limits": ((None, 1000),)}),
        ("cifar10[:500,:90][:20]", {"loader": "cifar10", "limits": ((500, 90), (20, None))}),
        ("folder:pets", {"loader": "folder"}),
        ("folder:pets@224px", {"loader": "folder", "image_size": 224}),
        ("folder:pets@256-224px[:9]", {"loader": "folder", "resize": 256, "image_size": 224, "limits": ((9, None),)}),
        ("folder:pets@2", {"loader": "folder"}),
        ("folder:a[b]@c", {"loader": "folder"}),
    ],
)
def test_a_name_says_what_was_taken(name: str, parts: dict[str, object]) -> None:
    assert parse_data_name(name) == DataName(**parts)


@pytest.mark.parametrize("limit", [(5, None), (None, 6), (5, 6)])
@pytest.mark.parametrize("framing", [None, CentreCrop(size=24), CentreCrop(size=24, resize=28)])
def test_names_are_read_as_they_are_made(limit: tuple[int | None, int | None], framing: CentreCrop | None) -> None:
    found = parse_data_name(limited_name(framed_name("folder:pets", framing), limit))
    assert (found.loader, found.limits) == ("folder", (limit,))
    assert (found.image_size, found.resize) == ((framing.size, framing.resize) if framing else (None, None))


@pytest.mark.parametrize("folder", ["pets@224px", "pets[:10]", "a@256-224px[:3,:4]"])
@pytest.mark.parametrize("framing", [None, CentreCrop(size=24)])
def test_a_folders_own_name_is_not_read_as_a_size_or_a_limit(folder: str, framing: CentreCrop | None) -> None:
    name = framed_name(f"folder:{folder}", framing)
    assert name == f"folder:{folder}/{'' if framing is None else '@24px'}"
    assert parse_data_name(name) == DataName(loader="folder", image_size=framing.size if framing else None)
    assert parse_data_name(limited_name(name, (5, None))).limits == ((5, None),)


def test_the_name_of_a_limited_data_set_says_so() -> None:
    data = load_data("digits").limited(100).limited(None, 50)
    assert data.name == "digits[:100][:,:50]"
    assert parse_data_name(data.name).limits == ((100, None), (None, 50))
