"""The runner notices what is wrong with a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import outputs
import pytest
from pages import Block, Setup, read_page
from parsed import parse_shell, simple_commands
from running import BlockError, Runner
from server import Server


@pytest.fixture
def run(server: Server, tmp_path: Path) -> Callable[[str], None]:
    def run_page(page: str) -> None:
        with Runner(name="page.md", folder=tmp_path, server=server) as runner:
            runner.run(page)

    return run_page


def test_instructions_belong_to_the_block_below_them() -> None:
    page = """
<!-- setup: touch a.st -->

<!-- block: digits -->
<!-- block: with find --levels 2; verify --seeds 2 -->
```console
$ true
```

```sh
true
```
"""
    setup, console, shell = read_page(page)
    assert setup == Setup(line=2, text="touch a.st")
    assert isinstance(console, Block)
    assert isinstance(shell, Block)
    assert (console.line, console.digits, console.text) == (7, False, "$ true\n")
    assert console.extra == {"find": ["--levels", "2"], "verify": ["--seeds", "2"]}
    assert (shell.extra, shell.digits, shell.parsed) == ({}, True, None)


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("```\ntrue\n```", "a block's language must be one of"),
        ("<!-- block: parsed, too dull -->\n```sh\ntrue\n```", r"a reason must be one of .* \(got 'too dull'\)"),
        ("<!-- block: parsed -->\n```sh\ntrue\n```", "an instruction must be"),
        ("<!-- block: skipped, hours -->\n```sh\ntrue\n```", "an instruction must be"),
        ("<!-- block: digits -->\n\nA paragraph.\n\n```sh\ntrue\n```", "a block must follow its instruction"),
    ],
)
def test_no_block_goes_unsaid(page: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        read_page(page)


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("```sh\nfalse\n```", r"page.md:2: the exit code must be 0 \(got 1\)"),
        ("<!-- block: exits 3 -->\n```sh\ntrue\n```", r"page.md:3: the exit code must be 3 \(got 0\)"),
        ("```console\n$ echo one\ntwo\n```", r"(?s)page.md:2: echo one.*-two\n\+one"),
        ("```console\n$ false\n$ echo $?\n0\n```", r"(?s)-0\n\+1"),
        ("<!-- block: with find -->\n```console\n$ echo a line\na word\n```", "no lines like these:\na line"),
        ("```python\nx = 1\n\n\nraise KeyError(x)\n```", '(?s)"page.md", line 5.*KeyError: 1'),
        ("```python\nprint(1 + 1)  # 3\n```", r"(?s)-3\n\+2"),
        ("```json\n{1}\n```", "page.md:2: Expecting property name"),
        ("```toml\nepochs = \n```", "page.md:2: Invalid value"),
        ("<!-- block: parsed, hours -->\n```sh\nticketkit find --archs x\n```", "No such option"),
        ("<!-- block: parsed, hours -->\n```python\nx =\n```", "invalid syntax"),
        ("<!-- setup: false -->", "page.md:1: the exit code"),
    ],
)
def test_what_is_wrong_is_said(page: str, line: str, run: Callable[[str], None]) -> None:
    with pytest.raises(BlockError, match=line):
        run(page)


def test_a_page_is_one_folder_and_one_namespace(run: Callable[[str], None]) -> None:
    run(
        """
<!-- setup: echo "$ROOT" > root; echo one > file -->
```console
$ cat file
one
$ ls /no-such-folder
$ echo $?
2
```
```python
text = open("file").read()
```
```sh
test -f "$(cat root)/README.md"
```
```python
print(text)  # one
```
""".replace('open("file").read()', '__import__("pathlib").Path("file").read_text()')
    )


def test_what_makes_a_run_small_is_left_out_of_a_whole_one(server: Server, tmp_path: Path) -> None:
    page = "<!-- small: touch small -->\n\n<!-- setup: touch setup -->\n\n```console\n$ ls\nsetup\n```"
    with Runner(name="page.md", folder=tmp_path, server=server, small=False) as runner:
        runner.run(page)
    assert [printed for _, _, printed in runner.printed] == [["setup"]]


def test_options_are_added_to_the_command_they_name(run: Callable[[str], None]) -> None:
    page = "<!-- block: with inspect --json; check --help -->\n```console\n$ ticketkit check no.st\n{}\n```"
    with pytest.raises(BlockError, match="Read tickets whole"):
        run(page)


def test_outputs_are_matched_line_by_line() -> None:
    printed = ["level 1", "level 2", "level 3", "", "done 5 s"]
    assert outputs.match(["level 1", "...", "done 5 s"], printed) == {0: 0, 2: 4}
    assert outputs.match(["level 7", "...", "", "done 1,234.5 s"], printed, digits=False) == {0: 0, 2: 3, 3: 4}
    for shown in (["level 1"], ["level 1", "...", "level 2"], ["level 7", "...", "done 5 s"]):
        with pytest.raises(ValueError, match="the page"):
            outputs.match(shown, printed)
    for one, other in (
        ("sha256:" + "0" * 64, "sha256:" + "a" * 64),
        ("0" * 12, "7cc1a2b3d4e5"),
        ("sha256:0…1", "sha256:f…2"),
    ):
        assert outputs.match([f"id {one}, sparse"], [f"id {other}, sparse"])


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("A=1 ticketkit find --set epochs=2 | head", [["A=1", "ticketkit", "find", "--set", "epochs=2"], ["head"]]),
        ("a \\\n  b  # c", [["a", "b"]]),
        ("a 'b;c' && d; e", [["a", "b;c"], ["d"], ["e"]]),
    ],
)
def test_a_script_is_taken_apart(command: str, words: list[list[str]]) -> None:
    assert simple_commands(command) == words


@pytest.mark.parametrize(
    ("script", "count"),
    [
        ("torchrun -m ticketkit find --arch resnet20", 1),
        (".venv/bin/ticketkit stretch a.st --to 56 && ticketkit zoo list z --min-sparsity 90", 2),
        ("pip install 'ticketkit[hub]'", 0),
    ],
)
def test_commands_are_found(script: str, count: int) -> None:
    assert parse_shell(script) == count


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("ticketkit stretch a.st", "Missing parameter: to"),
        ("ticketkit stretch a.st b.st --to 56", "an argument too many"),
        ("ticketkit strech a.st", "No such command"),
        ("ticketkit find --arch a --precision fp64", "'fp64' is not one of"),
        ("ticketkit zoo lists x", "No such command"),
        ("ticketkit find --arch a --levels many", "not a valid integer"),
    ],
)
def test_what_no_command_knows_is_said(script: str, line: str) -> None:
    with pytest.raises(Exception, match=line):
        parse_shell(script)


def test_scripts_of_the_repository_must_exist() -> None:
    assert parse_shell("python examples/find_stretch_verify.py") == 0
    with pytest.raises(FileNotFoundError, match=r"examples/find_strech.py"):
        parse_shell("python examples/find_strech.py")
