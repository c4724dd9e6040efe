"""Demographics brought to canonical form."""

from __future__ import annotations

import dataclasses
import datetime
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.domain.identifiers import IdentifierKind
from mpi.encoder.demographics import MAX_NAMES, Demographics, RawDemographics, RawName, normalize
from mpi.encoder.encoder import field_views
from mpi.encoder.identifiers import check_digit

TODAY = datetime.date(2026, 6, 30)
WHOLE = RawDemographics(
    local_id="66001",
    names=(RawName(prefix="003", given="สมชาย", family="ใจดี"), RawName(full="Mr. Somchai Jaidee")),
    birth_date="25300115",
    sex="1",
    national_id="1-1037-02488-99-2",
    passport="AA1234567",
    passport_country="THA",
    other_passports=(("MB123456", "MMR"),),
    phone="081-234-5678",
    house="99/1 หมู่ 4",
    subdistrict="920103",
    district="เมืองตรัง",
    province="จังหวัดตรัง",
)


def normal(**fields: object) -> Demographics:
    return normalize(RawDemographics(**fields), TODAY)  # type: ignore[arg-type]


def test_whole_person() -> None:
    """Every field of a complete row comes out in canonical form, the present name first."""
    person = normalize(WHOLE, TODAY)
    assert [(name.given, name.family) for name in person.names] == [("สมชาย", "ใจดี"), ("somchai", "jaidee")]
    assert person.birth_date is not None
    assert person.birth_date.iso == "1987-01-15"
    assert person.sex == "1"
    assert [(found.kind, found.value) for found in person.identifiers] == [
        (IdentifierKind.NATIONAL_ID, "1103702488992"),
        (IdentifierKind.PASSPORT, "THA:AA1234567"),
        (IdentifierKind.PASSPORT, "MMR:MB123456"),
        (IdentifierKind.PHONE, "0812345678"),
    ]
    assert (person.house, person.subdistrict, person.district, person.province) == ("99/1", "920103", "เมืองตรัง", "ตรัง")
    assert person.flags == {"passport:maybe_truncated"}


def test_nothing_known() -> None:
    """An empty row gives empty demographics."""
    person = normal()
    assert person == Demographics((), None, "", (), "", "")


def test_rejected_values_leave_a_flag() -> None:
    """A value that cannot be used is left out, and a flag names its field and the reason."""
    person = normal(
        birth_date="31/02/2530", national_id="1103702488993", phone="0000000000", passport="MB123456", sex="x"
    )
    assert (person.birth_date, person.identifiers, person.sex) == (None, (), "")
    assert person.flags == {
        "birth_date:impossible", "national_id:checksum", "phone:dummy", "passport:country", "sex:unrecognised",
    }  # fmt: skip


@pytest.mark.parametrize("blank", ["", " ", "-", "--", "."])
def test_placeholders_are_blank(blank: str) -> None:
    """A field that holds only punctuation is empty and not worth a flag."""
    person = normal(birth_date=blank, national_id=blank, phone=blank, passport=blank, subdistrict=blank, sex=blank)
    assert person == Demographics((), None, "", (), "", "")


@pytest.mark.parametrize(
    ("text", "sex"),
    [
        ("1", "1"),
        ("2", "2"),
        ("M", "1"),
        ("f", "2"),
        ("ชาย", "1"),
        (" หญิง ", "2"),
        ("male", "1"),
        ("Female", "2"),
        ("9", ""),
    ],
)
def test_sex(text: str, sex: str) -> None:
    """Codes and words of both languages give 1 or 2, anything else nothing."""
    assert normal(sex=text).sex == sex


@pytest.mark.parametrize(("text", "sex"), [("", "2"), ("unknown", "2"), ("9", "2"), ("1", "1")])
def test_title_tells_sex_only_when_it_is_missing(text: str, sex: str) -> None:
    """A title's sex is taken when the field tells none, and never against it."""
    assert normal(sex=text, names=(RawName(full="นางสาววรรณา ศรีสุข"),)).sex == sex


def test_same_name_twice_counts_once() -> None:
    """Two spellings that come to one canonical name are one name."""
    names = (RawName(full="นายสมชาย ใจดี"), RawName(given="สมชาย", family="ใจดี"))
    assert len(normal(names=names).names) == 1


def names_of(*raw: RawName) -> list[tuple[str, str]]:
    return [(name.given, name.family) for name in normal(names=raw).names]


def test_other_names_are_completed_from_the_present_one() -> None:
    """A further name lends what it lacks from the present name; aliases in parentheses come last."""
    present, latin = RawName(full="นางสมหญิง มั่นคง (ดาว)"), RawName(full="Somying Mankong")
    assert names_of(present, RawName(family="ใจดี"), RawName(given="สมศรี"), latin) == [
        ("สมหญิง", "มั่นคง"), ("สมหญิง", "ใจดี"), ("สมศรี", "มั่นคง"), ("somying", "mankong"), ("ดาว", "มั่นคง"),
    ]  # fmt: skip


def test_aliases_are_encoded() -> None:
    """Every name is a reading of its own for the encoder, the alias as well."""
    person = normal(names=(RawName(full="สมชาย ใจดี (เดิมชื่อ สมศักดิ์)"),), birth_date="25300115")
    given = [view.fields["given"] for view in field_views(person, TODAY)]
    assert len(given) == 2
    assert given[0] != given[1]


