"""Thai personal names in Latin letters, and the fold in which Thai and Latin spellings of one name meet.

The target is the Royal Thai General System of Transcription (RTGS, Royal Institute 1999) as far as spelling tells:
vowel length and tone are dropped, finals are neutralised to k t p n m ng. Thai does not write every vowel nor the
borders of syllables, so a name is read as the cheapest sequence of syllables and of well-known name elements.

People do not spell their names by RTGS: ``fold`` takes both the transcription and the personal spelling to a coarser
form, and ``skeleton`` keeps its consonants only.
"""

from __future__ import annotations

import re
from typing import Final

_ONSET: Final = {
    thai: latin
    for latin, letters in {
        "k": "ก", "kh": "ขฃคฅฆ", "ng": "ง", "ch": "จฉชฌ", "s": "ซศษส", "y": "ญย", "d": "ฎด", "t": "ฏต",
        "th": "ฐฑฒถทธ", "n": "ณน", "b": "บ", "p": "ป", "ph": "ผพภ", "f": "ฝฟ", "m": "ม", "r": "ร", "l": "ลฬ",
        "w": "ว", "h": "หฮ", "": "อ",
    }.items()
    for thai in letters
}  # fmt: skip
"""Sound of a consonant before its vowel."""

_CODA: Final = {
    thai: latin
    for latin, letters in {
        "k": "กขคฆ", "t": "จฉชซฌฎฏฐฑฒดตถทธศษส", "p": "บปพฟภ", "m": "ม", "ng": "ง", "n": "ญณนรลฬ",
        "i": "ย", "o": "ว",
    }.items()
    for thai in letters
}  # fmt: skip
"""Sound of a consonant after its vowel."""

_DENTALS: Final = frozenset("ฐฑฒถทธ")
_STOPS: Final = frozenset("กขคฆจฉชซฌฎฏฐฑฒดตถทธศษสบปพฟภ")
_NEVER_LINKED: Final = frozenset("ซดบ")
_SONORANTS: Final = frozenset("งญณนมยรลวฬ")
_SIGNS: Final = frozenset("ะัาำิีึืุู็ๅ")
"""Vowel signs written after, above or below their consonant: a consonant before one opens a syllable."""

_CLUSTERS: Final = frozenset("กร กล กว ขร ขล ขว คร คล คว ตร ปร ปล พร พล ผล หง หญ หน หม หย หร หล หว".split())
"""Two consonants that one vowel follows; the silent ห only sets the tone."""

