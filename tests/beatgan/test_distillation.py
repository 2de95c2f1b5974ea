"""Distillation: its losses against slow transcriptions, where gradients flow and where not, and who may teach."""

import copy
import gc
import math

import numpy as np
import pytest
import torch

from ecglib.beatgan import distillation, losses
from ecglib.beatgan.distillation import KNOWLEDGE, SELF, Distillation, Distiller, Taps
from ecglib.beatgan.networks import Generator, anomaly_scores
from ecglib.beatgan.training import Settings, Step, new_state, update
from ecglib.core.errors import EcglibError

CPU = torch.device("cpu")
SETTINGS = Settings(seed=5, batch_size=8)


def beats(count, seed=0):
    noise = torch.randn(count, 1, 320, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool1d(noise, 15, stride=1, padding=7)
    return smooth / smooth.abs().amax(dim=-1, keepdim=True)


def teacher(width=1.0):
    torch.manual_seed(9)
    return Generator(width=width)


def slow_kl(p_logits, q_logits, temperature):
    """KL(softmax(p/T) || softmax(q/T)) x T^2 as in a textbook, the mean over rows, in plain Python."""
    rows = []
    for p_row, q_row in zip(p_logits.tolist(), q_logits.tolist(), strict=True):
        p, q = ([math.exp(value / temperature) for value in row] for row in (p_row, q_row))
        p, q = ([value / sum(values) for value in values] for values in (p, q))
        rows.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))
    return temperature**2 * sum(rows) / len(rows)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kl_is_equation_2_in_both_directions(temperature):
    generator = torch.Generator().manual_seed(0)
    student, taught = (torch.randn(3, 7, generator=generator, dtype=torch.float64) for _ in range(2))
    written = losses.equation_2(student, taught, temperature, alpha=0.5, direction="student_teacher")
    coded = losses.equation_2(student, taught, temperature, alpha=0.5, direction="teacher_student")
    assert written.item() == pytest.approx(0.5 * slow_kl(student, taught, temperature), rel=1e-12)
    assert coded.item() == pytest.approx(0.5 * slow_kl(taught, student, temperature), rel=1e-12)
    assert written.item() != pytest.approx(coded.item(), rel=1e-3)


@pytest.mark.parametrize("temperature", [0.0, -4.0, math.nan])
def test_a_temperature_that_is_not_above_0_is_refused(temperature):
    with pytest.raises(EcglibError, match=f"temperature={temperature}"):
        losses.equation_2(torch.ones(1, 3), torch.ones(1, 3), temperature)


def test_kl_of_scores_as_small_as_anomaly_scores_keeps_its_digits():
    student, taught = torch.tensor([[0.005, 0.006, 0.02]]), torch.tensor([[0.004, 0.007, 0.03]])
    assert losses.equation_2(student, taught).item() == pytest.approx(slow_kl(student, taught, 4.0), rel=1e-6)
    assert losses.equation_2(student, student).item() == 0


def test_attention_transfer_is_the_reports_formula_in_its_three_forms():
    generator = torch.Generator().manual_seed(1)
    student = [torch.randn(2, 3, 5, generator=generator), torch.randn(2, 4, 6, generator=generator)]
    taught = [torch.randn(2, 6, 5, generator=generator), torch.randn(2, 8, 6, generator=generator)]  # wider

    def phi(beat):  # channels x ticks, as nested lists
        squares = [sum(row[tick] ** 2 for row in beat) / len(beat) for tick in range(len(beat[0]))]
        length = math.sqrt(sum(value**2 for value in squares))
        return [value / length for value in squares]

    slow = {"squared": 0.0, "mean": 0.0, "norm": 0.0}
    for f_s, f_t in zip(student, taught, strict=True):
        for beat_s, beat_t in zip(f_s.tolist(), f_t.tolist(), strict=True):
            square = sum((a - b) ** 2 for a, b in zip(phi(beat_s), phi(beat_t), strict=True))
            slow["squared"] += square / len(f_s)
            slow["mean"] += square / len(f_s) / f_s.shape[2]  # R1's program: the mean of everything
            slow["norm"] += math.sqrt(square) / len(f_s)  # section 3.3.4.4
    for form, expected in slow.items():
        assert losses.attention_transfer(student, taught, form).item() == pytest.approx(expected, rel=1e-5), form
        assert losses.attention_transfer(student, student, form).item() == 0
    assert losses.attention_transfer(student, taught).item() == pytest.approx(slow["squared"], rel=1e-5)


def test_layers_of_n_samples_pull_n_times_weaker_as_coded():
    """10 to 160 samples a layer: so much weaker than what is summed over time."""
    generator = torch.Generator().manual_seed(2)
    for samples in (10, 160):
        layers = [[torch.randn(4, 3, samples, generator=generator)] for _ in range(2)]
        ratio = losses.attention_transfer(*layers, "squared") / losses.attention_transfer(*layers, "mean")
        assert ratio.item() == pytest.approx(samples, rel=1e-5)


