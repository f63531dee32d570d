"""Screen recordings: what can be read, what is refused, and where the picture is frozen."""

import cv2
import numpy as np
import pytest
from ultrasound_frames import speckle_frame

from jaxseg.data.annotations import annotation_sequence
from jaxseg.data.video import frozen_frames, read_video
from jaxseg.errors import JaxsegError, UsageError


def write(path, frames, codec="MJPG"):
    height, width = (64, 64) if not len(frames) else frames[0].shape[:2]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (width, height))
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def moving(count, first_seed=0, size=(96, 128)):
    frames = (speckle_frame(seed, *size)[0] for seed in range(first_seed, first_seed + count))
    return [np.repeat(frame[..., None], 3, -1) for frame in frames]


def recording():
    """Five live frames, a frozen one annotated in six stages of two frames each, four live ones."""
    clean, mask = speckle_frame(50, 96, 128)
    stages, _ = annotation_sequence(clean, mask, seed=1, image_id="v", colour="yellow")
    return moving(5) + list(stages.repeat(2, axis=0)) + moving(4, 80)


@pytest.fixture
def video(tmp_path):
    return write(tmp_path / "screen.avi", moving(12))


def test_frames_come_in_order_as_rgb(tmp_path):
    colours = [(200, 30, 40), (30, 190, 40), (40, 50, 210)]
    flat = [np.full((64, 80, 3), colour, np.uint8) for colour in colours]
    frames = list(read_video(write(tmp_path / "flat.avi", flat)))
    assert len(frames) == 3
    for frame, colour in zip(frames, colours):
        assert frame.shape == (64, 80, 3) and frame.dtype == np.uint8
        assert np.abs(frame.astype(int) - colour).max() < 12


def test_as_many_frames_as_asked_for(video):
    assert len(list(read_video(video))) == 12
    assert len(list(read_video(video, max_frames=5))) == 5
    assert len(list(read_video(video, max_frames=50))) == 12
    with pytest.raises(UsageError, match="max_frames=0: must be at least 1"):
        read_video(video, max_frames=0)


def test_a_video_that_ends_early_is_refused_or_taken_as_it_is(video, capfd):
    whole = video.read_bytes()
    video.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(JaxsegError, match=r"screen\.avi: ends after (\d+) of 12 frames") as caught:
        list(read_video(video))
    assert "\n" not in str(caught.value)
    assert 4 < len(list(read_video(video, allow_short=True))) < 12
    assert len(list(read_video(video, max_frames=3))) == 3
    capfd.readouterr()


def test_a_video_without_frames(tmp_path, capfd):
    with pytest.raises(JaxsegError, match=r"none\.avi: no frame can be read"):
        list(read_video(write(tmp_path / "none.avi", [])))
    capfd.readouterr()


def test_unknown_codecs_and_other_files_are_named(video, tmp_path, capfd):
    video.write_bytes(video.read_bytes().replace(b"MJPG", b"ZZZZ"))
    with pytest.raises(JaxsegError, match=r"screen\.avi: cannot be opened .* codec unknown"):
        read_video(video)
    (tmp_path / "text.avi").write_text("not a video")
    with pytest.raises(JaxsegError, match=r"text\.avi: cannot be opened"):
        read_video(tmp_path / "text.avi")
    with pytest.raises(JaxsegError, match=r"gone\.avi: no such file"):
        read_video(tmp_path / "gone.avi")
    capfd.readouterr()


def test_the_frozen_stretch_is_found():
    assert frozen_frames(recording()) == (5, 16)


def test_the_frozen_stretch_is_found_in_a_lossy_recording(tmp_path):
    frames = list(read_video(write(tmp_path / "screen.avi", recording())))
    first, last = frozen_frames(frames)
    assert (first, last) == (5, 16)
    change = np.abs(frames[last].astype(int) - frames[first]).max(-1)
    assert 0.005 < (change > 24).mean() < 0.15


def test_overlays_that_vanish_end_the_stretch():
    clean, mask = speckle_frame(50, 96, 128)
    stages, _ = annotation_sequence(clean, mask, seed=1, image_id="v")
    assert frozen_frames([*stages, stages[0], stages[0]]) == (0, 5)


def test_the_longest_of_several_stretches():
    clean, mask = speckle_frame(50, 96, 128)
    short, _ = annotation_sequence(clean, mask, seed=1, image_id="v", stages=4)
    frames = [*short, *moving(2), *recording()]
    assert frozen_frames(iter(frames)) == (11, 22)


@pytest.mark.parametrize("frames", [[], moving(1), moving(6), moving(1) * 5])
def test_without_overlays_on_a_still_picture_there_is_no_stretch(frames):
    with pytest.raises(JaxsegError, match="no still picture on which overlays appear"):
        frozen_frames(frames)


def test_frames_of_different_sizes_are_refused():
    with pytest.raises(UsageError, match=r"frames of shape \(96, 128, 3\) and \(64, 64, 3\)"):
        frozen_frames(moving(1) + moving(1, size=(64, 64)))
