"""How a word list is written down: lower-case words between white space."""


def words(text: str) -> frozenset[str]:
    """Split a list into words; ValueError for a word that stands in it twice."""
    listed = text.split()
    if len(set(listed)) < len(listed):
        twice = sorted({word for word in listed if listed.count(word) > 1})
        raise ValueError(f"listed twice: {', '.join(twice)}")
    return frozenset(listed)
