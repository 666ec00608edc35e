import subprocess
import sys
from types import ModuleType

import pytest

from ticketkit import torchvision_compat
from ticketkit.torchvision_compat import import_torchvision


def test_everything_we_use_works():
    script = """if True:
        import sys
        from ticketkit.torchvision_compat import import_torchvision
        assert "torch" not in sys.modules
        torchvision = import_torchvision()
        assert import_torchvision() is torchvision is sys.modules["torchvision"]
        import torch
        from torchvision.transforms import v2
        image = v2.functional.horizontal_flip(torch.arange(12.0).reshape(1, 3, 4))
        assert image[0, 0].tolist() == [3, 2, 1, 0]
        with torch.no_grad():
            print(tuple(torchvision.models.resnet18().eval()(torch.zeros(1, 3, 32, 32)).shape))
        print(torchvision.datasets.ImageFolder.__name__)
    """
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(1, 1000)\nImageFolder\n", "")


@pytest.fixture
def imports(monkeypatch):
    """What happened, with ``outcomes`` for the imports to come: an error to raise or a module to return."""

    class Imports:
        def __init__(self):
            self.events = []
            self.outcomes = []

        def __call__(self, name):
            self.events.append(name)
            sys.modules.update({"torchvision.half": ModuleType("half"), "torchvisions": ModuleType("other")})
            outcome = self.outcomes.pop(0)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        def declare(self):
            self.events.append("declare" if "torchvision.half" not in sys.modules else "declare too early")

    stub = Imports()
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    monkeypatch.setattr(torchvision_compat.importlib, "import_module", stub)
    monkeypatch.setattr(torchvision_compat, "_declare_operators", stub.declare)
    return stub


def test_a_torchvision_that_loads_is_left_alone(imports):
    imports.outcomes = [ModuleType("torchvision")]
    assert import_torchvision().__name__ == "torchvision"
    assert imports.events == ["torchvision"]


def test_declares_what_is_missing_and_tries_again(imports):
    imports.outcomes = [RuntimeError("operator torchvision::nms does not exist"), ModuleType("torchvision")]
    assert import_torchvision().__name__ == "torchvision"
    assert imports.events == ["torchvision", "declare", "torchvision"]
    assert "torchvisions" in sys.modules  # only torchvision's own modules are dropped


@pytest.mark.parametrize("error", [RuntimeError("compiled with different CUDA major versions"), ImportError("none")])
def test_other_errors_pass_through(imports, error):
    imports.outcomes = [error]
    with pytest.raises(type(error), match=str(error)):
        import_torchvision()
    assert imports.events == ["torchvision"]


def test_tries_again_only_once(imports):
    imports.outcomes = [RuntimeError("operator torchvision::nms does not exist") for _ in range(2)]
    with pytest.raises(RuntimeError, match="does not exist"):
        import_torchvision()
