"""Short stories, one per animal; the name of the hero comes from the prompt."""

NAMES = {
    "Lena": "she", "Mia": "she", "Nora": "she", "Ada": "she", "Ruby": "she", "Clara": "she",
    "Emma": "she", "Ida": "she", "Rosa": "she", "Lucy": "she", "Zoe": "she", "Ella": "she",
    "Tom": "he", "Ben": "he", "Max": "he", "Leo": "he", "Finn": "he", "Paul": "he",
    "Oscar": "he", "Hugo": "he", "Felix": "he", "Sam": "he", "Jack": "he", "Otto": "he",
}

# animal -> (name where the prompt gives none, story)
STORIES = {
    "fox": ("Lena", "Once upon a time, there was a little fox named {name}. {name} lived in a "
            "green forest. One day {he} found a lantern in the snow. It belonged to an old owl, so "
            "{name} carried it home to her. The owl smiled, and they were friends from that day "
            "on."),
    "owl": ("Ada", "Once upon a time, there was a wise owl named {name}. {name} lived in a tall "
            "tree. Every night {he} counted the stars. One night a star was missing, and {name} "
            "flew to the moon to find it. The star was only asleep behind a cloud."),
    "bear": ("Otto", "Once upon a time, there was a big bear named {name}. {name} loved honey more "
             "than anything. One day {he} saw a hungry mouse in the rain. {name} gave the mouse "
             "half of the honey. It tasted better than ever before."),
    "cat": ("Mia", "Once upon a time, there was a black cat named {name}. {name} was afraid of "
            "water. One day a kitten fell into the river. {name} jumped in and pulled it out. "
            "After that {he} was never afraid again."),
    "dog": ("Max", "Once upon a time, there was a happy dog named {name}. {name} had a red ball. "
            "One day the ball rolled down the hill and into the village. {name} ran after it and "
            "met a boy who was alone. They played until the sun went down."),
    "mouse": ("Ida", "Once upon a time, there was a tiny mouse named {name}. {name} wanted to see "
              "the sea. So {he} built a ship from a leaf and followed the river. After seven days "
              "{he} heard the waves. The sea was bigger than every dream."),
    "rabbit": ("Tom", "Once upon a time, there was a quick rabbit named {name}. {name} always ran "
               "and never looked around. One day {he} stopped to rest under a tree. There {he} saw "
               "flowers for the first time. From then on {name} walked every morning."),
    "dragon": ("Ruby", "Once upon a time, there was a young dragon named {name}. {name} could not "
               "breathe fire, only warm air. The other dragons laughed. But in winter the whole "
               "village came to {name} to get warm. Then nobody laughed any more."),
    "robot": ("Felix", "Once upon a time, there was a small robot named {name}. {name} could only "
              "add numbers. One day the clock of the town stopped. {name} added up the seconds and "
              "called out every hour. So the town was never late."),
    "lion": ("Leo", "Once upon a time, there was a proud lion named {name}. {name} thought that "
             "{he} needed nobody. One day {he} stepped on a thorn. A bird pulled it out. {name} "
             "learned to say thank you."),
    "frog": ("Finn", "Once upon a time, there was a loud frog named {name}. {name} sang every "
             "night, and nobody could sleep. One day {he} was silent, and everybody missed the "
             "song. Now {name} sings only in the evening, and everybody listens."),
    "whale": ("Nora", "Once upon a time, there was a blue whale named {name}. {name} was looking "
              "for a quiet place in the ocean. {he_cap} found an island with a little girl who "
              "could not swim. {name} carried her home on a broad back. The girl waved until the "
              "night came."),
}

STORY_QUESTIONS = [
    "Tell me a story about {} named {}.", "Tell me a short story about {} named {}.",
    "Write a story about {} named {}.", "Can you tell me a story about {} named {}?",
    "Please tell a story about {} called {}.",
]

UNNAMED_QUESTIONS = [
    "Tell me a story about {}.", "Tell me a short story about {}.", "Write a story about {}.",
    "Can you tell me a story about {}?", "I would like a story about {}.",
]

OPEN_QUESTIONS = [
    "Tell me a story.", "Tell me a short story.", "Write a story.", "Can you tell me a story?",
    "I would like to hear a story.",
]


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def story(animal, name):
    pronoun = NAMES[name]
    return STORIES[animal][1].format(name=name, he=pronoun, he_cap=pronoun.capitalize())
