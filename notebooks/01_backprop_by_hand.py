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
# # Back-propagation by hand
#
# A network learns by moving each of its parameters a little against the slope of the loss. This
# notebook derives those slopes on paper, writes them in NumPy, and takes none of them on trust:
# each one is compared with a measurement (finite differences) and with PyTorch's autograd.
#
# 1. A 2-4-1 network with 17 parameters: the forward pass, the losses, the gradients
# 2. The check, and how far it can be trusted
# 3. Training it, in NumPy and in PyTorch, to the same losses
# 4. A 784-5-10 network on handwritten digits: batch and mini-batch gradient descent
# 5. Four common slips, what the loss does, and which check catches them
#
# | symbol | meaning | shape |
# | --- | --- | --- |
# | $B, D, H, K$ | cases in a batch, inputs, hidden units, outputs | |
# | $x$ | the batch, one case a row | $(B, D)$ |
# | $y$ | the targets | $(B, K)$ |
# | $W_1, b_1$ | weights and biases of the hidden layer | $(H, D)$, $(H)$ |
# | $W_2, b_2$ | weights and biases of the output layer | $(K, H)$, $(K)$ |
# | $z_1, a_1$ | hidden layer before and after its activation | $(B, H)$ |
# | $z_2, p$ | output layer: logits, and the probabilities made of them | $(B, K)$ |
# | $L$ | the loss, one number for the batch | |
# | $\odot$ | product entry by entry | |
#
# Weights are stored as (outputs, inputs), the way `torch.nn.Linear` stores them.

# %%
import gzip
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # matrices this small gain nothing from more threads

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_breast_cancer, load_digits, make_moons

QUICK = os.environ.get("MEDIMG_QUICK", "0") not in ("", "0")  # fewer cases, fewer steps

# %% [markdown]
# ## 1. Seventeen parameters
#
# Two inputs, four hidden sigmoid units, one sigmoid output:
#
# $$z_1 = x W_1^\top + b_1 \qquad a_1 = \sigma(z_1) \qquad
#   z_2 = a_1 W_2^\top + b_2 \qquad p = \sigma(z_2) \qquad \sigma(z) = \frac{1}{1 + e^{-z}}$$
#
# That is $4 \cdot 2 + 4 + 1 \cdot 4 + 1 = 17$ parameters.


# %%
def sigmoid(z):
    return np.exp(-np.logaddexp(0, -z))  # 1 / (1 + exp(-z)), without overflow


def small_forward(p, x):
    a1 = sigmoid(x @ p["W1"].T + p["b1"])  # (B, H)
    z2 = a1 @ p["W2"].T + p["b2"]  # (B, 1)
    return a1, z2


# %% [markdown]
# Two losses say how far $p$ is from the target $y \in \{0, 1\}$, each a mean over the batch:
#
# $$L_\text{CE} = -\frac1B \sum_b \big[\, y \log p + (1 - y) \log (1 - p) \,\big]
#   \qquad\qquad L_\text{MSE} = \frac1B \sum_b (p - y)^2$$
#
# Written in the logit, $L_\text{CE} = \frac1B \sum_b \log(1 + e^{z_2}) - y\,z_2$. The code uses
# this form: it never takes the logarithm of a probability that was rounded to 0.
#
# ### The gradients
#
# Back-propagation is the chain rule, read from the loss to the input. Write
# $\delta_l = \partial L / \partial z_l$ for what reaches layer $l$ before its activation.
#
# **The output.** The slope of the sigmoid is $\sigma'(z) = \sigma(z)(1 - \sigma(z))$, so
# $\partial p / \partial z_2 = p (1 - p)$. For the squared error that factor stays; for the
# cross-entropy it cancels:
#
# $$\delta_2^\text{MSE} = \tfrac{2}{B}\,(p - y) \odot p \odot (1 - p) \qquad\qquad
#   \delta_2^\text{CE} = \tfrac1B \Big( \frac{1 - y}{1 - p} - \frac{y}{p} \Big) \odot p \odot (1 - p)
#   = \tfrac1B\,(p - y)$$
#
# A confident mistake ($p \approx 0$ where $y = 1$) therefore gives cross-entropy its steepest
# slope, and squared error almost none. The plot after the code shows it.
#
# **The output weights.** $z_2$ is linear in $W_2$ with the factor $a_1$, and every case of the
# batch adds its share:
#
# $$\frac{\partial L}{\partial W_2} = \delta_2^\top a_1 \quad (K, B)(B, H) = (K, H)
#   \qquad\qquad \frac{\partial L}{\partial b_2} = \sum_b \delta_2 \quad (K)$$
#
# **Back through the layer.** $z_2$ is as linear in $a_1$, with the factor $W_2$; then comes the
# slope of the hidden sigmoid, which the forward pass has already computed as $a_1 (1 - a_1)$:
#
# $$\delta_1 = \underbrace{(\delta_2 W_2)}_{(B, K)(K, H) = (B, H)} \odot\; a_1 \odot (1 - a_1)$$
#
# **The hidden weights.** The same two lines as before, one layer down:
#
# $$\frac{\partial L}{\partial W_1} = \delta_1^\top x \quad (H, B)(B, D) = (H, D)
#   \qquad\qquad \frac{\partial L}{\partial b_1} = \sum_b \delta_1 \quad (H)$$
#
# A gradient always has the shape of its parameter. A deeper network repeats the last two steps.