_ELEMENTS_TEXT: Final = """
กนก=kanok กนิษฐา=kanittha กมล=kamon กมลา=kamala กร=kon กรรวี=kanrawi กรวิ=korawi กรวิชญ์=korawit กรุณา=karuna
กฤช=krit กฤต=kritta/krit กฤติ=kritti/krit กฤษ=krit กฤษฎา=kritsada กฤษณ=kritsana/krit กฤษณะ=kritsana
กฤษณา=kritsana กล=klon กว=kawa กวิน=kawin กวี=kawi กษัตริย์=kasat กันต=kanta/kan กัลย=kanlaya กัลยา=kanlaya
กาญจน=kanchana/kan กานต=kanta/kan กิตติ=kitti กุล=kunla/kun ขจร=khachon ขนิษฐ=khanit ขนิษฐา=khanitha ควร=khuan
คุณ=khunna/khun จง=chong จงกล=chongkon จตุ=chatu จร=chon จรวย=charuai จรัล=charan จรัส=charat จริย=chariya
จริยา=chariya จรูญ=charun จักร=chakka/chak จันทร=chanthra/chan จำรัส=chamrat จิต=chit จิร=chira ฉลวย=chaluai
ฉลอง=chalong ฉวี=chawi ฉัตร=chat ฉันท=chantha/chan ชญา=chaya ชฎา=chada ชน=chon ชนก=chanok ชนา=chana
ชนาธิป=chanathip ชย=chaya ชยา=chaya ชยุต=chayut ชล=chon ชว=chawa ชวลิต=chawalit ชวัล=chawan ชัช=chatcha/chat
ชาติ=chat ชิต=chit ชิน=chinna/chin ญาติ=yat ณฐ=natha ณธ=natha ณภัทร=naphat ณรงค์=narong ณัฐ=nattha/nat
ณัฐช=natch ดนัย=danai ดนุ=danu ดรุณ=darun ดล=don ดวง=duang ดุสิต=dusit ตรง=trong ตระการ=trakan ตุล=tunla/tun
ถิร=thira ทนง=thanong ทรง=song ทรรศ=thansa/that ทรวง=suang ทรัพย์=sap ทราย=sai ทวี=thawi ทศ=thotsa/thot
ทักษ=thaksa/thak ทัศ=thatsa/that ทิน=thinna/thin ทิพ=thip ทิพย=thip ทิพยา=thipphaya ธน=thana/thon ธนา=thana
ธนิต=thanit ธนู=thanu ธร=thon ธรณ=thoran ธรรม=thamma/tham ธรรมนูญ=thammanun ธรรศ=that ธรา=thara ธวัช=thawat
ธัช=thatcha/that ธัญ=thanya/than ธัญญ=thanya/than ธาตุ=that ธีร=thira นคร=nakhon นคริน=nakharin นง=nong
นงนุช=nongnut นนท=nontha/non นพ=noppha/nop นพคุณ=nopphakhun นพดล=noppadon นพรัตน์=nopphrarat นภ=noppha/nop
นภสร=naphatson นภัส=naphat นภัสสร=naphatson นภา=napha นร=nora นรา=nara นรินทร์=narin นริศ=narit นริศรา=naritsara
นรีรัตน์=narirat นฤ=narue นว=nawa นวรัตน=nawarat นัฐ=nattha/nat นันท=nantha/nan นัย=naiya/nai นาฏ=nat
นาฏยา=nattaya นาถ=nat นารถ=nat นารี=nari นิตย=nittaya/nit นิธิ=nithi นิมิต=nimit นิสิต=nisit นูร=nura/nun
นเรนทร์=naren นเรศ=naret นเรศวร=naresuan บงกช=bongkot บดินท=bodin บดี=bodi บพิตร=bophit บริ=bori บวร=bowon
บัณฑิต=bandit บุตร=but บุษกร=butsakon ปกรณ์=pakon ปฏิ=pati ปฐม=pathom ปฐมา=pathama ปณต=panot ปติ=pati
ปทุม=pathum ปภา=papha ปรมะ=parama ปรมาภรณ์=paramaphon ปรมินท์=poramin ประภัสสร=praphatson ประสพ=prasop
ปรัชญา=pratchaya ปรารถนา=pratthana ปริ=pari ปริญญา=parinya ปริตต=parit ปรินทร์=parin ปรเม=porame ปรเมศร์=poramet
ปรเมศวร์=poramet ปวร=pawon ปวริศ=pawarit ปวีณ=pawin ปวีณา=pawina ปัฐม=patthom ปัทม=patthama ปาริชาต=parichat
ปิย=piya ปุณ=punna/pun ปุณย=punya ผล=phon พงศ=phongsa/phong พงษ=phongsa/phong พจน=phot พจนา=photchana
พจนีย์=photchani พจมาน=photchaman พชร=phachara/phachon พนธ=phontha/phon พนม=phanom พนัส=phanat พนิดา=phanida
พยอม=phayom พยัคฆ์=phayak พยุง=phayung พยูร=phayun พร=phon พรณ=phonna พรต=phrot พรม=phrom พรรณ=phan
พรรณราย=phannarai พรรษ=phatsa/phat พรสวรรค์=phonsawan พรหม=phrom พราหมณ์=phram พฤกษ=phruek พฤทธิ์=phruet พล=phon
พลอย=phloi พละ=phala พลากร=phalakon พสธร=photsathon พสุ=phasu พัช=phatcha/phat พัชน=phatchan พัชร=phatchara/phat
พัฒน=phatthana/phat พันธ=phan พันธกานต์=phanthakan พาณิช=phanit พิชญ=phitchaya/phit พิชญา=phitchaya
พิชิต=phichit พิทย=phitthaya พิมพ=phim พิศ=phit พิศมัย=phitsamai พิสมัย=phitsamai พิไลวรรณ=philaiwan พีร=phira
พุฒิ=phutthi/phut พุทธ=phuttha/phut พุธ=phut ภค=phakha ภควัฒน์=phakhawat ภควัต=phakhawat ภควัน=phakhawan
ภคิน=phakhin ภณ=phon ภพ=phop ภมร=phamon ภร=phon ภว=phawa ภวัต=phawat ภวิ=phawi ภัค=phakkha/phak
ภัทร=phatthara/phat ภัทรา=phatthara ภัทริ=phatthari ภาคภูมิ=phakphum ภาส=phat ภาสกร=phatsakon ภาสวร=phatsawon
ภูมิ=phumi/phum ภูวนัย=phuwanai ภูวนาท=phuwanat ภูษิต=phusit มงคล=mongkhon มณฑ=montha/mon มณฑิรา=monthira
มณี=mani มติ=mati มน=mon มนต=mon มนตชัย=montachai มนตร=montra/mon มนัสวี=manatsawi มนู=manu มนูญ=manun
มยุร=mayura มยุรา=mayura มยุรี=mayuri มรกต=morakot มล=mon มหา=maha มานพ=manop มานัส=manat มารศรี=marasi
มารุต=marut มาลย=mali มาศ=mat ยง=yong ยงยุทธ=yongyut ยมนา=yommana ยศ=yotsa/yot ยุทธ=yuttha/yut ยุพ=yupha/yup
รจนา=rotchana รชต=rachata/rachot รชนี=ratchani รณ=ronna/ron รณรงค์=ronnarong รดา=rada รติ=rati รพี=raphi รว=rawa
รวง=ruang รวิ=rawi รวินท์=rawin รวิวรรณ=rawiwan รวี=rawi รส=rotsa/rot รักษ=raksa/rak รัช=ratcha/rat
รัชต=ratchata/ratchat รัฐ=rattha/rat รัตน=rattana/rat รัตนา=rattana รัศมี=ratsami ราช=ratcha/rat รุง=rung
ฤกษ์=roek ฤทธิ=ritthi/rit ฤทธิ์=rit ลดา=lada ลมัย=lamai ลมุล=lamun ลลิต=lalit ลลิตา=lalita ลว=lawa ลออ=lao
ละออ=lao ลักษ=lak ลักษณ=laksana/lak ลักษณา=laksana ลักษมณ์=lak ลักษมี=laksami ลาภ=lap วง=wong วงศ=wongsa/wong
วงษ=wongsa/wong วจี=wachi วชร=wachara วชิร=wachira วดี=wadi วนัช=wanatcha/wanat วนา=wana วร=wora/won วรท=warot
วรนุช=woranut วรร=wan วรรณ=wanna/wan วรรณวิสา=wanwisa วรรธน=watthana/wat วรวุฒิ=worawut วรา=wara
วรินทร=warinthon วรินทร์=warin วริศ=warit วริศรา=waritsara วลัย=walai วลี=wali วสุ=wasu วัชร=watchara/wat
วัฒน=watthana/wat วัลภา=wanlapha วัลย=wan วัลลภ=wanlop วาทิน=wathin วิชญ=witchaya/wit วิทย=witthaya/wit
วิทวัส=witthawat วิทูร=withun วินัย=winai วิบูลย์=wibun วิภา=wipha วิลาส=wilat วิศรุต=witsarut วิศว=witsawa
วิสาข=wisakha วิเชียร=wichian วิเศษ=wiset วีร=wira วุฒิ=wutthi/wut ศกล=sakon ศกุน=sakun ศจี=sachi ศตวรรษ=satawat
ศร=son ศรวุฒิ=sorawut ศรัญญา=saranya ศรัณย=saran ศรัทธา=sattha ศรา=sara ศราวุธ=sarawut ศรินทิพย์=sarinthip
ศรินยา=sarinya ศรี=si ศรุดา=saruda ศรุต=sarut ศวร=suan ศศิ=sasi ศักรินทร์=sakkarin ศิร=sira ศิริ=siri ศิล=sin
ศิลป=sinlapa/sin ศิลปิน=sinlapin ศิว=siwa ศุภ=suppha/sup ศุภณัฐ=supphanat ศุภวัฒน์=suppawat ศุภโชค=supphachok
สกล=sakon สกลรัฐ=sakonrat สกาว=sakao สกุล=sakun สงบ=sangop สงวน=sanguan สงัด=sangat สงา=sanga สง่า=sanga
สถาปนา=sathapana สถาพร=sathaphon สถิต=sathit สน=son สนอง=sanong สนั่น=sanan สนิท=sanit สพล=saphon สม=som
สมนึก=somnuek สมบัติ=sombat สมภพ=somphop สมยศ=somyot สมร=samon สมวงศ์=somwong สมัคร=samak สมัย=samai
สมาธิ=samathi สมาน=saman สมิต=samit สมิท=samit สมุทร=samut สมเกียรติ=somkiat สยาม=sayam สยุมพร=sayumphon
สร=sora/son สรณ=soran สรร=san สรรพ=sappha/sap สรวง=suang สรวล=suan สรวิศ=sorawit สรวีย์=sorawi สรอย=soi
สรัญญา=saranya สรา=sara สราง=sarang สราวุธ=sarawut สริตา=sarita สริน=sarin สร้อย=soi สฤษฎ์=sarit สฤษดิ์=sarit
สวรรค=sawan สวรรยา=sawanya สวรส=sawarot สวลี=sawali สวัสดิ์=sawat สวัสดี=sawatdi สวาง=sawang สวาท=sawat
สวิง=sawing สวิตา=sawita สห=saha สหรัฐ=saharat สหัส=sahat สังวร=sangwon สันต=santa/san สากล=sakon สาคร=sakhon
สาธิต=sathit สามารถ=samat สารัช=sarat สาวิตรี=sawittri สิงห=singha/sing สิทธิ=sitthi สิร=sira สิริ=siri
สิริน=sirin สุข=suk สุคนธ=sukhon สุจริต=sucharit สุจิตรา=suchittra สุทธิ=sutthi/sut สุธรรม=sutham สุนทร=sunthon
สุภ=suppha/sup สุภาพร=suphaphon สุมณฑา=sumontha สุมนา=sumana สุร=sura สุวภัทร=suwaphat สุวรรณ=suwanna/suwan
สุเมธ=sumet สโรช=sarot สโรชา=sarocha หงษ=hong หงส=hong หนึง=nueng หฤษฎ์=harit หัส=hatsa/hat อกนิษฐ์=akanit
อจลา=achala อชิร=achira อธิ=athi อธิป=athip อนงค์=anong อนล=anon อนวัช=anawat อนันต=ananta/anan อนันต์=anan
อนุ=anu อนุช=anut อนุวัติ=anuwat อภัย=aphai อภิ=aphi อภิสร=aphison อมร=amon อมรา=amara อมริน=amarin อมเรศ=amaret
อยุธยา=ayutthaya อยู=yu อยู่=yu อร=on อรจิรา=orachira อรชร=orachon อรชุน=orachun อรดา=orada อรทัย=orathai
อรนงค์=oranong อรนาถ=oranat อรนิต=oranit อรนุช=oranut อรพร=oraphon อรพรรณ=oraphan อรพิน=oraphin อรพินท=oraphin
อรรคพล=akkhaphon อรรคเดช=akkhadet อรรถ=attha/at อรวรรณ=orawan อรวี=orawi อรสา=orasa อริย=ariya อริส=arit
อริสรา=aritsara อรุณ=arun อลงกต=alongkot อลิส=alit อสมา=asama อัค=akkha/ak อัคร=akkhara/ak อัครา=akkhara
อังคาร=angkhan อัญ=anya อัญชนา=anchana อัญชลี=anchali อัฐ=attha/at อัมร=ammara อัมรา=ammara อัมรินทร์=amarin
อัศว=atsawa/at อัศวเทพ=atsawathep อาทร=athon อาทิตย=athit อานุภาพ=anuphap อารย=araya อาวุธ=awut อำนาจ=amnat
อิฏฐ=ittha อินท=intha/in อินทร=in อินทรา=inthra อินทรี=insi อิศร=itsara อิศรา=itsara อิศเรศ=itsaret อิสร=itsara
อิสรา=itsara อุดม=udom อุดร=udon อุบล=ubon เกตุ=ket เกริก=kroek เกษตร=kaset เกษม=kasem เกษร=keson เกสร=keson
เกียรติ=kiatti/kiat เกียรติ์=kiat เขต=khet เจด็จ=chadet เจต=chet เจริญ=charoen เฉลา=chalao เชฐ=chet เดช=det
เทพ=thep เทศ=thet เนตร=net เนติ=neti เบญจ=bencha เบญจวรรณ=benchawan เปรมปรีดิ์=premprit เผด็จ=phadet เพชร=phet
เพชรรัตน์=phetcharat เพท=phet เพียร=phian เพ็ชร=phet เมท=met เมธ=metha/met เมศ=met เยาว=yaowa/yao เรวัต=rewat
เลิศ=loet เวช=wetcha/wet เวศ=wet เศรษฐ=settha/set เศวต=sawet เสก=sek เสด็จ=sadet เสถียร=sathian เสน่ห์=sane
เสน์=sane เสริฐ=soet เสวก=sawek เหตุ=het เหม=hem เอก=ekka/ek เอมอร=emon เอือ=uea แก้ว=kaeo โชติ=chot
โรจน=rotchana/rot โศภิต=sophit โสน=sano โอภาส=ophat โอฬาร=olan ไกรสร=kraison ไตร=trai ไทร=sai ไวทย์=wai
ไอยรา=aiyara ไอศวรรย=aisawan
"""
"""Elements of Thai names and how they sound.

Mostly Pali and Sanskrit words whose vowels are not written or whose last vowel is not spoken. ``middle/last``: the
first reading is used inside a name, the second at its end and before a silenced letter.
"""


