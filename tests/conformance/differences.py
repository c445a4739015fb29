"""Two answers to one request, compared field by field."""

import dataclasses
import math

OURS_ALONE = "ours alone"
THEIRS_ALONE = "theirs alone"
THEIRS_IS_NULL = "null in theirs alone"  # a key with null where ours leaves it out
TYPE = "type"
LENGTH = "length"
VALUE = "value"

# Objects whose keys are data: tokens, or their ids.
MAPS = ("top_logprobs[]", "prompt_logprobs[]")

# Log-probabilities of one model in 32 bits, summed in another order, over several layers.
LOGPROB_TOLERANCE = 2e-4


@dataclasses.dataclass(frozen=True)
class Difference:
    path: str  # "choices[].message.content"; entries of a list have one path, and those of a map (as {})
    kind: str
    ours: object
    theirs: object

    def __str__(self) -> str:
        return f"{self.path}: {self.kind}: ours {self.ours!r:.300}, theirs {self.theirs!r:.300}"


def type_of(value) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "list"
    return "object"


def is_map(value: dict, path: str) -> bool:
    return path.endswith(MAPS) and "token" not in value


def in_object(ours: dict, theirs: dict, path: str, compare) -> list[Difference]:
    found = []
    names_data = is_map(ours, path)
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        inner = f"{path}{{}}" if names_data else f"{path}.{key}" if path else key
        if key not in theirs:
            found.append(Difference(inner, OURS_ALONE, {key: ours[key]} if names_data else ours[key], None))
        elif key not in ours:
            kind = THEIRS_IS_NULL if theirs[key] is None else THEIRS_ALONE
            found.append(Difference(inner, kind, None, {key: theirs[key]} if names_data else theirs[key]))
        else:
            found += compare(ours[key], theirs[key], inner)
    return found


def of_values(ours, theirs, path: str = "") -> list[Difference]:
    """For answers that must say the same: key sets, types, lengths and values; log-probabilities within a tolerance."""
    if type_of(ours) != type_of(theirs):
        return [Difference(path, TYPE, ours, theirs)]
    if isinstance(ours, dict):
        return in_object(ours, theirs, path, of_values)
    if isinstance(ours, list):
        if len(ours) != len(theirs):
            return [Difference(path, LENGTH, ours, theirs)]
        return [found for a, b in zip(ours, theirs) for found in of_values(a, b, f"{path}[]")]
    is_close = isinstance(ours, float) and math.isclose(ours, theirs, rel_tol=0, abs_tol=LOGPROB_TOLERANCE)
    return [] if ours == theirs or is_close else [Difference(path, VALUE, ours, theirs)]


def of_shapes(ours, theirs, path: str = "") -> list[Difference]:
    """For sampled answers, whose words differ: key sets and types. Of lists, the first entries."""
    if type_of(ours) != type_of(theirs):
        return [Difference(path, TYPE, ours, theirs)]
    if isinstance(ours, dict):
        if is_map(ours, path):
            return of_shapes(list(ours.values()), list(theirs.values()), path)
        return in_object(ours, theirs, path, of_shapes)
    if isinstance(ours, list) and ours and theirs:
        return of_shapes(ours[0], theirs[0], f"{path}[]")
    return []
