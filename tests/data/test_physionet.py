"""Finding, downloading and verifying the databases; the server is a local one that can misbehave on purpose."""

import hashlib
import http.server
import os
import threading
from contextlib import contextmanager

import pytest

from ecglib.book.cli import main
from ecglib.core.errors import Busy, EcglibError
from ecglib.core.files import project_root, sole_process
from ecglib.data import mitbih, physionet
from ecglib.data.physionet import Database
from ecglib.data.ptbxl import LEADS
from ecglib.data.verify import verify

FILES = {f"{number}.dat": bytes([number % 256]) * (3000 + number) for number in range(100, 106)}


class Server:
    """Serves `files` below `/mitdb/1.0.0/`; `faults` maps a name to what goes wrong at its next requests."""

    def __init__(self):
        self.files, self.faults, self.requests = dict(FILES), {}, []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[1]
                outer.requests.append(self.path)
                fault = outer.faults.get(name, [])
                self.answer(outer.files.get(name), fault.pop(0) if fault else None)

            def answer(self, content, fault):
                if content is None or fault == "503":
                    self.send_error(503 if fault else 404)
                    return
                if fault == "wrong":
                    content = content[:-1] + b"!"
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2] if fault == "truncated" else content)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def names(self):
        return [path.rsplit("/", 1)[1] for path in self.requests]


@pytest.fixture
def server(monkeypatch):
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setitem(physionet.DATABASES, "mitdb", Database("mitdb", "MIT-BIH", "1.0.0", checksums))
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    yield server
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def download(server, root, database="mitdb"):
    physionet.download(database, root, mirror=server.url, progress=False)


def contents(root, database="mitdb"):
    folder = physionet.DATABASES[database].folder(root)
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()} if folder.exists() else {}


def test_all_files_arrive_from_the_mirror(server, tmp_path):
    download(server, tmp_path)
    assert contents(tmp_path) == FILES
    assert sorted(server.requests) == sorted(f"/mitdb/1.0.0/{name}" for name in FILES)
    assert verify("mitdb", tmp_path).ok


def test_a_second_call_fetches_only_what_is_missing_or_damaged(server, tmp_path):
    download(server, tmp_path)
    folder = tmp_path / "mitdb" / "1.0.0"
    (folder / "101.dat").unlink()
    (folder / "104.dat").write_bytes(b"damaged")
    server.requests.clear()
    download(server, tmp_path)
    assert sorted(server.names()) == ["101.dat", "104.dat"]
    assert contents(tmp_path) == FILES


@pytest.mark.parametrize("fault", ["truncated", "wrong", "503"])
def test_a_passing_fault_is_retried(server, tmp_path, fault):
    server.faults["102.dat"] = [fault, fault]
    download(server, tmp_path)
    assert contents(tmp_path) == FILES
    assert server.names().count("102.dat") == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [("truncated", r"102\.dat.*goes on where this stopped"), ("wrong", r"102\.dat arrived damaged 4 times"),
     ("503", r"102\.dat cannot be fetched .*503")],
)  # fmt: skip
def test_a_lasting_fault_is_one_clear_error_and_leaves_no_half_file(server, tmp_path, fault, message):
    server.faults["102.dat"] = [fault] * 10
    with pytest.raises(EcglibError, match=message):
        download(server, tmp_path)
    assert server.names().count("102.dat") == physionet.ATTEMPTS
    left = contents(tmp_path)
    assert "102.dat" not in left
    assert all(FILES.get(name) == content for name, content in left.items()), "no temporary or half file"


def test_an_interruption_keeps_whole_files_and_the_next_call_goes_on(server, tmp_path, monkeypatch):
    monkeypatch.setattr(physionet, "CONNECTIONS", 1)
    seen = []

    class Bar:
        def __init__(self, **_):
            pass

        def update(self):
            seen.append(1)
            if len(seen) == 2:
                raise KeyboardInterrupt  # Ctrl-C after the second file

        def close(self):
            pass

    with monkeypatch.context() as patch:
        patch.setattr("tqdm.auto.tqdm", Bar)
        with pytest.raises(KeyboardInterrupt):
            download(server, tmp_path)
    kept = contents(tmp_path)
    assert 2 <= len(kept) < len(FILES)
    assert all(FILES[name] == content for name, content in kept.items())
    server.requests.clear()
    download(server, tmp_path)
    assert set(server.names()) == set(FILES) - set(kept)
    assert contents(tmp_path) == FILES


