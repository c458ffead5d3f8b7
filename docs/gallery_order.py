"""The tutorials of the gallery, in the order in which to read them."""

from pathlib import Path

TUTORIALS = (
    "own_model", "first_explanation", "census", "pipeline", "news", "photo_superpixels", "retrieval", "two_hops",
    "confusing_seeds", "model_versions", "label_noise", "layers", "paper_figures", "codes", "paths_between_inputs",
    "several_processes",
)  # fmt: skip


def position(script: str) -> int:
    """Place of a script in the gallery."""
    return TUTORIALS.index(Path(script).stem)
