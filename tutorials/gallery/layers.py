r"""
Low layers or high layers: which decide the confusing samples?
==============================================================

The claim of `Zhang et al. <https://arxiv.org/abs/2502.08625>`_ is that the random start of the low layers does. This is
the experiment in small: pairs of networks that share their low part, their high part, or nothing.
"""

# %%
# Networks to train, and how
# --------------------------
import tempfile

import torch
from torch import nn

from captum_andor import ConfusingSampleAnalyzer, LayerSwapStudy
from captum_andor.games.masks import image_grid
from tutorials.datasets.digits import digits, small_cnn

images, labels = digits(train=True)
test = digits(train=False)


def make_model(seed):
    """An untrained network; torch's generator is seeded around this call."""
    return small_cnn()


def train(model, seed_order, frozen):
    """Train to an equal loss rather than for equally long: networks that fit differently are not compared."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(30):
        model.train()
        for rows in torch.randperm(len(images)).split(64):
            loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            if nn.functional.cross_entropy(model(images), labels) < 0.05:
                break
    return model


# %%
# The study
# ---------
# Three pairs, cut below the third convolution: each part of a trained network is the start of a second one whose other
# part is new. Layers are named as in ``model.named_modules()``: "5" is the third convolution. Finished networks are
# kept in the folder; with a real folder, a study that was stopped goes on where it was.
folder = tempfile.TemporaryDirectory()
study = LayerSwapStudy(make_model, train, ["5"], folder.name, n_pairs=3, variants=["trainable"])
analyzer = ConfusingSampleAnalyzer(
    baselines=[0, images.mean(0)], feature_mask=image_grid(8, 8, 3, 3), scores=("net_order", "flip_rate")
)
result = study.run((images[:200], labels[:200]), analyzer, test)
print(result)
folder.cleanup()

# %%
# Agreement on the ranking of samples, for networks that share nothing, the low part, or the high part:
result.plot_agreement(use_pyplot=True)

# %%
# What a verdict says
# -------------------
# "Supported" and "not supported" need an interval that leaves zero on one side, "neither" one that excludes an effect
# of .10; everything else *cannot be judged*, and the verdict says how many pairs would tell. Three pairs seldom do.
# :doc:`/layer_swap` has the study with 66 to 84 networks a setting.
print(result.verdict())
