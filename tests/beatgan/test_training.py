"""The training loop against the report's literal update, and its two ways of choosing the epoch."""

import math

import pytest
import torch

from benchmarks.literal_beatgan import literal_update
from ecglib.beatgan import training
from ecglib.beatgan.callbacks import Checkpoint
from ecglib.beatgan.networks import anomaly_scores
from ecglib.beatgan.training import Hyperparameters, Validation, new_state, train, update
from ecglib.core.errors import EcglibError
from ecglib.runs import snapshot

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
    settings = Hyperparameters(seed=3, batch_size=BATCH, reset_discriminator_below=reset_below)
    x = beats(20 * BATCH).double()
    histories, states = [], []
    for way in (update, literal_update):
        state = new_state(settings, 1, CPU)
        state.generator.double()
        state.discriminator.double()
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
    settings = Hyperparameters(seed=3, batch_size=BATCH)
    ours, literal = new_state(settings, 1, CPU), new_state(settings, 1, CPU)
    training.set_momentum(ours.generator, training.BATCHNORM_MOMENTUM)
    for batch in beats(3 * BATCH).split(BATCH):
        update(ours, batch, settings)
        literal_update(literal, batch, settings)
    name = "encoder.features.3.running_var"
    assert not torch.allclose(ours.generator.state_dict()[name], literal.generator.state_dict()[name], atol=1e-5)


def test_the_g_step_leaves_no_gradient_in_d_and_d_trains_again():
    settings = Hyperparameters(seed=0, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    before = [parameter.clone() for parameter in state.discriminator.parameters()]
    update(state, beats(BATCH), settings)
    assert all(parameter.requires_grad for parameter in state.discriminator.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, state.discriminator.parameters(), strict=True))


def test_both_rules_are_followed_in_one_training():
    settings = Hyperparameters(seed=0, epochs=3, batch_size=BATCH)
    validation = validation_set()
    state = train(new_state(settings, 1, CPU), beats(4 * BATCH), validation, settings)
    best_auc = max(row["auc_as_coded"] for row in state.history)
    assert state.best["as_coded"].epoch == [row["auc_as_coded"] for row in state.history].index(best_auc)
    errors = [row["error_normal"] for row in state.history]
    assert state.best["corrected"].epoch == errors.index(min(errors))
    # The corrected weights give back the criterion; the as-coded ones carry the validation set's own statistics.
    model = state.generator
    model.load_state_dict(state.best["corrected"].weights)
    scores = anomaly_scores(model.eval(), validation.x)
    assert scores[~validation.abnormal].mean().item() == pytest.approx(min(errors), rel=1e-5)
    name = "encoder.features.3.running_mean"
    state.best.clear()
    training.validate(state, validation, BATCH)
    coded, kept = state.best["as_coded"], state.best["corrected"]
    assert not torch.equal(coded.weights[name], kept.weights[name])
    assert torch.equal(coded.weights["encoder.head.weight"], kept.weights["encoder.head.weight"])


def test_the_lowest_criterion_wins_and_a_later_equal_one_does_not():
    state = new_state(Hyperparameters(seed=0), 1, CPU)
    for epoch, criterion in enumerate((3.0, 1.0, 1.0, 2.0)):
        state.epoch = epoch
        with torch.no_grad():
            state.generator.encoder.head.weight.fill_(epoch)
        training._keep_better(state, "corrected", criterion, state.generator)
    best = state.best["corrected"]
    assert (best.epoch, best.criterion) == (1, 1.0)
    assert (best.weights["encoder.head.weight"] == 1).all(), "a copy, which later epochs leave alone"


def test_validation_does_not_disturb_training():
    settings = Hyperparameters(seed=0, epochs=1, batch_size=BATCH)
    state = new_state(settings, 1, CPU)
    before = {name: tensor.clone() for name, tensor in state.generator.state_dict().items()}
    training.validate(state, validation_set(), BATCH)
    assert state.generator.training
    assert all(torch.equal(before[name], tensor) for name, tensor in state.generator.state_dict().items())


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_a_checkpoint_resumes_to_the_same_end(tmp_path):
    settings = Hyperparameters(seed=5, epochs=3, batch_size=BATCH)
    x, validation = beats(4 * BATCH), validation_set()
    whole = train(new_state(settings, 1, CPU), x, validation, settings)

    class Stop(Exception):
        pass

    def stop(state, settings):
        if state.epoch == 1:
            raise Stop

    checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
    with pytest.raises(Stop):
        train(new_state(settings, 1, CPU), x, validation, settings, [checkpoint, stop])
    resumed = checkpoint.restore(new_state(settings, 1, CPU))
    assert resumed.epoch == 1
    train(resumed, x, validation, settings)
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    for rule in training.RULES:
        assert resumed.best[rule].epoch == whole.best[rule].epoch
        for name, tensor in whole.best[rule].weights.items():
            assert torch.equal(tensor, resumed.best[rule].weights[name]), f"{rule} {name}"


def test_a_damaged_checkpoint_says_what_to_do(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(EcglibError, match=r"checkpoint\.safetensors is damaged .*delete it"):
        Checkpoint(path).restore(new_state(Hyperparameters(seed=0), 1, CPU))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (torch.OutOfMemoryError("of memory"), "of memory"),
        (OSError(5, "I/O error"), r"cannot be read \(I/O error\): try"),
    ],
)
def test_a_machines_troubles_do_not_cost_a_checkpoint(tmp_path, error, message):
    def fail():
        with snapshot.reading(tmp_path / "checkpoint.safetensors"):
            raise error

    with pytest.raises((EcglibError, torch.OutOfMemoryError), match=message) as caught:
        fail()
    assert "delete" not in str(caught.value)


def test_too_little_memory_does_not_cost_a_checkpoint(tmp_path):
    with pytest.raises(RuntimeError, match="allocate memory"), snapshot.reading(tmp_path / "checkpoint.safetensors"):
        torch.empty(2**60, dtype=torch.uint8)


def test_settings_out_of_range_are_refused():
    for change in ({"epochs": 0}, {"batch_size": 1}):
        with pytest.raises(EcglibError, match="at least 1 epoch, and 2 beats"):
            Hyperparameters(seed=0, **change)


def test_too_few_beats_and_divergence_are_errors():
    settings = Hyperparameters(seed=0, epochs=1, batch_size=BATCH)
    with pytest.raises(EcglibError, match="do not fill one batch"):
        train(new_state(settings, 1, CPU), beats(BATCH - 1), validation_set(), settings)
    with pytest.raises(EcglibError, match="diverged in epoch 0"):
        train(new_state(settings, 1, CPU), beats(BATCH) * math.nan, validation_set(), settings)
