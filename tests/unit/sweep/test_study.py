"""Reading a study's file: every field, what may be abbreviated, and what is refused in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from ticketkit.errors import RecipeError, StudyError, TicketkitError
from ticketkit.recipe import load_recipe
from ticketkit.sweep import Study, load_study
from ticketkit.sweep.study import DataChoice, PolicyChoice, Source, change_study

PAGE = Path(__file__).parents[3] / "formats" / "study-v1.md"
SMALLEST = 'sources = ["resnet20"]\ntargets = ["resnet32"]\nsparsities = [0.8]\n'


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Study]:
    """Read a study from its text, whose file is called ``some study.toml``."""

    def read_text(text: str) -> Study:
        path = tmp_path / "some study.toml"
        path.write_text(text, encoding="utf-8")
        return load_study(path)

    return read_text


def test_three_lines_make_a_study(read: Callable[[str], Study]) -> None:
    assert read(SMALLEST) == Study(
        title="some study",
        sources=(Source(arch="resnet20", data=None, recipe=None),),
        targets=("resnet32",),
        sparsities=(0.8,),
        recipe=load_recipe("quick"),
        policies=(PolicyChoice(name="append", order="append"),),
        arms=("ticket", "dense", "imp", "random", "reinit"),
        seeds=(0, 1, 2),
        data=DataChoice(dataset="digits"),
        reference="imp",
        margin=0.5,
        rate=0.2,
        start="rewind",
        dst_multiplier=5,
        connect=(),
        points=30,
    )


def test_every_field_may_be_given(read: Callable[[str], Study]) -> None:
    study = read(
        """
        title = "All of it"
        targets = ["resnet14", "resnet32"]
        sparsities = [0.5, 0.9]
        arms = ["ticket", "rigl"]
        seeds = [3, 1]
        recipe = "paper-cifar"
        reference = "rigl"
        margin = 1
        rate = 0.4
        start = "0"
        dst_multiplier = 2
        connect = ["ticket", "imp"]
        points = 7
        data = { dataset = "folder", data_dir = "pictures", image_size = 32, limit = 500 }

        [[sources]]
        arch = "resnet20"
        data = { dataset = "digits", limit = 100 }
        recipe = { base = "quick", epochs = 3 }

        [[policies]]
        name = "mine"
        order = "interpolate"
        units = [1, 2]
        drop = [2]
        random_copies = true
        rescale = true

        [[policies]]
        name = "by hand"
        mapping = "0:0;1:1,2"
        """
    )
    recipe = load_recipe("quick", ["epochs=3", 'name="some study"'])
    assert study == Study(
        title="All of it",
        sources=(Source(arch="resnet20", data=DataChoice(dataset="digits", limit=100), recipe=recipe),),
        targets=("resnet14", "resnet32"),
        sparsities=(0.5, 0.9),
        recipe=load_recipe("paper-cifar"),
        policies=(
            PolicyChoice(name="mine", order="interpolate", units=(1, 2), drop=(2,), random_copies=True, rescale=True),
            PolicyChoice(name="by hand", mapping="0:0;1:1,2"),
        ),
        arms=("ticket", "rigl"),
        seeds=(3, 1),
        data=DataChoice(dataset="folder", data_dir="pictures", image_size=32, limit=500),
        reference="rigl",
        margin=1.0,
        rate=0.4,
        start="0",
        dst_multiplier=2,
        connect=("ticket", "imp"),
        points=7,
    )
    assert study.recipe_of(study.sources[0]) == recipe
    assert study.data_of(study.sources[0]).dataset == "digits"


def test_what_may_be_said_in_a_word(read: Callable[[str], Study]) -> None:
    short = read(SMALLEST + 'policies = ["interpolate"]\ndata = "cifar10"\nseeds = 2\narms = "all"\n')
    long = read(
        """
        sources = [{ arch = "resnet20" }]
        targets = ["resnet32"]
        sparsities = [0.8]
        policies = [{ name = "interpolate", order = "interpolate" }]
        data = { dataset = "cifar10" }
        seeds = [0, 1]
        arms = ["all"]
        """
    )
    assert short == long


def test_a_source_without_data_and_recipe_has_the_study_s(read: Callable[[str], Study]) -> None:
    study = read(SMALLEST + 'data = { dataset = "digits", limit = 100 }\nrecipe = "fast-cifar"\n')
    assert study.data_of(study.sources[0]) == DataChoice(dataset="digits", limit=100)
    assert study.recipe_of(study.sources[0]) == load_recipe("fast-cifar")


def test_a_recipe_s_own_file_may_be_named(read: Callable[[str], Study], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('base = "quick"\nepochs = 4\n', encoding="utf-8")
    study = read(SMALLEST + f"recipe = {str(tmp_path / 'mine.toml')!r}\n")
    assert (study.recipe.name, study.recipe.epochs) == ("mine", 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("targets = [", "must be TOML"),
        ("a = " + "[" * 3000, "must be TOML"),
        ('colour = "red"', r"fields of a study must be among arms, .*title \(got 'colour'\)"),
        ("sources = []", r"sources must be one or more \(got none\)"),
        ('sources = "resnet20"', r"sources must be a list \(got 'resnet20'\)"),
        ("sources = [1]", r"Expected `object`, got `int` - at `\$\.sources\[0\]`"),
        ("sources = [{ depth = 20 }]", r"fields of a source must be among arch, data, recipe \(got 'depth'\)"),
        ('sources = [{ data = "digits" }]', r"missing required field `arch` - at `\$\.sources\[0\]`"),
        (
            'sources = [{ arch = "resnet20", data = { size = 3 } }]',
            r"fields of data must be among dataset, .*, limit, fraction \(got 'size'; did",
        ),
        (
            'sources = [{ arch = "resnet20", recipe = { base = "quick", speed = 3 } }]',
            r"fields of recipe 'some study' must be among .* \(got 'speed'\)",
        ),
        ('sources = ["resnet20", "resnet20"]', r"sources must be named once each \(got 'resnet20' twice\)"),
        ("targets = []", r"targets must be one or more"),
        ('targets = "resnet32"', r"Expected `array`, got `str` - at `\$\.targets`"),
        ('targets = ["a", "b", "a"]', r"targets must be named once each \(got 'a' twice\)"),
        ("sparsities = []", "sparsities must be one or more"),
        ("sparsities = [0.5, 0.50]", r"sparsities must be named once each \(got 0\.5 twice\)"),
        ("sparsities = [0.5, 1.0]", r"sparsities must be above 0 and below 1 \(got \(0\.5, 1\.0\)\)"),
        ("sparsities = [0]", "sparsities must be above 0"),
        ("sparsities = [nan]", "sparsities must be above 0"),
        ('sparsities = ["80 %"]', r"at `\$\.sparsities\[0\]`"),
        ("policies = []", "policies must be one or more"),
        ('policies = "append"', "policies must be a list"),
        ('policies = ["append", { name = "append", units = [1] }]', "policies must be named once each"),
        ('policies = [{ order = "append" }]', r"missing required field `name` - at `\$\.policies\[0\]`"),
        (
            'policies = [{ name = "a", copies = 2 }]',
            r"fields of a policy must be among name, .* \(got 'copies'; did you mean 'random_copies'\?\)",
        ),
        ('policies = [{ name = "a", units = "1,2" }]', r"at `\$\.policies\[0\]\.units`"),
        (
            'policies = [{ name = "a", mapping = "0:0", drop = [1] }]',
            "policy 'a' must have units and drop, or a mapping",
        ),
        ("arms = []", "arms must name at least one, or connect"),
        ('arms = ["dense", "imp"]', r"arms must name the ticket.*\(got \('dense', 'imp'\)\)"),
        ('arms = ["ticket", "imp", "ticket"]', "arms must be named once each"),
        ('connect = ["imp", "imp"]', "connect must be named once each"),
        ("seeds = []", "seeds must be one or more"),
        ("seeds = 0", r"number of seeds must be from 1 to 1,000 \(got 0\)"),
        ("seeds = 1_000_000_000", "number of seeds must be from 1 to 1,000"),
        ("seeds = true", r"at `\$\.seeds`"),
        ("seeds = [1, 1]", "seeds must be named once each"),
        ("seeds = [-1]", r"seeds must be from 0 to 2\*\*53 - 1 \(got \(-1,\)\)"),
        ("seeds = [9007199254740992]", "seeds must be from 0"),
        (f"seeds = {list(range(1001))}", r"seeds must be at most 1,000 \(got 1,001\)"),
        ("recipe = 3", r"recipe must be a name or a table of fields \(got 3\)"),
        ('recipe = "slow"', r"a recipe must be one of .* \(got 'slow'\)"),
        ('recipe = { base = "quick", speed = 3 }', r"fields of recipe 'some study' must be among .* \(got 'speed'\)"),
        ('recipe = { base = "quick", lr = -1 }', "lr of recipe 'some study' must be above 0"),
        ("data = 3", r"at `\$\.data`"),
        ("data = { limit = 0 }", r"limit of data must be 1 or more \(got 0\)"),
        ("data = { image_size = -8 }", "image_size of data must be 1 or more"),
        ("data = { limits = 3 }", r"fields of data must be among .* \(got 'limits'; did you mean 'limit'\?\)"),
        ("margin = -0.1", "margin must be from 0 to 100 points"),
        ("margin = nan", "margin must be from 0 to 100 points"),
        ("margin = 101", "margin must be from 0"),
        ("rate = 1.0", r"rate must be above 0 and below 1 \(got 1\.0\)"),
        ('start = "1"', r"at `\$\.start`"),
        ("dst_multiplier = 0", "dst_multiplier must be from 1 to 1,000"),
        ("dst_multiplier = 2.5", r"at `\$\.dst_multiplier`"),
        ("points = 1", "points must be from 2 to 10,000"),
        ("reference = 1", r"at `\$\.reference`"),
        ("title = 3", r"at `\$\.title`"),
    ],
)
def test_what_breaks_a_rule_is_named_in_one_line(read: Callable[[str], Study], text: str, message: str) -> None:
    field = text.partition(" ")[0]
    lines = [line for line in SMALLEST.splitlines() if not line.startswith(f"{field} ")]
    with pytest.raises(TicketkitError, match=message) as caught:
        read("\n".join([*lines, text]))
    told = str(caught.value)
    assert isinstance(caught.value, StudyError | RecipeError)
    assert told.endswith("some study.toml")
    assert "\n" not in told
    assert len(told) < 700


@pytest.mark.parametrize("field", ["sources", "targets", "sparsities"])
def test_what_has_no_default_must_be_there(read: Callable[[str], Study], field: str) -> None:
    lines = [line for line in SMALLEST.splitlines() if not line.startswith(field)]
    with pytest.raises(StudyError, match=field):
        read("\n".join(lines))


def test_the_format_s_page_has_every_field_and_an_example(read: Callable[[str], Study]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    for kind in (Study, Source, PolicyChoice, DataChoice):
        for field in fields(kind):
            assert f"\n| `{field.name}` | " in text
    examples = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    whole = read(examples[0])
    assert [source.arch for source in whole.sources] == ["resnet20-w8", "resnet56-w8"]
    for example in examples[1:]:
        missing = [line for line in SMALLEST.splitlines() if line.split()[0] not in example]
        assert read("\n".join([*missing, example])) != read(SMALLEST)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"readable file \(No such file or directory\): .*gone\.toml"):
        load_study(tmp_path / "gone.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(StudyError, match=r"must be TOML .*bytes\.toml"):
        load_study(tmp_path / "bytes.toml")


def test_the_command_line_changes_the_study_s_own_data_and_seeds(read: Callable[[str], Study]) -> None:
    study = read(SMALLEST.replace('["resnet20"]', '[{ arch = "resnet20", data = "cifar10" }]') + "seeds = [7]\n")
    assert change_study(study) == study
    changed = change_study(study, data_dir="there", limit=9, seeds=2)
    assert changed.data == DataChoice(dataset="digits", data_dir="there", limit=9)
    assert changed.data_of(changed.sources[0]) == DataChoice(dataset="cifar10")
    assert changed.seeds == (0, 1)
    for wrong in ({"limit": 0}, {"seeds": 0}, {"seeds": 1001}):
        with pytest.raises(StudyError):
            change_study(study, **wrong)
