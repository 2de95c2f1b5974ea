"""`ecglib detect`: block by block it says what the whole record says, and on real records what its labels say."""

import argparse
import re
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
import wfdb

from ecglib.book import own
from ecglib.book.cli import main
from ecglib.core.errors import EcglibError, EcglibWarning
from ecglib.data import mitbih
from ecglib.data.recording_wfdb import read_beats
from ecglib.data.recordings import open_recording
from ecglib.detection import detect, judges, own_record, page, reference
from ecglib.stats import metrics


@pytest.fixture(scope="module")
def path(simulated_root):
    return simulated_root / "mitdb" / "1.0.0" / "208"


def judged(path, annotated=True, names=None, **how):
    recording = detect.choose_leads(open_recording(path), names, judges.ThreeQuestions.MOST)
    judge = judges.ThreeQuestions(len(recording.leads))
    return detect.detect(recording, judge, read_beats(path, "atr") if annotated else None, **how)


def test_the_blocks_say_what_the_whole_record_says(path, simulated_root, monkeypatch):
    record = mitbih.read_record(simulated_root, "208")
    kept = mitbih.select_beats(record, record.samples)
    beats = mitbih.cut_beats(mitbih.bandpass(record.signals), record.samples[kept])
    answers = own_record.answers(beats, mitbih.rr_intervals(record)[kept, 0])
    whole = reference.load(2).score(answers)
    monkeypatch.setattr(detect, "CHUNK", own_record.BLOCK)  # many chunks in a short record
    monkeypatch.setattr(detect, "PIECE", 10 * mitbih.FS)
    found = judged(path)
    times = record.samples[kept] / mitbih.FS
    at = found.beats.set_index(found.beats["time"].round(4))
    both = at.loc[np.round(times, 4)]
    assert both["score"].to_numpy() == pytest.approx(whole, abs=0.05)
    assert found.annotated


def test_the_most_unusual_beats_come_with_what_they_were_compared_with(path):
    found = judged(path)
    assert found.shown
    assert [one.score for one in found.shown] == sorted((one.score for one in found.shown), reverse=True)
    for one in found.shown[:5]:
        row = found.beats.iloc[int((found.beats["time"] - one.time).abs().argmin())]
        assert row["score"] == pytest.approx(one.score)
        assert row["flagged"]
        assert one.beat.shape == one.other.shape == (2, 320)
        assert np.abs(one.beat - one.other).max() > 0.1


def test_r_peaks_are_found_where_beats_are_annotated(path):
    times, symbols = read_beats(path, "atr")
    beats = times[np.isin(symbols, mitbih.BEAT_SYMBOLS)]
    found = judged(path, annotated=False)
    near = np.abs(found.beats["time"].to_numpy()[:, None] - beats).min(axis=0)
    assert (near < 0.1).mean() > 0.95
    assert (found.beats["class"] == "").all()


def test_a_part_a_lead_and_a_threshold_of_ones_own(path):
    found = judged(path, start=20.0, stop=60.0, names=["v1"], threshold=95.0)
    assert found.leads == ("V1",)
    assert found.beats["time"].between(20, 60).all()
    assert (found.beats["flagged"] == (found.beats["percentile"] >= 95)).all()
    with pytest.raises(EcglibError, match="is no part of it"):
        judged(path, start=50.0, stop=20.0)
    with pytest.raises(EcglibError, match="beats that can be judged: 30 are needed"):
        judged(path, start=20.0, stop=25.0)
    with pytest.raises(EcglibError, match="3 leads were named"):
        judged(path, names=["MLII", "V1", "V1"])


def test_the_first_beat_whose_window_is_inside_is_judged(path):
    """As `mitbih.select_beats`: 140 samples before the sample after the annotation."""
    times, _ = read_beats(path, "atr")
    first = round(times[5] * mitbih.FS)
    start = (first + 1 - mitbih.BEFORE) / mitbih.FS
    assert round(judged(path, start=start).beats["time"].iloc[0] * mitbih.FS) == first
    later = judged(path, start=start + 1 / mitbih.FS)
    assert round(later.beats["time"].iloc[0] * mitbih.FS) > first


