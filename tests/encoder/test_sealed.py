"""Sealed views: what they show, what opens them, and what does not."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given
from hypothesis import strategies as st

from mpi.domain.record import MAX_SEALED_VIEW_BYTES
from mpi.encoder.demographics import Demographics, RawDemographics, RawName, normalize
from mpi.encoder.sealed import (
    HEADER_BYTES,
    Masking,
    SealedViews,
    fingerprint,
    load_private_key,
    load_public_key,
    masked,
    new_steward_key,
    open_view,
)
from mpi.encoder.thai_names import PersonName
from mpi.errors import InputRejected, KeyRingUnusable
from tests.building import TODAY

PROGRAM = Path(__file__).resolve().parents[1] / "clients" / "webcrypto" / "open_sealed_view.mjs"
FACILITY, POINTER = "HL001", b"pointer of a record"
KEY = ec.generate_private_key(ec.SECP256R1())
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
)
PERSON = normalize(WHOLE, TODAY)
VALUES = ("สมชาย", "ใจดี", "somchai", "1987", "1103702488992", "992", "AA1234567", "MB123456", "0812345678", "920103")
SHOWN = {
    Masking.INITIALS: {"given": "ส***", "family": "จ***", "birth_date": "1987", "sex": "1"},
    Masking.PARTIAL: {
        "given": "สมชาย", "family": "จ***", "birth_date": "1987-01", "sex": "1", "national_id": "***992",
    },
    Masking.FULL: {
        "given": "สมชาย", "family": "ใจดี", "birth_date": "1987-01-15", "sex": "1", "national_id": "1103702488992",
        "passport": "THA:AA1234567, MMR:MB123456", "phone": "0812345678", "subdistrict": "920103",
    },
}  # fmt: skip
LONGEST = normalize(
    RawDemographics(
        names=(RawName(given="กรุง" * 90, family="เทพ" * 90),),
        birth_date="25300115",
        sex="2",
        national_id="1103702488992",
        other_passports=tuple((f"MB{number:013}", "MMR") for number in range(1, 9)),
        phone="0812345678",
        subdistrict='"ทับเที่ยง\\' * 30,
    ),
    TODAY,
)

PINNED_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "UVw9brnjlrkE0_7Kf1T9zQzB6Ze_N13KUVrQpsO0A18",
    "y": "RTa-OlDzGPv5pUdZAqIhUCvvDVfgjFOyzApW8X2fk1Q",
    "kid": "4269889431e31319",
    "d": "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA",
}
PINNED_VIEW = base64.b64decode(
    "AQJCaYiUMeMTGQTzLJEXAHQ9Ayejvcx4DARILI2GJRJw+laGr3efRhaJv4MMmmE6+p3FZNBGNLzRusozVgwPZWoAfCAs/QxJPAr2NdQuIqFg"
    "SyEtkSOm+XFxHb9Zid0LhbN88wU1kn/3hcKCR1mWNSmtRpNQT/EhpgLXOi6QXSTfUYG3bVFDiYU/7BzO7QaTxNc0png9cyJvka4VSY2CXEnI"
    "5TQaW9Hp0wthxCmR1iSrn0pEFSPWFiXhekvQfuYSreeAEcoJy6ufqfnCYKLY8V1UhyFNI65Jl0WuzazMaeUGMe3a/sj3rONHQSvOILNTYHOy"
    "4It1SByTO52K8Pc1UZBP8/OcpbPYSqp2kMk9n+YHGGsXoPJVxWExflxNOUniFAfPXikqipdHHLl86fdDqNPb5o0QeExBiSa2K6a4iPBOjLs2"
    "mBREHMzQBqeHdgF4iBK1XcYoM13L70o="
)
"""`PERSON` of `FACILITY` and `POINTER`, partial, sealed to `PINNED_KEY` by the first version of the format."""

RFC_9180 = {
    "skRm": "317f915db7bc629c48fe765587897e01e282d3e8445f79f27f65d031a88082b2",
    "pkRm": "04abc7e49a4c6b3566d77d0304addc6ed0e98512ffccf505e6a8e3eb25c685136f"
    "853148544876de76c0f2ef99cdc3a05ccf5ded7860c7c021238f9e2073d2356c",
    "enc": "04c06b4f6bebc7bb495cb797ab753f911aff80aefb86fd8b6fcc35525f3ab5f03e"
    "0b21bd31a86c6048af3cb2d98e0d3bf01da5cc4c39ff5370d331a4f1f7d5a4e0",
    "info": "4f6465206f6e2061204772656369616e2055726e",
    "aad": "436f756e742d30",
    "ct": "58c61a45059d0c5704560e9d88b564a8b63f1364b8d1fcb3c4c6ddc1d291742465e902cd216f8908da49f8f96f",
    "pt": "Beauty is truth, truth beauty",
}
"""Published test vectors of RFC 9180: base mode, KEM 0x0010, KDF 0x0001, AEAD 0x0002, first message."""


def seal(person: Demographics = PERSON, masking: Masking = Masking.PARTIAL, pointer: bytes = POINTER) -> bytes:
    return SealedViews(KEY.public_key(), masking, FACILITY).seal(person, pointer)


def named(given: str, family: str) -> Demographics:
    return Demographics((PersonName(given, family=family),), None, "", (), "", "")


def base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@pytest.mark.parametrize("masking", Masking)
def test_the_steward_sees_what_the_masking_allows(masking: Masking) -> None:
    """At each masking exactly the fields of its table come out, and nothing of another name."""
    assert masked(PERSON, masking) == SHOWN[masking]
    assert open_view(KEY, FACILITY, POINTER, seal(masking=masking)) == SHOWN[masking]


@pytest.mark.parametrize(
    ("name", "initial"),
    [
        ("เกษม", "ก***"),
        ("แก้ว", "ก***"),
        ("โชติ", "ช***"),
        ("ใจดี", "จ***"),
        ("ไพลิน", "พ***"),
        ("อรุณ", "อ***"),
        ("ฤดี", "ฤ***"),
        ("ณอยุธยา", "ณ***"),
        ("somchai", "s***"),
        ("ก", "ก***"),
        ("เ", "***"),
        ("", None),
    ],
)
def test_an_initial_is_the_first_consonant(name: str, initial: str | None) -> None:
    """A vowel written before its consonant is passed over; a name of one letter looks like a longer one."""
    assert masked(named(name, name), Masking.INITIALS).get("given") == initial
    assert masked(named(name, name), Masking.PARTIAL).get("family") == initial


def test_masks_hide_lengths() -> None:
    """People with equal initials and years look the same, however long their names and numbers are."""
    short = normalize(RawDemographics(names=(RawName(given="กา", family="ขำ"),), birth_date="2530"), TODAY)
    long = normalize(
        dataclasses.replace(WHOLE, names=(RawName(given="เกียรติศักดิ์", family="ไขแสงสว่างวัฒนา"),), sex=""), TODAY
    )
    assert masked(short, Masking.INITIALS) == masked(long, Masking.INITIALS)
    assert masked(short, Masking.PARTIAL)["family"] == masked(long, Masking.PARTIAL)["family"]


@pytest.mark.parametrize(("masking", "length"), [("initials", 347), ("partial", 347), ("full", 603)])
def test_every_view_of_a_masking_is_equally_long(masking: str, length: int) -> None:
    """A person of whom nothing is known and one with the longest values give views of one bounded length."""
    empty = Demographics((), None, "", (), "", "")
    lengths = {len(seal(person, Masking(masking))) for person in (empty, PERSON, LONGEST)}
    assert lengths == {length}
    assert length <= MAX_SEALED_VIEW_BYTES


@pytest.mark.parametrize("masking", Masking)
def test_what_is_too_long_is_cut_and_marked(masking: Masking) -> None:
    """Of values that do not fit the beginning is shown, marked as cut; numbers and dates stay whole."""
    whole = masked(LONGEST, masking)
    shown = open_view(KEY, FACILITY, POINTER, seal(LONGEST, masking))
    assert shown.keys() == whole.keys()
    for field, value in shown.items():
        assert value == whole[field] or (len(value) > 10 and whole[field].startswith(value.removesuffix("…")))
    kept = {"birth_date", "sex", "national_id", "phone"} & whole.keys()
    assert {field: shown[field] for field in kept} == {field: whole[field] for field in kept}
    assert any(value.endswith("…") for value in shown.values()) is (masking is not Masking.INITIALS)


@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60), st.sampled_from(Masking))
def test_any_person_can_be_sealed(given: str, family: str, subdistrict: str, masking: Masking) -> None:
    """Whatever a source says, the view opens to the same fields and has the length of its masking."""
    row = dataclasses.replace(WHOLE, names=(RawName(given=given, family=family),), subdistrict=subdistrict)
    person = normalize(row, TODAY)
    sealed = seal(person, masking)
    assert len(sealed) == (603 if masking is Masking.FULL else 347)
    assert open_view(KEY, FACILITY, POINTER, sealed).keys() == masked(person, masking).keys()


def test_what_is_unknown_is_left_out() -> None:
    """Fields that nothing is known of are not shown at all, and a date as far as it is known."""
    assert open_view(KEY, FACILITY, POINTER, seal(normalize(RawDemographics(), TODAY), Masking.FULL)) == {}
    year = normalize(RawDemographics(birth_date="2530"), TODAY)
    assert [masked(year, masking) for masking in Masking] == [{"birth_date": "1987"}] * 3


def test_sealing_is_random_behind_the_header() -> None:
    """One record sealed twice shares only its header, which changes with the key and the masking."""
    first, second = seal(), seal()
    assert first[:HEADER_BYTES] == second[:HEADER_BYTES] == b"\x01\x02" + fingerprint(KEY.public_key())
    assert first[HEADER_BYTES:] != second[HEADER_BYTES:]
    other = SealedViews(ec.generate_private_key(ec.SECP256R1()).public_key(), Masking.PARTIAL, FACILITY)
    headers = [first, seal(masking=Masking.FULL), seal(masking=Masking.INITIALS), other.seal(PERSON, POINTER)]
    assert len({sealed[:HEADER_BYTES] for sealed in headers}) == 4


def test_changed_bytes_are_refused() -> None:
    """A change of any byte is noticed: of version, masking, fingerprint, ephemeral key, ciphertext and tag."""
    sealed = seal()
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(InputRejected) as refusal:
            open_view(KEY, FACILITY, POINTER, bytes(changed))
        assert shows_nothing(refusal.value)


def test_another_length_is_refused() -> None:
    """A view that was cut short at any byte, lengthened, or is none at all is refused."""
    sealed = seal()
    for view in (*(sealed[:length] for length in range(len(sealed))), sealed + b"\x00", sealed + bytes(1024)):
        with pytest.raises(InputRejected, match="sealed_view") as refusal:
            open_view(KEY, FACILITY, POINTER, view)
        assert shows_nothing(refusal.value)


@pytest.mark.parametrize(
    ("facility", "pointer"),
    [
        ("HL002", POINTER),
        (FACILITY, b"pointer of another"),
        (FACILITY, b""),
        (FACILITY + "P", POINTER[1:]),
        ("not a code", POINTER),
        ("", FACILITY.encode() + POINTER),
    ],
)
def test_a_view_cannot_be_moved(facility: str, pointer: bytes) -> None:
    """Beside another facility or pointer the view does not open, also where the two read the same when joined."""
    own = SealedViews(KEY.public_key(), Masking.FULL, FACILITY)
    for sealed in (own.seal(PERSON, POINTER), own.seal(PERSON, b"P" + POINTER[1:])):
        with pytest.raises(InputRejected) as refusal:
            open_view(KEY, facility, pointer, sealed)
        assert shows_nothing(refusal.value)


def test_another_key_does_not_open() -> None:
    """A steward with another key is told so, also when the view claims to be for that key."""
    other = ec.generate_private_key(ec.SECP256R1())
    sealed = seal()
    with pytest.raises(InputRejected, match="another key"):
        open_view(other, FACILITY, POINTER, sealed)
    renamed = sealed[:2] + fingerprint(other.public_key()) + sealed[HEADER_BYTES:]
    with pytest.raises(InputRejected, match="changed"):
        open_view(other, FACILITY, POINTER, renamed)


@pytest.mark.parametrize("text", ["", "null", "[]", '{"sex": 1}', '{"a": {}}', "[" * 900, b"\xff\xfe\xfd", "สมชาย"])
def test_what_holds_no_fields_is_refused(text: str | bytes) -> None:
    """Anybody can seal to a public key; what is not fields of text is refused, and not shown."""
    header = seal()[:HEADER_BYTES]
    info = b"mpi/v1/sealed-view" + header + b"\x05" + FACILITY.encode() + POINTER
    suite = Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    content = text if isinstance(text, bytes) else text.encode()
    sealed = header + suite.encrypt(content, KEY.public_key(), info)
    with pytest.raises(InputRejected, match="does not hold fields") as refusal:
        open_view(KEY, FACILITY, POINTER, sealed)
    assert shows_nothing(refusal.value)
    fields = header + suite.encrypt(b'{"sex":"1"}', KEY.public_key(), info)
    assert open_view(KEY, FACILITY, POINTER, fields) == {"sex": "1"}


def test_nesting_that_exhausts_the_stack_is_refused() -> None:
    """Content that nests too deeply to be read is refused like any other that holds no fields."""
    header = seal()[:HEADER_BYTES]
    info = b"mpi/v1/sealed-view" + header + b"\x05" + FACILITY.encode() + POINTER
    content = b'{"a":' * 100_000
    sealed = header + Suite(KEM.P256, KDF.HKDF_SHA256, AEAD.AES_256_GCM).encrypt(content, KEY.public_key(), info)
    with pytest.raises(InputRejected, match="does not hold fields"):
        open_view(KEY, FACILITY, POINTER, sealed)


def test_a_facility_without_a_code_seals_nothing() -> None:
    """The facility that views are bound to is a facility code."""
    with pytest.raises(InputRejected, match="facility"):
        SealedViews(KEY.public_key(), Masking.FULL, "hospital")


def shows_nothing(error: InputRejected) -> bool:
    """Whether neither the error nor what caused it holds a value."""
    texts = (str(error), repr(error), error.message, str(error.__cause__))
    return error.__cause__ is None and not any(value in text for value in VALUES for text in texts)


def test_representations_hide_values(tmp_path: Path) -> None:
    """No representation of what seals or opens shows a part of the private key or a person."""
    new_steward_key(tmp_path / "steward.json", tmp_path / "steward.pub.json")
    written = json.loads((tmp_path / "steward.json").read_text())
    key = load_private_key(tmp_path / "steward.json")
    views = SealedViews(key.public_key(), Masking.FULL, FACILITY)
    texts = [repr(each) for each in (key, key.public_key(), views, vars(views), views.seal(PERSON, POINTER))]
    number = str(key.private_numbers().private_value)
    assert not [text for text in texts for value in (*VALUES[:3], written["d"], number) if value in text]


def test_a_steward_key_is_made_once_and_read(tmp_path: Path) -> None:
    """The private file is its owner's alone, the public one holds no secret, and neither is overwritten."""
    private, public = tmp_path / "steward.json", tmp_path / "steward.pub.json"
    made = new_steward_key(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    held = json.loads(public.read_text())
    assert sorted(held) == ["crv", "kid", "kty", "x", "y"]
    assert held["kid"] == fingerprint(made).hex()
    assert json.loads(private.read_text())["d"] not in public.read_text()
    assert load_public_key(public) == load_private_key(private).public_key() == made
    sealed = SealedViews(load_public_key(public), Masking.FULL, FACILITY).seal(PERSON, POINTER)
    assert open_view(load_private_key(private), FACILITY, POINTER, sealed) == SHOWN[Masking.FULL]
    before = private.read_bytes(), public.read_bytes()
    for paths in ((private, tmp_path / "new"), (tmp_path / "new", public)):
        with pytest.raises(KeyRingUnusable, match="never overwritten"):
            new_steward_key(*paths)
    assert (private.read_bytes(), public.read_bytes()) == before
    assert not (tmp_path / "new").exists()


def test_no_private_key_stays_without_its_public_one(tmp_path: Path) -> None:
    """When the public file cannot be written, the private one does not stay behind."""
    with pytest.raises(KeyRingUnusable, match="No such file"):
        new_steward_key(tmp_path / "steward.json", tmp_path / "missing" / "steward.pub.json")
    assert list(tmp_path.iterdir()) == []


def test_a_private_key_open_to_others_is_refused(tmp_path: Path) -> None:
    """A private file that others may read is not used."""
    private = tmp_path / "steward.json"
    new_steward_key(private, tmp_path / "steward.pub.json")
    private.chmod(0o640)
    with pytest.raises(KeyRingUnusable, match="chmod 600"):
        load_private_key(private)


def test_files_cannot_be_taken_for_each_other(tmp_path: Path) -> None:
    """A private file is refused where the public one belongs, and the other way round."""
    private, public = tmp_path / "steward.json", tmp_path / "steward.pub.json"
    new_steward_key(private, public)
    with pytest.raises(KeyRingUnusable, match="holds the private key"):
        load_public_key(private)
    public.chmod(0o600)
    with pytest.raises(KeyRingUnusable, match="not a steward's key"):
        load_private_key(public)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "OKP"},
        {"crv": "P-384"},
        {"x": None},
        {"x": 7},
        {"x": "é"},
        {"y": ""},
        {"y": "AAAA"},
        {"y": PINNED_KEY["x"]},
        {"x": "AA" + PINNED_KEY["x"]},
        {"x": PINNED_KEY["x"] + "\n"},
        {"kid": "0000000000000000"},
        {"kid": None},
    ],
)
def test_damaged_key_files_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    """What is no point of the curve, or not the key that the fingerprint names, is refused in both files."""
    private, public = tmp_path / "steward.json", tmp_path / "steward.pub.json"
    write_private(private, PINNED_KEY | change)
    public.write_text(json.dumps({field: value for field, value in (PINNED_KEY | change).items() if field != "d"}))
    for path, load in ((private, load_private_key), (public, load_public_key)):
        with pytest.raises(KeyRingUnusable, match=path.name) as refusal:
            load(path)
        assert PINNED_KEY["d"] not in str(refusal.value)