_DROPPED: Final = dict.fromkeys(map(ord, "่้๊๋๎ฺ"))
_SILENCED: Final = re.compile("[ก-ฮ][ิุ]?์")
_NOT_THAI: Final = re.compile("[^ก-ฮะ-ูเ-ๅ็์]")
_NOT_LATIN: Final = re.compile("[^a-z]+")


def _phonic(thai: str) -> str:
    """Without tone marks, and with ``|`` for each silenced letter: it is not heard but ends its syllable."""
    return _SILENCED.sub("|", thai.translate(_DROPPED)).replace("์", "")


def _read_elements(text: str) -> tuple[dict[str, tuple[str, str]], dict[str, tuple[int, ...]]]:
    """Read the table of elements: readings by element, and lengths to try by the first two letters."""
    elements: dict[str, tuple[str, str]] = {}
    lengths: dict[str, set[int]] = {}
    for entry in text.split():
        thai, _, latin = entry.partition("=")
        thai = _phonic(thai)
        middle, _, last = latin.partition("/")
        elements[thai] = (middle, last or middle)
        lengths.setdefault(thai[:2], set()).add(len(thai))
    return elements, {key: tuple(sorted(found)) for key, found in lengths.items()}


_ELEMENTS, _LENGTHS = _read_elements(_ELEMENTS_TEXT)