def rewritten(path, folder, change, rate=360):
    """A copy of a record in 16 bits, its signals (T, 2) in mV changed."""
    found = wfdb.rdrecord(str(path))
    x = change(found.p_signal.copy())
    wfdb.wrsamp(
        "rec", fs=rate, units=["mV"] * 2, sig_name=found.sig_name, fmt=["16"] * 2, adc_gain=[1000] * 2,
        baseline=[0] * 2, p_signal=x, write_dir=str(folder),
    )  # fmt: skip
    return folder / "rec"


def noisy_start(x):
    x[: 10 * 360] = 5 * np.random.default_rng(0).standard_normal((3600, 2))
    return x


def flat_start(x):
    x[: 15 * 360] = -0.3
    return x


def gap(x):
    x[20 * 360 : 30 * 360] = np.nan
    return x


@pytest.mark.parametrize("change", [noisy_start, flat_start, gap])
def test_what_is_bad_in_one_place_costs_no_beats_elsewhere(path, tmp_path, change):
    """Hamilton's thresholds come from the first seconds: over a whole record, noise there hides all later beats."""
    whole = judged(path, annotated=False).beats["time"].to_numpy()
    found = judged(rewritten(path, tmp_path, change), annotated=False)
    later = whole[whole > 61]  # the first minute is searched by itself
    there = found.beats["time"].to_numpy()
    assert np.mean([np.abs(there - time).min() < 0.05 for time in later]) > 0.98
    if change is not noisy_start:
        assert any("No beat was found for" in note for note in found.notes)
    assert np.isfinite(found.beats["score"]).all()


def table(folder, columns, rate=360):
    pd.DataFrame(columns).to_csv(folder / "ecg.csv", index=False)
    return open_recording(folder / "ecg.csv", rate)


def ecg_of(path, seconds=60):
    return wfdb.rdrecord(str(path), sampto=seconds * 360).p_signal[:, 0]


NO_ECG = {
    "noise": (lambda x, noise: noise, "does not look like an ECG: no QRS"),
    "a random walk": (lambda x, noise: np.cumsum(noise) / 20, "does not look like an ECG|varies by"),
    "mains": (lambda x, noise: np.sin(2 * np.pi * 50 * np.arange(len(x)) / 360), "does not look like an ECG"),
    "next to nothing": (lambda x, noise: noise / 1000, r"varies by 0\.00\d+ mV"),
    "microvolts": (lambda x, noise: 1000 * x, r"varies by \d+ mV in II \(is the header's unit right"),
    "clipped": (lambda x, noise: x.clip(-0.3, 0.1), "did the recorder clip it"),
}


@pytest.mark.parametrize("kind", NO_ECG)
def test_what_is_no_ecg_is_not_judged(path, tmp_path, kind):
    change, message = NO_ECG[kind]
    x = ecg_of(path)
    recording = table(tmp_path, {"II": change(x, np.random.default_rng(0).standard_normal(len(x)))})
    with pytest.raises(EcglibError, match=message):
        detect.detect(recording.choose(), judges.ThreeQuestions(1))


def test_copies_are_refused_and_a_doubtful_part_is_said(path, tmp_path):
    x = ecg_of(path)
    with pytest.raises(EcglibError, match="the same signal in leads II, V1"):
        detect.detect(table(tmp_path, {"II": x, "V1": 2 * x}).choose(), judges.ThreeQuestions(2))
    part = x.copy()
    part[20 * 360 : 30 * 360] = np.random.default_rng(0).standard_normal(3600)
    found = detect.detect(table(tmp_path, {"II": part}).choose(), judges.ThreeQuestions(1))
    assert any(note.startswith("1 of 6 pieces of 10 s are doubtful; the first, from 20 s on") for note in found.notes)