def test_a_server_that_is_down_says_that_the_same_command_goes_on(server, tmp_path):
    with (
        pytest.raises(EcglibError, match=r"cannot be fetched.*'ecglib data download mitdb --data-root .*goes on"),
    ):
        physionet.download("mitdb", tmp_path, mirror="http://127.0.0.1:9", progress=False)


def test_a_full_disk_is_named(server, tmp_path, monkeypatch):
    @contextmanager
    def full(path):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr("pooch.core.temporary_file", full)
    with pytest.raises(EcglibError, match=r"Cannot write .*10\d\.dat \(No space left on device\)"):
        download(server, tmp_path)


INDEX = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr\n"
STATEMENTS = ",diagnostic,diagnostic_class\nNORM,1,NORM\nIMI,1,MI\nNST_,1,STTC\nCRBBB,1,CD\nLVH,1,HYP\n"


def ptbxl(records=1, folders=1):
    """A small PTB-XL: path -> content of its tables, licence and records, one after another into the folders."""
    names = [f"records100/{number % folders:05}/{number:05}_lr" for number in range(1, records + 1)]
    rows = [f"{n},{n}.0,{{'NORM': 100.0}},{n % 10 + 1},{name}\n" for n, name in enumerate(names, 1)]
    files = {"ptbxl_database.csv": (INDEX + "".join(rows)).encode(), "scp_statements.csv": STATEMENTS.encode()}
    files |= {"LICENSE.txt": b"CC BY", "records500/00000/00001_hr.dat": b"high"}
    for name in names:
        stem = name.rsplit("/", 1)[1]
        leads = [f"{stem}.dat 16 1000(0)/mV 16 0 0 0 0 {lead}\n" for lead in LEADS]
        files |= {f"{name}.hea": f"{stem} 12 100 1000\n{''.join(leads)}".encode(), f"{name}.dat": bytes(24_000)}
    return files


