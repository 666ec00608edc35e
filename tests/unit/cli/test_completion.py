"""Shell completion: what is offered, and that a shell takes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from click.testing import CliRunner

from ticketkit.arch import parse_arch
from ticketkit.bundle import save_ticket
from ticketkit.cli.app import application
from ticketkit.cli.completions import arm_names
from ticketkit.data import DATASETS
from ticketkit.errors import TicketkitError
from ticketkit.interop import FORMATS
from ticketkit.recipe import known_recipes
from ticketkit.stretch import POLICIES
from ticketkit.ticket import Ticket
from ticketkit.verify import ARMS


def offered(*words: str) -> list[str]:
    """What completes the last of a command's words."""
    completer = ShellComplete(application, {}, "ticketkit", "_TICKETKIT_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1]) if item.type == "plain"]


def kinds(*words: str) -> list[str]:
    completer = ShellComplete(application, {}, "ticketkit", "_TICKETKIT_COMPLETE")
    return [item.type for item in completer.get_completions(list(words[:-1]), words[-1])]


@pytest.fixture
def folder(make_ticket: Callable[..., Ticket], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of files, two of them tickets, that completion happens in."""
    (tmp_path / "runs").mkdir()
    for path in ("a.st", "runs/b.st"):
        save_ticket(make_ticket("resnet14-w2"), tmp_path / path)
    for name in ("notes.txt", "own.toml", ".hidden.st"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_options_complete() -> None:
    assert offered("st") == ["stretch"]
    assert offered("zoo", "g") == ["get"]
    assert "--log-dir" in offered("find", "--lo")


def test_values_are_those_that_are_registered() -> None:
    assert offered("verify", "--against", "") == ["all", *ARMS]
    assert arm_names() == list(ARMS)
    assert offered("find", "--dataset", "") == list(DATASETS)
    assert offered("find", "--recipe", "") == known_recipes()
    assert offered("import", "") == offered("export", "") == list(FORMATS)
    assert offered("squeeze", "--order", "") == list(POLICIES)
    assert offered("completion", "") == ["bash", "zsh", "fish"]


def test_arms_complete_one_by_one() -> None:
    assert offered("verify", "--against", "imp,r") == [f"imp,{name}" for name in ARMS if name.startswith("r")]
    assert "imp,imp" not in offered("verify", "--against", "imp,i")
    assert offered("verify", "--reference", "sn") == ["snip"]


@pytest.mark.parametrize("name", offered("find", "--arch", ""))
def test_every_network_that_is_offered_exists(name: str) -> None:
    assert parse_arch(name).layers()


def test_networks_are_those_of_the_ticket_s_own_family(folder: Path) -> None:
    targets = offered("stretch", "a.st", "--to", "")
    assert {"resnet8-w2", "resnet20-w2", "resnet56-w2"} <= set(targets)
    assert not [name for name in targets if "vgg" in name or name == "resnet14-w2"]
    for name in targets:
        done = CliRunner().invoke(application, ["stretch", "a.st", "--to", name, "--dry-run"])
        assert done.exit_code == 0, name
    assert "vgg16" in offered("stretch", "missing.st", "--to", "")
    assert "resnet56" in offered("stretch", "--to", "resnet5")


def test_tickets_complete_by_their_files(folder: Path) -> None:
    assert offered("inspect", "") == ["a.st"]
    assert offered("inspect", ".h") == [".hidden.st"]
    assert offered("inspect", "runs/") == ["runs/b.st"]
    assert kinds("inspect", "ru") == ["file"], "the way to a folder is the shell's"
    assert kinds("inspect", "missing/x") == ["file"]
    assert offered("sign", "a") == ["a.st"]
    assert offered("verify", "--against", "a") == ["all"]
    assert offered("verify", "--against", "a.") == ["a.st"]
    assert offered("find", "--recipe", "o") == ["own.toml"]


@pytest.mark.parametrize(
    "name",
    ["a b.st", "ab:c.st", "a=b.st", "a@b.st", "a{1,2}.st", "a~b.st", "a'b.st", "a\nb.st", "a\x1bb.st", "odd [1]/a.st"],
)
def test_a_name_that_must_be_quoted_leaves_all_to_the_shell(name: str, folder: Path) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).touch()
    assert kinds("inspect", f"{name.rpartition('.')[0][:-1]}") == ["file"], "it is neither hidden nor offered as it is"


def test_an_option_s_dash_leaves_all_to_the_shell(folder: Path) -> None:
    (folder / "-x.st").touch()
    assert kinds("inspect", "") == ["file"]


@pytest.mark.parametrize(("shell", "completes"), [("bash", BashComplete), ("zsh", ZshComplete), ("fish", FishComplete)])
def test_the_script_is_click_s_own(shell: str, completes: type[ShellComplete]) -> None:
    done = CliRunner().invoke(application, ["completion", shell])
    assert done.exit_code == 0
    assert done.stdout.rstrip("\n") == completes(application, {}, "ticketkit", "_TICKETKIT_COMPLETE").source().rstrip(
        "\n"
    )
    assert done.stderr == ""


def test_an_unknown_shell_is_refused() -> None:
    done = CliRunner().invoke(application, ["completion", "tcsh"])
    assert done.exit_code == 2
    assert "'bash', 'zsh', 'fish'" in done.stderr


def _in_shell(shell: str, script: str, folder: Path) -> str:
    """Run a script in a shell that finds this environment's ticketkit."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shell, "-c", script], capture_output=True, text=True, check=True, cwd=folder, env=os.environ | {"PATH": path}
    )
    return done.stdout


SHELLS = {
    "bash": 'eval "$(ticketkit completion bash)"; COMP_WORDS=(ticketkit verify --against imp,ran); COMP_CWORD=3;'
    ' _ticketkit_completion ticketkit imp,ran --against 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"',
    "fish": "ticketkit completion fish | source; complete -C 'ticketkit verify --against imp,ran' | cut -f1",
    "zsh": 'autoload -U compinit; compinit -u; eval "$(ticketkit completion zsh)"; whence _ticketkit_completion >&2'
    " && COMP_WORDS='ticketkit verify --against imp,ran' COMP_CWORD=3 _TICKETKIT_COMPLETE=zsh_complete ticketkit"
    " | grep imp,",
}


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_a_real_shell_completes(shell: str, tmp_path: Path) -> None:
    found = _in_shell(shell, SHELLS[shell], tmp_path).split()
    assert found == ["imp,random", "imp,random-copies", "imp,random-weights"]


@pytest.mark.parametrize("words", ["find --arch r", "verify --against r", "import s", "stretch a.st --to r"])
def test_completing_imports_neither_torch_nor_rich(words: str, folder: Path) -> None:
    code = (
        "import sys; from click.shell_completion import ShellComplete; from ticketkit.cli.app import application\n"
        f"*args, last = {words.split()}\n"
        "assert ShellComplete(application, {}, 'ticketkit', '').get_completions(args, last)\n"
        "print([name for name in ('torch', 'rich', 'tensorboard', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stdout == "[]\n"


def test_what_is_offered_is_never_an_error(folder: Path) -> None:
    (folder / "broken.st").write_bytes(b"no ticket")
    assert "vgg16" in offered("stretch", "broken.st", "--to", "v")
    with pytest.raises(TicketkitError):
        parse_arch("broken")
