"""Every augmentation keeps what a beat is: its shape, roughly its values, and all leads together."""

from dataclasses import fields

import pytest
import torch

from ecglib.data.augment import Views, lead_dropout, random_view, segment_mask, time_shift, time_warp, warp_most

AUGMENTATIONS = Views().augmentations


def beats(count=40, leads=2):
    time = torch.linspace(-1, 1, 320)
    wave = torch.exp(-((time + 0.12) ** 2) / 0.006) * 1.8 - 0.8
    return wave.expand(count, leads, 320).clone()


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_shape_range_randomness_and_purity(name):
    torch.manual_seed(0)
    x = beats()
    before = x.clone()
    view = AUGMENTATIONS[name](x)
    assert torch.equal(x, before), "the input was changed"
    assert view.shape == x.shape
    assert torch.isfinite(view).all()
    assert view.abs().max() < 1.5
    assert not torch.equal(view, x)
    assert len(torch.unique(view[:, 0], dim=0)) > 10 or name == "lead dropout", "all beats were changed alike"
    torch.manual_seed(0)
    assert torch.equal(AUGMENTATIONS[name](x), view)


@pytest.mark.parametrize("name", [name for name in AUGMENTATIONS if name not in ("lead dropout", "jitter")])
def test_all_leads_of_a_beat_are_changed_alike(name):
    view = AUGMENTATIONS[name](beats())
    assert torch.equal(view[:, 0], view[:, 1])


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_a_view_stays_close_to_its_beat(name):
    """Closer than another beat shape is: correlation with the original above 0.8 wherever a lead is left."""
    x = beats()
    view = AUGMENTATIONS[name](x)
    for original, changed in zip(x.flatten(0, 1), view.flatten(0, 1), strict=True):
        if changed.any():
            assert torch.corrcoef(torch.stack([original, changed]))[0, 1] > 0.8


def test_random_view_applies_all_and_each_as_far_as_it_is_told():
    torch.manual_seed(1)
    off = {"warped": 0, "amplitude": 0.0, "noise": 0.0, "wander": 0.0, "shift": 0, "masked": 2, "silent": 0.0}
    assert off.keys() == {field.name for field in fields(Views)}
    ramp = torch.linspace(-1, 1, 320).expand(200, 2, 320)
    torch.testing.assert_close(random_view(ramp, Views(**off)), ramp, atol=1e-5, rtol=0)
    assert random_view(0 * ramp, Views(**off | {"noise": 0.5})).std().item() == pytest.approx(0.5, rel=0.02)
    silent = (random_view(ramp, Views(**off | {"silent": 1.0})) == 0).all(dim=2)
    assert (silent.sum(dim=1) == 1).all()
    for on in ({"warped": 7}, {"amplitude": 0.5}, {"wander": 0.5}, {"shift": 6}):
        assert not torch.allclose(random_view(ramp, Views(**off | on)), ramp, atol=1e-3), on
    assert not torch.equal(random_view(beats()), random_view(beats()))


def test_one_lead_is_never_dropped_and_two_never_both():
    assert torch.equal(lead_dropout(beats(leads=1), 1.0), beats(leads=1))
    silent = (lead_dropout(beats(), 1.0) == 0).all(dim=2)
    assert (silent.sum(dim=1) == 1).all()
    assert 0 < silent[:, 0].sum() < len(silent)


def test_shift_moves_whole_ticks_and_mask_flattens_one_stretch():
    ramp = torch.arange(320.0).expand(60, 1, 320)
    assert torch.allclose(segment_mask(ramp), ramp, atol=1e-3), "a straight line between two points of a line"
    moved = time_shift(ramp, 5)[:, 0, 160] - 160
    assert set(moved.tolist()) == set(range(-5, 6))
    noise = torch.randn(60, 1, 320)
    changed = (segment_mask(noise, 20) != noise)[:, 0]
    assert changed.sum(dim=1).max() == 19
    for row in changed:
        places = torch.nonzero(row).flatten()
        assert len(places) == 0 or len(places) == places[-1] - places[0] + 1, "more than one stretch"


def test_time_warp_stretches_and_drops_as_many_ticks():
    torch.manual_seed(0)
    ramp = torch.arange(320.0).expand(50, 2, 320)
    warped = time_warp(ramp)
    assert (warped.diff(dim=-1) >= 0).all()  # time never runs backward
    assert torch.equal(warped[..., 319], ramp[..., 319])
    for start, stop in ((0, 140), (140, 319)):
        for row in warped[:, 0, start:stop].tolist():
            whole = {value for value in row if value == int(value)}
            halves = [value for value in row if value != int(value)]
            assert len(halves) == Views().warped  # stretched
            assert len(whole) == stop - start - Views().warped  # the others but the dropped ones
            assert all(start <= value < stop for value in row)
            assert {value - 0.5 for value in halves} <= whole


def test_two_of_three_beats_are_warped():
    torch.manual_seed(0)
    x = beats(900, leads=1)
    changed = (warp_most(x) != x).any(dim=2).any(dim=1).float().mean().item()
    assert changed == pytest.approx(2 / 3, abs=0.05)
