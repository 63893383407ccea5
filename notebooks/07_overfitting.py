# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Learnt, or learnt by heart
#
# A network with more weights than there are cases can learn every case by heart. This notebook
# has one do so, and then tries what is said to help, each remedy alone and against the same
# network without it:
#
# 1. Learnt by heart
# 2. More data
# 3. A smaller network
# 4. A penalty on large weights (L2)
# 5. Dropout
# 6. Early stopping
# 7. All of them, once, on test
# 8. What to take along
#
# The pictures are chest X-rays of children at 28 x 28 pixels (PneumoniaMNIST; Kermany et al. 2018,
# Yang et al. 2023), *pneumonia* against *normal*. Where the file is not at hand (`medimg fetch
# pneumoniamnist` gets it) scikit-learn's handwritten digits take their place; other figures, the
# same lessons.
#
# Only a few hundred cases train, as in most studies of one hospital. Thousands of others are set
# apart to judge, as in hardly any, so that differences can be told from chance.
#
# **This is research software, not a medical device.**

# %%
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import medimg as mi

QUICK = os.environ.get("MEDIMG_QUICK", "0") not in ("", "0")  # fewer seeds and epochs
scratch = tempfile.TemporaryDirectory()
os.environ.setdefault("MEDIMG_KEY_FILE", f"{scratch.name}/key")  # pseudonyms of this notebook alone
work = Path(scratch.name)

SEEDS = range(2 if QUICK else 5)
EPOCHS = 20 if QUICK else 60


# %%
def find_source():
    """PneumoniaMNIST in $MEDIMG_DATA or shared/data beside or above, else the digits."""
    roots = [Path(os.environ["MEDIMG_DATA"])] if os.environ.get("MEDIMG_DATA") else []
    roots += [folder / "shared" / "data" for folder in (Path.cwd(), *Path.cwd().parents)]
    names = ("pneumoniamnist.npz", "pneumoniamnist_reconstructed.npz")
    files = (root / "medmnist" / name for root in roots for name in names)
    return next((file for file in files if file.is_file()), None) or mi.fetch("digits", work)


source = find_source()
XRAYS = "pneumonia" in source.name
whole = mi.ImageStore.build(mi.index(source), mi.Preprocess(), work / "store")

# %% [markdown]
# The official splits are not used here. Some pictures stand in them twice, and the official test
# set is of another kind than train (a network that is right in 97 of 100 on val is right in 85 on
# test), which is a matter of its own. All cases but the official test set are put together, copies
# left out, and divided at random: some to train on, some to choose by (`val`), the rest to judge.

# %%
POOL, N, VAL = (2400, 300, 500) if XRAYS else (1000, 120, 400)
manifest = whole.manifest
_, first = np.unique(whole.pixel_hash, return_index=True)  # one of each picture
eligible = np.array(sorted(set(first) - set(manifest.rows("test"))) if XRAYS else sorted(first))
shuffled = np.random.default_rng(0).permutation(eligible)
parts = {"train": shuffled[:POOL], "val": shuffled[POOL : POOL + VAL]}
parts["test"] = shuffled[POOL + VAL :]
pd.DataFrame(
    {name: manifest.targets[rows].sum(axis=0).astype(int) for name, rows in parts.items()},
    index=manifest.space.classes,
)


# %%
def store_of(n, seed):
    """The store with n cases to train on, others for each seed, and the same val and test."""
    split = np.full(len(manifest), "none", object)
    split[parts["val"]], split[parts["test"]] = "val", "test"
    split[np.random.default_rng(seed).permutation(parts["train"])[:n]] = "train"
    return replace(whole, manifest=manifest.with_column("split", split))


BIG = (256, 128) if QUICK else (512, 256)


def train(seed, n=N, hidden=BIG, dropout=0.0, store=None, epochs=EPOCHS, **options):
    """A trained network and its history; every seed has its own cases and its own start."""
    store = store_of(n, seed) if store is None else store
    model = mi.build_model(
        "mlp",
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=seed,
        hidden=hidden,
        dropout=dropout,
    )
    options = {"epochs": epochs, "batch_size": 32, "optimizer": "adamw", "lr": 1e-3} | options
    return mi.fit(model, store, mi.FitOptions(**options), seed=seed, device="cpu")


# %% [markdown]
# ## 1. Learnt by heart
#
# A multi-layer perceptron of 512 and 256 hidden units has half a million weights. It gets a few
# hundred cases and nothing that would hold it back.

# %%
bare = {seed: train(seed) for seed in SEEDS}
weights = sum(p.numel() for p in bare[0][0].model.parameters())
print(f"{weights:,} weights, {N} cases")


def curves(ax, runs, key, **style):
    """One thin line a seed, and their mean."""
    lines = np.array([[row[key] for row in history] for _, history in runs.values()])
    for line in lines:
        ax.plot(np.arange(1, len(line) + 1), line, lw=0.6, alpha=0.4, **style)
    ax.plot(np.arange(1, lines.shape[1] + 1), lines.mean(axis=0), lw=2, label=key, **style)


fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
curves(axes[0], bare, "train_loss", color="C0")
curves(axes[0], bare, "val_loss", color="C1")
axes[0].set(xlabel="epoch", ylabel="loss", ylim=(0, None), title="The losses part")
curves(axes[1], bare, "val_accuracy", color="C1")
axes[1].set(xlabel="epoch", ylabel="accuracy", title="The accuracy hardly shows it")
for ax in axes:
    ax.legend(fontsize=8)
plt.show()

# %% [markdown]
# The loss on the training cases goes to 0; on others it turns and rises, long after the accuracy has
# come to rest. No contradiction: the same cases are wrong as before, but the network is surer and
# surer of them, as it is of everything. What overfitting spoils first is not the decision but the
# **probability**. Whoever looks at the accuracy alone does not see it coming.
#
# How much can be learnt by heart? The labels are now dealt out at random, so that there is nothing
# else to learn (Zhang et al. 2017).

# %%
store = store_of(N, 0)
rows = store.manifest.rows("train")
dealt = store.manifest.targets.copy()
dealt[rows] = np.random.default_rng(0).permutation(dealt[rows])
random = replace(store, manifest=replace(store.manifest, targets=dealt))
nonsense, history = train(0, store=random, epochs=3 * EPOCHS)
told = nonsense.predict(random, "train", device="cpu")
fitted = np.mean(told.probabilities.argmax(1) == told.targets.argmax(1))
print(
    f"random labels: {fitted:.1%} of the training cases right, loss {history[-1]['train_loss']:.3f}"
)
print(f"accuracy on val: {history[-1]['val_accuracy']:.3f}")

# %% [markdown]
# Right on nearly all training cases, and nothing learnt. A figure of the training cases is no figure.
#
# ## 2. More data

# %%
SIZES = (100, N, 800, POOL) if XRAYS else (60, N, 400, POOL)


def last(runs, key="val_loss"):
    """A number of the last epoch of each seed."""
    return np.array([history[-1][key] for _, history in runs.values()])


