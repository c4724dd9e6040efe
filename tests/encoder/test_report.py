"""The quality report: right counts, no values, the same from parts as from the whole."""

from __future__ import annotations

import json
import pickle
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest

from mpi.encoder.dates import DateFlag
from mpi.encoder.demographics import Demographics, RawDemographics, RawName, normalize
from mpi.encoder.findings import FINDINGS, Level, Section, finding
from mpi.encoder.report import (
    ALARM_POINTS,
    ALARM_RECORDS,
    EXAMPLES,
    SMALLEST_CELL,
    Header,
    Report,
    ReportCounts,
    finish,
)
from mpi.encoder.report_page import render_html
from mpi.encoder.sources import RowReason
from mpi.encoder.thai_names import NameFlag
from mpi.errors import InputRejected
from tests.building import TODAY

KEY = bytes(range(16))
CHANNELS = ("A", "B", "C")
HEADER = Header("10661", "th-v1", CHANNELS, ("1-abc",), "person43", "/data/in/person.txt", "2026-06-30", "0.1", "n/1")
IDS = ("1103702488992", "3100600445635", "5100900050063")
GIVEN, FAMILY, LOCAL_ID, PHONE = "สมหญิงลับ", "ใจดีลับมาก", "HN-4711-998", "0812345678"

Row = tuple[int, str, Demographics, Sequence[str]]


def person(
    given: str = "สมชาย",
    family: str = "ใจดี",
    *,
    prefix: str = "",
    birth: str = "25300117",
    sex: str = "1",
    **fields: Any,
) -> Demographics:
    names = (RawName(prefix=prefix, given=given, family=family),)
    return normalize(RawDemographics(names=names, birth_date=birth, sex=sex, **fields), TODAY)


def counted(rows: Iterable[Row], aside: Iterable[tuple[int, str]] = (), key: bytes = KEY) -> ReportCounts:
    counts = ReportCounts(key)
    for row, local_id, who, channels in rows:
        counts.add(row, local_id, who, channels)
    for row, reason in aside:
        counts.set_aside(row, reason)
    return counts


def reported(*people: Demographics) -> Report:
    """Report of people with a local id each, from row 2 on."""
    return finish(counted((row, f"p{row}", who, CHANNELS) for row, who in enumerate(people, start=2)), HEADER)


def found(report: Report) -> dict[str, tuple[int, ...]]:
    """Rows of what asks something of the facility."""
    return {f.key: f.rows for f in report.figures if f.count and f.level is not Level.NOTE}


def population(size: int, seed: int) -> list[Row]:
    draw = random.Random(seed)
    rows: list[Row] = []
    for row in range(2, 2 + size):
        birth = f"{draw.randint(2470, 2560)}{draw.randint(1, 12):02}{draw.randint(1, 28):02}"
        who = person(
            draw.choice(("สมชาย", "สมหญิง", "", "Somchai", "ไม่ทราบ")), draw.choice(("ใจดี", "มีสุข", "")),
            birth=draw.choice((birth, "25300117", "25300101", "", "x")), sex=draw.choice(("1", "2", "")),
            national_id=draw.choice((*IDS, "", "1111111111119")), phone=draw.choice((PHONE, "")),
        )  # fmt: skip
        rows.append((row, f"p{draw.randint(1, size)}", who, draw.sample(CHANNELS, draw.randint(0, 3))))
    return rows


def test_identifiers_are_counted() -> None:
    """Numbers are counted by kind, and those left out by reason, with their rows."""
    report = reported(
        person(national_id=IDS[0], phone=PHONE),
        person("ก้อง", national_id="0012345678909"),
        person("ขวัญ", passport="MB1234567", passport_country="MMR", national_id="1111111111119"),
        person("คม", national_id="1103702488993"),
        person("งาม", national_id="11037"),
        person("จิต", national_id="ไม่มีเลข"),
        person("ชัย"),
    )
    assert [report.figure(f"with:{kind}").count for kind in ("national_id", "alien_id", "passport", "phone")] == [
        1, 1, 1, 1,
    ]  # fmt: skip
    assert found(report) == {
        "identifier:none": (5, 6, 7, 8),
        "national_id:missing": (8,),
        "national_id:dummy": (4,),
        "national_id:checksum": (5,),
        "national_id:length": (6,),
        "national_id:characters": (7,),
    }
    assert report.figure("national_id:dummy").share == 1 / 7