# What a reading costs: only differences matter. Long syllables win over short ones, written vowels over unwritten.
_ELEMENT: Final = 9
_OPEN: Final = 10
_BARE_OPEN: Final = 12
_BARE_CLOSED: Final = 13
_CLOSE: Final = 1
_LINK: Final = 2
_UNLIKELY: Final = 12
_WRONG: Final = 30

_LEAD: Final = {"แ": "ae", "โ": "o", "ไ": "ai", "ใ": "ai"}
_SIGN: Final = {
    "ะ": "a", "า": "a", "ำ": "am", "ิ": "i", "ี": "i", "ึ": "ue", "ื": "ue", "ุ": "u", "ู": "u", "ๅ": "a",
}  # fmt: skip
_CLOSED_SIGNS: Final = frozenset("ะำๅ")
_SILENT_PAIRS: Final = frozenset(
    "นท นต นด นธ ณฑ ณฐ มพ มภ มป ญจ ญช งค งก งฆ งข ลป ลภ ลล กษ กต กข กก ขข สต สน ศว ษฐ ษฎ ษณ ทธ ตต ฏฐ ฏฏ จจ จฉ ชช รถ รท "
    "ตย ทย ตร ทร พธ".split()
)
"""Finals of which only the first is heard when a silenced letter follows them."""
_DIGRAPHS: Final = frozenset("ทธ ษฐ ษฎ ฏฐ ตต ตร รถ รท ชญ จน".split())
"""Finals of which only the first is heard, wherever no vowel follows."""

