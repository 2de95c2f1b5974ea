"""A packed database is the database: records to the last bit, beats, fingerprints; damage is one clear error."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
import wfdb

from ecglib.book import cli
from ecglib.core.errors import EcglibError
from ecglib.data import mitbih, pack, physionet, ptbxl, wfdb_files


@pytest.fixture(scope="module")
def packed(simulated_root, tmp_path_factory):
    """Parts of both simulated databases, small ones, so that there are several."""
    folder = tmp_path_factory.mktemp("packed")
    whole, pack.PART = pack.PART, 300_000
    try:
        for database in physionet.DATABASES:
            assert len(pack.write(simulated_root, database, folder)) > 1
    finally:
        pack.PART = whole
    return folder


def test_records_are_those_of_wfdb_to_the_last_bit(simulated_root, packed):
    names = {"mitdb": ["100", "114"], "ptb-xl": sorted(pack.names(packed, "ptb-xl"))[:2]}
    for database, annotator in pack.ANNOTATORS.items():
        for name in names[database]:
            path = str(physionet.database_dir(simulated_root, database) / name)
            literal, found = wfdb.rdrecord(path), wfdb_files.read(packed, database, name, annotator)
            np.testing.assert_array_equal(found.physical, literal.p_signal)
            assert (list(found.leads), list(found.units), found.fs) == (literal.sig_name, literal.units, literal.fs)
            if annotator:
                marks = wfdb.rdann(path, annotator)
                assert found.samples.tolist() == marks.sample.tolist() and found.symbols.tolist() == marks.symbol


def test_a_missing_sample_is_nan_as_in_wfdb(tmp_path):
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    signal = np.array([[0.1, np.nan], [0.2, 0.3], [np.nan, -0.1]])
    wfdb.wrsamp("1", 360, ["mV", "mV"], ["MLII", "V1"], signal, fmt=["16", "16"], write_dir=str(folder))
    literal = wfdb.rdrecord(str(folder / "1")).p_signal
    np.testing.assert_array_equal(wfdb_files.read_wfdb(tmp_path, "mitdb", "1").physical, literal)
    assert np.isnan(literal).sum() == 2


def test_beats_and_records_have_the_same_fingerprints_and_values(simulated_root, packed):
    for load in (mitbih.load_beats, ptbxl.load_records):
        ours, theirs = load(packed), load(simulated_root)
        assert ours.fingerprint == theirs.fingerprint
        np.testing.assert_array_equal(ours.signals, theirs.signals)
    np.testing.assert_array_equal(mitbih.load_beats(packed).rhythm, mitbih.load_beats(simulated_root).rhythm)


def test_no_package_that_reads_wfdb_is_needed(packed, tmp_path):
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('wfdb', 'pooch', 'biosppy')));"
        "from ecglib.data import mitbih, ptbxl;"
        "print(len(mitbih.load_beats(sys.argv[1], ['100', '114'])), len(ptbxl.load_records(sys.argv[1])))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(packed)]
    environment = {"ECGLIB_CACHE": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert found.returncode == 0, found.stderr
    assert all(int(count) > 0 for count in found.stdout.split())


def test_the_command_packs_and_equal_databases_give_equal_parts(simulated_root, tmp_path, capsys):
    for name in ("one", "other"):
        command = ["data", "pack", "mitdb", str(tmp_path / name), "--data-root", str(simulated_root)]
        assert cli.main(command) == 0
    assert "mitdb-1.0.0.part00.zip: " in capsys.readouterr().out
    one, other = ((tmp_path / name / "mitdb-1.0.0.part00.zip").read_bytes() for name in ("one", "other"))
    assert one == other and len(one) < pack.PART


def test_parts_stay_below_their_size_and_older_ones_are_removed(simulated_root, tmp_path, monkeypatch):
    for size in (120_000, 400_000):
        monkeypatch.setattr(pack, "PART", size)
        parts = pack.write(simulated_root, "ptb-xl", tmp_path)
        assert sorted(tmp_path.glob("*.zip")) == parts
        assert len(parts) > 1 and max(part.stat().st_size for part in parts) < size


def test_a_part_that_is_missing_is_said_and_a_failed_packing_leaves_none(simulated_root, packed, tmp_path, monkeypatch):
    *parts, last = sorted(packed.glob("ptb-xl*"))
    for chosen in (parts, [*parts[1:], last]):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for part in chosen:
            (folder / part.name).write_bytes(part.read_bytes())
        with pytest.raises(EcglibError, match=f"has {len(parts)} parts of .*copy all of them"):
            ptbxl.load_records(folder)
    monkeypatch.setattr(pack, "PART", 300_000)
    entries, target = pack._entries, tmp_path / "target"

    def breaks_off(*arguments):
        for number, entry in enumerate(entries(*arguments)):
            if number == 100:
                raise EcglibError("the record is damaged")
            yield entry

    monkeypatch.setattr(pack, "_entries", breaks_off)
    with pytest.raises(EcglibError, match="the record is damaged"):
        pack.write(simulated_root, "ptb-xl", target)
    assert not list(target.iterdir())


def test_missing_and_damaged_parts_are_one_clear_error(packed, tmp_path):
    (part,) = sorted(packed.glob("mitdb*"))[:1]
    content = bytearray(part.read_bytes())
    (tmp_path / part.name).write_bytes(content)
    with pytest.raises(EcglibError, match="copy all of them"):
        wfdb_files.read(tmp_path, "mitdb", "234")
    content[len(content) // 2] ^= 0xFF
    other = tmp_path / "damaged"
    other.mkdir()
    for one in packed.glob("mitdb*"):
        (other / one.name).write_bytes(one.read_bytes())
    (other / part.name).write_bytes(content)
    with pytest.raises(EcglibError, match="is damaged at"):
        for name in sorted(pack.names(other, "mitdb")):
            wfdb_files.read(other, "mitdb", name)
    (other / part.name).write_bytes(b"no archive")
    pack._where.cache_clear()
    with pytest.raises(EcglibError, match="cannot be read"):
        pack.names(other, "mitdb")
    with pytest.raises(EcglibError, match="has no record"):
        (tmp_path / "mitdb" / "1.0.0").mkdir(parents=True)
        pack.write(tmp_path, "mitdb", tmp_path)


def test_all_of_mit_bih_fits_into_one_part(real_root, tmp_path):
    (part,) = pack.write(real_root, "mitdb", tmp_path)
    assert part.stat().st_size < pack.PART
    ours, theirs = mitbih.load_beats(tmp_path, ["100", "232"]), mitbih.load_beats(real_root, ["100", "232"])
    np.testing.assert_array_equal(ours.signals, theirs.signals)


def test_a_table_that_is_missing_is_said_and_waveforms_of_500_hz_are_not_packed(simulated_root, tmp_path):
    for name in physionet.DATABASES:
        shutil.copytree(physionet.database_dir(simulated_root, name), physionet.DATABASES[name].folder(tmp_path))
    folder = physionet.database_dir(tmp_path, "ptb-xl")
    (header, *_) = sorted((folder / "records100").rglob("*.hea"))
    other = folder / "records500" / "00000" / "00001_hr.hea"
    other.parent.mkdir(parents=True)
    shutil.copy(header, other)
    pack.write(tmp_path, "ptb-xl", tmp_path / "parts")
    assert not [name for name in pack.names(tmp_path / "parts", "ptb-xl") if "500" in name.split("/")[0]]
    (folder / "scp_statements.csv").unlink()
    with pytest.raises(EcglibError, match=r"has no scp_statements\.csv: 'ecglib data download ptb-xl"):
        pack.write(tmp_path, "ptb-xl", tmp_path / "others")


def test_verify_reads_every_record_of_the_parts(packed, tmp_path, capsys):
    assert cli.main(["data", "verify", "--data-root", str(packed)]) == 0
    said = capsys.readouterr().out
    assert "mitdb: " in said and "ptb-xl: " in said and said.count("all as they should be") == 2
    for one in packed.glob("*.zip"):
        content = bytearray(one.read_bytes())
        content[len(content) // 2] ^= 0xFF * one.name.startswith("mitdb")
        (tmp_path / one.name).write_bytes(content)
    assert cli.main(["data", "verify", "mitdb", "--data-root", str(tmp_path)]) == 1
    assert "copy the parts again" in capsys.readouterr().out