@pytest.mark.parametrize("secret", [None, "", "AAAA", base64url(bytes(32)), base64url(b"\xff" * 32), PINNED_KEY["x"]])
def test_damaged_secrets_are_refused(tmp_path: Path, secret: str | None) -> None:
    """A private number that is none of the curve's, or belongs to another public key, is refused."""
    write_private(tmp_path / "steward.json", PINNED_KEY | {"d": secret})
    with pytest.raises(KeyRingUnusable, match=r"steward\.json"):
        load_private_key(tmp_path / "steward.json")


@pytest.mark.parametrize("content", [None, "", "[]", "not json", "[" * 10_000])
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: str | None) -> None:
    """Missing files and files with something else are refused by name."""
    path = tmp_path / "steward.pub.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(KeyRingUnusable, match=r"steward\.pub\.json: (no such|is not a) key file"):
        load_public_key(path)


def test_a_folder_is_no_key_file(tmp_path: Path) -> None:
    """A path that cannot be read is refused with the system's reason."""
    with pytest.raises(KeyRingUnusable, match="directory"):
        load_public_key(tmp_path)


def write_private(path: Path, content: Mapping[str, object]) -> None:
    path.write_text(json.dumps(content))
    path.chmod(0o600)


def test_a_view_of_the_first_version_opens(tmp_path: Path) -> None:
    """A view that was sealed once and kept opens still: the format has not changed."""
    write_private(tmp_path / "steward.json", PINNED_KEY)
    key = load_private_key(tmp_path / "steward.json")
    assert open_view(key, FACILITY, POINTER, PINNED_VIEW) == SHOWN[Masking.PARTIAL]


