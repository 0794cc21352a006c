"""What a catalog is: databases and tables by name.

Tables are of two kinds: those stored here, which are Paimon tables that other engines see as well, and connector
tables, which only describe something outside ('connector' in their options).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from tsdb.connector.kafka.metadata import is_virtual
from tsdb.metadata.schema import TableSchema
from tsdb.table.schema_change import SchemaChange
from tsdb.table.table import Identifier, Table


@dataclass(frozen=True)
class ConnectorTable:
    """A table outside the warehouse. Its schema's options are those of WITH."""

    identifier: Identifier
    schema: TableSchema

    @property
    def options(self) -> dict[str, str]:
        """The options of WITH, and those of the OPTIONS hint over them."""
        return dict(self.schema.options)

    def with_options(self, dynamic: dict[str, str]) -> "ConnectorTable":
        """The same table with other options."""
        schema = replace(self.schema, options={**self.schema.options, **dynamic})
        return replace(self, schema=schema) if dynamic else self

    def for_writing(self) -> "ConnectorTable":
        """The same table without the columns that can only be read."""
        fields = tuple(field for field in self.schema.fields if not is_virtual(self, field.name))
        schema = replace(self.schema, fields=fields)
        return self if len(fields) == len(self.schema.fields) else replace(self, schema=schema)


AnyTable = Table | ConnectorTable


class Catalog(Protocol):
    """Databases and tables. Names are exact first, then unique without case. Changes are atomic for each table."""

    @property
    def options(self) -> dict[str, str]:
        """Where the warehouse is, and how it is kept."""
        ...

    def list_databases(self) -> list[str]:
        """The names, sorted; `default` is always there."""
        ...

    def create_database(self, name: str, if_not_exists: bool = False) -> None:
        """Raises AlreadyExists."""
        ...

    def database_options(self, name: str) -> dict[str, str]:
        """What was set for a database; `comment` is one of them. Raises DatabaseNotFound."""
        ...

    def set_database_options(self, name: str, options: Mapping[str, str]) -> None:
        """Keep all options of a database. Raises DatabaseNotFound."""
        ...

    def drop_database(self, name: str, if_exists: bool = False, cascade: bool = False) -> None:
        """Raises DatabaseNotFound, and ProgrammingError if it has tables and not cascade."""
        ...

    def list_tables(self, database: str) -> list[str]:
        """The names of all tables of both kinds, sorted. Raises DatabaseNotFound."""
        ...

    def get_table(self, identifier: Identifier) -> AnyTable:
        """Raises DatabaseNotFound or TableNotFound, which name the nearest."""
        ...

    def create_table(self, identifier: Identifier, schema: TableSchema, if_not_exists: bool = False) -> AnyTable:
        """A new table after a draft, in which ids and defaults are filled in; the one there is, if that is allowed."""
        ...

    def drop_table(self, identifier: Identifier, if_exists: bool = False) -> None:
        """The table and all of its files."""
        ...

    def rename_table(self, identifier: Identifier, new: Identifier) -> None:
        """Raises AlreadyExists."""
        ...

    def alter_table(self, identifier: Identifier, changes: Sequence[SchemaChange]) -> AnyTable:
        """The table under its next schema."""
        ...
