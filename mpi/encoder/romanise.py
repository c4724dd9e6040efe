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

_STOPS: Final = frozenset("กขคฆจฉชซฌฎฏฐฑฒดตถทธศษสบปพฟภ")
_SONORANTS: Final = frozenset("งญณนมยรลวฬ")
_SIGNS: Final = frozenset("ะัาำิีึืุู็ๅ")
"""Vowel signs written after, above or below their consonant: a consonant before one opens a syllable."""

_CLUSTERS: Final = frozenset("กร กล กว ขร ขล ขว คร คล คว ตร ปร ปล พร พล ผล หง หญ หน หม หย หร หล หว".split())
"""Two consonants that one vowel follows; the silent ห only sets the tone."""

_ELEMENTS_TEXT: Final = """
กนก kanok
กนิษฐา kanittha
กมล kamon
กมลา kamala
กร kon
กรรณ kan
กรรณิการ์ kannika
กรรวี kanrawi
กรวิ korawi
กรวิชญ์ korawit
กรอง krong
กรุง krung
กรุณา karuna
กฤช krit
กฤต kritta/krit
กฤติ kritti/krit
กฤษ krit
กฤษฎา kritsada
กฤษณะ kritsana
กฤษณา kritsana
กล klon
กว kawa
กวิน kawin
กวินท์ kawin
กวี kawi
กษัตริย์ kasat
กัญญ kanya
กันต kanta/kan
กันตพงศ์ kantaphong
กัลป์ kan
กัลย kanlaya
กัลยา kanlaya
กัลยาณี kanlayani
กาญจน kanchana/kan
กาญจนา kanchana
กานต kanta/kan
กิตติ kitti
กุล kunla/kun
ขจร khachon
ขนิษฐ khanit
ขนิษฐา khanitha
ขวัญ khwan
คง khong
คงคา khongkha
ควร khuan
คุณ khunna/khun
จง chong
จงกล chongkon
จตุ chatu
จร chon
จรวย charuai
จรัล charan
จรัส charat
จรัสศรี charatsi
จริย chariya
จริยา chariya
จรูญ charun
จักร chakka/chak
จักรพันธุ์ chakkaphan
จันทร chanthra/chan
จันทร์ chan
จารุ charu
จำนง chamnong
จำนงค์ chamnong
จำรัส chamrat
จำลอง chamlong
จิต chit
จิตต chit
จิตร chit
จิร chira
จุฑา chutha
จุติ chuti
จุฬา chula
จุฬาลงกรณ์ chulalongkon
ฉลวย chaluai
ฉลอง chalong
ฉวี chawi
ฉัตร chat
ฉันท chantha/chan
ฉันทนา chanthana
ชญา chaya
ชฎา chada
ชน chon
ชนก chanok
ชนา chana
ชนาธิป chanathip
ชม chom
ชย chaya
ชยพล chayaphon
ชยา chaya
ชยุต chayut
ชล chon
ชลธิ chonthi
ชว chawa
ชวน chuan
ชวลิต chawalit
ชวัล chawan
ชัช chatcha/chat
ชัชวาล chatchawan
ชัชวาลย์ chatchawan
ชัย chai
ชาญ chan
ชาติ chat
ชาติชาย chatchai
ชิต chit
ชิน chinna/chin
ชีวิน chiwin
ชุติ chuti
ชูศักดิ์ chusak
ญาติ yat
ฐาน than
ฐิติ thiti
ณ na
ณฐ natha
ณธ natha
ณภัทร naphat
ณรงค์ narong
ณัฏฐ nattha/nat
ณัฐ nattha/nat
ณัฐช natch
ดนัย danai
ดนุ danu
ดรุณ darun
ดล don
ดวง duang
ดุษฎี dutsadi
ดุสิต dusit
ตรง trong
ตระการ trakan
ตระกูล trakun
ตรี tri
ตุล tunla/tun
ถิร thira
ทนง thanong
ทนงศักดิ์ thanongsak
ทรง song
ทรงพล songphon
ทรรศ thansa/that
ทรวง suang
ทรัพย์ sap
ทราย sai
ทวี thawi
ทศ thotsa/thot
ทศพร thotsaphon
ทศพล thotsaphon
ทอง thong
ทองคำ thongkham
ทักษ thaksa/thak
ทักษิณ thaksin
ทัศ thatsa/that
ทัศน thatsana
ทิน thinna/thin
ทิพ thip
ทิพย thip
ทิพยา thipphaya
ธง thong
ธงชัย thongchai
ธน thana/thon
ธนา thana
ธนากร thanakon
ธนิต thanit
ธนู thanu
ธร thon
ธรณ thoran
ธรรม thamma/tham
ธรรมชาติ thammachat
ธรรมนูญ thammanun
ธรรศ that
ธรา thara
ธราดล tharadon
ธวัช thawat
ธวัชชัย thawatchai
ธัช thatcha/that
ธัญ thanya/than
ธัญญ thanya/than
ธาตุ that
ธานินทร์ thanin
ธารา thara
ธำรง thamrong
ธิดา thida
ธีร thira
ธีระ thira
นคร nakhon
นคริน nakharin
นง nong
นงนุช nongnut
นงลักษณ์ nonglak
นงเยาว์ nongyao
นนท nontha/non
นพ noppha/nop
นพคุณ nopphakhun
นพดล noppadon
นพมาศ nopphamat
นพร nopphon
นพรัตน์ nopphrarat
นภ noppha/nop
นภสร naphatson
นภัส naphat
นภัสสร naphatson
นภา napha
นร nora
นรา nara
นรินทร์ narin
นริศ narit
นริศรา naritsara
นรีรัตน์ narirat
นฤ narue
นว nawa
นวพร nawaphon
นวรัตน nawarat
นวรัตน์ nawarat
นวล nuan
นัฐ nattha/nat
นัทธ nattha/nat
นันท nantha/nan
นันทนา nanthana
นัย naiya/nai
นาฏ nat
นาฏยา nattaya
นาถ nat
นารถ nat
นารี nari
นิตย nittaya/nit
นิตยา nittaya
นิติ niti
นิธิ nithi
นิพนธ์ niphon
นิมิต nimit
นิล nin
นิศา nisa
นิสิต nisit
นุชดา nutchada
นูร nura/nun
นเรนทร์ naren
นเรศ naret
นเรศวร naresuan
บงกช bongkot
บดินท bodin
บดี bodi
บพิตร bophit
บรร ban
บรรณ ban
บริ bori
บวร bowon
บัญชา bancha
บัณฑิต bandit
บัลลังก์ banlang
บัว bua
บารมี barami
บุญ bun
บุตร but
บุษกร butsakon
บุษบา butsaba
ปกรณ์ pakon
ปฏิ pati
ปฏิภาณ patiphan
ปฐม pathom
ปฐมา pathama
ปณต panot
ปติ pati
ปทุม pathum
ปภา papha
ปรมะ parama
ปรมาภรณ์ paramaphon
ปรมินท์ poramin
ประ pra
ประกอบ prakop
ประกาย prakai
ประจักษ์ prachak
ประชา pracha
ประภัสสร praphatson
ประวิทย์ prawit
ประวีณ prawin
ประสงค์ prasong
ประสพ prasop
ประสิทธิ์ prasit
ประเสริฐ prasoet
ปรัชญา pratchaya
ปราณ pran
ปราณี prani
ปรานี prani
ปราโมทย์ pramot
ปริ pari
ปริญญา parinya
ปริตต parit
ปรินทร์ parin
ปรีชา pricha
ปรีดา prida
ปรีย priya
ปรียา priya
ปรเม porame
ปรเมศร์ poramet
ปรเมศวร์ poramet
ปวร pawon
ปวริศ pawarit
ปวีณ pawin
ปวีณา pawina
ปัญญา panya
ปัฐม patthom
ปัณฑ pantha
ปัณณ panna
ปัณณ์ pan
ปัทม patthama
ปัทมา patthama
ปัทมาวดี patthamawadi
ปาณ pan
ปาน pan
ปาริชาต parichat
ปาริชาติ parichat
ปิย piya
ปิยะ piya
ปุณ punna/pun
ปุณย punya
ผกา phaka
ผจง phachong
พงศ phongsa/phong
พงศา phongsa
พงศ์ phong
พงษ phongsa/phong
พจน phot
พจนา photchana
พจนีย์ photchani
พจมาน photchaman
พชร phachara/phachon
พนธ phontha/phon
พนม phanom
พนัส phanat
พนิดา phanida
พยอม phayom
พยัคฆ์ phayak
พยุง phayung
พยูร phayun
พร phon
พรชัย phonchai
พรณ phonna
พรต phrot
พรทิพย์ phonthip
พรนภา phonnapha
พรนิภา phonnipha
พรพรรณ phonphan
พรม phrom
พรรณ phan
พรรณราย phannarai
พรรณี phanni
พรรษ phatsa/phat
พรรษา phansa
พรสวรรค์ phonsawan
พรหม phrom
พรหมพร phromphon
พระ phra
พราหมณ์ phram
พริม phrim
พฤกษ phruek
พฤกษา phrueksa
พฤทธิ์ phruet
พล phon
พลอย phloi
พละ phala
พลากร phalakon
พวง phuang
พสธร photsathon
พสุ phasu
พัช phatcha/phat
พัชน phatchan
พัชนี phatchani
พัชร phatchara/phat
พัชรา phatchara
พัชรินทร์ phatcharin
พัชรี phatchari
พัฒน phatthana/phat
พัฒนพงษ์ phatthanaphong
พัฒนา phatthana
พัทธ phattha/phat
พัน phan
พันทิพา phanthipha
พันธ phan
พันธกานต์ phanthakan
พันธวัช phanthawat
พาณิช phanit
พิชชา phitcha
พิชญ phitchaya/phit
พิชญา phitchaya
พิชัย phichai
พิชิต phichit
พิทย phitthaya
พิทักษ์ phithak
พิธาน phithan
พิบูล phibun
พิพัฒน์ phiphat
พิม phim
พิมพ phim
พิมพา phimpha
พิมล phimon
พิมาน phiman
พิรุณ phirun
พิศ phit
พิศมัย phitsamai
พิษณุ phitsanu
พิสมัย phitsamai
พิสิษฐ์ phisit
พิไล philai
พิไลวรรณ philaiwan
พีร phira
พีระ phira
พุฒิ phutthi/phut
พุทธ phuttha/phut
พุธ phut
ภค phakha
ภคพร phakhaphon
ภคพล phakhaphon
ภคว phakhawa
ภควดี phakhawadi
ภควัต phakhawat
ภคิน phakhin
ภณ phon
ภพ phop
ภมร phamon
ภร phon
ภว phawa
ภวัต phawat
ภวิ phawi
ภักดี phakdi
ภัค phakkha/phak
ภัทร phatthara/phat
ภัทรา phatthara
ภัทริ phatthari
ภัทรี phatthari
ภาคภูมิ phakphum
ภาณุ phanu
ภานุ phanu
ภาวิณี phawini
ภาส phat
ภาสกร phatsakon
ภาสวร phatsawon
ภิญโญ phinyo
ภูมิ phumi/phum
ภูมินทร์ phumin
ภูมิพัฒน์ phumiphat
ภูริ phuri
ภูวดล phuwadon
ภูวนัย phuwanai
ภูวนาท phuwanat
ภูวเดช phuwadet
ภูษิต phusit
มงคล mongkhon
มณฑ montha/mon
มณฑิรา monthira
มณี mani
มติ mati
มน mon
มนชัย monchai
มนต mon
มนตชัย montachai
มนตร montra/mon
มนตรี montri
มนทกานต์ monthakan
มนัสวี manatsawi
มนู manu
มนูญ manun
มยุร mayura
มยุรา mayura
มยุรี mayuri
มรกต morakot
มล mon
มลฤดี monruedi
มหา maha
มัณฑนา manthana
มัทนา matthana
มัลลิกา manlika
มานพ manop
มานะ mana
มานัส manat
มารศรี marasi
มารุต marut
มาลย mali
มาลัย malai
มาศ mat
มิตร mit
มุกดา mukda
ยง yong
ยงยุทธ yongyut
ยมนา yommana
ยรรยง yanyong
ยศ yotsa/yot
ยศธร yotsathon
ยศพล yotsaphon
ยศวดี yotsawadi
ยุทธ yuttha/yut
ยุทธนา yutthana
ยุทธศักดิ์ yutthasak
ยุพ yupha/yup
ยุพดี yuphadi
ยุพา yupha
ยุพาพร yuphaphon
ยุว yuwa
ยุวดี yuwadi
รจนา rotchana
รชต rachata/rachot
รชนี ratchani
รณ ronna/ron
รณรงค์ ronnarong
รดา rada
รติ rati
รพี raphi
รพีพร raphiphon
รว rawa
รวง ruang
รวิ rawi
รวินท์ rawin
รวิภา rawipha
รวิวรรณ rawiwan
รวี rawi
รส rotsa/rot
รสริน rotsarin
รสสุคนธ์ rotsukhon
รักษ raksa/rak
รักษา raksa
รัช ratcha/rat
รัชดา ratchada
รัชต ratchata/ratchat
รัชนี ratchani
รัชพล ratchaphon
รัฐ rattha/rat
รัตติ ratti
รัตน rattana/rat
รัตนา rattana
รัตน์ rat
รัศมิ์ rat
รัศมี ratsami
ราช ratcha/rat
ราชันย์ rachan
ราตรี ratri
ราม ram
รามา rama
รุง rung
รุ่ง rung
ฤกษ์ roek
ฤดี ruedi
ฤทธิ ritthi/rit
ฤทธิ์ rit
ฤทัย ruethai
ลดา lada
ลดาวัลย์ ladawan
ลมัย lamai
ลมุล lamun
ลลิต lalit
ลลิตา lalita
ลว lawa
ลออ lao
ละออ la-o
ลักขณา lakkhana
ลักษ lak
ลักษณ laksana/lak
ลักษณา laksana
ลักษมณ์ lak
ลักษมี laksami
ลาภ lap
ลาวัณย์ lawan
วงศ wongsa/wong
วงษ wongsa/wong
วงเดือน wongduean
วจี wachi
วชร wachara
วชิร wachira
วชิรา wachira
วดี wadi
วทัญญู wathanyu
วนัช wanatcha/wanat
วนา wana
วนิดา wanida
วร wora/won
วรกร worakon
วรท warot
วรนุช woranut
วรพงศ์ woraphong
วรพจน์ woraphot
วรพล woraphon
วรร wan
วรรณ wanna/wan
วรรณพร wannaphon
วรรณภา wannapha
วรรณวิสา wanwisa
วรรณา wanna
วรรณิศา wannisa
วรรณี wanni
วรรธน watthana/wat
วรรธน์ wat
วรวุฒิ worawut
วรัญญา waranya
วรา wara
วราห์ wara
วรินทร warinthon
วรินทร์ warin
วริศ warit
วริศรา waritsara
วรุณ warun
วรุตม์ warut
วรเดช woradet
วลัย walai
วลัยพร walaiphon
วลัยลักษณ์ walailak
วลี wali
วศิน wasin
วสันต์ wasan
วสุ wasu
วัชร watchara/wat
วัชระ watchara
วัชรา watchara
วัชรินทร์ watcharin
วัชรี watchari
วัฒน watthana/wat
วัฒนา watthana
วัน wan
วันทนา wanthana
วันวิสา wanwisa
วันเพ็ญ wanphen
วัลภา wanlapha
วัลย wan
วัลลภ wanlop
วาทิน wathin
วารินทร์ warin
วารี wari
วาสนา watsana
วิกรม wikrom
วิจิตร wichit
วิชชุดา witchuda
วิชญ witchaya/wit
วิชญ์ wit
วิชาญ wichan
วิทย witthaya/wit
วิทยา witthaya
วิทยากร witthayakon
วิทวัส witthawat
วิทูร withun
วินัย winai
วิบูลย์ wibun
วิภา wipha
วิภาวดี wiphawadi
วิมล wimon
วิมลรัตน์ wimonrat
วิลาส wilat
วิศรุต witsarut
วิศว witsawa
วิศวะ witsawa
วิศาล wisan
วิษณุ witsanu
วิสาข wisakha
วิสูตร wisut
วิเชียร wichian
วิเศษ wiset
วิไล wilai
วีร wira
วีรวัฒน์ wirawat
วีระ wira
วุฒิ wutthi/wut
ศกล sakon
ศกุน sakun
ศจี sachi
ศตวรรษ satawat
ศร son
ศรชัย sonchai
ศรวุฒิ sorawut
ศรัญญา saranya
ศรัณย saran
ศรัทธา sattha
ศรา sara
ศราวุธ sarawut
ศรินทิพย์ sarinthip
ศรินยา sarinya
ศรี si
ศรุดา saruda
ศรุต sarut
ศวร suan
ศศิ sasi
ศศิธร sasithon
ศศินา sasina
ศักดา sakda
ศักดินา sakdina
ศักดิ์ sak
ศักดิ์สิทธิ์ saksit
ศักรินทร์ sakkarin
ศันสนีย์ sansani
ศานติ santi
ศาสตร์ sat
ศิร sira
ศิริ siri
ศิล sin
ศิลป sinlapa/sin
ศิลปชัย sinlapachai
ศิลปิน sinlapin
ศิว siwa
ศีล sin
ศุกร์ suk
ศุภ suppha/sup
ศุภกร supphakon
ศุภชัย supphachai
ศุภณัฐ supphanat
ศุภวัฒน์ suppawat
ศุภา supha
ศุภิ suphi
ศุภโชค supphachok
สกล sakon
สกลรัฐ sakonrat
สกาว sakao
สกาวเดือน sakaoduean
สกุล sakun
สงกรานต์ songkran
สงคราม songkhram
สงบ sangop
สงวน sanguan
สงัด sangat
สงา sanga
สง่า sanga
สดใส sotsai
สถาปนา sathapana
สถาพร sathaphon
สถิต sathit
สถิตย์ sathit
สน son
สนทยา sonthaya
สนธยา sonthaya
สนธิ sonthi
สนอง sanong
สนั่น sanan
สนิท sanit
สพล saphon
สม som
สมจิตร somchit
สมนึก somnuek
สมบัติ sombat
สมบูรณ์ sombun
สมประสงค์ somprasong
สมปอง sompong
สมพงษ์ somphong
สมพร somphon
สมพล somphon
สมภพ somphop
สมยศ somyot
สมร samon
สมฤดี somruedi
สมฤทัย somruethai
สมลักษณ์ somlak
สมวงศ์ somwong
สมหมาย sommai
สมหวัง somwang
สมัคร samak
สมัย samai
สมาธิ samathi
สมาน saman
สมิต samit
สมิท samit
สมุทร samut
สมเกียรติ somkiat
สมโภชน์ somphot
สยาม sayam
สยุมพร sayumphon
สร sora/son
สรญา soraya
สรณ soran
สรพงศ์ soraphong
สรยา soraya
สรร san
สรรค์ san
สรรพ sappha/sap
สรวง suang
สรวิชญ์ sorawit
สรวิศ sorawit
สรวีย์ sorawi
สรอย soi
สรัญญา saranya
สรา sara
สราง sarang
สราวุธ sarawut
สริตา sarita
สริน sarin
สร้อย soi
สวย suai
สวรรค sawan
สวรรยา sawanya
สวรส sawarot
สวลี sawali
สวัสดิ์ sawat
สวัสดี sawatdi
สวาง sawang
สวาท sawat
สวิง sawing
สวิตา sawita
สห saha
สหชัย sahachai
สหพล sahaphon
สหรัฐ saharat
สหัส sahat
สังวร sangwon
สัญชัย sanchai
สัญญา sanya
สัตยา sattaya
สันต santa/san
สันติ santi
สันทนา santhana
สันธนะ santhana
สัมพันธ์ samphan
สัมฤทธิ์ samrit
สากล sakon
สาคร sakhon
สาธิต sathit
สาย sai
สายชล saichon
สายฝน saifon
สายพิณ saiphin
สายสมร saisamon
สายหยุด saiyut
สารัช sarat
สารินทร์ sarin
สาวิตรี sawittri
สำรวย samruai
สำราญ samran
สำเนียง samniang
สำเริง samroeng
สิงห singha/sing
สิงหา singha
สิงห์ sing
สิทธิ sitthi
สิร sira
สิริ siri
สิริน sirin
สิโรตม์ sirot
สืบ suep
สุกัญญา sukanya
สุข suk
สุขสันต์ suksan
สุขุม sukhum
สุคนธ sukhon
สุจริต sucharit
สุจิตรา suchittra
สุชญา suchaya
สุชาติ suchat
สุณิสา sunisa
สุด sut
สุดารัตน์ sudarat
สุทธิ sutthi/sut
สุทัศน์ suthat
สุธรรม sutham
สุธี suthi
สุนทร sunthon
สุนทรี sunthari
สุนันทา sunantha
สุนีย์ suni
สุบรรณ suban
สุปราณี suprani
สุปรียา supriya
สุพรรณ suphan
สุพรรณี suphanni
สุพรรษา suphansa
สุพัตรา suphattra
สุภ suppha/sup
สุภัทร suphat
สุภาพร suphaphon
สุภาวดี suphawadi
สุมณฑา sumontha
สุมน sumon
สุมนา sumana
สุมลฑา sumontha
สุมาลี sumali
สุร sura
สุรชัย surachai
สุรพล suraphon
สุรศักดิ์ surasak
สุรางค์ surang
สุรีย์ suri
สุรเดช suradet
สุวดี suwadi
สุวภัทร suwaphat
สุวรรณ suwanna/suwan
สุวรรณา suwanna
สุวรรณี suwanni
สุวัฒน์ suwat
สุวิทย์ suwit
สุวิมล suwimon
สุเมธ sumet
สุเรนทร์ suren
สูรย์ sun
สโรช sarot
สโรชา sarocha
หงส hong
หทัย hathai
หนึง nueng
หนึ่ง nueng
หรรษา hansa
หริ hari
หฤทัย haruethai
หฤษฎ์ harit
หัส hatsa/hat
หัสดินทร์ hatsadin
หัสดี hatsadi
อกนิษฐ์ akanit
อจลา achala
อชิร achira
อดิศร adison
อดิศักดิ์ adisak
อดุล adun
อดุลย์ adun
อติ ati
อธิ athi
อธิป athip
อนงค์ anong
อนล anon
อนวัช anawat
อนัญญา ananya
อนันต ananta/anan
อนันตชัย anantachai
อนันต์ anan
อนาวิล anawin
อนุ anu
อนุช anut
อนุชา anucha
อนุชาติ anuchat
อนุชิต anuchit
อนุรักษ์ anurak
อนุวัติ anuwat
อนุสรณ์ anuson
อภัย aphai
อภิ aphi
อภิชาติ aphichat
อภิรดี aphiradi
อภิวัฒน์ aphiwat
อภิสร aphison
อภิสรา aphisara
อมร amon
อมรา amara
อมริน amarin
อมเรศ amaret
อยุธยา ayutthaya
อร on
อรจิรา orachira
อรชร orachon
อรชุน orachun
อรดา orada
อรทัย orathai
อรนงค์ oranong
อรนาถ oranat
อรนิต oranit
อรนุช oranut
อรพร oraphon
อรพรรณ oraphan
อรพิน oraphin
อรพินท oraphin
อรรคพล akkhaphon
อรรคเดช akkhadet
อรรถ attha/at
อรรถพล atthaphon
อรวรรณ orawan
อรวี orawi
อรสา orasa
อรอนงค์ on-anong
อรอุมา on-uma
อรัญ aran
อรัญญา aranya
อริย ariya
อริส arit
อริสรา aritsara
อริสา arisa
อรุณ arun
อรุณี aruni
อลงกต alongkot
อลงกรณ์ alongkon
อลิษา alisa
อลิส alit
อสมา asama
อัค akkha/ak
อัคร akkhara/ak
อัครพล akkharaphon
อัครา akkhara
อัครเดช akkharadet
อังคณา angkhana
อังคาร angkhan
อังศุ angsu
อัจจิมา atchima
อัจฉรา atchara
อัจฉริย atchariya
อัญ anya
อัญชนา anchana
อัญชลี anchali
อัฐ attha/at
อัมพร amphon
อัมพวัน amphawan
อัมพิกา amphika
อัมร ammara
อัมรา ammara
อัมรินทร์ amarin
อัศว atsawa/at
อัศวิน atsawin
อัศวเทพ atsawathep
อัษฎา atsada
อาทร athon
อาทิตย athit
อาทิตยา athittaya
อาทิตย์ athit
อานนท์ anon
อานุภาพ anuphap
อาภรณ์ aphon
อารมณ์ arom
อารย araya
อารยะ araya
อารยา araya
อารักษ์ arak
อาริยา ariya
อารีย์ ari
อาวรณ์ awon
อาวุธ awut
อำนวย amnuai
อำนาจ amnat
อำพร amphon
อำพล amphon
อำไพ amphai
อิฏฐ ittha
อิทธ ittha/it
อิทธิ itthi
อินท intha/in
อินทร in
อินทรา inthra
อินทรี insi
อินทิรา inthira
อิศร itsara
อิศรา itsara
อิศวร์ it
อิศเรศ itsaret
อิสร itsara
อิสรา itsara
อิสริย itsariya
อุดม udom
อุดร udon
อุทัย uthai
อุทุมพร uthumphon
อุบล ubon
อุบลรัตน์ ubonrat
อุมา uma
อุษณา utsana
อุษณีย์ utsani
อุษา usa
อุไร urai
เกตุ ket
เกริก kroek
เกรียง kriang
เกษตร kaset
เกษม kasem
เกษร keson
เกสร keson
เกียรติ kiatti/kiat
เกียรติ์ kiat
เขต khet
เจต chet
เจน chen
เจริญ charoen
เจิม choem
เจียม chiam
เฉลา chalao
เฉลิม chaloem
เฉลียว chaliao
เชฐ chet
เชษฐ chettha/chet
เชษฐา chettha
เชิด choet
เดช det
เดชา decha
เทพ thep
เทศ thet
เนตร net
เนติ neti
เนาวรัตน์ naowarat
เบญจ bencha
เบญจมาศ benchamat
เบญจวรรณ benchawan
เปรม prem
เปรมปรีดิ์ premprit
เปรมฤดี premruedi
เปี่ยม piam
เผด็จ phadet
เผ่า phao
เพชร phet
เพชรรัตน์ phetcharat
เพชรา phetchara
เพชราภรณ์ phetcharaphon
เพชรินทร์ phetcharin
เพชรี phetchari
เพท phet
เพลิน phloen
เพียร phian
เพ็ชร phet
เพ็ชร์ phet
เพ็ญ phen
เมตตา metta
เมท met
เมธ metha/met
เมธา metha
เมธี methi
เมศ met
เมศวร์ met
เยาว yaowa/yao
เยาวภา yaowapha
เยาวลักษณ์ yaowalak
เรณู renu
เรวัต rewat
เริง roeng
เรือง rueang
เรืองเดช rueangdet
เลิศ loet
เวช wetcha/wet
เวทย์ wet
เวศ wet
เศกสรร seksan
เศรษฐ settha/set
เศรษฐา settha
เศวต sawet
เสก sek
เสกสรร seksan
เสถียร sathian
เสน่ห์ sane
เสน์ sane
เสมอ samoe
เสริญ soen
เสริฐ soet
เสริม soem
เสริมศักดิ์ soemsak
เสรี seri
เสวก sawek
เสาว saowa
เสาวนีย์ saowani
เสาวภา saowapha
เหตุ het
เหม hem
เหมันต์ heman
เหมือน muean
เอก ekka/ek
เอกชัย ekkachai
เอมอร emon
เอือ uea
เอื้อ uea
เอื้อการย์ ueakan
เอื้อมพร ueamphon
แก้ว kaeo
แก้วตา kaeota
แซ sae
แสง saeng
แสน saen
แสวง sawaeng
โชติ chot
โยธิน yothin
โรจน rotchana/rot
โรจน์ rot
โศภิต sophit
โสน sano
โสภณ sophon
โสภา sopha
โสภิณ sophin
โสภิดา sophida
โสภี sophi
โอภาส ophat
โอม om
โอฬาร olan
ไกร krai
ไกรสร kraison
ไชย chai
ไตร trai
ไทย thai
ไทร sai
ไพฑูรย์ phaithun
ไพบูลย์ phaibun
ไพศาล phaisan
ไวทย์ wai
ไวพจน์ waiphot
ไอยรา aiyara
ไอลดา ailada
ไอศวรรย aisawan
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
    for line in text.split("\n"):
        if line:
            thai, latin = line.split()
            thai = _phonic(thai)
            middle, _, last = latin.partition("/")
            elements[thai] = (middle, last or middle)
            lengths.setdefault(thai[:2], set()).add(len(thai))
    return elements, {key: tuple(found) for key, found in lengths.items()}


_ELEMENTS, _LENGTHS = _read_elements(_ELEMENTS_TEXT)

# What a reading costs: only differences matter. Long syllables win over short ones, written vowels over unwritten.
_ELEMENT: Final = 9
_OPEN: Final = 10
_BARE_OPEN: Final = 12
_BARE_CLOSED: Final = 13
_CLOSE: Final = 1
_LINK: Final = 3
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
"""Finals of which only the first is heard, when a silenced letter follows them."""
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
    found: _Found = []
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
            if after not in _ONSET or _ONSET[after] != _ONSET.get(text[there - 1]):
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
    else:
        found.append(("", here + 1, 0 if first == "|" else _WRONG))
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
        if final in "ดบ" or _ONSET.get(after) == _ONSET[final] or after == "ฐ":
            pass
        elif voiced and (after in _SONORANTS or final in "ชสศษจ"):
            # รัตนา rattana, บุษบา butsaba: the final is heard again before a vowel that is not written
            found.append((sound + _ONSET[final] + "a", there + 1, price + _LINK - _CLOSE))
            price += 4
        elif after in _SONORANTS or (final in "สศษ" and after in _ONSET):
            found.append((sound + _ONSET[final] + "a", there + 1, price + _LINK + (0 if final in "ศษส" else 3)))
            price += 2
        if voiced and after in "รล":
            # จิตรา chittra: the final is heard again in a cluster
            found.append((sound, there, price - 4))
    elif final == "ร" and voiced:
        # จิรดา, ภารดี: ร between vowels opens a short syllable rather than ends one
        price += _UNLIKELY
    elif final == "ร" and vowel in "iu" and after in _ONSET:
        price += _UNLIKELY
    found.append((sound, there + 1, price))


def _unled(text: str, here: int, first: str, second: str, found: _Found) -> None:
    """Read syllables whose vowel follows the consonant or is not written."""
    onset = _ONSET[first]
    if first + second in _CLUSTERS:
        joined = _ONSET[second] if first == "ห" else onset + _ONSET[second]
        third = text[here + 2]
        if third in _SIGNS:
            _vowel(text, joined, here + 2, -2 if third in "าีู" or first == "ห" else 0, found)
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
            if text[there + 2] in _SIGNS:
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
            if after not in "รวย":
                _close(text, onset + "ua", there + 1, price + 1, found)
        elif sign == "ร" and after == "ร":
            _close(text, onset + "a", there + 2, price, found)
            _open(text, onset + "an", there + 2, price + 1, found)
        elif sign != "ย":
            price = _BARE_CLOSED + extra
            if after in _ONSET and sign not in "งม":
                price += 6
            _close(text, onset + "o", there, price, found)
    price = _BARE_OPEN + extra
    if sign in "|$":
        price += _UNLIKELY
    _open(text, onset + "a", there, price, found)


def _led(text: str, here: int, first: str, second: str, found: _Found) -> None:
    """Read syllables whose vowel is written, wholly or in part, before the consonant."""
    onset = _ONSET.get(second)
    if onset is None:
        found.append(("", here + 1, _WRONG))
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
    elif first != "โ" and second in "สฉขถผ" and third in _SONORANTS:
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
_ENGLISH_U: Final = re.compile("(?<![os])u(?=[nt]t|nn|n?ch|tch|nj|ks|k|tr|mp)|(?<=^n)u(?=t)|(?<=^t)u(?=n)|(?<=^th)u(?=n)")
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
