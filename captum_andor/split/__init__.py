"""The split of a game into AND and OR interactions of least l1, with a duality gap as certificate."""

from captum_andor.split.certainty import Certainty, certainty_of as certainty_of
from captum_andor.split.interior_point import INTERIOR_PLAYERS as INTERIOR_PLAYERS
from captum_andor.split.joint import JointSplit, joint_split
from captum_andor.split.split import (
    NoiseBound as NoiseBound,
    Split as Split,
    SplitResult as SplitResult,
    check_split as check_split,
    split_game,
)

__all__ = ["Certainty", "JointSplit", "joint_split", "split_game"]
