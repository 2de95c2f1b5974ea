"""R2's scenarios inside BeatGAN's training: who learns from the contrast, what stays untouched, resuming."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ecglib.beatgan import training
from ecglib.beatgan.distillation import Distillation, Distiller
from ecglib.beatgan.training import Settings, Step, new_state, update
from ecglib.core.errors import EcglibError
from ecglib.data.augment import random_view
from ecglib.runs.loop import Loop
from ecglib.simclr import similarity
from ecglib.simclr.losses import nt_xent
from ecglib.simclr.networks import BaseEncoder, ProjectionHead
from ecglib.simclr.scenarios import Contrast, ScenarioConfig, contrast_terms

CPU = torch.device("cpu")
WIDTH = 0.125
SETTINGS = Settings(seed=2, batch_size=8)
BOTH = ("discriminator", "generator")


def beats(count, seed=0):
    noise = torch.randn(count, 1, 320, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool1d(noise, 15, stride=1, padding=7)
    return smooth / smooth.abs().amax(dim=-1, keepdim=True)


def contrasted(settings):
    """A new state, and the place of each contrast -> its term."""
    state = new_state(SETTINGS, 1, CPU, WIDTH)
    return state, {term.place: term for term in contrast_terms(settings, state)}


def value(term, state, x):
    """A contrast of a batch; what G makes of it plays no part."""
    return term(Step(state, x, x, x))


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
    (state, terms), plain = contrasted(settings), new_state(SETTINGS, 1, CPU, WIDTH)
    heads = {place: {n: p.clone() for n, p in term.head.named_parameters()} for place, term in terms.items()}
    torch.manual_seed(0)
    result = update(state, beats(8), SETTINGS, list(terms.values()))
    update(plain, beats(8), SETTINGS)
    assert set(terms) == set(places)
    for place, term in terms.items():
        assert moved(heads[place], term.head)
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
    (state, terms), x = contrasted(settings), beats(8)
    oracle, head = copy.deepcopy(state.discriminator), copy.deepcopy(terms["discriminator"].head)
    x_hat = copy.deepcopy(state.generator)(x)[0].detach()
    real, fake = oracle(x)[0], oracle(x_hat)[0]
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    bce = torch.nn.functional.binary_cross_entropy
    torch.manual_seed(3)
    views = [head(oracle.features(random_view(x)).mean(dim=2)) for _ in range(2)]
    expected = gradient(bce(real, ones) + bce(fake, zeros) + gamma * nt_xent(*views, settings.temperature), oracle)
    moved_by = []
    state.discriminator_optimizer.register_step_pre_hook(
        lambda *_: moved_by.append(torch.cat([p.grad.flatten() for p in state.discriminator.parameters()]))
    )
    torch.manual_seed(3)
    update(state, x, SETTINGS, list(terms.values()))
    torch.testing.assert_close(moved_by[0], expected, rtol=1e-4, atol=1e-6)


def test_the_joint_loss_is_the_sum_of_its_terms():
    """L = L_G + L_KD + gamma NT-Xent (section 4.3.2), L_G = reconstruction + lambda feature matching."""
    settings = Contrast(BOTH, gamma=0.7)
    (state, terms), x = contrasted(settings), beats(8)
    teacher = new_state(Settings(seed=5), 1, CPU, WIDTH).generator
    distiller = Distiller(Distillation(("scores",), "teacher"), state.generator, teacher, x)
    halved = replace(SETTINGS, adversarial_weight=0.5)  # lambda
    result = {
        name: value.item() for name, value in update(state, x, halved, [distiller, *terms.values()], True).items()
    }
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
    assert training._pull(2 * value, value, model).item() == pytest.approx(2)
    assert training._pull(value, 0 * value, model) == math.inf, "nothing pulls against it"


def test_the_terms_are_nt_xent_of_two_views():
    settings = Contrast(BOTH, temperature=0.3)
    (state, terms), x = contrasted(settings), beats(6)
    torch.manual_seed(4)
    found = value(terms["generator"], state, x)
    torch.manual_seed(4)
    z = [terms["generator"].head(state.generator.encoder(random_view(x)).flatten(1)) for _ in range(2)]
    assert found.item() == pytest.approx(nt_xent(*z, 0.3).item(), rel=1e-5)
    torch.manual_seed(4)
    found = value(terms["discriminator"], state, x)
    torch.manual_seed(4)
    h = [state.discriminator.features(random_view(x)).mean(dim=2) for _ in range(2)]
    z = [terms["discriminator"].head(part) for part in h]
    assert found.item() == pytest.approx(nt_xent(*z, 0.3).item(), rel=1e-5)


def test_views_leave_the_generators_running_statistics_alone():
    state, terms = contrasted(Contrast(("generator",)))
    name = "encoder.features.3.running_mean"
    before = state.generator.state_dict()[name].clone()
    value(terms["generator"], state, beats(8))
    assert torch.equal(state.generator.state_dict()[name], before)
    assert state.generator.encoder.features[3].momentum == training.SHARED_MOMENTUM


def test_pretraining_changes_the_discriminator_alone_and_lowers_its_contrast():
    settings = Contrast(("discriminator",), pretraining=10)
    (state, terms), x = contrasted(settings), beats(32)
    generator = {name: parameter.clone() for name, parameter in state.generator.named_parameters()}

    def loss():
        torch.manual_seed(0)
        with torch.no_grad():
            return value(terms["discriminator"], state, x).item()

    before = loss()
    ScenarioConfig("data", SETTINGS, contrast=settings).before(state, list(terms.values()), x)
    assert loss() < before
    assert not moved(generator, state.generator)


def test_a_resumed_training_equals_an_uninterrupted_one(tiny, beats, tmp_path):
    two = replace(tiny, training=replace(tiny.training, epochs=2))
    config = ScenarioConfig.of(two, Contrast(BOTH, pretraining=1))

    def trained(name, epochs):
        """The networks of a training in the folder `name`, where it goes on from the checkpoint that is there."""
        (tmp_path / name).mkdir(exist_ok=True)

        def interrupt(loop):
            if len(loop.history) == epochs:
                raise KeyboardInterrupt

        loop = Loop(tmp_path / name, config.training.seed, 2, CPU, [interrupt])
        with pytest.raises(KeyboardInterrupt):
            config.train(beats, loop)
        return {part: loop.parts[part].state_dict() for part in ("generator", *(f"head_{place}" for place in BOTH))}

    whole, half = trained("whole", 2), trained("resumed", 1)
    resumed = trained("resumed", 2)
    for part, tensors in whole.items():
        assert tensors.keys() == resumed[part].keys()
        for name, tensor in tensors.items():
            assert torch.equal(tensor, resumed[part][name]), (part, name)
        assert any(not torch.equal(tensor, half[part][name]) for name, tensor in tensors.items()), part


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"places": ()}, "goes into"), ({"places": ("teacher",)}, "'teacher': choose one of discriminator, generator"),
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
    assert similarity.same_patient_share(patients) == pytest.approx(len(same) / len(pairs))
    more_alike = np.mean([one > two for one in same for two in other])
    assert similarity.patients_told_apart(found) == pytest.approx(more_alike)


def test_own_views_are_counted():
    first = torch.eye(4)
    assert similarity.own_view_found(first, 2 * first) == 1
    assert similarity.own_view_found(first, first[[1, 0, 2, 3]]) == 0.5
