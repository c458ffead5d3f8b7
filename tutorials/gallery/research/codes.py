r"""
Codes inside a network: self-organizing maps of its layers
==========================================================

Each layer's output for a sample becomes a point on a map whose neighbouring units are alike; its unit is the sample's
*code*. Do codes grow more diverse with depth, do they know the labels, and do attacks move them?
"""

# %%
# A map for every layer
# ---------------------
import warnings

import torch
from captum.robust import PGD
from torch import nn

from captum_andor.studies import LayerCodes
from tutorials.datasets.digits import digits, small_cnn, trained

images, labels = digits(train=True)
test_images, test_labels = digits(train=False)
model = trained(images, labels)
layers = ["1", "3", "6", "9"]  # after each activation, and the class scores
codes = LayerCodes(model, layers, grid=(12, 12)).fit((images, labels))
print(codes.transform(test_images[:3]), "units of three digits, a column a layer")

# %%
# The classes part with depth; dots are digits, coloured by class.
codes.plot_maps((test_images, test_labels))

# %%
# Measures, each beside its controls
# ----------------------------------
# Each number has a control: the same network *before* training, and shuffled labels.
# ``label_vote`` is the accuracy of "the label most frequent on this unit" for digits that made no map.
torch.manual_seed(0)
table = codes.measures((images, labels), untrained=small_cnn().eval())
shown = [
    "network",
    "layer",
    "bmu_entropy",
    "cosine_distance",
    "participation_ratio",
    "label_vote",
    "label_vote_shuffled",
]
print(table[shown].round(3).to_string(index=False))

# %%
codes.plot_measures(table)
# sphinx_gallery_start_ignore
# The next paragraph says what came out; the docs are not built where it does not.
votes = table.pivot(index="layer", columns="network", values="label_vote").loc[layers]
gained = votes["trained"] - votes["untrained"]
assert gained.is_monotonic_increasing and votes["untrained"].min() > 0.5, votes
diversity = table[table["network"] == "trained"]
assert diversity["bmu_entropy"].is_monotonic_decreasing and diversity["cosine_distance"].is_monotonic_increasing
# sphinx_gallery_end_ignore

# %%
# Read them together. The measures of diversity need not agree: with depth, entropy falls here while distance grows. An
# untrained network votes well, too, since digits of one class look alike: what training adds is the *difference*, and
# it grows with depth.
#
# Attacks against noise of equal size
# -----------------------------------
# Captum's PGD moves each digit by at most a tenth of the range; the noise has the same elements in random order and
# sign.
warnings.filterwarnings("ignore", "Input Tensor 0 did not already require gradients")  # Captum's, at every step
method = PGD(model, nn.CrossEntropyLoss(reduction="none"), lower_bound=0.0, upper_bound=1.0)


def attack(x, y):
    """Attacked digits."""
    return method.perturb(x, radius=0.1, step_size=0.02, step_num=10, target=y)


moves = codes.attack((test_images, test_labels), attack)
print(f"right decisions turned: attack {moves.attrs['success']:.0%}, noise {moves.attrs['success_noise']:.0%}")
print(moves.drop(columns=["distance", "distance_noise"]).round(2).to_string(index=False))

# %%
# ``easier`` asks whether digits with a *common* code are easier to attack, their margin held fixed; its interval says
# whether anything can be seen.

# %%
# An ImageNet network
# -------------------
# EfficientNet-Lite0 on random crops of eight photos. Which photo a crop is of, codes know at every depth, trained or
# not: the photos differ too much to ask more. What training changes is how far the codes spread.
from efficientnet_lite_pytorch import EfficientNet

from tutorials.datasets.photos import crops, efficientnet_lite0

x, y = crops(12)
torch.manual_seed(0)
blocks = LayerCodes(efficientnet_lite0(), ["_blocks.0", "_blocks.5", "_blocks.15", "_fc"], grid=(6, 6), batch_size=32)
table = blocks.measures((x, y), untrained=EfficientNet.from_name("efficientnet-lite0").eval())
print(table[shown].round(3).to_string(index=False))
# sphinx_gallery_start_ignore
assert table["label_vote"].min() > 0.9
spread = table.pivot(index="layer", columns="network", values="cosine_distance")
assert (spread["trained"] > 3 * spread["untrained"]).all(), spread
# sphinx_gallery_end_ignore

# %%
# A ready-made use of the codes stands in the report of confusing samples:
# ``studies.add_witnesses(report, ("codes", "connectivity"))`` (:doc:`/witnesses`).
