"""The training loop against the report's literal update, and the rules of choosing an epoch."""

import copy
import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from ecglib.beatgan import training
from ecglib.beatgan.networks import Discriminator, Generator, anomaly_scores
from ecglib.beatgan.training import Settings, Validation, new_state, update
from ecglib.core.errors import EcglibError
from tests.beatgan.literal import literal_update

CPU = torch.device("cpu")
BATCH = 8


def beats(count, seed=0):
    """Smooth random curves in [-1, 1]: (count, 1, 320)."""
    noise = torch.randn(count, 1, 320, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool1d(noise, 15, stride=1, padding=7)
    return smooth / smooth.abs().amax(dim=-1, keepdim=True)


def validation_set():
    x = beats(24, seed=1)
    abnormal = torch.arange(24) % 3 == 0
    x[abnormal] = torch.sign(x[abnormal])
    return Validation(x, abnormal)


@pytest.mark.parametrize("reset_below", [5e-6, 0.9])
def test_update_equals_the_literal_program_for_20_steps(reset_below):
    """Losses, weights and running statistics; at 0.9 the discriminator is drawn anew on the way.

    In float64, because a GAN blows the last bits of float32 up to 1e-5 within 20 steps whichever way they differ.
    """
    settings = Settings(seed=3, batch_size=BATCH, reset_discriminator_below=reset_below)
    x = beats(20 * BATCH).double()
    histories, states = [], []
    for way in (update, literal_update):
        state = new_state(settings, 1, CPU)
        state.generator.double()
        state.discriminator.double()
        training.draw_spare(state, 3, 0)
        state.spare.double()
        torch.manual_seed(11)
        histories.append([way(state, batch, settings) for batch in x.split(BATCH)])
        states.append(state)
    for ours, literal in zip(*histories, strict=True):
        assert ours == pytest.approx(literal, abs=1e-5)
    assert (sum(row["d_resets"] for row in histories[0]) > 0) == (reset_below == 0.9)
    for part in ("generator", "discriminator"):
        ours, literal = (getattr(state, part).state_dict() for state in states)
        for name, tensor in ours.items():
            if not name.endswith("num_batches_tracked"):  # a counter that nothing reads
                torch.testing.assert_close(tensor, literal[name], rtol=0, atol=1e-5, msg=f"{part} {name}")


def test_the_literal_comparison_can_fail():
    """Without the doubled momentum the running statistics differ, so the test above is not empty."""
    settings = Settings(seed=3, batch_size=BATCH)
    ours, literal = new_state(settings, 1, CPU), new_state(settings, 1, CPU)
    training.set_momentum(ours.generator, training.BATCHNORM_MOMENTUM)
    for batch in beats(3 * BATCH).split(BATCH):
        update(ours, batch, settings)
        literal_update(literal, batch, settings)
    name = "encoder.features.3.running_var"
    assert not torch.allclose(ours.generator.state_dict()[name], literal.generator.state_dict()[name], atol=1e-5)


def test_the_g_step_leaves_no_gradient_in_d_and_d_trains_again():
    settings = Settings(seed=0, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    before = [parameter.clone() for parameter in state.discriminator.parameters()]
    update(state, beats(BATCH), settings)
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, state.discriminator.parameters(), strict=True))


def test_without_an_adversary_g_learns_the_reconstruction_alone():
    settings = Settings(seed=0, adversarial_weight=0.0, learning_rate=0.0)
    state, x = new_state(settings, 1, CPU), beats(BATCH)
    before = copy.deepcopy(state.discriminator.state_dict())
    row = update(state, x, settings)
    assert row.keys() == {"loss_g", "loss_reconstruction"}
    assert row["loss_g"] == row["loss_reconstruction"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in state.discriminator.state_dict().items())
    alone = new_state(settings, 1, CPU).generator
    ((alone(x)[0] - x) ** 2).mean().backward()
    for found, expected in zip(state.generator.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-8)


