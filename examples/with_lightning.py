"""A ticket trained by Lightning: one callback keeps the model masked.

    pip install lightning
    python examples/with_lightning.py --epochs 4

writes the trained ticket into the current folder. With ``pytorch-lightning`` only the import differs.
"""

import argparse
import sys
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import ticketkit

try:
    import lightning
except ImportError:
    sys.exit("this example needs Lightning: pip install 'ticketkit[frameworks]'")


class KeepMasked(lightning.Callback):
    """Keeps pruned weights at zero."""

    def __init__(self, masked: ticketkit.Masked) -> None:
        self.masked = masked

    def on_before_optimizer_step(self, *_: Any) -> None:
        """Mask the gradients before they are clipped; needed for that alone."""
        self.masked.mask_gradients()

    def on_train_batch_end(self, *_: Any) -> None:
        """Mask the weights after each step."""
        self.masked.apply()


class Classifier(lightning.LightningModule):
    """Any module of yours that has the network in it."""

    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        return functional.cross_entropy(self.network(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Any optimiser."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    lightning.seed_everything(0, verbose=False)
    torch.set_num_threads(1)  # images of 8×8 pixels: more threads are several times slower beside other work

    data = ticketkit.load_data("digits")
    arch = ticketkit.parse_arch("resnet8-w8", num_classes=data.num_classes, in_channels=data.shape[0])
    quick = ticketkit.load_recipe("quick", ["epochs=4"])
    ticket = ticketkit.find_ticket(arch, data, quick, levels=2, rate=0.5)
    images, labels = torch.tensor(data.train_images) / 255, torch.tensor(data.train_labels)
    batches = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    classifier = Classifier(ticketkit.build_model(ticket.arch))
    masked = ticketkit.Masked.from_ticket(classifier.network, ticket)
    trainer = lightning.Trainer(
        max_epochs=arguments.epochs,
        callbacks=[KeepMasked(masked)],
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, batches)
    trained = masked.to_ticket()
    ticketkit.save_ticket(trained, "trained.st", overwrite=True)
    print(f"{trained}\nmasked throughout: {masked.holds()}")


if __name__ == "__main__":
    main()
