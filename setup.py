"""What pyproject.toml cannot say: on an index page README stands alone, so that its pictures would be broken links."""

import re
from pathlib import Path

from setuptools import setup


def index_page(readme: str) -> str:
    """README without pictures of this repository, and its links to files here as plain text."""
    without_pictures = re.sub(r'(!\[[^]]*\]\((?!https?:)[^)]*\)|<img src=["\'](?!https?:)[^>]*>)\n*', "", readme)
    return re.sub(r"\[([^]]*)\]\((?!https?:|#)[^)]*\)", r"\1", without_pictures)


if __name__ == "__main__":
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    setup(long_description=index_page(readme), long_description_content_type="text/markdown")
