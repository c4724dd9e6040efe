"""Titles before names."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.encoder.thai_names import family_names, given_names
from mpi.encoder.thai_text import clean_text
from mpi.encoder.titles import StrippedName, strip_titles, title_of_prefix

TABLE = [
    row.split("\t")
    for row in resources.files("mpi.encoder").joinpath("data/dopa_prefix.tsv").read_text(encoding="utf-8").splitlines()
]
# Royal titles behind a rank; their bearers are not looked up by name.
ROYAL_RANKS = {"พ.ต.พระเจ้าวรวงศ์เธอพระองค์เจ้า", "พ.ต.พระเจ้าวรวงศ์เธอพระองค์"}

STRIPPED = [
    ("นาย สมชาย", "สมชาย", "1"),
    ("นายสมชาย ใจดี", "สมชาย ใจดี", "1"),
    ("นางวรรณา", "วรรณา", "2"),
    ("นางสาววรรณา", "วรรณา", "2"),
    ("น.ส.วรรณา", "วรรณา", "2"),
    ("น. ส. วรรณา", "วรรณา", "2"),
    ("น.ส วรรณา", "วรรณา", "2"),
    ("นส. วรรณา", "วรรณา", "2"),
    ("นส วรรณา ศรีสุข", "วรรณา ศรีสุข", "2"),
    ("น ส วรรณา ศรีสุข", "วรรณา ศรีสุข", "2"),
    ("ด.ช.กล้า", "กล้า", "1"),
    ("ดช. กล้า", "กล้า", "1"),
    ("เด็กชายกล้า", "กล้า", "1"),
    ("ด.ญ. แก้ว", "แก้ว", "2"),
    ("เด็กหญิง แก้ว", "แก้ว", "2"),
    ("คุณ พลอย งามตา", "พลอย งามตา", ""),
    ("ม.จ. ก้อง", "ก้อง", ""),
    ("ม.จ.หญิง แก้ว", "แก้ว", "2"),
    ("ม.ร.ว.ก้อง", "ก้อง", ""),
    ("หม่อมหลวงปลื้ม", "ปลื้ม", ""),
    ("คุณหญิงแก้ว", "แก้ว", "2"),
    ("ท่านผู้หญิง ม.ล. แก้ว", "แก้ว", "2"),
    ("พล.อ. สมชาย", "สมชาย", ""),
    ("พลเอกสมชาย", "สมชาย", ""),
    ("พล.ต.ต.ม.ร.ว. ก้อง", "ก้อง", ""),
    ("พ.ต.ท.กฤษณะ", "กฤษณะ", ""),
    ("พ.ต.ท กฤษณะ", "กฤษณะ", ""),
    ("พตท. กฤษณะ", "กฤษณะ", ""),
    ("จ.ส.อ.สมชาย", "สมชาย", ""),
    ("ด.ต. สมชาย", "สมชาย", ""),
    ("พลฯ สมชาย", "สมชาย", ""),
    ("พลฯสมชาย", "สมชาย", ""),
    ("พลทหารสมชาย", "สมชาย", ""),
    ("พ.อ.(พิเศษ) สมชาย", "สมชาย", ""),
    ("พ.ต.อ. (พิเศษ) สมชาย", "สมชาย", ""),
    ("น.อ.พิเศษ สมชาย", "สมชาย", ""),
    ("ร.ต.หญิง สมศรี", "สมศรี", "2"),
    ("ร.ต. (หญิง) สมศรี", "สมศรี", "2"),
    ("ร้อยตรีหญิงสมศรี", "สมศรี", "2"),
    ("ว่าที่ ร.ต.หญิง สมศรี", "สมศรี", "2"),
    ("ว่าที่ร.ต.สมชาย", "สมชาย", ""),
    ("ว่าที่ร้อยตรีสมชาย", "สมชาย", ""),
    ("นพ.สมชาย", "สมชาย", "1"),
    ("นายแพทย์สมชาย", "สมชาย", "1"),
    ("พญ. สมศรี", "สมศรี", "2"),
    ("พ.ญ.สมศรี", "สมศรี", "2"),
    ("แพทย์หญิงสมศรี", "สมศรี", "2"),
    ("ทพ.สมชาย", "สมชาย", ""),
    ("ทพญ.สมศรี", "สมศรี", "2"),
    ("ภก. สมชาย", "สมชาย", "1"),
    ("ภญ.สมศรี", "สมศรี", "2"),
    ("ภกญ.สมศรี", "สมศรี", "2"),
    ("สพ.ญ.สมศรี", "สมศรี", "2"),
    ("น.สพ.สมชาย", "สมชาย", "1"),
    ("พว.สมศรี", "สมศรี", ""),
    ("ดร.สมชาย", "สมชาย", ""),
    ("ดร สมชาย", "สมชาย", ""),
    ("ผศ.ดร. นพดล", "นพดล", ""),
    ("รศ.นพ.สมชาย", "สมชาย", "1"),
    ("ศ.ดร.นพ.สมชาย", "สมชาย", "1"),
    ("ศจ. สมชาย", "สมชาย", ""),
    ("ศ.เกียรติคุณ สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศ.เกียรติคุณสมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศ. เกียรติคุณ ดร. สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศ.เกียรติคุณ นพ.สมชาย", "สมชาย", "1"),
    ("ศ.เกียรติคุณ ดร.เกียรติคุณ ใจดี", "เกียรติคุณ ใจดี", ""),
    ("ศ.(เกียรติคุณ) สมชาย", "สมชาย", ""),
    ("ศ.กิตติคุณ สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศ.คลินิก นพ.สมชาย ใจดี", "สมชาย ใจดี", "1"),
    ("ศ.คลินิกเกียรติคุณ นพ.สมชาย ใจดี", "สมชาย ใจดี", "1"),
    ("รศ.พิเศษ สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ผศ.(พิเศษ) นพ.สมชาย ใจดี", "สมชาย ใจดี", "1"),
    ("รองศาสตราจารย์พิเศษ สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศาสตราจารย์เกียรติคุณ สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("ศาสตราจารย์เกียรติคุณสมชาย ใจดี", "สมชาย ใจดี", ""),
    ("นาง สาว วรรณา", "วรรณา", "2"),
    ("นาง สาว วรรณา ศรีสุข", "วรรณา ศรีสุข", "2"),
    ("นาง สาววรรณา ศรีสุข", "วรรณา ศรีสุข", "2"),
    ("เด็ก หญิง ศิริพร ใจดี", "ศิริพร ใจดี", "2"),
    ("เด็ก ชาย กล้า ใจดี", "กล้า ใจดี", "1"),
    ("พระ มหา สมชาย ฐานวุฑฺโฒ", "สมชาย ฐานวุฑฺโฒ", "1"),
    ("น..ส.วรรณา ใจดี", "วรรณา ใจดี", "2"),
    ("ข.ญ.วรรณา ใจดี", "วรรณา ใจดี", "2"),
    ("ผู้ต้องขัง สมชาย ใจดี", "สมชาย ใจดี", ""),
    ("อ.สมชาย", "สมชาย", ""),
    ("พระ สมชาย", "สมชาย", "1"),
    ("พระมหาสมชาย", "สมชาย", "1"),
    ("พระครูพิบูลสมณธรรม", "พิบูลสมณธรรม", "1"),
    ("ส.ณ.สมชาย", "สมชาย", "1"),
    ("สามเณรสมชาย", "สมชาย", "1"),
    ("แม่ชีสมศรี", "สมศรี", "2"),
    ("น.ช.สมชาย", "สมชาย", "1"),
    ("น.ญ. สมศรี", "สมศรี", "2"),
    ("น.ช.ม.ล.ปลื้ม", "ปลื้ม", "1"),
    ("MR. Somchai", "Somchai", "1"),
    ("Mr.Somchai", "Somchai", "1"),
    ("mrs Somsri", "Somsri", "2"),
    ("Ms. Somsri", "Somsri", "2"),
    ("MISS Somsri", "Somsri", "2"),
    ("Master Somchai", "Somchai", "1"),
    ("Asst.Prof.Dr. Somchai", "Somchai", ""),
    ("Pol. Col. Somchai", "Somchai", ""),
    ("M.L. Somchai", "Somchai", ""),
]

KEPT = [
    "นพดล ใจดี",
    "คุณากร พลอยงาม",
    "พลอย งามตา",
    "พลวัต ใจดี",
    "มลทิรา ใจดี",
    "รอฮานี บินยูโซะ",
    "นางาม ใจดี",
    "นายก ใจดี",
    "ขุนเดช ใจดี",
    "เจ้าจอม ใจดี",
    "นอ มู แพ",
    "พอ ใจดี",
    "ณ.อยุธยา",
    "เกียรติคุณ ใจดี",
    "นพ ณ อยุธยา",
    "พล ตรีเพชร",
    "เด็ก หญิง",
    "ส ณ อยุธยา",
    "ร.",
    "นาย",
    "น.ส.",
    "นาย -",
    "Gen Sato",
    "Missy Smith",
    "Drew Smith",
    "Mr",
    "",
]


def strip(text: str) -> StrippedName:
    return strip_titles(clean_text(text)[0], given_names().__contains__)


@pytest.mark.parametrize(("text", "rest", "sex"), STRIPPED, ids=[case[0] for case in STRIPPED])
def test_titles_of_every_class_come_off(text: str, rest: str, sex: str) -> None:
    """A title goes whatever its dots and spaces, and leaves the sex that it tells."""
    stripped = strip(text)
    assert (stripped.rest, stripped.sex_hint) == (rest, sex)
    assert stripped.titles


@pytest.mark.parametrize("text", KEPT)
def test_beginnings_of_names_stay(text: str) -> None:
    """What only looks like a title, and a title with nobody behind it, stays."""
    stripped = strip(text)
    assert stripped.rest == text
    assert not stripped.titles


@pytest.mark.parametrize(("code", "abbreviation", "full"), TABLE, ids=[row[0] for row in TABLE])
def test_every_title_of_the_register_comes_off(code: str, abbreviation: str, full: str) -> None:
    """Each of the 504 titles comes off in its short and its full form."""
    for title in {abbreviation, full} - ROYAL_RANKS:
        assert strip(f"{title} สมรักษ์ ใจดี").rest == "สมรักษ์ ใจดี", code


def test_no_known_given_name_is_eaten() -> None:
    """No given name of the corpora loses a beginning, save นาย itself, which is the title before anything else."""
    eaten = {name for name in given_names() if strip(f"{name} ใจดี").rest != f"{name} ใจดี"}
    assert eaten == {"นาย"}


def test_hardly_any_family_name_is_eaten() -> None:
    """Even a family name written first loses nothing, but for three that begin with นาย or พระ and a given name."""
    eaten = {name for name in family_names() if strip(name).rest != name}
    assert eaten == {"นายกชน", "พระแก้ว", "พระนารี"}


@pytest.mark.parametrize("text", ["นายณัฐ ศรีสุข", "นพ ใจดี", "สอ ใจดี", "ภาราดา ใจดี"])
def test_a_given_name_that_looks_like_a_title_is_flagged(text: str) -> None:
    """Where a known given name can be read as a title, the name wins and the reader is told."""
    stripped = strip(text)
    assert stripped.rest == text
    assert stripped.ambiguous == (text != "สอ ใจดี")


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("ศ.เกียรติคุณ ใจดี", "เกียรติคุณ ใจดี"),
        ("ศ.เกียรติคุณ ณ อยุธยา", "เกียรติคุณ ณ อยุธยา"),
        ("ศาสตราจารย์เกียรติคุณ ใจดี", "เกียรติคุณ ใจดี"),
        ("ศ.พิเศษ ใจดี", "พิเศษ ใจดี"),
        ("ศ.พิเศษศักดิ์ ใจดี", "พิเศษศักดิ์ ใจดี"),
        ("พ.อ. พิเศษศักดิ์ ใจดี", "พิเศษศักดิ์ ใจดี"),
        ("นายเกียรติคุณ ใจดี", "เกียรติคุณ ใจดี"),
        ("นาง สาว ใจดี", "สาว ใจดี"),
        ("นาง สาว ณ อยุธยา", "สาว ณ อยุธยา"),
        ("นาง สาวิตรี ใจดี", "สาวิตรี ใจดี"),
    ],
)
def test_what_may_be_said_of_a_title_may_be_the_name(text: str, rest: str) -> None:
    """A word that is said of titles is the name when no whole name stands behind it."""
    assert strip(text).rest == rest


def test_the_family_name_may_stand_elsewhere() -> None:
    """One name is enough behind a title when the family name has a field of its own."""
    for text in ("ศ.เกียรติคุณ สมชาย", "นพ สมชาย", "ร.ต. หญิง สมชาย"):
        assert strip_titles(text, given_names().__contains__, family_apart=True).rest == "สมชาย"
        assert strip(text).rest != "สมชาย"


def test_two_words_behind_a_twofold_word_make_it_a_title() -> None:
    """นพ with a given and a family name behind it is the physician's title, and still flagged."""
    stripped = strip("นพ สมชาย ใจดี")
    assert stripped.rest == "สมชาย ใจดี"
    assert stripped.ambiguous