def distiller_of(state, **changes):
    settings = Distillation(**{"knowledge": ("scores",), "teacher": "someone", **changes})
    return Distiller(settings, state.generator, teacher(), beats(32))


@pytest.mark.parametrize("knowledge", list(KNOWLEDGE))
def test_every_corrected_term_moves_the_student_and_leaves_the_teacher(knowledge):
    state = new_state(SETTINGS, 1, CPU)
    distiller = distiller_of(state, knowledge=(knowledge,))
    before = copy.deepcopy(distiller.teacher.state_dict())
    x = beats(8)
    x_hat, z = state.generator(x)
    term = distiller(Step(state, x, x_hat, z))
    gradients = torch.autograd.grad(term, list(state.generator.parameters()), allow_unused=True)
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients)
    result = update(state, x, SETTINGS, [distiller], compare=True)
    assert result["gradient_ratio"] > 0
    assert not distiller.teacher.training
    assert not any(parameter.requires_grad for parameter in distiller.teacher.parameters())
    for name, tensor in distiller.teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_the_term_as_coded_is_a_number_without_gradient_and_changes_nothing():
    alone, taught = new_state(SETTINGS, 1, CPU), new_state(SETTINGS, 1, CPU)
    distiller = distiller_of(taught, program="as coded", direction="teacher_student")
    assert not distiller.constant.requires_grad
    for batch in beats(24).split(8):
        plain = update(alone, batch, SETTINGS)
        result = update(taught, batch, SETTINGS, [distiller], compare=True)
        assert result["loss_distillation"] == distiller.constant.item() > 0
        assert result["gradient_ratio"] == 0
        assert result["loss_g"] == pytest.approx(plain["loss_g"] + distiller.constant.item())  # equation 3
    for name, tensor in taught.generator.state_dict().items():
        assert torch.equal(tensor, alone.generator.state_dict()[name]), name