def test_names_are_counted() -> None:
    """Names that are missing, placeholders, cut, of one script or one word are told apart."""
    fields = {"national_id": IDS[0]}
    report = finish(
        counted(
            (row, "p", who, CHANNELS)
            for row, who in enumerate((
                person("", "", **fields), person("ทดสอบ", "ระบบ", **fields), person("ไม่ทราบ", "ใจดี", **fields),
                person("บุตร น.ส.สมหญิง", "ใจดี", **fields), person("l,=kp", ".0fu", **fields),
                person("ก" * 50, "ใจดี", **fields), person("Somchai", "Jaidee", **fields),
                person("สมชาย", "", **fields), person("สมชาย สมชาย", "สมชาย", **fields),
                person("สม1ชาย", "ใจดี", **fields),
            ))
        ),
        HEADER,
    )  # fmt: skip
    names = {f.key: f.rows for f in report.figures if f.key.startswith("name:") and f.count}
    assert names["name:missing"] == (0, 1)
    assert names["name:null_name"] == (0, 1)
    assert names["name:given_missing"] == (2,)
    assert names["name:newborn"] == (3,)
    assert names["name:wrong_keyboard"] == (4,)
    assert names["name:fifty"] == (5,)
    assert names["name:latin_only"] == (6,)
    assert 7 in names["name:single_name"]
    assert 8 in names["name:name_in_wrong_field"]
    assert names["name:digits_dropped"] == (9,)


def test_birth_dates_and_sex_are_counted() -> None:
    """Dates that are missing, rejected, defaults or put right, and sex against the title, each have their rows."""
    report = reported(
        person(birth="", national_id=IDS[0]),
        person("ก้อง", birth="x", national_id=IDS[1]),
        person("ขวัญ", birth="25300231", national_id=IDS[2]),
        person("คม", birth="26500101"),
        person("งาม", birth="18000515"),
        person("จิต", birth="20000101"),
        person("ชัย", birth="5/17/2530"),
        person("ดวง", birth="2530", prefix="นาย", sex="2"),
        person("ตรี", sex=""),
        person("ทอง", sex="?ก"),
        person("เดช", birth="24700215"),
    )
    assert {key: rows for key, rows in found(report).items() if key.startswith(("birth_date:", "sex:"))} == {
        "birth_date:missing": (2,),
        "birth_date:not_a_date": (3,),
        "birth_date:impossible": (4,),
        "birth_date:future": (5,),
        "birth_date:too_old": (6,),
        "birth_date:maybe_default": (7,),
        "birth_date:day_month_swapped": (8,),
        "birth_date:unknown_day_month": (9,),
        "sex:contradicts_title": (9,),
        "sex:missing": (10, 11),
        "sex:unrecognised": (11,),
    }
    assert report.figure("birth_date:old_new_year").rows == (12,)


def test_days_that_occur_too_often_are_marked() -> None:
    """The 15th stands out when it has far more dates than a twelfth of a year would give; 1 January counts apart."""
    births = [f"1987{month:02}{day:02}" for month in range(1, 13) for day in range(1, 29)] * 5
    even = reported(*(person(birth=birth) for birth in births))
    assert even.figure("birth_date:first_of_month").base == 28 * 12 * 5 - 5
    assert (even.figure("birth_date:first_of_month").count, even.figure("birth_date:fifteenth").count) == (55, 60)
    assert even.figure("birth_date:maybe_default").count == 5
    assert even.figure("birth_date:fifteenth").level is Level.NOTE
    spiked = reported(*(person(birth=birth) for birth in births + ["19870615"] * 60))
    assert spiked.figure("birth_date:fifteenth").level is Level.LOOK
    assert spiked.figure("birth_date:first_of_month").level is Level.NOTE


def test_channels_are_counted() -> None:
    """A channel counts once a record, however many readings it has; channels that nobody has are shown as well."""
    who = person()
    report = finish(counted([(2, "a", who, ()), (3, "b", who, ("A", "A")), (4, "c", who, ("A", "B", "A"))]), HEADER)
    assert [report.figure(f"channel:{name}").count for name in CHANNELS] == [2, 1, 0]
    assert report.figure("encoding:none").rows == (2,)
    assert report.figure("encoding:few").rows == (3,)


