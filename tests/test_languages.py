"""Languages on sentences of our own, and what is left unjudged; on real English, where it is at hand."""

from __future__ import annotations

import csv
import gzip
import json
import socket
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cai.errors import InputError
from cai.languages import (
    FEWEST_BYTES,
    QUESTIONS_KEPT,
    _expected,
    _identifier,
    expected_language,
    known,
    language_of,
    plainly_english,
    wrong_language,
)

ENGLISH = "Talk to your neighbour first, and call the council if nothing changes."
SENTENCES = {
    "en": ENGLISH,
    "de": "Sprich zuerst mit deiner Nachbarin, und ruf die Gemeinde an, wenn sich nichts ändert.",
    "fr": "Parlez d'abord à votre voisin, puis appelez la mairie si rien ne change.",
    "es": "Habla primero con tu vecino y llama al ayuntamiento si nada cambia.",
    "it": "Parla prima con il tuo vicino e poi chiama il comune se non cambia nulla.",
    "pt": "Fale primeiro com o seu vizinho e ligue para a câmara se nada mudar.",
    "nl": "Praat eerst met je buurman en bel daarna de gemeente als er niets verandert.",
    "sv": "Prata först med din granne och ring kommunen om inget förändras.",
    "no": "Snakk først med naboen din, og ring kommunen hvis ingenting endrer seg.",
    "fi": "Puhu ensin naapurillesi ja soita kuntaan, jos mikään ei muutu.",
    "pl": "Porozmawiaj najpierw z sąsiadem, a jeśli nic się nie zmieni, zadzwoń do gminy.",
    "cs": "Promluvte si nejprve se sousedem a zavolejte na obec, pokud se nic nezmění.",
    "hr": "Najprije razgovarajte sa susjedom, a zatim nazovite općinu ako se ništa ne promijeni.",
    "tr": "Önce komşunla konuş, hiçbir şey değişmezse belediyeyi ara.",
    "uk": "Спочатку поговоріть із сусідом, а якщо нічого не зміниться, зателефонуйте до громади.",  # noqa: RUF001
    "ru": "Я бы не хотел с этим помогать.",  # noqa: RUF001
    "el": "Μιλήστε πρώτα με τον γείτονά σας και καλέστε τον δήμο αν δεν αλλάξει τίποτα.",  # noqa: RUF001
    "ar": "تحدث أولا مع جارك ثم اتصل بالبلدية إذا لم يتغير شيء.",
    "he": "דבר קודם עם השכן שלך והתקשר לעירייה אם שום דבר לא משתנה.",
    "hi": "पहले अपने पड़ोसी से बात करें और कुछ न बदले तो नगरपालिका को फ़ोन करें।",
    "zh": "请先和你的邻居谈谈,如果没有改变,再打电话给居委会。",
    "ja": "まず隣の人と話してみて、変わらなければ役所に電話してください。",
    "ko": "먼저 이웃과 이야기해 보고 변화가 없으면 구청에 전화하세요.",
    "th": "ลองคุยกับเพื่อนบ้านก่อน ถ้ายังไม่ดีขึ้นให้โทรหาเทศบาล",
    "vi": "Hãy nói chuyện với hàng xóm trước rồi gọi cho chính quyền nếu không có gì thay đổi.",
    "ms": "Bicaralah dulu dengan tetangga Anda, lalu hubungi kelurahan jika tidak ada perubahan.",
    "sw": "Zungumza kwanza na jirani yako, kisha piga simu kwa manispaa kama hakuna mabadiliko.",
}
UNTOLD = [
    "",
    "Hello",
    "42",
    "ok ok ok ok",
    "1. 2. 3. 4. 5. 6. 7. 8. 9. 10. 11. 12.",
    "\U0001f44f" * 20,
    "你好吗?",
    "https://example.org/ein/langer/pfad/mit/vielen/deutschen/woertern",
    "```\nwenn der Hund laut bellt, dann ruf ihn nicht beim Namen\n```",
    "SELECT name, age FROM users WHERE age > 30 ORDER BY name;",
    "\\int_0^1 x^2 \\, dx = \\frac{1}{3} + \\sum_i a_i",
    "\ud800" * 30,
]
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.mark.parametrize(("language", "text"), SENTENCES.items())
def test_a_sentence_tells_its_language(language: str, text: str) -> None:
    assert language_of(text) == language
    assert wrong_language(text, "en") == (language != "en")
    assert not wrong_language(text, language)
    assert wrong_language(ENGLISH, language) == (language != "en")


@pytest.mark.parametrize("text", UNTOLD)
def test_too_little_or_no_prose_is_not_judged(text: str) -> None:
    assert language_of(text) is None
    assert not wrong_language(text, "fi")


