"""Names in canonical parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.encoder.thai_names import (
    NameFlag,
    PersonName,
    completed,
    family_names,
    given_names,
    parse_full_name,
    parse_name_parts,
)
from mpi.encoder.thai_text import MAX_LENGTH

VECTORS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "vectors" / "names.jsonl").read_text(encoding="utf-8").splitlines()
]

FULL = [
    # text, given, middle, family
    ("ว่าที่ร้อยตรีหญิงศิริพร พงษ์ศักดิ์", "ศิริพร", "", "พงษ์ศักดิ์"),
    ("กฤษณะ ณ อยุธยา", "กฤษณะ", "", "ณอยุธยา"),
    ("กฤษณะ ณ.อยุธยา", "กฤษณะ", "", "ณอยุธยา"),
    ("กฤษณะ ณอยุธยา", "กฤษณะ", "", "ณอยุธยา"),
    ("จิรเดช เสนีวงศ์ ณอยุธยา", "จิรเดช", "", "เสนีวงศ์ณอยุธยา"),
    ("จิรเดช เสนีวงศ์ ณ.อยุธยา", "จิรเดช", "", "เสนีวงศ์ณอยุธยา"),
    ("สมชาย ศรี ณรงค์", "สมชาย", "ศรี", "ณรงค์"),
    ("นพดล แซ่ ลิ้ม", "นพดล", "", "แซ่ลิ้ม"),
    ("นพดล \u0e40\u0e40ซ่ลิ้ม", "นพดล", "", "แซ่ลิ้ม"),
    ("Somchai Sae Lim", "somchai", "", "saelim"),
    ("Somchai Sae-Lim", "somchai", "", "saelim"),
    ("Chiradej Na Ranong", "chiradej", "", "naranong"),
    ("Chiradej Seniwongse na Ayudhya", "chiradej", "", "seniwongsenaayudhya"),
    ("Na Li", "na", "", "li"),
    ("Seán O'Brien", "sean", "", "obrien"),
    ("Sean O\u2019Brien", "sean", "", "obrien"),
    ("Łukasz Nowak", "lukasz", "", "nowak"),
    ("François Müller-Weiß", "francois", "", "mullerweiss"),
    ("Nguyễn Thị Lý", "nguyen", "thi", "ly"),
    ("JAIDEE/SOMCHAI", "jaidee", "", "somchai"),
    ("สมชาย, ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ฯ ใจดี ๆ", "สมชาย", "", "ใจดี"),
    ("สมชาย2 ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ไม่มีนามสกุล", "สมชาย", "", ""),
    ("สมชาย ไม่มี นามสกุล", "สมชาย", "", ""),
    ("สมชาย -", "สมชาย", "", ""),
    ("Somchai N/A", "somchai", "", ""),
    ("Somchai (no surname)", "somchai", "", ""),
    ("ไม่ทราบชื่อ ใจดี", "", "", "ใจดี"),
    ("มิน มิน", "มิน", "", ""),
    ("สมชาย ใจดี สมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("1 นายสมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("-นายสมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("สันติ(Santi) ใจดี", "สันติ", "", "ใจดี"),
    ("สมชาย (ใจดี", "สมชาย", "", "ใจดี"),
    ("အောင် မင်း", "အောင်", "", "မင်း"),
    ("สมชาย แซ่", "สมชาย", "", ""),
    ("Somchai Jaidee MD", "somchai", "", "jaidee"),
    ("JAIDEE SOMCHAI MR", "jaidee", "", "somchai"),
    ("สมชาย ใจดี HN 123", "สมชาย", "", "ใจดี"),
    ("ด.ช.ธนา ใจดี แฝดพี่", "ธนา", "", "ใจดี"),
    ("ด.ช.ธนา ใจดี แฝด A", "ธนา", "", "ใจดี"),
    ("สมชาย ใจดี ต่างด้าว", "สมชาย", "", "ใจดี"),
    ("ศ.(เกียรติคุณ) สมชาย ใจดี", "สมชาย", "", "ใจดี"),
]

PARTS = [
    # given field, family field, given, middle, family
    ("สมชาย", "ใจดี", "สมชาย", "", "ใจดี"),
    ("นาย สมชาย", "ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ใจดี", "", "สมชาย", "", "ใจดี"),
    ("สมชาย ใจดี", "-", "สมชาย", "", "ใจดี"),
    ("", "นายสมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ใจดี", "สมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ใจดี", "ใจดี", "สมชาย", "", "ใจดี"),
    ("มิน", "มิน", "มิน", "", ""),
    ("มิน", "-", "มิน", "", ""),
    ("มิน มิน", "มิน", "มิน", "", ""),
    ("มิน", ".", "มิน", "", ""),
    ("มิน", "ไม่มี", "มิน", "", ""),
    ("มิน", "ไม่มีนามสกุล", "มิน", "", ""),
    ("มิน", "ไม่ทราบ", "มิน", "", ""),
    ("มิน", "ไม่ระบุ", "มิน", "", ""),
    ("Min", "Unknown", "min", "", ""),
    ("Min", "NONE", "min", "", ""),
    ("Min", "LNU", "min", "", ""),
    ("", "ใจดี", "", "", "ใจดี"),
    ("ไม่ทราบชื่อ", "ใจดี", "", "", "ใจดี"),
    ("กฤษณะ", "ณ อยุธยา", "กฤษณะ", "", "ณอยุธยา"),
    ("กฤษณะ กาญจนา", "ณ อยุธยา", "กฤษณะ", "กาญจนา", "ณอยุธยา"),
    ("จิรเดช", "เสนีวงศ์ ณ อยุธยา", "จิรเดช", "", "เสนีวงศ์ณอยุธยา"),
    ("นพดล", "แซ่ ลิ้ม", "นพดล", "", "แซ่ลิ้ม"),
    ("Chiradej", "Na Ranong", "chiradej", "", "naranong"),
    ("มะ", "อาอีซะห์ บินยูโซะ", "มะ", "อาอีซะห์", "บินยูโซะ"),
    ("l,=kp", ".0fu", "สมชาย", "", "ใจดี"),
    ("l,=kp", "-", "สมชาย", "", ""),
    ("น.ส. วรรณา", "ศรีสุข", "วรรณา", "", "ศรีสุข"),
    ("นาง สาว วรรณา", "ศรีสุข", "วรรณา", "", "ศรีสุข"),
    ("น.ส.", "วรรณา ศรีสุข", "วรรณา", "", "ศรีสุข"),
    ("นาย", "สมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("นพ", "เสนีวงศ์ ณ อยุธยา", "นพ", "", "เสนีวงศ์ณอยุธยา"),
    ("สมชาย", "นายสมชาย ใจดี", "สมชาย", "", "ใจดี"),
    ("นาย สมชาย", "นาย ใจดี", "สมชาย", "", "ใจดี"),
    ("สมชาย ใจดี", "สมชาย", "สมชาย", "", "ใจดี"),
    ("สมชาย ณ", "อยุธยา", "สมชาย", "", "ณอยุธยา"),
    ("สมชาย ณ.", "อยุธยา", "สมชาย", "", "ณอยุธยา"),
    ("สมชาย เสนีวงศ์ ณ", "อยุธยา", "สมชาย", "", "เสนีวงศ์ณอยุธยา"),
    ("เม้ง แซ่", "ตั้ง", "เม้ง", "", "แซ่ตั้ง"),
    ("Meng Sae", "Tang", "meng", "", "saetang"),
    ("Mi Na", "Kim", "mi", "na", "kim"),
    ("ณ", "อยุธยา", "ณ", "", "อยุธยา"),
    ("เม้ง", "แซ่", "เม้ง", "", ""),
    ("มิน", "พม่า", "มิน", "", ""),
    ("เกียรติคุณ", "ใจดี", "เกียรติคุณ", "", "ใจดี"),
    ("ศ.เกียรติคุณ นพ.สมชาย", "ใจดี", "สมชาย", "", "ใจดี"),
]

NEWBORNS = [
    # text, family, sex
    ("บุตร น.ส. วรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตรน.ส.วรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตรนางสาววรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตรของ วรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตรชาย นางวรรณา ศรีสุข", "ศรีสุข", "1"),
    ("บุตรคนที่ 2 ของนางวรรณา ศรีสุข", "ศรีสุข", ""),
    ("ด.ช.บุตร น.ส.วรรณา ศรีสุข", "ศรีสุข", "1"),
    ("ลูก น.ส.วรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตร น.ส. วรรณา", "", ""),
    ("บุตร วรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตร ศรีสุข", "ศรีสุข", ""),
    ("ทารก ศรีสุข", "ศรีสุข", ""),
    ("ทารกแรกเกิดเพศหญิง ศรีสุข", "ศรีสุข", "2"),
    ("ทารกวรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตร น.ส.วรรณา เสนีวงศ์ ณ อยุธยา", "เสนีวงศ์ณอยุธยา", ""),
    ("baby of Mrs. Wanna Srisuk", "srisuk", ""),
    ("Baby girl Srisuk", "srisuk", "2"),
    ("Baby boy of Wanna Srisuk", "srisuk", "1"),
    ("B/O Wanna Srisuk", "srisuk", ""),
    ("Newborn Srisuk", "srisuk", ""),
    ("แฝด 1 นางวรรณา ศรีสุข", "ศรีสุข", ""),
    ("แฝด 1 นางวรรณา", "", ""),
    ("แฝดพี่ นาง วรรณา", "", ""),
    ("แฝดหญิงคนที่ 1 นางวรรณา ศรีสุข", "ศรีสุข", "2"),
    ("แฝดA นางวรรณา ศรีสุข", "ศรีสุข", ""),
    ("บุตรแฝดพี่ นางวรรณา ศรีสุข", "ศรีสุข", ""),
    ("บ.น.ส.วรรณา ศรีสุข", "ศรีสุข", ""),
    ("ด.ช.ยังไม่ได้ตั้งชื่อ ศรีสุข", "ศรีสุข", "1"),
    ("BB Wanna Srisuk", "srisuk", ""),
    ("BB. of Wanna", "", ""),
    ("Baby of Wanna", "", ""),
    ("Baby-Girl Srisuk", "srisuk", "2"),
    ("Twin A of Wanna Srisuk", "srisuk", ""),
    ("บุตรนางวรรณา ศรีสุข แฝด A", "ศรีสุข", ""),
]

FLAGS = [
    ("สมชาย ใจดี", set()),
    ("นายณัฐ ศรีสุข", {NameFlag.TITLE_AMBIGUOUS}),
    ("พระมหาสมชาย ฐานวุฑฺโฒ", {NameFlag.MONASTIC}),
    ("สมชาย ใจดี ๒", {NameFlag.DIGITS_DROPPED}),
    ("l,=kp .0fu", {NameFlag.WRONG_KEYBOARD}),
    ("มิน", {NameFlag.SINGLE_NAME}),
    ("-", {NameFlag.NULL_NAME}),
    ("", {NameFlag.NULL_NAME}),
    ("ไม่ทราบชื่อ ไม่ทราบนามสกุล", {NameFlag.NULL_NAME}),
    ("ทดสอบ ระบบ", {NameFlag.NULL_NAME}),
    ("test patient", {NameFlag.NULL_NAME}),
    ("\u0e40\u0e40ดง ทองดี", {NameFlag.REPAIRED}),
    ("ทารก ศรีสุข", {NameFlag.NEWBORN}),
    ("ก" * 500, {NameFlag.TRUNCATED, NameFlag.SINGLE_NAME}),
]

ANY_NAME = st.one_of(
    st.text(max_size=40),
    st.text("กนมฤสณอ ะาำัิ่้์ํเแๆฯ.,-'/()1aéPQ;[=", max_size=20),
    st.lists(
        st.sampled_from(
            [
                *("นาย", "น.ส.", "ณ", "แซ่", "บุตร", "ทารก", "พระ", "สมชาย", "ใจดี", "อยุธยา", "ไม่มี", "หญิง", "นพ", "ลูก"),
                *("(", ")", " ", " ", "-", ".", "1", "baby", "of", "na", "sae", "Mr.", "test", "l,=kp", "ว่าที่", "ร.ต."),
                *(
                    "นาง",
                    "สาว",
                    "เด็ก",
                    "ศ.",
                    "เกียรติคุณ",
                    "เสียชีวิต",
                    "ตาย",
                    "แฝด",
                    "ไม่ทราบชื่อ",
                    "bb",
                    "John",
                    "Doe",
                    "male",
                ),
            ]
        ),
        max_size=8,
    ).map("".join),
)


def parts_of(name: PersonName) -> tuple[str, str, str]:
    return name.given, name.middle, name.family


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_shared_vectors(vector: dict[str, object]) -> None:
    """Every shared vector gives its parts."""
    name = parse_full_name(str(vector["name"]))
    assert parts_of(name) == (vector["given"], vector["middle"], vector["family"])
    assert list(name.aliases) == vector.get("aliases", [])


@pytest.mark.parametrize(("text", "given_name", "middle", "family"), FULL, ids=[case[0] for case in FULL])
def test_full_names(text: str, given_name: str, middle: str, family: str) -> None:
    """A name in one field falls into its parts."""
    assert parts_of(parse_full_name(text)) == (given_name, middle, family)


@pytest.mark.parametrize(("first", "second", "given_name", "middle", "family"), PARTS)
def test_names_in_two_fields(first: str, second: str, given_name: str, middle: str, family: str) -> None:
    """A name in two fields comes out in its parts, whichever field it was written in."""
    assert parts_of(parse_name_parts(first, second)) == (given_name, middle, family)


@pytest.mark.parametrize(("text", "family", "sex"), NEWBORNS, ids=[case[0] for case in NEWBORNS])
def test_newborns_keep_the_family_name_only(text: str, family: str, sex: str) -> None:
    """A placeholder for an unnamed child gives no given name, least of all the mother's."""
    name = parse_full_name(text)
    assert parts_of(name) == ("", "", family)
    assert name.sex_hint == sex
    assert NameFlag.NEWBORN in name.flags


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("บุตร น.ส. วรรณา", "ศรีสุข"),
        ("ทารก", "ศรีสุข"),
        ("บุตร", "น.ส.วรรณา ศรีสุข"),
        ("ด.ญ.ทารก", "ศรีสุข"),
        ("บุตร น.ส.วรรณา ศรีสุข", "-"),
    ],
)
def test_newborns_in_two_fields(first: str, second: str) -> None:
    """The mother's family name is found in either field."""
    name = parse_name_parts(first, second)
    assert parts_of(name) == ("", "", "ศรีสุข")
    assert NameFlag.NEWBORN in name.flags


