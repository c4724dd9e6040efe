"""Findings of a quality report: what each figure means for linking, and what a facility can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Section(StrEnum):
    """Part of the report that a figure stands in; the value is its heading."""

    ROWS = "Rows set aside"
    IDENTIFIERS = "Numbers of people"
    NAMES = "Names"
    BIRTH_DATES = "Birth dates"
    SEX = "Sex"
    DUPLICATES = "Duplicates inside the extract"
    ENCODINGS = "Encodings"


class Level(StrEnum):
    """How much a finding asks of the facility."""

    FIX = "fix"
    """Records are lost or weakened: put it right at the source."""
    LOOK = "look"
    """Possibly a mistake: look at some of the rows."""
    NOTE = "note"
    """Nothing to do; a sudden change would be remarkable."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        key: its name in the report: a remark of the normaliser (`field:word`), or one that the report adds.
        section: where it stands.
        level: how much it asks.
        title: what is counted, with the Thai term where readers expect it.
        meaning: what it means for linking.
        action: what to do.
    """

    key: str
    section: Section
    level: Level
    title: str
    meaning: str
    action: str


_EXPORT = "Export the extract again with the standard's own export, and do not edit it by hand or in a spreadsheet."
_NOT_USED = "The number is left out, so these records can be linked by name and birth date only."
_PHONE_LOST = "The number is left out. A phone only bears out a link, so little is lost."
_CARD = "Read the number from the card again at the next visit; a card reader prevents mistyping."
_DATE_LOST = "The date is left out. Without a birth date a record is hardly found except by a number."
_MERGE = "Compare the rows; where they are one person, merge the numbers in the hospital system."

_TABLE: dict[Section, tuple[tuple[str, Level, str, str, str], ...]] = {
    Section.ROWS: (
        (
            "aside:LOCAL_ID_MISSING",
            Level.FIX,
            "Rows without a local id (PID, HN)",
            "Nothing could point back at these patients, so they are not in the index.",
            "Give every patient a number in the hospital system, then export again.",
        ),
        (
            "aside:LOCAL_ID_TOO_LONG",
            Level.FIX,
            "Rows with a local id that is too long",
            "A pointer back to these patients would not hold it, so they are not in the index.",
            "Look whether several columns ran into the field; see that the column chosen is the PID or HN.",
        ),
        (
            "aside:LOCAL_ID_CONTROL",
            Level.FIX,
            "Rows with a control character in the local id, such as a line end",
            "No lookup could print it, so these patients are not in the index.",
            "Remove what is invisible from the number in the hospital system, then export again.",
        ),
        (
            "aside:REPLACED",
            Level.NOTE,
            "Patients merged into another one",
            "They are left out in favour of the patient who replaces them.",
            "See that the patient who remains is in the extract.",
        ),
        (
            "aside:OTHER_FACILITY",
            Level.FIX,
            "Persons of another facility, by the code in their rows",
            "Their local ids are that facility's, so they are not in the index under this one.",
            "Export this facility alone; if it has several codes, list them in the file of `--facility-codes`.",
        ),
        (
            "aside:COLUMN_COUNT",
            Level.FIX,
            "Rows with more or fewer columns than the first",
            "The columns cannot be told apart, so these patients are not in the index.",
            "Look for the separator or a line break inside a field (often an address or a name); " + _EXPORT,
        ),
        (
            "aside:QUOTING",
            Level.FIX,
            "Rows whose quotation marks do not pair",
            "The columns cannot be told apart, so these patients are not in the index.",
            _EXPORT,
        ),
        (
            "aside:NOT_DECODABLE",
            Level.FIX,
            "Rows with bytes that are no text",
            "The text is damaged, so these patients are not in the index.",
            "Export as UTF-8 or Windows-874 (TIS-620) throughout; a field cut inside a letter does this as well.",
        ),
        (
            "aside:NOT_JSON",
            Level.FIX,
            "Lines that are no JSON",
            "They cannot be read, so these patients are not in the index.",
            _EXPORT,
        ),
        (
            "aside:NOT_A_PATIENT",
            Level.LOOK,
            "Resources other than Patient",
            "They are left out; nobody is lost unless patients were exported under another type.",
            "Export Patient resources alone.",
        ),
        (
            "aside:NOTHING_TO_MATCH",
            Level.FIX,
            "Rows with neither a usable name nor a usable number",
            "There is nothing to link them by, so these patients are not in the index.",
            "Complete the registration of these patients, or delete rows that were only tests.",
        ),
    ),
    Section.IDENTIFIERS: (
        (
            "with:national_id",
            Level.NOTE,
            "With a national id (เลขประจำตัวประชาชน)",
            "The strongest evidence there is: a valid number of a citizen, held for life.",
            "Nothing, as long as the share stays.",
        ),
        (
            "with:alien_id",
            Level.NOTE,
            "With a number of a non-citizen (เลขประจำตัวคนต่างด้าว, G code)",
            "Good evidence, but a person may hold several such numbers over the years.",
            "Nothing, as long as the share stays.",
        ),
        (
            "with:passport",
            Level.NOTE,
            "With a passport (หนังสือเดินทาง)",
            "Good evidence until the passport is renewed.",
            "Nothing, as long as the share stays.",
        ),
        (
            "with:phone",
            Level.NOTE,
            "With a telephone number (เบอร์โทรศัพท์)",
            "Bears out links; families share it, so it never links by itself.",
            "Nothing, as long as the share stays.",
        ),
        (
            "identifier:none",
            Level.LOOK,
            "With no usable number at all, the phone aside",
            "These records can be linked by name and birth date only, and rely on both being right.",
            "Ask for the national id, the number of a non-citizen or the passport at the next visit.",
        ),
        (
            "national_id:missing",
            Level.LOOK,
            "National id left empty (เลขประจำตัวประชาชน)",
            "These records rely on the passport, or on name and birth date.",
            "Foreigners without a number are in order here; citizens are not. " + _CARD,
        ),
        (
            "national_id:dummy",
            Level.FIX,
            "National id filled with a dummy, such as one digit repeated",
            _NOT_USED,
            "Leave the field empty where there is no number, and set the system's form so that it may be.",
        ),
        (
            "national_id:checksum",
            Level.FIX,
            "National id with a wrong check digit",
            "Mistyped, or made up. " + _NOT_USED,
            _CARD,
        ),
        (
            "national_id:length",
            Level.FIX,
            "National id without 13 digits",
            "Cut off, or a leading zero lost in a spreadsheet. " + _NOT_USED,
            "Keep the column as text in every step of the export. " + _CARD,
        ),
        (
            "national_id:characters",
            Level.FIX,
            "National id with other characters than digits",
            _NOT_USED,
            "Look whether another number (passport, HN) or a remark was entered in this field.",
        ),
        (
            "passport:dummy",
            Level.FIX,
            "Passport field filled with a placeholder",
            _NOT_USED,
            "Leave the field empty where there is no passport.",
        ),
        (
            "passport:length",
            Level.FIX,
            "Passport number of an impossible length",
            _NOT_USED,
            "Copy the number from the passport at the next visit.",
        ),
        (
            "passport:characters",
            Level.FIX,
            "Passport number with characters that no passport has",
            _NOT_USED,
            "Enter the number alone, without remarks.",
        ),
        (
            "passport:country",
            Level.FIX,
            "Passport without the country that issued it",
            "Two countries may issue the same number, so it counts only together with the country. " + _NOT_USED,
            "Fill in the nationality (สัญชาติ) of these patients.",
        ),
        (
            "passport:country_assumed",
            Level.NOTE,
            "Passport taken for Thai by its form",
            "No country was given; the form is that of Thai passports.",
            "Fill in the nationality (สัญชาติ) where it is missing.",
        ),
        (
            "passport:maybe_truncated",
            Level.LOOK,
            "Passport of exactly eight characters",
            "Older layouts of the 43 files cut the field there: a cut number never agrees with the whole one.",
            "Where the passport has more characters, export with the present layout.",
        ),
        (
            "phone:dummy",
            Level.LOOK,
            "Telephone number filled with a dummy",
            _PHONE_LOST,
            "Leave the field empty where there is no phone.",
        ),
        (
            "phone:length",
            Level.LOOK,
            "Telephone number that is no Thai one by its length",
            _PHONE_LOST,
            "Mobile numbers have 10 digits, landlines 9, with the zero in front.",
        ),
        (
            "phone:characters",
            Level.LOOK,
            "Telephone field without a number",
            _PHONE_LOST,
            "Keep remarks out of the field.",
        ),
    ),
    Section.NAMES: (
        (
            "name:missing",
            Level.FIX,
            "Without any usable name (ไม่มีชื่อ)",
            "These records can be linked by a number only.",
            "Complete the name at the next visit.",
        ),
        (
            "name:null_name",
            Level.FIX,
            "With a name that is empty or a placeholder (ไม่ทราบชื่อ, ทดสอบ, unknown)",
            "A placeholder is left out: it would make strangers alike.",
            "Complete the name; delete rows that were only tests.",
        ),
        (
            "name:given_missing",
            Level.FIX,
            "With a family name but no given name (ชื่อตัว)",
            "Members of a family cannot be told apart, so these records are hardly linked.",
            "Complete the given name.",
        ),
        (
            "name:newborn",
            Level.LOOK,
            "Newborns without a name yet (บุตร น.ส. …, ทารก …)",
            "They are compared with small children of the same birth date and family name, and a steward decides.",
            "Enter the child's name and national id once they are known, at the latest at the first vaccination.",
        ),
        (
            "name:wrong_keyboard",
            Level.LOOK,
            "Thai typed with the keyboard in English",
            "The name was put right for linking; the record in the hospital system is still wrong.",
            "Correct these names in the hospital system.",
        ),
        (
            "name:fifty",
            Level.LOOK,
            "Names of exactly 50 characters",
            "The 43 files hold 50 characters: the rest was probably cut, and a cut name is less like the whole one.",
            "Compare with the card, and see whether the system's own field is longer than the export's.",
        ),
        (
            "name:truncated",
            Level.FIX,
            "Name fields longer than any name",
            "The field was cut after 400 characters: it probably holds more than a name.",
            "Look whether a remark or several columns ran into the field.",
        ),
        (
            "name:latin_only",
            Level.NOTE,
            "Names in Latin letters only",
            "They are compared with Thai spellings by sound, which is less certain than letter by letter.",
            "Enter the Thai name of Thai citizens as well.",
        ),
        (
            "name:single_name",
            Level.NOTE,
            "One name only, without a family name (ชื่อสกุล)",
            "In order for people who have one name. They are linked only where a number bears it out.",
            "Complete the family name of those who have one; ask the others for a number.",
        ),
        (
            "name:too_many",
            Level.LOOK,
            "People with more names than are kept",
            "The first ones are encoded; further ones would make a person look like everybody.",
            "Look whether nicknames or names of relatives were entered as names of the patient.",
        ),
        (
            "name:title_ambiguous",
            Level.LOOK,
            "Names that may begin with a title (คำนำหน้านาม)",
            "A word was either the title or the beginning of the name, and may have been read wrongly.",
            "Keep the title in its own field (PRENAME), not in front of the name.",
        ),
        (
            "name:name_in_wrong_field",
            Level.LOOK,
            "Whole names in one field, or the same in both",
            "The parts were told apart by their order, which fails for some names.",
            "Enter given and family name in their own fields.",
        ),
        (
            "name:digits_dropped",
            Level.LOOK,
            "Names with digits in them",
            "The digits were left out; they may have been a number entered in the wrong field.",
            "Remove the digits from the names.",
        ),
        (
            "name:repaired",
            Level.LOOK,
            "Names with damaged or disordered Thai characters (สระลอย, ตัวอักษรเพี้ยน)",
            "Signs out of order, signs twice, glyphs of old fonts were put right; letters that were lost stay lost.",
            "Correct these names in the hospital system, and export in UTF-8.",
        ),
        (
            "name:monastic",
            Level.NOTE,
            "Monks and other religious (พระ, สามเณร, แม่ชี)",
            "The family name may be a monastic name (ฉายา), which differs from the one on the card.",
            "Record the civil name as well, where it is known.",
        ),
    ),
    Section.BIRTH_DATES: (
        ("birth_date:missing", Level.FIX, "Birth date left empty (วันเกิด)", _DATE_LOST, "Complete the birth date."),
        (
            "birth_date:not_a_date",
            Level.FIX,
            "Birth date that is no date",
            _DATE_LOST,
            "Export dates as YYYYMMDD, and keep remarks out of the field.",
        ),
        (
            "birth_date:impossible",
            Level.FIX,
            "Birth date that does not exist in the calendar",
            _DATE_LOST,
            "Correct the day or the month.",
        ),
        (
            "birth_date:future",
            Level.FIX,
            "Birth date in the future",
            "Often an era mixed up: BE (พ.ศ.) is 543 years ahead of CE (ค.ศ.). " + _DATE_LOST,
            "Look which era the export writes, and correct mistyped years.",
        ),
        (
            "birth_date:too_old",
            Level.FIX,
            "Birth date too long ago for anybody living",
            "Often an era converted twice. " + _DATE_LOST,
            "Look which era the export writes, and correct mistyped years.",
        ),
        (
            "birth_date:maybe_default",
            Level.LOOK,
            "Born on 1 January",
            "The standard writes 1 January for an unknown day, so the day counts for little and linking is weaker.",
            "By chance 0.3 % are expected. Complete the true date from the card where there is one.",
        ),
        (
            "birth_date:unknown_day_month",
            Level.LOOK,
            "Birth date without its day or month",
            "Linking rests on the year and the name, which is weaker.",
            "Complete the date from the card where it is there.",
        ),
        (
            "birth_date:day_month_swapped",
            Level.LOOK,
            "Day and month the wrong way round",
            "They were put right. The same mistake goes unseen where both are 12 or less, and those dates are wrong.",
            "Correct the order at the source: dates of one system are usually all swapped, or none.",
        ),
        (
            "birth_date:old_new_year",
            Level.NOTE,
            "January to March before 1941 (ปีใหม่ 1 เมษายน)",
            "Until 1940 the year began in April, so the date stands for two possible years; both are tried.",
            "Take over the date of the card where the year is in doubt.",
        ),
        (
            "birth_date:first_of_month",
            Level.NOTE,
            "Born on the first of another month than January",
            "By chance 3.0 % of the dates are expected. Far more means that days were made up.",
            "Look whether the form puts in a day by itself; complete the true dates.",
        ),
        (
            "birth_date:fifteenth",
            Level.NOTE,
            "Born on the 15th of a month",
            "By chance 3.3 % of the dates are expected. Far more means that days were made up.",
            "Look whether the form puts in a day by itself; complete the true dates.",
        ),
    ),
    Section.SEX: (
        (
            "sex:missing",
            Level.FIX,
            "Sex unknown (เพศ)",
            "Neither the field nor the title tells it. Most channels need it, so these records are found less easily.",
            "Complete the sex.",
        ),
        (
            "sex:unrecognised",
            Level.FIX,
            "Sex in a code that is not known",
            "The field is left out; the title stands in where it tells the sex.",
            "Export 1 for male and 2 for female.",
        ),
        (
            "sex:contradicts_title",
            Level.LOOK,
            "Sex that contradicts the title (คำนำหน้านาม)",
            "One of the two is wrong. The field is used, so a wrong one keeps the record from its like.",
            "Correct the sex or the title; rows of husband and wife are sometimes mixed up.",
        ),
    ),
    Section.DUPLICATES: (
        (
            "duplicate:local_id",
            Level.FIX,
            "The same local id (PID, HN) on several rows",
            "The index keeps one record for each local id: the row registered last replaces the others.",
            "Export each patient once. If two patients share a number, give one of them a new one.",
        ),
        (
            "duplicate:national_id",
            Level.FIX,
            "The same national id under several local ids (เลขประจำตัวประชาชนซ้ำ)",
            "One patient was registered several times; or a child has its mother's number, which can link the two.",
            _MERGE,
        ),
        (
            "duplicate:person",
            Level.LOOK,
            "The same name, birth date and sex under several local ids (possibly HN ซ้ำ)",
            "Probably one patient registered several times; rarely two people who are alike.",
            _MERGE,
        ),
    ),
    Section.ENCODINGS: (
        (
            "encoding:none",
            Level.FIX,
            "Records without any channel",
            "They can be found by a number only, never by name and birth date.",
            "Complete names, birth date and sex of these patients.",
        ),
        (
            "encoding:few",
            Level.LOOK,
            "Records with one channel only",
            "One mistake in the fields of that channel hides the record.",
            "Complete names, birth date and sex of these patients.",
        ),
    ),
}

FINDINGS: dict[str, Finding] = {
    key: Finding(key, section, level, title, meaning, action)
    for section, rows in _TABLE.items()
    for key, level, title, meaning, action in rows
}
"""Every finding by its key, in the order of the report."""

_CHANNEL = "channel:"
_SECTION_OF = {
    "aside": Section.ROWS,
    "name": Section.NAMES,
    "birth_date": Section.BIRTH_DATES,
    "sex": Section.SEX,
    "duplicate": Section.DUPLICATES,
    "encoding": Section.ENCODINGS,
}


def finding(key: str) -> Finding:
    """Describe a key. One that is not listed, from a later normaliser, is shown under its own name."""
    if known := FINDINGS.get(key):
        return known
    if key.startswith(_CHANNEL):
        return Finding(
            key,
            Section.ENCODINGS,
            Level.NOTE,
            f"Records with channel {key.removeprefix(_CHANNEL)}",
            "A channel is missing where the fields that it needs are; the profile says which.",
            "Nothing, as long as the share stays.",
        )
    return Finding(
        key,
        _SECTION_OF.get(key.partition(":")[0], Section.IDENTIFIERS),
        Level.LOOK,
        f"Remark {key} of the normaliser",
        "This program has no description of it.",
        "Look at some of the rows.",
    )