def test_phra_is_fused_with_known_names_only() -> None:
    """พระ fused with a known given name comes off, flagged; before other words it may belong to the name."""
    assert strip("พระสมชาย ฐานวุฑฺโฒ").rest == "สมชาย ฐานวุฑฺโฒ"
    assert strip("พระสมชาย ฐานวุฑฺโฒ").ambiguous
    assert strip("พระพาย ใจดี").rest == "พระพาย ใจดี"


def test_ying_behind_a_space_may_be_the_name() -> None:
    """หญิง behind a rank and a space is its note only when a full name follows."""
    assert strip("ร.ต. หญิง สมศรี ใจดี").rest == "สมศรี ใจดี"
    assert strip("ร.ต. หญิง ใจดี").rest == "หญิง ใจดี"


def test_contradicting_titles_tell_no_sex() -> None:
    """Two titles of different sexes give no hint."""
    assert strip("นาย น.ส. แก้ว ใจดี").sex_hint == ""


def test_monastic_titles_are_told() -> None:
    """Titles of monks, novices and nuns are marked; others are not."""
    assert strip("พระมหาสมชาย").monastic
    assert strip("แม่ชี สมศรี").monastic
    assert not strip("นาย สมชาย").monastic


@pytest.mark.parametrize(
    ("prefix", "sex"),
    [
        ("003", "1"),
        ("3", "1"),
        ("004", "2"),
        ("005", "2"),
        ("001", "1"),
        ("นาย", "1"),
        ("น.ส.", "2"),
        ("นส.", "2"),
        ("ร.ต.หญิง", "2"),
        ("ผศ.ดร.", ""),
        ("MRS", "2"),
        ("Mr.", "1"),
    ],
)
def test_a_prefix_field_tells_the_sex(prefix: str, sex: str) -> None:
    """PRENAME is understood as a code, with or without leading zeros, and as free text."""
    title = title_of_prefix(prefix)
    assert title is not None
    assert title.sex == sex


@pytest.mark.parametrize("prefix", ["", "-", "998", "สมชาย", "99999"])
def test_no_title_in_a_prefix_field(prefix: str) -> None:
    """A field without a title gives none."""
    assert title_of_prefix(prefix) is None


def test_repr_shows_no_name() -> None:
    """What was stripped prints without the name."""
    assert repr(strip("นายสมชาย ใจดี")) == "StrippedName(***)"


@given(
    st.lists(
        st.sampled_from(
            [
                *("นาย", "น.ส.", "ดร", " ", ".", "ว่าที่", "ร.ต.", "หญิง", "สม", "พล", "ฯ", "(", ")", "Mr"),
                *("นาง", "สาว", "เด็ก", "ศ.", "เกียรติคุณ", "พิเศษ", "ณ", "สมชาย"),
            ]
        ),
        max_size=8,
    )
)
def test_stripping_is_final(pieces: list[str]) -> None:
    """What is left behind the titles begins with no further title, and was the end of the text."""
    text = clean_text("".join(pieces))[0]
    rest = strip_titles(text, given_names().__contains__).rest
    assert text.endswith(rest)
    assert strip_titles(rest, given_names().__contains__).rest == rest