@pytest.mark.parametrize(
    "text",
    [
        "บุตรี ใจดี",
        "บุตรสาวิตรี ใจดี",
        "ลูกน้ำ ใจดี",
        "ลูกเกตุ ใจดี",
        "บ ใจดี",
        "Babylon Smith",
        "Baby Smith",
        "Twin Smith",
        "Bbang Kim",
    ],
)
def test_names_that_begin_like_a_newborn(text: str) -> None:
    """Given names that begin with a word for child are names."""
    name = parse_full_name(text)
    assert name.given == text.split()[0].lower()
    assert NameFlag.NEWBORN not in name.flags


@pytest.mark.parametrize(("text", "flags"), FLAGS, ids=[case[0][:20] for case in FLAGS])
def test_flags(text: str, flags: set[str]) -> None:
    """Each flag is set for what it names, and nothing else is."""
    assert parse_full_name(text).flags == flags


@pytest.mark.parametrize(
    ("first", "second"), [("สมชาย ใจดี", ""), ("", "สมชาย ใจดี"), ("สมชาย ใจดี", "ใจดี"), ("มิน", "มิน")]
)
def test_a_name_in_the_wrong_field_is_flagged(first: str, second: str) -> None:
    """The reader is told when one field held the whole name or a copy."""
    assert NameFlag.NAME_IN_WRONG_FIELD in parse_name_parts(first, second).flags


