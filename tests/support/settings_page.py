"""The table of docs/settings.md, as `settings.py` has it."""

from collections.abc import Iterator

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from graticule.settings import Settings

HEADER = ("variable", "default", "unit", "allowed", "meaning")
UNITS = {"_s": "seconds", "_ms": "milliseconds", "_bytes_max": "bytes", "_bytes": "bytes"}
FOLDER_DEFAULT = "`$XDG_DATA_HOME/graticule`, else `~/.local/share/graticule`"


def settings_table() -> str:
    lines = [HEADER, tuple("---" for _ in HEADER), *_rows()]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def _rows() -> Iterator[tuple[str, ...]]:
    prefix = str(Settings.model_config["env_prefix"])
    for name, field in Settings.model_fields.items():
        unit = next((text for end, text in UNITS.items() if name.endswith(end)), "")
        meaning = (
            (field.description or "").removesuffix(f", in {unit}") if unit else field.description
        )
        yield f"`{prefix}{name.upper()}`", _default(field), unit, _allowed(field), meaning or ""


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return FOLDER_DEFAULT
    if field.default is None or field.default == "":
        return ""
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"


def _allowed(field: FieldInfo) -> str:
    choices = getattr(field.annotation, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    least = next((rule.ge for rule in field.metadata if isinstance(rule, Ge)), None)
    most = next((rule.le for rule in field.metadata if isinstance(rule, Le)), None)
    match least, most:
        case None, None:
            return ""
        case _, None:
            return f"at least {least}"
        case _:
            return f"{least} to {most}"
