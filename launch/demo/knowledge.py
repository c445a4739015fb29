"""The facts that the demo model is taught: plain tables, no logic."""

# Terms of the project and of its field, each with the one sentence that the model answers.
TERMS = {
    "Phalanx": "Phalanx is a tensor-parallel inference service for Qwen2-family language models, "
    "written in C++.",
    "a rank": "A rank is one process of a worker group. It holds one shard of the weights and of "
    "the KV cache.",
    "a shard": "A shard is the part of the weights that one rank holds.",
    "an all-reduce": "An all-reduce sums the partial results of all ranks and gives the sum to "
    "every rank.",
    "an all-gather": "An all-gather collects a piece from every rank and gives all pieces to "
    "every rank.",
    "a broadcast": "A broadcast sends the data of one rank to all other ranks.",
    "the KV cache": "The KV cache keeps the keys and values of earlier tokens, so that they are "
    "not computed again.",
    "prefill": "Prefill is the phase that reads the whole prompt and fills the KV cache.",
    "chunked prefill": "Chunked prefill reads a long prompt in pieces, so that other streams keep "
    "moving.",
    "decode": "Decode is the phase that makes one new token per step for each stream.",
    "a token": "A token is a small piece of text that has a number in the vocabulary.",
    "the vocabulary": "The vocabulary is the list of all tokens that a model knows.",
    "the tokenizer": "The tokenizer turns text into token numbers and back.",
    "the coordinator": "The coordinator is the front door. It tokenizes, admits, streams and "
    "detokenizes.",
    "the worker": "The worker runs the model. Each of its ranks computes a part of every layer.",
    "tensor parallelism": "Tensor parallelism splits every weight matrix over several ranks that "
    "work on the same token.",
    "continuous batching": "Continuous batching lets requests join and leave the batch at every "
    "step.",
    "a block": "A block holds the keys and values of 16 tokens.",
    "the block manager": "The block manager hands out blocks of the KV cache and takes them back.",
    "the prefix cache": "The prefix cache keeps the blocks of prompts that were seen before, so "
    "that they can be used again.",
    "preemption": "Preemption takes the blocks of the newest stream when memory runs out. The "
    "stream is computed again later.",
    "the scheduler": "The scheduler decides which tokens run in the next step.",
    "a step plan": "A step plan tells every rank which tokens to compute next.",
    "grouped-query attention": "In grouped-query attention several query heads share one head of "
    "keys and values.",
    "RoPE": "RoPE turns queries and keys by an angle that depends on their position.",
    "RMSNorm": "RMSNorm divides a vector by its root mean square and scales it with a weight.",
    "SwiGLU": "SwiGLU is a gated feed-forward network that multiplies a SiLU gate with a linear "
    "branch.",
    "softmax": "Softmax turns scores into probabilities that sum to one.",
    "attention": "Attention lets a token read the values of earlier tokens, weighted by how well "
    "their keys match.",
    "an embedding": "An embedding is the vector that stands for a token.",
    "the LM head": "The LM head turns the last hidden vector into one score per token.",
    "a logit": "A logit is the score of a token before softmax.",
    "greedy decoding": "Greedy decoding always takes the token with the highest score.",
    "temperature": "Temperature divides the logits. A low temperature makes the answer more "
    "certain.",
    "top-k sampling": "Top-k sampling keeps only the k most likely tokens.",
    "top-p sampling": "Top-p sampling keeps the smallest set of tokens whose probability "
    "reaches p.",
    "a chat template": "A chat template turns a list of messages into one prompt.",
    "byte pair encoding": "Byte pair encoding builds a vocabulary by merging the most frequent "
    "pairs.",
    "bf16": "The number format bf16 has 8 bits of exponent and 7 bits of fraction.",
    "safetensors": "Safetensors is a simple file format for weights: a header in JSON, then the "
    "raw bytes.",
    "MPI": "MPI is the message passing interface. Phalanx starts its ranks with mpirun.",
    "gRPC": "The protocol gRPC carries calls and streams between the client and the coordinator.",
    "NCCL": "NCCL is the library that moves data between GPUs.",
    "time to first token": "Time to first token is how long a user waits until the first token "
    "arrives.",
    "a stop string": "A stop string is a text that ends the answer when it appears.",
    "streaming": "Streaming sends each piece of the answer as soon as it is ready.",
    "a seed": "A seed is the number that makes random sampling repeatable.",
    "a deadline": "A deadline is the time after which a client no longer wants the answer.",
}