@pytest.mark.parametrize(
    ("text", "aliases"),
    [
        ("สมชาย(ชัย) ใจดี", ("ชัย",)),
        ("สมชาย (ชัย) ใจดี (สกุลเดิม มีสุข)", ("ชัย", "มีสุข")),
        ("สมศรี [ชื่อเดิม สมใจ] ใจดี", ("สมใจ",)),
        ("Somsri Jaidee (née Meesuk)", ("meesuk",)),
        ("สมชาย (ชัย) ใจดี (ชัย)", ("ชัย",)),
        ("สมชาย () (2) (-) ใจดี", ()),
        ("พ.อ.(พิเศษ) สมชาย ใจดี", ()),
        ("ร.ต.(หญิง) สมศรี ใจดี", ()),
    ],
)
def test_aliases_stand_in_parentheses(text: str, aliases: tuple[str, ...]) -> None:
    """Nicknames and former names in parentheses become aliases; notes of rank do not."""
    assert parse_full_name(text).aliases == aliases


@pytest.mark.parametrize(
    ("text", "script"),
    [("สมชาย ใจดี", "thai"), ("Somchai Jaidee", "latin"), ("สมชาย Jaidee", "mixed"), ("-", ""), ("李 小龍", "")],
)
def test_script(text: str, script: str) -> None:
    """The script of the letters is told."""
    assert parse_full_name(text).script == script


