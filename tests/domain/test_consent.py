"""Consent: every combination of policy, word of the citizen, purpose and class, against the rules in words."""

from __future__ import annotations

from itertools import product

import pytest

from mpi.domain.consent import Asking, Basis, Consent, Holding, Network, Policy, Stance, disclosed, open_to_all
from mpi.domain.identifiers import IdentifierKind, IdentifierToken
from mpi.domain.purpose import PurposeOfUse
from mpi.errors import ConfigInvalid
from mpi.service.policy import load_policy

TREAT, PUBHLTH, BTG = PurposeOfUse.TREAT, PurposeOfUse.PUBHLTH, PurposeOfUse.BTG
NUMBER = IdentifierToken(IdentifierKind.NATIONAL_ID, b"\x01" * 32)
OTHER = IdentifierToken(IdentifierKind.NATIONAL_ID, b"\x02" * 32)
PHONE = IdentifierToken(IdentifierKind.PHONE, b"\x03" * 32)
CLIENT = "urn:mpi:exchange:cdes"
WORDS = ("nothing", "yes", "yes once", "yes with sensitive", "yes once with sensitive", "no", "used", "yes elsewhere",
         "yes for another purpose", "no elsewhere", "no for another purpose")  # fmt: skip


def word(text: str, purpose: PurposeOfUse, subject: IdentifierToken | int = NUMBER) -> list[Consent]:
    if text == "nothing":
        return []
    network = "elsewhere" if "elsewhere" in text else "here"
    if "another purpose" in text:
        purpose = PurposeOfUse.HRESCH if purpose is not PurposeOfUse.HRESCH else PurposeOfUse.TREAT
    stance = Stance.USED if text == "used" else Stance.GIVEN if text.startswith("yes") else Stance.WITHDRAWN
    once = "once" in text or text == "used"
    return [Consent(subject, network, purpose, stance, once, "with sensitive" in text)]


def oracle(basis: str, binding: bool, said: str, purpose: PurposeOfUse, sensitive: bool, client: str) -> bool:
    """The rules, told one after the other."""
    if client == "own facility":
        return True  # it holds the record itself
    if client == "steward":
        return True  # must see identities whole
    if purpose is PurposeOfUse.BTG:
        return True  # the glass is broken, and the privacy officer is told
    if said == "no":
        return basis == "statutory" and binding and not sensitive
    if sensitive:
        return said in ("yes with sensitive", "yes once with sensitive")
    if basis == "statutory":
        return True
    return said in ("yes", "yes once", "yes with sensitive", "yes once with sensitive")


CLIENTS = {
    "exchange": lambda purpose: Asking(CLIENT, "", purpose),
    "other facility": lambda purpose: Asking("urn:mpi:facility:11111", "11111", purpose),
    "own facility": lambda purpose: Asking("urn:mpi:facility:10661", "10661", purpose),
    "steward": lambda purpose: Asking("urn:mpi:steward:somchai", "", purpose, whole=True),
}


def test_every_combination():
    """Basis, binding law, the citizen's word, all purposes, class and caller: all against the rules."""
    tried = 0
    for basis, binding, said, purpose, sensitive, client in product(
        ("statutory", "opt-in"), (False, True), WORDS, PurposeOfUse, (False, True), CLIENTS
    ):
        if binding and basis == "opt-in":
            continue  # no such policy is accepted
        network = Network("here", Basis(basis), binding=frozenset(PurposeOfUse) if binding else frozenset())
        policy = Policy((network,), {"psychiatric": frozenset({"10661"} if sensitive else ())})
        holdings = [Holding("10661", frozenset({NUMBER, PHONE, 1}))]
        (seen,), used = disclosed(policy, CLIENTS[client](purpose), holdings, word(said, purpose))
        case = (basis, binding, said, purpose, sensitive, client)
        assert seen is oracle(*case), case
        # A consent for one lookup is used exactly where the record would have been hidden without it.
        assert bool(used) is ("once" in said and seen and not oracle(basis, binding, "nothing", *case[3:])), case
        tried += 1
    assert tried == 3 * len(WORDS) * 8 * 2 * 4


def test_where_nothing_was_said_the_purpose_does_not_matter():
    """What may be located then is the same for every purpose but that of breaking the glass."""
    for basis, binding, sensitive, member in product(Basis, (False, True), (False, True), (False, True)):
        codes = frozenset({"10661"} if member else ())
        network = Network("here", basis, codes, binding=frozenset(PurposeOfUse) if binding else frozenset())
        policy = Policy((network,), {"psychiatric": frozenset({"10661"} if sensitive else ())})
        for purpose in set(PurposeOfUse) - {BTG}:
            seen, _ = disclosed(policy, CLIENTS["exchange"](purpose), [Holding("10661", frozenset({NUMBER}))], [])
            assert seen == [bool(open_to_all(policy, policy.networks, "10661"))]


