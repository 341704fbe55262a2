"""Near-duplicates share a part, for ever, and unrelated texts do not hang together (rule 6)."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import InvalidInput
from training.demo.texts import generate
from training.splits import SAME, Assignment, Group, Part, Signature, assign, band_keys, part_of, sign, similarity


def alike(first: str, second: str) -> bool:
    """Whether the two texts are found and taken for near-duplicates."""
    one, two = sign(first), sign(second)
    return similarity(one, two) >= SAME and bool(set(band_keys(one)) & set(band_keys(two)))


def place(text: str, *groups: Group) -> Assignment:
    """Where the text goes among these groups."""
    return assign(sign(text), groups, group_key=text, seed=1, test_fraction=0.2, dev_fraction=0.1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Please call me on 030 1234 after lunch", "please call me on 0176 998877 after lunch!"),
        ("My name is John Smith and I live in Boston.", "My name is Ayşe Yılmaz and I live in Izmir."),
        ("Can I pay with card 4111 1111 1111 1111 here?", "Can I pay with card 5500-0000 here?"),
        ("Write to ada@example.org or see https://a.example", "write to bob@example.com or see http://b.example/x"),
        (
            "Mein Name ist Hans Meier, bitte rufen Sie mich zurück",
            "Mein Name ist Eva Krause, bitte rufen Sie mich zurück",
        ),
        ("Меня зовут Иван Петров и я живу в Москве", "Меня зовут Ольга и я живу в Казани"),
        ("我的名字是王小明，我住在北京，请给我打电话", "我的名字是李大伟，我住在上海，请给我打电话"),
        ("ฉันชื่อสมชายและฉันอาศัยอยู่ในกรุงเทพ", "ฉันชื่อสมหญิงและฉันอาศัยอยู่ในกรุงเทพ"),
        ("Name: Ada Byron\nPhone: 12\nCity: Rome", "Name: Bo Li\nPhone: 345-6\nCity: New Delhi"),
        ("caf\u00e9 au lait, s'il vous pla\u00eet", "cafe\u0301 au lait, s'il vous plai\u0302t"),
        ("OK!", "ok!"),
    ],
)
def test_splits_takes_fillings_of_one_template_for_near_duplicates(first: str, second: str) -> None:
    """Texts that differ in names, numbers, addresses or case alone belong together, in any script."""
    assert alike(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("hi", "no"),
        ("Hi John", "Hi Mary"),
        ("12345", "67890"),
        ("Thanks a lot!", "Call me a cab"),
        ("", "x"),
        ("我的名字是王小明", "今天天气很好"),
        ("NEW YORK", "LOS ANGELES"),
        ("The train to London was late again", "The soup of the day is tomato"),
    ],
)
def test_splits_keeps_unrelated_texts_apart(first: str, second: str) -> None:
    """Short or unrelated texts are not taken for near-duplicates."""
    assert not alike(first, second)


@given(st.text(max_size=300))
@settings(deadline=None)
def test_splits_signs_any_text_compactly(text: str) -> None:
    """Any text has a signature of at most 513 bytes that survives storage and finds itself."""
    signature = sign(text)
    stored = signature.to_bytes()
    assert Signature.from_bytes(stored) == signature
    assert 0 < len(stored) <= 513
    assert similarity(signature, signature) == 1
    assert len(set(band_keys(signature))) == 32


@given(st.text(max_size=80), st.text(max_size=80))
@settings(deadline=None)
def test_splits_similarity_goes_both_ways(first: str, second: str) -> None:
    """The similarity is a share, the same in both directions."""
    one, two = sign(first), sign(second)
    assert 0 <= similarity(one, two) == similarity(two, one) <= 1


def test_splits_signatures_stay_for_ever() -> None:
    """The bytes and keys of version 1 are stored in projects: this test may never be changed, only added to."""
    signature = sign("Please call Ada Byron on 030 1234, or write to ada@example.org. 你好吗")
    stored = (
        "0111eec408cae7e8176ef42c1e5de1d1502dc27a56442e0a5a38a2215fec8b786424413c65ab24247a69abc5af"
        "a2dc8fc3597009d61c0198f8"
    )
    assert signature.to_bytes().hex() == stored
    assert band_keys(signature)[:2] == ["1.0.878fae8b81facc13", "1.1.d97c9ee152100fdd"]


@pytest.mark.parametrize("stored", [b"", b"\x02\x00\x00\x00\x00", b"\x01\x00"])
def test_splits_refuses_a_signature_it_did_not_write(stored: bytes) -> None:
    """Bytes of another version are an error, not a wrong split."""
    with pytest.raises(InvalidInput, match="no signature of version 1"):
        Signature.from_bytes(stored)


def test_splits_estimates_the_similarity_of_long_texts() -> None:
    """Beyond 128 features the similarity is an estimate that is close to the truth."""
    words = [f"w{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(600)]
    assert similarity(sign(" ".join(words[:400])), sign(" ".join(words[100:500]))) == pytest.approx(0.6, abs=0.15)


def test_splits_new_text_starts_a_group_with_the_drawn_part() -> None:
    """A text unlike all others starts a group, whose part comes from its key alone."""
    text = "Nothing like this was ever seen here before"
    drawn = part_of(text, seed=1, test_fraction=0.2, dev_fraction=0.1)
    assert place(text) == Assignment(None, drawn)
    assert place(text, Group(1, Part.TEST, sign("something else entirely it is"))) == Assignment(None, drawn)


def test_splits_near_duplicate_joins_the_most_similar_group() -> None:
    """A near-duplicate takes the part of the group it is most like."""
    near = Group(2, Part.TEST, sign("my name is Ada and I live over there in Rome"))
    far = Group(1, Part.TEST, sign("my name is Ada and I live over here in Rome"))
    assert place("my name is Bob and I live over there in Oslo", far, near) == Assignment(2, Part.TEST)


def test_splits_text_between_two_parts_is_set_aside() -> None:
    """A text that is like a training text and like a test text goes to neither, and both are named."""
    train = Group(1, Part.TRAIN, sign("please send the parcel to my office in the morning"))
    test = Group(2, Part.TEST, sign("please send the parcel to my sister in the evening"))
    between = place("please send the parcel to my office in the evening", train, test)
    assert between == Assignment(None, Part.SET_ASIDE, (1, 2))


def test_splits_part_follows_the_fractions() -> None:
    """Over many groups the parts get their shares, and other seeds draw other parts."""
    drawn = [part_of(str(n), seed=0, test_fraction=0.2, dev_fraction=0.1) for n in range(5000)]
    shares = {part: number / 5000 for part, number in Counter(drawn).items()}
    assert shares[Part.TEST] == pytest.approx(0.2, abs=0.02)
    assert shares[Part.DEV] == pytest.approx(0.1, abs=0.02)
    assert drawn != [part_of(str(n), seed=1, test_fraction=0.2, dev_fraction=0.1) for n in range(5000)]


def test_splits_changed_test_fraction_leaves_dev_alone() -> None:
    """A larger test share takes from train, never from dev."""
    for n in range(500):
        before = part_of(str(n), seed=0, test_fraction=0.1, dev_fraction=0.1)
        after = part_of(str(n), seed=0, test_fraction=0.3, dev_fraction=0.1)
        assert before == after or (before, after) == (Part.TRAIN, Part.TEST)


def test_splits_fillings_of_a_template_rarely_straddle_train_and_test() -> None:
    """Of texts made from templates hardly a test text has a sibling in train, few are set aside, no group swells."""
    groups: list[Group] = []
    homes: dict[int, list[Part]] = {}
    sizes: Counter[int] = Counter()
    for made in generate(600, seed=3):
        found = place(made.text, *groups)
        if found.group_id is None and found.part is not Part.SET_ASIDE:
            groups.append(Group(len(groups), found.part, sign(made.text)))
        if found.group_id is not None:
            sizes[found.group_id] += 1
        homes.setdefault(made.template, []).append(found.part)
    parts = Counter(part for home in homes.values() for part in home)
    straddling = sum(home.count(Part.TEST) for home in homes.values() if Part.TRAIN in home)
    assert straddling / parts[Part.TEST] < 0.3
    assert parts[Part.SET_ASIDE] / 600 < 0.05
    assert sizes.most_common(1)[0][1] < 30


@pytest.mark.parametrize("text", ["a" * 10**6, "a,b;" * 250_000, "a@b," * 250_000, "e" + "\u0301\u0323" * 500_000])
@pytest.mark.timeout(10)
def test_splits_signs_a_megabyte_of_anything(text: str) -> None:
    """No text, however odd, takes more than linear time."""
    assert sign(text).hashes
