"""One ticket at five depths: squeeze and stretch it, train each beside a dense and a random network, and plot.

    pip install 'ticketkit[plots]'
    python examples/five_depths.py

takes ResNet-20's ticket from examples/zoo, which a clone has, and some five minutes on two CPU cores. Another ticket of
digits may be given with its depths, and smaller settings give a first picture in a minute:

    python examples/five_depths.py resnet26-w8.st --to 14 20 26 32 38 --seeds 2 --set epochs=6

It writes the picture alone, into the current folder.
"""

import argparse
import sys
from pathlib import Path

import ticketkit

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator
except ImportError:
    sys.exit("this example needs matplotlib: pip install 'ticketkit[plots]'")

ZOO = Path(__file__).parent / "zoo"
ARMS = {"ticket": ("#000000", "o"), "dense": ("#767676", "s"), "random": ("#D55E00", "v")}
"""Each arm's colour and marker."""


def draw(source: ticketkit.Ticket, tickets: list[ticketkit.Ticket], reports: list[ticketkit.Report]) -> Figure:
    """Sparsity, kept weights, and accuracy after training, one above the other over the depth."""
    depths = [ticket.arch.depth for ticket in tickets]
    figure = Figure(figsize=(7.5, 8), layout="constrained")
    sparsity, kept, accuracy = figure.subplots(3, 1, sharex=True, height_ratios=(1, 1, 1.6))
    figure.suptitle(f"One ticket at {len(depths)} depths: found at {source.arch.short_name}, the dotted line")

    sparsity.plot(depths, [100 * ticket.sparsity for ticket in tickets], "o-", color="#0072B2")
    sparsity.set_ylabel("sparsity (%)")
    kept.plot(depths, [ticket.kept / 1000 for ticket in tickets], "o-", color="#0072B2")
    kept.set_ylim(bottom=0)
    kept.set_ylabel("kept weights (thousands)")
    for place, (name, (colour, marker)) in enumerate(ARMS.items()):
        arms = [report.arm(name) for report in reports]
        at = [depth * (1 + 0.012 * (place - 1)) for depth in depths]  # side by side, so that no bar hides another
        accuracy.errorbar(
            at,
            [100 * arm.mean for arm in arms],
            yerr=[100 * (arm.deviation or 0.0) for arm in arms],
            color=colour,
            marker=marker,
            capsize=2.5,
            label=name,
        )
    seeds = len(reports[0].ticket.runs)
    accuracy.set_ylabel("test accuracy (%)")
    accuracy.set_title(f"after training; mean ± standard deviation of {seeds} seeds", loc="left", fontsize=9)
    accuracy.legend(frameon=False, ncols=len(ARMS), loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0)
    accuracy.set_xscale("log")
    accuracy.set_xticks(depths, [str(depth) for depth in depths])
    accuracy.xaxis.set_minor_locator(NullLocator())
    accuracy.set_xlabel("depth (layers)")
    for axes in (sparsity, kept, accuracy):
        axes.axvline(source.arch.depth, color="#999999", linestyle=":", zorder=0)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ticket", nargs="?", default=ZOO / "resnet20-digits.st", help="a ticket of digits")
    parser.add_argument("--to", type=int, nargs="+", default=[8, 14, 20, 32, 44], help="the depths")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a field of the recipe")
    parser.add_argument("--out", default="five-depths.png", help="the picture: .png, .svg or .pdf")
    arguments = parser.parse_args()

    data = ticketkit.load_data("digits")
    recipe = ticketkit.load_recipe("quick", arguments.set)
    source = ticketkit.load_ticket(arguments.ticket)
    print(f"{source}\n\ndepth  sparsity     kept   ticket    dense   random")
    tickets, reports = [], []
    for depth in sorted(arguments.to):
        ticket = ticketkit.stretch_ticket(source, str(depth))
        report = ticketkit.verify_ticket(
            ticket, data, recipe, arms=["dense", "random"], seeds=range(arguments.seeds), parallel="auto"
        )
        tickets.append(ticket)
        reports.append(report)
        means = "  ".join(f"{report.arm(name).mean:7.2%}" for name in ARMS)
        print(f"{depth:5}   {ticket.sparsity:7.2%}  {ticket.kept:7,}  {means}", flush=True)
    draw(source, tickets, reports).savefig(arguments.out, dpi=150)
    print(f"\nwrote {arguments.out}")


if __name__ == "__main__":
    main()