def serve_ptbxl(server, files, more=""):
    """Put a database on the server, with its list of checksums, whose text is given back."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in sorted(files.items())]
    text = "".join(lines) + more
    server.files |= {path.rsplit("/", 1)[-1]: content for path, content in files.items()}
    server.files["SHA256SUMS.txt"] = text.encode()
    return text


def test_ptbxl_takes_the_servers_list_and_only_the_100_hz_part(server, tmp_path):
    serve_ptbxl(server, ptbxl())
    download(server, tmp_path, "ptb-xl")
    wanted = {"ptbxl_database.csv", "scp_statements.csv", "LICENSE.txt", "00001_lr.hea", "00001_lr.dat"}
    assert set(contents(tmp_path, "ptb-xl")) == wanted | {"SHA256SUMS.txt"}
    assert "/ptb-xl/1.0.3/records100/00000/00001_lr.dat" in server.requests
    result = verify("ptb-xl", tmp_path)
    assert (result.ok, result.checked) == (True, 5)


def test_the_first_download_makes_every_folder_once(server, tmp_path):
    """Four threads that make one folder at a time failed in 7 of 30 tries, although the server did nothing wrong."""
    serve_ptbxl(server, ptbxl(records=12, folders=6))
    for number in range(30):
        download(server, tmp_path / str(number), "ptb-xl")
        assert verify("ptb-xl", tmp_path / str(number)).ok


@pytest.mark.parametrize(
    "name",
    [
        "records100/../../../../x.txt",
        "/etc/x.txt",
        "..",
        "records100/./x",
        "records100//x",
        "records100/..\\..\\x",
        "C:/x",
        "records100/x\x07",
        "records100/",
        "//server/share/x",
        "\\\\server\\x",
        "C:x",
        "records100/x:stream",
        "records100/x\x00",
        "records500/../x",  # not fetched, but no sound list names it
    ],
)
def test_a_list_that_leads_out_of_the_root_is_refused_before_anything_is_fetched(server, tmp_path, name):
    digest = hashlib.sha256(b"x").hexdigest()
    text = serve_ptbxl(server, ptbxl(), f"{digest}  {name}\n")
    root = tmp_path / "a" / "b" / "c"
    with pytest.raises(EcglibError, match="outside the data root"):
        download(server, root, "ptb-xl")
    assert server.names() == ["SHA256SUMS.txt"]
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] in ([], [".ptb-xl.lock"])
    folder = root / "ptb-xl" / "1.0.3"
    folder.mkdir(parents=True)
    (folder / "SHA256SUMS.txt").write_text(text)
    with pytest.raises(EcglibError, match="outside the data root"):
        verify("ptb-xl", root)


PAGE = "<!DOCTYPE html>\n<html>\n<body>Sign in</body>\n</html>\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: "", "lacks ptbxl_database.csv"),
        (lambda text: "\n\n", "lacks ptbxl_database.csv"),
        (lambda text: PAGE, "Line 1 of .* is no SHA-256"),
        (lambda text: text[: len(text) // 2 + 20], "is no SHA-256|lacks"),  # within a line
        (lambda text: "".join(text.splitlines(keepends=True)[:-2]), "lacks scp_statements.csv"),
        (
            lambda text: "".join(line for line in text.splitlines(True) if "00002" not in line),
            "lacks 2 files that ptbxl",
        ),
        (lambda text: "".join(line for line in text.splitlines(True) if "records100" not in line), "every file of rec"),
    ],
    ids=["empty", "blank", "page", "cut in a line", "cut", "a record missing", "no records"],
)
def test_a_bad_list_is_refused_and_not_kept(server, tmp_path, spoil, message):
    good = serve_ptbxl(server, ptbxl(records=3))
    server.files["SHA256SUMS.txt"] = spoil(good).encode()
    with pytest.raises(EcglibError, match=message):
        download(server, tmp_path, "ptb-xl")
    assert "SHA256SUMS.txt" not in contents(tmp_path, "ptb-xl")
    server.files["SHA256SUMS.txt"] = good.encode()  # the server is well again
    download(server, tmp_path, "ptb-xl")
    assert verify("ptb-xl", tmp_path).checked == 9


def test_a_list_that_was_kept_is_not_believed_again(server, tmp_path):
    folder = tmp_path / "ptb-xl" / "1.0.3"
    folder.mkdir(parents=True)
    for text, message in ((PAGE, "is no SHA-256"), ("", "lacks ptbxl_database.csv")):
        (folder / "SHA256SUMS.txt").write_text(text)
        with pytest.raises(EcglibError, match=rf"{message}.*'ecglib data download ptb-xl' fetches the list anew"):
            verify("ptb-xl", tmp_path)
    good = serve_ptbxl(server, ptbxl())
    download(server, tmp_path, "ptb-xl")
    assert (folder / "SHA256SUMS.txt").read_text() == good


def test_a_good_list_is_fetched_anew_and_outlives_a_bad_one(server, tmp_path):
    path = tmp_path / "ptb-xl" / "1.0.3" / "SHA256SUMS.txt"
    files = ptbxl()
    serve_ptbxl(server, files)
    download(server, tmp_path, "ptb-xl")
    text = serve_ptbxl(server, files | {"records100/00000/00001_lr.dat": b"corrected"})
    server.requests.clear()
    download(server, tmp_path, "ptb-xl")
    assert sorted(server.names()) == ["00001_lr.dat", "SHA256SUMS.txt"]
    assert contents(tmp_path, "ptb-xl")["00001_lr.dat"] == b"corrected"
    server.files["SHA256SUMS.txt"] = PAGE.encode()
    with pytest.raises(EcglibError, match="is no SHA-256"):
        download(server, tmp_path, "ptb-xl")
    assert path.read_text() == text


def test_threads_do_not_make_one_folder_at_a_time_even_where_that_takes_long(server, tmp_path, monkeypatch):
    makedirs = os.makedirs

    def slowly(*args, **kwargs):
        threading.Event().wait(0.1)
        makedirs(*args, **kwargs)

    monkeypatch.setattr("pooch.core.os.makedirs", slowly)
    serve_ptbxl(server, ptbxl(records=4))
    download(server, tmp_path, "ptb-xl")
    assert verify("ptb-xl", tmp_path).ok


def test_downloaded_files_have_the_mode_that_the_umask_gives(server, tmp_path):
    before = os.umask(0o027)
    try:
        download(server, tmp_path)
    finally:
        os.umask(before)
    folder = physionet.DATABASES["mitdb"].folder(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o640}


@pytest.mark.parametrize("mirror", ["ftp://physionet.org/files", "not a url", "https://", "/data/mirror"])
def test_a_mirror_that_is_no_address_is_refused_at_once(server, tmp_path, mirror):
    with pytest.raises(EcglibError, match=r"--mirror .* is no address such as https"):
        physionet.download("mitdb", tmp_path, mirror=mirror, progress=False)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_download_left_is_swept_and_nothing_else(server, tmp_path):
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "tmpab12_x9z").write_bytes(b"half")  # the name of pooch's temporary files
    (folder / "tmp_notes.txt").write_text("mine")
    download(server, tmp_path)
    assert set(contents(tmp_path)) == {*FILES, "tmp_notes.txt"}


def test_two_downloads_into_one_root_do_not_meet(server, tmp_path):
    with sole_process(tmp_path, ".mitdb", "busy"), pytest.raises(Busy, match="Another process is downloading mitdb"):
        download(server, tmp_path)


def test_the_command_fails_on_a_list_that_leads_out_of_the_root(server, tmp_path, capsys):
    serve_ptbxl(server, ptbxl(), f"{hashlib.sha256(b'x').hexdigest()}  records100/../../../../x.txt\n")
    code = main(["data", "download", "ptb-xl", "--data-root", str(tmp_path / "a/b"), "--mirror", server.url])
    assert code == 1
    assert "outside the data root" in capsys.readouterr().err


def test_verify_names_damaged_and_missing_files(server, tmp_path):
    download(server, tmp_path)
    folder = tmp_path / "mitdb" / "1.0.0"
    content = bytearray((folder / "103.dat").read_bytes())
    content[77] ^= 1
    (folder / "103.dat").write_bytes(content)
    (folder / "105.dat").unlink()
    result = verify("mitdb", tmp_path)
    assert (result.ok, result.missing, result.corrupt) == (False, ("105.dat",), ("103.dat",))
    assert "1 missing (105.dat) and 1 corrupt (103.dat)" in result.summary()
    assert f"'ecglib data download mitdb --data-root {tmp_path}'" in result.summary()


@pytest.fixture
def few(simulated_root, tmp_path):
    """A PTB-XL with an index of all records and the waveforms of three, and no list of checksums."""
    source, folder = simulated_root / "ptb-xl" / "1.0.3", tmp_path / "ptb-xl" / "1.0.3"
    (folder / "records100" / "00000").mkdir(parents=True)
    for name in ("ptbxl_database.csv", "scp_statements.csv"):
        (folder / name).write_bytes((source / name).read_bytes())
    for path in source.glob("records100/00000/0000[123]_lr.*"):
        (folder / "records100" / "00000" / path.name).write_bytes(path.read_bytes())
    return folder


def test_verify_reads_every_record_as_the_loaders_do(simulated_root, few, tmp_path):
    result = verify("ptb-xl", simulated_root)
    assert result.ok
    assert "320 of 320 records have waveforms; there is no SHA256SUMS.txt" in result.summary()
    assert verify("ptb-xl", tmp_path).ok, "a part of the records is no fault"
    records = few / "records100" / "00000"
    (records / "00001_lr.dat").unlink()
    (records / "00002_lr.hea").write_text("header")
    damaged = bytearray((records / "00003_lr.dat").read_bytes())
    damaged[5000] ^= 1  # as large as it was: only the header's checksum tells
    (records / "00003_lr.dat").write_bytes(damaged)
    result = verify("ptb-xl", tmp_path)
    assert result.missing == ("records100/00000/00001_lr.dat",)
    assert result.corrupt == ("record records100/00000/00002_lr", "record records100/00000/00003_lr")
    (few / "scp_statements.csv").unlink()
    assert "scp_statements.csv" in verify("ptb-xl", tmp_path).missing


def test_damage_that_the_mirror_has_put_into_its_list_is_found(few, tmp_path):
    data = few / "records100" / "00000" / "00003_lr.dat"
    data.write_bytes(data.read_bytes()[:-1] + b"!")
    (few / "LICENSE.txt").write_text("CC BY 4.0")
    names = [path.relative_to(few).as_posix() for path in few.rglob("*") if path.is_file()]
    lines = [f"{hashlib.sha256((few / name).read_bytes()).hexdigest()} {name}\n" for name in names]
    (few / "SHA256SUMS.txt").write_text("".join(lines))
    result = verify("ptb-xl", tmp_path)
    assert result.corrupt == ("record records100/00000/00003_lr",)
    assert "in the list of its mirror, so take another --mirror" in result.summary()


def test_the_pinned_list_is_mit_bih():
    checksums = physionet.DATABASES["mitdb"].checksums
    assert set(checksums) == {f"{name}.{suffix}" for name in mitbih.RECORDS for suffix in ("atr", "dat", "hea")}
    assert len(checksums) == 144
    assert all(len(digest) == 64 for digest in checksums.values())


def test_the_root_is_the_argument_then_the_variable_then_data(tmp_path, monkeypatch):
    roots = {name: tmp_path / name for name in ("argument", "variable", "data")}
    for root in roots.values():
        (root / "mitdb" / "1.0.0").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECGLIB_DATA", str(roots["variable"]))
    assert physionet.find_root(roots["argument"]) == roots["argument"]
    assert physionet.find_root() == roots["variable"]
    monkeypatch.delenv("ECGLIB_DATA")
    assert physionet.find_root().resolve() == roots["data"]


def test_the_default_is_the_checkouts_data_in_a_notebook_too(monkeypatch):
    monkeypatch.delenv("ECGLIB_DATA", raising=False)
    top = project_root()
    for folder in (top, top / "notebooks"):
        monkeypatch.chdir(folder)
        assert physionet.choose_root() == (top / "data", "the default")


def test_a_root_without_data_names_the_command_that_fetches_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ECGLIB_DATA", raising=False)
    with pytest.raises(EcglibError, match=r"No database in data .*'ecglib data download mitdb --data-root data'"):
        physionet.find_root()
    with pytest.raises(EcglibError, match="--data-root"):
        physionet.find_root(tmp_path / "wrong")
    monkeypatch.setenv("ECGLIB_DATA", str(tmp_path / "wrong"))
    with pytest.raises(EcglibError, match="the variable ECGLIB_DATA"):
        physionet.find_root()
    with pytest.raises(EcglibError, match="ecglib data download ptb-xl"):
        physionet.database_dir(tmp_path, "ptb-xl")


@pytest.mark.real_data
def test_the_real_mit_bih_is_whole_and_one_flipped_byte_is_found(real_root, tmp_path):
    result = verify("mitdb", real_root)
    assert (result.ok, result.checked) == (True, 144)
    folder = tmp_path / "mitdb" / "1.0.0"
    folder.mkdir(parents=True)
    for name in physionet.DATABASES["mitdb"].checksums:
        (folder / name).symlink_to((real_root / "mitdb" / "1.0.0" / name).resolve())
    content = bytearray((folder / "100.dat").read_bytes())
    content[1234] ^= 1
    (folder / "100.dat").unlink()
    (folder / "100.dat").write_bytes(content)
    result = verify("mitdb", tmp_path)
    assert (result.missing, result.corrupt) == ((), ("100.dat",))


@pytest.mark.real_data
def test_the_real_ptbxl_passes(real_root):
    assert verify("ptb-xl", real_root).ok
