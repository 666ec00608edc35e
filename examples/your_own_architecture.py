"""A network of your own: say what its stages and units are, then find a ticket of it and stretch that.

    python examples/your_own_architecture.py --levels 6

takes less than a minute on a laptop. It writes two tickets into the current folder.
"""

import argparse

from torch import Tensor, nn

import ticketkit


class Block(nn.Module):
    """A residual block with a depthwise convolution; the first of a stage may change width and size."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        stride = 1 if before == after else 2
        self.depthwise = nn.Conv2d(before, before, 3, stride, padding=1, groups=before)
        self.pointwise = nn.Conv2d(before, after, 1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map features [N, before, H, W] to [N, after, H', W']."""
        return self.shortcut(features) + self.norm(self.pointwise(self.depthwise(features.relu())))


class Tower(nn.Module):
    """Three stages of ``units`` blocks each."""

    def __init__(self, units: int, width: int, channels: int, classes: int) -> None:
        super().__init__()
        widths = [width, width, 2 * width, 4 * width]
        self.stem = nn.Conv2d(channels, width, 3, padding=1)
        self.stages = nn.Sequential(
            *(
                nn.Sequential(*(Block(widths[stage] if unit == 0 else after, after) for unit in range(units)))
                for stage, after in enumerate(widths[1:])
            )
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [N, channels, H, W] to logits [N, classes]."""
        logits: Tensor = self.head(self.stages(self.stem(images)).mean((2, 3)))
        return logits


# All that ticketkit needs to know: how to build one, and which modules are units of which stage.
ticketkit.register_network(
    "example-tower",
    lambda arch: Tower(arch.depth, arch.width, arch.in_channels, arch.num_classes),
    stages=r"stages\.(?P<stage>\d+)\.(?P<unit>\d+)",
    default_width=8,
    residual=True,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--levels", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    data = ticketkit.load_data("digits")
    recipe = ticketkit.load_recipe("quick", [f"epochs={arguments.epochs}"])
    arch = ticketkit.parse_arch("example-tower2", num_classes=data.num_classes, in_channels=data.shape[0])
    for layer in arch.layers():
        place = "" if layer.stage is None else f"stage {layer.stage}, unit {layer.unit}"
        print(f"{layer.name:<24} {layer.kind:<10} {layer.role:<5} {place}")

    ticket = ticketkit.find_ticket(arch, data, recipe, levels=arguments.levels)
    ticketkit.save_ticket(ticket, "tower.st", overwrite=True)
    deeper = ticketkit.stretch_ticket(ticket, "example-tower4")
    ticketkit.save_ticket(deeper, "deeper-tower.st", overwrite=True)
    print(f"{ticket}\n{deeper}")

    report = ticketkit.verify_ticket(deeper, data, recipe, seeds=range(arguments.seeds))
    for arm in report.arms:
        print(f"{arm.name:<8} {arm.mean:.2%}")
    print(report.to_json()["verdict"])


if __name__ == "__main__":
    main()
