"""The settings of a run as frozen dataclasses, made from the fields of a config file and checked.

Config files and overlays of a sweep name fields by text ("optim.epochs"); `make_config` turns them
into a `Config`, whose fields are attributes: `config.optim.epochs`. `configs/base.py` explains each
field.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxseg.data.crops import POLICIES, annotated_images
from jaxseg.data.mask_coding import MaskOptions
from jaxseg.data.sources import Reading
from jaxseg.data.views import ANNOTATED_SETS, TEST_SETS, Marking, plane_of, training_view
from jaxseg.errors import UsageError, check_choice
from jaxseg.grid.sweeps import MOST_SEED, flatten, nearest
from jaxseg.metrics.dice import EMPTY
from jaxseg.nets import registry

REFERENCE_SIZE = 256  # the frame in whose pixels eval.ring_width is given, as in the paper
LOSSES = ("dice", "dice_bce", "bce", "dice_focal", "dtu")
SCHEDULES = ("constant", "cosine")
SELECTIONS = ("last", "best")
FEEDS = ("auto", "host", "device")
_OPTIONS = "net.options."
_EXACT = 2.0**53  # whole numbers below it are the same as int and as float


@dataclass(frozen=True)
class DataConfig:
    """The images and masks of a run, and how they are found, read and cropped."""

    name: str = "lesion_phantoms"
    manual_dir: str = ""
    data_dir: str = ""
    train_split: str = "train"
    val_split: str = ""
    test_split: str = "test"
    size: int = 256
    crop: str = "center"
    feed: str = "auto"
    planes: str = ""
    pattern: str = "*"
    truth_pattern: str = "*"
    mask_threshold: float = 0.0
    ignore_label: int = -1
    several_masks: str = "join"
    rehash: bool = False

    @property
    def reading(self) -> Reading:
        """How files are found and read; UsageError for a value that breaks its rule."""
        options = MaskOptions(
            threshold=self.mask_threshold or None,
            ignore=None if self.ignore_label < 0 else self.ignore_label,
            several=self.several_masks,
        )
        return Reading(self.pattern, self.truth_pattern, options.check(), rehash=self.rehash)


@dataclass(frozen=True)
class NetConfig:
    """The network of a cell; `options` are those of a network that is not jaxseg's own."""

    name: str = "unet"
    width: int = 64
    depth: int = 4
    padding: str = "zeros"
    upsampling: str = "align_corners"
    norm: str = "batch"
    dtype: str = "float32"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class OptimConfig:
    """How a cell is trained."""

    loss: str = "dice"
    learning_rate: float = 1e-3
    batch_size: int = 16
    epochs: int = 100
    weight_decay: float = 0.0
    schedule: str = "constant"
    select: str = "last"
    patience: int = 0


@dataclass(frozen=True)
class EvalConfig:
    """What cells are tested on and how they are scored, the same for all of a grid."""

    test_sets: tuple[str, ...] = ("full",)
    ring_width: float = 10.0
    border_px: int = 8
    empty: str = "nan"
    resamples: int = 2000
    saliency_layer: str = ""


@dataclass(frozen=True)
class RunConfig:
    """How cells are run; no field here changes what is trained."""

    cells_per_device: int = 0
    checkpoint_epochs: int = 5


@dataclass(frozen=True)
class AnnotateConfig:
    """How the training frames of a study of annotations are annotated."""

    contamination: float = 1.0
    placement: str = "tied"
    removal: str = "none"
    drawn: bool = True
    colour: str = "yellow"

    @property
    def marking(self) -> Marking:
        """The annotations of a frame that has them."""
        return Marking(self.placement, self.colour, self.removal, self.drawn)


