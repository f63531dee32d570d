"""Linen modules, NNX modules and plain objects behind one `init` and one `apply`."""

import contextlib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import nnx
from flax.core import FrozenDict, meta

Variables = dict[str, Any]
Hook = Callable[[str, Any], Any]


def adapt(make: Any, settings: Mapping[str, Any]) -> "Linen | Nnx | Plain":
    """The adapter of what `make` is or gives when called with `settings`."""
    if is_nnx(make):
        return Nnx(make, settings)
    made = make if is_object(make) else make(**settings)
    return Linen(made) if isinstance(made, nn.Module) else Plain(made)


def is_nnx(make: Any) -> bool:
    """Whether it is an NNX class."""
    return inspect.isclass(make) and issubclass(make, nnx.Module)


def is_object(make: Any) -> bool:
    """Whether it is used as it is, without a call that makes it."""
    return not inspect.isclass(make) and hasattr(make, "init") and hasattr(make, "apply")


def parameters(function: Any) -> list[str]:
    """Names that a function or class can be called with; not those that `**` would catch."""
    if inspect.isclass(function) and type(function).__call__ is not type.__call__:
        function = function.__init__  # the class of an NNX class has its own __call__
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a class in C has no signature
        return []
    return [parameter.name for parameter in found if parameter.kind in kinds]


class Plain:
    """An object with `init(key, images)` and `apply(variables, images, train)`."""

    def __init__(self, module: Any):
        self.module = module
        self.called_with = frozenset(parameters(getattr(module, "apply", None)))

    def init(self, key: jax.Array, images: jax.Array) -> Variables:
        """Fresh variables."""
        return self.module.init(key, images)

    def apply(
        self,
        variables: Variables,
        arrays: tuple[Any, ...],
        options: dict[str, Any],
        train: bool,
        key: Any,
        method: str | None,
        hook: Hook | None,
    ) -> tuple[Any, Variables]:
        """(output, collections that changed); `options` are those of `called_with`."""
        out = self.module.apply(variables, *arrays, **options)
        return out if isinstance(out, tuple) else (out, {})


class Linen:
    """A Linen module; its named layers are its submodules, by their path."""

    def __init__(self, module: nn.Module):
        self.module = module
        self.called_with = frozenset(parameters(type(module).__call__))

    def init(self, key: jax.Array, images: jax.Array) -> Variables:
        """Fresh variables, as the module gives them out of training."""
        options: dict[str, Any] = {"train": False} if "train" in self.called_with else {}
        return meta.unbox(dict(self.module.init(key, images, **options)))

    def apply(
        self,
        variables: Variables,
        arrays: tuple[Any, ...],
        options: dict[str, Any],
        train: bool,
        key: Any,
        method: str | None,
        hook: Hook | None,
    ) -> tuple[Any, Variables]:
        """(output, collections that changed); `options` are those of `called_with`."""
        with nn.intercept_methods(_interceptor(hook)) if hook else contextlib.nullcontext():
            out: Any = self.module.apply(
                variables, *arrays, rngs=_streams(key), mutable=_changing(variables, train),
                method=method, **options,
            )  # fmt: skip
        return out if train else (out, {})


class Nnx:
    """An NNX class through `flax.nnx.bridge`; its named layers are its submodules, by their path.

    Where its call does not take `train`, its `train()` and `eval()` are called before.
    """

    def __init__(self, make: Any, settings: Mapping[str, Any]):
        skip = "rngs" not in parameters(make)
        self.module = nnx.bridge.ToLinen(
            make, kwargs=FrozenDict(settings), skip_rng=skip, metadata_fn=None
        )
        self.called_with = frozenset(parameters(make.__call__))

    def init(self, key: jax.Array, images: jax.Array) -> Variables:
        """Fresh variables; places in lists become text, as checkpoints have it."""
        options = {"train": False} if "train" in self.called_with else {}
        call = self._call(options, train=False, method=None, hook=None)
        return _rekeyed(dict(self.module.init(_streams(key), images, nnx_method=call)), str)

    def apply(
        self,
        variables: Variables,
        arrays: tuple[Any, ...],
        options: dict[str, Any],
        train: bool,
        key: Any,
        method: str | None,
        hook: Hook | None,
    ) -> tuple[Any, Variables]:
        """(output, collections that changed); `options` are those of `called_with`."""
        out = self.module.apply(
            _rekeyed(variables, _place), *arrays, rngs=_streams(key),
            mutable=_changing(variables, train),
            nnx_method=self._call(options, train, method, hook),
        )  # fmt: skip
        return (out[0], _rekeyed(out[1], str)) if train else (out, {})

    def _call(
        self, options: dict[str, Any], train: bool, method: str | None, hook: Hook | None
    ) -> Callable[..., Any]:
        """The function that `ToLinen` calls with its module, made anew each time."""

        def call(module: Any, *arrays: Any) -> Any:
            if "train" not in options:
                module.train() if train else module.eval()
            if hook is not None:
                _tap(module, hook)
            return getattr(module, method or "__call__")(*arrays, **options)

        return call


def _streams(key: Any) -> dict[str, Any]:
    """PRNG streams of a step: both kinds of Flax module take one of theirs that is not named here
    from `params` or `default`."""
    return {} if key is None else {"params": key, "default": key, "padding": key}


def _changing(variables: Variables, train: bool) -> Any:
    return [name for name in variables if name != "params"] if train else False


def _interceptor(hook: Hook) -> Any:
    def intercept(call: Any, args: Any, kwargs: Any, context: Any) -> Any:
        out = call(*args, **kwargs)
        name = ".".join(context.module.path) if context.method_name == "__call__" else ""
        return hook(name, out) if name else out

    return intercept


def _tap(module: nnx.Module, hook: Hook) -> None:
    """Passes the output of every submodule of a module that was made for one call to `hook`."""
    for path, layer in list(nnx.iter_modules(module)):
        if path:
            object.__setattr__(layer, "__class__", _tapped(type(layer)))
            named = functools.partial(hook, ".".join(map(str, path)))
            object.__setattr__(layer, "_hook", named)


@functools.lru_cache
def _tapped(layer: Any) -> Any:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._hook(layer.__call__(self, *args, **kwargs))

    return type(layer)(layer.__name__, (layer,), {"__call__": call})


def _rekeyed(tree: Any, convert: Callable[[Any], Any]) -> Any:
    if not isinstance(tree, Mapping):
        return tree
    return {convert(key): _rekeyed(value, convert) for key, value in tree.items()}


def _place(key: str) -> int | str:
    return int(key) if key.isdigit() else key
