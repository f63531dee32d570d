"""Against PyTorch itself where it is installed; the network below is written for this test."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxseg.errors import JaxsegError
from jaxseg.nets.torch_import import import_state_dict, our_name, read_state_dict


def test_names_have_one_place_each():
    assert our_name("inc.double_conv.0.weight") == ("params", "inc", "conv1", "kernel")
    assert our_name("down3.maxpool_conv.1.double_conv.4.running_var") == (
        "batch_stats", "down3", "norm2", "var",
    )  # fmt: skip
    assert our_name("up2.conv.double_conv.1.bias") == ("params", "up2", "norm1", "bias")
    assert our_name("outc.conv.bias") == ("params", "outc", "bias")
    assert our_name("inc.double_conv.2.weight") is None
    assert our_name("inc.double_conv.0.running_var") is None


def _torch_unet(width, classes, transposed):
    torch = pytest.importorskip("torch")
    nn = torch.nn

    class Double(nn.Module):
        def __init__(self, cin, cout, mid=None):
            super().__init__()
            mid = mid or cout
            self.double_conv = nn.Sequential(
                nn.Conv2d(cin, mid, 3, padding=1), nn.BatchNorm2d(mid), nn.ReLU(),
                nn.Conv2d(mid, cout, 3, padding=1), nn.BatchNorm2d(cout), nn.ReLU(),
            )  # fmt: skip

        def forward(self, x):
            return self.double_conv(x)

    class Down(nn.Module):
        def __init__(self, cin, cout):
            super().__init__()
            self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), Double(cin, cout))

        def forward(self, x):
            return self.maxpool_conv(x)

    class Up(nn.Module):
        def __init__(self, cin, cout):
            super().__init__()
            if transposed:
                self.up = nn.ConvTranspose2d(cin, cin // 2, 2, stride=2)
                self.conv = Double(cin, cout)
            else:
                self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
                self.conv = Double(cin, cout, cin // 2)

        def forward(self, low, skip):
            return self.conv(torch.cat([skip, self.up(low)], 1))

    class Out(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(width, classes, 1)

        def forward(self, x):
            return self.conv(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            w, f = width, 1 if transposed else 2
            self.inc = Double(3, w)
            self.down1, self.down2 = Down(w, 2 * w), Down(2 * w, 4 * w)
            self.down3, self.down4 = Down(4 * w, 8 * w), Down(8 * w, 16 * w // f)
            self.up1, self.up2 = Up(16 * w, 8 * w // f), Up(8 * w, 4 * w // f)
            self.up3, self.up4 = Up(4 * w, 2 * w // f), Up(2 * w, w)
            self.outc = Out()

        def forward(self, x):
            skips = [self.inc(x)]
            for down in (self.down1, self.down2, self.down3, self.down4):
                skips.append(down(skips[-1]))
            y = skips.pop()
            for up in (self.up1, self.up2, self.up3, self.up4):
                y = up(y, skips.pop())
            return self.outc(y)

    torch.manual_seed(0)
    net = Net()
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    net.train()
    for _ in range(3):
        net(x)  # running moments leave their start
    return torch, net, x


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_same_logits_as_pytorch_in_train_and_eval_mode(tmp_path, transposed, ending):
    torch, net, x = _torch_unet(8, 2, transposed)
    path = tmp_path / f"unet{ending}"
    if ending == ".pth":
        torch.save(net.state_dict(), path)
    else:
        safetensors = pytest.importorskip("safetensors.torch")
        safetensors.save_file(net.state_dict(), path)
    ours, variables = import_state_dict(read_state_dict(path))
    image = jnp.asarray(x.numpy().transpose(0, 2, 3, 1))
    for train in (False, True):
        net.train(train)
        with torch.no_grad():
            expected = net(x).numpy().transpose(0, 2, 3, 1)
        got = ours.apply(variables, image, train=train, mutable=["batch_stats"])[0]
        assert np.abs(np.asarray(got) - expected).max() < 1e-4


def test_wrong_files_are_named(tmp_path):
    with pytest.raises(JaxsegError, match="no such file"):
        read_state_dict(tmp_path / "none.pth")
    (tmp_path / "x.bin").write_bytes(b"1")
    with pytest.raises(JaxsegError, match="must end in"):
        read_state_dict(tmp_path / "x.bin")
    with pytest.raises(JaxsegError, match="not part of"):
        import_state_dict({"encoder.weight": np.zeros(3)})
    with pytest.raises(JaxsegError, match="is missing"):
        import_state_dict({"inc.double_conv.0.weight": np.zeros((4, 3, 3, 3))})
