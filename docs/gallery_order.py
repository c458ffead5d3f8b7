"""The tutorials of the gallery, in the order in which to read them."""

from pathlib import Path

TUTORIALS = (
    "first_explanation", "census", "news", "photo_superpixels", "language_model",
    "confusing_seeds", "label_noise", "layers", "codes", "paths_between_inputs", "several_processes",
)  # fmt: skip


def position(script: str) -> int:
    """Place of a script in the gallery; scripts that are none of it come last, before they are left out."""
    name = Path(script).stem
    return TUTORIALS.index(name) if name in TUTORIALS else len(TUTORIALS)
