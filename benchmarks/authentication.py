"""What it costs to find out who asks: processor time of one check, for each kind of credential."""

import json
import time
from collections.abc import Callable
from statistics import median

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from benchmarks.report import OURS, Options, Result
from graticule import logs
from graticule.access.passwords import PasswordHashing
from graticule.domain.secret import Secret
from graticule.domain.tenancy import MemberKind, Role
from graticule.outbound.fetch import Fetched
from graticule.services.accounts.issuers import Issuers
from graticule.settings import Settings
from graticule.wiring import Services, open_services

CHECKS = 2_000
ROUNDS = 5
GOAL_MS = 0.2
URL = "https://login.example"
PASSWORD = Secret("correct horse battery")


def run(options: Options) -> Result:
    result = Result("Who asks")
    result.notes.append(
        "Processor time of the thread for one check, median of rounds, on SQLite. `known`: the "
        "credential was seen in the last five seconds, as nearly always; `new`: it was not."
    )
    logs.configure(log_format="json", level="error")
    services = open_services(Settings(data_dir=options.folder / "server", log_level="error"))
    try:
        _measure(result, services, checks=50 if options.quick else CHECKS)
    finally:
        services.close()
    return result


def _measure(result: Result, services: Services, *, checks: int) -> None:
    key = services.organisations.bootstrap()
    assert key is not None
    authentication = services.authentication
    bearer = key.credential.replace(":", ".", 1)
    token, _ = services.access_tokens.issue(key.client_id, key.client_secret.reveal())
    admin = authentication.of_bearer(bearer)
    member = services.members.create(admin, name="Ana", kind=MemberKind.USER, role=Role.USER)
    session = services.sessions.begin(member, method="password").token.reveal()
    issued = _trust_issuer(services)
    kinds: dict[str, tuple[Callable[[str], object], str]] = {
        "API key": (authentication.of_bearer, bearer),
        "access token": (authentication.of_bearer, token),
        "token of an issuer (RS256)": (authentication.of_bearer, issued),
        "session": (authentication.of_session, session),
    }
    for kind, (check, credential) in kinds.items():
        check(credential)
        known = _ms_each(lambda c=check, p=credential: c(p), checks)

        def anew(check: Callable[[str], object] = check, credential: str = credential) -> None:
            authentication.forget()
            check(credential)

        new = _ms_each(anew, checks // 10)
        result.add(kind, OURS, known_ms=round(known, 4), new_ms=round(new, 3))
        result.add_ratio(f"{kind}, known: ms over the goal of {GOAL_MS}", known / GOAL_MS, "≤ 1")
    hashing = PasswordHashing()
    stored = hashing.hash(PASSWORD)
    hashed = _ms_each(lambda: hashing.matches(PASSWORD, stored), 3, clock=time.process_time)
    result.add("password (meant to be slow)", OURS, new_ms=round(hashed, 1))


def _ms_each(
    act: Callable[[], object], times: int, *, clock: Callable[[], float] = time.thread_time
) -> float:
    rounds = []
    for _ in range(ROUNDS):
        began = clock()
        for _ in range(times):
            act()
        rounds.append((clock() - began) / times * 1000)
    return median(rounds)


def _trust_issuer(services: Services) -> str:
    """A token of an issuer whose documents come from memory: only the first check fetches them."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = RSAAlgorithm.to_jwk(private.public_key(), as_dict=True) | {"kid": "1", "use": "sig"}

    class Memory:
        def request(self, _method: str, url: str, **_: object) -> Fetched:
            keys = url.endswith("/keys")
            shown = {"keys": [public]} if keys else {"issuer": URL, "jwks_uri": f"{URL}/keys"}
            return Fetched(200, json.dumps(shown).encode())

    issuers: Issuers = services.issuers
    issuers._documents._fetcher = Memory()  # type: ignore[assignment]  # noqa: SLF001
    issuers.create(
        name="idp", url=URL, audiences=["bench"], organisation="default", auto_provision=True
    )
    now = int(time.time())
    claims = {"iss": URL, "aud": "bench", "sub": "ana", "iat": now, "exp": now + 3600}
    return jwt.encode(claims, private, algorithm="RS256", headers={"kid": "1"})
