from pathlib import Path

import pytest

from ticketkit.errors import RecipeError
from ticketkit.recipe import Recipe, known_recipes, load_recipe, make_recipe
from ticketkit.train.schedule import learning_rate


def test_the_known_recipes_load():
    assert known_recipes() == ["fast-cifar", "paper-cifar", "paper-imagenet", "quick"]
    assert [load_recipe(name).name for name in known_recipes()] == known_recipes()


def test_paper_imagenet_is_the_papers():
    recipe = load_recipe("paper-imagenet")
    steps_per_epoch = 1_281_167 // recipe.batch
    assert (recipe.epochs, recipe.batch, recipe.milestones) == (90, 1024, (30, 60, 80))
    assert recipe.rewind_step(steps_per_epoch) == 5 * steps_per_epoch
    assert learning_rate(recipe, 5 * steps_per_epoch, steps_per_epoch) == pytest.approx(0.4)
    assert learning_rate(recipe, 80 * steps_per_epoch, steps_per_epoch) == pytest.approx(0.4e-3)


def test_paper_cifar_is_the_papers():
    recipe = load_recipe("paper-cifar")
    assert (recipe.epochs, recipe.batch, recipe.lr, recipe.momentum, recipe.weight_decay) == (160, 128, 0.1, 0.9, 1e-4)
    assert (recipe.milestones, recipe.gamma, recipe.rewind, recipe.crop, recipe.flip) == (
        (80, 120),
        0.1,
        "1000it",
        4,
        True,
    )
    assert recipe.rewind_step(391) == 1000


def test_overrides_take_values_as_toml_writes_them():
    recipe = load_recipe(
        "quick", ["epochs=3", "lr = 0.5", "rewind=1ep", "nesterov=false", "schedule='step'", "milestones=[1, 2]"]
    )
    assert (recipe.epochs, recipe.lr, recipe.rewind, recipe.nesterov) == (3, 0.5, "1ep", False)
    assert (recipe.schedule, recipe.milestones) == ("step", (1, 2))
    assert recipe.rewind_step(14) == 14


def test_a_file_may_build_on_a_known_recipe(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('base = "quick"\nepochs = 5\n')
    recipe = load_recipe(path)
    assert (recipe.name, recipe.epochs, recipe.batch) == ("mine", 5, load_recipe("quick").batch)


def test_a_recipe_survives_its_plain_form():
    for name in known_recipes():
        recipe = load_recipe(name)
        assert make_recipe(recipe.to_dict(), where="ticket") == recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["epochs=0"], r"epochs of recipe 'quick' must be from 1 to 100,000 \(got 0\)"),
        (["epochs=2.5"], r"^epochs of recipe 'quick' must be a whole number \(got 2\.5\)$"),
        (["epochs=x"], r"^epochs of recipe 'quick' must be a whole number \(got 'x'\)$"),
        (["epochs=1"], r"^warmup of recipe 'quick' must be from 0 to the 1 epochs \(got "),
        (["nesterov=1"], r"nesterov .* must be true or false \(got 1\)"),
        (["milestones=['a']"], r"milestones .* must be a list of whole numbers \(got \['a'\]\)"),
        (["lr=nan"], r"lr of recipe 'quick' must be above 0 and below a million \(got nan\)"),
        (["momentum=1"], r"momentum .* must be in \[0, 1\)"),
        (["rewind=soon"], r"rewind .* such as 1000it or 2ep \(got 'soon'\)"),
        (["milestones=[3,2]"], r"milestones .* must be increasing"),
        (["warmup=99"], r"warmup .* must be from 0 to the 16 epochs"),
        (["schedule=linear"], r"schedule .* must be 'step' or 'cosine' \(got 'linear'\)"),
        (["nonsense=1"], r"fields of recipe 'quick' must be among .* \(got 'nonsense'\)"),
        (["epochs"], r"an override must read field=value \(got 'epochs'\)"),
    ],
)
def test_a_wrong_field_is_named(overrides: list[str], message: str):
    with pytest.raises(RecipeError, match=message):
        load_recipe("quick", overrides)


def test_an_unknown_recipe_lists_the_known_ones():
    known = "fast-cifar, paper-cifar, paper-imagenet, quick"
    with pytest.raises(RecipeError, match=rf"one of {known} or a \.toml file \(got 'slow'\)"):
        load_recipe("slow")


@pytest.mark.parametrize("content", [b"epochs = ", b"\xff\xfe", b"epochs = 3\n"])
def test_a_broken_file_is_one_line_with_its_name(tmp_path: Path, content: bytes):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(RecipeError, match=r"bad\.toml") as raised:
        load_recipe(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"must be a readable file \(No such file or directory\): .*none\.toml"):
        load_recipe(tmp_path / "none.toml")


def test_the_rewind_step_lies_before_the_end():
    with pytest.raises(RecipeError, match=r"before the end of training, 160 steps \(got 1000it\)"):
        load_recipe("quick", ["rewind=1000it"]).rewind_step(10)


def test_step_schedule():
    recipe = Recipe(name="r", epochs=10, batch=2, lr=1.0, schedule="step", milestones=(4, 8), gamma=0.1)
    rates = [learning_rate(recipe, step, 5) for step in (0, 19, 20, 39, 40, 49)]
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_cosine_schedule_with_warm_up():
    recipe = Recipe(name="r", epochs=10, batch=2, lr=2.0, warmup=2)
    rates = [learning_rate(recipe, step, 5) for step in range(50)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[30] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 0.01
