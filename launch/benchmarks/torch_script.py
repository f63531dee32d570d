"""One cell in PyTorch, as a script of the field trains one: the peer of benchmark.py's part `grid`.

    python launch/benchmarks/torch_script.py DIR --padding zeros --crop quarter --seed 0

Loads and evaluates in the manner of the paper's code: every epoch decodes every file, in this
process, crops at the files' resolution and resizes with antialiased bicubic interpolation; Dice is
scored image by image and ring by ring. It runs with what makes PyTorch fastest on CPU without
changing that manner: channels_last and all threads; benchmark.py adds an allocator that keeps freed
memory.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from ring_loop import ring_dice
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, Dataset
from torch_unet import TorchUNet, dice_loss

_SCORED_AT = 256


class Folder(Dataset):
    """Images [3, S, S] in [-1, 1] and masks [1, S, S] in {0, 1} of DIR/{images,masks}."""

    def __init__(self, folder: Path, size: int, quarter: int | None, all_quarters: bool = False):
        self.files = sorted((folder / "images").iterdir())
        self.size, self.quarter, self.all_quarters = size, quarter, all_quarters

    def __len__(self) -> int:
        return len(self.files) * (4 if self.all_quarters else 1)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        number, corner = divmod(index, 4) if self.all_quarters else (index, self.quarter)
        path = self.files[number]
        image = _read(path, cv2.IMREAD_COLOR_RGB)
        mask = _read(path.parents[1] / "masks" / f"{path.stem}.png", cv2.IMREAD_GRAYSCALE)
        if corner is not None:
            corner = np.random.randint(4) if corner < 0 else corner
            image, mask = _cut(image, corner), _cut(mask, corner)
        pixels = torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float() / 255
        target = torch.from_numpy(mask.copy())[None, None].float() / 255
        frame = (self.size, self.size)
        pixels = interpolate(pixels, frame, mode="bicubic", antialias=True)
        return pixels[0] * 2 - 1, interpolate(target, frame, mode="nearest")[0]


def _read(path: Path, flag: int) -> np.ndarray:
    pixels = cv2.imread(str(path), flag)
    if pixels is None:
        raise SystemExit(f"{path}: cannot be read as an image")
    return pixels


def _cut(array: np.ndarray, corner: int) -> np.ndarray:
    height, width = (n // 2 for n in array.shape[:2])
    top, left = height * (corner // 2), width * (corner % 2)
    return array[top : top + height, left : left + width]


def train(net: TorchUNet, loader: DataLoader, epochs: int) -> None:
    """Adam at 1e-3 on the soft Dice loss, as in the paper."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    net.train()
    for epoch in range(epochs):
        for images, masks in loader:
            images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss = dice_loss(net(images), masks)
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.4f}")


@torch.no_grad()
def evaluate(net: TorchUNet, loader: DataLoader) -> np.ndarray:
    """Mean Dice by ring, outermost first."""
    net.eval()
    values = []
    for images, masks in loader:
        logits = net(images.to(memory_format=torch.channels_last))
        for chosen, truth in zip(logits > 0, masks > 0.5):
            large = [_enlarged(mask[0].numpy()) for mask in (chosen, truth)]
            values.append(ring_dice(large[0], large[1]))
    return np.mean(values, axis=0)


def _enlarged(mask: np.ndarray) -> np.ndarray:
    frame = (_SCORED_AT, _SCORED_AT)
    return cv2.resize(mask.astype(np.uint8), frame, interpolation=cv2.INTER_NEAREST)


def main() -> None:
    """Trains and scores one cell."""
    parser = argparse.ArgumentParser(description="One cell in PyTorch; see this file's head")
    parser.add_argument("folder", type=Path, help="holds {train,test}/{images,masks}")
    for name, value in {"width": 8, "size": 64, "batch": 16, "epochs": 5, "seed": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--padding", default="zeros")
    parser.add_argument("--crop", default="center", choices=["center", "quarter"])
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    np.random.seed(args.seed)
    net: TorchUNet = TorchUNet(args.width, padding=args.padding)
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    corner = -1 if args.crop == "quarter" else None
    images = Folder(args.folder / "train", args.size, corner)
    train(net, DataLoader(images, args.batch, shuffle=True, drop_last=True), args.epochs)
    for name, all_quarters in (("full", False), ("quarter", True)):
        tests = Folder(args.folder / "test", args.size, None, all_quarters)
        dice = evaluate(net, DataLoader(tests, args.batch))
        print(name, " ".join(f"{value:.3f}" for value in dice))


if __name__ == "__main__":
    main()
