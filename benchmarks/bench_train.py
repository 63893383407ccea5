"""Training: medimg beside its peers, interleaved, each run in a process of its own.

    python benchmarks/bench_train.py --rounds 5 --epochs 10
    python benchmarks/bench_train.py --only mlp,tiny --peers /path/to/python

mlp: 784-512-256-10 on Fashion-MNIST (60,000 cases, batch 128, Adam) beside a DataLoader over
torchvision's dataset, a DataLoader over a TensorDataset, Lightning, and Keras on JAX. tiny: the
same for 784-10-10. cnn, resnet: images a second of the small CNN and of ResNet-18 (28 px) beside
a plain float32 NCHW loop, and beside forward, backward and step alone (`bare`), which gives the
overhead of medimg's loop. medimg runs by its public command; its training phase, from the first
batch to the last, is read from its log. Beside it the whole time of the process, its peak memory
and the accuracy. The peers are in `train_peers.py`; `--peers` is a Python that has them (extra
`bench`). One JSON line out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from train_peers import TIMED

HERE = Path(__file__).resolve().parent
PEERS = {
    "mlp": ("torchvision", "tensors", "lightning", "keras"),
    "tiny": ("torchvision", "tensors", "lightning", "keras"),
    "cnn": ("plain", "bare"),
    "resnet": ("plain", "bare"),
}
MODELS = {
    "mlp": "{name: mlp, hidden: [512, 256]}",
    "tiny": "{name: mlp, hidden: [10]}",
    "cnn": "{name: cnn}",
    "resnet": "{name: resnet18, stem: small}",
}
FASHION = ("data.source=fashion-mnist", "split={train: 0.9, val: 0, calib: 0, test: 0.1}")
Figures = dict[str, float]


def run(command: list[str], threads: int | None) -> tuple[str, Figures]:
    """Run a command; return what it printed, its whole time (s) and its peak memory (MiB)."""
    env = dict(os.environ)
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    start = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    errors: list[bytes] = []
    reader = threading.Thread(target=lambda: errors.append(child.stderr.read()))  # type: ignore[union-attr]
    reader.start()
    out = child.stdout.read().decode()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    whole = time.perf_counter() - start
    reader.join()
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors[0].decode()[-2000:]}")
    return out, {"whole": whole, "peak_mib": usage.ru_maxrss / 1024}


def run_peer(name: str, network: str, root: Path, options: argparse.Namespace) -> Figures:
    """Return the figures of one run of a peer."""
    arguments = [name, network, str(root), str(options.epochs), str(options.threads)]
    python = options.peers if name in ("lightning", "keras") else sys.executable
    out, cost = run([python, str(HERE / "train_peers.py"), *arguments], options.threads)
    found: Figures = json.loads(out.splitlines()[-1])
    return found | cost


def run_medimg(network: str, folder: Path, options: argparse.Namespace) -> Figures:
    """Return the figures of one `medimg train`."""
    breast = network == "resnet"
    config = "breastmnist_cnn.yaml" if breast else "fashion_mnist_cnn.yaml"
    batch, _ = TIMED.get(network, (128, 0))
    epochs = {"resnet": 4, "cnn": 2}.get(network, options.epochs)
    overrides = [
        *(() if breast else FASHION),
        f"model={MODELS[network]}",
        f"fit={{batch_size: {batch}, optimizer: adam, lr: 1e-3, epochs: {epochs}}}",
        "evaluate.resamples=100",
        f"data.cache={folder / 'cache'}",
    ]
    command = [sys.executable, "-m", "medimg", "train", str(HERE.parent / "configs" / config)]
    command += ["-o", str(folder / "run"), "--overwrite"]
    command += [word for override in overrides for word in ("--set", override)]
    _, cost = run(command, options.threads)
    rows = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    start, end = ({row["event"]: row for row in rows}[event] for event in ("start", "end"))
    metrics = json.loads((folder / "run/report/metrics.json").read_text())["metrics"]
    found = {"training": end["training_seconds"], "accuracy": metrics["accuracy"]["value"]} | cost
    if network in TIMED:
        seconds = [row["seconds"] for row in rows if row["event"] == "epoch"][1:]
        found["images_a_second"] = start["train"] / statistics.median(seconds)
    return found


def torchvision_root(data: Path, folder: Path) -> Path:
    """Lay the IDX files where torchvision's dataset looks for them, unpacked."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (data / "fashion-mnist").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def ratio(peer: Figures, medimg: Figures) -> float:
    """Return how many times faster medimg is in one round."""
    if "images_a_second" in peer:
        return medimg["images_a_second"] / peer["images_a_second"]
    return peer["training"] / medimg["training"]


def bench(network: str, root: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run peers and medimg in turn; return medians of the figures and of the ratios."""
    rounds: list[dict[str, Figures]] = []
    for number in range(options.rounds):
        row = {peer: run_peer(peer, network, root, options) for peer in PEERS[network]}
        row["medimg"] = run_medimg(network, folder, options)
        rounds.append(row)
        sys.stderr.write(f"{network} round {number + 1}: {json.dumps(row)}\n")
    found: dict[str, Any] = {
        name: {
            key: round(statistics.median(row[name][key] for row in rounds), 4)
            for key in rounds[0][name]
        }
        for name in rounds[0]
    }
    found["times_faster"] = {}
    for peer in PEERS[network]:
        each = [ratio(row[peer], row["medimg"]) for row in rounds]
        found["times_faster"][peer] = [round(f(each), 3) for f in (min, statistics.median, max)]
    if "bare" in PEERS[network]:
        overheads = [1 / ratio(row["bare"], row["medimg"]) - 1 for row in rounds]
        found["loop_overhead"] = round(statistics.median(overheads), 4)
    return found


def main() -> None:
    """Run the benchmark and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10, help="of the perceptrons")
    parser.add_argument("--only", default="mlp,tiny,resnet,cnn")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peers", default=sys.executable, help="a Python with lightning and keras")
    options = parser.parse_args()
    data = Path(os.environ.get("MEDIMG_DATA", "../shared/data")).resolve()
    os.environ["MEDIMG_DATA"] = str(data)
    result: dict[str, Any] = {"bench": "train", "epochs": options.epochs, "rounds": options.rounds}
    result |= {"cpus": os.cpu_count(), "threads": options.threads, "torch": torch.__version__}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = torchvision_root(data, folder / "torchvision")
        for network in options.only.split(","):
            result[network] = bench(network, root, folder, options)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