_Found = list[tuple[str, int, int]]
"""Readings of what starts at a place: Latin, where it ends, cost."""


def romanise(name: str) -> str:
    """Transcribe one normalised Thai token into lower-case a-z; keep a-z of a Latin one; drop all else."""
    thai = _NOT_THAI.sub("", name)
    if not thai:
        return _NOT_LATIN.sub("", name.lower())
    text = _phonic(thai)
    end = len(text)
    text += "$$$$"
    cost = [_WRONG * (end + 1)] * (end + 1)
    read = [""] * (end + 1)
    cost[0] = 0
    for here in range(end):
        base = cost[here]
        for latin, there, price in _readings(text, here):
            if base + price < cost[there]:
                cost[there] = base + price
                read[there] = read[here] + latin
    return read[end]


def _readings(text: str, here: int) -> _Found:
    """Find every element and syllable that may start here."""
    found: _Found = [("", here + 1, _WRONG)]  # so that every text has a reading
    for length in _LENGTHS.get(text[here : here + 2], ()):
        there = here + length
        element = _ELEMENTS.get(text[here:there])
        if element is None:
            continue
        after = text[there]
        if after in _SIGNS:
            continue
        middle, last = element
        if after == "|":
            found.append((last, there + 1, _ELEMENT))
        elif after == "$":
            found.append((last, there, _ELEMENT))
        elif text[there - 1 : there + 1] in _SILENT_PAIRS and text[there + 1] == "|":
            found.append((last, there + 2, _ELEMENT))
        elif middle == last:
            clash = text[there - 1] in _STOPS and after in "รลนมยว" and text[there + 1] in _SIGNS
            found.append((middle, there, _ELEMENT + 4 if clash else _ELEMENT))
        else:
            if after != text[there - 1] and not (after in _DENTALS and text[there - 1] in _DENTALS):
                found.append((middle, there, _ELEMENT))
            found.append((last, there, _ELEMENT + 2))
    first = text[here]
    second = text[here + 1]
    if first in _ONSET:
        _unled(text, here, first, second, found)
    elif first == "เ" or first in _LEAD:
        _led(text, here, first, second, found)
    elif first in "ฤฦ":
        onset = "r" if first == "ฤ" else "l"
        _open(text, onset + "ue", here + (2 if second == "ๅ" else 1), _OPEN, found)
    elif first == "|":
        found.append(("", here + 1, 0))
    return found


