r"""
Photos: ten patterns between superpixels
========================================

An ImageNet network on three photos. Superpixels follow the edges of what is in a picture; ten patterns between them
follow the network's prediction over masked photos.
"""

# %%
# Network and photos
# ------------------
# EfficientNet-Lite0 with its ImageNet weights and scikit-image's photos come inside packages. With a network at hand,
# ``model = torchvision.models.resnet50(weights="DEFAULT").eval()`` and ``torchvision.datasets.ImageNet`` serve as well.
import torch
from captum.attr import visualization as viz

from captum_andor import AndOrInteractions
from captum_andor.games.masks import superpixels
from tutorials.datasets.photos import PHOTOS, class_names, efficientnet_lite0, normalised, photo

model, classes = efficientnet_lite0(), class_names()
method = AndOrInteractions(model, score="log_odds", class_names=classes)

# %%
# Players within a budget
# -----------------------
# Twelve superpixels are thousands of masked photos; the budget looks at 600 of them. What is absent is
# mid-grey, the network's zero. R² with its interval comes from photos that the choice of patterns never saw.
explained = {}
for name in PHOTOS:
    picture = photo(name)
    mask = superpixels(picture, 12)
    x = normalised(picture)
    with torch.no_grad():
        probability, target = model(x).softmax(1).max(1)
    result = method.logical_model(x, target=target, feature_mask=mask, budget=600, max_patterns=10, effort="accurate")
    explained[name] = picture, result[0]
    print(f"{name}: {classes[int(target)]}, probability {float(probability):.2f}\n{result}\n")
# sphinx_gallery_start_ignore
# The text below names what came out; the docs are not built where it does not.
assert max(float(explained[name][1].r2) for name in ("chelsea", "rocket")) < float(explained["coffee"][1].r2)
# sphinx_gallery_end_ignore

# %%
# Read R² first. Where it is high, the ten patterns stand for the network; where it is lower, as for cat and rocket, of
# which the network is not sure, they leave a good part out, and the printed interval says how much it may be. Then take
# more patterns, fewer superpixels, or another baseline, and look again.

# %%
# One panel a pattern
# -------------------
# Solid outlines are AND, dashed ones OR; green speaks for the class, orange against it.
picture, patterns = explained["chelsea"]
patterns.plot("image", picture, k=6, use_pyplot=True)

# %%
# All patterns of a photo in one picture
# --------------------------------------
for name, (picture, patterns) in explained.items():
    patterns.plot("overview", picture, k=4, title=f"{name}, R² {float(patterns.r2):.2f}")

# %%
# As attributions
# ---------------
# The Shapley values that the patterns imply are shaped like the input, so that Captum's figures take them.
picture, patterns = explained["coffee"]
viz.visualize_image_attr(
    patterns.attributions().permute(1, 2, 0).numpy(),
    picture[0].permute(1, 2, 0).numpy(),
    method="blended_heat_map",
    sign="all",
    show_colorbar=True,
    title="coffee: Shapley values of the ten patterns",
)

# %%
# Coarse patches, then finer ones where it matters
# ------------------------------------------------
# Nine patches are 512 masked photos; of the three strongest, four quarters each, and what was seen is kept. Shapley
# values of the eighteen players, with standard errors:
from captum_andor.games.masks import image_grid

x = normalised(picture)
with torch.no_grad():
    target = int(model(x).argmax(1))
coarse = method.estimate(x, target=target, feature_mask=image_grid(*x.shape[2:], 3, 3), budget=128)
fine = method.refine(coarse, x, target=target, feature_mask=image_grid(*x.shape[2:], 6, 6), top=3, budget=320)
print(fine)
values = fine.attributions()[0]
_, player, pixels = values.unique(return_inverse=True, return_counts=True)
viz.visualize_image_attr(
    (values / pixels[player]).permute(1, 2, 0).numpy(),  # by area: a quarter beside a whole patch
    picture[0].permute(1, 2, 0).numpy(),
    method="blended_heat_map",
    sign="all",
    show_colorbar=True,
    title="coffee: Shapley values by area, three patches in quarters",
)

# %%
# How well do values order the nine patches? v as the strongest leave, and as they enter; beside ours, for which what
# was seen is not asked again, those of a gradient method, added up by patch.
from captum.attr import IntegratedGradients

from captum_andor.explain import deletion_curve

nine = image_grid(*x.shape[2:], 3, 3)
gradients = IntegratedGradients(model).attribute(x, target=target, n_steps=20)
for name, attributions in (("Shapley values", coarse), ("integrated gradients", gradients)):
    print(name, deletion_curve(method, x, attributions, target=target, feature_mask=nine), sep="\n")
