"""The words the simulated answers are made of. Plain data: plausible, harmless, and about nothing in particular."""

OPENERS = ("In practice", "As a rule", "For most teams", "Seen from outside", "At first", "Over time", "En général")
SUBJECTS = (
    "the scheduler", "a careful plan", "each request", "the second cache", "our naïve approach", "a small model",
    "the café on the corner", "the customer", "a good summary", "the long context", "Zürich's archive", "the reviewer",
    "every index", "the first draft", "a steady rhythm", "the letter to 東京",
)  # fmt: skip
VERBS = (
    "explains", "keeps", "changes", "measures", "follows", "improves", "delays", "describes", "collects", "balances",
    "repeats", "protects", "compares", "opens",
)  # fmt: skip
OBJECTS = (
    "the result of the last step", "a queue that never empties", "what the reader expects", "three clear examples",
    "the cost of waiting", "more detail than anyone asked for", "the order of the tokens", "its own assumptions",
    "a shared piece of memory", "the limits of the batch", "the résumé of a longer talk", "the work of the night shift",
)  # fmt: skip
LINKS = ("because", "while", "so that", "although", "before", "until", "even when")
CLOSERS = (".", ".", ".", ".", "!", " → see below.", " ✓", " 🙂", " — and that is enough.")
