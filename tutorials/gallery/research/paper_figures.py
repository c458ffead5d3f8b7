r"""
The paper on confusing samples, figure by figure
================================================

`Zhang et al. <https://arxiv.org/abs/2502.08625>`_ argue from seven kinds of figure. Each is one call here, on the
digits of scikit-learn with a tenth of the labels wrong, so that a network has something to learn by heart.
:doc:`/paper` says beside each what the paper says, what came out on Fashion-MNIST, and why they may differ.
"""

# %%
# Three networks that fit wrong labels, too
# -----------------------------------------
import copy
from pathlib import Path

import torch
from torch import nn

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from captum_andor.studies import FactorialResult, concentration, plot_concentration, trace_training
from captum_andor.visualization import plot_matching
from tutorials.datasets.digits import digits, small_cnn

images, true_labels = digits(train=True)
test_images, test_labels = digits(train=False)
generator = torch.Generator().manual_seed(0)
wrong = torch.rand(len(images), generator=generator) < 0.1
labels = torch.where(
    wrong, (true_labels + torch.randint(1, 10, true_labels.shape, generator=generator)) % 10, true_labels
)


def checkpoints(seed, epochs=(1, 4, 40)):
    """Networks after some epochs of one training."""
    torch.manual_seed(seed)
    model = small_cnn()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    found = {}
    for epoch in range(max(epochs) + 1):
        if epoch in epochs:
            found[epoch] = copy.deepcopy(model).eval()
        for rows in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return found


training = checkpoints(0)
models = {"seed 0": training[40], "seed 1": checkpoints(1)[40], "seed 2": checkpoints(2)[40]}
mask = image_grid(8, 8, 3, 3)
some = slice(0, 80)

# %%
# 1. Universal matching
# ---------------------
# What a few patterns say of every masked input (dots), beside what the network says (line), sorted.
method = AndOrInteractions(models["seed 0"], score="log_odds")
patterns = method.logical_model(
    images[:1], baselines=images.mean(0, keepdim=True), target=labels[:1], feature_mask=mask
)
plot_matching(patterns[0], use_pyplot=True)

# %%
# 2. Offsetting interactions of high order on few samples
# -------------------------------------------------------
# The curve would be the diagonal if all samples had equally many. A point above its bar of chance would say that
# samples with wrong labels hold more than random samples.
analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], feature_mask=mask, scores="all")
for name, model in models.items():
    analyzer.add_model(name, model)
report = analyzer.evaluate((images[some], labels[some]))
groups = {"wrong labels": wrong[some].numpy()}
print(concentration(report, "seed 0", groups=groups).round(2).to_string(index=False))
plot_concentration(report, "seed 0", groups, use_pyplot=True)

# %%
# 3. Interactions of training and of test samples
# -----------------------------------------------
# A similarity between two sets of samples can reach what halves of one set have, its ceiling on the right.
dynamics = trace_training(
    training,
    (images[some], labels[some]),
    (test_images[some], test_labels[some]),
    ConfusingSampleAnalyzer(baselines=[images.mean(0)], feature_mask=mask, scores=("net_order", "offset")),
    clean=~wrong[some].numpy(),
)
dynamics.plot_similarity(use_pyplot=True)

# %%
# 4. Two phases of training
# -------------------------
# Losses, their gap, and strength by order. ``clean=`` lets the gap count training samples with right labels alone: test
# labels are right, too.
dynamics.plot(use_pyplot=True)

# %%
# Two checkpoints beside each other:
dynamics.plot_profiles([4, 40], use_pyplot=True)

# %%
# 5. Hard and easy samples
# ------------------------
# Strength by order of the tenth of largest loss against the tenth of least. Any other column does, too.
report.plot_order_profile("seed 0", score="loss", against="least", use_pyplot=True)

# %%
# 6. Confusing sets of different networks
# ---------------------------------------
report.plot_overlap(use_pyplot=True)

# %%
# 7. What share do low layers decide?
# -----------------------------------
# From the scores of six hundred networks on Fashion-MNIST, which are in the repository: initial low parts × initial
# high parts, then trained ones (:doc:`/factorial`).
tables = Path("benchmarks/results/factorial/mlp-noisy/tables.npz")
root = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / tables).exists())
result = FactorialResult.load(root / tables)
result.plot(use_pyplot=True)

# %%
print(result.verdict())
