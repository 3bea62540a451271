"""Reading and preparing clips as published: decode all frames, then work picture by picture.

Written from the method of TSN (Wang et al., arXiv:1608.00859) and its common readers.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from trishift.data.sampling import uniform_eval
from trishift.model.spec import InputSpec


def decode_everything(path: Path, segments: int) -> np.ndarray:
    """Decode all frames of a video in one thread and convert the wanted ones to RGB: (T, H, W, 3) uint8."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.thread_type = 1, "NONE"
        frames = list(container.decode(stream))
        wanted = uniform_eval(len(frames), segments)[0]
        return np.stack([frames[number].to_ndarray(format="rgb24") for number in wanted])


def read_with_opencv(path: Path, segments: int) -> np.ndarray:
    """Run OpenCV's usual loop: trust the header's frame count, grab all frames, retrieve the wanted ones."""
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    wanted = set(uniform_eval(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), segments)[0].tolist())
    frames, number = [], 0
    while capture.grab() and number <= max(wanted):
        if number in wanted:
            frames.append(cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB))
        number += 1
    capture.release()
    return np.stack(frames)


def training_view(frames: np.ndarray, pixels: InputSpec, rng: np.random.Generator) -> np.ndarray:
    """Random multi-scale crop and mirror image of a clip (T, H, W, 3), normalized: (T, 3, crop, crop) float32."""
    height, width = frames.shape[1:3]
    side = int(min(height, width) * rng.choice([1, 0.875, 0.75, 0.66]))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    pictures = [Image.fromarray(frame).crop((left, top, left + side, top + side)) for frame in frames]
    pictures = [picture.resize(pixels.crop_size[::-1], Image.Resampling.BILINEAR) for picture in pictures]
    if rng.random() < 0.5:
        pictures = [picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for picture in pictures]
    return _normalized(pictures, pixels)


def center_view(frames: np.ndarray, pixels: InputSpec) -> np.ndarray:
    """Center crop of a clip (T, H, W, 3) after resizing its short side: (T, 3, crop, crop) float32."""
    height, width = frames.shape[1:3]
    factor = min(pixels.resize_size) / min(height, width)
    size = round(width * factor), round(height * factor)
    pictures = [Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR) for frame in frames]
    tall, wide = pixels.crop_size
    top, left = (size[1] - tall) // 2, (size[0] - wide) // 2
    return _normalized([picture.crop((left, top, left + wide, top + tall)) for picture in pictures], pixels)


def _normalized(pictures: list[Image.Image], pixels: InputSpec) -> np.ndarray:
    """Stack all pictures on the channel axis, scale to 0..1, then subtract means and divide by deviations."""
    stacked = np.concatenate([np.asarray(picture) for picture in pictures], axis=2)
    tensor = np.ascontiguousarray(stacked.transpose(2, 0, 1)).astype(np.float32) / 255
    mean = np.array(pixels.mean * len(pictures), np.float32)[:, None, None]
    deviation = np.array(pixels.std * len(pictures), np.float32)[:, None, None]
    normalized: np.ndarray = (tensor - mean) / deviation
    return normalized.reshape(len(pictures), 3, *normalized.shape[1:])
