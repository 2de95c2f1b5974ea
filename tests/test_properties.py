"""What holds for every input: parsers answer or refuse in one line, splits lose nothing, losses stay finite."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ecglib.beatgan import losses as beatgan
from ecglib.book.parameters import parse_value
from ecglib.classifier.losses import BinaryKL
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih, physionet
from ecglib.data.recordings import open_recording
from ecglib.data.wfdb_header import read_header
from ecglib.simclr.losses import nt_xent
from ecglib.stats import metrics

NUMBERS = st.floats(-100, 100, width=32)
TOKENS = st.sampled_from(
    [
        "rec",
        "12",
        "1",
        "100",
        "1000",
        "rec.dat",
        "16",
        "16x10",
        "212",
        "1000(0)/mV",
        "0",
        "-1",
        "/uV",
        "~",
        "#",
        "I",
        "\n",
    ]
)


def answered_or_refused(call):
    """The answer, or None if it was refused in one line; anything else fails the test."""
    try:
        return call()
    except EcglibError as error:
        assert "\n" not in str(error)
        return None


@settings(deadline=None, max_examples=150)
@given(st.one_of(st.text(max_size=120), st.lists(TOKENS, max_size=30).map(" ".join), st.binary(max_size=120)))
def test_any_header_is_read_or_refused(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rec"
        path.with_suffix(".hea").write_bytes(
            content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        )
        found = answered_or_refused(lambda: read_header(path, "record rec"))
        if found is not None:
            assert all(lead.gain > 0 for lead in found.leads)
        answered_or_refused(lambda: open_recording(path))


@settings(deadline=None, max_examples=100)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from(["I", "II", "time", ",", ";", "0.1", "1", "\n"]), max_size=40).map("".join),
    )
)
def test_any_table_is_read_or_refused(content):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "ecg.csv"
        path.write_bytes(content.encode("utf-8", "replace"))
        for rate in (None, 100.0):
            found = answered_or_refused(lambda rate=rate: open_recording(path, rate))
            if found is not None:
                assert found.read(0, found.samples).shape == (len(found.leads), found.samples)


@given(st.text(max_size=300))
def test_any_list_of_checksums_is_read_or_refused_and_leads_nowhere_else(text):
    found = answered_or_refused(lambda: physionet.parse_checksums(text, "a list")) or {}
    for name in found:
        assert (Path("/root") / name).resolve().is_relative_to("/root")


@given(st.text(max_size=20), st.sampled_from([1, 1.0, True, "text"]))
def test_any_text_is_a_parameter_of_the_right_type_or_stays_text(text, default):
    value = parse_value(text, default)
    assert isinstance(value, type(default)) or value == text


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 2), st.just(320)), elements=NUMBERS))
def test_scaling_keeps_every_beat_between_minus_one_and_one(signals):
    scaled = mitbih.scale(signals)
    assert scaled.shape == signals.shape
    assert np.isfinite(scaled).all()
    assert np.abs(scaled).max() <= 1 + 1e-6
    again = mitbih.scale(2 * signals + 1)  # neither gain nor offset matter, but for rounding
    span = signals.max(axis=-1) - signals.min(axis=-1)
    assert np.abs(again - scaled)[span > 1].max(initial=0) < 1e-3


@settings(deadline=None)
@given(st.lists(st.sampled_from(mitbih.CLASSES), min_size=1, max_size=200), st.integers(0, 4), st.integers(0, 99))
def test_the_reports_split_uses_every_beat_once_at_most(labels, fold, seed):
    labels = np.array(labels)
    count, none = len(labels), np.zeros(len(labels))
    beats = mitbih.Beats(none, labels, labels, labels, none, none, none, none)
    split = mitbih.report_split(beats, fold, seed)
    everything = np.concatenate([members for _, members in split])
    assert len(np.unique(everything)) == len(everything) <= count
    assert (labels[split.train] == "N").all()


@given(arrays.arrays(np.float64, st.integers(2, 60), elements=st.floats(-1e6, 1e6)), st.data())
def test_metrics_lie_between_0_and_1_and_do_not_depend_on_the_scale(scores, data):
    abnormal = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    area = metrics.auc(abnormal, scores)
    best, threshold = metrics.best_f1(abnormal, scores)
    if abnormal.any() and not abnormal.all():
        assert 0 <= area <= 1
        assert area == pytest.approx(1 - metrics.auc(~abnormal, scores))
        assert metrics.f1_at(abnormal, scores, threshold) == pytest.approx(best)
    assert 0 <= best <= 1


LOGITS = arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.just(5)), elements=st.floats(-80, 80, width=32))


@given(LOGITS, st.floats(0.1, 20), st.sampled_from(["logits", "probabilities"]))
def test_the_divergence_of_any_logits_is_finite_not_negative_and_zero_for_equals(logits, temperature, softened):
    if softened == "probabilities" and temperature < 1:
        temperature = 1 / temperature
    loss, student = BinaryKL(temperature, softened), torch.from_numpy(logits).requires_grad_()
    teacher = torch.from_numpy(-logits)
    value = loss(student, teacher)
    value.backward()
    assert torch.isfinite(student.grad).all()
    assert value.item() >= -1e-3 * temperature**2
    assert loss(teacher, teacher).item() == pytest.approx(0, abs=1e-3 * temperature**2)


@given(LOGITS, st.floats(0.5, 20))
def test_equation_2_is_not_negative_and_zero_for_equals(rows, temperature):
    x = torch.from_numpy(rows)
    for direction in ("student_teacher", "teacher_student"):
        assert beatgan.equation_2(x, -x, temperature, direction=direction).item() >= -1e-6
        assert beatgan.equation_2(x, x, temperature, direction=direction).item() == pytest.approx(0, abs=1e-6)


@given(arrays.arrays(np.float32, st.tuples(st.integers(2, 6), st.just(3)), elements=NUMBERS), st.floats(0.05, 5))
def test_nt_xent_of_any_views_is_finite_and_least_for_equal_ones(views, temperature):
    first = torch.from_numpy(views)
    value = nt_xent(first, -first, temperature).item()
    assert np.isfinite(value)
    assert nt_xent(first, first, temperature).item() <= value + 1e-4