def test_prefix_gives_sex_and_orders() -> None:
    """PRENAME adds its hints, as a code and as text, and never a part of the name."""
    assert parse_name_parts("วรรณา", "ศรีสุข", prefix="004").sex_hint == "2"
    assert parse_name_parts("สมชาย", "ใจดี", prefix="นาย").sex_hint == "1"
    assert parse_name_parts("นายสมชาย", "ใจดี", prefix="004").sex_hint == ""
    assert parse_name_parts("สมชาย", "ฐานวุฑฺโฒ", prefix="831").flags == {NameFlag.MONASTIC}
    assert parts_of(parse_name_parts("สมชาย", "ใจดี", prefix="ผศ.ดร.")) == ("สมชาย", "", "ใจดี")


def test_middle_field() -> None:
    """A middle name of its own field stays in the middle, whatever the family field holds."""
    assert parts_of(parse_name_parts("สมชาย", "ใจดี", "กล้า")) == ("สมชาย", "กล้า", "ใจดี")
    assert parts_of(parse_name_parts("สมชาย", "-", "กล้า")) == ("สมชาย", "กล้า", "")


@pytest.mark.parametrize("text", ["Ng Smth", "Mr. Somchai", "O'Brien, Pat", "St. John", "K.", "a.b.c"])
def test_latin_names_are_no_slip_of_the_keyboard(text: str) -> None:
    """Latin text with signs or without vowels stays Latin unless it hides a known Thai name."""
    name = parse_full_name(text)
    assert name.script == "latin"
    assert NameFlag.WRONG_KEYBOARD not in name.flags


