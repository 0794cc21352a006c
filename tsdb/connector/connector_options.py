"""The options of a connector's table, checked: unknown ones are refused with the nearest name."""

from collections.abc import Iterable, Mapping

from tsdb.connector.connector import ConnectorTable
from tsdb.errors import OptionError, nearest
from tsdb.options import OPTIONS, SCAN, OptionSpec, check_value

CONNECTOR = OptionSpec("connector", "string", None, "Which connector the table has.")
_EVERYWHERE = (CONNECTOR, OptionSpec("comment", "string", None, "What the table is for."))
_OWN_PREFIXES = ("tsdb.", "schema.")
"""Keys of the catalog itself: computed columns and watermarks, as `tsdb.metadata.virtual_columns` writes them."""


def check(table: ConnectorTable, specs: Iterable[OptionSpec], open_prefixes: tuple[str, ...] = ()) -> Mapping[str, str]:
    """The table's options. Raises OptionError for an unknown key or a value that does not fit."""
    known = {s.key: s for s in (*_EVERYWHERE, *(o for o in OPTIONS if o.scope == SCAN), *specs)}
    options = dict(table.options)
    for key, value in options.items():
        if key in known:
            check_value(known[key], value)
        elif not key.startswith(_OWN_PREFIXES + open_prefixes):
            raise OptionError(
                f"table `{table.identifier}`: the connector '{options.get('connector')}' has no option '{key}'."
                f"{nearest(key, known)}"
            )
    return options


def require(table: ConnectorTable, options: Mapping[str, str], key: str) -> str:
    """The value of an option that has to be there."""
    if not options.get(key):
        raise OptionError(
            f"table `{table.identifier}`: the connector '{options.get('connector')}' needs the option '{key}'"
        )
    return options[key]