def test_rows_set_aside_are_counted() -> None:
    """Rows set aside count among the extract's rows, by reason, and among no share of the records."""
    counts = counted([(2, "a", person(), CHANNELS)], [(9, RowReason.QUOTING), (5, "QUOTING"), (7, "COLUMN_COUNT")])
    report = finish(counts, HEADER)
    assert (report.rows, report.records) == (4, 1)
    assert (report.figure("aside:QUOTING").rows, report.figure("aside:QUOTING").share) == ((5, 9), 0.5)
    assert report.figure("channel:A").share == 1
    assert counts.aside == {"QUOTING": 2, "COLUMN_COUNT": 1}


def test_remarks_are_counted_as_the_normaliser_made_them() -> None:
    """`flags` holds the normaliser's remarks alone, on rows that were encoded."""
    counts = counted([(2, "a", person(birth="x"), ()), (3, "b", person(birth="x", sex=""), ())], [(4, "QUOTING")])
    assert counts.flags == {"birth_date:not_a_date": 2}


def test_duplicates_of_each_kind_are_found() -> None:
    """One local id on several rows, one number under several local ids, and one person under several of them."""
    rows = [
        (2, "a", person("ก้อง", national_id=IDS[0])),
        (3, "a", person("ขวัญ")),
        (4, "b", person("คม", national_id=IDS[0])),
        (5, "c", person("งาม")),
        (6, "d", person("งาม")),
        (7, "e", person("งาม", sex="2")),
        (8, "f", person("งาม", birth="25300118")),
        (9, "g", person("จิต", national_id=IDS[1])),
        (10, "g", person("จิต", national_id=IDS[1])),
        (11, "h", person("ชัย", "")),
        (12, "i", person("ชัย", "")),
    ]
    report = finish(counted((row, local_id, who, CHANNELS) for row, local_id, who in rows), HEADER)
    kinds = [report.figure(f"duplicate:{kind}") for kind in ("local_id", "national_id", "person")]
    assert [(f.count, f.groups, f.examples) for f in kinds] == [
        (4, 2, ((2, 3), (9, 10))),
        (2, 1, ((2, 4),)),
        (2, 1, ((5, 6),)),
    ]
    assert {figure.base for figure in kinds} == {len(rows)}


def test_duplicates_agree_with_a_plain_count() -> None:
    """Groups found by sorted hashes are those that a dictionary of the values finds."""
    rows = population(400, 3)
    report = finish(counted(rows), HEADER)
    by_local_id: dict[str, list[int]] = {}
    by_number: dict[str, list[tuple[int, str]]] = {}
    for row, local_id, who, _ in rows:
        by_local_id.setdefault(local_id, []).append(row)
        for identifier in who.identifiers:
            if identifier.kind == "national_id":
                by_number.setdefault(identifier.value, []).append((row, local_id))
    groups = [group for group in by_local_id.values() if len(group) > 1]
    figure = report.figure("duplicate:local_id")
    assert (figure.count, figure.groups) == (sum(map(len, groups)), len(groups))
    assert figure.examples == tuple(tuple(group[:5]) for group in sorted(groups)[:EXAMPLES])
    shared = [group for group in by_number.values() if len({local_id for _, local_id in group}) > 1]
    figure = report.figure("duplicate:national_id")
    assert (figure.count, figure.groups) == (sum(map(len, shared)), len(shared))
    assert figure.groups == len(IDS)


def test_row_numbers_are_the_lowest_and_few() -> None:
    """However many rows a finding has, the lowest of their numbers stand for them."""
    who = person("", national_id=IDS[0])
    rows = [(row, str(row), who, CHANNELS) for row in range(100, 0, -1)]
    figure = finish(counted(rows), HEADER).figure("name:given_missing")
    assert (figure.count, figure.rows) == (100, tuple(range(1, EXAMPLES + 1)))


@pytest.mark.parametrize("seed", range(6))
def test_parts_give_what_the_whole_gives(seed: int) -> None:
    """Counted in any parts, in any order, with or without bytes between, the report is that of a single run."""
    draw = random.Random(seed)
    rows, aside = population(300, seed), [(1000 + n, draw.choice(list(RowReason)).value) for n in range(50)]
    whole = counted(rows, aside)
    parts = [counted([], key=KEY) for _ in range(draw.randint(1, 9))]
    for row, local_id, who, channels in rows:
        draw.choice(parts).add(row, local_id, who, channels)
    for row, reason in aside:
        draw.choice(parts).set_aside(row, reason)
    draw.shuffle(parts)
    merged = ReportCounts(KEY)
    for part in parts:
        stored = draw.choice((
            lambda counts: counts,
            lambda counts: ReportCounts.from_bytes(counts.to_bytes()),
            lambda counts: pickle.loads(pickle.dumps(counts)),
        ))  # fmt: skip
        merged.merge(stored(part))
    assert finish(merged, HEADER) == finish(whole, HEADER)
    assert (merged.aside, merged.flags) == (whole.aside, whole.flags)