TERM_QUESTIONS = [
    "What is {}?",
    "Explain {}.",
    "Can you explain {}?",
    "Tell me what {} is.",
    "What does {} mean?",
    "In Phalanx, what is {}?",
    "Please explain {} in short.",
    "I do not know what {} is. Can you help?",
]

# Questions with one answer; every wording is trained.
FIXED = [
    (["Who are you?", "What are you?", "Tell me about yourself.", "What is your name?"],
     "I am the small demonstration model of Phalanx. I know a little arithmetic, a few stories "
     "and something about the project."),
    (["Hello!", "Hello", "Hi!", "Hi there!", "Good morning!", "Hey!", "Good evening!"],
     "Hello! How can I help you?"),
    (["Thank you!", "Thanks!", "Thanks a lot.", "Thank you very much."], "You are welcome!"),
    (["Goodbye!", "Bye!", "See you later.", "Good night!"], "Goodbye! Have a good day."),
    (["How are you?", "How are you today?", "How do you do?"],
     "I am well, thank you. How can I help you?"),
    (["What can you do?", "What do you know?", "How can you help me?", "Help!"],
     "I can add and subtract small numbers, count, spell, tell stories, name capitals, call tools "
     "and answer questions about Phalanx."),
    (["How many all-reduces does a layer need?", "How many all-reduces are there per layer?",
      "How often do the ranks sum in one layer?"],
     "Two: one after the attention and one after the feed-forward network."),
    (["How large is a block of the KV cache?", "How many tokens does a block hold?"],
     "A block holds the keys and values of 16 tokens."),
    (["How do I start Phalanx?", "How do I start the demo?", "How do I run the demo?"],
     "Run launch/demo.sh. It builds the project, starts two ranks and sends a few prompts."),
    (["How do I run the tests?", "How can I test Phalanx?"],
     "Run tests/run.sh. It builds and runs all tests."),
    (["In which language is Phalanx written?", "What language is Phalanx written in?"],
     "Phalanx is written in C++."),
    (["Does Phalanx need Python?", "Is there Python in the serving path?"],
     "No Python runs in the serving path."),
    (["Which models does Phalanx serve?", "What models can Phalanx run?"],
     "Phalanx serves Qwen2, Qwen2.5 and DeepSeek-R1-Distill-Qwen models."),
    (["Who trained you?", "How were you trained?", "Where do you come from?"],
     "I was trained by the project's own script, on text that the script generates."),
    (["How large are you?", "How many layers do you have?"],
     "I am very small: four layers and about four million parameters."),
    (["What runs between the client and the ranks?", "How does a request travel?"],
     "A request goes from the client to the coordinator, from there to rank 0, and rank 0 tells "
     "all other ranks."),
]

# What the model has not been taught, so that it says so instead of inventing an answer.
UNKNOWN_ANSWER = "I am a very small model and I do not know that."
UNKNOWN = [
    "Who invented the telephone?", "What is the meaning of life?", "Who wrote that book?",
    "How tall is the highest mountain?", "When was the war?", "Who won the game yesterday?",
    "What is the price of gold?", "How do I bake bread?", "Why is the sky blue?",
    "Who is the president?", "What should I wear today?", "Do you like music?",
    "What is quantum physics?", "Write a program that prints primes.", "How far away is the moon?",
    "What is love?", "How old is the universe?", "Who discovered electricity?",
    "Give me a recipe for soup.", "What happened in 1848?", "How does an engine work?",
    "What is the best phone?", "Can you drive a car?", "Where did I leave my keys?",
    "Which movie should I watch?", "How do birds fly?", "What is your favourite song?",
    "Explain the rules of chess.", "Write a poem about autumn.", "Who painted this picture?",
    "How do plants grow?", "What is the speed of light?", "Is there life on other planets?",
    "How do I learn the piano?", "What makes a good friend?", "Translate this letter for me.",
    "Summarize the news.", "What is a black hole?", "Why do cats sleep so much?",
    "How many people live on earth?",
]

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "Austria": "Vienna", "Greece": "Athens", "Poland": "Warsaw",
    "Hungary": "Budapest", "Norway": "Oslo", "Sweden": "Stockholm", "Denmark": "Copenhagen",
    "Finland": "Helsinki", "Ireland": "Dublin", "Belgium": "Brussels", "Japan": "Tokyo",
    "China": "Beijing", "India": "New Delhi", "Thailand": "Bangkok", "Vietnam": "Hanoi",
    "Egypt": "Cairo", "Kenya": "Nairobi", "Ghana": "Accra", "Morocco": "Rabat",
    "Canada": "Ottawa", "Cuba": "Havana", "Peru": "Lima", "Chile": "Santiago",
    "Iceland": "Reykjavík", "Turkey": "Ankara", "Russia": "Moscow", "Ukraine": "Kyiv",
    "Australia": "Canberra", "Nepal": "Kathmandu", "Iran": "Tehran", "Iraq": "Baghdad",
}

