"""Tools that the demo model learns to call, and requests that need them."""

from dataclasses import dataclass

import knowledge as k
import stories as s
from split import is_held_out


def _schema(name, description, **parameters):
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": {
                    key: {"type": kind, "description": text}
                    for key, (kind, text) in parameters.items()
                },
                "required": list(parameters),
            },
        },
    }


SCHEMAS = {
    "get_weather": _schema("get_weather", "Get the weather of a city.",
                           city=("string", "The name of the city.")),
    "get_time": _schema("get_time", "Get the time in a city.",
                        city=("string", "The name of the city.")),
    "set_timer": _schema("set_timer", "Set a timer.",
                         minutes=("integer", "The number of minutes.")),
    "send_message": _schema("send_message", "Send a message to a friend.",
                            to=("string", "The name of the friend."),
                            text=("string", "The text of the message.")),
    "switch_light": _schema("switch_light", "Switch the light of a room.",
                            room=("string", "The room."),
                            state=("string", "Either on or off.")),
}

_ROOMS = ["kitchen", "garden", "hall", "office", "bedroom", "cellar"]
_TEXTS = ["I am late", "Dinner is ready", "Good night", "See you tomorrow", "Call me",
          "The train is late"]
_SKIES = ["sunny", "cloudy", "rainy", "windy"]


@dataclass(frozen=True)
class ToolRequest:
    name: str
    arguments: dict
    question: str
    response: str  # what the tool returns
    answer: str  # what the model says once it has the response

    @property
    def held_out(self):
        key = f"{self.name},{sorted(self.arguments.items())}"
        if self.name == "switch_light":  # twelve arguments in all, which must all be taught
            key += f",{self.question}"
        return is_held_out("tool", key)


def sample_request(rng):
    name = rng.choice(list(SCHEMAS))
    if name == "get_weather":
        city = rng.choice(list(k.CAPITALS.values()))
        degrees, sky = rng.randrange(36), rng.choice(_SKIES)
        question = rng.choice(["What is the weather in {}?", "How is the weather in {}?",
                               "Tell me the weather in {}."]).format(city)
        return ToolRequest(name, {"city": city}, question,
                           f'{{"degrees": {degrees}, "sky": "{sky}"}}',
                           f"It is {degrees} degrees and {sky} in {city}.")
    if name == "get_time":
        city = rng.choice(list(k.CAPITALS.values()))
        time = f"{rng.randrange(10, 24)}:{rng.randrange(60):02}"
        question = rng.choice(["What time is it in {}?", "Tell me the time in {}.",
                               "How late is it in {}?"]).format(city)
        return ToolRequest(name, {"city": city}, question, f'{{"time": "{time}"}}',
                           f"It is {time} in {city}.")
    if name == "set_timer":
        minutes = rng.randrange(2, 100)
        question = rng.choice(["Set a timer for {} minutes.", "Wake me in {} minutes.",
                               "Please set a timer for {} minutes."]).format(minutes)
        return ToolRequest(name, {"minutes": minutes}, question, '{"ok": true}',
                           f"The timer is set for {minutes} minutes.")
    if name == "send_message":
        to, text = rng.choice(list(s.NAMES)), rng.choice(_TEXTS)
        question = rng.choice(["Send {} the message: {}.", "Write to {}: {}.",
                               "Tell {}: {}."]).format(to, text)
        return ToolRequest(name, {"to": to, "text": text}, question, '{"ok": true}',
                           f"The message to {to} is sent.")
    room, state = rng.choice(_ROOMS), rng.choice(["on", "off"])
    question = rng.choice(["Switch {1} the light in the {0}.", "Turn {1} the light in the {0}.",
                           "Please turn {1} the {0} light."]).format(room, state)
    return ToolRequest(name, {"room": room, "state": state}, question, '{"ok": true}',
                       f"The light in the {room} is {state}.")


def offer(request, rng):
    """Schemas to offer: the one that the request needs among up to two others, in random order."""
    others = rng.sample([n for n in SCHEMAS if n != request.name], rng.randrange(3))
    names = [request.name, *others]
    rng.shuffle(names)
    return [SCHEMAS[n] for n in names]


def call_message(request):
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"type": "function",
                        "function": {"name": request.name, "arguments": request.arguments}}],
    }
