"""Stills that are stored in part."""

import cv2
import pytest
import simplejpeg
from fixtures_cholec import HEIGHT, WIDTH, numbered_image, read_number

from surgzoo.datasets.frames import Quarantined, Still, from_images
from surgzoo.datasets.layout import File
from surgzoo.db.schema import FrameAnnotations


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_crop_is_what_is_stored_and_what_is_labelled(tmp_path, suffix):
    """A JPEG is stored as it is otherwise, which would be the whole image."""
    framed = cv2.copyMakeBorder(numbered_image(77), 8, 8, 16, 16, cv2.BORDER_CONSTANT)
    path = tmp_path / f"still.{suffix}"
    assert cv2.imwrite(str(path), framed)
    seen = []

    def label(key, image):
        seen.append((key, image.shape))
        return FrameAnnotations()

    stills = [Still(1.5, File.at(path), "a")]
    (record,) = from_images("v", stills, label, crop=(16, 8, WIDTH, HEIGHT))
    image = simplejpeg.decode_jpeg(record.image)
    assert image.shape == (HEIGHT, WIDTH, 3) and read_number(image) == 77
    assert seen == [("a", (HEIGHT, WIDTH, 3))]
    (bad,) = from_images("v", stills, label, crop=(64, 8, WIDTH, HEIGHT))
    assert isinstance(bad, Quarantined) and "ends within the part" in bad.reason
    assert len(seen) == 1
