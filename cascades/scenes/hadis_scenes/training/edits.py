"""Wrong captions and wrong pictures, near misses of a right one, for the matching discriminator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy import ndimage

from hadis_scenes import compositions, drawing, vocabulary
from hadis_scenes.compositions import Composition, Group, Relation

_TURNED: dict[Relation, Relation] = {"above": "left", "left": "above"}


def _with_group(c: Composition, index: int, group: Group) -> Composition:
    return replace(c, groups=(*c.groups[:index], group, *c.groups[index + 1 :]))


def _attribute(rng: random.Random, c: Composition) -> Composition | None:
    index = rng.randrange(len(c.groups))
    group = c.groups[index]
    name = rng.choices(("colour", "shape", "size"), (5, 4, 2))[0]
    if name == "colour":
        changed = replace(group, colour=rng.choice(compositions.COLOURS))
    elif name == "shape":
        changed = replace(group, shape=rng.choice(compositions.SHAPES))
    elif group.count < 4:
        changed = replace(group, size=rng.choice(("small", "large")))
    else:
        return None
    return _with_group(c, index, changed)


def _count(rng: random.Random, c: Composition) -> Composition | None:
    first = c.groups[0]
    if c.kind == "counting":
        size = "" if first.size == "large" else first.size
        return _with_group(c, 0, replace(first, count=rng.choice((2, 3, 4)), size=size))
    if c.kind == "single":
        return Composition("counting", "counting", (replace(first, count=rng.choice((2, 3))),))
    if c.kind == "relation":
        index = rng.randrange(2)
        doubled = _with_group(c, index, replace(c.groups[index], count=2))
        return replace(doubled, category="complex", kind="count-relation")
    if c.kind == "count-relation":
        groups = tuple(replace(g, count=1) for g in c.groups)
        return replace(c, groups=groups, category="relation", kind="relation")
    return None


def _place(rng: random.Random, c: Composition) -> Composition | None:
    if c.relations:
        index = rng.randrange(len(c.relations))
        first, relation, second = c.relations[index]
        if c.kind != "two-relations" and rng.random() < 0.4:
            ends = rng.choice(((first, second), (second, first)))
            changed: tuple[int, Relation, int] = (ends[0], _TURNED[relation], ends[1])
        else:
            changed = (second, relation, first)
        return replace(c, relations=(*c.relations[:index], changed, *c.relations[index + 1 :]))
    if c.corners:
        chosen, before = rng.choice(c.corners)
        target = rng.choice(vocabulary.CORNERS)
        swap = {before: target, target: before}
        corners = tuple(
            (i, target if i == chosen else swap.get(corner, corner)) for i, corner in c.corners
        )
        return replace(c, corners=corners)
    return None


def _swap(rng: random.Random, c: Composition) -> Composition | None:
    if len(c.groups) < 2:
        return None
    a, b = rng.sample(range(len(c.groups)), 2)
    one, two = c.groups[a], c.groups[b]
    name = rng.choice(("size", "colour", "shape"))
    changed = _with_group(c, a, replace(one, **{name: getattr(two, name)}))
    return _with_group(changed, b, replace(two, **{name: getattr(one, name)}))


def _membership(rng: random.Random, c: Composition) -> Composition | None:
    extra = (*c.groups, compositions.random_group(rng, 1, c.groups))
    if c.kind == "single":
        return Composition("two", "two", extra)
    if c.kind == "two" and rng.random() < 0.5:
        return Composition("complex", "three", extra)
    if c.kind == "two":
        return Composition("single", "single", (rng.choice(c.groups),))
    if c.kind == "three":
        return Composition("two", "two", tuple(rng.sample(c.groups, 2)))
    if c.kind == "relation":
        turned = _TURNED[c.relations[0][1]]
        added: tuple[int, Relation, int] = rng.choice(((0, turned, 2), (2, turned, 0)))
        return Composition("complex", "two-relations", extra, (*c.relations, added))
    if c.kind == "two-relations":
        kept = tuple(r for r in c.relations if 2 not in (r[0], r[2]))
        return Composition("relation", "relation", c.groups[:2], kept)
    return None


_EDITS: tuple[tuple[Callable[[random.Random, Composition], Composition | None], int], ...] = (
    (_attribute, 50),
    (_count, 12),
    (_place, 22),
    (_swap, 12),
    (_membership, 10),
)


def edit(rng: random.Random, composition: Composition) -> Composition:
    """Change one thing that a composition demands."""
    functions = [function for function, _ in _EDITS]
    weights = [weight for _, weight in _EDITS]
    while True:
        changed = rng.choices(functions, weights)[0](rng, composition)
        if changed is None or changed == composition:
            continue
        names = {(g.colour, g.shape) for g in changed.groups}
        if len(names) == len(changed.groups):
            return changed


def _free(objects: list[drawing.Object], x: float, y: float, radius: float) -> bool:
    return all(max(abs(x - o.x), abs(y - o.y)) > radius + o.radius + 1 for o in objects)


def _spot(
    noise: np.random.Generator, objects: list[drawing.Object], radius: float
) -> tuple[float, float] | None:
    for _ in range(50):
        x, y = noise.uniform(radius, drawing.SIDE - 1 - radius, 2)
        if _free(objects, x, y, radius):
            return float(x), float(y)
    return None


def spoil(
    rng: random.Random, noise: np.random.Generator, objects: list[drawing.Object]
) -> list[drawing.Object]:
    """Lose, add, alter, move or overlap one object of a layout."""
    items = list(objects)
    index = rng.randrange(len(items))
    item = items[index]
    how = rng.choices(
        ("lose", "add", "recolour", "reshape", "resize", "move", "overlap"),
        (20, 25, 15, 12, 8, 10, 10),
    )[0]
    if how == "lose":
        if len(items) > 1:
            items.pop(index)
    elif how == "add":
        radius = float(noise.uniform(4.5, 9))
        spot = _spot(noise, items, radius)
        if spot:
            colour = item.colour if rng.random() < 0.6 else rng.choice(compositions.COLOURS)
            shape = item.shape if rng.random() < 0.6 else rng.choice(compositions.SHAPES)
            items.append(drawing.Object(-1, colour, shape, *spot, radius))
    elif how == "recolour":
        items[index] = replace(item, colour=rng.choice(compositions.COLOURS))
    elif how == "reshape":
        items[index] = replace(item, shape=rng.choice(compositions.SHAPES))
    elif how == "resize":
        items[index] = replace(item, radius=float(noise.uniform(3.5, 12)))
    elif how == "move":
        items.pop(index)
        spot = _spot(noise, items, item.radius)
        items.append(item if spot is None else replace(item, x=spot[0], y=spot[1]))
    else:
        x, y = noise.uniform(-5, 5, 2)
        colour = item.colour if rng.random() < 0.6 else rng.choice(compositions.COLOURS)
        items.append(
            replace(
                item,
                colour=colour,
                shape=rng.choice(compositions.SHAPES),
                x=item.x + float(x),
                y=item.y + float(y),
                radius=item.radius * float(noise.uniform(0.5, 1)),
            )
        )
    return items


def distort(
    rng: random.Random,
    noise: np.random.Generator,
    image: drawing.Image,
    other: drawing.Image,
    objects: list[drawing.Object],
) -> drawing.Image:
    """Blur, bend, fade, mix or stain a picture, mostly around one object, as weak models do."""
    side = drawing.SIDE
    pixels = image.astype(np.float32)
    item = rng.choice(objects)
    rows, columns = np.mgrid[:side, :side]
    width = item.radius * noise.uniform(0.5, 1.2)
    near = np.exp(-((columns - item.x) ** 2 + (rows - item.y) ** 2) / (2 * width**2))[..., None]
    how = rng.choices(("blur", "bend", "fade", "mix", "stain"), (20, 35, 15, 15, 15))[0]
    if how == "blur":
        spread = noise.uniform(0.6, 2.2)
        blurred = ndimage.gaussian_filter(pixels, (spread, spread, 0))
        pixels = pixels * (1 - near) + blurred * near if rng.random() < 0.5 else blurred
    elif how == "bend":
        scale = noise.uniform(2, 6)
        strength = noise.uniform(1, 4) * scale**2
        shifts = [
            ndimage.gaussian_filter(noise.standard_normal((side, side)), scale) * strength
            for _ in range(2)
        ]
        if rng.random() < 0.5:
            shifts = [shift * near[..., 0] for shift in shifts]
        at = [rows + shifts[0], columns + shifts[1]]
        channels = [
            ndimage.map_coordinates(pixels[..., c], at, order=1, mode="nearest") for c in range(3)
        ]
        pixels = np.stack(channels, 2)
    elif how == "fade":
        alpha = near * noise.uniform(0.3, 1)
        pixels = pixels * (1 - alpha) + 25 * alpha
    elif how == "mix":
        alpha = noise.uniform(0.2, 0.8) * (near if rng.random() < 0.7 else np.ones_like(near))
        pixels = pixels * (1 - alpha) + other * alpha
    else:
        alpha = near * noise.uniform(0.3, 1)
        colour = np.array(drawing.COLOUR_VALUES[rng.choice(compositions.COLOURS)])
        light = np.linalg.norm(pixels, axis=2, keepdims=True) / 255
        pixels = pixels * (1 - alpha) + alpha * colour * light
    return np.clip(pixels, 0, 255).astype(np.uint8)
