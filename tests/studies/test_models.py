import numpy as np
import pytest

from jaxseg.errors import JaxsegError, UsageError
from jaxseg.studies.models import callable_model, load_callable, masks_of, relative_error

MODULE = """
import sys
import numpy as np

def bright(image):
    return image[..., 0] > 127

def bright_255(image):
    return np.where(image[..., 0] > 127, 255, 0)

def batch(images):
    return (images[..., 0] > 127).astype(np.int64)

def spoil(image):
    image[:] = 0
    return image[..., 0]

def small(image): return np.zeros((2, 2), np.uint8)
def logits(image): return image[..., 0] / 255
def odd(image): return np.where(image[..., 0] > 127, 255, 7)
def many(image): return np.full(image.shape[:2], 3)
def angry(image): raise RuntimeError("no weights\\nin the file")
def leaving(image): sys.exit(3)
constant = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    name = f"model_of_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    (tmp_path / f"{name}_broken.py").write_text("import a_module_that_is_nowhere")
    (tmp_path / f"{name}_wrong.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return name


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 6, 5, 3), np.uint8)


@pytest.mark.parametrize(
    "function, batched",
    [("bright", False), ("bright_255", False), ("batch", True), ("batch", False)],
)
def test_masks_of_any_allowed_form_are_class_indices(module, images, function, batched):
    masks = load_callable(f"{module}:{function}", batched=batched)(images)
    assert masks.dtype == np.uint8
    np.testing.assert_array_equal(masks, images[..., 0] > 127)


def test_a_function_cannot_change_the_audits_image(module, images):
    before = images.copy()
    load_callable(f"{module}:spoil")(images)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize(
    "function, said",
    [
        ("small", r"returned shape \[2, 2\] for images of \[6, 5\].*--batched"),
        ("logits", "returned float64 values .* threshold it first, or give --threshold 0.5"),
        ("odd", "returned 255 beside other values"),
        ("many", r"returned values 3\.\.3 where the truth has classes 0\.\.1"),
        ("angry", r"raised for uint8 \[6, 5, 3\]: RuntimeError: no weights$"),
        ("leaving", "raised for uint8 .*SystemExit: 3"),
    ],
)
def test_what_a_function_does_wrong_is_one_line_that_names_it(module, images, function, said):
    predict = load_callable(f"{module}:{function}")
    with pytest.raises(JaxsegError, match=said) as error:
        predict(images)
    assert "\n" not in str(error.value) and f"{module}:{function}" in str(error.value)


ONE_SIZE = """
import numpy as np

def reshaped(image): return image.reshape(1, 128, 128, 3)[0, ..., 0] > 3
def onnx(image):
    raise RuntimeError("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : Got invalid dimensions for "
        "input: x for the following indices\\n index: 2 Got: 64 Expected: 128")
def torch_export(image):
    raise RuntimeError("Expected input at *args[0].shape[2] to be equal to 128, but got 64")
def keras(image):
    raise ValueError("Input 0 is incompatible with the layer: expected shape=(None, 128, 128, 3), "
        "found shape=(1, 64, 64, 3)")
def linear(image):
    raise RuntimeError("mat1 and mat2 shapes cannot be multiplied (1x4096 and 1024x10)")
