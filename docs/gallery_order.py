"""The tutorials of the gallery, in the order in which to read them."""

from pathlib import Path

SECTIONS = {
    "tables": ("own_model", "census", "pipeline"),
    "pictures": ("first_explanation", "photo_superpixels"),
    "text": ("news", "retrieval", "two_hops"),
    "research": (
        "confusing_seeds", "model_versions", "label_noise", "layers", "paper_figures", "codes", "paths_between_inputs",
        "several_processes",
    ),
    "longer": (),  # a table of scripts that the site does not run
}  # fmt: skip


def position(script: str) -> int:
    """Place of a script in its section."""
    return next(names.index(Path(script).stem) for names in SECTIONS.values() if Path(script).stem in names)
