"""The Java client: runs JUnit classes of `tests/clients/java` against a catalog.

`make test` builds them into `.tools/java`; a JDK and Maven are all that must be installed.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from graticule.domain.catalog import AccessKeys
from support.engines import require
from support.server import LiveCatalog

BUILT = Path(__file__).parents[2] / ".tools" / "java"
RUN_TIMEOUT_S = 300
MEMORY_MAX = "-Xmx512m"


@dataclass(frozen=True)
class Report:
    """What became of each test: `failed` and `skipped` are reasons by the test's name."""

    passed: frozenset[str]
    failed: dict[str, str]
    skipped: dict[str, str]


def run_junit(
    catalog: LiveCatalog, folder: Path, *selection: str, own_keys: AccessKeys | None = None
) -> Report:
    """Run what `selection` names (options of JUnit's console) in a JVM of its own.

    The client gets vended credentials, or none but its `own_keys` to the store.
    """
    java = shutil.which("java")
    require(
        java and (BUILT / ".ready").exists(),
        "needs the Java client: `apt install openjdk-17-jdk-headless maven`, then `make test`",
    )
    classpath = [BUILT / "test-classes", *sorted((BUILT / "dependency").glob("*.jar"))]
    command = [
        *(java, MEMORY_MAX, "-XX:TieredStopAtLevel=1", "-cp", ":".join(map(str, classpath))),
        f"-Dorg.slf4j.simpleLogger.logFile={folder / 'client.log'}",
        # The kit takes system properties for the catalog's; its variables have no capitals.
        *(["-Dheader.X-Iceberg-Access-Delegation=none"] if own_keys else []),
        "org.junit.platform.console.ConsoleLauncher",
        *("execute", "--disable-banner", "--disable-ansi-colors", "--details=none"),
        *("--config=rck.local=false", f"--reports-dir={folder}", *selection),
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_EC2_METADATA_DISABLED": "true",
        **_catalog_properties(catalog),
        **(_keys(catalog, own_keys) if own_keys else {}),
    }
    ended = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    report = folder / "TEST-junit-jupiter.xml"
    assert report.exists(), ended.stdout + ended.stderr
    return _read(report)


def _catalog_properties(catalog: LiveCatalog) -> dict[str, str]:
    """The kit's way to name properties: `CATALOG_A__B_C` is `a-b.c`."""
    server = catalog.server
    with server.http() as http:
        location = http.get(f"/api/v1/catalogs/{catalog.id}").json()["location"]
    return {
        "CATALOG_URI": f"{server.url}/catalog",
        "CATALOG_OAUTH2__SERVER__URI": f"{server.url}/catalog/v1/oauth/tokens",
        "CATALOG_WAREHOUSE": catalog.name,
        "CATALOG_CREDENTIAL": server.key.credential,
        "CATALOG_ROOT": location,
        "CATALOG_RCK_REQUIRES__NAMESPACE__CREATE": "true",
        "CATALOG_RCK_SUPPORTS__SERVERSIDE__RETRY": "true",
        "CATALOG_RCK_SUPPORTS__NAMES__WITH__DOT": "true",
        "CATALOG_RCK_SUPPORTS__VARIANT": "true",
    }


def _keys(catalog: LiveCatalog, keys: AccessKeys) -> dict[str, str]:
    store = catalog.server.store
    return {
        "CATALOG_S3_ENDPOINT": store.endpoint,
        "CATALOG_S3_PATH__STYLE__ACCESS": "true",
        "CATALOG_CLIENT_REGION": store.region,
        "CATALOG_S3_ACCESS__KEY__ID": keys.access_key_id,
        "CATALOG_S3_SECRET__ACCESS__KEY": keys.secret_access_key.reveal(),
    }


def _read(report: Path) -> Report:
    passed, failed, skipped = set(), {}, {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name = case.get("name", "").replace("()", "")
        outcomes = {child.tag: child for child in case}
        problem = outcomes.get("failure", outcomes.get("error"))
        if problem is not None:
            failed[name] = problem.get("message") or problem.text or ""
        elif "skipped" in outcomes:
            skipped[name] = outcomes["skipped"].text or ""
        else:
            passed.add(name)
    return Report(frozenset(passed), failed, skipped)