# %%
def small_gradients(p, x, y, loss):
    """The loss, a number, and its derivative by each parameter, a dict like `p`."""
    a1, z2 = small_forward(p, x)
    prob = sigmoid(z2)
    if loss == "cross-entropy":
        value = np.mean(np.logaddexp(0, z2) - y * z2)
        delta2 = (prob - y) / len(x)
    else:
        value = np.mean((prob - y) ** 2)
        delta2 = 2 * (prob - y) * prob * (1 - prob) / len(x)
    delta1 = (delta2 @ p["W2"]) * a1 * (1 - a1)
    return value, layer_gradients(x, a1, delta1, delta2)


def layer_gradients(x, a1, delta1, delta2):
    return {
        "W1": delta1.T @ x,
        "b1": delta1.sum(axis=0),
        "W2": delta2.T @ a1,
        "b2": delta2.sum(axis=0),
    }


# %%
prob = np.linspace(0, 1, 201)
fig, ax = plt.subplots(figsize=(5.5, 3), layout="constrained")
ax.plot(prob, prob - 1, label="cross-entropy")
ax.plot(prob, 2 * (prob - 1) * prob * (1 - prob), label="squared error")
ax.set(
    xlabel="probability p that the network gives a case with y = 1",
    ylabel="slope of its loss by z2",
    title="What a mistake sends back",
)
ax.legend()
plt.show()

# %% [markdown]
# ## 2. The check
#
# Two witnesses who know nothing of the derivation:
#
# * **Finite differences** measure the slope: move one parameter by $\pm h$ and see what the loss
#   does, $\frac{L(\theta + h) - L(\theta - h)}{2h}$.
# * **Autograd** differentiates PyTorch's own layers and PyTorch's own loss functions.
#
# Every parameter is compared with both. The error reported for a parameter array is its largest deviation as
# a share of the array's largest slope, and everything is in double precision.


# %%
def small_torch_loss(p, x, y, loss):
    """The same network from PyTorch's parts: nothing here is derived by hand."""
    z2 = F.linear(torch.sigmoid(F.linear(x, p["W1"], p["b1"])), p["W2"], p["b2"])
    if loss == "cross-entropy":
        return F.binary_cross_entropy_with_logits(z2, y)
    return F.mse_loss(torch.sigmoid(z2), y)


def finite_differences(loss_of, p, h=1e-5):
    """The slope of `loss_of(p)` by every single number in `p`."""
    slopes = {name: np.empty_like(array) for name, array in p.items()}
    for name, array in p.items():
        for i in np.ndindex(array.shape):
            kept = array[i]
            array[i] = kept + h
            above = loss_of(p)
            array[i] = kept - h
            below = loss_of(p)
            array[i] = kept
            slopes[name][i] = (above - below) / (2 * h)
    return slopes


def autograd(torch_loss, p, *batch):
    """The gradients of `torch_loss(p, *batch)`."""
    leaves = {name: torch.tensor(array, requires_grad=True) for name, array in p.items()}
    torch_loss(leaves, *map(torch.from_numpy, batch)).backward()
    return {name: leaf.grad.numpy() for name, leaf in leaves.items()}


def errors(by_hand, reference):
    """Largest deviation of each array, as a share of the array's largest slope."""
    return {
        name: np.abs(by_hand[name] - right).max() / np.abs(right).max()
        for name, right in reference.items()
    }


# %%
def check(gradients, torch_loss, p, x, y, loss):
    """Compare the gradients of every parameter with both witnesses, and insist on 1e-6."""
    by_hand = gradients(p, x, y, loss)[1]
    measured = errors(by_hand, finite_differences(lambda q: gradients(q, x, y, loss)[0], p))
    derived = errors(by_hand, autograd(lambda q, *b: torch_loss(q, *b, loss), p, x, y))
    print(f"{loss}\n  parameter  count   largest slope   finite differences   autograd")
    for name, g in by_hand.items():
        largest = np.abs(g).max()
        print(f"  {name:9} {g.size:6} {largest:15.2e} {measured[name]:20.1e} {derived[name]:10.1e}")
    assert max(measured.values()) < 1e-6
    assert max(derived.values()) < 1e-6