@pytest.fixture(scope="module")
def webcrypto() -> str:
    """Path of Node, whose WebCrypto stands in for the browser's."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    return node


def ask(node: str, request: Mapping[str, object]) -> dict[str, list[object]]:
    done = subprocess.run([node, str(PROGRAM)], input=json.dumps(request), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[object]] = json.loads(done.stdout)
    return answer


def test_webcrypto_agrees_with_the_rfc(webcrypto: str) -> None:
    """The reader in JavaScript opens the vector that RFC 9180's authors published, and not with other data."""
    vector = RFC_9180
    point = bytes.fromhex(vector["pkRm"])
    key = {
        "kty": "EC",
        "crv": "P-256",
        "x": base64url(point[1:33]),
        "y": base64url(point[33:]),
        "d": base64url(bytes.fromhex(vector["skRm"])),
    }
    message = {"enc": vector["enc"], "ciphertext": vector["ct"], "info": vector["info"], "aad": vector["aad"]}
    answer = ask(webcrypto, {"key": key, "messages": [message, message | {"info": ""}, message | {"aad": ""}]})
    assert answer["messages"] == [vector["pt"], None, None]


def test_webcrypto_opens_what_is_sealed_here(webcrypto: str, tmp_path: Path) -> None:
    """With the private file as it stands a browser opens views of each masking, and none beside another record."""
    public = new_steward_key(tmp_path / "steward.json", tmp_path / "steward.pub.json")
    views = [
        {
            "facility": FACILITY,
            "pointer": POINTER.hex(),
            "sealed": SealedViews(public, masking, FACILITY).seal(PERSON, POINTER).hex(),
        }
        for masking in Masking
    ]
    moved = [views[0] | {"facility": "HL002"}, views[0] | {"pointer": ""}]
    key = json.loads((tmp_path / "steward.json").read_text())
    answer = ask(webcrypto, {"key": key, "views": views + moved})
    assert answer["views"] == [*(SHOWN[masking] for masking in Masking), None, None]
    pinned = {"facility": FACILITY, "pointer": POINTER.hex(), "sealed": PINNED_VIEW.hex()}
    assert ask(webcrypto, {"key": PINNED_KEY, "views": [pinned]})["views"] == [SHOWN[Masking.PARTIAL]]