def test_validation_judges_by_all_rules():
    settings = Settings(seed=0, batch_size=BATCH)
    validation, state = validation_set(), new_state(settings, 1, CPU)
    for batch in beats(4 * BATCH).split(BATCH):
        update(state, batch, settings)
    literal = copy.deepcopy(state.generator).train()  # as R1's program: one pass in training mode, batch by batch
    training.set_momentum(literal, 0.1)
    with torch.no_grad():
        errors = [(literal(x)[0] - x).square().mean(dim=(1, 2)) for x in validation.x.split(BATCH)]
    row, judged = training.validate(state.generator, validation, BATCH)
    assert row["auc_as_coded"] == pytest.approx(roc_auc_score(validation.abnormal, torch.cat(errors)))
    for name, tensor in judged["as_coded"][1].state_dict().items():
        torch.testing.assert_close(tensor, literal.state_dict()[name], msg=name)
    assert {rule: criterion for rule, (criterion, _) in judged.items()} == {
        "as_coded": -row["auc_as_coded"],
        "labelled": -row["auc_eval_mode"],
        "corrected": row["error_normal"],
    }
    # The corrected weights give back the criterion; the as-coded ones carry the validation set's own statistics.
    scores = anomaly_scores(copy.deepcopy(judged["corrected"][1]).eval(), validation.x)
    assert scores[~validation.abnormal].mean().item() == pytest.approx(row["error_normal"], rel=1e-5)
    coded, kept = (judged[rule][1].state_dict() for rule in ("as_coded", "corrected"))
    name = "encoder.features.3.running_mean"
    assert not torch.equal(coded[name], kept[name])
    assert torch.equal(coded["encoder.head.weight"], kept["encoder.head.weight"])


def test_validation_does_not_disturb_training():
    settings = Settings(seed=0, epochs=1, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    before = {name: tensor.clone() for name, tensor in state.generator.state_dict().items()}
    training.validate(state.generator, validation_set(), BATCH)
    assert state.generator.training
    assert all(torch.equal(before[name], tensor) for name, tensor in state.generator.state_dict().items())


def test_settings_out_of_range_are_refused():
    for change in ({"epochs": 0}, {"batch_size": 1}):
        with pytest.raises(EcglibError, match="must be at least"):
            Settings(seed=0, **change)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_divergence_is_an_error_at_the_end_of_the_epoch(value):
    settings = Settings(seed=0, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    rows = [update(state, x, settings) for x in (beats(BATCH), beats(BATCH) * value, beats(BATCH))]
    with pytest.raises(EcglibError, match="diverged in epoch 7"):
        training.epoch_row(rows, 7)


def test_a_row_has_means_the_sum_of_resets_and_the_pulls_of_the_first_step():
    rows = [{"loss_d": 1.0, "d_resets": 1.0, "gradient_ratio": math.inf}, {"loss_d": 4.0, "d_resets": 1.0}]
    found = training.epoch_row([{name: torch.tensor(value) for name, value in row.items()} for row in rows], 0)
    assert found == {"loss_d": 2.5, "d_resets": 2, "gradient_ratio": math.inf}


def test_the_spare_of_an_epoch_is_its_own_and_moves_no_other_random_number():
    settings = Settings(seed=0, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    drawn = []
    for epoch in (0, 1, 0):
        training.draw_spare(state, settings.seed, epoch)
        drawn.append(state.spare.features[0].weight.clone())
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    spread = state.discriminator.features[0].weight.std().item()
    assert drawn[0].std().item() == pytest.approx(spread, rel=0.5)


def test_a_step_reads_no_number_back():
    """A GPU would have to wait for it. On the meta device there is no number to read."""
    meta = torch.device("meta")
    settings = Settings(seed=0, batch_size=BATCH)
    generator, discriminator, spare = Generator().to(meta), Discriminator().to(meta), Discriminator().to(meta)
    optimizers = (torch.optim.Adam(model.parameters(), foreach=True) for model in (generator, discriminator))
    state = training.State(generator, discriminator, *optimizers, spare)
    row = update(state, torch.empty(BATCH, 1, 320, device=meta), settings)
    assert {value.device for value in row.values()} == {meta}
    with pytest.raises(RuntimeError):
        row["loss_g"].item()