def test_title_typed_on_the_wrong_keyboard() -> None:
    """The title of a name typed with the keyboard in English is found after the conversion."""
    name = parse_full_name("okpl,=kp .0fu")
    assert (name.given, name.family, name.sex_hint) == ("สมชาย", "ใจดี", "1")


def test_homophones_stay_apart() -> None:
    """Spellings that sound alike are different names."""
    assert parse_full_name("ณัฐพงษ์ พงษ์ศักดิ์") != parse_full_name("ณัฐพงศ์ พงศ์ศักดิ์")


def test_lexica_are_canonical() -> None:
    """The names of the corpora are loaded in canonical form."""
    assert "สมชาย" in given_names()
    assert "ณอยุธยา" not in given_names()
    assert "เสนีวงศ์ณอยุธยา" in family_names()
    assert "ฤาชัย" not in given_names() | family_names()


def test_repr_shows_no_name() -> None:
    """A parsed name prints without any part of it."""
    assert repr(parse_full_name("นายสมชาย(ชัย) ใจดี")) == "PersonName(***)"


@settings(max_examples=400)
@given(ANY_NAME)
def test_parsing_the_parts_again_changes_nothing(text: str) -> None:
    """Canonical parts are canonical: parsed as fields they give themselves."""
    name = parse_full_name(text)
    assert parts_of(parse_name_parts(name.given, name.family, name.middle)) == parts_of(name)


@settings(max_examples=400)
@given(ANY_NAME, ANY_NAME, ANY_NAME, st.one_of(st.just(""), ANY_NAME))
def test_fields_parse_to_a_fixpoint(first: str, second: str, third: str, prefix: str) -> None:
    """Any fields give parts, which parsed again give themselves."""
    name = parse_name_parts(first, second, third, prefix)
    again = parse_name_parts(name.given, name.family, name.middle)
    assert parts_of(again) == parts_of(name)


