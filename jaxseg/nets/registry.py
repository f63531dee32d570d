"""Networks by name: `unet`, `dtunet`, or a user's own as `module:Class` or `file.py:Class`.

Grids and audits use all of them as a `Network`.
"""

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import FrozenDict

from jaxseg.errors import JaxsegError, UsageError, check_choice, one_line
from jaxseg.imports import import_named
from jaxseg.nets.adapters import Hook, Variables, adapt, is_object, parameters
from jaxseg.nets.dtunet import DTUNet
from jaxseg.nets.normalisation import MOMENTUM
from jaxseg.nets.padding import STANDARD_MODES, padding_code
from jaxseg.nets.unet import UNet

FORM = "unet, dtunet, module:Class or file.py:Class"
BUILT_IN: dict[str, Any] = {"unet": UNet, "dtunet": DTUNet}
# A network that does not take these settings must have these values: others would change nothing.
_DEFAULTS = {
    "padding": "zeros", "upsampling": "align_corners", "norm": "batch", "dtype": "float32",
}  # fmt: skip
_NEVER_OPTIONS = {"self", "parent", "name", "rngs", "batch_axis"}
_BLOCK = re.compile(r"(?:.*\.)?(inc|down\d+|up\d+)")
_POOLINGS_TRIED = 6


class Segmenter(Protocol):
    """What a network must have: two functions.

    A Flax module has them: a Linen module as it is, an NNX class through `flax.nnx.bridge`.

    `classes` are the foreground classes; the network gives no logit for the background, which is 0.
    A network for one class returns one logit, positive in the foreground; of several classes, which
    exclude each other, the largest positive logit wins. A network with one more channel, first, for
    the background should return `logits[..., 1:] - logits[..., :1]`: the same probabilities.

    It is also given those of these that it takes by name: when it is made `classes`, `padding`,
    `upsampling`, `width`, `depth`, `norm`, `dtype` and `batch_axis` (the mapped axis over which to
    average batch moments, None for none); in `apply` (a Flax module: in its call) `padding_code`
    (int32, a position in `STANDARD_MODES`) and `key`.
    """

    def init(self, key: jax.Array, images: jax.Array) -> Variables:
        """Fresh variables from a PRNG key and images float32 [B, H, W, 3] in [-1, 1].

        {"params": a tree of floating arrays, and by other names what is carried from step to step
        without gradients, such as "batch_stats"}.
        """
        ...

    def apply(self, variables: Variables, images: jax.Array, train: bool) -> Any:
        """Logits, floating [B, H, W, classes]; pure.

        In training (logits, {name: new value}) where other collections than "params" change.
        """
        ...


class Layer(NamedTuple):
    """A layer's output: shape [h, w, channels], dtype, pixels of the frame a pixel (rows, columns).

    Layers of `valid` networks are larger than the frame and centred on it.
    """

    shape: tuple[int, ...]
    dtype: Any
    stride: tuple[int, int]


