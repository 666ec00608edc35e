import numpy as np
import pytest
import torch

from ticketkit.arch import parse_arch
from ticketkit.data import ImageData
from ticketkit.models import initialise, instantiate
from ticketkit.recipe import Recipe
from ticketkit.train import Batches, Compute, accuracy_of, recalibrate
from ticketkit.train.evaluate import Scores, evaluate

RECIPE = Recipe(name="tiny", epochs=3, batch=16, lr=0.05, crop=1)


def test_accuracy_counts_right_answers(stripes: ImageData):
    class Answers(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            # Right for every horizontal picture, wrong for every vertical one.
            return torch.tensor([[1.0, 0.0]]).expand(len(images), 2)

    assert accuracy_of(Answers(), Batches(stripes, RECIPE), Compute()) == np.mean(stripes.test_labels == 0) == 0.5


@pytest.mark.parametrize(("classes", "top5"), [(19, None), (20, 4 / 6)])
def test_top5_counts_answers_among_the_five_likeliest_from_20_classes_up(classes: int, top5: float | None):
    labels = np.array([0, 4, 5, 18, 0, 3], dtype=np.int64)
    images = np.zeros((6, 1, 4, 4), dtype=np.uint8)
    data = ImageData(
        name="six",
        train_images=images,
        train_labels=labels,
        test_images=images,
        test_labels=labels,
        classes=tuple(map(str, range(classes))),
    )

    class Descending(torch.nn.Module):
        """Finds class 0 the likeliest, then 1, and so on: of the labels two are first, and four among five."""

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return -torch.arange(classes, dtype=torch.float32).expand(len(images), classes)

    batches = Batches(data, Recipe(name="r", epochs=1, batch=2, lr=0.1))
    assert evaluate(Descending(), batches, Compute()) == Scores(accuracy=2 / 6, top5=top5)


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_the_network_in_the_mode_it_was_in(stripes: ImageData, training: bool):
    arch = parse_arch("resnet8-w2", in_channels=1, num_classes=2)
    model = instantiate(arch, initialise(arch, 0)).train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model, Batches(stripes, RECIPE), Compute())
    assert model.training is training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_recalibration_gives_a_copy_the_statistics_of_its_own_activations(stripes: ImageData):
    arch = parse_arch("resnet8-w2", in_channels=1, num_classes=2)
    tensors = initialise(arch, 0)
    tensors["bn.running_mean"] += 100  # statistics that do not fit
    model = instantiate(arch, tensors).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    batches = Batches(stripes, RECIPE)
    copied = recalibrate(model, batches, Compute())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not model.training
    images = torch.cat([images for images, _ in batches.train_in_order(1_000)])
    activations = model.conv(images)
    torch.testing.assert_close(copied.bn.running_mean, activations.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(copied.bn.running_var, activations.var(dim=(0, 2, 3)))
    assert copied.bn.momentum == model.bn.momentum
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in copied.named_parameters())