@given(ANY_NAME)
def test_only_letters_remain(text: str) -> None:
    """Canonical parts hold letters and their marks, single spaces between middle names, no upper case."""
    name = parse_full_name(text)
    for part in (name.given, *name.middle.split(" "), name.family, *" ".join(name.aliases).split(" ")):
        assert not any(map(str.isdigit, part))
        assert not set(part) & set(" .,-'/()ฯๆ")
        assert part == part.casefold() or not part.isascii()


@settings(max_examples=250, deadline=None)
@given(ANY_NAME)
def test_nothing_is_made_up(text: str) -> None:
    """Thai parts together are no longer than the text, and no part is longer than a field may be."""
    name = parse_full_name(text)
    parts = (name.given, name.middle, name.family, *name.aliases)
    assert all(len(part) <= MAX_LENGTH for part in parts)
    if name.script == "thai" and NameFlag.WRONG_KEYBOARD not in name.flags:
        assert sum(map(len, parts)) <= len(text)


@pytest.mark.parametrize(
    ("text", "others"),
    [
        ("สมชาย(ชัย) ใจดี", [("ชัย", "", "")]),
        ("สมชาย(นายสมศักดิ์) ใจดี", [("สมศักดิ์", "", "")]),
        ("สมหญิง มั่นคง (เดิมชื่อ สมศรี ใจดี)", [("สมศรี", "", "ใจดี")]),
        ("สมหญิง มั่นคง (สกุลเดิม ใจดี)", [("", "", "ใจดี")]),
        ("สมหญิง มั่นคง (ชื่อเดิม สมศรี นามสกุลเดิม ณ อยุธยา)", [("สมศรี", "", "ณอยุธยา")]),
        ("Somying Mankong (née Jaidee)", [("", "", "jaidee")]),
        ("Somying Mankong (Needa)", [("needa", "", "")]),
        ("Somying Mankong (Somsri Nee)", [("somsri", "", "nee")]),
        ("สมหญิง มั่นคง (รัตนสกุล)", [("รัตนสกุล", "", "")]),
        ("สมหญิง มั่นคง (ชื่อเล่น ดาว)", []),
        ("สมหญิง มั่นคง (แฝดพี่)", []),
        ("สมหญิง มั่นคง (นาง)", []),
        ("สมหญิง มั่นคง (หญิง)", []),
        ("สมหญิง มั่นคง (ไม่มี)", []),
        ("(สมหญิง มั่นคง)", [("สมหญิง", "", "มั่นคง")]),
        ("บุตร (นางวรรณา ศรีสุข)", []),
    ],
)
def test_names_in_parentheses(text: str, others: list[tuple[str, str, str]]) -> None:
    """Parentheses hold other names, of which a label tells the part; remarks, titles and nicknames are none."""
    assert [parts_of(other) for other in parse_full_name(text).others] == others


@pytest.mark.parametrize("text", ["สมหญิง มั่นคง (หญิง)", "ร.ต. (หญิง) สมหญิง มั่นคง", "ว่าที่ ร.ต.(หญิง)สมหญิง มั่นคง"])
def test_sex_in_parentheses(text: str) -> None:
    """The word for woman in parentheses is part of a rank or a remark, and of no name."""
    assert parts_of(parse_full_name(text)) == ("สมหญิง", "", "มั่นคง")


def test_name_in_parentheses_behind_a_family_name() -> None:
    """In the family field a word in parentheses is another family name."""
    assert [parts_of(other) for other in parse_name_parts("สมหญิง", "มั่นคง (ใจดี)").others] == [("", "", "ใจดี")]


def test_mother_in_parentheses() -> None:
    """A name in parentheses behind an unnamed newborn is the mother's and lends the family name."""
    name = parse_full_name("บุตร (นางวรรณา ศรีสุข)")
    assert parts_of(name) == ("", "", "ศรีสุข")
    assert name.aliases == ()


@pytest.mark.parametrize(
    ("other", "present", "expected"),
    [
        ("สมศรี", "สมหญิง มั่นคง", ("สมศรี", "", "มั่นคง")),
        ("สมศรี ใจดี", "สมหญิง มั่นคง", ("สมศรี", "", "ใจดี")),
        ("ลา", "มิน", ("ลา", "", "")),
        ("สมศรี", "ทารก มั่นคง", ("สมศรี", "", "")),
        ("ทารก มั่นคง", "สมหญิง ใจดี", ("", "", "มั่นคง")),
    ],
)
def test_completed(other: str, present: str, expected: tuple[str, str, str]) -> None:
    """A part that another name lacks is as in the present name, but never the mother's of a newborn."""
    name = completed(parse_full_name(other), parse_full_name(present))
    assert parts_of(name) == expected
    assert (NameFlag.SINGLE_NAME in name.flags) == (not expected[2])