def _open(text: str, sound: str, there: int, price: int, found: _Found) -> None:
    """End a syllable with its vowel."""
    found.append((sound, there + 1 if text[there] == "|" else there, price))


def _close(text: str, sound: str, there: int, price: int, found: _Found) -> None:
    """End a syllable with a final, if one can follow."""
    final = text[there]
    coda = _CODA.get(final)
    if coda is None:
        return
    after = text[there + 1]
    vowel = sound[-1:]
    if after in _SIGNS:
        # ชาติ, เหตุ: the last vowel of some Sanskrit words is not heard
        if (
            final == "ต"
            and after in "ิุ"
            and text[there + 2] == "$"
            and (text[there - 1] in "าัฤ" or text[there - 2] in "เโ")
        ):
            found.append((sound + coda, there + 2, price + _CLOSE))
        return
    if (coda == "i" and vowel not in "aou") or (coda == "o" and vowel not in "aie"):
        return
    sound += coda
    price += _CLOSE
    if after == "|":
        found.append((sound, there + 2, price))
        return
    beyond = text[there + 2]
    if beyond == "|" and final + after in _SILENT_PAIRS:
        found.append((sound, there + 3, price))
    elif final + after in _DIGRAPHS and beyond not in _SIGNS:
        found.append((sound, there + 2, price + 1))
        if beyond in _ONSET and after in "ธฐ":
            found.append((sound + "tha", there + 2, price))
    voiced = beyond in _SIGNS
    if final in _STOPS:
        if final not in _NEVER_LINKED and after != "ฐ" and _ONSET.get(after) != _ONSET[final]:
            # รัตนา rattana, บุษบา butsaba: the final is heard again before a vowel that is not written
            linked = sound + _ONSET[final] + "a"
            if voiced and (after in _SONORANTS or final in "จชศษส"):
                found.append((linked, there + 1, price + _LINK))
                price += 4
            elif final in "ศษส" and after in _ONSET:
                found.append((linked, there + 1, price + _LINK + 1))
                price += 2
            elif after in _SONORANTS:
                found.append((linked, there + 1, price + _LINK + 4))
                price += 2
        if voiced and after in "รล":
            # จิตรา chittra: the final is heard again in a cluster
            found.append((sound, there, price - 4))
    elif (final == "ร" and (voiced or (vowel in "iu" and after in _ONSET))) or (
        final == "ว" and vowel == "i" and after in _ONSET
    ):
        # จิรดา, ภารดี, ธีรพล: ร opens a short syllable rather than ends one
        price += _UNLIKELY
    found.append((sound, there + 1, price))


