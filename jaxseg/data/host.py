"""The one door to TensorFlow: imported on first use, kept off the accelerators, kept quiet."""

import contextlib
import functools
import importlib.util
import io
import os
from collections.abc import Iterator
from stat import S_ISDIR
from typing import Any

from absl import logging
from etils.epath import backend
from etils.epath.stat_utils import StatResult

from jaxseg.errors import JaxsegError
from jaxseg.matplotlib_import import import_matplotlib


@functools.cache  # also keeps AutoGraph from rewriting it where it is called inside tf.data
def tensorflow() -> Any:
    """Returns the `tensorflow` module with GPUs hidden from it; JaxsegError where it is missing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Only image operations run here; oneDNN adds a line on stderr and varying rounding, no speed.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    import_matplotlib()
    try:
        import tensorflow as tf
    except ImportError as error:
        raise JaxsegError(
            f"TensorFlow cannot be imported ({error}): preparing data and host batches need it; "
            "install tensorflow-cpu, or copy a prepared cache and use the device feed"
        ) from error
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")
    return tf


def has_tensorflow() -> bool:
    """Whether TensorFlow is installed, found out without the seconds that importing it takes."""
    return importlib.util.find_spec("tensorflow") is not None


def data_options(threads: int = 2) -> Any:
    """tf.data options: ordered, a private pool of `threads`, no tuner that claims the cores."""
    tf = tensorflow()
    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False
    options.threading.private_threadpool_size = threads
    options.threading.max_intra_op_parallelism = 1
    return options


@contextlib.contextmanager
def quiet_tfds() -> Iterator[Any]:
    """Yields `tensorflow_datasets` without its bars, its prints and its warnings.

    It asks etils for the size of files, which fails where their owner has no name.
    """
    tensorflow()
    import tensorflow_datasets as tfds

    verbosity = logging.get_verbosity()
    tfds.disable_progress_bar()
    logging.set_verbosity(min(verbosity, logging.ERROR))
    try:
        with contextlib.redirect_stdout(io.StringIO()), _nameless_owners():
            yield tfds
    finally:
        logging.set_verbosity(verbosity)


@contextlib.contextmanager
def _nameless_owners() -> Iterator[None]:
    """Within it etils tells of files whose owner or group has no name on this machine, too."""
    local = getattr(backend, "_OsPathBackend", None)
    if local is None:
        yield
        return
    with_names = local.stat

    def stat(self: Any, path: Any) -> Any:
        try:
            return with_names(self, path)
        except KeyError:
            found = os.stat(path)
            kind, mtime = S_ISDIR(found.st_mode), int(found.st_mtime)
            return StatResult(kind, found.st_size, mtime, mode=found.st_mode)

    local.stat = stat
    try:
        yield
    finally:
        local.stat = with_names
