"""Training of an MLP 784-512-256-10 on Fashion-MNIST: medimg beside a plain PyTorch script.

The plain script is what a tutorial shows: torchvision's dataset with `ToTensor`, a `DataLoader`
that shuffles, Adam. Both train on the same 60,000 cases with the same network, batch and number
of epochs, in processes of their own, interleaved A B A B. What is compared is the training
phase, from the first batch to the last: medimg's from its `log.jsonl`, the script's as it times
itself. One JSON line out.

    python benchmarks/bench_train.py --rounds 5 --epochs 10
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
import time
from pathlib import Path

PLAIN = """
import sys, time, torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import FashionMNIST
from torchvision.transforms import ToTensor
torch.manual_seed(0)
root, epochs = sys.argv[1], int(sys.argv[2])
train = DataLoader(FashionMNIST(root, train=True, transform=ToTensor()), 128, shuffle=True)
test = DataLoader(FashionMNIST(root, train=False, transform=ToTensor()), 1024)
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256),
                      nn.ReLU(), nn.Linear(256, 10))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_of = nn.CrossEntropyLoss()
start = time.perf_counter()
for _ in range(epochs):
    for x, y in train:
        optimizer.zero_grad()
        loss_of(model(x), y).backward()
        optimizer.step()
seconds = time.perf_counter() - start
with torch.no_grad():
    right = sum(int((model(x).argmax(1) == y).sum()) for x, y in test)
print(seconds, right / 10000)
"""
OVERRIDES = (
    "data.source=fashion-mnist",
    "data.classes=[]",
    "split={train: 0.9, val: 0, calib: 0, test: 0.1}",
    "model={name: mlp, hidden: [512, 256]}",
    "fit={batch_size: 128, optimizer: adam, lr: 1e-3}",
    "evaluate.resamples=100",
)


def run_plain(root: Path, epochs: int) -> dict[str, float]:
    """Run the plain script; return its training phase, whole time and accuracy."""
    start = time.perf_counter()
    command = [sys.executable, "-c", PLAIN, str(root), str(epochs)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, accuracy = map(float, out.split())
    whole = time.perf_counter() - start
    return {"training": seconds, "whole": whole, "accuracy": accuracy}


def run_medimg(folder: Path, epochs: int) -> dict[str, float]:
    """Run `medimg train`; return its training phase, whole time and accuracy."""
    config = Path(__file__).resolve().parents[1] / "configs" / "fashion_mnist_cnn.yaml"
    command = [sys.executable, "-m", "medimg", "train", str(config), "-o", str(folder / "run")]
    command += ["--overwrite", "--set", f"data.cache={folder / 'cache'}"]
    for override in OVERRIDES:
        command += ["--set", override]
    command += ["--set", f"fit.epochs={epochs}"]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, text=True)
    whole = time.perf_counter() - start
    rows = [json.loads(line) for line in (folder / "run/log.jsonl").read_text().splitlines()]
    metrics = json.loads((folder / "run/report/metrics.json").read_text())["metrics"]
    return {
        "training": rows[-1]["training_seconds"],
        "whole": whole,
        "accuracy": metrics["accuracy"]["value"],
    }


def torchvision_root(data: Path, folder: Path) -> Path:
    """Lay the IDX files where torchvision's dataset looks for them, unpacked."""
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in (data / "fashion-mnist").glob("*.gz"):
        (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return folder


def median(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {key: round(statistics.median(row[key] for row in rows), 4) for key in rows[0]}


def main() -> None:
    """Run the benchmark and print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    data = Path(os.environ.get("MEDIMG_DATA", "../shared/data")).resolve()
    os.environ["MEDIMG_DATA"] = str(data)
    plain, medimg = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = torchvision_root(data, folder / "torchvision")
        for _ in range(options.rounds):
            plain.append(run_plain(root, options.epochs))
            medimg.append(run_medimg(folder, options.epochs))
    ratios = [p["training"] / m["training"] for p, m in zip(plain, medimg, strict=True)]
    result = {
        "bench": "train_mlp_fashion_mnist",
        "epochs": options.epochs,
        "rounds": options.rounds,
        "plain": median(plain),
        "medimg": median(medimg),
        "training_ratio": round(statistics.median(ratios), 3),
        "training_ratios": [round(r, 3) for r in ratios],
        "cpus": os.cpu_count(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
