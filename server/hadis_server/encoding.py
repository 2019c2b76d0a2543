"""Turn a picture into the bytes of its file format, away from the denoising thread."""

import io

from PIL.Image import Image

from hadis.wire.generation import OutputFormat

MEDIA_TYPES = {
    OutputFormat.PNG: "image/png",
    OutputFormat.JPEG: "image/jpeg",
    OutputFormat.WEBP: "image/webp",
}
# zlib's fastest level: a third of the default's time for a tenth more bytes.
PNG_LEVEL = 1


def encode(image: Image, output_format: OutputFormat, compression: int) -> bytes:
    """Return the file. `compression` is the quality of jpeg and webp, 0 to 100; png is lossless."""
    buffer = io.BytesIO()
    if output_format is OutputFormat.PNG:
        image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    elif output_format is OutputFormat.JPEG:
        image.convert("RGB").save(buffer, "JPEG", quality=compression)
    else:
        image.save(buffer, "WEBP", quality=compression)
    return buffer.getvalue()