def asserts(image): assert image.shape[0] == 128
def fixed(image): return np.zeros((128, 128), np.uint8)
def memory(image): raise RuntimeError("no weights in the file")
"""


@pytest.mark.parametrize(
    "function, hint",
    [
        ("reshaped", "--size 128"),
        ("onnx", "--size 128"),
        ("torch_export", "--size 128"),
        ("keras", "--size 128"),
        ("linear", "--size N"),
        ("asserts", "--size N"),
        ("fixed", "--size 128"),
    ],
)
def test_a_function_of_one_size_is_told_of_the_flag(module, tmp_path, function, hint):
    (tmp_path / f"{module}_one.py").write_text(ONE_SIZE)
    spec = f"{module}_one:{function}"
    with pytest.raises(JaxsegError, match=f"{hint}$") as error:
        load_callable(spec, side=64)(np.zeros((1, 64, 64, 3), np.uint8))
    assert str(error.value).isprintable()
    for side, frame in ((None, 64), (64, 96)):  # frames that --size has not chosen
        with pytest.raises(JaxsegError) as error:
            load_callable(spec, side=side)(np.zeros((1, frame, frame, 3), np.uint8))
        assert "--size" not in str(error.value)


def test_other_failures_do_not_speak_of_sizes(module, tmp_path):
    (tmp_path / f"{module}_one.py").write_text(ONE_SIZE)
    with pytest.raises(JaxsegError) as error:
        load_callable(f"{module}_one:memory", side=64)(np.zeros((1, 64, 64, 3), np.uint8))
    assert "--size" not in str(error.value)


def test_a_batch_of_the_wrong_shape_names_the_batch_form(module, images):
    with pytest.raises(JaxsegError, match=r"return one of \[B, H, W\] for a batch"):
        load_callable(f"{module}:small", batched=True)(images)


@pytest.mark.parametrize(
    "spec, kind, said",
    [
        ("{}", UsageError, "must look like module:function"),
        ("{}_elsewhere.py:bright", UsageError, "no file"),
        ("{}:", UsageError, "must look like"),
        ("../{}:bright", UsageError, "must look like"),
        ("{}_elsewhere:bright", UsageError, "no module .*set PYTHONPATH"),
        ("{}:brigth", UsageError, "did you mean 'bright'"),
        ("{}:constant", UsageError, "is not a function"),
        ("{}_broken:bright", JaxsegError, "cannot be imported: ModuleNotFoundError: .*nowhere"),
        ("{}_wrong:bright", JaxsegError, "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_function_that_cannot_be_found_is_one_line(module, spec, kind, said):
    with pytest.raises(kind, match=said) as error:
        load_callable(spec.format(module))
    assert type(error.value) is kind and "\n" not in str(error.value)


def test_responses_of_a_function_are_its_masks_class_by_class(module):
    images = np.full((1, 4, 4, 3), 200, np.uint8)
    model = callable_model("m", load_callable(f"{module}:many", classes=3), size=4, classes=3)
    responses = model.respond(images)
    assert responses.shape == (1, 4, 4, 3) and not model.logits
    np.testing.assert_array_equal(responses[..., 2], 1)
    np.testing.assert_array_equal(masks_of(responses), 3)


def test_relative_error_is_1_minus_dice_of_masks_and_relative_l2_of_logits():
    a, b = np.array([1.0, 1, 0, 0]), np.array([1.0, 0, 1, 1])
    assert relative_error(a, b, logits=False) == pytest.approx(1 - 2 / 5)
    assert relative_error(a, b, logits=True) == pytest.approx(1.0)
    assert relative_error(3 * b, b, logits=True) == pytest.approx(2.0)
    assert np.isnan(relative_error(0 * a, 0 * b, logits=False))
    assert np.isnan(relative_error(a, 0 * b, logits=True))


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16, bool, np.int64])
def test_whole_values_of_any_number_type_are_labels(kind, tmp_path, monkeypatch):
    predict = made(tmp_path, monkeypatch, f"(image[..., 0] > 99).astype('{np.dtype(kind).name}')")
    image = np.full((1, 4, 4, 3), 200, np.uint8)
    np.testing.assert_array_equal(predict()(image), np.ones((1, 4, 4)))


def test_probabilities_are_cut_at_the_threshold_and_logits_are_named(tmp_path, monkeypatch):
    predict = made(tmp_path, monkeypatch, "image[..., 0] / 255.0")
    image = np.array([100, 128, 200], np.uint8).reshape(1, 1, 3, 1).repeat(3, -1)
    np.testing.assert_array_equal(predict(threshold=0.5)(image)[0, 0], [0, 1, 1])
    np.testing.assert_array_equal(predict(threshold=0.7)(image)[0, 0], [0, 0, 1])
    with pytest.raises(UsageError, match=r"--threshold 0.5: is for one class, but the truth has 3"):
        predict(threshold=0.5, classes=3)
    logits = made(tmp_path, monkeypatch, "image[..., 0] / 25.0 - 4", name="logits_of")
    with pytest.raises(JaxsegError, match=r"probabilities lie from 0 to 1 \(apply the sigmoid"):
        logits(threshold=0.5)(image)


def test_255_means_foreground_where_there_is_one_class_only(tmp_path, monkeypatch):
    predict = made(tmp_path, monkeypatch, "(image[..., 0] > 99).astype('uint8') * 255")
    image = np.full((1, 4, 4, 3), 200, np.uint8)
    assert predict()(image).max() == 1
    with pytest.raises(JaxsegError, match=r"values 255\.\.255 where the truth has classes 0\.\.2"):
        predict(classes=2)(image)


def made(tmp_path, monkeypatch, expression, name="model_of_values"):
    """`load_callable` of a function of one image that returns an expression."""
    name = f"{name}_{abs(hash((str(tmp_path), expression)))}"
    (tmp_path / f"{name}.py").write_text(f"def predict(image):\n    return {expression}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda **options: load_callable(f"{name}:predict", **options)
