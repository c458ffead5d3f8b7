"""A tumour classifier in ten patterns: tabular data, columns grouped into variables that a pathologist knows.

    python tutorials/tabular.py [--out outputs]

The Wisconsin breast cancer data (569 tumours, inside scikit-learn) have ten measurements of cell nuclei, each as mean,
standard error and worst value; each measurement is one player. Under a minute on two cores. For a table of your own,
replace ``load_breast_cancer`` and the groups.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import torch
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from captum_andor.comparison import common_patterns
from captum_andor.masks import column_groups


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs"), help="folder for the figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)

    data = load_breast_cancer()
    x = torch.tensor(data.data, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0)
    malignant = torch.tensor(data.target) == 0
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train, test = order[:400], order[400:]
    model = trained(x[train], malignant[train].long())
    with torch.no_grad():
        print(f"test accuracy {(model(x[test]).argmax(1) == malignant[test]).float().mean():.1%}")

    # A measurement is a player: its mean, standard error and worst value come and go together. An absent one takes the
    # mean of all tumours, which is 0 here. The score is the log-odds of "malignant".
    names = [str(name) for name in data.feature_names]
    measurements = [name.removeprefix("mean ") for name in names[:10]]
    mask, players = column_groups({m: [i for i, n in enumerate(names) if m in n] for m in measurements}, len(names))
    method = AndOrInteractions(model, score="log_odds")
    lm = method.logical_model(x[test], target=1, feature_mask=mask, player_names=players)
    print(f"R² of ten patterns: mean {float(lm.r2.mean()):.3f}, least {float(lm.r2.min()):.3f}\n")
    unsure = int(method.interactions(x[test], target=1, feature_mask=mask, split="and").values[:, -1].abs().argmin())
    print(f"the tumour that the model is least sure of, test sample {unsure}\n{lm[unsure]}\n")
    print(f"patterns of many tumours\n{common_patterns(lm).head(8).drop(columns='players').to_string(index=False)}")

    for kind in ("waterfall", "graph"):
        lm[unsure].plot(kind, use_pyplot=False)[0].savefig(out / f"tabular_{kind}.png", dpi=100)
    lm.plot("beeswarm", use_pyplot=False)[0].savefig(out / "tabular_beeswarm.png", dpi=100)
    print(f"\nsaved three figures in {out}")


def trained(x: Tensor, labels: Tensor) -> nn.Module:
    """A small MLP."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
    for _ in range(40):
        for rows in torch.randperm(len(x)).split(32):
            loss = nn.functional.cross_entropy(model(x[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


if __name__ == "__main__":
    main()
