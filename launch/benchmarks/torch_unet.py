"""The peer of launch/benchmark.py: the same UNet, loss and optimiser in PyTorch."""

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def double_conv(inside: int, outside: int, middle: int) -> nn.Sequential:
    """(3×3 convolution, BatchNorm, ReLU) twice."""
    return nn.Sequential(
        *(nn.Conv2d(inside, middle, 3, padding=1), nn.BatchNorm2d(middle), nn.ReLU(inplace=True)),
        *(nn.Conv2d(middle, outside, 3, padding=1), nn.BatchNorm2d(outside), nn.ReLU(inplace=True)),
    )


class TorchUNet(nn.Module):
    """The paper's UNet with zero padding and bilinear up-sampling: [B, 3, H, W] -> [B, 1, H, W]."""

    def __init__(self, width: int, depth: int = 4, padding: str = "zeros"):
        super().__init__()
        widths = [width * 2**level for level in range(depth)]
        widths.append(widths[-1])
        pairs = list(itertools.pairwise(widths))
        self.inc = double_conv(3, width, width)
        self.down = nn.ModuleList(double_conv(a, b, b) for a, b in pairs)
        joined = [2 * widths[level] for level in reversed(range(depth))]
        outs = [max(width, n // 4) for n in joined]
        self.up = nn.ModuleList(double_conv(n, out, n // 2) for n, out in zip(joined, outs))
        self.outc = nn.Conv2d(width, 1, 1)
        self.pool = nn.MaxPool2d(2)
        self.upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                module.padding_mode = padding  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of images in [-1, 1]."""
        skips = [self.inc(x)]
        for block in self.down:
            skips.append(block(self.pool(skips[-1])))
        y = skips.pop()
        for block in self.up:
            y = block(torch.cat([skips.pop(), self.upsample(y)], 1))
        return self.outc(y)


def dice_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Soft Dice with smooth=1 over each image, the paper's."""
    p = torch.sigmoid(logits)
    both = (p * targets).sum((1, 2, 3))
    return (1 - (2 * both + 1) / (p.sum((1, 2, 3)) + targets.sum((1, 2, 3)) + 1)).mean()


def make_step(
    width: int,
    *,
    device: str = "cpu",
    seed: int = 0,
    depth: int = 4,
    padding: str = "zeros",
    channels_last: bool = True,
    compiled: bool = False,
    bfloat16: bool = False,
) -> Callable[[Any, Any], torch.Tensor]:
    """A training step (images uint8 [B, H, W, 3], masks uint8 [B, H, W]) -> loss.

    Adam at 1e-3 as in the paper; `bfloat16` is PyTorch's own autocast.
    """
    torch.manual_seed(seed)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net: Any = TorchUNet(width, depth, padding).to(device)
    net = net.to(memory_format=layout)
    net.train()
    fused = device != "cpu"
    optimizer = torch.optim.Adam(net.parameters(), 1e-3, fused=fused or None)
    forward = torch.compile(net) if compiled else net

    def step(images: Any, masks: Any) -> torch.Tensor:
        x = torch.as_tensor(images, device=device).permute(0, 3, 1, 2)
        x = (x.float() / 127.5 - 1).to(memory_format=layout)
        y = torch.as_tensor(masks, device=device)[:, None].float()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=bfloat16):
            logits = forward(x)
        loss = dice_loss(logits.float(), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def make_ensemble_step(width: int, n: int, *, device: str = "cuda") -> Callable:
    """A step of `n` networks at once by `torch.func.vmap`, on one batch for all -> losses [n].

    BatchNorm keeps no running moments here, because `vmap` cannot update them in place.
    """
    nets = [TorchUNet(width).to(device) for _ in range(n)]
    for module in (m for net in nets for m in net.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.track_running_stats = False
            module.running_mean = module.running_var = module.num_batches_tracked = None
    params, buffers = torch.func.stack_module_state(nets)  # type: ignore[arg-type]
    shape = nets[0].train()
    optimizer = torch.optim.Adam(params.values(), 1e-3, fused=device != "cpu" or None)

    def objective(own: Any, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        loss = dice_loss(torch.func.functional_call(shape, (own, buffers), (x,)), y)
        return loss, loss

    gradients = torch.func.vmap(
        torch.func.grad(objective, has_aux=True), (0, None, None), randomness="different"
    )

    def step(images: Any, masks: Any) -> torch.Tensor:
        x = torch.as_tensor(images, device=device).permute(0, 3, 1, 2).float() / 127.5 - 1
        y = torch.as_tensor(masks, device=device)[:, None].float()
        grads, losses = gradients(params, x, y)
        for name, parameter in params.items():
            parameter.grad = grads[name]
        optimizer.step()
        return losses.detach()

    return step