# As many steps for all, so that more cases are not longer training as well.
more = {n: {s: train(s, n=n, epochs=max(2, EPOCHS * N // n)) for s in SEEDS} for n in SIZES}


def draw(ax, runs, xlabel, log=True):
    """Loss at the end on train and val by whatever was varied; a dot a seed."""
    for key, color in (("train_loss", "C0"), ("val_loss", "C1")):
        x = range(len(runs))
        values = [last(each, key) for each in runs.values()]
        for place, each in zip(x, values, strict=True):
            ax.plot([place] * len(each), each, ".", color=color, alpha=0.4)
        ax.plot(x, [each.mean() for each in values], "o-", color=color, label=key)
    ax.set_xticks(range(len(runs)), [str(name) for name in runs])
    ax.set(xlabel=xlabel, ylabel="loss at the end", ylim=(0, None))
    ax.legend(fontsize=8)


fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
draw(ax, more, "training cases")
plt.show()

# %% [markdown]
# The gap closes from both sides: the network can no longer learn all by heart, and what it learns
# holds for others too. It is the remedy that one has not got.
#
# ## 3. A smaller network

# %%
WIDTHS = [(), (8,), (64, 32), BIG]
small = {
    "-".join(map(str, hidden)) or "none": {s: train(s, hidden=hidden) for s in SEEDS}
    for hidden in WIDTHS[:-1]
} | {"-".join(map(str, BIG)): bare}
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
draw(ax, small, "hidden units")
plt.show()

# %% [markdown]
# Fewer weights overfit less, and later. With none hidden it is logistic regression, which still has
# more weights than cases and so, trained long enough, learns by heart too.
#
# ## 4. A penalty on large weights

# %%
PENALTIES = (0.0, 0.1, 10.0, 30.0) if QUICK else (0.0, 0.1, 1.0, 3.0, 10.0, 30.0)
l2 = {
    strength: bare if strength == 0 else {s: train(s, weight_decay=strength) for s in SEEDS}
    for strength in PENALTIES
}
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
draw(ax, l2, "weight_decay")
plt.show()

# %% [markdown]
# AdamW takes `lr * weight_decay` of every weight at each step (Loshchilov and Hutter 2019), biases
# excepted. What matters is that product times the number of steps: a tenth of the rate wants ten
# times the decay for the same effect. Common values, such as 0.05, do next to nothing in so short
# a training; that is worth knowing before the penalty is called useless.
#
# ## 5. Dropout

# %%
SHARES = (0.0, 0.5, 0.8) if QUICK else (0.0, 0.2, 0.5, 0.8, 0.9)
drop = {
    share: bare if share == 0 else {s: train(s, dropout=share) for s in SEEDS} for share in SHARES
}
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
draw(ax, drop, "share left out")
plt.show()

# %% [markdown]
# The loss on train is that of the crippled networks, with units left out, and so higher than what
# the whole network would have on the same cases: the two curves must not be compared here.
#
# ## 6. Early stopping
#
# Nothing is added; the epoch with the lowest loss on `val` is kept, and the training ends when no
# better one has come for a while.

# %%
early = {s: train(s, monitor="val_loss", patience=10) for s in SEEDS}
kept = {s: next(r for r in history if r.get("best")) for s, (_, history) in early.items()}
pd.DataFrame(
    {
        "epochs run": {s: len(history) for s, (_, history) in early.items()},
        "epoch kept": {s: row["epoch"] for s, row in kept.items()},
        "val_loss there": {s: round(row["val_loss"], 4) for s, row in kept.items()},
    }
)

# %% [markdown]
# The loss of the kept epoch on `val` is the lowest of many, and so a little too good: `val` has been
# looked at once an epoch. It is spent. What it says after this is no result, however small the part
# of the training that it had.
#
# ## 7. All of them, once, on test
#
# Of each remedy the strength is taken that had the lowest mean loss on `val`. Then, for the first
# time, the test cases: the loss of each case under each of the networks, and its difference from
# the bare network of the same seed. The interval draws seeds (with their training cases) *and* test
# cases again with replacement, both at once: either alone would be too narrow.


# %%
def choose(runs):
    """The variant of the lowest mean loss on val."""
    return min(runs, key=lambda name: last(runs[name]).mean())


chosen = {"smaller": choose(small), "L2": choose(l2), "dropout": choose(drop)}
arms = {
    f"{SIZES[-1] // N} times the cases": more[SIZES[-1]],
    f"smaller: {chosen['smaller']}": small[chosen["smaller"]],
    f"L2: {chosen['L2']}": l2[chosen["L2"]],
    f"dropout: {chosen['dropout']}": drop[chosen["dropout"]],
    "early stopping": early,
}
print("chosen on val:", chosen)


def on_test(runs):
    """Loss, and whether it is right, of every test case under every seed's network."""
    losses, right = [], []
    for bundle, _ in runs.values():
        told = bundle.predict(judged, "test", device="cpu")
        truth = told.targets.astype(bool)
        losses.append(-np.log(told.probabilities[truth]))
        right.append(told.probabilities.argmax(axis=1) == truth.argmax(axis=1))
    return np.array(losses), np.array(right)  # both (seeds, cases)


judged = store_of(1, 0)
scored = {name: on_test(runs) for name, runs in ({"bare": bare} | arms).items()}
base = scored["bare"][0]
rng = np.random.default_rng(0)


def gain(losses):
    """Mean difference from the bare network, and its 95% interval over seeds and cases."""
    difference = losses - base
    seeds, cases = difference.shape
    means = [
        difference[rng.integers(seeds, size=seeds)]
        .mean(axis=0)[rng.integers(cases, size=cases)]
        .mean()
        for _ in range(2000)
    ]
    return difference.mean(), *np.percentile(means, (2.5, 97.5))


gains = {name: gain(scored[name][0]) for name in arms}
table = pd.DataFrame(gains, index=["difference", "low", "high"]).T
table.insert(0, "loss on test", {name: scored[name][0].mean() for name in arms})
print(f"bare: loss on test {base.mean():.3f}; {len(SEEDS)} seeds, {base.shape[1]} cases")
table.round(3)

# %%
fig, ax = plt.subplots(figsize=(6, 2.6), layout="constrained")
for y, (mean, low, high) in enumerate(reversed(gains.values())):
    ax.plot([low, high], [y, y], color="C0")
    ax.plot(mean, y, "o", color="C0")
ax.axvline(0, color="grey", ls=":", lw=1)
ax.set_yticks(range(len(gains)), list(reversed(gains)))
ax.set(xlabel="loss on test, less that of the bare network (left is better)")
plt.show()

# %% [markdown]
# And the decisions, which the clinic would see?


# %%
accuracy = {name: right.mean(axis=1) for name, (_, right) in scored.items()}
pd.DataFrame({n: {"mean": a.mean(), "sd": a.std(ddof=1)} for n, a in accuracy.items()}).T.round(4)

# %% [markdown]
# ## 8. What to take along
#
# * **Look at the loss on val, not at the accuracy alone.** It turns first, and it is what says
#   whether probabilities can be believed.
# * **More cases** are the only remedy that also brings something new to learn. The others divide up
#   what is there.
# * **Each remedy has a strength**, and the right one is not in a paper but on your `val`. A strength
#   chosen on `test` is the same slip as learning by heart, by hand.
# * **Early stopping is the cheapest**: `fit.monitor` keeps the best epoch, `fit.patience` ends the
#   training. But it spends `val`: calibrate on `calib`, report on `test`.
# * **They need not add up.** A network that is stopped early leaves a penalty little to do; try them
#   together before counting on the sum.
# * **One seed shows nothing** at this size: the dots of one column above lie further apart than many
#   a remedy is worth.
#
# Calibration afterwards (`03_first_classifier`, `06_evaluation`) takes away much of the
# overconfidence of an overfitted network, but not what it got wrong. What augmentation and class
# weights do is told in `08_imbalance`.

# %%
scratch.cleanup()