@dataclass(frozen=True)
class Config:
    """All settings of a cell; `annotate` is None except in studies of annotations."""

    name: str = ""
    seed: int = 0
    data: DataConfig = DataConfig()
    net: NetConfig = NetConfig()
    optim: OptimConfig = OptimConfig()
    eval: EvalConfig = EvalConfig()
    run: RunConfig = RunConfig()
    annotate: AnnotateConfig | None = None

    def flat(self) -> dict[str, Any]:
        """Every field by its dotted name, as JSON and cells.csv have it."""
        return {
            name: value for name, value in flatten(dataclasses.asdict(self)).items()
            if name != "annotate"
        }  # fmt: skip


_SECTIONS = {
    "data": DataConfig, "net": NetConfig, "optim": OptimConfig, "eval": EvalConfig,
    "run": RunConfig, "annotate": AnnotateConfig,
}  # fmt: skip
# The fields that a config file may leave out, besides those of the network; all others are
# required.
_OPTIONAL = (
    "optim.weight_decay", "optim.schedule", "optim.patience", "eval.saliency_layer", "data.planes",
    "data.pattern", "data.truth_pattern", "data.mask_threshold", "data.ignore_label",
    "data.several_masks", "data.rehash",
)  # fmt: skip


def _kinds() -> dict[str, type]:
    """The type of every field by its dotted name."""
    found: dict[str, type] = {"name": str, "seed": int}
    for section, kind in _SECTIONS.items():
        for one in dataclasses.fields(kind):
            plain = tuple if one.name == "test_sets" else one.type
            found[f"{section}.{one.name}"] = plain  # pyright: ignore[reportArgumentType]
    del found["net.options"]
    return found


_KINDS = _kinds()
DEFAULTS = {
    name: value
    for name, value in Config().flat().items()
    if name in _OPTIONAL or name.startswith("net.")
}


def make_config(fields: Mapping[str, Any], *, strict: bool = True) -> Config:
    """The config of a config file's fields, nested or by dotted names.

    Whole numbers become floats and lists become tuples where the field is one. Fields that are left
    out get their defaults. `check_config` tests whether a run is possible.

    Args:
        fields: the settings.
        strict: False is for config.json of other versions: fields that are missing, unknown or of
            another type get their defaults.

    Raises:
        UsageError: a field that is missing, unknown or of another type.
    """
    given = flatten(fields)
    values: dict[str, dict[str, Any]] = {section: {} for section in ("", *_SECTIONS)}
    options: dict[str, Any] = {}
    for name, value in given.items():
        section, _, last = name.rpartition(".")
        if name.startswith(_OPTIONS):
            options[name.removeprefix(_OPTIONS)] = value
        elif name in _KINDS and (known := _converted(value, _KINDS[name])) is not None:
            values[section][last] = known
        elif strict and name in _KINDS:
            kind = _KINDS[name].__name__
            raise UsageError(f"config field {name}={value!r}: must be of type {kind}")
        elif strict:
            own = "; the options of your own network are set under net.options"
            raise UsageError(
                f"config field {name}: is not a field of the config"
                f"{own if section == 'net' else ''}{nearest(name, _KINDS)}"
            )
    annotates = bool(values["annotate"])
    for name in _KINDS if strict else ():
        wanted = name not in _OPTIONAL and not name.startswith(("net.", "annotate."))
        if name not in given and (wanted or (annotates and name.startswith("annotate."))):
            raise UsageError(f"config field {name}: is missing in the config file; add it")
    values["net"]["options"] = options
    sections = {
        section: kind(**values[section])
        for section, kind in _SECTIONS.items()
        if section != "annotate" or annotates
    }
    return Config(**values[""], **sections)


def _converted(value: Any, kind: type) -> Any:
    """The value as a field of this type has it; None where it cannot be one."""
    whole = type(value) in (int, float) and abs(value) < _EXACT and value == value // 1
    if whole and kind in (int, float):
        return kind(value)
    return value if type(value) is kind else None


_CHOICES = {
    "data.crop": POLICIES, "data.feed": FEEDS, "optim.loss": LOSSES,
    "optim.schedule": SCHEDULES, "optim.select": SELECTIONS, "eval.empty": EMPTY,
}  # fmt: skip
_AT_LEAST = {
    "seed": 0, "data.size": 1, "optim.batch_size": 1, "optim.epochs": 1,
    "optim.weight_decay": 0, "optim.patience": 0,
    "eval.ring_width": 1, "eval.border_px": 1, "eval.resamples": 100,
    "run.cells_per_device": 0, "run.checkpoint_epochs": 1,
}  # fmt: skip


