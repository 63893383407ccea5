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
# # What makes a small network learn
#
# Handwritten digits and multi-layer perceptrons are old, small and well understood: each choice
# that one makes when training any network can be seen here in seconds, alone. This notebook trains
# the same few networks again and again, changes one thing at a time, and says why the curves look
# as they do.
#
# 1. Four networks: 784-10-10, 784-512-256-10, and 784-5-10 by batch and by mini-batch descent
# 2. A learning rate too small, right and too large
# 3. Initialization by zeros, too wide and right
# 4. Squared error against cross-entropy
# 5. SGD against Adam
# 6. Sigmoid, tanh and ReLU, in a shallow and in a deeper network
# 7. The four networks on the test images, once
#
# A name such as 784-10-10 lists the units of each layer: 784 pixels, one hidden layer of 10, 10
# classes. Every gradient below is derived by hand in `01_backprop_by_hand`.

# %%
import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

import medimg as mi

QUICK = os.environ.get("MEDIMG_QUICK", "0") not in ("", "0")  # fewer images, fewer epochs
scratch = tempfile.TemporaryDirectory()
work = Path(scratch.name)

# %% [markdown]
# ## The data
#
# MNIST where its files are at hand: in the folder `mnist` of `$MEDIMG_DATA`, or of `shared/data`
# beside or above this project. Elsewhere the 1,797 digits of 8 x 8 pixels that scikit-learn
# carries; read 64 for 784 then.


# %%
def find_digits():
    """The folder of MNIST's IDX files, or scikit-learn's digits as an npz."""
    roots = [Path(os.environ["MEDIMG_DATA"])] if os.environ.get("MEDIMG_DATA") else []
    roots += [folder / "shared" / "data" for folder in (Path.cwd(), *Path.cwd().parents)]
    for root in roots:
        if any((root / "mnist").glob("train-images-idx3-ubyte*")):
            return root / "mnist"
    return mi.fetch("digits", work)


def some(manifest, train, test):
    """At most so many training and test cases, drawn at random."""
    rng = np.random.default_rng(0)
    picked = [
        rng.permutation(manifest.rows(split))[:most]
        for split, most in (("train", train), ("test", test))
    ]
    return manifest.take(np.concatenate(picked))


# %% [markdown]
# The source brings a training and a test set. A tenth of the training set becomes `val`, on which
# networks are compared; `test` stays untouched until section 7. No probabilities are calibrated
# here, so there is no split for that (`calib=0`). Sections 2 to 6 use a part of the images, because
# their effects are large enough to be seen on a few thousand.

# %%
digits = mi.index(find_digits())
if QUICK:
    digits = some(digits, train=3400, test=1000)
shares = {"train": 0.8, "val": 0.1, "calib": 0, "test": 0.1}
pixels = mi.Preprocess()  # the pictures as they are: their own size, grey, 8 bits
store = mi.ImageStore.build(mi.split(digits, **shares, seed=0), pixels, work / "store")
part = some(digits, train=10_000, test=1000)
small = mi.ImageStore.build(
    mi.split(part, **shares, seed=0), pixels, work / "store"
)  # decodes nothing again

print(f"shape of one picture: {store.shape}")
pd.concat(
    [
        s.manifest.counts()[["split", "cases"]].assign(store=name)
        for name, s in (("all", store), ("sections 2 to 6", small))
    ]
).pivot(index="store", columns="split", values="cases")[["train", "val", "test"]]

# %%
rows = small.manifest.rows("train")[:200]
labels = small.manifest.targets[rows].argmax(axis=1)  # targets are one-hot, (N, 10)
fig, axes = plt.subplots(1, 10, figsize=(9, 1.2), layout="constrained")
for digit, ax in enumerate(axes):
    ax.imshow(small.read(rows[labels == digit][:1])[0, 0], cmap="gray")
    ax.set_title(small.manifest.space.classes[digit], fontsize=9)
    ax.axis("off")
