r"""
Two versions of a model: what has changed?
==========================================

A network is rounded to int8, pruned, or trained further on other pictures, and accuracy hardly moves. Which decisions
have moved, and by which parts of the picture? The difference of two models is a game like any other. And does it tell
where the versions will disagree? That is measured at the end: hardly.
"""

# %%
# One network, four later versions
# --------------------------------
# The digits that come with scikit-learn; 497 of them were not trained on.
import copy

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from captum_andor import AndOrInteractions, ConfusingSampleAnalyzer
from captum_andor.confusing import partial_spearman, spearman
from captum_andor.games.masks import image_grid
from tutorials.datasets.digits import accuracy, digits, trained

images, labels = digits(train=True)
test, truth = digits(train=False)
old = trained(images, labels)


def int8(model: nn.Sequential) -> nn.Sequential:
    """Weights rounded to 8 bits, with one scale for each output channel."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for name, weight in rounded.named_parameters():
            if name.endswith("weight"):
                scale = weight.flatten(1).abs().amax(1).view(-1, *[1] * (weight.ndim - 1)) / 127
                weight.copy_((weight / scale).round() * scale)
    return rounded


def further(model: nn.Sequential, pictures: Tensor, seed: int, epochs: int = 3) -> nn.Sequential:
    """The same network, trained further with Adam."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(pictures)).split(32):
            loss = nn.functional.cross_entropy(model(pictures[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def pruned(model: nn.Sequential, share: float = 0.7) -> nn.Sequential:
    """The smallest weights removed, the others trained further."""
    own = copy.deepcopy(model)
    parts = [(layer, "weight") for layer in own if hasattr(layer, "weight")]
    prune.global_unstructured(parts, prune.L1Unstructured, amount=share)
    further(own, images, seed=1)
    for layer in own:
        if hasattr(layer, "weight_mask"):
            prune.remove(layer, "weight")
    return own


generator = torch.Generator().manual_seed(0)
noisy = (images + 0.35 * torch.randn(images.shape, generator=generator)).clamp(0, 1)
versions = {
    "int8": int8(old),
    "pruned": pruned(old),
    "same data": further(copy.deepcopy(old), images, seed=2),
    "noisy data": further(copy.deepcopy(old), noisy, seed=3),
}
print({name: f"{accuracy(model, test, truth):.1%}" for name, model in {"old": old, **versions}.items()})

# %%
# What has changed
# ----------------
# v is the log-odds of what the old network predicts; nine patches are players, absent ones black. ``change`` is that
# of v(N); ``spread`` is the standard deviation of the difference over all masked inputs, by that of v: two networks can
# agree on every whole picture and read it differently.
grid = image_grid(8, 8, 3, 3)
analyzer = ConfusingSampleAnalyzer(feature_mask=grid, coalitions="all")
for name, model in {"old": old, **versions}.items():
    analyzer.add_model(name, model)
report = analyzer.evaluate(test, labels="predicted")
tables = {name: report.changes("old", name) for name in versions}
print(
    pd.DataFrame(
        {
            "same prediction": {name: f"{table['same_prediction'].mean():.1%}" for name, table in tables.items()},
            "mean |change|": {name: table["change"].abs().mean() for name, table in tables.items()},
            "median spread": {name: table["spread"].median() for name, table in tables.items()},
        }
    ).round(3)
)
table = tables["noisy data"]
strongest = table["change"].abs().sort_values(ascending=False).index[:4]
print(
    table.loc[strongest, ["sample", "predicted_old", "predicted_new", "change", "spread", "patterns"]].to_string(
        index=False
    )
)

# %%
# One decision
# ------------
# Where training on noisy pictures has moved v most. v of the method is the score of one network less that of the other:
# patterns say which patches count for more, or for less, than before.
most = int(table["change"].abs().argmax())
method = AndOrInteractions(versions["noisy data"], reference=old, score="log_odds")
change = method.logical_model(test[most : most + 1], target=int(table["predicted_old"][most]), feature_mask=grid)
print(change)
change[0].plot("overview", test[most, 0], use_pyplot=True)

# %%
# Does it say where versions will disagree?
# -----------------------------------------
# Each picture gets noise twenty times; how often do old and new decide it differently? The smaller margin of the two
# networks, which costs a pass of each, tells much more of that than the spread (rank correlations ρ). Given both
# margins, about .1 is left of the spread. It explains what has moved; it is no alarm.
generator = torch.Generator().manual_seed(1)
noise = 0.25 * torch.randn(20, *test.shape, generator=generator)


@torch.no_grad()
def decisions(model: nn.Module) -> Tensor:
    return torch.stack([model((test + one).clamp(0, 1)).argmax(1) for one in noise])


def margin(model: nn.Module) -> np.ndarray:
    with torch.no_grad():
        best = model(test).topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).numpy()


rows = {}
for name, model in versions.items():
    apart = (decisions(model) != decisions(old)).float().mean(0).numpy()
    spread = tables[name]["spread"].to_numpy()
    margins = [margin(old), margin(model)]
    rows[name] = {
        "differ": apart.mean(),
        "ρ(spread)": spearman(spread, apart),
        "ρ(margins)": spearman(-np.minimum(*margins), apart),
        "ρ(spread | margins)": partial_spearman(spread, apart, margins),
    }
print(pd.DataFrame(rows).T.round(3))
