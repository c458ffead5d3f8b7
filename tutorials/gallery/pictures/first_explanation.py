r"""
A first explanation, beside Captum's methods
============================================

Five attribution methods of one digit, then what no number per patch can say: which patches act **together**, and which
**stand in for** each other.
"""

# %%
# The model and its data
# ----------------------
# A small CNN on the digits that come with scikit-learn (``tutorials/datasets/digits.py``). Any model that returns class
# scores will do; to explain one of your own, replace these lines. For CIFAR-10:
# ``from tutorials.datasets.cifar10 import cifar10; images, labels = cifar10(train=True)``.
import torch
from captum.attr import IntegratedGradients, KernelShap, Occlusion, ShapleyValues
from captum.metrics import infidelity, sensitivity_max
from matplotlib import pyplot as plt

from captum_andor import AndOrInteractions
from captum_andor.games.masks import image_grid
from captum_andor.studies import plot_frontier
from tutorials.datasets.digits import accuracy, digits, trained

images, labels = digits(train=True)
test_images, test_labels = digits(train=False)
model = trained(images, labels)
print(f"test accuracy {accuracy(model, test_images, test_labels):.1%}")

# %%
# Players
# -------
# An explanation speaks of *players*: groups of input elements that are there or replaced by a baseline, here 0, which
# is background. Six patches are six players, so that all 2⁶ = 64 masked digits can be looked at. The same mask goes to
# Captum's methods.
x, target = test_images[:1], int(test_labels[0])
mask = image_grid(8, 8, 3, 2)
names = [f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "right")]
print(mask[0, 0])

# %%
# Attributions
# ------------
# ``AndOrInteractions.attribute`` has Captum's arguments and returns Shapley values, those of ``ShapleyValues``; it
# needs 64 passes for them instead of 6 · 6! + 1 = 4 321. (The few passes more ask some masked digits again, to see
# whether the model repeats its answers; :doc:`/checks`.)
passes = 0


def counted(inputs):
    """Count the rows that a method sends through the model."""
    global passes
    passes += len(inputs)
    return model(inputs)


torch.manual_seed(0)
grouped = {"target": target, "feature_mask": mask}
runs = {
    "IntegratedGradients": lambda: IntegratedGradients(counted).attribute(x, target=target),
    "Occlusion": lambda: Occlusion(counted).attribute(x, target=target, sliding_window_shapes=(1, 3, 3)),
    "KernelShap": lambda: KernelShap(counted).attribute(x, n_samples=64, **grouped),
    "ShapleyValues": lambda: ShapleyValues(counted).attribute(x, **grouped),
    "AndOrInteractions": lambda: AndOrInteractions(counted).attribute(x, **grouped),
}
maps = {}
print(f"{'method':20}{'passes':>7}")
for name, run in runs.items():
    passes = 0
    maps[name] = run().detach().float()
    print(f"{name:20}{passes:7}")
difference = (maps["AndOrInteractions"] - maps["ShapleyValues"]).abs().max()
print(f"largest difference between the last two: {float(difference):.1e}")
# sphinx_gallery_start_ignore
assert 64 < passes <= 64 + 8  # AndOrInteractions came last; as the text says
assert float(difference) < 1e-4
# sphinx_gallery_end_ignore

fig, axes = plt.subplots(1, 6, figsize=(12, 2.4), layout="constrained")
axes[0].imshow(x[0, 0], cmap="gray")
axes[0].set_title("the digit", fontsize=9)
for axis, (name, values) in zip(axes[1:], maps.items(), strict=True):
    size = float(values.abs().max())
    axis.imshow(values[0, 0], cmap="PuOr_r", vmin=-size, vmax=size)
    axis.set_title(name, fontsize=9)
for axis in axes:
    axis.set_axis_off()

# %%
# Captum's own measures take ours like any other attribution. Infidelity: how far is the sum of what was taken away from
# the change of the output, when random patches go? Sensitivity: how much does an attribution move when the input moves
# a little? Both are better when small.


def take_patches(inputs):
    """What is taken away (1 for each of its pixels), and the digit without it."""
    taken = torch.rand(len(inputs), 6).round()[:, mask.flatten()].view_as(inputs)
    return taken, inputs * (1 - taken)


def per_pixel(name, attribution):
    """Methods that take a mask give every pixel the value of its patch; share it out."""
    return (
        attribution if name in ("IntegratedGradients", "Occlusion") else attribution / mask.flatten().bincount()[mask]
    )


methods = {"IntegratedGradients": IntegratedGradients, "KernelShap": KernelShap, "AndOrInteractions": AndOrInteractions}
print(f"{'method':20}{'infidelity':>11}{'sensitivity':>12}")
for name, method in methods.items():
    options = {"target": target} if name == "IntegratedGradients" else grouped

    def explain(inputs, method=method, options=options):
        return method(model).attribute(inputs[0], **options).float()

    torch.manual_seed(0)
    error = infidelity(model, take_patches, x, per_pixel(name, maps[name]), target=target, n_perturb_samples=200)
    print(f"{name:20}{float(error):11.3f}{float(sensitivity_max(explain, x, max_examples_per_batch=1)):12.3f}")

# %%
# Patterns
# --------
# Now the same passes, read as a *logical model*: a constant and a few AND and OR patterns whose sum follows the model
# on **all** 64 masked digits. R² says how closely. An AND pattern counts when all of its patches are there, an OR
# pattern when at least one is; its weight is what it adds beside the others. What the model itself does when one patch
# comes in alone, or all of a pattern do, is measured beside it.
andor = AndOrInteractions(model, score="log_odds")
patterns = andor.logical_model(x, max_patterns=6, player_names=names, **grouped)
print(patterns)
for rule in patterns[0].rules()[:3]:
    print(rule)

# %%
# Solid outlines are AND, dashed ones OR; green raises the log-odds of the digit, orange lowers it.
patterns[0].plot("image", x, use_pyplot=True)

# %%
# How many patterns does it take? The frontier shows R² against their number.
plot_frontier(patterns[0])

# %%
# Where to go from here: your own photos in superpixels (:ref:`sphx_glr_gallery_pictures_photo_superpixels.py`), a table
# (:ref:`sphx_glr_gallery_tables_census.py`), a text (:ref:`sphx_glr_gallery_text_news.py`); :doc:`/choosing` says how
# to choose players, baselines, score, budget and number of patterns.
