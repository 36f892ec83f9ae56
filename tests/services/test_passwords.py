"""Signing in with a password, guessing one, changing it, and links to choose one."""

import threading

import pytest
from sqlalchemy import func, select

from graticule.access.passwords import PasswordHashing
from graticule.access.throttling import FORGOTTEN_AFTER_MS
from graticule.db.engine import read
from graticule.db.schema import sign_in_attempts
from graticule.domain.errors import (
    Forbidden,
    InvalidRequest,
    NoSuchLink,
    NoSuchMember,
    TooManyAttempts,
    Unauthenticated,
    WrongState,
)
from graticule.domain.secret import Secret
from graticule.domain.tenancy import Edition, MemberKind, Origin, Role
from graticule.services.accounts import throttle as throttle_module
from graticule.services.accounts.passwords import LINK_LIFETIME_S, Passwords
from support.accounts import process

PASSWORD = Secret("correct horse battery")
OTHER = Secret("another horse battery")
HERE = "192.0.2.1"


@pytest.fixture
def ana(accounts, admin):
    """A user with a password."""
    member = accounts.members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.USER)
    accounts.set_password("default", "Ana", PASSWORD)
    return member


def verify(accounts, name="Ana", password=PASSWORD, address=HERE, organisation=None):
    return accounts.passwords.verify(
        name, password, organisation=organisation, origin=Origin(address=address)
    )


def fails(accounts, times=1, **attempt):
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            verify(accounts, **{"password": OTHER, **attempt})


def test_the_right_password_signs_in_and_is_nowhere_in_the_database(accounts, ana, database):
    assert verify(accounts) == ana
    assert verify(accounts, organisation="default") == ana
    with read(database) as conn:
        rows = conn.exec_driver_sql("SELECT * FROM member_passwords").all()
    assert PASSWORD.reveal() not in repr(rows)
    assert "$argon2id$" in repr(rows)


def test_no_answer_tells_what_was_wrong(accounts, admin, ana):
    accounts.members.create(admin, name="job", kind=MemberKind.SERVICE_ACCOUNT, role=Role.USER)
    accounts.members.create(admin, name="new", kind=MemberKind.USER, role=Role.USER)
    accounts.members.create(admin, name="off", kind=MemberKind.USER, role=Role.USER)
    accounts.set_password("default", "off", PASSWORD)
    accounts.members.update(admin, "off", is_disabled=True)
    answers = set()
    for attempt in (
        {"password": OTHER},
        {"name": "nobody"},
        {"name": "job"},
        {"name": "new"},
        {"name": "off"},
        {"organisation": "elsewhere"},
        {"name": "", "password": Secret("")},
        {"name": "x" * 10_000},
    ):
        with pytest.raises(Unauthenticated) as refused:
            verify(accounts, **attempt)
        answers.add(refused.value.message)
    assert answers == {"the name or the password is wrong"}


def test_unknown_names_cost_the_same_work(accounts, ana, monkeypatch):
    hashed = []
    matches = type(accounts.passwords._hashing).matches
    monkeypatch.setattr(
        type(accounts.passwords._hashing),
        "matches",
        lambda self, password, stored: hashed.append(stored) or matches(self, password, stored),
    )
    fails(accounts)
    fails(accounts, name="nobody")
    assert (len(hashed), hashed[1]) == (2, None)


@pytest.mark.parametrize("name", ["Ana", "nobody"])
def test_an_account_is_paused_after_five_failures_known_or_not(accounts, ana, clock, name):
    fails(accounts, 5, name=name)
    for pause_s in (1, 2, 4):
        with pytest.raises(TooManyAttempts) as refused:
            verify(accounts, name=name)
        assert refused.value.retry_after_s == pause_s
        clock.advance(s=pause_s)
        fails(accounts, name=name)
    clock.advance(ms=FORGOTTEN_AFTER_MS + 8_000)
    fails(accounts, 5, name=name)


def test_a_success_forgets_the_accounts_failures(accounts, ana):
    fails(accounts, 4)
    verify(accounts)
    fails(accounts, 5)
    with pytest.raises(TooManyAttempts):
        verify(accounts)


def test_an_address_that_tries_many_accounts_is_paused_and_others_are_not(accounts, ana, clock):
    for number in range(50):
        fails(accounts, name=f"guess {number}")
    with pytest.raises(TooManyAttempts):
        verify(accounts)
    assert verify(accounts, address="192.0.2.2") == ana
    clock.advance(s=1)
    assert verify(accounts) == ana


def test_replicas_count_together(accounts, ana, database, clock):
    other = process(database, clock)
    fails(accounts, 3)
    fails(other, 2)
    for one in (accounts, other):
        with pytest.raises(TooManyAttempts):
            verify(one)


def test_guesses_made_at_once_do_not_slip_by(accounts, ana):
    start, outcomes = threading.Barrier(8), []

    def guess():
        start.wait()
        try:
            verify(accounts, password=OTHER)
        except (Unauthenticated, TooManyAttempts) as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["TooManyAttempts"] * 3 + ["Unauthenticated"] * 5


def test_invented_names_do_not_fill_the_database(accounts, ana, database, clock, monkeypatch):
    monkeypatch.setattr(throttle_module, "SUBJECTS_MAX", 3)
    for number in range(6):
        clock.advance(s=1)
        fails(accounts, name=f"guess {number}")

    accounts.throttle.prune()

    def rows():
        with read(database) as conn:
            return conn.execute(select(func.count()).select_from(sign_in_attempts)).scalar()

    assert rows() == 3
    clock.advance(ms=FORGOTTEN_AFTER_MS + 1000)
    accounts.throttle.prune()
    assert rows() == 0


