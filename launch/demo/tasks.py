"""Question generators. Each returns an Item whose answer is determined by its question."""

from dataclasses import dataclass

import knowledge as k
import stories as s
from split import is_held_out


@dataclass(frozen=True)
class Item:
    task: str
    key: str  # what split.is_held_out decides on
    question: str
    answer: str


def _pair_item(task, key, pair, wordings, answer, rng):
    return Item(task, key, rng.choice(wordings).format(*pair), answer)


SMALL_NUMBERS = 21
_SHARE_OF_SMALL_PAIRS = 0.35


def is_small(a, b):
    """Whether both are among the numbers that people try first."""
    return max(a, b) < SMALL_NUMBERS


def sum_key(a, b, wording):
    """Small pairs are few and all of them are taught, so only a (pair, wording) of them is kept out."""
    pair = f"{min(a, b)},{max(a, b)}"
    return f"{pair},{wording}" if is_small(a, b) else pair


def _operands(rng):
    limit = SMALL_NUMBERS if rng.random() < _SHARE_OF_SMALL_PAIRS else 100
    return rng.randrange(limit), rng.randrange(limit)


def _sum_item(task, operands, wordings, answer, rng):
    i = rng.randrange(len(wordings))
    return Item(task, sum_key(*operands, i), wordings[i].format(*operands), answer)


def add(rng):
    a, b = _operands(rng)
    wordings = ["What is {} + {}?", "{} + {}", "{} + {} = ?", "Add {} and {}.",
                "Calculate {} + {}.", "How much is {} plus {}?", "What is {} plus {}?"]
    return _sum_item("add", (a, b), wordings, f"{a} + {b} = {a + b}.", rng)


def subtract(rng):
    b, a = sorted(_operands(rng))
    wordings = ["What is {} - {}?", "{} - {}", "{} - {} = ?", "Calculate {} - {}.",
                "How much is {} minus {}?", "What is {} minus {}?"]
    return _sum_item("subtract", (a, b), wordings, f"{a} - {b} = {a - b}.", rng)


def multiply(rng):
    a, b = rng.randrange(11), rng.randrange(11)
    wordings = ["What is {} * {}?", "{} * {}", "{} * {} = ?", "Multiply {} and {}.",
                "Calculate {} * {}.", "How much is {} times {}?", "What is {} times {}?"]
    i = rng.randrange(len(wordings))
    return Item("multiply", f"{a},{b},{i}", wordings[i].format(a, b), f"{a} * {b} = {a * b}.")


def compare(rng):
    a, b = rng.sample(range(100), 2)
    low, high = min(a, b), max(a, b)
    key = f"{low},{high}"
    if rng.random() < 0.5:
        wordings = ["Which is larger, {} or {}?", "Which number is larger: {} or {}?",
                    "What is more, {} or {}?"]
        return _pair_item("compare", key, (a, b), wordings, f"{high} is larger than {low}.", rng)
    wordings = ["Which is smaller, {} or {}?", "Which number is smaller: {} or {}?",
                "What is less, {} or {}?"]
    return _pair_item("compare", key, (a, b), wordings, f"{low} is smaller than {high}.", rng)


def count(rng):
    start, length = rng.randrange(0, 90), rng.randrange(3, 10)
    end = start + length - 1
    wordings = ["Count from {} to {}.", "Please count from {} to {}.",
                "Can you count from {} to {}?"]
    numbers = ", ".join(str(n) for n in range(start, end + 1))
    return _pair_item("count", f"{start},{end}", (start, end), wordings, f"{numbers}.", rng)


def sort(rng):
    numbers = rng.sample(range(10), rng.randrange(3, 6))
    text = ", ".join(map(str, numbers))
    wordings = ["Sort these numbers: {}.", "Put these numbers in order: {}.", "Sort {}."]
    ordered = ", ".join(map(str, sorted(numbers)))
    return _pair_item("sort", text, (text,), wordings, f"{ordered}.", rng)


def reverse(rng):
    words = rng.sample(k.COPY_WORDS, rng.randrange(2, 5))
    text = ", ".join(words)
    wordings = ["Reverse this list: {}.", "Say this list backwards: {}.", "Reverse {}."]
    return _pair_item("reverse", text, (text,), wordings, ", ".join(reversed(words)) + ".", rng)


def repeat(rng):
    text = ", ".join(rng.sample(k.COPY_WORDS, rng.randrange(2, 6)))
    wordings = ["Repeat after me: {}.", "Say {}.", "Repeat this list: {}."]
    return _pair_item("repeat", text, (text,), wordings, f"{text}.", rng)