def test_present_name_unknown() -> None:
    """Where the present name is missing, another one stands first."""
    assert names_of(RawName(given="-", family="-"), RawName(full="สมชาย ใจดี")) == [("สมชาย", "ใจดี")]
    assert names_of(RawName(full="(สมชาย ใจดี)")) == [("สมชาย", "ใจดี")]


def test_half_a_name_beside_a_newborn() -> None:
    """Beside an unnamed newborn only whole names count: half of one could be anybody's."""
    assert names_of(RawName(full="ทารก มั่นคง"), RawName(full="ดาว"), RawName(full="ธนา มั่นคง")) == [
        ("", "มั่นคง"), ("ธนา", "มั่นคง"),
    ]  # fmt: skip


def test_no_other_name_is_no_remark() -> None:
    """A placeholder in the field of an earlier name is not remarked on."""
    assert normal(names=(RawName(full="สมชาย ใจดี"), RawName(full="-"), RawName(given="ไม่มี"))).flags == frozenset()


def test_names_are_bounded() -> None:
    """More names than anybody has are cut off, aliases first, and flagged."""
    letters = "กขคงจฉชซ"
    former = tuple(RawName(full=f"{letter}า ใจดี") for letter in letters)
    person = normal(names=(RawName(full="สมชาย ใจดี (ชัย)"), *former))
    assert [name.given for name in person.names] == ["สมชาย", *(f"{letter}า" for letter in letters[: MAX_NAMES - 1])]
    assert "name:too_many" in person.flags


def test_many_national_ids() -> None:
    """Every number that a person ever had is kept once; what is none is flagged."""
    alien = "001234567890" + check_digit("001234567890")
    person = normal(national_id=alien, other_national_ids=("1103702488992", alien, "12"))
    found = [(identifier.kind, identifier.value) for identifier in person.identifiers]
    assert found == [(IdentifierKind.ALIEN_ID, alien), (IdentifierKind.NATIONAL_ID, "1103702488992")]
    assert person.flags == {"national_id:length"}


@pytest.mark.parametrize(("passport", "token"), [("AA1234567", ["THA:AA1234567"]), ("MB123456", [])])
def test_passport_without_country(passport: str, token: list[str]) -> None:
    """A passport that nothing says the issuer of counts only in the Thai form, and is flagged either way."""
    person = normal(passport=passport)
    assert [identifier.value for identifier in person.identifiers] == token
    assert person.flags == {"passport:country_assumed" if token else "passport:country"}


def test_newborn() -> None:
    """A newborn without a name is known as such."""
    person = normal(names=(RawName(full="บุตร น.ส.วรรณา ศรีสุข"),))
    assert person.newborn
    assert "name:newborn" in person.flags


@pytest.mark.parametrize(
    ("subdistrict", "district", "province", "expected"),
    [
        ("920103", "", "", "920103"),
        ("92010304", "", "", "920103"),
        ("03", "01", "92", "920103"),
        ("99", "01", "92", ""),
        ("ต.ทับเที่ยง", "", "", "ทับเที่ยง"),
        ("ตำบลทับเที่ยง", "", "", "ทับเที่ยง"),
        ("แขวงสีลม", "เขตบางรัก", "กทม.", "สีลม"),
        ("ไม่ทราบ", "", "", ""),
    ],
)
def test_subdistrict(subdistrict: str, district: str, province: str, expected: str) -> None:
    """A subdistrict is its six-digit code where a code is given, else its name alone."""
    assert normal(subdistrict=subdistrict, district=district, province=province).subdistrict == expected


@pytest.mark.parametrize(
    ("text", "house"),
    [
        ("99/1", "99/1"),
        ("๙๙", "99"),
        ("บ้านเลขที่ 099/1 หมู่ 4 ต.ทับเที่ยง", "99/1"),
        ("No. 12 Silom Rd", "12"),
        ("ไม่มีเลขที่", ""),
    ],
)
def test_house(text: str, house: str) -> None:
    """The house number is taken from the beginning of an address."""
    assert normal(house=text).house == house


def test_reprs_hide_values() -> None:
    """No representation holds a value."""
    person = normalize(WHOLE, TODAY)
    shown = repr((WHOLE, WHOLE.names, person, person.names, person.birth_date, person.identifiers))
    assert not any(value in shown for value in ("สมชาย", "somchai", "1987", "1103702488992", "AA1234567", "0812345678"))


FIELDS = [field.name for field in dataclasses.fields(RawDemographics) if field.type == "str"]


@given(
    st.fixed_dictionaries({}, optional={name: st.text(max_size=20) for name in FIELDS}),
    st.text(max_size=30),
    st.text(max_size=20),
)
def test_total(fields: dict[str, str], full: str, given: str) -> None:
    """Any texts are normalised; flags are words, not values."""
    person = normal(names=(RawName(full=full), RawName(given=given, family=full)), **fields)
    assert person.sex in ("", "1", "2")
    for flag in person.flags:
        field, _, word = flag.partition(":")
        assert field in ("name", "birth_date", "sex", "national_id", "passport", "phone")
        assert word.replace("_", "").isalpha()
        assert word.isascii()


def test_raw_values_survive_the_way_between_processes() -> None:
    """Every field comes out as it went in, so that several processes encode what one would."""
    values = {
        field.name: (("MD123456", "MMR"),) if field.name == "other_passports" else field.name
        for field in dataclasses.fields(RawDemographics)
    }
    values |= {"names": (RawName("a", "b", "c", "d", "e"), RawName(given="x")), "other_national_ids": ("1", "2")}
    raw = RawDemographics(**values)
    assert pickle.loads(pickle.dumps(raw)) == raw
