"""A training loop of your own: mask your model with a ticket, train it with any optimiser, keep what comes out.

    python examples/your_own_loop.py --epochs 16

takes a few seconds on a laptop. It writes the trained ticket into the current folder.
"""

import argparse

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import ticketkit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticket", help="a ticket of digits; a quick one is found if not given")
    parser.add_argument("--epochs", type=int, default=16)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)  # images of 8×8 pixels: more threads are several times slower beside other work
    device = "cuda" if torch.cuda.is_available() else "cpu"

    data = ticketkit.load_data("digits")
    if arguments.ticket:
        ticket = ticketkit.load_ticket(arguments.ticket)
    else:
        arch = ticketkit.parse_arch("resnet8-w8", num_classes=data.num_classes, in_channels=data.shape[0])
        quick = ticketkit.load_recipe("quick", ["epochs=4"])
        ticket = ticketkit.find_ticket(arch, data, quick, levels=2, rate=0.5)
    print(ticket)

    model = ticketkit.build_model(ticket.arch).to(device)
    masked = ticketkit.Masked.from_ticket(model, ticket)  # 1: the ticket's weights, zeros where pruned
    images, labels = torch.tensor(data.train_images) / 255, torch.tensor(data.train_labels)
    batches = DataLoader(TensorDataset(images, labels), batch_size=64, shuffle=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, 0.01, total_steps=arguments.epochs * len(batches), cycle_momentum=False
    )
    for epoch in range(arguments.epochs):
        for batch_images, batch_labels in batches:
            optimiser.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = functional.cross_entropy(model(batch_images.to(device)), batch_labels.to(device))
            loss.backward()
            masked.mask_gradients()  # only since the gradients are clipped by their norm
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            masked.apply()  # 2: pruned weights are zero again
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}")

    model.eval()
    with torch.no_grad():
        logits = model(torch.tensor(data.test_images).to(device) / 255)
    accuracy = (logits.argmax(1).cpu() == torch.tensor(data.test_labels)).double().mean().item()
    trained = masked.to_ticket()  # 3: the same mask, the trained weights
    ticketkit.save_ticket(trained, "trained.st", overwrite=True)
    print(f"{trained}\naccuracy {accuracy:.2%}, masked throughout: {masked.holds()}")


if __name__ == "__main__":
    main()
