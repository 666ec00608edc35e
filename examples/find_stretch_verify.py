"""The main job in Python: find a ticket on the embedded digits, stretch it, verify the result.

    python examples/find_stretch_verify.py --width 8 --levels 7 --rate 0.4

takes about two minutes on a laptop. It writes two tickets into the current folder.
"""

import argparse

import ticketkit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--levels", type=int, default=7)
    parser.add_argument("--rate", type=float, default=0.4)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()

    data = ticketkit.load_data("digits")
    recipe = ticketkit.load_recipe("quick", [f"epochs={arguments.epochs}"])
    arch = ticketkit.parse_arch(
        "resnet20", default_width=arguments.width, num_classes=data.num_classes, in_channels=data.shape[0]
    )

    ticket = ticketkit.find_ticket(
        arch,
        data,
        recipe,
        levels=arguments.levels,
        rate=arguments.rate,
        on_level=lambda level: print(f"level {level.result.level}: {level.result.accuracy:.2%}"),
    )
    ticketkit.save_ticket(ticket, "source.st", overwrite=True)

    deeper = ticketkit.stretch_ticket(ticket, "resnet32")
    ticketkit.save_ticket(deeper, "stretched.st", overwrite=True)
    print(f"{ticket}\n{deeper}")

    report = ticketkit.verify_ticket(deeper, data, recipe, seeds=range(arguments.seeds))
    for arm in report.arms:
        print(f"{arm.name:<8} {arm.mean:.2%}")
    print(report.to_json()["verdict"])


if __name__ == "__main__":
    main()
