"""A ticket trained with Accelerate: one line after the step keeps the model masked.

    pip install accelerate
    python examples/with_accelerate.py --epochs 4

writes the trained ticket into the current folder. ``accelerate launch --num_processes 2 …`` trains it on two devices.
"""

import argparse
import sys

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import ticketkit

try:
    from accelerate import Accelerator
except ImportError:
    sys.exit("this example needs Accelerate: pip install 'ticketkit[frameworks]'")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # images of 8×8 pixels: more threads are several times slower beside other work
    accelerator = Accelerator(gradient_accumulation_steps=2)

    data = ticketkit.load_data("digits")
    arch = ticketkit.parse_arch("resnet8-w8", num_classes=data.num_classes, in_channels=data.shape[0])
    quick = ticketkit.load_recipe("quick", ["epochs=4"])
    ticket = ticketkit.find_ticket(arch, data, quick, levels=2, rate=0.5)
    images, labels = torch.tensor(data.train_images) / 255, torch.tensor(data.train_labels)
    batches = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)

    model = ticketkit.build_model(ticket.arch)
    masked = ticketkit.Masked.from_ticket(model, ticket)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003)
    model, optimiser, batches = accelerator.prepare(model, optimiser, batches)
    for epoch in range(arguments.epochs):
        for batch_images, batch_labels in batches:
            with accelerator.accumulate(model):
                loss = functional.cross_entropy(model(batch_images), batch_labels)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    masked.mask_gradients()  # before they are clipped, and needed for that alone
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimiser.step()  # a step only once the gradients of two batches are there
                masked.apply()
                optimiser.zero_grad()
        accelerator.print(f"epoch {epoch}: loss {loss.item():.3f}")

    if accelerator.is_main_process:
        trained = masked.to_ticket()
        ticketkit.save_ticket(trained, "trained.st", overwrite=True)
        print(f"{trained}\nmasked throughout: {masked.holds()}")
    accelerator.end_training()


if __name__ == "__main__":
    main()
