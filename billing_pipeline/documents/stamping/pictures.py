"""The pictures of a document as PDF draws them: rectangles, and paths of straight lines."""

import re
from collections.abc import Iterator
from html import unescape

from billing_pipeline.documents.stamping.shaping import Unshapeable

_VIEW_BOX = re.compile(r'viewBox="0 0 (\d+) (\d+)"')
_SHAPE = re.compile(r"<(rect|path) ([^>]*)/>")
_ATTRIBUTE = re.compile(r'([a-z]+)="([^"]*)"')
_TITLE = re.compile("<title>(.*?)</title>", re.DOTALL)
#: One module of a code or several beside each other.
_RUN = re.compile(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z")
#: How far a curve's control points lie from its ends, for a quarter of a circle.
_QUARTER = 0.551784


def draw_picture(svg: str, width: float, height: float) -> bytes:
    """A picture of rectangles and runs of modules, in order, scaled to the room it has.

    Raises:
        Unshapeable: it is made of something else.
    """
    box = _VIEW_BOX.search(svg)
    shapes = _SHAPE.findall(svg)
    # The picture and its title have two tags each.
    if not box or svg.count("<") != 4 + len(shapes):
        raise Unshapeable("a picture is more than rectangles")  # noqa: EM101
    scale = f"{width / int(box[1]):.6f} 0 0 {height / int(box[2]):.6f} 0 0 cm"
    drawn = "\n".join("\n".join(_draw(kind, dict(_ATTRIBUTE.findall(said)))) for kind, said in shapes)
    return f"q\n{scale}\n{drawn}\nQ".encode()


def tell_picture(svg: str) -> str:
    """What a picture shows."""
    title = _TITLE.search(svg)
    return unescape(title[1]) if title else ""


def _draw(kind: str, said: dict[str, str]) -> Iterator[str]:
    yield _colour(said.get("fill", "#000"))
    if kind == "path":
        runs = _RUN.findall(said["d"])
        if "".join("M{} {}h{}v1h-{}z".format(*run) for run in runs) != said["d"]:
            raise Unshapeable("a picture has a path of other than rectangles")  # noqa: EM101
        yield from (f"{x} {y} {width} 1 re" for x, y, width, _ in runs)
        yield "f"
    elif "rx" in said:
        yield from _rounded(float(said["width"]), float(said["height"]), float(said["rx"]))
    elif "0" not in (said["width"], said["height"]):
        yield f"{said.get('x', 0)} {said.get('y', 0)} {said['width']} {said['height']} re f"


def _rounded(width: float, height: float, radius: float) -> Iterator[str]:
    """A rectangle at the origin with round corners."""
    near, far = radius * (1 - _QUARTER), radius
    right, bottom = width - radius, height - radius
    yield f"{far:g} 0 m {right:g} 0 l"
    yield f"{width - near:g} 0 {width:g} {near:g} {width:g} {far:g} c {width:g} {bottom:g} l"
    yield f"{width:g} {height - near:g} {width - near:g} {height:g} {right:g} {height:g} c {far:g} {height:g} l"
    yield f"{near:g} {height:g} 0 {height - near:g} 0 {bottom:g} c 0 {far:g} l"
    yield f"0 {near:g} {near:g} 0 {far:g} 0 c f"


def _colour(fill: str) -> str:
    digits = fill.removeprefix("#")
    digits = digits if len(digits) == 6 else "".join(digit * 2 for digit in digits)
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return f"{red:.4f} {green:.4f} {blue:.4f} rg"
