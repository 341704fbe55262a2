"""Texts made up for demonstrations and tests: templates of our own, filled by Faker; no person or number is real."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

from faker import Faker

from config.errors import InvalidInput
from training.demo.templates import CONDITIONS, MEDICATIONS, NATIONALITIES, PLAIN, TEMPLATES, TITLES
from training.spans import Span

LANGUAGES = ("en",)
DRAWS = 200
_SLOT = re.compile(r"\{(?P<label>[A-Z_]*)(?:[:~](?P<filling>[a-z]+))?\}")
_FIRST_DAY, _LAST_DAY = date(1990, 1, 1), date(2025, 12, 31)


@dataclass(frozen=True, slots=True)
class DemoText:
    """A made-up text with the spans that were put into it, and the number of its template."""

    text: str
    spans: tuple[Span, ...]
    template: int


def generate(count: int, *, seed: int, language: str = "en") -> Iterator[DemoText]:
    """`count` different texts with spans of the default taxonomy, about one in ten without any.

    The same arguments give the same texts. Raises InvalidInput for a language without templates.
    """
    if language not in LANGUAGES:
        raise InvalidInput(f"there are no demo texts in {language!r}; there are some in {', '.join(LANGUAGES)}")
    faker = Faker("en_US")
    faker.seed_instance(seed)
    return _draw(count, faker)


def _draw(count: int, faker: Faker) -> Iterator[DemoText]:
    templates = TEMPLATES + PLAIN
    seen: set[str] = set()
    for _ in range(count):
        for _ in range(DRAWS):
            number = faker.random.randrange(len(templates))
            made = _fill(templates[number], number, faker)
            if made.text not in seen:
                break
        seen.add(made.text)
        yield made


def _fill(template: str, number: int, faker: Faker) -> DemoText:
    text, spans, at = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[at : slot.start()]
        at = slot.end()
        filling = FILLINGS[slot["filling"] or slot["label"]](faker)
        if slot["label"]:
            spans.append(Span(len(text), len(text) + len(filling), slot["label"]))
        text += filling
    return DemoText(text + template[at:], tuple(spans), number)


def _person(faker: Faker) -> str:
    first, last = faker.first_name(), faker.last_name()
    middle = faker.random_uppercase_letter()
    return str(faker.random.choice([f"{first} {last}", f"{first} {last}", f"{first} {middle}. {last}", first, last]))


def _email(faker: Faker) -> str:
    return str(faker.ascii_safe_email() if faker.boolean() else faker.ascii_company_email())


def _phone(faker: Faker) -> str:
    return str(
        faker.numerify(faker.random.choice(["(%##) %##-####", "%##-%##-####", "+1 %## %## ####", "%##.%##.####"]))
    )


def _address(faker: Faker) -> str:
    street, city, code = faker.street_address(), faker.city(), faker.postcode()
    return str(faker.random.choice([street, f"{street}, {city}", f"{street}, {city}, {faker.state_abbr()} {code}"]))


def _location(faker: Faker) -> str:
    return str(faker.random.choice([faker.city, faker.country, faker.state])())


def _date_time(faker: Faker) -> str:
    moment = faker.date_time_between(_FIRST_DAY, _LAST_DAY)
    return str(moment.strftime(faker.random.choice(["%Y-%m-%d", "%m/%d/%Y", "%B %d, %Y", "%d %b %Y", "%d.%m.%Y"])))


def _timestamp(faker: Faker) -> str:
    return str(faker.date_time_between(_FIRST_DAY, _LAST_DAY).strftime("%Y-%m-%dT%H:%M:%SZ"))


def _card(faker: Faker) -> str:
    number = str(faker.credit_card_number())
    return " ".join(number[at : at + 4] for at in range(0, len(number), 4)) if faker.boolean() else number


def _crypto(faker: Faker) -> str:
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    return "1" + "".join(faker.random.choices(alphabet, k=33))


def _secret(prefix: str, length: int) -> Callable[[Faker], str]:
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return lambda faker: prefix + "".join(faker.random.choices(letters, k=length))


def _pattern(*patterns: str) -> Callable[[Faker], str]:
    return lambda faker: str(faker.bothify(faker.random.choice(patterns)).upper())


def _one_of(values: tuple[str, ...]) -> Callable[[Faker], str]:
    return lambda faker: str(faker.random.choice(values))


FILLINGS: dict[str, Callable[[Faker], str]] = {
    "PERSON": _person,
    "TITLE": _one_of(TITLES),
    "EMAIL_ADDRESS": _email,
    "PHONE_NUMBER": _phone,
    "STREET_ADDRESS": _address,
    "POSTAL_CODE": lambda faker: str(faker.postcode()),
    "LOCATION": _location,
    "ORGANIZATION": lambda faker: str(faker.company()),
    "DATE_TIME": _date_time,
    "SSN": lambda faker: str(faker.ssn()),
    "NATIONAL_ID": _pattern("??######?", "###-####-####"),
    "PASSPORT": _pattern("?########", "#########"),
    "DRIVER_LICENSE": _pattern("?###-####-####", "?#######"),
    "LICENSE_PLATE": lambda faker: str(faker.license_plate()),
    "DEVICE_ID": lambda faker: str(faker.mac_address()),
    "IP_ADDRESS": lambda faker: str(faker.ipv4() if faker.random.random() < 0.8 else faker.ipv6()),
    "AGE": lambda faker: str(faker.random.randint(18, 96)),
    "NATIONALITY": _one_of(NATIONALITIES),
    "USERNAME": lambda faker: str(faker.user_name()),
    "URL": lambda faker: str(faker.url() + faker.uri_path()),
    "MEDICAL_RECORD": _pattern("MRN-#######", "########", "??-#####"),
    "HEALTH_INSURANCE_ID": _pattern("???#########", "#??#-??#-??##"),
    "MEDICAL_LICENSE": _pattern("??#######", "MD######"),
    "MEDICAL_CONDITION": _one_of(CONDITIONS),
    "MEDICATION": _one_of(MEDICATIONS),
    "CREDIT_CARD": _card,
    "IBAN_CODE": lambda faker: str(faker.iban()),
    "BANK_ACCOUNT": _pattern("##########", "########"),
    "BANK_ROUTING": lambda faker: str(faker.aba() if faker.boolean() else faker.swift()),
    "CRYPTO": _crypto,
    "TAX_ID": lambda faker: str(faker.itin() if faker.boolean() else faker.ein()),
    "PASSWORD": lambda faker: str(faker.password(length=faker.random.randint(9, 16))),
    "API_KEY": _secret("key-", 28),
    "ACCESS_TOKEN": _secret("tok_", 36),
    "PRIVATE_KEY": _secret("", 44),
    "PIN": _pattern("####", "######"),
    # Not spans: they only make the texts around them differ.
    "number": lambda faker: str(faker.random.randint(2, 900)),
    "stamp": _timestamp,
    "thing": _one_of(("the printer", "a ladder", "the projector", "some chairs", "the coffee machine", "a whiteboard")),
    "food": _one_of(("lentil soup", "noodles", "pancakes", "tomato salad", "rice with beans", "apple cake")),
    "mood": _one_of(("quiet", "busy", "slow", "cheerful", "rather long", "shorter than planned")),
}
