"""The official recipe of MedMNIST as a plain PyTorch script: one set, one seed, one JSON file.

ResNet-18 for 28 px (3x3 stem, no max pool; 3D for volumes) as MedMNIST's own `models.py`, Adam
1e-3, batch 128, 100 epochs, a tenth of the rate after one half and three quarters of them,
inputs (x - .5) / .5, no augmentation, the weights of the best AUROC on val (Yang et al., MedMNIST
v2, Scientific Data 2023). What is done for speed and changes no mathematics: the set lies in
memory and batches are taken by index, tensors are channels-last; and, where `--precision
bfloat16` is given, the forward pass of the training runs in autocast. Evaluation is in float32.

    python benchmarks/medmnist_official.py breastmnist.npz --seed 0 -o cell.json
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn import functional

Split = tuple[Tensor, Tensor]


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., CVPR 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int, conv: Any, norm: Any) -> None:
        super().__init__()
        self.conv1 = conv(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = norm(outputs)
        self.conv2 = conv(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = norm(outputs)
        same = stride == 1 and inputs == outputs
        shortcut = [] if same else [conv(inputs, outputs, 1, stride, bias=False), norm(outputs)]
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


def resnet18(channels: int, classes: int, *, volumes: bool) -> nn.Sequential:
    """Return the network, (B, C, [D,] H, W) to logits (B, K)."""
    conv: Any = nn.Conv3d if volumes else nn.Conv2d
    norm: Any = nn.BatchNorm3d if volumes else nn.BatchNorm2d
    mean = nn.AdaptiveAvgPool3d(1) if volumes else nn.AdaptiveAvgPool2d(1)
    layers: list[nn.Module] = [conv(channels, 64, 3, 1, 1, bias=False), norm(64), nn.ReLU()]
    inputs = 64
    for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [
            Block(inputs, outputs, stride, conv, norm),
            Block(outputs, outputs, 1, conv, norm),
        ]
        inputs = outputs
    return nn.Sequential(*layers, mean, nn.Flatten(), nn.Linear(512, classes))


def read(path: Path, device: torch.device) -> dict[str, Split]:
    """Return images float32 (N, C, [D,] H, W) in [-1, 1] and labels int64 (N,) of each split."""
    arrays = np.load(path)
    out = {}
    for split in ("train", "val", "test"):
        images = torch.from_numpy(arrays[f"{split}_images"])
        coloured = images.ndim == 4 and images.shape[-1] == 3
        images = images.permute(0, 3, 1, 2) if coloured else images[:, None]
        form = torch.channels_last_3d if images.ndim == 5 else torch.channels_last
        floats = ((images.float() / 255 - 0.5) / 0.5).contiguous(memory_format=form)
        labels = torch.from_numpy(arrays[f"{split}_labels"][:, 0].astype(np.int64))
        out[split] = floats.to(device), labels.to(device)
    return out


@torch.no_grad()
def logits_of(model: nn.Module, images: Tensor) -> Tensor:
    """Return logits float32 (N, K) on the CPU."""
    model.eval()
    return torch.cat([model(x) for x in images.split(128)]).float().cpu()


def auroc(logits: Tensor, labels: Tensor) -> float:
    """Return the area under the curve as MedMNIST's `getAUC` does: one class against the rest."""
    scores, truth = torch.softmax(logits, 1).numpy(), labels.cpu().numpy()
    if scores.shape[1] == 2:
        return float(roc_auc_score(truth, scores[:, 1]))
    each = [roc_auc_score(truth == k, scores[:, k]) for k in range(scores.shape[1])]
    return float(np.mean(each))


def train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, split: Split, *, autocast: bool
) -> float:
    """Take every case once; return the mean loss."""
    images, labels = split
    model.train()
    losses = []
    for rows in torch.randperm(len(labels)).split(128):
        x, y = images[rows.to(images.device)], labels[rows.to(images.device)]
        with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
            logits = model(x)
        loss = functional.cross_entropy(logits.float(), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return float(torch.stack(losses).mean())


def train(
    model: nn.Module, splits: dict[str, Split], epochs: int, *, autocast: bool
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Return the weights that were best on val, and one row an epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    milestones = [round(0.5 * epochs), round(0.75 * epochs)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
    best, kept, log = -1.0, model, []
    for epoch in range(1, epochs + 1):
        loss = train_epoch(model, optimizer, splits["train"], autocast=autocast)
        schedule.step()
        value = auroc(logits_of(model, splits["val"][0]), splits["val"][1])
        if value > best:
            best, kept = value, copy.deepcopy(model)
        log.append({"event": "epoch", "epoch": epoch, "train_loss": loss, "val_auroc": value})
    return kept, log


def main() -> None:
    """Train on one set with one seed; write logits of val and test, and the log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("npz", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("-o", dest="out", type=Path, required=True)
    asked = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(asked.seed)
    splits = read(asked.npz, device)
    images, labels = splits["train"]
    model = resnet18(images.shape[1], int(labels.max()) + 1, volumes=images.ndim == 5).to(device)
    form = torch.channels_last_3d if images.ndim == 5 else torch.channels_last
    start = time.perf_counter()
    kept, log = train(
        model.to(memory_format=form), splits, asked.epochs, autocast=asked.precision == "bfloat16"
    )
    seconds = time.perf_counter() - start
    out: dict[str, Any] = {"log": log, "training_seconds": round(seconds, 1)}
    for split in ("val", "test"):
        logits = logits_of(kept, splits[split][0])
        out[split] = {"logits": logits.tolist(), "labels": splits[split][1].tolist()}
    log.append({"event": "scored", "split": "test", "cases": len(logits)})
    asked.out.write_text(json.dumps(out))


if __name__ == "__main__":
    main()