@pytest.mark.parametrize("text", ["FT", "Ly", "Vy", "Ng", "ftf", "mo b"])
def test_short_latin_names_without_vowels(text: str) -> None:
    """Short names without a vowel are somebody's, not a slip of the keyboard."""
    assert parse_full_name(text).script == "latin"


def test_thai_typed_without_signs() -> None:
    """A name whose keys are all Latin consonants is found out when it is a known one."""
    found = next(word for word in sorted(given_names()) if (keys := typed(word)) and len(keys) > 3)
    assert parse_full_name(typed(found)).given == found
    assert NameFlag.WRONG_KEYBOARD in parse_full_name(typed(found)).flags


def typed(word: str) -> str:
    """Keys of a Thai word when all of them are Latin consonants, else ""."""
    keys = dict(zip("ๆไพะัยหกดเ้่าสผปแอิืท", "qwrtypsdfghjklzxcvbnm", strict=True))
    return "".join(map(keys.__getitem__, word)) if keys.keys() >= set(word) else ""


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("บุตรนางสาววรรณา ศรีสุข คนที่ 2", "ศรีสุข"),
        ("ทารก แฝดพี่ น.ส.มะลิ ใจดี", "ใจดี"),
        ("บุตร น.ส.มะลิ ใจดี แฝดน้อง", "ใจดี"),
    ],
)
def test_which_of_several_newborns_is_no_name(text: str, family: str) -> None:
    """Which child it is stands behind the mother's name and is not taken for her family name."""
    name = parse_full_name(text)
    assert (name.given, name.family) == ("", family)
    assert NameFlag.NEWBORN in name.flags


def test_generations_are_no_names() -> None:
    """Jr. and III behind a Western family name are dropped; alone they are what the person is called."""
    assert parse_full_name("Dr. John O'Brien-Smith Jr.").family == "obriensmith"
    assert parse_name_parts("John", "Smith III").family == "smith"
    assert parse_full_name("Somchai Jr").family == "jr"


@pytest.mark.parametrize(
    "name",
    [
        *("ชายไม่ทราบชื่อ นามสกุลไม่ทราบ", "ชายไทยไม่ทราบชื่อ", "หญิงไม่ทราบชื่อ", "บุคคลนิรนาม", "หญิงไทยไม่ทราบชื่อ 2"),
        *("ชาย ไม่ทราบชื่อ", "ชายไม่ทราบชื่อ-สกุล", "ไม่ทราบชื่อ ชาย", "ชายไทยไม่ทราบชื่ออายุประมาณ 40 ปี", "เสียชีวิต"),
        *(
            "Unknown Male",
            "Unknown Female",
            "Unidentified person",
            "Anonymous",
            "John Doe",
            "Doe, Jane",
            "Mr. John Doe 3",
        ),
    ],
)
def test_nobody_is_identified_by_a_placeholder(name: str) -> None:
    """What is written for somebody unidentified is no name: it would make strangers one."""
    parsed = parse_full_name(name)
    assert (parsed.given, parsed.family) == ("", "")
    assert NameFlag.NULL_NAME in parsed.flags


def test_a_newborn_without_more_words_is_one() -> None:
    """A child that is only called newborn has no given name that another one could share."""
    name = parse_name_parts("แรกเกิด", "ศรีสุข", prefix="ด.ญ.")
    assert (name.given, name.family) == ("", "ศรีสุข")
    assert NameFlag.NEWBORN in name.flags


@pytest.mark.parametrize(("given_field", "family_field"), [("Unknown", "Male"), ("ไม่ทราบ", "หญิง"), ("John", "Doe")])
def test_nobody_in_two_fields(given_field: str, family_field: str) -> None:
    """A placeholder that fills both fields is no name either."""
    assert NameFlag.NULL_NAME in parse_name_parts(given_field, family_field).flags