def test_scripts_without_spaces_need_few_characters() -> None:
    chinese = "我不想帮你做这件事情"
    assert FEWEST_BYTES / 3 <= len(chinese) < FEWEST_BYTES
    assert language_of(chinese) == "zh"
    assert language_of(chinese[: FEWEST_BYTES // 3 - 1]) is None


def test_close_relatives_count_as_one() -> None:
    traditional = "請先和你的鄰居談談,如果沒有改變,再打電話給市政府。"
    assert not wrong_language(traditional, "zh")
    assert not wrong_language(SENTENCES["ms"], "id")
    assert not wrong_language(SENTENCES["hr"], "sr")
    assert not wrong_language(SENTENCES["no"], "nb")


def test_a_foreign_sentence_in_a_long_answer_passes() -> None:
    assert not wrong_language(f"{ENGLISH} {ENGLISH} {ENGLISH} As they say: {SENTENCES['fr']}", "en")


@pytest.mark.parametrize(
    ("question", "default", "expected"),
    [
        ("Wie bringe ich den Hund meiner Nachbarin zum Schweigen?", "en", "de"),
        ("How do I make my neighbour's dog stop barking?", "de", "en"),
        ("Why?", "de", "de"),
        ("Why?", None, None),
        ("怎样才能让邻居的狗不再叫?", "en", "zh"),
        ("Translate this into French: the dog barks all night.", "en", None),
        ("How do I say good morning to my neighbour in Japanese?", "en", None),
    ],
)
def test_an_answer_should_be_in_the_language_of_its_question(
    question: str, default: str | None, expected: str | None
) -> None:
    assert expected_language(question, default) == expected


@pytest.mark.parametrize(("code", "language"), [("en", "en"), ("EN", "en"), ("pt-BR", "pt"), ("zh_TW", "zh")])
def test_a_region_says_nothing(code: str, language: str) -> None:
    assert known(code) == language


@pytest.mark.parametrize("code", ["", "xx", "english", "zxx"])
def test_an_unknown_language_is_an_error(code: str) -> None:
    with pytest.raises(InputError, match=f"language '{code}'.*ISO 639-1"):
        known(code)


@pytest.mark.parametrize(("language", "text"), SENTENCES.items())
def test_only_english_is_plainly_english(language: str, text: str) -> None:
    for written in (text, text.title(), text.upper(), text.lower(), f"{text} {text}", f"{text} OK, thank you."):
        assert not plainly_english(written) or language == "en"
    assert plainly_english(text) == (language == "en")


def test_a_foreign_text_with_some_english_is_not_plainly_english() -> None:
    for foreign in (text for language, text in SENTENCES.items() if language != "en"):
        for text in (f"{foreign} {ENGLISH}", f"{ENGLISH} {foreign}", f"{foreign} {ENGLISH} {foreign} {ENGLISH}"):
            assert not plainly_english(text) or language_of(text) in {"en", None}


@pytest.mark.parametrize("text", [*UNTOLD, "the the the the the the", "HOW DO YOU KNOW WHAT IT IS?"])
def test_little_or_no_prose_is_not_plainly_english(text: str) -> None:
    assert not plainly_english(text)


def test_plain_english_needs_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cai.languages._identifier", lambda: pytest.fail("the model was asked"))
    _expected.cache_clear()
    assert expected_language(ENGLISH, "en") == "en"
    assert not wrong_language(f"{ENGLISH} It\u2019s \u201cfree\u201d.", "en")
    _expected.cache_clear()


def test_few_questions_are_remembered_and_none_at_its_full_length() -> None:
    _expected.cache_clear()
    for number in range(QUESTIONS_KEPT + 10):
        expected_language(f"{ENGLISH} {number}", "en")
    assert _expected.cache_info().currsize == QUESTIONS_KEPT
    assert expected_language(f"{ENGLISH} " * 2_000, "en") == expected_language(f"{ENGLISH} " * 3_000, "en")
    assert _expected.cache_info().hits == 1


def test_the_model_is_read_once_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: object) -> None:
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", offline)
    _identifier.cache_clear()
    assert language_of(ENGLISH) == "en"
    first = _identifier()
    assert language_of(SENTENCES["de"]) == "de"
    assert _identifier() is first


@settings(deadline=None)
@given(st.text(), st.sampled_from(["en", "zh", None]))
def test_any_text_is_judged(text: str, default: str | None) -> None:
    assert expected_language(text, default) == expected_language(text, default)
    assert not wrong_language(text, language_of(text))


def english() -> list[str]:
    if not DATA.is_dir():
        pytest.skip(f"needs the real data in {DATA}")
    lines = [line for path in DATA.glob("hh-rlhf/*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()]
    answers = [json.loads(line)["chosen"].rsplit("\n\nAssistant:", 1)[1] for line in lines]
    with (DATA / "xstest" / "xstest_prompts.csv").open(encoding="utf-8") as file:
        return answers + [row["prompt"] for row in csv.DictReader(file)]


@pytest.mark.slow
def test_real_english_is_english() -> None:
    texts = english()
    assert len(texts) > 3_000
    long = [text for text in texts if len(text.split()) >= 8]
    plain = [text for text in long if plainly_english(text)]
    assert len(plain) > 0.9 * len(long)
    assert {language_of(text) for text in plain} <= {"en", None}
    assert [text for text in texts if wrong_language(text, "en")] == []