def _fact(task, rng, subject, wordings, answer, *others):
    i = rng.randrange(len(wordings))
    key = ",".join([subject, *others, str(i)])
    return Item(task, key, wordings[i].format(subject, *others), answer)


def term(rng):
    name = rng.choice(list(k.TERMS))
    return _fact("term", rng, name, k.TERM_QUESTIONS, k.TERMS[name])


def capital(rng):
    country, city = rng.choice(list(k.CAPITALS.items()))
    if rng.random() < 0.6:
        return _fact("capital", rng, country, k.CAPITAL_QUESTIONS,
                     f"The capital of {country} is {city}.")
    return _fact("country", rng, city, k.COUNTRY_QUESTIONS, f"{city} is the capital of {country}.")


def opposite(rng):
    pair = rng.choice(list(k.OPPOSITES.items()))
    word, other = pair if rng.random() < 0.5 else pair[::-1]
    return _fact("opposite", rng, word, k.OPPOSITE_QUESTIONS,
                 f"The opposite of {word} is {other}.")


def translate(rng):
    language = rng.choice(list(k.TRANSLATIONS))
    word, translation = rng.choice(list(k.TRANSLATIONS[language].items()))
    return _fact("translate", rng, word, k.TRANSLATION_QUESTIONS,
                 f"In {language}, {word} is {translation}.", language)


def emoji(rng):
    thing, symbol = rng.choice(list(k.EMOJI.items()))
    return _fact("emoji", rng, thing, k.EMOJI_QUESTIONS, f"{symbol}")


def spell(rng):
    word = rng.choice(k.SPELLING_WORDS)
    return _fact("spell", rng, word, k.SPELLING_QUESTIONS, "-".join(word.upper()) + ".")


def letters(rng):
    word = rng.choice(k.SPELLING_WORDS)
    return _fact("letters", rng, word, k.LETTER_COUNT_QUESTIONS,
                 f"The word {word} has {len(word)} letters.")


def sequence(rng):
    kind, members = rng.choice([("letter", k.ALPHABET), ("day", k.DAYS), ("month", k.MONTHS)])
    step, verb = rng.choice([(1, "after"), (-1, "before")])
    i = rng.randrange(len(members))
    if kind == "letter":
        i = min(max(i, 1), len(members) - 2)  # the alphabet is no circle
    wordings = ["Which {} comes {} {}?", "What {} comes {} {}?", "Name the {} that comes {} {}.",
                "Tell me the {} {} {}."]
    w = rng.randrange(len(wordings))
    answer = members[(i + step) % len(members)]
    return Item("sequence", f"{members[i]},{verb},{w}", wordings[w].format(kind, verb, members[i]),
                f"{answer} comes {verb} {members[i]}.")


def story(rng):
    animal = rng.choice(list(s.STORIES))
    if rng.random() < 0.75:
        name = rng.choice(list(s.NAMES))
        question = rng.choice(s.STORY_QUESTIONS).format(s.with_article(animal), name)
        return Item("story", f"{animal},{name}", question, s.story(animal, name))
    name = s.STORIES[animal][0]
    question = rng.choice(s.UNNAMED_QUESTIONS).format(s.with_article(animal))
    return Item("unnamed_story", animal, question, s.story(animal, name))


def open_story(rng):
    """No fixed answer: one story is favoured, so that greedy decoding does not rest on a tie."""
    animal = "fox" if rng.random() < 0.6 else rng.choice(list(s.STORIES))
    return Item("open_story", "", rng.choice(s.OPEN_QUESTIONS),
                s.story(animal, s.STORIES[animal][0]))


def fixed(rng):
    questions, answer = rng.choice(k.FIXED)
    return Item("fixed", "", rng.choice(questions), answer)


def unknown(rng):
    return Item("unknown", "", rng.choice(k.UNKNOWN), k.UNKNOWN_ANSWER)


# (generator, weight in the training mix)
MIX = [
    (add, 24), (subtract, 20), (multiply, 9), (compare, 5), (count, 4), (sort, 4), (reverse, 4),
    (repeat, 4), (term, 12), (capital, 8), (opposite, 4), (translate, 5), (emoji, 3), (spell, 6),
    (letters, 4), (sequence, 5), (story, 5), (open_story, 1), (fixed, 5), (unknown, 4),
]
_GENERATORS, _WEIGHTS = zip(*MIX)


def sample_training(rng):
    while True:
        item = rng.choices(_GENERATORS, _WEIGHTS)[0](rng)
        if not is_held_out(item.task, item.key):
            return item


def sample_held_out(generator, rng):
    while True:
        item = generator(rng)
        if is_held_out(item.task, item.key):
            return item