def test_the_constant_is_the_kl_of_all_scores_in_two_orders():
    state, x = new_state(SETTINGS, 1, CPU), beats(32)
    distiller = distiller_of(state, program="as coded", direction="teacher_student")
    assert state.generator.training
    orders = [torch.randperm(32, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    student = anomaly_scores(copy.deepcopy(state.generator).eval(), x)[orders[0]]
    taught = anomaly_scores(distiller.teacher, x)[orders[1]]
    student, taught = ((scores - scores.min()) / (scores.max() - scores.min()) for scores in (student, taught))
    assert distiller.constant.item() == pytest.approx(slow_kl(taught[None], student[None], 4.0), rel=1e-4)


def test_scaled_scores_are_stretched_in_each_batch_before_equation_2():
    state, x = new_state(SETTINGS, 1, CPU), beats(8)
    with torch.no_grad():
        x_hat, z = state.generator(x)
    distiller = distiller_of(state, knowledge=("scaled_scores",))
    rows = []
    for redrawn in (x_hat, distiller.teacher(x)[0]):
        scores = [float(((one - beat) ** 2).mean()) for one, beat in zip(redrawn.double(), x.double(), strict=True)]
        rows.append([(score - min(scores)) / (max(scores) - min(scores)) for score in scores])
    student, taught = (torch.tensor([row], dtype=torch.float64) for row in rows)
    assert distiller(Step(state, x, x_hat, z)).item() == pytest.approx(slow_kl(student, taught, 4.0), rel=1e-3)


def test_terms_are_weighted_and_added():
    state, x = new_state(SETTINGS, 1, CPU), beats(8)
    values = {}
    for name, changes in {
        "x'": {"knowledge": ("reconstruction",)},
        "z": {"knowledge": ("latent",)},
        "both, doubled": {"knowledge": ("reconstruction", "latent"), "alpha": 2.0},
    }.items():
        distiller = distiller_of(state, **changes)
        with torch.no_grad():
            values[name] = distiller(Step(state, x, *state.generator(x))).item()
            x_teacher, z_teacher = distiller.teacher(x)
            x_hat, z = state.generator(x)
    assert values["x'"] == pytest.approx(((x_hat - x_teacher) ** 2).sum().item() / x.numel(), rel=1e-4)
    assert values["z"] == pytest.approx(((z - z_teacher) ** 2).sum().item() / z.numel(), rel=1e-4)
    assert values["both, doubled"] == pytest.approx(2 * (values["x'"] + values["z"]), rel=1e-4)


def test_features_of_the_discriminator_and_hidden_layers_are_compared_with_the_teachers():
    state, x = new_state(SETTINGS, 1, CPU), beats(8)
    students = Taps(state.generator)
    x_hat, _ = state.generator(x)
    own = list(students.outputs)
    teaches = Taps(teacher := distiller_of(state).teacher)
    with torch.no_grad():
        x_teacher, _ = teacher(x)
        wanted, found = (state.discriminator(redrawn)[1] for redrawn in (x_teacher, x_hat))
    expected = {"features": ((found - wanted) ** 2).mean()}
    for name, form in (("attention", "squared"), ("attention_mean", "mean"), ("attention_norm", "norm")):
        expected[name] = losses.attention_transfer(own, list(teaches.outputs), form)
    for name, value in expected.items():
        distiller = distiller_of(state, knowledge=(name,))
        term = distiller(Step(state, x, *state.generator(x)))
        assert term.item() == pytest.approx(value.item(), rel=1e-4), name


def test_a_narrow_student_learns_from_a_wide_teacher():
    state = new_state(SETTINGS, 1, CPU, width=0.5)
    settings = Distillation(("scores", "reconstruction", "latent", "features", "attention"), "someone")
    distiller = Distiller(settings, state.generator, teacher(), beats(32))
    assert update(state, beats(8), SETTINGS, [distiller], compare=True)["gradient_ratio"] > 0


def test_taps_are_named_layers_of_encoder_and_decoder():
    model = teacher()
    taps = Taps(model)
    model(beats(2))
    assert taps.names[0] == "encoder.features.1"
    assert taps.names[-1] == "decoder.layers.14"
    assert [tuple(output.shape[1:]) for output in taps.outputs] == [
        (32, 160), (64, 80), (128, 40), (256, 20), (512, 10), (512, 10), (256, 20), (128, 40), (64, 80), (32, 160),
    ]  # fmt: skip


def test_the_self_teacher_is_a_moving_average_and_part_of_the_checkpoint():
    state = new_state(SETTINGS, 1, CPU)
    distiller = Distiller(Distillation(("reconstruction",), SELF), state.generator, None, beats(8))
    average = distiller.parts["average"]
    start = copy.deepcopy(average.state_dict())
    first = update(state, beats(8), SETTINGS, [distiller])
    # Evaluation mode against training mode: even the student's own copy differs a little.
    assert first["loss_distillation"] > 0
    now = state.generator.state_dict()
    for name, found in average.state_dict().items():  # running statistics, too
        if found.is_floating_point():
            expected = start[name] + (1 - distillation.AVERAGE_MOMENTUM) * (now[name] - start[name])
            torch.testing.assert_close(found, expected, msg=name)
    assert distiller_of(state).parts == {}, "another teacher stays as it is"


def test_taps_end_with_whoever_asked_for_them():
    state = new_state(SETTINGS, 1, CPU)
    for _ in range(3):
        distiller_of(state, knowledge=("attention",))
    gc.collect()
    hooks = [len(module._forward_hooks) for module in state.generator.modules()]
    assert max(hooks) == 0
    kept = distiller_of(state, knowledge=("attention",))
    assert max(len(module._forward_hooks) for module in state.generator.modules()) == 1
    assert all(taps.names for taps in kept.taps)
    assert not distiller_of(state).taps, "scores need no layers, and hooks would keep torch.compile away"


def test_a_teacher_is_asked_once_about_each_beat_and_answers_the_same(monkeypatch):
    monkeypatch.setattr(distillation, "ASKED_AT_ONCE", 8)
    model, x = teacher().eval(), beats(12)
    asked = []
    model.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
    remembered = distillation.Remembered(model, x)
    for order in (torch.arange(12), torch.arange(12).flip(0), torch.tensor([3, 0, 3])):
        found = [torch.cat(parts) for parts in zip(*(remembered(x[part]) for part in order.split(6)), strict=True)]
        for one, wanted in zip(found, model.forward(x[order]), strict=True):
            torch.testing.assert_close(one, wanted)
    assert asked == [8, 4], "and nothing afterwards"
    other = torch.cat([x[:1], beats(2, seed=1)])
    torch.testing.assert_close(remembered(other)[0], model.forward(other)[0], rtol=0, atol=0)
    assert asked[:3] == [8, 4, 3], "a batch with a beat that it does not know is computed as it is"


def test_an_answer_does_not_depend_on_what_was_asked_before():
    """Else a training that goes on from a checkpoint would meet other last bits."""
    model, x = teacher().eval(), beats(75)
    used, fresh = (distillation.Remembered(model, x) for _ in range(2))
    for part in x.split(16):
        used(part)
    for places in ([3], [70, 2, 41], list(range(5, 68))):
        assert all(torch.equal(one, other) for one, other in zip(used(x[places]), fresh(x[places]), strict=True))


def test_who_does_not_beat_chance_may_not_teach():
    rng = np.random.default_rng(0)
    abnormal = rng.random(400) < 0.2
    assert distillation.check_teacher(abnormal, rng.random(400) + abnormal, "good").low > 0.5
    with pytest.raises(EcglibError, match="noise does not beat chance"):
        distillation.check_teacher(abnormal, rng.random(400), "noise")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"knowledge": ("score",)}, "knowledge is 'score'.*choose one of"),
        ({"knowledge": ()}, "Nothing cannot be distilled"),
        ({"knowledge": ("latent",), "program": "as coded"}, "distilled scores alone"),
    ],
)
def test_what_cannot_be_distilled_is_refused(changes, message):
    with pytest.raises(EcglibError, match=message):
        Distillation(**{"knowledge": ("scores",), "teacher": "someone", **changes})