plt.show()

# %% [markdown]
# Two helpers: one trains a network and keeps its bundle and its history, one draws histories. The
# training loss of an epoch is the mean over its steps, taken while the weights move; the accuracy
# is that on `val` at the end of the epoch.


# %%
EPOCHS = 4 if QUICK else 10
if len(digits) < 2000:  # scikit-learn's digits: an epoch has few steps
    EPOCHS *= 2


def train(store, *, hidden=(64,), activation="relu", init="he", seed=0, **options):
    """The trained bundle and its history, one row an epoch; by default 784-64-10 by plain SGD."""
    network = mi.build_model(
        "mlp",
        shape=store.shape,
        classes=store.manifest.space.k,
        seed=seed,
        hidden=hidden,
        activation=activation,
        init=init,
    )
    base = {"epochs": EPOCHS, "batch_size": 64, "optimizer": "sgd", "lr": 0.1}
    bundle, history = mi.fit(
        network, store, mi.FitOptions(**base | options), seed=seed, device="cpu"
    )
    return bundle, pd.DataFrame(history)


def log_axis(ax):
    """A logarithmic y axis with plain numbers."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def draw(axes, histories, *, loss="training loss", styles=None, **labels):
    """Training loss and val accuracy by epoch; `histories` is a dict of name to history."""
    for name, history in histories.items():
        style = (styles or {}).get(name, {})
        for ax, column in zip(axes, ("train_loss", "val_accuracy"), strict=True):
            ax.plot(history.epoch, history[column], marker=".", ms=4, lw=1.5, label=name, **style)
    axes[0].set(xlabel="epoch", ylabel=loss, **labels)
    if labels.get("xscale") != "log":
        for ax in axes:
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    log_axis(axes[0])
    axes[1].set(xlabel="epoch", ylabel="val accuracy", ylim=(0, 1.02), **labels)
    axes[1].legend(fontsize=8)


def last(histories):
    """The end of each history."""
    return (
        pd.DataFrame({name: h.iloc[-1] for name, h in histories.items()})
        .T[["epoch", "train_loss", "val_accuracy"]]
        .astype({"epoch": int})
        .round(3)
    )


# %% [markdown]
# ## 1. Four networks
#
# | network | parameters | optimizer | until |
# | --- | --- | --- | --- |
# | 784-10-10 | 7,960 | Adam | 10 epochs |
# | 784-512-256-10 | 535,818 | Adam | 10 epochs |
# | 784-5-10 | 3,985 | SGD, mini-batches of 64 | the training loss converges |
# | 784-5-10 | 3,985 | gradient descent, all images a step | the training loss converges |
#
# All have ReLU hidden units and minimize the cross-entropy. `converge=0.005` stops when ten epochs
# together have lowered the loss by less than 0.5%. A limit on the epochs stands beside it, so that
# the notebook stays short; where the table below shows that limit, the loss was still falling.

# %%
MINI, BATCH = (10, 80) if QUICK else (40, 300)
converging = {"hidden": (5,), "optimizer": "sgd", "converge": 0.005}
plans = {
    "10-10, Adam": {"hidden": (10,), "optimizer": "adam", "lr": 3e-3},
    "512-256-10, Adam": {"hidden": (512, 256), "optimizer": "adam", "lr": 1e-3, "batch_size": 128},
    "5-10, mini-batch": converging | {"batch_size": 64, "lr": 0.05, "epochs": MINI},
    "5-10, batch": converging | {"batch_size": "all", "lr": 0.1, "epochs": BATCH},
}
trained = {name: train(store, init="default", **plan) for name, plan in plans.items()}
bundles = {name: bundle for name, (bundle, _) in trained.items()}
four = {name: history for name, (_, history) in trained.items()}
last(four)

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
draw(axes, four, xscale="log")
plt.show()

# %% [markdown]
# **Width.** Five hidden units are a bottleneck: whatever tells ten digits apart must pass through
# five numbers. Ten units widen it; 512 and 256 remove it, and the loss keeps falling. The large
# network has far more parameters than it needs, and its training loss runs ahead of what it gains
# on `val`.
#
# **Batch and mini-batch.** An epoch is one pass over the images, and costs about the same
# arithmetic both ways. Batch descent takes *one* step in it, along the exact gradient; mini-batch
# descent takes one step for every 64 images, each along a gradient that is a little wrong. The
# many rough steps win by far: they reach the same loss in a fraction of the epochs.

# %%
cases = len(store.manifest.rows("train"))
for name, size in {"5-10, mini-batch": 64, "5-10, batch": cases}.items():
    steps, end = -(-cases // size), four[name].iloc[-1]
    print(
        f"{name:17} {steps:4} steps an epoch, {steps * int(end.epoch):6} in all,"
        f" loss {end.train_loss:.3f}"
    )

# %% [markdown]
# ## 2. The learning rate
#
# Gradient descent takes the step $\theta \leftarrow \theta - \eta\, \partial L / \partial \theta$.
# The gradient says in which direction the loss falls, and how steeply *here*; the learning rate
# $\eta$ says how far to believe it. One network, 784-64-10 with plain SGD, three rates:

# %%
rates = {
    "too small: 0.0005": 0.0005,
    "right: 0.1": 0.1,
    "too large: 3": 3.0,
}
trained = {name: train(small, lr=lr) for name, lr in rates.items()}
runs = {name: history for name, (_, history) in trained.items()}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for ax, level in zip(axes, (np.log(10), 0.1), strict=True):
    ax.axhline(level, color="grey", ls=":", lw=1, label="guessing")
draw(axes, runs)
plt.show()

# %% [markdown]
# To see why, `probe` sends one batch of images through a network and back, and returns the logits,
# what each layer gave, and the gradients of the weights. The normalization is that of the training
# images; it rides in the bundle.

# %%
MEAN, STD = trained["right: 0.1"][0].mean[0], trained["right: 0.1"][0].std[0]
probe_rows = small.manifest.rows("train")[:512]


def probe(network, loss="cross-entropy"):
    """Logits (B, 10) with their gradient, outputs of every layer, gradients of the weights."""
    x = (torch.from_numpy(small.read(probe_rows)) / 255 - MEAN) / STD  # (B, 1, H, W)
    y = torch.from_numpy(small.manifest.targets[probe_rows].copy())  # (B, 10), one-hot
    outputs = []
    for layer in network:
        x = layer(x)
        outputs.append(x.detach())
    x.retain_grad()
    if loss == "cross-entropy":
        F.cross_entropy(x, y, reduction="sum").backward()
    else:
        (x.softmax(dim=1) - y).square().sum().backward()
    weights = [layer.weight for layer in network if isinstance(layer, torch.nn.Linear)]
    return x, outputs, [w.grad / len(y) for w in weights]


dead = {}
for name, (bundle, _) in trained.items():
    hidden = probe(bundle.model)[1][2]  # (B, 64): after Flatten, Linear and ReLU
    dead[name] = (hidden == 0).all(dim=0).float().mean().item()
    print(f"{name:18} {dead[name]:4.0%} of the hidden units are 0 for every image")

# %%
end = last(runs)
assert end.val_accuracy["right: 0.1"] > 0.8
assert end.val_accuracy["too large: 3"] < 0.25
assert dead["too large: 3"] > 0.8 > 0.2 > dead["right: 0.1"]
assert runs["too small: 0.0005"].train_loss.is_monotonic_decreasing
assert end.train_loss["too small: 0.0005"] > 4 * end.train_loss["right: 0.1"]

# %% [markdown]
# * **Too small** is safe and slow: every epoch lowers the loss, and at this pace the end of the
#   plot is far from the end of the learning. It is easily mistaken for a network that cannot do
#   better.
# * **Too large** overshoots. The first steps throw the weights far away, and the ReLU units land
#   where no image switches them on. Such a unit is 0 for every image, and so is its gradient: it is
#   dead, and a lower rate afterwards does not wake it. What is left is the output bias, with which
#   the network can only guess ($\log 10 = 2.30$).
# * **Right** lies between: about as large as it can be without the loss jumping. Look for it in
#   powers of ten first.

# %% [markdown]
# ## 3. The initialization
#
# Where a network starts decides which gradients reach which layer. Three starts of 784-64-10, with
# the same learning rate:
#
# * **he**: normal weights of standard deviation $\sqrt{2 / \text{inputs}}$, so that a layer's
#   outputs are about as large as its inputs,
# * **normal(1.0)**: the same with a standard deviation of 1, many times too wide,
# * **zeros**: all weights and biases 0.

# %%
starts = {"he": "he", "too wide: normal(1.0)": "normal(1.0)", "zeros": "zeros"}
trained = {name: train(small, init=init) for name, init in starts.items()}
runs = {name: history for name, (_, history) in trained.items()}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
draw(axes, runs)
plt.show()


# %%
def fresh(init, activation="relu", hidden=(64,), seed=0):
    """A network at its start."""
    return mi.build_model(
        "mlp",
        shape=small.shape,
        classes=10,
        seed=seed,
        hidden=hidden,
        init=init,
        activation=activation,
    )


# %% [markdown]
# **Too wide.** Each hidden unit adds up hundreds of pixels, so wide weights make large activations
# and still larger logits. The softmax of large logits is nearly 0 or 1: before it has seen
# anything, the network is certain, and nine times of ten it is certain of the wrong digit. The
# loss starts in the tens instead of at about $\log 10$, and the epochs go into unlearning. With
# tanh or sigmoid units it is worse: they saturate, and a saturated unit passes no gradient on.

# %%
lines = {}
for init in ("he", "normal(1.0)"):
    logits, _, _ = probe(fresh(init))
    tanh = probe(fresh(init, "tanh"))[1][2]  # (B, 64): after Flatten, Linear and Tanh
    lines[init] = {
        "standard deviation of the logits": logits.std().item(),
        "images with a probability above 0.99": (logits.softmax(1).amax(1) > 0.99)
        .float()
        .mean()
        .item(),
        "tanh units with a slope below 0.01": ((1 - tanh**2) < 0.01).float().mean().item(),
    }
at_start = pd.DataFrame(lines)
assert at_start.iloc[1, 0] < 0.2 < 0.8 < at_start.iloc[1, 1]
at_start.round(2)

# %% [markdown]
# **Zeros.** With ReLU nothing at all moves but the output bias. The hidden units give 0, so the
# output weights get no gradient ($\delta_2^\top a_1 = 0$); the output weights are 0, so nothing
# reaches the hidden layer ($\delta_2 W_2 = 0$). The network learns how frequent each digit is.

# %%
stuck = trained["zeros"][0]
for name, parameter in stuck.model.named_parameters():
    print(
        f"{name:9} {tuple(parameter.shape)!s:12} largest absolute value {parameter.abs().max():.3f}"
    )
assert not any(p.any() for n, p in stuck.model.named_parameters() if n != "3.bias")

# %% [markdown]
# Sigmoid units give 0.5 at zero, so there the gradients do flow. But every hidden unit has the
# same weights, therefore the same activation, therefore the same gradient, and so it stays: the
# hidden units move, all together, and 64 of them can compute no more than one. Only a random start
# breaks the symmetry. Each picture below holds the weights of one hidden unit after training, from
# zeros in the upper row and from a random start in the lower one.

# %%
SIGMOID = {"activation": "sigmoid", "lr": 0.3}
equal, runs_equal = train(small, **SIGMOID, init="zeros")
random, runs_random = train(small, **SIGMOID, init="xavier")

fig, axes = plt.subplots(2, 6, figsize=(8, 2.9), layout="constrained")
for row, bundle, name in zip(axes, (equal, random), ("zeros", "xavier"), strict=True):
    weights = bundle.model[1].weight.detach()  # (64, 784)
    apart = (weights - weights[0]).abs().max()
    print(f"{name:7} largest difference between the weights of two hidden units: {apart:.2g}")
    limit = weights[:6].abs().max()
    for unit, ax in enumerate(row):
        ax.imshow(weights[unit].reshape(small.shape[1:]), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_title(f"{name}, unit {unit + 1}", fontsize=8)
        ax.axis("off")
plt.show()
first = equal.model[1].weight.detach()
assert first.any() and torch.allclose(first, first[:1].expand_as(first), atol=1e-5)

# %%
runs = {"64 sigmoid units from zeros": runs_equal, "from a random start": runs_random}
one = train(small, **SIGMOID, init="xavier", hidden=(1,))[1]
runs["one sigmoid unit, random start"] = one
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
draw(axes, runs)
plt.show()
assert runs_equal.val_accuracy.iloc[-1] < 0.5 < runs_random.val_accuracy.iloc[-1]

# %% [markdown]
# Sixty-four equal units are one unit whose output weights are 64 times as large. Their curve is
# near that of a single unit, and far from that of the same network with a random start.

# %% [markdown]
# ## 4. Squared error against cross-entropy
#
# Both losses have their minimum where the probabilities are right. They differ in what a mistake
# sends back. With the softmax $p$ of the logits $z$ and the one-hot target $y$,
#
# $$\frac{\partial L_\text{CE}}{\partial z} = p - y \qquad\qquad
#   \frac{\partial L_\text{MSE}}{\partial z_k} = 2\, p_k \Big( (p_k - y_k) - \sum_j (p_j - y_j)\, p_j \Big)$$
#
# and the factor $p_k$ in front is what counts: where the network is certain and wrong, $p_k$ of the
# true class is nearly 0, those of the other classes cancel, and squared error sends back almost
# nothing. Cross-entropy sends back its largest gradient exactly there. Each loss is trained from a
# start without prejudice (he) and from one that is certain and mostly wrong (normal(1.0)).

# %%
lines = {}
for init in ("he", "normal(1.0)"):
    for loss in ("cross-entropy", "squared error"):
        logits, _, _ = probe(fresh(init), loss)
        wrong = logits.argmax(1).numpy() != small.manifest.targets[probe_rows].argmax(1)
        lines[loss, init] = logits.grad.norm(dim=1)[torch.from_numpy(wrong)].median().item()
sent = pd.Series(lines, name="median length of the gradient of a wrong image, by its logits")
assert sent["squared error", "normal(1.0)"] < 0.01 * sent["cross-entropy", "normal(1.0)"]
sent.map("{:.2g}".format).unstack(0)

# %%
runs = {
    (loss, init): train(small, loss=loss, init=init)[1]
    for loss in ("cross_entropy", "mse")
    for init in ("he", "normal(1.0)")
}
fig, axes = plt.subplots(1, 3, figsize=(10, 3.1), layout="constrained")
for ax, loss in zip(axes, ("cross_entropy", "mse"), strict=False):
    colour = "C0" if loss == "cross_entropy" else "C1"
    chosen = {f"{loss}, {init}": h for (name, init), h in runs.items() if name == loss}
    styles = {n: {"color": colour, "ls": "-" if n.endswith("he") else "--"} for n in chosen}
    draw((ax, axes[2]), chosen, styles=styles, loss=f"training loss: {loss}")
plt.show()
ends = {key: history.val_accuracy.iloc[-1] for key, history in runs.items()}
assert ends["mse", "normal(1.0)"] < ends["cross_entropy", "normal(1.0)"] - 0.15
assert min(ends["mse", "he"], ends["cross_entropy", "he"]) > 0.7

# %% [markdown]
# The two losses have different units, so only their shapes can be compared, and the accuracy. From
# a good start both learn. From the bad one cross-entropy makes up most of the distance in the
# first epochs, because the worst mistakes push hardest, while squared error creeps: it has nothing
# to push with. A network that is certain and wrong is no rarity, it is what a shift in the data
# makes of a good one; so cross-entropy is the usual choice for classes. The gradients also have
# different sizes, so that the best learning rate of one loss need not be that of the other: no
# comparison of small differences is made here.

# %% [markdown]
# ## 5. SGD against Adam
#
# SGD moves each weight by $\eta$ times its gradient. Adam divides by a running size of that
# weight's own gradients first, so that each weight moves by about $\eta$ a step whatever the scale
# of its gradient. The same number means different things to the two, and a comparison at one
# learning rate would only show whom that rate suits. So each gets the whole range.

# %%
RATES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
runs = {
    (optimizer, lr): train(small, optimizer=optimizer, lr=lr)[1]
    for optimizer in ("sgd", "adam")
    for lr in RATES
}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for optimizer in ("sgd", "adam"):
    ends = [runs[optimizer, lr].iloc[-1] for lr in RATES]
    axes[0].semilogx(RATES, [e.train_loss for e in ends], "o-", label=optimizer)
    axes[1].semilogx(RATES, [e.val_accuracy for e in ends], "o-", label=optimizer)
axes[0].set(xlabel="learning rate", ylabel="training loss", title=f"after {EPOCHS} epochs")
log_axis(axes[0])
axes[1].set(xlabel="learning rate", ylabel="val accuracy", ylim=(0, 1.02))
axes[1].legend()
plt.show()

# %%
at = {"SGD, 0.1": ("sgd", 1e-1), "SGD, 0.001": ("sgd", 1e-3), "Adam, 0.001": ("adam", 1e-3)}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
draw(axes, {name: runs[key] for name, key in at.items()})
plt.show()

# %%
accuracy = pd.Series({key: h.val_accuracy.iloc[-1] for key, h in runs.items()}).unstack(0)
final_loss = pd.Series({key: h.train_loss.iloc[-1] for key, h in runs.items()}).unstack(0)
assert final_loss.adam[1e-3] < 0.5 * final_loss.sgd[1e-3]
assert accuracy.sgd[1e-1] > accuracy.adam[1.0] + 0.3
accuracy.round(3)

# %% [markdown]
# Each has a window of rates that work and falls off on both sides, and Adam's lies lower: at
# 0.001, its customary rate, it is far ahead of SGD at the same number. The heights of the two
# maxima are too close for one run each on a few hundred `val` images to rank them, and they are
# not ranked here. What Adam buys is a rate that needs less searching when layers and problems
# differ in the scale of their gradients; section 6 has a network in which they differ by a factor
# of hundreds.

# %% [markdown]
# ## 6. Sigmoid, tanh and ReLU
#
# Back-propagation multiplies by the slope of the activation at every layer. The slope of the
# sigmoid is at most 1/4, that of tanh at most 1, that of ReLU 1 or 0. One hidden layer of 64, and
# four; Xavier initialization, SGD at 0.1, three seeds each.

# %%
SEEDS = (0, 1, 2)
ACTIVATIONS = {"sigmoid": "C2", "tanh": "C1", "relu": "C0"}
runs = {
    (depth, activation): [
        train(
            small,
            hidden=(64,) * depth,
            activation=activation,
            init="xavier",
            seed=seed,
        )[1]
        for seed in SEEDS
    ]
    for depth in (1, 4)
    for activation in ACTIVATIONS
}
fig, axes = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained", sharex=True)
for (depth, activation), several in runs.items():
    for seed, history in zip(SEEDS, several, strict=True):
        row, label = axes[depth // 4], activation if seed == 0 else None
        for ax, column in zip(row, ("train_loss", "val_accuracy"), strict=True):
            ax.plot(history.epoch, history[column], color=ACTIVATIONS[activation], label=label)
for row, words in zip(axes, ("one hidden layer", "four hidden layers"), strict=True):
    row[0].set(ylabel="training loss", title=words)
    log_axis(row[0])
    row[1].set(ylabel="val accuracy", ylim=(0, 1.02), title=words)
axes[0, 1].legend(fontsize=8)
for ax in axes[1]:
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
plt.show()

# %% [markdown]
# With one hidden layer all three learn, the sigmoid more slowly. With four, tanh and ReLU learn at
# once, while the sigmoid network goes on guessing for hundreds of steps (with more images it leaves
# that plateau in the end). The gradients at the very start say why:

# %%
fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
sizes = {}
for activation, colour in ACTIVATIONS.items():
    gradients = probe(fresh("xavier", activation, hidden=(64,) * 4))[2]
    sizes[activation] = [g.square().mean().sqrt().item() for g in gradients]
    ax.semilogy(range(1, 6), sizes[activation], "o-", color=colour, label=activation)
ax.set(xlabel="layer (5 is the output)", ylabel="gradient of a weight (rms)", xticks=range(1, 6))
ax.legend()
plt.show()
assert sizes["sigmoid"][0] < 0.02 * sizes["sigmoid"][-1]
assert min(sizes[a][0] / sizes[a][-1] for a in ("tanh", "relu")) > 0.1

# %%
ends = {key: [h.val_accuracy.iloc[-1] for h in several] for key, several in runs.items()}
middle = {
    key: [h.val_accuracy.iloc[EPOCHS // 2 - 1] for h in several] for key, several in runs.items()
}
assert max(middle[4, "sigmoid"]) < 0.4 < min(middle[4, "tanh"])
assert max(middle[4, "sigmoid"]) < np.median(middle[4, "relu"]) - 0.2
assert max(np.mean(ends[1, a]) for a in ("tanh", "relu")) > np.mean(ends[1, "sigmoid"])
pd.DataFrame(
    {
        (f"{depth} hidden", activation): {"lowest": min(v), "mean": np.mean(v), "highest": max(v)}
        for (depth, activation), v in ends.items()
    }
).T.round(3)

# %% [markdown]
# Four sigmoids in a row shrink the gradient by a factor of hundreds on its way down: the output
# layer learns how frequent the digits are, while the layers that would have to tell them apart
# hardly move. In tanh and ReLU networks all layers are told about equally much. A sigmoid also
# gives only positive numbers, so that the inputs of the next layer all pull in one direction. This
# is why deep networks have ReLU-like units within, and a sigmoid or softmax only at the end, where
# the loss takes its slope back out.
#
# The spread is a caution: runs that differ in nothing but the seed end some points apart. Three
# seeds and a few hundred `val` images do not rank tanh and ReLU, and nothing said here depends on
# it.

# %% [markdown]
# ## 7. The test images, once
#
# Nothing above has looked at `test`, so it can still give an honest number for each network of
# section 1. `evaluate` gives each with its 95% interval, which holds the chance of which images
# were drawn, not that of the training.

# %%
lines = {}
for name, bundle in bundles.items():
    result = mi.evaluate(bundle.predict(store, "test"), mi.EvaluateOptions(resamples=200))
    e = result.metrics["accuracy"]
    lines[name] = {
        "parameters": sum(p.numel() for p in bundle.model.parameters()),
        "epochs": int(four[name].epoch.iloc[-1]),
        "test accuracy": f"{e.value:.3f}",
        "95% interval": f"{e.low:.3f} to {e.high:.3f}",
        "method": e.method,
        "n": e.n,
    }
pd.DataFrame(lines).T

# %%
scratch.cleanup()