def test_missing_cells_of_one_column_are_a_gap_and_time_goes_on(path, tmp_path):
    x = ecg_of(path)
    x[5000:12000] = np.nan
    found = detect.detect(table(tmp_path, {"II": x}).choose(), judges.ThreeQuestions(1))
    times = found.beats["time"]
    assert times.max() > 57
    assert not times.between(5000 / 360, 12000 / 360).any()
    assert any("No beat was found for" in note for note in found.notes)


def test_counters_and_leads_of_another_rate_are_left_out(path, tmp_path):
    x = ecg_of(path)
    recording = table(tmp_path, {"sample": np.arange(len(x)) / 1000, "II": x})
    assert detect.choose_leads(recording, None, 2).leads == ("II",)
    edfio = pytest.importorskip("edfio")
    signals = [edfio.EdfSignal(x, 360, label="ECG II", physical_dimension="mV", physical_range=(-8, 8))]
    signals += [edfio.EdfSignal(x[::2], 180, label="ECG V1", physical_dimension="mV", physical_range=(-8, 8))]
    edfio.Edf(signals).write(tmp_path / "x.edf")
    with pytest.warns(EcglibWarning, match="Lead V1 has another rate than II"):
        assert detect.choose_leads(open_recording(tmp_path / "x.edf"), None, 2).leads == ("II",)
    with pytest.warns(EcglibWarning, match="No lead .* has a usual name: C3 taken"):
        assert detect.choose_leads(table(tmp_path, {"C3": x}), None, 2).leads == ("C3",)


def test_a_lead_or_a_beat_that_is_there_twice_is_refused(path, tmp_path):
    record = rewritten(path, tmp_path, lambda x: x)
    header = record.with_suffix(".hea")
    header.write_text(header.read_text().replace(" V1", " MLII"))
    with pytest.raises(EcglibError, match="has lead MLII more than once"):
        detect.choose_leads(open_recording(record), None, 2)
    recording, times = table(tmp_path, {"II": ecg_of(path)}).choose(), np.repeat(np.arange(1.0, 50), 2)
    with pytest.raises(EcglibError, match="have two beats at one time"):
        detect.detect(recording, judges.ThreeQuestions(1), (times, np.full(len(times), "N")))


