"""Texts of our own for the loop: each from a sentence of its own, so that no two are near-duplicates."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from training.spans import Span

PEOPLE = (
    "Ada Byron", "Carl Sundqvist", "Maria Teixeira", "John Okafor", "Lena Hoffmann", "Ravi Menon", "Sophie Laurent",
    "Peter Novak", "Emily Watson", "Tomas Herrera", "Nora Lindgren", "George Papadakis",
)  # fmt: skip

SENTENCES = (
    "{person} lost badge {badge} somewhere between the canteen and the car park.",
    "Please block {badge}, it was reported stolen this morning.",
    "Reception handed {badge} to a visitor who never signed the book.",
    "On Friday {person} will bring {badge} back to the front desk.",
    "Door log: {badge} opened the east gate twice within a minute.",
    "Who owns {badge}? It was lying under the third washing machine.",
    "{person} asked for a new photo since {badge} shows somebody else.",
    "The alarm went off after {badge} was held upside down for too long.",
    "Our cleaner keeps {badge} on a blue string around the broom.",
    "Access for {badge} ends when the summer contract of {person} ends.",
    "Turnstile number four does not like {badge}; wipe it with a dry cloth.",
    "I swapped my old card for {badge} and now lunch is suddenly free.",
    "Security wrote that {badge} had been copied by a former colleague.",
    "{person} said thanks for the quick help with {badge} yesterday!",
    "Could you print {badge} again? The magnet strip came off in the rain.",
    "Two people were seen walking in behind {badge}, which is forbidden.",
    "Temporary pass {badge} was issued by {person} against a driving licence.",
    "Nobody noticed that {badge} still worked three years after retirement.",
    "Warehouse staff: {badge} may enter hall B only with a helmet.",
    "The dog of {person} chewed on {badge} until the chip fell out.",
    "Add {badge} to the list of guests for the open evening, please.",
    "Night shift found {badge} in the freezer next to the peas.",
    "When {person} moved upstairs, {badge} was not updated to the new floor.",
    "An invoice over nine euros for {badge} has been sent to the wrong office.",
    "My colleague insists that {badge} smells of coffee and blames the machine.",
    "Elevator access with {badge} needs a second confirmation from {person}.",
    "For the audit we need to know why {badge} was never returned.",
    "Lost property box holds one umbrella, a glove and {badge}.",
    "Yesterday {badge} beeped red at the library although the loan was paid.",
    "{person} forgot {badge} at home and waited an hour in the snow.",
    "Test message: reader seven saw {badge} without any answer from the server.",
    "According to the manual, {badge} should be kept away from strong magnets.",
    "Parking level minus two rejects {badge} because of a full counter.",
    "We replaced {badge} free of charge, {person} signed for it.",
    "Somebody drew a moustache on {badge}; it made everyone laugh.",
    "Kitchen rota: whoever carries {badge} switches the dishwasher on.",
    "The swimming pool accepts {badge} during the holidays as well.",
    "Deliveries after six are taken by {person}, show {badge} at the ramp.",
    "A firmware update on Tuesday made {badge} unreadable for the old doors.",
    "Ask at the gatehouse for {badge} when you come in by bicycle.",
)
_SLOT = re.compile(r"\{(person|badge)\}")


@dataclass(frozen=True, slots=True)
class GoldText:
    """A text, and the stretches of it that are a person or a badge."""

    text: str
    people: tuple[str, ...]
    badges: tuple[str, ...]

    def spans(self, *, person: str = "", badge: str = "") -> list[Span]:
        """Its right spans under these labels; what has no label is no span."""
        named = [(words, person) for words in self.people] + [(words, badge) for words in self.badges]
        return sorted(
            Span(self.text.index(words), self.text.index(words) + len(words), label) for words, label in named if label
        )


def badge_texts(*, seed: int = 0) -> list[GoldText]:
    """One text for each sentence, the same for the same seed."""
    draw = random.Random(seed)
    return [_fill(sentence, draw) for sentence in SENTENCES]


def _fill(sentence: str, draw: random.Random) -> GoldText:
    person = draw.choice(PEOPLE)
    badge = f"{''.join(draw.choices('KQXZ', k=2))}-{draw.randrange(1000, 10000)}"
    text = _SLOT.sub(lambda slot: person if slot[1] == "person" else badge, sentence)
    return GoldText(text, (person,) if person in text else (), (badge,))
