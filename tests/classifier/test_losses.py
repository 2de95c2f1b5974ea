"""Multi-label distillation against transcriptions of the formulas."""

import math

import pytest
import torch

from ecglib.classifier.losses import BinaryKL, distillation_as_coded
from ecglib.core.errors import EcglibError


def logits(seed):
    return 2 * torch.randn(4, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


@pytest.mark.parametrize("softened", ["logits", "probabilities"])
def test_binary_kl_against_loops(softened):
    student, teacher, temperature = logits(0), logits(1), 3.0
    total = 0.0
    for row_s, row_t in zip(student.tolist(), teacher.tolist(), strict=True):
        for s, t in zip(row_s, row_t, strict=True):
            if softened == "logits":
                q, p = sigmoid(s / temperature), sigmoid(t / temperature)
            else:
                q, p = sigmoid(s) / temperature, sigmoid(t) / temperature
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    expected = temperature**2 * total / 20
    assert BinaryKL(temperature, softened)(student, teacher).item() == pytest.approx(expected, rel=1e-10)


def test_binary_kl_vanishes_for_equals_and_pulls_towards_the_teacher():
    student, teacher = logits(0).requires_grad_(), logits(1).requires_grad_()
    assert BinaryKL(2.0)(student, student.detach()).item() == pytest.approx(0, abs=1e-12)
    BinaryKL(2.0)(student, teacher).backward()
    assert teacher.grad is None, "the teacher is not taught"
    assert ((student.grad > 0) == (student > teacher)).all()
    # T^2 keeps the gradient's size: for a high temperature it is (student - teacher) / 4, over 20 numbers.
    student.grad = None
    BinaryKL(1e4)(student, teacher).backward()
    assert student.grad == pytest.approx(((student - teacher) / 4 / 20).detach(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("logit", [5.0, 17.0, 20.0, 40.0, 90.0])
def test_a_student_that_is_sure_and_wrong_keeps_its_gradient(logit, temperature):
    """The exact gradient is T (q - p) / 5; computed from probabilities it is 0 from a logit of 17 T on."""
    student = torch.full((1, 5), logit * temperature, requires_grad=True)
    BinaryKL(temperature)(student, torch.full((1, 5), -3.0 * temperature)).backward()
    exact = temperature * (sigmoid(logit) - sigmoid(-3.0)) / 5
    assert student.grad.tolist()[0] == pytest.approx([exact] * 5, rel=1e-5)


@pytest.mark.parametrize(
    ("temperature", "softened"),
    [(0.0, "logits"), (-1.0, "logits"), (math.nan, "logits"), (math.inf, "logits"), (0.5, "probabilities")],
)
def test_a_temperature_that_makes_no_sense_is_refused(temperature, softened):
    with pytest.raises(EcglibError, match=f"temperature={temperature}"):
        BinaryKL(temperature, softened)


def test_as_coded_against_loops():
    student, teacher = logits(0), logits(1)
    targets = (logits(2) > 0).double()
    kl = cross_entropy = 0.0
    for row_s, row_t, row_y in zip(student.tolist(), teacher.tolist(), targets.tolist(), strict=True):
        s, t = [sigmoid(v) for v in row_s], [sigmoid(v) for v in row_t]
        soft_s, soft_t = ([math.exp(v / 2) / sum(math.exp(w / 2) for w in row) for v in row] for row in (s, t))
        kl += sum(b * math.log(b / a) for a, b in zip(soft_s, soft_t, strict=True))
        norm = math.log(sum(math.exp(v) for v in s))
        cross_entropy += sum(y * (norm - v) for y, v in zip(row_y, s, strict=True))
    expected = 0.7 * 2**2 * kl / 20 + 0.3 * cross_entropy / 4
    assert distillation_as_coded(student, teacher, targets, 2.0, 0.7).item() == pytest.approx(expected, rel=1e-10)


def test_as_coded_cannot_ask_for_two_labels_at_once():
    """A student without a fault is still punished; the corrected loss is satisfied."""
    targets = torch.tensor([[1.0, 1.0, 0.0, 0.0, 0.0]])
    teacher = torch.tensor([[9.0, 9.0, -9.0, -9.0, -9.0]])
    perfect = distillation_as_coded(teacher, teacher, targets, 1.0, 0.7).item()
    assert perfect > 0.5
    assert BinaryKL(1.0)(teacher, teacher).item() == pytest.approx(0, abs=1e-6)


def test_shapes_and_settings_that_do_not_fit_are_refused():
    whole = torch.zeros(8, 5)
    for other in (torch.zeros(8, 1), torch.zeros(5)):
        with pytest.raises(EcglibError, match="do not fit"):
            BinaryKL(2.0)(whole, other)
        with pytest.raises(EcglibError, match="do not fit"):
            distillation_as_coded(whole, other, whole, 2.0, 0.5)
    with pytest.raises(EcglibError, match="T divides 'logits' or 'probabilities'"):
        BinaryKL(2.0, "Logits")
    for temperature, alpha in ((0.0, 0.5), (2.0, 7.0)):
        with pytest.raises(EcglibError, match="a number above 0, and one from 0 to 1"):
            distillation_as_coded(whole, whole, whole, temperature, alpha)