def test_annotations_that_break_off_are_refused_and_those_of_segments_are_read(path, tmp_path, capsys):
    for suffix in ("hea", "dat", "atr"):
        (tmp_path / f"208.{suffix}").write_bytes(path.with_name(f"208.{suffix}").read_bytes())
    length = open_recording(path).samples
    (tmp_path / "parts.hea").write_text(f"parts/1 2 360 {length}\n208 {length}\n")
    (tmp_path / "parts.atr").write_bytes((tmp_path / "208.atr").read_bytes())
    assert main(["detect", str(tmp_path / "parts"), "--out", str(tmp_path / "out")]) == 0
    assert "annotated beats are flagged" in capsys.readouterr().out
    content = (tmp_path / "208.atr").read_bytes()
    (tmp_path / "208.atr").write_bytes(content[: len(content) // 4 * 2])
    assert main(["detect", str(tmp_path / "208"), "--out", str(tmp_path / "out")]) == 1
    assert "break off: they have no end mark" in capsys.readouterr().err


def test_annotations_of_another_record_are_refused(path, tmp_path):
    recording = table(tmp_path, {"II": ecg_of(path)}).choose()
    with pytest.raises(EcglibError, match=r"annotations go on to 85 s .*ends at 60 s: do they belong to it"):
        detect.detect(recording, judges.ThreeQuestions(1), (np.array([1.0, 85.0]), np.array(["N", "N"])))
    with pytest.raises(EcglibError, match="name no beat there: '--annotations none'"):
        detect.detect(recording, judges.ThreeQuestions(1), (np.array([1.0]), np.array(["+"])))
    for wrong in ("../208", "", "a.b"):
        with pytest.raises(EcglibError, match="is no suffix"):
            read_beats(path, wrong)


@pytest.mark.parametrize(("start", "stop"), [(np.nan, None), (np.inf, None), (0, np.nan), (-5, None), (30, 10)])
def test_a_part_that_is_none_is_refused(path, start, stop):
    with pytest.raises(EcglibError, match="is no part of it"):
        judged(path, start=start, stop=stop)


def test_another_rate_finds_the_same_beats(path, tmp_path):
    from scipy import signal

    other = rewritten(path, tmp_path, lambda x: signal.resample_poly(x, 25, 36, axis=0, padtype="line"), rate=250)
    first, second = judged(path, annotated=False).beats, judged(other, annotated=False).beats
    assert len(second) == pytest.approx(len(first), abs=2)
    nearest = [int((second["time"] - time).abs().argmin()) for time in first["time"]]
    assert np.corrcoef(first["score"], second["score"].to_numpy()[nearest])[0, 1] > 0.9


def test_the_command_writes_a_table_a_strip_and_one_page(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # not the checkout
    assert main(["detect", str(path)]) == 0
    shown = capsys.readouterr().out
    folder = tmp_path / "208-beats"
    assert sorted(one.name for one in folder.iterdir()) == ["beats.csv", "page.html", "strip.png"]
    table = pd.read_csv(folder / "beats.csv", keep_default_na=False)
    flagged = int((table["flagged"].astype(str) == "True").sum())
    assert f"{flagged} of {len(table)} annotated beats are flagged" in shown
    assert "no medical device" in shown
    text = (folder / "page.html").read_text()
    assert "no medical device" in text
    assert "From 0 to 85 of 85 s, leads" in text
    assert f"208: {flagged} of {len(table)} beats are flagged" in text
    assert text.count('<div class="card">') == min(flagged, detect.SHOWN)
    assert not re.search(r"(?:src|href)=\"(?!data:)", text), "it needs no other file"
    assert (folder / "strip.png").stat().st_size > 20_000
    assert main(["detect", str(path), "--annotations", "none", "--out", str(tmp_path / "새 폴더")]) == 0
    assert "detected beats are flagged" in capsys.readouterr().out
    assert main(["detect", str(tmp_path / "nobody")]) == 1
    assert "There is no record" in capsys.readouterr().err


@pytest.mark.parametrize("names", [None, ["MLII"]])
def test_the_strip_shows_all_leads_of_the_part_that_was_judged(path, names):
    recording = detect.choose_leads(open_recording(path), names, judges.ThreeQuestions.MOST)
    judge = judges.ThreeQuestions(len(recording.leads))
    found = detect.detect(recording, judge, read_beats(path, "atr"), start=20.0, stop=60.0)
    figure = page.strip(found, recording)
    _, *rows = figure.axes
    assert [axis.get_ylabel() for axis in rows] == [f"{lead}, mV" for _ in range(4) for lead in recording.leads]
    assert [axis.get_xlim() for axis in rows[:: len(recording.leads)]] == [(at, at + 10) for at in (20, 30, 40, 50)]
    drawn = recording.resampled(mitbih.FS, 20 * mitbih.FS, 30 * mitbih.FS)
    assert [axis.lines[0].get_ydata() for axis in rows[: len(drawn)]] == [pytest.approx(lead) for lead in drawn]
    plt.close(figure)


def test_the_command_judges_and_flags_as_the_library_does():
    commands = argparse.ArgumentParser().add_subparsers()
    own.add_commands(commands)
    options = {option.dest: option for option in commands.choices["detect"]._actions}
    assert options["flag"].default == detect.THRESHOLD
    assert tuple(options["model"].choices) == tuple(judges.JUDGES)


def test_beatgan_redraws_each_beat(path, tmp_path, capsys):
    assert main(["detect", str(path), "--model", "beatgan", "--out", str(tmp_path)]) == 0
    for said in ((tmp_path / "page.html").read_text(), capsys.readouterr().out):
        assert re.search(r"\d+ ms (before|after) the R peak", said)
    table = pd.read_csv(tmp_path / "beats.csv")
    assert (table["score"] > 0).all()
    judge = judges.BeatGAN()
    assert judge.percentile(np.array([0.0, 1e9])).tolist() == [0, 100]


def test_beatgan_judges_each_scaled_beat_alone(beats):
    judge, signals, intervals = judges.BeatGAN(), beats.signals[:40], beats.intervals[:40, 0]
    scores = judge.judge(signals, intervals)["score"].to_numpy()
    lead = signals[:, 0].astype(np.float64)
    low, high = lead.min(axis=1, keepdims=True), lead.max(axis=1, keepdims=True)
    x = torch.from_numpy((2 * (lead - low) / (high - low) - 1).astype(np.float32))[:, None]
    with torch.no_grad():
        redrawn = judge.generator(x)[0]
    assert scores == pytest.approx((redrawn - x).square().mean(dim=(1, 2)).numpy(), rel=1e-3)
    alone = judge.judge(signals[:1], intervals[:1])["score"][0]
    assert alone == pytest.approx(scores[0], rel=1e-3), "its neighbours change nothing"


def test_the_questions_say_how_many_normal_beats_in_a_hundred_are_as_unusual(beats):
    own = np.flatnonzero(beats.records == "100")
    judge = judges.ThreeQuestions(2)
    table = judge.judge(beats.signals[own], beats.intervals[own, 0])
    answers = own_record.answers(beats.signals[own], beats.intervals[own, 0], judge.usual)
    for place, name in enumerate(judges.QUESTIONS):
        normal = judge.reference.answers[:, place]
        shares = [((normal >= one).sum() + 1) / (len(normal) + 1) for one in answers[:50, place]]
        assert table[f"{name}, %"][:50].to_numpy() == pytest.approx(100 * np.array(shares), rel=1e-3), name


def test_the_shipped_scale_is_whole():
    for leads in reference.LEADS:
        found = reference.load(leads)
        assert found.answers.shape == (41_732, 3)
        assert np.isfinite(found.answers).all() and np.isfinite(found.scores).all()
        assert found.percentile(np.array([-1.0, 1e9])).tolist() == [0, 100]
        shares = found.share_above(np.array([[-99.0] * 3, [99.0] * 3]))
        assert shares[0] == pytest.approx(1)
        assert (shares[1] < 1e-4).all()


@pytest.mark.real_data
def test_the_shipped_scale_is_that_of_ds1(real_root):
    beats = mitbih.load_beats(real_root)
    for leads in reference.LEADS:
        made, shipped = reference.make(beats, leads), reference.load(leads)
        assert made.answers == pytest.approx(shipped.answers, abs=0.02)
        assert np.quantile(made.scores, 0.99) == pytest.approx(np.quantile(shipped.scores, 0.99), abs=0.05)


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["208", "233"])
def test_flagged_beats_agree_with_the_annotations(real_root, name):
    """At the AUC that notebook 04 gives for the record."""
    found = judged(real_root / "mitdb" / "1.0.0" / name)
    abnormal, scores = (found.beats["class"] != "N").to_numpy(), found.beats["score"].to_numpy()
    beats = mitbih.load_beats(real_root, [name])
    answers = own_record.answers(beats.signals, beats.intervals[:, 0])
    expected = metrics.auc(beats.labels != "N", reference.load(2).score(answers))
    assert metrics.auc(abnormal, scores) == pytest.approx(expected, abs=0.002)
    assert expected > 0.97
    assert found.beats["flagged"][abnormal].mean() > 0.9
    assert found.beats["flagged"][~abnormal].mean() < 0.06
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        detected = judged(real_root / "mitdb" / "1.0.0" / name, annotated=False)
    assert len(detected.beats) == pytest.approx(len(found.beats), rel=0.03)