@dataclass(frozen=True)
class Network:
    """A network with its settings. Hashable; equal ones share compiled programs.

    Attributes:
        name: as in `net.name`.
        make: the class; or the object itself, where `name` names one.
        settings: (name, value) of all that `make` is called with.
        classes: foreground classes, one logit each.
        batch_axis: mapped axis over which devices split a batch, if any.
    """

    name: str = field(compare=False)
    make: Any
    settings: tuple[tuple[str, Any], ...]
    classes: int
    batch_axis: str | None = None

    @classmethod
    def of(cls, module: nn.Module) -> "Network":
        """That of a Linen module, such as a `UNet`."""
        names = [n for n in parameters(type(module)) if n not in _NEVER_OPTIONS]
        settings = {name: getattr(module, name) for name in names}
        classes, axis = settings.get("classes", 1), getattr(module, "batch_axis", None)
        return cls(type(module).__name__, type(module), _sorted(settings), classes, axis)

    @functools.cached_property
    def _adapter(self) -> Any:
        axis = {"batch_axis": self.batch_axis} if self.takes("batch_axis") else {}
        return adapt(self.make, dict(self.settings) | axis)

    @property
    def module(self) -> Any:
        """What `make` has made."""
        return self._adapter.module

    # Properties

    @functools.cached_property
    def _made_with(self) -> frozenset[str]:
        return frozenset(() if is_object(self.make) else parameters(self.make))

    def takes(self, setting: str) -> bool:
        """Whether it is made with `net.<setting>`."""
        return setting in self._made_with

    @property
    def takes_padding_code(self) -> bool:
        """Whether one program serves all standard paddings, by an argument."""
        return self.takes("padding") and "padding_code" in self._adapter.called_with

    @property
    def has_maps(self) -> bool:
        """Whether it has `maps` and `embed` as a DTUNet, which loss `dtu` trains."""
        return all(hasattr(self.module, name) for name in ("maps", "embed"))

    def splits_batch(self, size: int) -> bool:
        """Whether devices may split a batch: it averages moments over them, or has none."""
        return self.takes("batch_axis") or self.shapes(size).keys() == {"params"}

    def _setting(self, name: str) -> Any:
        if not self.takes(name):
            return None
        return dict(self.settings).get(name, getattr(self.module, name, None))

    @property
    def padding(self) -> str | None:
        """The padding it was made with; None for a network that takes none."""
        return self._setting("padding")

    @property
    def upsampling(self) -> str | None:
        """The up-sampling it was made with; None for a network that takes none."""
        return self._setting("upsampling")

    @property
    def norm(self) -> str | None:
        """The normalisation it was made with; None for a network that takes none."""
        return self._setting("norm")

    @property
    def dtype(self) -> str | None:
        """The type of activations it was made with; None for a network that takes none."""
        return self._setting("dtype")

    # Other networks of the same class

    def with_padding(self, padding: str) -> "Network":
        """That with another padding and the same weights; UsageError where it takes none."""
        return self._with("padding", padding)

    def with_upsampling(self, upsampling: str) -> "Network":
        """That with another up-sampling; UsageError where it takes none.

        It has the same weights where `shapes` are the same.
        """
        return self._with("upsampling", upsampling)

    def _with(self, name: str, value: Any) -> "Network":
        if not self.takes(name):
            raise UsageError(f"net.{name}={value!r}: {self.name} takes no `{name}`")
        return replace(self, settings=_sorted(dict(self.settings) | {name: value}))

    def coded(self) -> tuple["Network", jax.Array | None]:
        """(network, padding code) by which networks of all standard paddings are compiled once.

        The code is None where a network or its padding has none.
        """
        padding = self.padding
        if padding not in STANDARD_MODES or not self.takes_padding_code:
            return self, None
        return self.with_padding(STANDARD_MODES[0]), jnp.int32(padding_code(padding))

    # Computation

    def init(self, key: jax.Array, images: jax.Array) -> Variables:
        """Fresh variables, of one device, for images float32 [B, H, W, 3] in [-1, 1]."""
        return dict(replace(self, batch_axis=None)._adapter.init(key, images))

    def apply(
        self,
        variables: Variables,
        *arrays: jax.Array,
        train: bool = False,
        padding_code: Any = None,
        key: jax.Array | None = None,
        method: str | None = None,
        hook: Hook | None = None,
    ) -> tuple[Any, Variables]:
        """(logits float32 [B, H, W, classes], collections that training has changed).

        Args:
            variables: as `init` gives them.
            arrays: images float32 [B, H, W, 3] in [-1, 1], or what `method` takes.
            train: normalise by batch moments and return new running ones.
            padding_code: int32 scalar that overrides the padding, where the network takes it.
            key: PRNG key of the step, for dropout and padding noise.
            method: `maps` or `embed`, whose result is returned in the logits' place.
            hook: called as hook(name, output) for every named layer; what it returns goes on in
                the output's place.

        Raises:
            UsageError: a hook for a network without named layers.
        """
        out, updates = self._apply(variables, arrays, train, padding_code, key, method, hook)
        return (out if method else out.astype(jnp.float32)), updates

    def _apply(
        self,
        variables: Variables,
        arrays: tuple[jax.Array, ...],
        train: bool,
        padding_code: Any = None,
        key: jax.Array | None = None,
        method: str | None = None,
        hook: Hook | None = None,
    ) -> tuple[Any, Variables]:
        adapter = self._adapter
        if hook is not None and not isinstance(adapter.module, nn.Module):
            raise UsageError(
                f"net.name={self.name!r}: has no named layers; only Flax modules have them"
            )
        given = {"train": train, "padding_code": padding_code, "key": key}
        options = {name: given[name] for name in given if name in adapter.called_with}
        return adapter.apply(variables, arrays, options, train, key, method, hook)

    def logits(
        self,
        variables: Variables,
        images: jax.Array,
        *,
        padding_code: Any = None,
        hook: Hook | None = None,
    ) -> jax.Array:
        """float32 [B, H, W, classes], not in training; arguments as for `apply`."""
        return self.apply(variables, images, padding_code=padding_code, hook=hook)[0]

    def capture(
        self,
        variables: Variables,
        images: jax.Array,
        layers: Iterable[str],
        *,
        padding_code: Any = None,
    ) -> dict[str, jax.Array]:
        """{name: float32 [B, h, w, channels]} of named layers, not in training."""
        found: dict[str, jax.Array] = {}

        def note(name: str, out: Any) -> Any:
            found[name] = out
            return out

        self.logits(variables, images, padding_code=padding_code, hook=note)
        return {name: found[name].astype(jnp.float32) for name in layers}

    def with_batch_moments(
        self, variables: Variables, images: jax.Array, *, padding_code: Any = None
    ) -> Variables:
        """Variables whose running moments are those of one batch of images, if it has any."""
        old = variables.get("batch_stats")
        if not jax.tree.leaves(old):
            return variables

        built_in = isinstance(self.module, UNet | DTUNet)
        key = None if built_in else jax.random.key(0)  # a UNet's padding noise is then fixed

        def train(moments: Any) -> Any:
            state = variables | {"batch_stats": moments}
            options = {"train": True, "padding_code": padding_code, "key": key}
            return self.apply(state, images, **options)[1]["batch_stats"]

        new, momentum = train(old), MOMENTUM
        if not built_in:
            # The same batch again moves the moments by the momentum's share of the first step.
            first, second = (
                _norm(jax.tree.map(jnp.subtract, *step)) for step in ((new, old), (train(new), new))
            )
            momentum = jnp.round(jnp.where(first > 0, second / first, 0), 3)  # none has more digits
        # One step of the running moments, undone: what is left are the batch's own.
        undone = jax.tree.map(lambda n, o: (n - momentum * o) / (1 - momentum), new, old)
        return variables | {"batch_stats": undone}

    # Properties found without computing anything

    def shapes(self, size: int) -> Variables:
        """Its variables, as shapes and types, for frames of a size."""
        return _shapes(self, size)

    def layers(self, size: int) -> dict[str, Layer]:
        """Its named layers of shape [B, h, w, channels], in the order in which they are done.

        Names of nested modules are joined by dots, such as `down4` or `texture.down4`. Raises
        UsageError for a network without named layers.
        """
        return _layers(self, size)

    def blocks(self, size: int) -> list[str]:
        """The layers between image and logits that stand for the others.

        Blocks called inc, down1, …, up1, … where there are some; else the outermost layers.
        """
        names = list(self.layers(size))
        return [name for name in names if _BLOCK.fullmatch(name)] or [
            name for name in names if "." not in name
        ]

    def encoder_layer(self, size: int) -> str:
        """The encoder's last layer: the last block `down…` before the first block `up…`.

        In a network without such blocks, the last of the smallest layers.
        """
        layers, last = self.layers(size), ""
        for name in layers:
            block = _BLOCK.fullmatch(name)
            if block and block[1].startswith("up"):
                break
            last = name if block and block[1].startswith("down") else last
        strides = {name: layer.stride[0] for name, layer in layers.items() if layer.shape[0] > 1}
        return last or [name for name in strides if strides[name] == max(strides.values())][-1]

    @property
    def poolings(self) -> tuple[int, ...] | None:
        """How often each UNet in it, one after the other, halves the frame; None if not known."""
        return self.module.poolings if isinstance(self.module, UNet | DTUNet) else None

    @functools.cached_property
    def factor(self) -> int:
        """Pixels of which frames must be multiples, and by which shifts meet the same pooling grid.

        2**poolings where these are known. Else found by trying: the smallest power of 2 whose
        multiples it takes, or its largest stride.
        """
        if self.poolings is not None:
            return 2 ** max(self.poolings)
        sides = [3 * 2**n for n in range(_POOLINGS_TRIED + 1)]
        smallest = next((side for side in sides if _is_taken(self, side)), None)
        if smallest is None:
            raise UsageError(
                f"net.name={self.name!r}: takes none of the frame sizes from {sides[0]} to "
                f"{sides[-1]} pixels"
            )
        if not isinstance(self.module, nn.Module):
            return smallest // 3
        side = max(smallest, 3 * 2**5)
        strides = [stride for layer in self.layers(side).values() for stride in layer.stride]
        return max(smallest // 3, *(stride for stride in strides if stride < side))

    # Checks

    def check(self, size: int, *, any_classes: bool = False) -> None:
        """Raises UsageError, in one line, unless it takes frames of a size and returns logits.

        Nothing is computed: functions are traced. With `any_classes` a network that is not made
        with `classes` may return any number of logits.
        """
        if isinstance(self.module, UNet | DTUNet):
            self.module.check_frame(size, size)
        else:
            _check(self, size, any_classes and not self.takes("classes"))


def _norm(tree: Any) -> jax.Array:
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _frames(size: int, batch: int = 1) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)


