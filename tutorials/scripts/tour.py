"""Everything one can do with a result: figures, tables, comparisons, other indices, shapiq.

    python -m tutorials.scripts.tour [--out outputs/tour]

On a small CNN for MNIST and on EfficientNet-Lite0 for one photo; about three minutes on two cores, no network.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from captum.attr import TextTemplateInput
from PIL import Image
from torch import Tensor

from captum_andor import AndOrInteractions
from captum_andor.explain import common_patterns, compare, similarity
from captum_andor.games import InterpretableModel
from captum_andor.games.masks import superpixels
from captum_andor.studies import plot_frontier
from captum_andor.visualization import plot_orders, tokens_html
from tutorials.datasets.mnist import accuracy, grid_mask, mnist, train
from tutorials.datasets.photos import PHOTOS, class_names, efficientnet_lite0, normalised, photo

FIGURES = ("bars", "waterfall", "graph")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/tour"), help="folder for the figures")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    digits(out)
    one_photo(out)
    sentence(out)
    print(f"saved all figures in {out}")


def digits(out: Path) -> None:
    """One digit in all figures; forty of them; two models."""
    images, labels = mnist(train=True)
    test_images, test_labels = mnist(train=False)
    models = {f"seed {seed}": train(images[:10000], labels[:10000], epochs=2, seed=seed) for seed in (0, 1)}
    for name, model in models.items():
        print(f"{name}: {accuracy(model, test_images, test_labels):.1%} of the test digits")
    method = AndOrInteractions(models["seed 0"], score="log_odds")
    mask = grid_mask(3, 3)
    names = [f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")]
    x, y = test_images[:40], test_labels[:40]
    lm = method.logical_model(x, target=y, feature_mask=mask, player_names=names)
    one, picture = lm[0], test_images[0, 0].numpy()
    print(one)
    for kind in FIGURES:
        save(one.plot(kind, use_pyplot=False), out / f"digit_{kind}.png")
    save(plot_frontier(one, use_pyplot=False), out / "digit_frontier.png")
    tile([out / f"digit_{kind}.png" for kind in ("bars", "waterfall", "graph", "frontier")], out / "tour.png")
    save(one.plot("image", picture, use_pyplot=False), out / "digit_image.png")
    save(one.plot("overview", picture, use_pyplot=False), out / "digit_overview.png")
    save(lm.plot("beeswarm", use_pyplot=False), out / "digits_beeswarm.png")
    save(lm.plot("heatmap", use_pyplot=False), out / "digits_heatmap.png")
    print(f"\nPatterns of many digits\n{common_patterns(lm).head(8).to_string(index=False)}")
    explained = {
        name: AndOrInteractions(model, score="log_odds").interactions(x, target=y, feature_mask=mask)
        for name, model in models.items()
    }
    save(plot_orders(explained, use_pyplot=False), out / "digits_orders.png")
    alike = similarity(*explained.values(), noise=0.01).mean(numeric_only=True)
    print(f"\nTwo seeds, mean over digits, each number beside its ceiling\n{alike.drop('sample').round(2).to_string()}")
    both = compare(models, x[:1], score="log_odds", target=y[:1], feature_mask=mask, player_names=names)
    print(f"\n{both}")
    index = explained["seed 0"][0].interaction_index("k-SII", 2)
    print(f"\nk-SII of top left and top centre: {float(index[0b11]):+.3f}; shapiq has {one.to_shapiq()}")


def one_photo(out: Path) -> None:
    """Superpixels of a photo as players."""
    model, classes = efficientnet_lite0(), class_names()
    picture = photo(next(iter(PHOTOS)))
    x = normalised(picture)
    mask = superpixels(picture, 12)
    target = int(model(x).argmax())
    method = AndOrInteractions(model, score="log_odds", class_names=classes)
    lm = method.logical_model(x, target=target, feature_mask=mask, budget=1024, max_patterns=10, show_progress=True)[0]
    print(f"\n{classes[target]}, {int(mask.max()) + 1} superpixels\n{lm}")
    shown = as_picture(picture)
    save(lm.plot("image", shown, use_pyplot=False, k=6), out / "photo_image.png")
    save(lm.plot("overview", shown, use_pyplot=False, title=classes[target]), out / "photo_overview.png")
    save(lm.plot("graph", use_pyplot=False), out / "photo_graph.png")


def sentence(out: Path) -> None:
    """Words of a template as players of a rule that stands in for a language model."""

    def rule(text: str) -> float:
        words = set(text.split())
        return 2.0 * ({"not", "bad"} <= words) - 1.0 * ("bad" in words) + 0.5 * bool({"lovely", "fine"} & words)

    words = ["The", "film", "is", "not", "bad", "but", "lovely", "and", "fine"]
    text = TextTemplateInput(" ".join(["{}"] * len(words)), values=words)
    game = InterpretableModel(rule, text)
    lm = AndOrInteractions(game).logical_model(game.inputs, player_names=game.player_names)
    save(lm.plot("tokens", use_pyplot=False), out / "words_tokens.png")
    (out / "words.html").write_text(tokens_html(lm) + lm._repr_html_(), encoding="utf-8")


def as_picture(image: Tensor) -> object:
    """Channels last, for matplotlib."""
    return image[0].permute(1, 2, 0).numpy()


def tile(pictures: list[Path], path: Path) -> None:
    """Four figures in one, two in a row, each in the middle of its cell."""
    several = [Image.open(picture).convert("RGB") for picture in pictures]
    width, height = max(p.width for p in several), max(p.height for p in several)
    whole = Image.new("RGB", (2 * width + 20, 2 * height + 20), "white")
    for place, one in enumerate(several):
        row, column = divmod(place, 2)
        middle = (width - one.width) // 2, (height - one.height) // 2
        whole.paste(one, (column * (width + 20) + middle[0], row * (height + 20) + middle[1]))
    whole.save(path)


def save(drawn: tuple[object, object], path: Path) -> None:
    """Write a figure."""
    drawn[0].savefig(path, dpi=100, bbox_inches="tight")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