def initial(sizes, seed, scale=lambda fan_in: 1.0):
    """Normal weights of standard deviation `scale(inputs)`, and biases at zero."""
    rng = np.random.default_rng(seed)
    d, h, k = sizes
    w1, w2 = rng.normal(size=(h, d)) * scale(d), rng.normal(size=(k, h)) * scale(h)
    return {"W1": w1, "b1": np.zeros(h), "W2": w2, "b2": np.zeros(k)}


# %%
moons_x, moons_y = make_moons(200, noise=0.15, random_state=0)
moons_x = (moons_x - moons_x.mean(axis=0)) / moons_x.std(axis=0)  # (200, 2)
moons_y = moons_y[:, None].astype(float)  # (200, 1)

small_start = initial((2, 4, 1), seed=1)
for loss in ("cross-entropy", "squared error"):
    check(small_gradients, small_torch_loss, small_start, moons_x, moons_y, loss)

# %% [markdown]
# Autograd agrees to the last digits of a double. Finite differences agree less closely, and not
# because the derivation is at fault: a large $h$ measures a chord instead of a tangent (error
# $\propto h^2$), a small $h$ divides rounding errors by almost nothing (error $\propto 1/h$).

# %%
steps = 10.0 ** np.arange(-12, 0.5, 0.5)
by_hand = small_gradients(small_start, moons_x, moons_y, "cross-entropy")[1]
worst = []
for h in steps:
    slopes = finite_differences(
        lambda q: small_gradients(q, moons_x, moons_y, "cross-entropy")[0], small_start, h
    )
    worst.append(max(errors(slopes, by_hand).values()))

fig, ax = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
ax.loglog(steps, worst, "o-", ms=4)
ax.axhline(1e-6, color="grey", ls="--", lw=1)
ax.text(steps[0], 1.4e-6, "what the check allows", color="grey", fontsize=8)
ax.set(
    xlabel="step h", ylabel="largest relative error", title="Finite differences have a best step"
)
plt.show()

# %% [markdown]
# ## 3. Training both ways
#
# Gradient descent takes the step $\theta \leftarrow \theta - \eta\, \partial L / \partial \theta$
# with learning rate $\eta$. **Batch** gradient descent computes each gradient from the whole
# training set, **mini-batch** gradient descent from a few cases at a time: more steps for the same
# work, each a little wrong. In code they differ in one number, the batch size.
#
# The NumPy network and its PyTorch twin start from the same weights and see the same batches. They
# must report the same loss at every step and end at the same weights.