def test_a_password_is_changed_by_who_knows_it_and_other_sessions_end(accounts, ana):
    here, there = (accounts.sessions.begin(ana, method="password") for _ in range(2))
    principal = accounts.authentication.of_session(here.token.reveal())
    accounts.authentication.of_session(there.token.reveal())

    with pytest.raises(Forbidden):
        accounts.passwords.change(principal, OTHER, OTHER)
    with pytest.raises(InvalidRequest):
        accounts.passwords.change(principal, PASSWORD, Secret("short"))
    accounts.passwords.change(principal, PASSWORD, OTHER)

    assert verify(accounts, password=OTHER) == ana
    fails(accounts, password=PASSWORD)
    assert accounts.authentication.of_session(here.token.reveal()) == principal
    with pytest.raises(Unauthenticated):
        accounts.authentication.of_session(there.token.reveal())


def test_a_stolen_session_cannot_guess_the_password_without_end(accounts, ana):
    session = accounts.sessions.begin(ana, method="password")
    principal = accounts.authentication.of_session(session.token.reveal())
    for _ in range(5):
        with pytest.raises(Forbidden):
            accounts.passwords.change(principal, OTHER, OTHER)
    with pytest.raises(TooManyAttempts):
        accounts.passwords.change(principal, PASSWORD, OTHER)


def test_a_link_lets_a_user_choose_a_password_once(accounts, admin, ana):
    session = accounts.sessions.begin(ana, method="password")
    fails(accounts, 5)
    link = accounts.passwords.create_link(admin, "Ana")
    token = link.token.reveal()
    assert accounts.passwords.member_of_link(token) == ana

    with pytest.raises(InvalidRequest):
        accounts.passwords.use_link(token, Secret("short"))
    assert accounts.passwords.use_link(token, OTHER) == ana

    assert verify(accounts, password=OTHER) == ana  # the failures before are forgiven
    with pytest.raises(Unauthenticated):
        accounts.authentication.of_session(session.token.reveal())
    for use in (accounts.passwords.member_of_link, lambda t: accounts.passwords.use_link(t, OTHER)):
        with pytest.raises(NoSuchLink):
            use(token)


def test_a_new_password_ends_all_links(accounts, admin, ana):
    links = [accounts.passwords.create_link(admin, "Ana").token.reveal() for _ in range(2)]
    accounts.passwords.use_link(links[0], OTHER)
    with pytest.raises(NoSuchLink):
        accounts.passwords.use_link(links[1], PASSWORD)


def test_a_link_ends_after_a_day_and_with_its_member(accounts, admin, ana, clock):
    link = accounts.passwords.create_link_for("default", "Ana").token.reveal()
    accounts.members.update(admin, "Ana", is_disabled=True)
    with pytest.raises(NoSuchLink):
        accounts.passwords.use_link(link, OTHER)
    with pytest.raises(WrongState):
        accounts.passwords.create_link(admin, "Ana")
    accounts.members.update(admin, "Ana", is_disabled=False)
    clock.advance(s=LINK_LIFETIME_S)
    accounts.passwords.remove_expired()
    with pytest.raises(NoSuchLink):
        accounts.passwords.use_link(link, OTHER)


def test_only_admins_make_links_and_only_for_users_of_their_own(accounts, admin, ana):
    session = accounts.sessions.begin(ana, method="password")
    principal = accounts.authentication.of_session(session.token.reveal())
    with pytest.raises(Forbidden):
        accounts.passwords.create_link(principal, "admin")
    accounts.members.create(admin, name="job", kind=MemberKind.SERVICE_ACCOUNT, role=Role.USER)
    with pytest.raises(WrongState, match="service account"):
        accounts.passwords.create_link(admin, "job")
    accounts.organisations.create("other", edition=Edition.COMMUNITY, admin="Zoe")
    with pytest.raises(NoSuchMember):
        accounts.passwords.create_link(admin, "Zoe")


def test_the_same_name_in_two_organisations_is_two_accounts(accounts, ana):
    accounts.organisations.create("other", edition=Edition.COMMUNITY, admin="Ana")
    accounts.set_password("other", "Ana", OTHER)

    assert verify(accounts, organisation="default") == ana
    other = verify(accounts, organisation="other", password=OTHER)
    assert other.organisation_id != ana.organisation_id
    fails(accounts, 5, organisation="other", password=PASSWORD)
    assert verify(accounts) == ana


def test_the_only_organisation_need_not_be_named_whatever_its_name(database, clock):
    accounts = process(database, clock)
    made = accounts.organisations.bootstrap_with_password(
        name="maps",
        admin="Ana",
        password_hash=lambda: accounts.passwords.checked_hash(PASSWORD, name="Ana"),
    )

    assert made
    assert verify(accounts).role is Role.ADMIN
    assert not accounts.organisations.bootstrap_with_password(
        name="maps", admin="Eve", password_hash=lambda: pytest.fail("hashed for nothing")
    )


def test_a_password_hashed_with_less_work_is_hashed_anew(accounts, ana, database, clock):
    today = Passwords(
        database,
        accounts.authentication,
        accounts.throttle,
        accounts.audit,
        now_ms=clock,
        hashing=PasswordHashing(),
    )
    today.verify("Ana", PASSWORD, origin=Origin(address=HERE))
    with read(database) as conn:
        [row] = conn.exec_driver_sql("SELECT password_hash FROM member_passwords").all()
    assert "m=65536,t=3,p=4" in row[0]