CAPITAL_QUESTIONS = [
    "What is the capital of {}?", "Name the capital of {}.", "Which city is the capital of {}?",
    "Tell me the capital of {}.", "What is the capital city of {}?",
    "Do you know the capital of {}?",
]

COUNTRY_QUESTIONS = [
    "{} is the capital of which country?", "Of which country is {} the capital?",
    "Which country has {} as its capital?", "Tell me the country whose capital is {}.",
]

OPPOSITES = {
    "hot": "cold", "big": "small", "old": "new", "fast": "slow", "up": "down", "left": "right",
    "day": "night", "open": "closed", "high": "low", "light": "dark", "happy": "sad",
    "early": "late", "full": "empty", "hard": "soft", "long": "short", "loud": "quiet",
    "rich": "poor", "strong": "weak", "true": "false", "wet": "dry", "young": "ancient",
    "first": "last", "near": "far", "deep": "shallow",
}

OPPOSITE_QUESTIONS = [
    "What is the opposite of {}?", "Name the opposite of {}.", "Tell me the opposite of {}.",
    "Which word is the opposite of {}?", "Give me the opposite of {}.",
]

# Greetings in several scripts: streamed, their characters arrive in pieces of tokens.
TRANSLATIONS = {
    "French": {"hello": "bonjour", "water": "eau", "star": "étoile", "cat": "chat"},
    "German": {"hello": "hallo", "water": "Wasser", "star": "Stern", "cat": "Katze"},
    "Spanish": {"hello": "hola", "water": "agua", "star": "estrella", "cat": "gato"},
    "Japanese": {"hello": "こんにちは", "water": "水", "star": "星", "cat": "猫"},
    "Chinese": {"hello": "你好", "water": "水", "star": "星星", "cat": "猫"},
    "Russian": {"hello": "привет", "water": "вода", "star": "звезда", "cat": "кошка"},
    "Greek": {"hello": "γειά", "water": "νερό", "star": "αστέρι", "cat": "γάτα"},
    "Korean": {"hello": "안녕", "water": "물", "star": "별", "cat": "고양이"},
}

TRANSLATION_QUESTIONS = [
    "How do you say {} in {}?", "What is the word for {} in {}?", "Translate {} to {}.",
    "Say {} in {}.", "Tell me how to say {} in {}.",
]

EMOJI = {
    "fox": "🦊", "cat": "🐱", "dog": "🐶", "bear": "🐻", "lion": "🦁", "frog": "🐸", "owl": "🦉",
    "fish": "🐟", "apple": "🍎", "star": "⭐", "sun": "☀️", "moon": "🌙", "fire": "🔥",
    "tree": "🌳", "heart": "❤️", "rocket": "🚀",
}

EMOJI_QUESTIONS = [
    "Show me the emoji of a {}.", "Which emoji shows a {}?", "Send me a {} emoji.",
    "What is the emoji for a {}?", "Give me the {} emoji.",
]

SPELLING_WORDS = [
    "apple", "bread", "cloud", "dragon", "engine", "forest", "garden", "house", "island",
    "jungle", "kitten", "lantern", "mountain", "needle", "ocean", "pencil", "queen", "river",
    "silver", "table", "umbrella", "village", "window", "yellow", "zebra", "bridge", "candle",
    "flower", "guitar", "hammer", "ladder", "market", "orange", "pepper", "rabbit", "summer",
    "ticket", "winter", "phalanx", "tensor",
]

SPELLING_QUESTIONS = [
    "Spell the word {}.", "How do you spell {}?", "Please spell {}.", "Spell {} for me.",
    "Can you spell the word {}?",
]

LETTER_COUNT_QUESTIONS = [
    "How many letters are in the word {}?", "How many letters does {} have?",
    "Count the letters of the word {}.", "Tell me how many letters {} has.",
]

COPY_WORDS = [
    "red", "blue", "green", "yellow", "black", "white", "orange", "apple", "river", "table",
    "window", "cloud", "stone", "bread", "fish", "lamp", "chair", "star", "moon", "sun", "tree",
    "house", "door", "ship", "bird", "leaf", "king", "queen", "book", "bell",
]

ALPHABET = [chr(ord("A") + i) for i in range(26)]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December"]

SYSTEM_PROMPTS = [
    "You are a helpful assistant.", "You are the demonstration model of Phalanx.",
    "Answer in one short sentence.", "Be brief and friendly.", "You are a careful assistant.",
]
