#!/bin/sh
# Makes the zoo in this folder anew: two searches on digits, two stretches, and each ticket verified beside its
# baselines. It takes about four minutes on two CPU cores. The tickets tell which version of ticketkit made them.
set -eu
cd "$(dirname "$0")"

ticketkit find --arch resnet20 -o resnet20-digits.st --force
ticketkit stretch resnet20-digits.st --to resnet32 -o resnet20-to-resnet32-digits.st --force
ticketkit squeeze resnet20-digits.st --to resnet14 -o resnet20-to-resnet14-digits.st --force
ticketkit find --arch mlp-64-64x3-10 --levels 9 -o mlp-digits.st --force

for ticket in *.st; do
    ticketkit verify "$ticket" -o "${ticket%.st}.verify.json" --force
done
rm -r runs
ticketkit zoo build . --license mit
