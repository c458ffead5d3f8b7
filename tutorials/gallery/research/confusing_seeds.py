r"""
Confusing samples: do three seeds agree?
========================================

Three networks that differ in nothing but their random start. Which training images does each of them decide for
reasons that do not generalize, and are these the same images?
"""

# %%
# Three seeds
# -----------
# For CIFAR-10: ``from tutorials.datasets.cifar10 import cifar10; images, labels = cifar10(train=True)``.
import textwrap

from captum_andor import ConfusingSampleAnalyzer
from captum_andor.games.masks import image_grid
from tutorials.datasets.digits import accuracy, digits, trained

images, labels = digits(train=True)
test_images, test_labels = digits(train=False)
models = {f"seed {seed}": trained(images, labels, seed) for seed in range(3)}
for name, model in models.items():
    print(f"{name}: test accuracy {accuracy(model, test_images, test_labels):.1%}")

# %%
# Scores of confusion
# -------------------
# Nine patches, two baselines (background, and the mean digit): what depends on the choice of baseline cancels, and how
# much it does is reported.
analyzer = ConfusingSampleAnalyzer(baselines=[0, images.mean(0)], feature_mask=image_grid(8, 8, 3, 3))
for name, model in models.items():
    analyzer.add_model(name, model)
report = analyzer.evaluate((images[:400], labels[:400]))
print(report)

# %%
# What to look at first, and why:
for row in report.rank("seed 0").head(4).itertuples():
    print(textwrap.fill(f"{row.rank}. sample {row.sample}: {row.reasons}", 100), "\n")

# %%
# The most and the least confusing ones, each with its strongest patterns:
report.plot_gallery("seed 0", use_pyplot=True)

# %%
# Do they agree?
# --------------
# Never read an overlap alone. Beside it stand chance, the overlap of *one* network with itself under the other baseline
# (``ceiling_baseline``: of sets by one baseline each, so compare it with ``iou_one_view``, not with ``iou``, whose sets
# go by both), and the correlation that is left once loss and margin are held fixed.
columns = ["model_a", "model_b", "iou", "chance", "iou_one_view", "ceiling_baseline", "spearman", "spearman_given_loss"]
overlap = report.overlap()
print(overlap[[c for c in columns if c in overlap]].round(2).to_string(index=False))

# %%
report.plot_overlap(use_pyplot=True)

# %%
# How complex are the reasons?
# ----------------------------
# Strength of interactions by their number of players, for confusing and for other samples.
report.plot_order_profile("seed 0", use_pyplot=True)

# %%
# ``report.to_html("confusing.html")`` writes all of this, with pictures, into one file to send round.