@pytest.mark.parametrize("name", ["ชาย ไม่มีนามสกุล", "ชาย ใจดี", "John Smith", "Johnny Doe", "Male Fofana"])
def test_names_like_nobodys(name: str) -> None:
    """Who has a name that begins like a placeholder keeps it."""
    assert parse_full_name(name).given == name.split()[0].lower()


@pytest.mark.parametrize(
    "text",
    [
        *("สมชาย ใจดี เสียชีวิต", "สมชาย ใจดี (เสียชีวิต)", "สมชาย ใจดี เสียชีวิตแล้ว", "สมชาย ใจดี ถึงแก่กรรม", "สมชาย ใจดี ตาย"),
        *("สมชาย ใจดีเสียชีวิต", "สมชาย ใจดี-เสียชีวิต", "สมชาย ใจดี (เสียชีวิตแล้ว", "เสียชีวิต นายสมชาย ใจดี", "สมชาย ใจดี (ตาย)"),
    ],
)
def test_a_death_is_no_name(text: str) -> None:
    """What is noted of a patient's death goes, fused with the name or not, and makes no alias."""
    name = parse_full_name(text)
    assert parts_of(name) == ("สมชาย", "", "ใจดี")
    assert not name.aliases


@pytest.mark.parametrize("field", ["ใจดี เสียชีวิต", "ใจดี(เสียชีวิต)", "ใจดีเสียชีวิต", "ใจดี ตาย"])
def test_a_death_in_the_family_field(field: str) -> None:
    """The note of a death behind the family name is no family name."""
    assert parts_of(parse_name_parts("สมชาย", field)) == ("สมชาย", "", "ใจดี")


@pytest.mark.parametrize("text", ["ตาย ใจดี", "สมชาย ตาย", "ซอ มิน ตาย", "ตายสิ ใจดี"])
def test_a_name_that_reads_like_a_death(text: str) -> None:
    """The short word for dead stays where it is one of two names, or beside names that are not Thai."""
    first, *_, last = text.split()
    name = parse_full_name(text)
    assert (name.given, name.family) == (first, last)


@pytest.mark.parametrize(
    ("prefix", "field", "given_name", "sex"),
    [
        ("เด็ก", "หญิง ศิริพร", "ศิริพร", "2"),
        ("เด็ก", "หญิงศิริพร", "ศิริพร", "2"),
        ("ม.ร.ว.", "หญิง ศิริพร", "ศิริพร", "2"),
        ("ร.ต.", "หญิง ศิริพร", "ศิริพร", "2"),
        ("นาง", "สาววรรณา", "วรรณา", "2"),
        ("นาง", "สาว วรรณา", "วรรณา", "2"),
        ("น.", "ส.วรรณา", "วรรณา", "2"),
        ("พระ", "มหาสมชาย", "สมชาย", "1"),
        ("ศ.", "เกียรติคุณ สมชาย", "สมชาย", ""),
        ("ศ.", "เกียรติคุณ", "เกียรติคุณ", ""),
        ("นางสาว", "น.ส.วรรณา", "วรรณา", "2"),
        ("เด็ก", "หญิง", "หญิง", ""),
        ("นาง", "สาวิตรี", "สาวิตรี", "2"),
        ("นาง", "สาว", "สาว", "2"),
        ("พ.อ.", "พิเศษศักดิ์", "พิเศษศักดิ์", ""),
        ("พระ", "มหาบุญชู", "มหาบุญชู", "1"),
        ("นาย", "ชาย", "ชาย", "1"),
    ],
)
def test_a_title_cut_in_two(prefix: str, field: str, given_name: str, sex: str) -> None:
    """The end of a title that begins in the field before goes; the beginning of a name stays."""
    name = parse_name_parts(field, "ศรีสุข", prefix=prefix)
    assert (parts_of(name), name.sex_hint) == ((given_name, "", "ศรีสุข"), sex)


def test_no_title_and_known_name_make_another_name() -> None:
    """No known given name loses its beginning to a title in the field before it."""
    for prefix in ("นาย", "นาง", "เด็ก", "น.", "ร.ต.", "พระ", "คุณ", "ศ."):
        eaten = {
            name
            for name in given_names()
            if " " not in name and parse_name_parts(name, "ใจดี", prefix=prefix).given != name
        }
        assert eaten <= {"ป.เสฎฐวุฒิ"}, prefix