def _unled(text: str, here: int, first: str, second: str, found: _Found) -> None:
    """Read syllables whose vowel follows the consonant or is not written."""
    onset = _ONSET[first]
    if first + second in _CLUSTERS:
        joined = _ONSET[second] if first == "ห" else onset + _ONSET[second]
        third = text[here + 2]
        if third in _SIGNS:
            _vowel(text, joined, here + 2, -2 if (third in "าีู" and second != "ว") or first == "ห" else 0, found)
        else:
            _vowel(text, joined, here + 2, 6, found)
    if second == "ฤ":
        if first in "กตทปศธ":
            _open(text, onset + "ri", here + 2, _OPEN, found)
            _close(text, onset + "ri", here + 2, _OPEN, found)
        elif first == "พ":
            _open(text, onset + "rue", here + 2, _OPEN, found)
            _close(text, onset + "rue", here + 2, _OPEN, found)
    _vowel(text, onset, here + 1, 0, found)


def _vowel(text: str, onset: str, there: int, extra: int, found: _Found) -> None:
    """Read the vowel after an onset, and what ends the syllable."""
    sign = text[there]
    after = text[there + 1]
    price = _OPEN + extra
    vowel = _SIGN.get(sign)
    if vowel is not None:
        if sign == "ื" and after == "อ":
            there += 1
        _open(text, onset + vowel, there + 1, price, found)
        if sign not in _CLOSED_SIGNS:
            _close(text, onset + vowel, there + 1, price, found)
        return
    if sign == "ั":
        if after == "ว":
            there += 3 if text[there + 2] == "ะ" else 2
            _open(text, onset + "ua", there, price, found)
            _close(text, onset + "ua", there, price, found)
        else:
            _close(text, onset + "a", there + 1, price, found)
            _open(text, onset + "a", there + 1, price + _UNLIKELY, found)
        return
    if sign == "็":
        _close(text, onset + "o", there + (2 if after == "อ" else 1), price, found)
        return
    if after not in _SIGNS:
        if sign == "อ":
            _open(text, onset + "o", there + 1, price, found)
            _close(text, onset + "o", there + 1, price, found)
        elif sign == "ว":
            if after not in "รว":
                _close(text, onset + "ua", there + 1, price + (4 if text[there + 2] == "|" else 1), found)
        elif sign == "ร" and after == "ร":
            _close(text, onset + "a", there + 2, price, found)
            third = text[there + 2]
            if third in "มถค":
                # ธรรมา thamma: the final is heard again
                _open(text, onset + "a" + _CODA[third], there + 2, price, found)
            _open(text, onset + "an", there + 2, price + 1, found)
        elif sign != "ย":
            price = _BARE_CLOSED + extra
            if after in _ONSET and sign not in "งม":
                price += 6
            _close(text, onset + "o", there, price, found)
    price = _BARE_OPEN + extra
    if sign in "|$" or onset == "ng" or sign == text[there - 1]:
        # a doubled letter ends one syllable and opens the next: อภิญญา aphinya
        price += _UNLIKELY
    _open(text, onset + "a", there, price, found)


def _led(text: str, here: int, first: str, second: str, found: _Found) -> None:
    """Read syllables whose vowel is written, wholly or in part, before the consonant."""
    onset = _ONSET.get(second)
    if onset is None:
        return
    _led_vowel(text, first, onset, here + 2, 0, found)
    third = text[here + 2]
    joined = _ONSET.get(third)
    if joined is None:
        return
    if second + third in _CLUSTERS:
        after = text[here + 3]
        _led_vowel(
            text,
            first,
            joined if second == "ห" else onset + joined,
            here + 3,
            8 if third == "ว" and after not in _CODA else 0,
            found,
        )
    elif first == "เ" and third == "ร" and second in "ศส":
        _led_vowel(text, first, onset, here + 3, 4, found)
    elif first != "โ" and second in "สฉขถผ" and third in _SONORANTS and text[here + 3] != "า":
        _led_vowel(text, first, onset + "a" + joined, here + 3, 6, found)