# %%
def make_batches(n, size, epochs, seed=0):
    """Index arrays; each epoch visits the n cases once, in a new order."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(n) for _ in range(epochs)]
    return [order[i : i + size] for order in orders for i in range(0, n, size)]


def train_numpy(gradients, start, x, y, batches, lr, loss):
    """The trained parameters, and the loss before each step."""
    p = {name: array.copy() for name, array in start.items()}
    losses = []
    for rows in batches:
        value, grads = gradients(p, x[rows], y[rows], loss)
        for name in p:
            p[name] -= lr * grads[name]
        losses.append(value)
    return p, np.array(losses)


def train_torch(torch_loss, start, x, y, batches, lr, loss):
    """The same with autograd; the step is that of `torch.optim.SGD`, which takes long to import."""
    p = {name: torch.tensor(array, requires_grad=True) for name, array in start.items()}
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    losses = []
    for rows in map(torch.from_numpy, batches):
        value = torch_loss(p, x[rows], y[rows], loss)
        with torch.no_grad():
            for leaf, g in zip(p.values(), torch.autograd.grad(value, p.values()), strict=True):
                leaf -= lr * g
        losses.append(value.item())
    return {name: leaf.detach().numpy() for name, leaf in p.items()}, np.array(losses)


# %%
def train_both(gradients, torch_loss, start, x, y, batches, lr, loss):
    """Train twice; insist on equal losses at every step and equal weights at the end.

    Returns the weights, NumPy's losses and PyTorch's losses.
    """
    p, ours = train_numpy(gradients, start, x, y, batches, lr, loss)
    q, theirs = train_torch(torch_loss, start, x, y, batches, lr, loss)
    apart = np.abs(ours - theirs).max()
    assert apart < 1e-8, apart
    assert all(np.allclose(p[name], q[name], rtol=0, atol=1e-6) for name in p)
    before, after = (gradients(params, x, y, loss)[0] for params in (start, p))
    assert after < before
    print(f"  loss {before:.3f} to {after:.3f} in {len(ours)} steps, apart by {apart:.0e}", end="")
    return p, ours, theirs


def epoch_means(losses, per_epoch):
    """The mean over the steps of each epoch."""
    return losses.reshape(-1, per_epoch).mean(axis=1)


def plot_both(ax, ours, theirs, epochs, label):
    """Every step of NumPy's in pale, epoch means as a line; some of PyTorch's as circles."""
    per_epoch = len(ours) // epochs
    middle = np.arange(epochs) + 0.5  # the epoch of the mean
    (line,) = ax.plot(middle, epoch_means(ours, per_epoch), lw=1.5, label=label)
    if per_epoch > 1:
        steps = (np.arange(len(ours)) + 0.5) / per_epoch
        ax.plot(steps, ours, lw=0.5, alpha=0.35, color=line.get_color(), zorder=1)
    few = np.unique(np.linspace(0, epochs - 1, 12).astype(int))
    means = epoch_means(theirs, per_epoch)[few]
    ax.plot(middle[few], means, "o", mfc="none", ms=6, color=line.get_color())


# %% [markdown]
# Two data sets. The *two moons* are made up, and no straight line parts them. The other is real:
# 569 breast masses from Wisconsin, each described by measurements of the cell nuclei in a picture
# of a fine-needle aspirate. Two of the thirty measurements are used; the target is 1 for malignant.

# %%
cells = load_breast_cancer()
columns = [list(cells.feature_names).index(n) for n in ("mean texture", "mean concave points")]
cells_x = cells.data[:, columns]
cells_x = (cells_x - cells_x.mean(axis=0)) / cells_x.std(axis=0)  # (569, 2)
cells_y = (cells.target == 0)[:, None].astype(float)  # (569, 1); scikit-learn has 0 for malignant

SMALL_EPOCHS = 1000 if QUICK else 3000
SMALL_RATE = 3.0
small_data = {"two moons": (moons_x, moons_y), "cell nuclei": (cells_x, cells_y)}
small_runs = {}
for data, (x, y) in small_data.items():
    for loss in ("cross-entropy", "squared error"):
        for kind, size, epochs in (
            ("batch", len(x), SMALL_EPOCHS),
            ("mini-batch of 50", 50, SMALL_EPOCHS // 10),
        ):
            print(f"{data:12}{loss:14}{kind:18}", end="")
            batches = make_batches(len(x), size, epochs)
            p, ours, theirs = train_both(
                small_gradients, small_torch_loss, small_start, x, y, batches, SMALL_RATE, loss
            )
            small_runs[data, loss, kind] = p, ours, theirs, epochs
            print(f", {np.mean((small_forward(p, x)[1] > 0) == y):.1%} correct")

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
for row, data in zip(axes, small_data, strict=True):
    for ax, loss in zip(row, ("cross-entropy", "squared error"), strict=True):
        for kind in ("mini-batch of 50", "batch"):
            plot_both(ax, *small_runs[data, loss, kind][1:], kind)
        ax.set(xscale="log", xlim=(0.4, None), xlabel="epoch", ylabel=loss, title=data)
        ax.legend(title="line NumPy, circles PyTorch", title_fontsize=8, fontsize=8)
plt.show()


# %%
def plot_boundary(ax, p, x, y, title):
    low, high = x.min(axis=0) - 0.5, x.max(axis=0) + 0.5
    u, v = np.meshgrid(np.linspace(low[0], high[0], 200), np.linspace(low[1], high[1], 200))
    prob = sigmoid(small_forward(p, np.column_stack([u.ravel(), v.ravel()]))[1]).reshape(u.shape)
    shades = ax.contourf(u, v, prob, levels=np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
    ax.contour(u, v, prob, levels=[0.5], colors="black", linewidths=1)
    ax.scatter(*x.T, c=y[:, 0], cmap="RdBu_r", s=10, edgecolors="black", linewidths=0.3)
    ax.set_title(title)
    return shades


fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
plot_boundary(
    axes[0], small_runs["two moons", "cross-entropy", "batch"][0], moons_x, moons_y, "two moons"
)
axes[0].set(xlabel="first input (standardized)", ylabel="second input (standardized)")
shades = plot_boundary(
    axes[1], small_runs["cell nuclei", "cross-entropy", "batch"][0], cells_x, cells_y, "cell nuclei"
)
axes[1].set(xlabel="mean texture (standardized)", ylabel="mean concave points (standardized)")
fig.colorbar(shades, ax=axes, label="probability p of target 1")
plt.show()

# %% [markdown]
# ## 4. Handwritten digits: 784-5-10
#
# Now $D = 784$ pixels, $H = 5$ hidden units and $K = 10$ classes. Two things change.
#
# **The hidden activation** is $\mathrm{ReLU}(z) = \max(z, 0)$, whose slope is 1 where $z_1 > 0$ and
# 0 elsewhere:
#
# $$\delta_1 = (\delta_2 W_2) \odot [z_1 > 0]$$
#
# **The output** is a softmax, $p_k = e^{z_k} / \sum_j e^{z_j}$ (here $z$ is a row of $z_2$), and the
# target $y$ is one-hot: a row of zeros with a 1 at the true class. Each probability depends on
# every logit:
#
# $$\frac{\partial p_j}{\partial z_k} = p_j \,\big( [j = k] - p_k \big)$$
#
# *Cross-entropy*, $L = -\frac1B \sum_b \sum_k y_k \log p_k$. The chain rule sums over the
# probabilities, and $\sum_j y_j = 1$ leaves the same short result as before:
#
# $$\frac{\partial L}{\partial z_k}
#   = -\frac1B \sum_j \frac{y_j}{p_j}\, p_j \,\big( [j = k] - p_k \big)
#   = -\frac1B \Big( y_k - p_k \sum_j y_j \Big)
#   \quad\Longrightarrow\quad \delta_2 = \tfrac1B\,(p - y)$$
#
# *Squared error*, $L = \frac1B \sum_b \sum_k (p_k - y_k)^2$: summed over the classes, mean over the
# cases. With $g = \partial L / \partial p = \frac2B (p - y)$ nothing cancels:
#
# $$\frac{\partial L}{\partial z_k} = \sum_j g_j\, p_j \,\big( [j = k] - p_k \big)
#   = p_k \Big( g_k - \sum_j g_j\, p_j \Big)$$


# %%
def log_softmax(z):
    z = z - z.max(axis=1, keepdims=True)  # the same probabilities, and no overflow in exp
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def digit_forward(p, x):
    z1 = x @ p["W1"].T + p["b1"]  # (B, 5)
    a1 = np.maximum(z1, 0)
    return z1, a1, a1 @ p["W2"].T + p["b2"]  # (B, 10)


def digit_gradients(p, x, y, loss):
    """The loss and its derivative by each parameter; y one-hot, (B, 10)."""
    z1, a1, z2 = digit_forward(p, x)
    log_p = log_softmax(z2)
    prob = np.exp(log_p)
    if loss == "cross-entropy":
        value = -np.mean(np.sum(y * log_p, axis=1))
        delta2 = (prob - y) / len(x)
    else:
        value = np.mean(np.sum((prob - y) ** 2, axis=1))
        g = 2 * (prob - y) / len(x)
        delta2 = prob * (g - np.sum(g * prob, axis=1, keepdims=True))
    delta1 = (delta2 @ p["W2"]) * (z1 > 0)
    return value, layer_gradients(x, a1, delta1, delta2)


def digit_torch_loss(p, x, y, loss):
    z2 = F.linear(F.relu(F.linear(x, p["W1"], p["b1"])), p["W2"], p["b2"])
    if loss == "cross-entropy":
        return F.cross_entropy(z2, y.argmax(dim=1))
    return F.mse_loss(z2.softmax(dim=1), y, reduction="sum") / len(x)


# %% [markdown]
# The digits are MNIST where its files are at hand: in the folder `mnist` of `$MEDIMG_DATA`, or of
# `shared/data` beside or above this project. Elsewhere they are the 8 x 8 digits that scikit-learn
# carries, and the network is 64-5-10. An IDX file is a header of 4 bytes for the type and the
# number of axes, 4 bytes for the length of each axis, and then the plain values.
#
# The mean training image is taken off every image. Left uncentred, all inputs of a hidden unit are
# positive, so that one step moves all its weights up or all of them down, and descent zigzags.


# %%
def read_idx(path):
    """The values of an IDX file of bytes, gzipped or not."""
    raw = path.read_bytes()
    raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    axes = raw[3]
    shape = np.frombuffer(raw, ">i4", count=axes, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * axes).reshape(shape)


def find_mnist():
    """The four MNIST files in their usual order, or None."""
    roots = [Path(os.environ["MEDIMG_DATA"])] if os.environ.get("MEDIMG_DATA") else []
    roots += [folder / "shared" / "data" for folder in (Path.cwd(), *Path.cwd().parents)]
    parts = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    for folder in (root / "mnist" for root in roots):
        files = [next(folder.glob(f"{part}-ubyte*"), None) for part in parts]
        if all(files):
            return files
    return None


def load_images():
    """Name of the data, then images in 0..1 and labels: training (n, D), (n,), and test."""
    files = find_mnist()
    if files:
        train_x, train_y, test_x, test_y = map(read_idx, files)
        return "MNIST", train_x / 255, train_y, test_x / 255, test_y
    digits = load_digits()
    images = digits.images / 16
    train, test = slice(0, 1400), slice(1400, None)
    return (
        "scikit-learn digits",
        images[train],
        digits.target[train],
        images[test],
        digits.target[test],
    )


# %%
N_TRAIN, N_TEST = (2000, 2000) if QUICK else (20000, 10000)
source, train_x, train_y, test_x, test_y = load_images()
train_x, train_y, test_x, test_y = (
    train_x[:N_TRAIN],
    train_y[:N_TRAIN],
    test_x[:N_TEST],
    test_y[:N_TEST],
)
side = train_x.shape[1]
train_x, test_x = train_x.reshape(len(train_x), -1), test_x.reshape(len(test_x), -1)  # (n, D)
D = train_x.shape[1]
print(f"{source}: {len(train_x)} training and {len(test_x)} test images of {side} x {side} pixels")

fig, axes = plt.subplots(1, 10, figsize=(9, 1.3), layout="constrained")
for ax, image, label in zip(axes, train_x, train_y, strict=False):
    ax.imshow(image.reshape(side, side), cmap="gray")
    ax.set_title(str(label), fontsize=9)
    ax.axis("off")
plt.show()

mean, spread = train_x.mean(axis=0), train_x.std()
train_x, test_x = (train_x - mean) / spread, (test_x - mean) / spread
train_t = np.eye(10)[train_y]  # one-hot, (n, 10)

# %% [markdown]
# The weights start with a standard deviation of $\sqrt{2 / \text{inputs}}$ (He), which keeps the
# size of the signal through a ReLU layer. The check goes over every parameter again. ReLU has a
# kink at 0, where a slope does not exist and a finite difference would straddle it; the first
# assertion makes sure that no hidden unit is that close to its kink.

# %%
digit_start = initial((D, 5, 10), seed=0, scale=lambda fan_in: np.sqrt(2 / fan_in))
few_x, few_t = train_x[:32], train_t[:32]
assert np.abs(digit_forward(digit_start, few_x)[0]).min() > 1e-5 * np.abs(few_x).max()
for loss in ("cross-entropy", "squared error"):
    check(digit_gradients, digit_torch_loss, digit_start, few_x, few_t, loss)

# %% [markdown]
# ### Training
#
# Each loss is minimized by batch and by mini-batch descent with the same learning rate, and each of
# these in NumPy and in PyTorch. The horizontal axis counts epochs (passes over the training set), so
# that equal distances cost equal arithmetic.

# %%
BATCH_EPOCHS, MINI_EPOCHS = (50, 10) if QUICK else (100, 10)
PLANS = (  # loss, kind, batch size, epochs, learning rate
    ("cross-entropy", "batch", len(train_x), BATCH_EPOCHS, 0.1),
    ("cross-entropy", "mini-batch of 100", 100, MINI_EPOCHS, 0.1),
    ("squared error", "batch", len(train_x), BATCH_EPOCHS, 0.2),
    ("squared error", "mini-batch of 100", 100, MINI_EPOCHS, 0.2),
)
digit_runs = {}
for loss, kind, size, epochs, lr in PLANS:
    print(f"{loss:14}{kind:18}", end="")
    batches = make_batches(len(train_x), size, epochs)
    p, ours, theirs = train_both(
        digit_gradients, digit_torch_loss, digit_start, train_x, train_t, batches, lr, loss
    )
    digit_runs[loss, kind] = p, ours, theirs, epochs
    correct = np.mean(digit_forward(p, test_x)[2].argmax(axis=1) == test_y)
    print(f", {correct:.1%} of the test images correct")

# %%
fig, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
for ax, loss in zip(axes, ("cross-entropy", "squared error"), strict=True):
    for kind in ("mini-batch of 100", "batch"):
        plot_both(ax, *digit_runs[loss, kind][1:], kind)
    ax.set(xlabel="epoch", ylabel=loss, title=source)
    ax.legend(title="line NumPy, circles PyTorch", title_fontsize=8, fontsize=8)
plt.show()

# After the same number of epochs, mini-batches have come further.
for loss in ("cross-entropy", "squared error"):
    batch, mini = digit_runs[loss, "batch"][1], digit_runs[loss, "mini-batch of 100"][1]
    assert epoch_means(mini, len(mini) // MINI_EPOCHS)[-1] < batch[MINI_EPOCHS - 1]

# %% [markdown]
# ### The gradient is a picture
#
# Row $h$ of $\partial L / \partial W_1 = \delta_1^\top x$ is $\sum_b \delta_{1,bh}\, x_b$: a sum of
# the training images, each weighted by how much the loss wants hidden unit $h$ to move for it. It
# can be looked at like an image. Above: the change that the loss asks for at the start. Below: what
# mini-batch descent has changed by the end.

# %%
first = digit_gradients(digit_start, train_x, train_t, "cross-entropy")[1]["W1"]
learned = digit_runs["cross-entropy", "mini-batch of 100"][0]["W1"] - digit_start["W1"]
fig, axes = plt.subplots(2, 5, figsize=(9, 4), layout="constrained")
labels = "-gradient at the start", "change of the weight"
for row, rows, title, label in zip(
    axes, (-first, learned), ("wanted", "learned"), labels, strict=True
):
    limit = np.abs(rows).max()
    for h, (ax, weights) in enumerate(zip(row, rows, strict=True)):
        shown = ax.imshow(weights.reshape(side, side), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_title(f"{title}, unit {h + 1}", fontsize=9)
        ax.axis("off")
    fig.colorbar(shown, ax=row, label=label)
plt.show()

# %% [markdown]
# ## 5. Four slips
#
# Each of these runs without an error message. Two of them even train.
#
# | slip | what was written | what is right |
# | --- | --- | --- |
# | the loss with its sign turned | $+\frac1B\sum_b y \log p + (1 - y) \log(1 - p)$ | $-\frac1B\sum_b \dots$ |
# | a forgotten second weight matrix | $\delta_1 = \delta_2 \odot a_1 \odot (1 - a_1)$ | $\delta_1 = (\delta_2 W_2) \odot a_1 \odot (1 - a_1)$ |
# | the sigmoid's derivative of the wrong quantity | $\sigma'(a_1) = \sigma(a_1)(1 - \sigma(a_1))$ | $\sigma'(z_1) = a_1 (1 - a_1)$ |
# | a sigmoid applied twice | $p = \sigma(\sigma(z_2))$ | $p = \sigma(z_2)$ |
#
# The forgotten matrix passes unseen because there is one output: $\delta_2$ is $(B, 1)$, and NumPy
# stretches it over the four hidden units. With ten outputs the shapes would not fit. The second
# sigmoid is usually a module at the end of a network whose loss function (PyTorch's
# `binary_cross_entropy_with_logits`, say) brings its own; here its derivative is even taken right.

# %%
SLIPS = ("sign turned", "W2 forgotten", "derivative of a1", "sigmoid twice")


def slip_gradients(p, x, y, slip):
    """Cross-entropy of the 2-4-1 network with one slip; also what it takes for p."""
    a1, z2 = small_forward(p, x)
    if slip == "sigmoid twice":
        s = sigmoid(z2)
        value = np.mean(np.logaddexp(0, s) - y * s)
        delta2 = (sigmoid(s) - y) / len(x) * s * (1 - s)
    else:
        value = np.mean(np.logaddexp(0, z2) - y * z2)
        delta2 = (sigmoid(z2) - y) / len(x)
    if slip == "sign turned":
        value, delta2 = -value, -delta2
    back = delta2 if slip == "W2 forgotten" else delta2 @ p["W2"]
    u = sigmoid(a1) if slip == "derivative of a1" else a1
    return value, layer_gradients(x, a1, back * u * (1 - u), delta2)


# With no slip it is the network of section 1.
for name, g in slip_gradients(small_start, moons_x, moons_y, None)[1].items():
    assert np.array_equal(
        g, small_gradients(small_start, moons_x, moons_y, "cross-entropy")[1][name]
    )

# %% [markdown]
# ### Which check catches which

# %%
reference = autograd(
    lambda p, x, y: small_torch_loss(p, x, y, "cross-entropy"), small_start, moons_x, moons_y
)
found = {}
for slip in SLIPS:
    by_hand = slip_gradients(small_start, moons_x, moons_y, slip)[1]
    own = finite_differences(
        lambda q, s=slip: slip_gradients(q, moons_x, moons_y, s)[0], small_start
    )
    found[slip] = errors(by_hand, own), errors(by_hand, reference)

print(f"{'':18} {'finite differences of its own loss':^38}   {'autograd of the right loss':^38}")
print(f"{'':18}" + 2 * ("".join(f"{name:>9}" for name in small_start) + "     "))
for slip, pair in found.items():
    print(f"{slip:18}" + "     ".join("".join(f"{e:9.0e}" for e in one.values()) for one in pair))

# %%
for slip in SLIPS:
    own, right = found[slip]
    assert max(right.values()) > 0.05  # autograd of the right loss catches all four
    if slip in ("sign turned", "sigmoid twice"):
        assert max(own.values()) < 1e-6  # the gradient of a wrong loss, correctly derived
    else:
        assert min(own["W1"], own["b1"]) > 0.05  # wrong below the slip,
        assert max(own["W2"], own["b2"]) < 1e-6  # right above it

# %% [markdown]
# The table separates two kinds of slip:
#
# * **A wrong derivative of the right loss** (the forgotten matrix, the derivative of $a_1$): finite
#   differences catch it, and point to the place. Everything above the slip is right, everything
#   below it wrong.
# * **A right derivative of the wrong loss** (the turned sign, the second sigmoid): the gradient
#   belongs to the loss as written, so finite differences *of that loss* find nothing. It takes a
#   reference that was written independently: here PyTorch's loss, or a value worked out on paper.
#
# Autograd itself makes the first kind impossible and leaves the second untouched.
#
# ### What the loss does

# %%
batches = make_batches(len(moons_x), len(moons_x), 3000)


def train_with_slip(slip):
    """The reported loss and the right loss at each step, and the share called right at the end."""
    right = []

    def watched(p, x, y, loss):
        right.append(small_gradients(p, x, y, "cross-entropy")[0])
        return slip_gradients(p, x, y, slip)

    p, reported = train_numpy(watched, small_start, moons_x, moons_y, batches, SMALL_RATE, None)
    prob = sigmoid(small_forward(p, moons_x)[1])
    prob = sigmoid(prob) if slip == "sigmoid twice" else prob
    return reported, np.array(right), np.mean((prob > 0.5) == moons_y)


slip_runs = {slip: train_with_slip(slip) for slip in (None, *SLIPS)}
for slip, (reported, right, correct) in slip_runs.items():
    print(
        f"{slip or 'no slip':18} reports {reported[-1]:9.3f}, right loss {right[-1]:9.3f},"
        f" {correct:.1%} correct"
    )

# %%
fig, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
for ax, slip in zip(axes.flat, SLIPS, strict=True):
    reported, right, _ = slip_runs[slip]
    ax.plot(slip_runs[None][0], color="0.6", lw=3, label="no slip")
    ax.plot(reported, color="C3", label="loss that the code reports")
    ax.plot(right, color="C0", ls="--", label="right loss of its weights")
    ax.set(xlabel="step", ylabel="cross-entropy", title=slip)
axes[0, 0].set(xlim=(0, 10), ylim=(-10, 10))  # it goes on like this
floor = (np.log(2) + np.log(1 + np.exp(-1))) / 2
axes[1, 1].axhline(floor, color="black", ls=":")
axes[1, 1].text(2000, floor - 0.01, "floor", va="top", fontsize=8)
axes[0, 0].legend(fontsize=8)
plt.show()

# %%
right_at_end = {slip: run[1][-1] for slip, run in slip_runs.items()}
assert right_at_end[None] < 0.1
assert right_at_end["sign turned"] > 10 > 0 > slip_runs["sign turned"][0][-1]
below = {slip: np.argmax(run[1] < 0.1) for slip, run in slip_runs.items()}  # first step below 0.1
assert below["W2 forgotten"] > 3 * below[None] > 0
creeping = slip_runs["derivative of a1"][1]
assert creeping[0] > creeping[-1] > 1.05 * creeping.min()
assert slip_runs["sigmoid twice"][0].min() > floor
assert slip_runs["sigmoid twice"][2] == moons_y.mean()  # every case is called positive

# %% [markdown]
# * **Sign turned.** The reported loss falls, below zero even, which no cross-entropy can. The network
#   learns to be wrong. A loss that falls shows that descent works, not that the loss is right.
# * **$W_2$ forgotten.** Every hidden unit is told the same thing, whether the output adds it or
#   subtracts it. The output layer, whose gradient is right, makes do with what it is given, and here
#   the loss comes down after all, several times later. It looks like a poor learning rate.
# * **Derivative of $a_1$.** For $a_1$ between 0 and 1, $\sigma(a_1)(1 - \sigma(a_1))$ lies between
#   0.20 and 0.25: a saturated unit is pushed as hard as an undecided one. The steps no longer point
#   downhill, and after its first fall the loss creeps up again. Smaller steps do not help.
# * **Sigmoid twice.** $\sigma(\sigma(z))$ lies between $\sigma(0) = 0.5$ and $\sigma(1) = 0.73$. No
#   probability falls below one half, so every case is called positive, and with as many positives as
#   negatives the loss cannot pass the floor $\frac12(\log 2 + \log(1 + e^{-1})) = 0.503$.
#
# ### Before trusting a gradient
#
# 1. Does each gradient have the shape of its parameter, without any broadcasting on the way?
# 2. Do finite differences agree, on every parameter, in double precision?
# 3. Does the loss agree with one that somebody else wrote, on the same logits?
# 4. Is the loss at the start plausible? With small weights, $K$ classes give about $\log K$.
# 5. Does it come close to zero on a handful of cases? A network that cannot learn ten by heart has a
#    fault.
