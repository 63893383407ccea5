"""`fetch` and `find_data`: right or not at all, and plain words on how to get what is absent."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from medimg.data import fetch as fetching
from medimg.data.fetch import NAMES, fetch, find_data
from medimg.data.index import index
from medimg.data.sources.medmnist_sets import SETS
from medimg.errors import DataError, SourceNotFound, UsageError
from medimg.testing import make_idx, make_npz


class Server:
    """A web server on this machine; what it gives, and how often it was asked."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        files, asked = self.files, self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                body = files.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    one = Server()
    yield one
    one.stop()


@pytest.fixture
def breast(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small archive that the server gives as BreastMNIST, its sum known to medmnist's table."""
    medmnist = pytest.importorskip("medmnist")
    data = make_npz(tmp_path / "made" / "breastmnist.npz").read_bytes()
    server.files["/breast"] = data
    changed = {"url": f"{server.url}/breast", "MD5": hashlib.md5(data).hexdigest()}
    monkeypatch.setitem(medmnist.INFO, "breastmnist", medmnist.INFO["breastmnist"] | changed)
    return data


def test_set_is_fetched_once_and_can_be_indexed(
    server: Server, breast: bytes, tmp_path: Path
) -> None:
    path = fetch("breastmnist", tmp_path)
    assert path == tmp_path / "medmnist" / "breastmnist.npz"
    assert path.read_bytes() == breast
    assert index(path).space.positive == "malignant"
    assert fetch("breastmnist", tmp_path) == path
    assert len(server.asked) == 1


def test_torso_is_fetched_again(server: Server, breast: bytes, tmp_path: Path) -> None:
    path = tmp_path / "medmnist" / "breastmnist.npz"
    path.parent.mkdir()
    path.write_bytes(breast[:100])
    assert fetch("breastmnist", tmp_path).read_bytes() == breast
    assert len(server.asked) == 1


def test_flipped_bit_is_refused_and_leaves_nothing(
    server: Server, breast: bytes, tmp_path: Path
) -> None:
    server.files["/breast"] = breast[:50] + bytes([breast[50] ^ 1]) + breast[51:]
    with pytest.raises(DataError, match="MD5") as caught:
        fetch("breastmnist", tmp_path)
    assert server.url in caught.value.remedy
    assert str(tmp_path / "medmnist" / "breastmnist.npz") in caught.value.remedy
    assert list((tmp_path / "medmnist").iterdir()) == []


def test_absent_file_and_absent_server_say_so(
    server: Server, breast: bytes, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="HTTP 404"):
        fetch("breastmnist", tmp_path, url=f"{server.url}/gone")
    with pytest.raises(DataError, match="refused") as caught:
        fetch("breastmnist", tmp_path, url="http://127.0.0.1:9/x")
    assert "by hand" in caught.value.remedy
    with pytest.raises(UsageError, match="web address"):
        fetch("breastmnist", tmp_path, url="file:///etc/passwd")


def test_cut_answer_is_refused(server: Server, breast: bytes, tmp_path: Path) -> None:
    server.files["/breast"] = breast[:-10]
    with pytest.raises(DataError, match="MD5"):
        fetch("breastmnist", tmp_path)


def test_idx_sets_are_fetched_into_their_folder(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_idx(tmp_path / "made", n={"train": 4, "t10k": 2})
    resources = []
    for file in made.iterdir():
        server.files[f"/mnist/{file.name}"] = file.read_bytes()
        resources.append((file.name, hashlib.md5(file.read_bytes()).hexdigest()))
    monkeypatch.setattr("torchvision.datasets.MNIST.resources", resources)
    mirrors = [f"{server.url}/dead/", f"{server.url}/mnist/"]
    monkeypatch.setattr("torchvision.datasets.MNIST.mirrors", mirrors)
    assert fetch("mnist", tmp_path) == tmp_path / "mnist"
    assert len(index(tmp_path / "mnist")) == 6
    assert len(server.asked) == 8


def test_digits_need_no_network_and_are_the_same_every_time(tmp_path: Path) -> None:
    path = fetch("digits", tmp_path)
    first = path.read_bytes()
    assert fetch("digits", tmp_path).read_bytes() == first
    manifest = index(path)
    assert (len(manifest.rows("train")), len(manifest.rows("test"))) == (1438, 359)
    shares = manifest.targets[manifest.rows("test")].sum(axis=0)
    assert shares.min() >= 34
    assert shares.max() <= 37
    images = np.load(path)["train_images"]
    assert (images.dtype, images.shape[1:], images.min(), images.max()) == (
        np.uint8,
        (8, 8),
        0,
        255,
    )


def test_unknown_name_gets_its_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean breastmnist"):
        fetch("brestmnist", tmp_path)
    with pytest.raises(UsageError, match="no size '65'"):
        fetch("breastmnist_65", tmp_path)


def test_every_name_has_a_resource(tmp_path: Path) -> None:
    pytest.importorskip("medmnist")
    assert set(NAMES) == {*SETS, "digits", "mnist", "fashion-mnist"}
    for name in SETS:
        resource = fetching._medmnist_resource(name, tmp_path, None)
        assert resource.urls[0].startswith("https://")
        assert len(resource.md5) == 32
    larger = fetching._medmnist_resource("breastmnist_64", tmp_path, None)
    assert larger.path.name == "breastmnist_64.npz"
    assert len(fetching._idx_resources("fashion-mnist", tmp_path, None)) == 4


def test_default_folder_is_that_of_the_data_where_it_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDIMG_DATA", str(tmp_path))
    assert fetching._default_folder() == tmp_path
    monkeypatch.setenv("MEDIMG_DATA", str(tmp_path / "gone"))
    assert fetching._default_folder() == Path("data")


def test_source_is_found_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cwd", "config", "env", "cwd/data"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("MEDIMG_DATA", str(tmp_path / "env"))
    places = [tmp_path / "cwd/data", tmp_path / "env", tmp_path / "config", tmp_path / "cwd"]
    for place in places:
        (place / "a.npz").write_bytes(b"x")
        assert find_data("a.npz", [tmp_path / "config"]).resolve() == place / "a.npz"
    assert find_data(str(tmp_path / "env" / "a.npz")) == tmp_path / "env" / "a.npz"


def test_absent_source_lists_where_it_was_looked_for_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDIMG_DATA", str(tmp_path / "env"))
    with pytest.raises(SourceNotFound) as caught:
        find_data("medmnist/breastmnist.npz", [tmp_path / "config"])
    for place in (tmp_path, tmp_path / "config", tmp_path / "env", tmp_path / "data"):
        assert str(place / "medmnist" / "breastmnist.npz") in caught.value.message
    assert "medimg fetch breastmnist" in caught.value.remedy
    with pytest.raises(SourceNotFound, match="medimg fetch fashion-mnist"):
        find_data("fashion-mnist")
    with pytest.raises(SourceNotFound, match="check the path"):
        find_data("mine.csv")
