"""R peaks against biosppy's own segmenter, peak for peak: simulated records, noise, edges, and all of MIT-BIH."""

import numpy as np
import pytest
from biosppy.signals.ecg import correct_rpeaks, hamilton_segmenter

from ecglib.data import mitbih, r_peaks

FS = mitbih.FS


def literal(lead):
    (peaks,) = hamilton_segmenter(lead, float(FS))
    return correct_rpeaks(lead, peaks, float(FS), tol=0.05)["rpeaks"]


@pytest.mark.parametrize("seed", range(6))
def test_noise_of_any_length_and_size(seed):
    rng = np.random.default_rng(seed)
    lead = rng.normal(size=int(rng.integers(3 * FS, 40 * FS))).cumsum() * rng.uniform(0.01, 1)
    lead = mitbih.bandpass(lead) * (1 + 3 * (rng.random(len(lead)) < 0.01))  # with spikes
    assert np.array_equal(r_peaks.find_r_peaks(lead, FS), literal(lead))


@pytest.mark.parametrize("change", [1, -1, "level", "pause"])
def test_a_rhythm_upright_inverted_clipped_and_interrupted(change):
    ticks = np.arange(30 * FS)
    beats = np.exp(-(((ticks % 300) - 150) ** 2) / 40) - 0.3 * np.exp(-(((ticks % 300) - 165) ** 2) / 60)
    lead = beats + 0.02 * np.sin(ticks / 7)
    if change == "level":
        lead = np.clip(lead, -0.1, 0.5)  # plateaus: extrema that are level
    elif change == "pause":
        lead[10 * FS : 14 * FS] *= 0.4
    else:
        lead = change * lead
    found = r_peaks.find_r_peaks(lead, FS)
    assert np.array_equal(found, literal(lead)) and len(found) > 20


def test_simulated_records(simulated_root):
    for name in mitbih.PATIENTS[:6]:
        lead = mitbih.bandpass(mitbih.read_record(simulated_root, name).signals)[0]
        assert np.array_equal(r_peaks.find_r_peaks(lead, FS), literal(lead))


def test_a_flat_lead_has_no_peaks():
    assert len(r_peaks.find_r_peaks(np.zeros(10 * FS), FS)) == 0


def test_every_record_of_mit_bih(real_root):
    for name in mitbih.RECORDS:
        lead = mitbih.bandpass(mitbih.read_record(real_root, name).signals)[0]
        assert np.array_equal(r_peaks.find_r_peaks(lead, FS), literal(lead)), name
