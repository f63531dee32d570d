"""Tiny image folders drawn on the spot."""

import pathlib
from collections.abc import Callable

import cv2
import pytest
from data_oracles import draw_pair


@pytest.fixture
def make_folder(tmp_path) -> Callable[..., pathlib.Path]:
    """Writes n images of odd sizes with {0, 255} masks and returns their folder."""

    def make(name="data", n=5, suffix=".png", mask_ending="", home="") -> pathlib.Path:
        root = tmp_path / name
        for part in ("images", "masks"):
            (root / home / part).mkdir(parents=True)
        for index in range(n):
            image, mask = draw_pair(index, 61 + 2 * index, 83)
            cv2.imwrite(str(root / home / "images" / f"im{index}{suffix}"), image[..., ::-1])
            cv2.imwrite(str(root / home / "masks" / f"im{index}{mask_ending}.png"), mask * 255)
        return root

    return make