def check_config(config: Config) -> None:
    """Raises UsageError naming the field, its value and the rule for a config that cannot run."""
    fields = config.flat()
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{name}={value}: must be a finite number")
    for name, choices in _CHOICES.items():
        check_choice(name, fields[name], choices)
    for name, least in _AT_LEAST.items():
        if fields[name] < least:
            raise UsageError(f"{name}={fields[name]}: must be at least {least}")
    if config.seed > MOST_SEED:
        raise UsageError(f"seed={config.seed}: must be at most {MOST_SEED} (int32)")
    _check_optim(config)
    _check_eval(config)
    _check_annotate(config)
    _check_net(config)
    plane_of((), config.data.planes)
    if config.data.reading.truth.ignore is not None and config.net.name == "dtunet":
        raise UsageError(
            f"data.ignore_label={config.data.ignore_label}: a dtunet cannot leave out "
            "pixels; use net.name=unet"
        )


def _check_optim(config: Config) -> None:
    optim = config.optim
    if not optim.learning_rate > 0:
        raise UsageError(f"optim.learning_rate={optim.learning_rate}: must be above 0")
    if optim.select == "best" and not config.data.val_split:
        raise UsageError("optim.select='best': requires data.val_split; set it, or use last")
    if optim.patience and optim.select != "best":
        raise UsageError(
            f"optim.patience={optim.patience}: stops a cell by its validation loss, which requires "
            "optim.select=best and data.val_split; use 0 to train all epochs"
        )


def _check_eval(config: Config) -> None:
    size, border_px, ring_width = config.data.size, config.eval.border_px, config.eval.ring_width
    if border_px >= size / 2:
        raise UsageError(f"eval.border_px={border_px}: must be below half of data.size={size}")
    if ring_width * size < REFERENCE_SIZE:
        raise UsageError(
            f"eval.ring_width={ring_width}: makes rings below 1 pixel at data.size={size}; use at "
            f"least {REFERENCE_SIZE / size:g}"
        )
    for test_set in config.eval.test_sets:
        check_choice("eval.test_sets", test_set, TEST_SETS)
        if config.annotate is None and test_set in ANNOTATED_SETS:
            raise UsageError(
                f"eval.test_sets={test_set!r}: requires the config's section annotate, as in "
                "configs/caliper_ablation.py"
            )
    if not config.eval.test_sets:
        raise UsageError(f"eval.test_sets=(): name at least one of {', '.join(TEST_SETS)}")


def _check_annotate(config: Config) -> None:
    if config.annotate is None:
        return
    training_view(config.annotate.marking)
    annotated_images(1, 0, config.annotate.contamination)
    if config.data.crop != "center":
        raise UsageError(
            f"data.crop={config.data.crop!r}: annotated frames are shown whole; use center"
        )


def _check_net(config: Config) -> None:
    net, loss = make_net(config.net, classes=1), config.optim.loss
    if config.net.name == "dtunet" and loss != "dtu":
        raise UsageError(f"optim.loss={loss!r}: must be 'dtu' under net.name='dtunet'")
    if loss == "dtu" and not net.has_maps:
        raise UsageError("optim.loss='dtu': requires net.name='dtunet'; for a unet use dice_focal")
    net.check(config.data.size, any_classes=True)


def make_net(net: NetConfig, classes: int, batch_axis: str | None = None) -> registry.Network:
    """The network that a config names; the networks of all cells are made here."""
    return registry.make_net(
        net.name, net.options, classes=classes, batch_axis=batch_axis, width=net.width,
        depth=net.depth, padding=net.padding, upsampling=net.upsampling, norm=net.norm,
        dtype=net.dtype,
    )  # fmt: skip
