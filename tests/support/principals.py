"""Members to act as."""

from graticule.domain.tenancy import ALL_SCOPES, Edition, Principal, Role

ANA = Principal(
    organisation_id="organisation-1",
    member_id="0198c0de-0000-7000-8000-a11ce0000001",
    name="Ana López",
    edition=Edition.ENTERPRISE,
    role=Role.ADMIN,
    scopes=ALL_SCOPES,
    key_id="gk_ana",
)
BEN = Principal(
    organisation_id="organisation-1",
    member_id="0198c0de-0000-7000-8000-be40000000b2",
    name="Ben",
    edition=Edition.ENTERPRISE,
    role=Role.USER,
    scopes=ALL_SCOPES,
    key_id="gk_ben",
)
