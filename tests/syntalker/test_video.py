"""Films and soundtracks, read back with the program that wrote them."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from lithe.syntalker import BODY, Motion
from lithe.syntalker.drawing import Camera, draw, head_of, sides
from lithe.syntalker.skeleton import Skeleton
from lithe.syntalker.soundtrack import data_uri, fitted, one_channel, write_wav
from lithe.syntalker.video import save

RATE = 16000


def moving(frames: int, audio: tuple[np.ndarray, int] | None = None) -> Motion:
    positions = np.tile(BODY.rest(), (frames, 1, 1)) + np.array([0.0, 0.93, 0.0])
    positions[:, 20, 1] += np.linspace(0, 0.5, frames)
    return Motion(positions, 30.0, audio=audio)


def clicks(seconds: float) -> np.ndarray:
    """A short tone every half second."""
    t = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2000 * t) * (t % 0.5 < 0.02)).astype(np.float32)


def film(path: Path, width: int, height: int) -> tuple[str, np.ndarray]:
    """What ffmpeg says of a film, and its frames ``(t, height, width, 3)``."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo"]
    done = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    frames = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    return done.stderr.decode(), frames


def test_a_film_has_the_frames_and_the_sound(tmp_path) -> None:
    path = save(moving(15, (clicks(0.2), RATE)), tmp_path / "a.mp4", size=(160, 128))
    about, frames = film(path, 160, 128)
    assert "Video: h264" in about
    assert "30 fps" in about
    assert "Audio: aac" in about
    assert "Duration: 00:00:00.5" in about  # the sound is filled to the end
    assert len(frames) == 15
    expected = np.asarray(draw(moving(15), 14, (160, 128))).astype(float)
    assert np.abs(frames[14] - expected).mean() < 6
    assert np.abs(frames[14].astype(float) - frames[0]).mean() > 0.3  # it moves


def test_a_silent_film_and_a_wrong_size(tmp_path) -> None:
    path = save(moving(2), tmp_path / "a.mp4", size=(64, 64))
    about, frames = film(path, 64, 64)
    assert len(frames) == 2
    assert "Audio" not in about
    with pytest.raises(ValueError, match="multiples of 16"):
        save(moving(2), tmp_path / "b.mp4", size=(100, 64))
    assert not (tmp_path / "b.mp4").exists()


def test_the_camera_looks_the_person_in_the_face() -> None:
    front = Camera(yaw=0.0, pitch=0.0, distance=4.0, zoom=1.0)
    left, up, near = np.eye(3)
    seen = front.project(np.stack([left, up, near]), np.zeros(3))
    np.testing.assert_allclose(seen[0], [0.25, 0, 4])  # the left hand on the right of the picture
    np.testing.assert_allclose(seen[1], [0, -0.25, 4], atol=1e-12)
    np.testing.assert_allclose(seen[2], [0, 0, 3], atol=1e-12)
    above = Camera(yaw=0.0, pitch=np.pi / 2).project(up[None], np.zeros(3))[0]
    np.testing.assert_allclose(above, [0, 0, 3], atol=1e-12)
    beside = Camera(yaw=np.pi / 2, pitch=0.0, zoom=1.0).project(near[None], np.zeros(3))[0]
    np.testing.assert_allclose(beside, [-0.25, 0, 4], atol=1e-12)


def test_sides_are_known_by_many_names() -> None:
    names = ("Hips", "LeftUpLeg", "RHipJoint", "LThumb", "mixamorig:RightArm", "LowerBack", "r_toe")
    tree = Skeleton(names, (-1, 0, 0, 0, 0, 0, 0), np.zeros((7, 3)))
    expected = ["middle", "left", "right", "left", "right", "middle", "right"]
    assert sides(tree) == expected
    assert (head_of(tree), head_of(BODY)) == (-1, 15)


def test_soundtracks_have_the_length_of_the_motion() -> None:
    assert len(fitted(np.ones(100), 10, 4.0)) == 40
    longer = fitted(np.ones((10, 2)), 10, 2.0)
    assert longer.shape == (20, 2)
    assert longer[10:].sum() == 0
    np.testing.assert_array_equal(one_channel(np.array([[1.0, 3.0], [0.0, -0.5]])), [1.0, -0.25])


def test_a_minute_of_sound_is_small_and_the_same_every_time() -> None:
    sound = np.random.default_rng(0).normal(scale=0.1, size=60 * RATE).astype(np.float32)
    uri = data_uri(sound, RATE, 60.0)
    assert uri.startswith("data:audio/mpeg;base64,")
    assert len(uri) < 420_000
    assert uri == data_uri(sound, RATE, 60.0)


def test_without_ffmpeg_the_sound_is_a_plain_wav(monkeypatch) -> None:
    import soundfile

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    kind, _, code = data_uri(np.ones(48000) * 0.5, 48000, 1.0).partition(",")
    assert kind == "data:audio/wav;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(code)))
    assert (len(samples), rate) == (16000, 16000)
    assert samples[8000] == pytest.approx(0.5, abs=1e-2)


def test_written_wav_is_sixteen_bit(tmp_path) -> None:
    import soundfile

    write_wav(tmp_path / "a.wav", np.array([0.0, 0.5, -1.0]), 8000)
    assert soundfile.info(tmp_path / "a.wav").subtype == "PCM_16"
