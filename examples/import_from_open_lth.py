"""Import a run of open_lth, look at its ticket, and stretch it.

    python examples/import_from_open_lth.py ~/open_lth_data/lottery_…/replicate_1/level_3 --to 32

takes the ticket of that level: its mask, and the weights of the rewind step. Without a folder the example first makes a
run, in seconds: iterative magnitude pruning of open_lth's ``cifar_resnet_14_4`` on digits in plain PyTorch, with every
file named, placed and filled as open_lth does it. It writes two tickets into the current folder.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

import ticketkit
from ticketkit.report.sparsity import SparsityReport

MODEL, ARCH = "cifar_resnet_14_4", "resnet14-w4"
BATCH, REWIND, EPOCHS, FRACTION = 64, 10, 4, 0.4
HPARAMS = f"""Dataset Hyperparameters
    * dataset_name => digits
    * batch_size => {BATCH}
Model Hyperparameters
    * model_name => {MODEL}
    * model_init => kaiming_normal
    * batchnorm_init => uniform
Training Hyperparameters
    * optimizer_name => sgd
    * lr => 0.1
    * training_steps => {EPOCHS}ep
    * momentum => 0.9
Pruning Hyperparameters
    * pruning_strategy => sparse_global
    * pruning_fraction => {FRACTION}
Pretraining Training Hyperparameters
    * training_steps => {REWIND}it"""

Tensors = dict[str, Tensor]


class Run:
    """A run of open_lth, made anew: ``lottery_HASH/replicate_1/level_K/main``."""

    def __init__(self, root: Path) -> None:
        self.folder = root / f"lottery_{'0123456789abcdef' * 2}" / "replicate_1"
        self.data = ticketkit.load_data("digits")
        self.images = torch.tensor(self.data.train_images) / 255
        self.labels = torch.tensor(self.data.train_labels)
        self.per_epoch = len(self.labels) // BATCH
        arch = ticketkit.parse_arch(ARCH, num_classes=self.data.num_classes, in_channels=self.data.shape[0])
        self.model = ticketkit.build_model(arch)

    def make(self, levels: int) -> Path:
        """Train the dense network to the rewind step, then train, prune and rewind; gives the last level's folder."""
        weights = (name for name, parameter in self.model.named_parameters() if parameter.dim() > 1)
        masks = {name: torch.ones_like(self.model.state_dict()[name]) for name in weights}
        self._train(self.folder / "level_pretrain" / "main", masks, 0, REWIND)
        rewound = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        for level in range(levels + 1):
            folder = self.folder / f"level_{level}" / "main"
            if level:
                masks = self._pruned(masks)
            self.model.load_state_dict(rewound)
            self._train(folder, masks, REWIND, EPOCHS * self.per_epoch)
            self._save_mask(folder, masks)
        (self.folder / "level_0" / "main" / "hparams.log").write_text(HPARAMS)
        return folder

    def _train(self, folder: Path, masks: Tensors, first: int, last: int) -> None:
        """Train from one iteration to another; the state dicts of both ends and the log are kept."""
        folder.mkdir(parents=True)
        optimiser = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        log = []
        for iteration in range(first, last + 1):
            epoch, within = divmod(iteration, self.per_epoch)
            self._apply(masks)
            if iteration in (first, last):
                torch.save(self.model.state_dict(), folder / f"model_ep{epoch}_it{within}.pth")
            if iteration in (first, last) or not within:
                log += self._tested(iteration)
            if iteration < last:
                order = torch.randperm(len(self.labels), generator=torch.Generator().manual_seed(epoch))
                batch = order[within * BATCH : (within + 1) * BATCH]
                optimiser.zero_grad()
                functional.cross_entropy(self.model(self.images[batch]), self.labels[batch]).backward()
                optimiser.step()
        (folder / "logger").write_text("\n".join(log))

    def _apply(self, masks: Tensors) -> None:
        with torch.no_grad():
            for name, mask in masks.items():
                self.model.get_parameter(name).mul_(mask)

    def _pruned(self, masks: Tensors) -> Tensors:
        """Drop a fraction of the remaining weights, the smallest of all layers together."""
        sizes = {name: self.model.get_parameter(name).detach().abs() for name in masks}
        kept = torch.cat([sizes[name][mask == 1] for name, mask in masks.items()])
        bound = kept.sort().values[int(FRACTION * len(kept))]
        return {name: torch.where(sizes[name] > bound, mask, torch.zeros_like(mask)) for name, mask in masks.items()}

    def _save_mask(self, folder: Path, masks: Tensors) -> None:
        torch.save({name: mask.int() for name, mask in masks.items()}, folder / "mask.pth")
        total = float(sum(mask.numel() for mask in masks.values()))
        unpruned = float(sum(mask.sum().item() for mask in masks.values()))
        (folder / "sparsity_report.json").write_text(json.dumps({"total": total, "unpruned": unpruned}, indent=4))

    def _tested(self, iteration: int) -> list[str]:
        images, labels = torch.tensor(self.data.test_images) / 255, torch.tensor(self.data.test_labels)
        self.model.eval()
        with torch.no_grad():
            logits = self.model(images)
        self.model.train()
        loss = nn.functional.cross_entropy(logits, labels).item()
        accuracy = (logits.argmax(1) == labels).float().mean().item()
        found = {"loss": loss, "accuracy": accuracy, "examples": float(len(labels))}
        return [f"test_{name},{iteration},{value}" for name, value in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="a level's folder; a small run is made if not given")
    parser.add_argument("--to", default="20", help="what to stretch the ticket to")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder
        if folder is None:
            torch.manual_seed(0)
            torch.set_num_threads(1)  # images of 8×8 pixels: more threads are several times slower beside other work
            folder = Run(Path(scratch)).make(levels=3)
            print("a run as open_lth writes it:")
            for path in sorted(path for path in Path(scratch).rglob("*") if path.is_file()):
                print(f"  {path.relative_to(scratch)}")
        imported = ticketkit.import_ticket("open-lth", folder)
    ticket = imported.ticket
    for note in imported.notes:
        print(f"note: {note}")
    print(f"\n{ticket}\nweights: {ticket.weights.role}, of step {ticket.weights.step}, from {imported.source.name}")
    if ticket.results is not None:
        for level in ticket.results.levels:
            print(f"level {level.level}: {level.kept:,} of {level.total:,} kept, accuracy {level.accuracy:.2%}")

    deeper = ticketkit.stretch_ticket(ticket, arguments.to)
    for name, found in (("imported.st", ticket), ("stretched.st", deeper)):
        ticketkit.save_ticket(found, name, overwrite=True)
        print(f"\n{name}: {found.arch.name}")
        for group in SparsityReport.of(found, ticketkit.read_header(name)).groups:
            print(f"  {group.name:<8} {group.kept:7,} of {group.total:9,} kept, {group.density:7.2%}")


if __name__ == "__main__":
    main()
