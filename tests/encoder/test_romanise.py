"""The transcription of Thai names, and the fold in which both scripts meet."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.encoder.romanise import fold, romanise, skeleton

RTGS = dict(
    pair.split("=")
    for pair in """
    สมชาย=somchai ณัฐวุฒิ=natthawut ณัฐพงษ์=natthaphong ธรรมรัตน์=thammarat วรรณา=wanna สรรเสริญ=sansoen
    ศรีสุวรรณ=sisuwan ฤทธิ์=rit อภิญญา=aphinya ไพโรจน์=phairot เสาวลักษณ์=saowalak น้ำฝน=namfon รัตนา=rattana
    เกียรติ=kiat อรวรรณ=orawan วชิราลงกรณ์=wachiralongkon ชินวัตร=chinnawat อยุธยา=ayutthaya ทรงศักดิ์=songsak
    สมศักดิ์=somsak สมพร=somphon สมบูรณ์=sombun ประเสริฐ=prasoet ใจดี=chaidi จงเจริญ=chongcharoen ปวีณา=pawina
    ณัฐธิดา=natthida กมล=kamon ชนก=chanok ธนพร=thanaphon ธนพล=thanaphon วรพจน์=woraphot นภดล=nopphadon
    สุนทร=sunthon อินทิรา=inthira จันทร์=chan ศาสตร์=sat บุญมี=bunmi แก้ว=kaeo เพชร=phet พรหม=phrom
    ขวัญใจ=khwanchai ทองดี=thongdi วาสนา=watsana กาญจนา=kanchana วิทยา=witthaya ปัญญา=panya มานพ=manop
    ภัทรา=phatthara บุษบา=butsaba พิสมัย=phitsamai กฤษณะ=kritsana เมตตา=metta เดชา=decha เฉลิม=chaloem
    เสถียร=sathian เจริญ=charoen โชติ=chot ชาติชาย=chatchai พันธุ์=phan สิทธิชัย=sitthichai มนตรี=montri
    วิเชียร=wichian ดวงใจ=duangchai นวลจันทร์=nuanchan หทัย=hathai หนึ่ง=nueng เอื้อ=uea เรืองเดช=rueangdet
    """.split()
)


@pytest.mark.parametrize(("thai", "latin"), RTGS.items())
def test_well_known_names(thai: str, latin: str) -> None:
    """Well-known names read as the Royal Institute's rules write them."""
    assert romanise(thai) == latin


@pytest.mark.parametrize(
    ("thai", "latin"),
    [
        ("สมชาย", "somchai"),
        ("ใจดี", "Jaidee"),
        ("ณัฐธิดา", "Nattida"),
        ("ณัฐธิดา", "Nuttida"),
        ("จงเจริญ", "Jongjaroen"),
        ("จงเจริญ", "Jongcharern"),
        ("ศรีสุวรรณ", "Srisuwan"),
        ("ปวีณา", "Pavina"),
        ("ปวีณา", "Paweena"),
        ("สมพร", "Somporn"),
        ("ธนพล", "Tanapol"),
        ("วิทยา", "Wittaya"),
        ("แก้ว", "Kaew"),
        ("อนงค์นาฏ", "Anongnart"),
    ],
)
def test_both_scripts_meet(thai: str, latin: str) -> None:
    """A Thai name and its usual personal spelling in Latin letters have one fold and one skeleton."""
    assert fold(romanise(thai)) == fold(latin)
    assert skeleton(fold(romanise(thai))) == skeleton(fold(latin))


@pytest.mark.parametrize(("one", "other"), [("พงษ์", "พงศ์"), ("ทิพย์", "ทิพ"), ("สุภาพร", "ศุภาพร"), ("จิตร", "จิตต์")])
def test_homophones_meet(one: str, other: str) -> None:
    """Names that differ only in silent or same-sounding letters read alike."""
    assert romanise(one) == romanise(other)


@pytest.mark.parametrize(("one", "other"), [("สมชาย", "สมศรี"), ("ธนพร", "ธนพัฒน์"), ("กมล", "กนก")])
def test_other_names_stay_apart(one: str, other: str) -> None:
    """The fold does not make different names equal."""
    assert fold(romanise(one)) != fold(romanise(other))


def test_latin_passes() -> None:
    """A Latin name keeps its letters, in lower case."""
    assert romanise("O'Brien 2") == "obrien"


def test_nothing_to_read() -> None:
    """A text without letters of either script has no reading."""
    assert romanise("๑๒ -") == fold("๑๒") == skeleton("") == ""


def test_skeleton_keeps_consonants() -> None:
    """A skeleton is the fold without its vowels."""
    assert skeleton(fold("somchai")) == "smj"


@given(st.one_of(st.text(max_size=40), st.text(st.characters(min_codepoint=0x0E00, max_codepoint=0x0E7F), max_size=40)))
def test_total_and_latin(text: str) -> None:
    """Any text has one reading, in a-z only and of bounded length."""
    latin = romanise(text)
    assert latin == romanise(text)
    assert set(latin) <= set("abcdefghijklmnopqrstuvwxyz")
    assert len(latin) <= 6 * len(text)


@given(st.text(st.sampled_from("กขคงจชซญดตถทธนบปผพภมยรลวศษสหอเแโไะาิีุูั็์"), min_size=1, max_size=15))
def test_consonants_are_heard(text: str) -> None:
    """A text that starts with a consonant and its vowel has a reading."""
    assert romanise("กา" + text)


@given(st.text(st.characters(max_codepoint=0x7F), max_size=40))
def test_fold_is_latin_and_no_longer(text: str) -> None:
    """A fold has a-z only, and hardly outgrows its input; a skeleton has no vowels."""
    folded = fold(text)
    assert set(folded) <= set("abcdefghijklmnopqrstuvwxyz")
    assert len(folded) <= 2 * len(text)
    assert not set(skeleton(folded)) & set("aeiou")