def _led_vowel(text: str, first: str, onset: str, there: int, extra: int, found: _Found) -> None:
    """Read what follows the onset of a vowel that is written before it."""
    sign = text[there]
    after = text[there + 1]
    price = _OPEN + extra
    if first in "ไใ":
        # the ย of ไชย and ไทย is not heard
        _open(text, onset + "ai", there + 1 if sign == "ย" and after not in _SIGNS else there, price, found)
        return
    if first != "เ":
        sound = onset + _LEAD[first]
        if sign == "ะ":
            _open(text, sound, there + 1, price, found)
        elif sign == "็":
            _close(text, sound, there + 1, price, found)
        else:
            _open(text, sound, there, price, found)
            _close(text, sound, there, price, found)
    elif sign == "ี" and after == "ย":
        _open(text, onset + "ia", there + 2, price - 2, found)
        _close(text, onset + "ia", there + 2, price - 2, found)
    elif sign == "ื" and after == "อ":
        _open(text, onset + "uea", there + 2, price - 2, found)
        _close(text, onset + "uea", there + 2, price - 2, found)
    elif sign == "า":
        if after == "ะ":
            _open(text, onset + "o", there + 2, price, found)
        else:
            _open(text, onset + "ao", there + 1, price, found)
    elif sign == "อ" and after not in _SIGNS:
        there += 2 if after == "ะ" else 1
        _open(text, onset + "oe", there, price, found)
        _close(text, onset + "oe", there, price, found)
    elif sign == "ิ":
        _close(text, onset + "oe", there + 1, price, found)
    elif sign == "็":
        _close(text, onset + "e", there + 1, price, found)
    elif sign == "ย" and after not in _SIGNS:
        _open(text, onset + "oei", there + 1, price, found)
    elif sign == "ะ":
        _open(text, onset + "e", there + 1, price, found)
    elif sign not in _SIGNS:
        _open(text, onset + "e", there, price, found)
        _close(text, onset + "e", there, price, found)


_FINAL_R: Final = re.compile("(?<=[aeo])r(?![aeiouy])")
_FINAL_ER: Final = re.compile("er(?![aeiouy])")
_FINAL_W: Final = re.compile("(?<=[ae])w(?![aeiouy])")
_ENGLISH_U: Final = re.compile(
    "(?<![os])u(?=[nt]t|nn|n?ch|tch|nj|ks|k|tr|mp)|(?<=^n)u(?=t)|(?<=^t)u(?=n)|(?<=^th)u(?=n)"
)
_SILENT_E: Final = re.compile("(?<=[aiou][dklnst])e$")
_FOLD_STEPS: Final = (
    ("sh", "ch"), ("ph", "p"), ("th", "t"), ("kh", "k"), ("ch", "j"), ("c", "k"), ("z", "s"), ("v", "w"),
    ("ee", "i"), ("oo", "u"), ("ou", "u"), ("ue", "u"), ("eu", "u"), ("ae", "e"), ("ay", "ai"), ("ei", "ai"),
    ("b", "p"), ("d", "t"), ("g", "k"),
)  # fmt: skip
_FINAL_S: Final = re.compile("[js](?=[jklmnpstw]|$)")
_FINAL_L: Final = re.compile("[lr](?=[jkmnpstw]|$)")
_REPEAT: Final = re.compile(r"(.)\1+")
_NOT_CONSONANT: Final = dict.fromkeys(map(ord, "aeiou"))


def fold(latin: str) -> str:
    """Latin form in which RTGS and usual personal spellings of one name are mostly equal.

    Personal spellings mark vowel length (ee, oo, ar, or), write English u for a short a (Nutt-, Thun-), keep letters
    of the Thai spelling that are not heard (sri, final -s -j -l) and do not tell aspirated from plain consonants.
    """
    folded = _NOT_LATIN.sub("", latin.lower())
    folded = _SILENT_E.sub("", folded).replace("sri", "si")
    folded = _FINAL_ER.sub("oe", folded)
    folded = _FINAL_R.sub("", folded)
    folded = _FINAL_W.sub("o", folded)
    folded = _ENGLISH_U.sub("a", folded)
    for spelling, sound in _FOLD_STEPS:
        folded = folded.replace(spelling, sound)
    folded = _FINAL_S.sub("t", folded).replace("ts", "s").replace("tj", "j")
    folded = _FINAL_L.sub("n", folded)
    folded = folded.replace("y", "i").replace("r", "l").replace("h", "")
    return _REPEAT.sub(r"\1", folded)


def skeleton(folded: str) -> str:
    """Consonants of a fold."""
    return folded.translate(_NOT_CONSONANT)
