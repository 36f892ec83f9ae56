"""Signing in a command line by a browser elsewhere."""

import pytest

from graticule.domain.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredDevice,
    Forbidden,
    NoSuchDevice,
    Overloaded,
    SlowDown,
)
from graticule.domain.tenancy import MemberKind, Role, Scope
from graticule.services.accounts import devices as devices_module
from graticule.services.accounts.devices import CODE_LIFETIME_S, KEY_LIFETIME_S, POLL_INTERVAL_S
from support.accounts import bearer


@pytest.fixture
def ana(accounts, admin):
    """Ana, a user, signed in in a browser."""
    member = accounts.members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.USER)
    session = accounts.sessions.begin(member, method="password")
    return accounts.authentication.of_session(session.token.reveal())


@pytest.fixture
def device(accounts):
    return accounts.devices.start("command line on a laptop\n\x1b[31m")


def test_an_approved_device_gets_a_key_of_who_approved_once(accounts, ana, device, clock):
    code = device.code.reveal()
    with pytest.raises(AuthorizationPending):
        accounts.devices.poll(code)
    with pytest.raises(SlowDown):
        accounts.devices.poll(code)
    clock.advance(s=POLL_INTERVAL_S)
    typed = f" {device.user_code.lower().replace('-', ' ')} "
    assert accounts.devices.waiting(ana, typed).name == "command line on a laptop[31m"
    accounts.devices.decide(ana, typed, approve=True)

    key = accounts.devices.poll(code)

    principal = accounts.authentication.of_bearer(bearer(key))
    assert (principal.member_id, principal.scopes) == (ana.member_id, ana.scopes)
    [listed] = accounts.api_keys.list(ana, limit=9).items
    assert listed.name == "signed in: command line on a laptop[31m"
    assert listed.expires_at_ms == clock() + KEY_LIFETIME_S * 1000
    with pytest.raises(ExpiredDevice):
        accounts.devices.poll(code)
    with pytest.raises(NoSuchDevice):
        accounts.devices.decide(ana, device.user_code, approve=True)


def test_a_device_never_gets_more_scopes_than_who_approved(accounts, admin, device):
    manager = accounts.authentication.of_bearer(
        bearer(accounts.key_for(admin, scopes=[Scope.MANAGE]))
    )
    accounts.devices.decide(manager, device.user_code, approve=True)
    key = accounts.devices.poll(device.code.reveal())
    assert accounts.authentication.of_bearer(bearer(key)).scopes == {Scope.MANAGE}
    reader = accounts.authentication.of_bearer(bearer(accounts.key_for(admin, scopes=[Scope.READ])))
    with pytest.raises(Forbidden):
        accounts.devices.decide(reader, accounts.devices.start("x").user_code, approve=True)


def test_a_refused_device_is_told_so(accounts, ana, device):
    accounts.devices.decide(ana, device.user_code, approve=False)
    with pytest.raises(AccessDenied):
        accounts.devices.poll(device.code.reveal())
    assert accounts.api_keys.list(ana, limit=9).items == []


def test_a_device_approved_by_who_is_disabled_meanwhile_gets_nothing(accounts, admin, ana, device):
    accounts.devices.decide(ana, device.user_code, approve=True)
    accounts.members.update(admin, "Ana", is_disabled=True)
    with pytest.raises(AccessDenied):
        accounts.devices.poll(device.code.reveal())


def test_a_code_ends_after_a_quarter_of_an_hour(accounts, ana, device, clock):
    clock.advance(s=CODE_LIFETIME_S)
    with pytest.raises(NoSuchDevice):
        accounts.devices.waiting(ana, device.user_code)
    with pytest.raises(ExpiredDevice):
        accounts.devices.poll(device.code.reveal())
    for unknown in ("", "gdev_x", device.user_code):
        with pytest.raises(ExpiredDevice):
            accounts.devices.poll(unknown)


def test_codes_asked_for_by_anybody_do_not_fill_the_database(accounts, device, clock, monkeypatch):
    monkeypatch.setattr(devices_module, "DEVICES_MAX", 2)
    accounts.devices.start("second")
    with pytest.raises(Overloaded):
        accounts.devices.start("third")
    clock.advance(s=CODE_LIFETIME_S)
    accounts.devices.start("later")