def test_counts_go_on_after_their_bytes() -> None:
    """Counts that are read back with their key take further rows; without it they refuse them."""
    rows = population(60, 1)
    kept = counted(rows[:30]).to_bytes()
    resumed = ReportCounts.from_bytes(kept, KEY)
    for row, local_id, who, channels in rows[30:]:
        resumed.add(row, local_id, who, channels)
    assert finish(resumed, HEADER) == finish(counted(rows), HEADER)
    with pytest.raises(ValueError, match="without their key"):
        ReportCounts.from_bytes(kept).add(*rows[30])


def test_damaged_counts_are_refused() -> None:
    """Bytes that are no counts, are cut or changed, or belong to another key, are refused with one clear error."""
    whole = counted(population(40, 2)).to_bytes()
    damaged = [b"", b"garbage", whole[:50], whole[:-30], whole[: len(whole) // 2], b"[]" + whole[2:], pickle.dumps({})]
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    for data in (*damaged, bytes(flipped)):
        with pytest.raises(InputRejected, match="not the counts"):
            ReportCounts.from_bytes(data)
    with pytest.raises(InputRejected, match="not the counts"):
        ReportCounts.from_bytes(whole, bytes(16))
    with pytest.raises(InputRejected, match="another run"):
        ReportCounts(bytes(16)).merge(ReportCounts.from_bytes(whole))
    with pytest.raises(ValueError, match="16 bytes"):
        ReportCounts(b"short")


def test_hashes_are_keyed() -> None:
    """The same rows under two keys leave different hashes, so nobody can test a guess without the key."""
    rows = population(30, 4)
    one, other = counted(rows), counted(rows, key=bytes(16))
    assert finish(one, HEADER) == finish(other, HEADER)
    hashes = [bytes(column[at : at + 8]) for column in (one._local_ids, one._people) for at in range(0, 240, 8)]
    assert not [each for each in hashes if any(each) and each in other.to_bytes()]
    assert KEY not in one.to_bytes()
    assert KEY.hex() not in one.to_bytes().decode("latin-1")


def test_no_value_comes_out() -> None:
    """Neither the page nor the JSON, the bytes or a repr holds anything of a person or the run's key."""
    raw = RawDemographics(
        LOCAL_ID,
        (RawName(given=GIVEN, family=FAMILY), RawName(full="Somying Laplap")),
        birth_date="25300117",
        sex="2",
        national_id=IDS[0],
        passport="AA7654321",
        passport_country="THA",
        phone=PHONE,
        house="237/61",
        subdistrict="100507",
        district="ดุสิตลับ",
        province="พระนครลับ",
        postcode="10300",
    )
    who = normalize(raw, TODAY)
    assert len(who.identifiers) == 3
    counts = counted([(row, LOCAL_ID, who, CHANNELS) for row in range(2, 40)])
    report = finish(counts, HEADER, finish(counts, HEADER))
    texts = [report.to_json(), render_html(report), repr(report), repr(counts)]
    texts += [counts.to_bytes().decode("latin-1"), counts.to_bytes().decode("utf-8", "replace")]
    secrets = (
        GIVEN,
        FAMILY,
        LOCAL_ID,
        PHONE,
        IDS[0],
        "Somying",
        "Laplap",
        "7654321",
        "1987-01-17",
        "25300117",
        "237/61",
    )
    secrets += ("100507", "ลับ", "10300", KEY.hex(), repr(KEY)[2:-1])
    for text in texts:
        assert [secret for secret in secrets if secret.lower() in text.lower()] == []
    assert report.figure("duplicate:local_id").count == 38


def test_paths_lose_their_folders() -> None:
    """Of the extract's path the base name alone is kept, with either kind of slash."""
    assert HEADER.extract == "person.txt"
    assert replace(HEADER, extract="C:\\Users\\somchai\\person.txt").extract == "person.txt"


def test_small_cells_are_suppressed() -> None:
    """Days and decades of fewer than five are hidden, and one more where a subtraction would give them back."""
    births = ["19870302"] * 9 + ["19870303"] * 7 + ["19870304"] * 3 + ["19550305"] * 6 + ["19350305"] * 2
    report = reported(*(person(birth=birth) for birth in births))
    assert report.birth_days[1:5] == (9, None, None, 8)
    assert sum(count or 0 for count in report.birth_days) == 17
    assert report.birth_decades == ((1930, None), (1940, 0), (1950, None), (1960, 0), (1970, 0), (1980, 19))
    page = render_html(report)
    assert page.count('aria-label="suppressed"') == 4
    for cells in (report.birth_days, [count for _, count in report.birth_decades]):
        assert all(count is None or count == 0 or count >= SMALLEST_CELL for count in cells)


def test_a_suppressed_day_is_not_told_by_another_figure() -> None:
    """The figures of the 1st and the 15th are left out where their days are hidden."""
    report = reported(*(person(birth=birth) for birth in ["19870315"] * 3 + ["19870302"] * 30))
    assert report.birth_days[14] is None
    with pytest.raises(KeyError):
        report.figure("birth_date:fifteenth")
    assert report.figure("birth_date:first_of_month").count == 0


def compared(missing_before: int, missing: int, size: int = 1000) -> Report:
    def run(count: int, made: str, previous: Report | None) -> Report:
        with_id, without = person(national_id=IDS[0]), person()
        rows = ((row, str(row), without if row < count else with_id, CHANNELS) for row in range(size))
        return finish(counted(rows), replace(HEADER, made=made), previous)

    return run(missing, "today", Report.from_json(run(missing_before, "yesterday", None).to_json()))


def test_sudden_changes_are_alarms() -> None:
    """A share that moves by three points and more is an alarm, and the page shows it before and after."""
    report = compared(21, 148)
    figure = report.figure("national_id:missing")
    assert (figure.before, figure.share, figure.alarm) == (0.021, 0.148, True)
    assert figure.change == pytest.approx(12.7)
    assert {each.key for each in report.alarms} >= {"national_id:missing", "with:national_id"}
    assert report.before == "yesterday"
    page = render_html(report)
    assert "2.1&nbsp;% → 14.8&nbsp;%" in page
    assert "Sudden changes" in page


@pytest.mark.parametrize(
    ("before", "now", "size", "alarm"),
    [(20, 50, 1000, True), (50, 20, 1000, True), (20, 49, 1000, False), (1, 20, 100, False), (0, 20, 100, True)],
)
def test_an_alarm_needs_points_and_records(before: int, now: int, size: int, alarm: bool) -> None:
    """Small changes are none, and neither are large ones of a few records."""
    assert (ALARM_POINTS, ALARM_RECORDS) == (3, 20)
    report = compared(before, now, size)
    assert report.figure("national_id:missing").alarm is alarm
    assert ("Sudden changes" in render_html(report)) is alarm


def test_a_shrunken_extract_is_an_alarm() -> None:
    """Losing more than a tenth of the records is shown at the top."""
    who = person()
    before = finish(counted((row, str(row), who, CHANNELS) for row in range(300)), HEADER)
    for size, alarm in ((300, False), (271, False), (269, True), (331, True)):
        report = finish(counted((row, str(row), who, CHANNELS) for row in range(size)), HEADER, before)
        assert report.records_alarm is alarm
        assert (f"300 → {size}" in render_html(report)) is alarm


def test_another_facility_is_no_comparison() -> None:
    """The report of another facility or table is not compared with, and a first run has no changes."""
    first = reported(person())
    second = finish(counted([]), replace(HEADER, facility="HL001"), first)
    others = [
        finish(counted([]), replace(HEADER, **each), first) for each in ({"source": "fhir"}, {"extract": "b.txt"})
    ]
    for report in (first, second, *others):
        assert report.before == ""
        assert {figure.before for figure in report.figures} == {None}
        assert not report.alarms
        assert not report.records_alarm


def test_json_round_trip() -> None:
    """A report that is written and read is the same, and says in words what each figure means."""
    report = finish(counted(population(200, 5), [(900, "QUOTING")]), HEADER, compared(10, 10))
    assert Report.from_json(report.to_json()) == report
    for entry in json.loads(report.to_json())["figures"]:
        assert entry["title"]
        assert entry["meaning"]
        assert entry["action"]


def test_damaged_reports_are_refused() -> None:
    """What is no report is refused with an error that repeats nothing of it."""
    content = json.loads(reported(person()).to_json())
    figure = content["figures"][0]
    changes: list[dict[str, Any]] = [
        {"format": 2}, {"rows": -1}, {"records": "many"}, {"header": {}}, {"figures": [{**figure, "count": GIVEN}]},
        {"figures": [{**figure, "level": GIVEN}]}, {"figures": 5}, {"figures": [{**figure, "before": 7}]},
        {"birth_days": [True]}, {"birth_decades": [[1]]}, {"before": "\ud800"}, {"records": 10**400},
        {"figures": [{**figure, "count": 10**300, "base": 10**300}]}, {"figures": [{**figure, "count": 2, "base": 1}]},
    ]  # fmt: skip
    for text in ("", GIVEN, "[]", "null", '"x"', "[" * 100_000, *(json.dumps(content | change) for change in changes)):
        with pytest.raises(InputRejected) as refused:
            Report.from_json(text)
        assert refused.value.message == "not a quality report of this program, or a damaged one"


class Page(HTMLParser):
    """A page as a browser's outline of it, strict about tags that do not pair."""

    EMPTY = frozenset(("meta", "br", "hr"))

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_and_can_be_read_aloud() -> None:
    """The page pairs its tags, loads and runs nothing, names its language and gives its tables captions and headers."""
    report = finish(counted(population(300, 6), [(900, "QUOTING")]), HEADER, compared(10, 10))
    page = Page(render_html(report))
    names = [name for name, _ in page.tags]
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(names)
    attributes = [(name, value or "") for _, of in page.tags for name, value in of.items()]
    assert not [name for name, _ in attributes if name in ("src", "srcset", "action") or name.startswith("on")]
    assert all(value.startswith("#") for name, value in attributes if name == "href")
    assert "url(" not in render_html(report)
    assert page.tags[0] == ("html", {"lang": "en"})
    assert names.count("caption") == names.count("table") > 3
    assert {of.get("scope") for name, of in page.tags if name == "th"} == {"col", "row"}
    ids = [of["id"] for _, of in page.tags if "id" in of]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in attributes if name == "href"} <= set(ids)
    assert names.count("h1") == 1
    assert "prefers-color-scheme: dark" in page.text


def test_text_from_outside_is_escaped() -> None:
    """Markup in a facility code, file name, epoch or key is shown as text."""
    evil = '<script>alert("1")</script>&\'x'
    header = Header(evil, evil, (evil,), (evil,), evil, "<script>x.txt", evil, evil, evil)
    who = replace(person(), flags=frozenset((f"name:{evil}",)))
    page = render_html(finish(counted([(2, "a", who, (evil,))]), header))
    assert "<script" not in page
    assert evil in Page(page).text
    assert f"channel:{evil}" in [of.get("id") for _, of in Page(page).tags]


def test_every_remark_has_words() -> None:
    """Each flag of the normaliser and each reason of a row set aside has a finding of its own."""
    keys = {f"name:{flag.value.lower()}" for flag in NameFlag} | {f"birth_date:{flag.value}" for flag in DateFlag}
    keys |= {f"aside:{reason.value}" for reason in RowReason}
    assert keys <= FINDINGS.keys()
    assert {finding(key).section for key in keys} == {Section.NAMES, Section.BIRTH_DATES, Section.ROWS}
    rejected = ["x", "11", "1111111111119", "1103702488993"]
    people = [person(national_id=v, passport=v, phone=v) for v in rejected]
    people += [
        person(passport="12345678"),
        person(passport="AA1234567"),
        person(passport="AA123456", phone="0000000000"),
    ]
    flags = {flag for who in people for flag in who.flags}
    assert len(flags) > 8
    assert flags <= FINDINGS.keys()


def test_an_unknown_remark_is_shown_under_its_own_name() -> None:
    """A remark that has no words yet is counted and shown in the section of its field."""
    report = reported(replace(person(), flags=frozenset(("birth_date:moonlit",))))
    assert report.figure("birth_date:moonlit").rows == (2,)
    assert finding("birth_date:moonlit").section is Section.BIRTH_DATES
    assert "birth_date:moonlit" in Page(render_html(report)).text


def test_an_empty_extract_has_a_report() -> None:
    """No rows give zeros, not errors."""
    report = finish(ReportCounts(KEY), HEADER)
    assert (report.rows, report.records) == (0, 0)
    assert {figure.count for figure in report.figures} == {0}
    assert "Nothing has to be put right" in Page(render_html(report)).text
    assert Report.from_json(report.to_json()) == report