OPT_IN = Policy((Network("here", Basis.OPT_IN),))
STATUTORY = Policy((Network("here", Basis.STATUTORY),))
ASKING = CLIENTS["exchange"](TREAT)


@pytest.mark.parametrize(
    ("policy", "said", "seen"),
    [
        (OPT_IN, word("yes", TREAT), [True, False, True]),
        (OPT_IN, word("yes", TREAT) + word("yes", TREAT, OTHER), [True, True, True]),
        (OPT_IN, word("yes", TREAT) + word("no", TREAT, OTHER), [False, False, False]),
        (STATUTORY, [], [True, True, True]),
        (STATUTORY, word("no", TREAT, OTHER), [False, False, False]),
        (STATUTORY, word("no", TREAT, 3), [False, False, False]),
        (STATUTORY, word("yes", TREAT) + word("no", TREAT, 3), [False, False, False]),
    ],
)
def test_the_stricter_wins_where_numbers_come_together(policy, said, seen):
    """An objection hides the whole identity; a consent does not open the records of another number."""
    merged = [
        Holding("10661", frozenset({NUMBER, 1})),
        Holding("11111", frozenset({OTHER, 2})),
        Holding("22222", frozenset({PHONE, 3})),
    ]
    assert disclosed(policy, ASKING, merged, said)[0] == seen


def test_a_consent_under_one_number_of_a_record_is_enough():
    """A record with a passport and a national id is opened by a consent under either."""
    holdings = [Holding("10661", frozenset({NUMBER, OTHER}))]
    assert disclosed(OPT_IN, ASKING, holdings, word("yes", TREAT, OTHER))[0] == [True]


def test_clients_ask_over_their_networks():
    """A client that a network names asks over it alone; a record in two is seen over the one that allows it."""
    law = Network("law", Basis.STATUTORY, frozenset({"10661", "11111"}))
    link = Network("here", Basis.OPT_IN, frozenset({"10661", "22222"}), clients=frozenset({CLIENT}))
    policy = Policy((law, link))
    holdings = [Holding(code, frozenset({NUMBER})) for code in ("10661", "11111", "22222", "33333")]
    bound, free = ASKING, Asking("urn:mpi:exchange:other", "", TREAT)
    assert disclosed(policy, bound, holdings, [])[0] == [False] * 4
    assert disclosed(policy, bound, holdings, word("yes", TREAT))[0] == [True, False, True, False]
    assert disclosed(policy, free, holdings, [])[0] == [True, True, False, False]
    assert disclosed(policy, free, holdings, word("yes", TREAT))[0] == [True, True, True, False]


def test_the_shipped_policy():
    """Mor Prom is statutory and holds every facility; Health Link is opt-in."""
    policy = load_policy()
    assert [(each.name, each.basis, each.facilities is None) for each in policy.networks] == [
        ("mor-prom", Basis.STATUTORY, True),
        ("health-link", Basis.OPT_IN, False),
    ]
    assert policy.networks[0].binding == {PUBHLTH}
    assert not policy.is_sensitive("10661")


def test_a_policy_is_checked_as_a_whole(tmp_path):
    """Every problem of a file is named at once."""
    path = tmp_path / "policy.toml"
    path.write_text(
        """
        colour = "red"
        [networks.mor-prom]
        basis = "because"
        facilities = "all"
        [networks."Health Link"]
        basis = "opt-in"
        facilities = ["1"]
        clients = ["cdes"]
        binding = ["TREAT", "FUN"]
        fee = 3
        [sensitive]
        psychiatric = ["x"]
        """
    )
    with pytest.raises(ConfigInvalid) as caught:
        load_policy(path)
    for problem in (
        "colour: is neither",
        "networks.mor-prom.basis: is one of",
        "networks.mor-prom.facilities: is not a list",
        "Health Link: is not a name",
        "facilities: holds what is not a facility code",
        "clients: holds what is not a client's name",
        "binding: holds what is none of",
        "binding: nothing binds",
        "fee: is none of",
        "sensitive.psychiatric: holds",
    ):
        assert problem in caught.value.message


@pytest.mark.parametrize("text", ["", "networks = 3", "not toml", "[networks]\nx = 1", "sensitive = 3"])
def test_a_policy_that_is_none_is_refused(tmp_path, text):
    """So are files that hold something else."""
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(ConfigInvalid):
        load_policy(path)
    with pytest.raises(ConfigInvalid):
        load_policy(tmp_path / "none.toml")
