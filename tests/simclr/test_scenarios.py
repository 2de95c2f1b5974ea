"""R2's scenarios inside BeatGAN's training: who learns from the contrast, what stays untouched, resuming."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib.beatgan import training
from ecglib.beatgan.distillation import Distillation, Distiller
from ecglib.beatgan.training import Hyperparameters, Validation, add_heads, new_state, train, update
from ecglib.core.errors import EcglibError
from ecglib.data.augment import random_view
from ecglib.runs import snapshot
from ecglib.simclr import scenarios, similarity
from ecglib.simclr.losses import NTXent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead
from ecglib.simclr.scenarios import Contrast

CPU = torch.device("cpu")
WIDTH = 0.125
SETTINGS = Hyperparameters(seed=2, batch_size=8)
BOTH = ("discriminator", "generator")


def beats(count, seed=0):
    noise = torch.randn(count, 1, 320, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool1d(noise, 15, stride=1, padding=7)
    return smooth / smooth.abs().amax(dim=-1, keepdim=True)


def state_of(settings):
    state = new_state(SETTINGS, 1, CPU, WIDTH)
    if settings is not None:
        add_heads(state, settings)
    return state


def test_shapes_of_encoder_and_head():
    h = BaseEncoder(2)(torch.rand(3, 2, 320))
    assert h.shape == (3, 512)
    assert ProjectionHead(512, 256, 64)(h).shape == (3, 64)


def moved(before, model):
    return [name for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])]


@pytest.mark.parametrize("places", [("discriminator",), ("generator",), BOTH])
def test_the_contrast_moves_its_own_network_and_head(places):
    """Beside the same step without contrast, only the networks that are contrasted end elsewhere."""
    settings = Contrast(places, gamma=1.0)
    state, plain = state_of(settings), state_of(None)
    heads = {place: {n: p.clone() for n, p in head.named_parameters()} for place, head in state.heads.items()}
    torch.manual_seed(0)
    result = update(state, beats(8), SETTINGS, contrasted=settings)
    update(plain, beats(8), SETTINGS)
    assert set(state.heads) == set(places)
    for place, head in state.heads.items():
        assert moved(heads[place], head)
        assert result[f"loss_contrast_{place[0]}"] > 0
    for name, model in (("discriminator", state.discriminator), ("generator", state.generator)):
        other = dict(getattr(plain, name).named_parameters())
        differ = moved(other, model)
        if name in places:
            assert differ
        elif name == "discriminator":  # G's step comes after D's: D cannot know of G's contrast yet
            assert not differ


def gradient(loss, model):
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()))])


@pytest.mark.parametrize("gamma", [0.3, 2.0])
def test_the_discriminator_steps_down_bce_plus_gamma_nt_xent(gamma):
    """Scenario 1 (section 4.3.1): the gradient that moves D is that of BCE + gamma NT-Xent, to the letter."""
    settings = Contrast(("discriminator",), gamma=gamma)
    state, x = state_of(settings), beats(8)
    oracle, head = copy.deepcopy(state.discriminator), copy.deepcopy(state.heads["discriminator"])
    x_hat = copy.deepcopy(state.generator)(x)[0].detach()
    real, fake = oracle(x)[0], oracle(x_hat)[0]
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    bce = torch.nn.functional.binary_cross_entropy
    torch.manual_seed(3)
    views = [head(oracle.features(random_view(x)).mean(dim=2)) for _ in range(2)]
    expected = gradient(bce(real, ones) + bce(fake, zeros) + gamma * NTXent(settings.temperature)(*views), oracle)
    moved_by = []
    state.discriminator_optimizer.register_step_pre_hook(
        lambda *_: moved_by.append(torch.cat([p.grad.flatten() for p in state.discriminator.parameters()]))
    )
    torch.manual_seed(3)
    update(state, x, SETTINGS, contrasted=settings)
    torch.testing.assert_close(moved_by[0], expected, rtol=1e-4, atol=1e-6)


def test_the_joint_loss_is_the_sum_of_its_terms():
    """L = L_G + L_KD + gamma NT-Xent (section 4.3.2), L_G = reconstruction + lambda feature matching."""
    settings = Contrast(BOTH, gamma=0.7)
    state, x = state_of(settings), beats(8)
    teacher = new_state(Hyperparameters(seed=5), 1, CPU, WIDTH).generator
    distiller = Distiller(Distillation(("scores",), "teacher"), state.generator, teacher, x)
    halved = replace(SETTINGS, adversarial_weight=0.5)  # lambda
    result = update(state, x, halved, distiller, settings, compare=True)
    parts = [result["loss_reconstruction"], 0.5 * result["loss_adversarial"]]
    parts += [result["loss_distillation"], 0.7 * result["loss_contrast_g"]]
    assert all(part > 0 for part in parts)
    assert result["loss_g"] == pytest.approx(sum(parts), rel=1e-6)
    assert {name for name in result if name.startswith("gradient_ratio")} == {
        "gradient_ratio",
        "gradient_ratio_contrast_d",
        "gradient_ratio_contrast_g",
    }


def test_the_pull_is_a_ratio_of_gradient_lengths():
    model = torch.nn.Linear(2, 1, bias=False)
    value = model(torch.tensor([[3.0, 4.0]])).sum()
    assert training._pull(2 * value, value, model) == pytest.approx(2)
    assert training._pull(value, 0 * value, model) == math.inf, "nothing pulls against it"


def test_the_terms_are_nt_xent_of_two_views():
    settings = Contrast(BOTH, temperature=0.3)
    state, x = state_of(settings), beats(6)
    torch.manual_seed(4)
    found = scenarios.generator_term(settings, state.heads["generator"], state.generator, x)
    torch.manual_seed(4)
    z = [state.heads["generator"](state.generator.encoder(random_view(x)).flatten(1)) for _ in range(2)]
    assert found.item() == pytest.approx(NTXent(0.3)(*z).item(), rel=1e-5)
    torch.manual_seed(4)
    found = scenarios.discriminator_term(settings, state.heads["discriminator"], state.discriminator, x)
    torch.manual_seed(4)
    h = [state.discriminator.features(random_view(x)).mean(dim=2) for _ in range(2)]
    z = [state.heads["discriminator"](part) for part in h]
    assert found.item() == pytest.approx(NTXent(0.3)(*z).item(), rel=1e-5)


def test_views_leave_the_generators_running_statistics_alone():
    settings = Contrast(("generator",))
    state = state_of(settings)
    name = "encoder.features.3.running_mean"
    before = state.generator.state_dict()[name].clone()
    scenarios.generator_term(settings, state.heads["generator"], state.generator, beats(8))
    assert torch.equal(state.generator.state_dict()[name], before)
    assert state.generator.encoder.features[3].momentum == training.SHARED_MOMENTUM


def test_pretraining_changes_the_discriminator_alone_and_lowers_its_contrast():
    settings = Contrast(("discriminator",), pretraining=10)
    state, x = state_of(settings), beats(32)
    generator = {name: parameter.clone() for name, parameter in state.generator.named_parameters()}

    def loss():
        torch.manual_seed(0)
        with torch.no_grad():
            head = state.heads["discriminator"]
            return scenarios.discriminator_term(settings, head, state.discriminator, x).item()

    before = loss()
    training.pretrain(state, x, SETTINGS, settings)
    assert loss() < before
    assert not moved(generator, state.generator)


def test_a_resumed_training_equals_an_uninterrupted_one():
    settings = Contrast(BOTH, pretraining=1)
    x, abnormal = beats(24), torch.arange(24) % 3 == 0
    validation = Validation(x, abnormal)
    two = Hyperparameters(seed=2, batch_size=8, epochs=2)
    whole = train(state_of(settings), x, validation, two, contrasted=settings)
    half = train(
        state_of(settings), x, validation, Hyperparameters(seed=2, batch_size=8, epochs=1), contrasted=settings
    )
    resumed = snapshot.unpack(state_of(settings), *snapshot.pack(half))
    resumed = train(resumed, x, validation, two, contrasted=settings)
    for name, tensor in whole.generator.state_dict().items():
        assert torch.equal(tensor, resumed.generator.state_dict()[name]), name
    for place, head in whole.heads.items():
        for name, tensor in head.state_dict().items():
            assert torch.equal(tensor, resumed.heads[place].state_dict()[name]), (place, name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"places": ()}, "goes into"), ({"places": ("teacher",)}, "goes into"),
     ({"places": ("generator",), "pretraining": 1}, "Only the discriminator")],
)  # fmt: skip
def test_impossible_contrasts_are_refused(fields, message):
    with pytest.raises(EcglibError, match=message):
        Contrast(**fields)


def test_similarities_are_cosines():
    x = torch.randn(4, 3)
    found = similarity.similarities(x)
    expected = torch.nn.functional.cosine_similarity(x[:, None], x[None], dim=2)
    torch.testing.assert_close(found, expected)


def test_pairs_of_beats_against_loops():
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(5, 3, generator=generator) for _ in range(2))
    patients = np.array(["a", "b", "a", "a", "b"])
    found = similarity.pair_similarities(first, second, patients)

    def cosine(u, v):
        return float(u @ v / u.norm() / v.norm())

    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    same = [cosine(first[i], first[j]) for i, j in pairs if patients[i] == patients[j]]
    other = [cosine(first[i], first[j]) for i, j in pairs if patients[i] != patients[j]]
    assert found["two views of one beat"] == pytest.approx([cosine(*both) for both in zip(first, second, strict=True)])
    assert sorted(found["beats of one patient"]) == pytest.approx(sorted(same))
    assert sorted(found["beats of different patients"]) == pytest.approx(sorted(other))
    assert scenarios.same_patient_share(patients) == pytest.approx(len(same) / len(pairs))
    more_alike = np.mean([one > two for one in same for two in other])
    assert similarity.patients_told_apart(found) == pytest.approx(more_alike)


def test_own_views_are_counted():
    first = torch.eye(4)
    assert similarity.own_view_found(first, 2 * first) == 1
    assert similarity.own_view_found(first, first[[1, 0, 2, 3]]) == 0.5