@functools.lru_cache(maxsize=64)
def _shapes(net: Network, size: int) -> Variables:
    return jax.eval_shape(net.init, jax.random.key(0), _frames(size))


@functools.lru_cache(maxsize=64)
def _layers(net: Network, size: int) -> dict[str, Layer]:
    shapes: dict[str, jax.Array] = {}

    def note(name: str, out: Any) -> Any:
        if isinstance(out, jax.Array) and out.ndim == 4:
            shapes[name] = out
        return out

    logits = functools.partial(net.logits, hook=note)
    jax.eval_shape(logits, _shapes(net, size), _frames(size))
    # A `valid` network pools the frame as its padded twin does.
    twin = _layers(net.with_padding("zeros"), size) if net.padding == "valid" else None
    return {
        name: Layer(
            out.shape[1:],
            out.dtype,
            twin[name].stride if twin else (-(-size // out.shape[1]), -(-size // out.shape[2])),
        )
        for name, out in shapes.items()
    }


def _is_taken(net: Network, size: int) -> bool:
    try:
        out = jax.eval_shape(net.logits, _shapes(net, size), _frames(size))
    except Exception:  # any exception that a user's network raises for a frame that it cannot take
        return False
    return out.shape == (1, size, size, net.classes)


@functools.lru_cache(maxsize=64)
def _check(net: Network, size: int, any_classes: bool) -> None:
    where, alone = f"net.name={net.name!r}", replace(net, batch_axis=None)
    key, two = jax.random.key(0), _frames(size, batch=2)
    variables = _traced(f"{where}: init", alone._adapter.init, key, _frames(size))
    _check_variables(where, variables)
    for train in (False, True):
        apply = lambda v, x, train=train: alone._apply(v, (x,), train, key=key)  # noqa: E731
        logits, updates = _traced(f"{where}: apply(train={train})", apply, variables, two)
        classes = net.classes
        if any_classes and getattr(logits, "ndim", 0) == 4:
            classes = logits.shape[-1]
        _check_logits(where, logits, (*two.shape[:3], classes))
        for name, value in updates.items():
            if jax.tree.map(_kind, value) != jax.tree.map(_kind, variables.get(name)):
                raise UsageError(
                    f"{where}: apply changes the shapes or types of collection {name!r} in "
                    "training; they must stay the same from step to step"
                )


def _traced(what: str, function: Any, *args: Any) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except JaxsegError:
        raise
    except Exception as error:  # any exception of a user's network
        raised = f"{type(error).__name__}: {one_line(error)}"
        raise UsageError(f"{what} raised for float32 {list(args[-1].shape)}: {raised}") from error


def _check_variables(where: str, variables: Any) -> None:
    if not isinstance(variables, Mapping) or "params" not in variables:
        raise UsageError(
            f"{where}: init returned {type(variables).__name__}, must be a dict with 'params'"
        )
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        trained = path[0].key == "params"
        if not jnp.issubdtype(leaf.dtype, jnp.floating if trained else jnp.number):
            kind = "floating" if trained else "of numbers"
            raise UsageError(f"{where}: {name} is {leaf.dtype}, must be {kind}")
    if not jax.tree.leaves(variables["params"]):
        raise UsageError(f"{where}: has no parameters")


def _check_logits(where: str, logits: Any, expected: tuple[int, ...]) -> None:
    rule = f"must be floating {list(expected)}, one logit for each foreground class"
    if not hasattr(logits, "shape"):
        raise UsageError(f"{where}: apply returned {type(logits).__name__}, {rule}")
    if logits.shape != expected or not jnp.issubdtype(logits.dtype, jnp.floating):
        raise UsageError(
            f"{where}: apply returned {logits.dtype} {list(logits.shape)} for images "
            f"{[*expected[:3], 3]}, {rule}"
        )


def _kind(leaf: Any) -> tuple[Any, Any]:
    return leaf.shape, leaf.dtype


def make_net(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    classes: int,
    batch_axis: str | None = None,
    **settings: Any,
) -> Network:
    """The network called `name`; `Network.check` tests whether it works.

    Args:
        name: `unet`, `dtunet`, `module:Class` or `file.py:Class`.
        options: what the class is made with beside the settings; lists become tuples.
        classes: foreground classes.
        batch_axis: mapped axis over which devices split a batch, if any.
        settings: `padding`, `upsampling`, `width`, `depth`, `norm`, `dtype`; the class is given
            those that it takes.

    Raises:
        UsageError: no such module, file or class; options that the class does not take or cannot be
            made with; a padding, up-sampling, norm or dtype, other than the default, for a class
            that takes none; no `init` and `apply`.
    """
    make = BUILT_IN.get(name)
    where = f"net.name={name!r}"
    if make is None:
        if ":" not in name:
            check_choice("net.name", name, (*BUILT_IN, "module:Class", "file.py:Class"))
        make = import_named(name, where, FORM)
        if not callable(make) and not is_object(make):
            kind = type(make).__name__
            raise UsageError(f"{where}: is {kind}, must be a class or have `init` and `apply`")
    known = [] if is_object(make) else parameters(make)
    for setting, default in _DEFAULTS.items():
        if setting not in known and settings.get(setting, default) != default:
            raise UsageError(
                f"net.{setting}={settings[setting]!r}: {name} takes no `{setting}`; leave it at "
                f"{default!r}"
            )
    options = {key: _frozen(value) for key, value in (options or {}).items()}
    _check_options(name, options, [key for key in known if key not in _NEVER_OPTIONS], settings)
    given = {key: value for key, value in settings.items() if key in known} | options
    if "classes" in known:
        given["classes"] = classes
    net = Network(name, make, _sorted(given), classes, batch_axis)
    try:
        module = net.module
    except JaxsegError:
        raise
    except Exception as error:
        raised = f"{type(error).__name__}: {one_line(error)}"
        raise UsageError(f"{where}: cannot be made: {raised}") from error
    if missing := [part for part in ("init", "apply") if not callable(getattr(module, part, None))]:
        raise UsageError(
            f"{where}: a {type(module).__name__} has no `{missing[0]}`; a network is a Flax module "
            "(an NNX one is given as its class), or has `init` and `apply`"
        )
    return net


def _check_options(
    name: str, options: Mapping[str, Any], known: list[str], settings: Mapping[str, Any]
) -> None:
    """Raises UsageError for an option that class `name` does not take, naming the nearest one."""
    own = [key for key in known if key not in settings and key != "classes"]
    for key in options:
        if key in settings or key == "classes":
            more = f"set net.{key}" if key in settings else "the data set sets it"
            raise UsageError(f"net.options.{key}: is not an option; {more}")
        if key not in own:
            close = difflib.get_close_matches(key, own, n=1, cutoff=0.4)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            takes = f"takes {', '.join(own)}" if own else "takes no options"
            raise UsageError(f"net.options.{key}: {name} {takes}{hint}")


def check_net_axes(net: Network, axes: Iterable[str]) -> None:
    """Raises UsageError for an axis `net.…` that changes nothing in a network.

    `axes` are full names of fields that vary over a grid, such as `net.padding`.
    """
    for axis in axes:
        section, _, setting = axis.partition(".")
        is_setting = section == "net" and setting != "name" and not setting.startswith("options")
        if is_setting and not net.takes(setting):
            raise UsageError(
                f"grid axis {axis}: {net.name} takes no `{setting}`, so that its cells would "
                "be the same; leave the axis out"
            )


def _sorted(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(settings.items()))


def _frozen(value: Any) -> Any:
    """Options in a form that can be hashed."""
    if isinstance(value, Mapping):
        return FrozenDict({key: _frozen(item) for key, item in value.items()})
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value
