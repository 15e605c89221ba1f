"""What `input` can name besides a file of lines: files of a folder, CSV, a query; and what an output writes in SQL."""

from __future__ import annotations

import codecs
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from connectory.config.document import parse
from connectory.config.fields import (
    EmptyText,
    Instead,
    OptionalText,
    Section,
    SomeTexts,
    Text,
    TextOrList,
    wrong,
)
from connectory.config.shapes import is_map
from connectory.errors import ConfigError

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_SQLITE = "sqlite:///"
_NO_DATABASE = frozenset({"file", "ftp", "http", "https", "s3"})
_CSV_NAME = re.compile(r"\.(?:csv|tsv|tab)(?:\.gz)?$", re.IGNORECASE)
_KINDS = ("files", "csv", "parquet", "sql", "use")
_FORMS = (
    "must be the name of a file, or {files: PATTERN}, {csv: FILE}, {parquet: FILE}, "
    "{sql: QUERY, database: URL, key: COLUMN} or {use: MODULE:FUNCTION}"
)
_CODE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_ONE_BYTE = 127


def _character(value: str) -> str:
    if value == r"\t":
        return "\t"
    if len(value) != 1 or ord(value) > _ONE_BYTE or value in "\r\n\0":
        raise wrong("must be one character of ASCII, such as ';'")
    return value


def _encoding(value: str) -> str:
    try:
        codecs.lookup(value).incrementaldecoder  # noqa: B018 - what is no encoding of text has none
        "".encode(value)
    except (LookupError, AttributeError, ValueError):
        raise wrong("is no encoding that is known; write one such as cp1252 or utf-16") from None
    return value


def _database(value: str) -> str:
    if "${" in value:
        return value
    if value in {_SQLITE, ":memory:", f"{_SQLITE}:memory:"}:
        raise wrong("must name a file")
    if value.startswith(_SQLITE):
        return value.removeprefix(_SQLITE)
    scheme = _SCHEME.match(value)
    if scheme and scheme[1].lower() in _NO_DATABASE:
        raise wrong(
            "is no URL of a database; write one such as postgresql://user@host/name, or the file of SQLite"
        )
    return value


def _code(value: str) -> str:
    if not _CODE.fullmatch(value):
        raise wrong("is not 'module:function'")
    return value


def _pattern(value: Any) -> Any:
    for one in [value] if isinstance(value, str) else value:
        if PurePosixPath(one).is_absolute() or PureWindowsPath(one).drive or ".." in PurePosixPath(one).parts:
            raise wrong("must be a pattern below a folder; name the folder with 'folder'")
    return value


def _statement(value: str) -> str:
    text = value.strip().rstrip(";").rstrip()
    if not text:
        raise wrong("must be a statement")
    return text


def _empty(value: Any) -> Any:
    return "null" if value is None else value


Character = Annotated[str, AfterValidator(_character)]
Quote = Annotated[str, AfterValidator(lambda value: value and _character(value))]
Database = Annotated[str, Field(min_length=1), AfterValidator(_database)]
Statement = Annotated[str, AfterValidator(_statement)]
Code = Annotated[Text, AfterValidator(_code)]
Pattern = Annotated[TextOrList, AfterValidator(_pattern)]


class FilesInput(Section):
    """The files of a folder: one record each."""

    files: Pattern = Field(
        description="Pattern of the files' names, such as audio/**/*.mp3, or a list of patterns (required)",
        examples=["audio/**/*.mp3", ["*.wav", "*.mp3"]],
    )
    folder: OptionalText = Field(
        default=None,
        description="Folder that the names are relative to (default: this file's)",
        examples=["recordings"],
    )


class CsvInput(Section):
    """A CSV file: one record a row."""

    csv: Text = Field(
        description="File with the rows, or '-' for stdin (required)", examples=["products.csv", "-"]
    )
    delimiter: Character | None = Field(
        default=None,
        description="Character between the columns (default: a tab in .tsv, else a comma)",
        examples=[";"],
    )
    quote: Quote = Field(
        default='"',
        description="Character around a text, '' where there is none (default: the double quote)",
        examples=["'", ""],
    )
    encoding: Annotated[Text, AfterValidator(_encoding)] | None = Field(
        default=None,
        description="Encoding, such as cp1252 (default: UTF-8, or what a byte order mark says)",
        examples=["cp1252", "utf-16"],
    )
    empty: Annotated[Literal["", "null"], Instead(_empty, {"type": "null"})] = Field(
        default="", description="What an empty value becomes: '' or null (default: '')", examples=["null"]
    )
    columns: SomeTexts | None = Field(
        default=None,
        description="Names of the columns of a file without a header (default: its first row)",
        examples=[["id", "text"]],
    )


class ParquetInput(Section):
    """A Parquet or Arrow file: one record a row."""

    parquet: Text = Field(
        description="Parquet file, or Arrow file (IPC, Feather), with the rows (required)",
        examples=["texts.parquet", "texts.arrow"],
    )
    columns: SomeTexts | None = Field(
        default=None, description="Columns that are read (default: all)", examples=[["id", "text"]]
    )


_DATABASES = ["shop.db", "sqlite:///shop.db", "postgresql://shop:${SHOP_PASSWORD}@db.example.com/shop"]


class SqlInput(Section):
    """A query: one record a row."""

    sql: Statement = Field(
        repr=False,
        description="The query, each row becomes a record; or the URL of the database, beside `query` (required)",
        examples=["SELECT id, text FROM texts WHERE flagged IS NULL"],
    )
    database: Database | None = Field(
        default=None,
        description="The SQLite file, or the URL of a database (required, unless `sql` is the URL)",
        repr=False,
        examples=_DATABASES,
    )
    query: Statement | None = Field(
        default=None,
        description="The query, where `sql` is the URL of the database (default: none)",
        examples=["SELECT id, text FROM texts WHERE flagged IS NULL"],
    )
    key: Text = Field(
        description="Column by which the rows are read in order; no two rows have the same value (required)",
        examples=["id"],
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.database is None and self.query is None:
            raise wrong("needs 'database', the file of SQLite or the URL of a database")
        if self.database is not None and self.query is not None:
            raise wrong(
                "has 'database' and 'query'; write {sql: QUERY, database: URL} or {sql: URL, query: QUERY}"
            )
        return self

    @property
    def statement(self) -> str:
        """The query."""
        return self.query or self.sql

    @property
    def where(self) -> str:
        """The file of SQLite, or a URL."""
        return _database(self.sql) if self.database is None else self.database


class UsedInput(Section):
    """Records of a function of one's own."""

    use: Code = Field(
        description="Function or class that gives the records, as module:name (required)",
        examples=["orders:orders"],
    )
    options: Any = Field(
        default=None, repr=False, description="Its options (default: none)", examples=[{"count": 10}]
    )


class UsedOutput(Section):
    """A sink of one's own."""

    use: Code = Field(
        description="Class or function that makes the sink, as module:name (required)",
        examples=["orders:Drawer"],
    )
    options: Any = Field(
        default=None, repr=False, description="Its options (default: none)", examples=[{"file": "drawer.txt"}]
    )


class SqlOutput(Section):
    """A statement that is run for every line."""

    sql: Statement = Field(
        description="The statement; :name is the field of that name of the line (required)",
        examples=["UPDATE texts SET flagged = :flagged WHERE id = :id"],
    )
    database: Database = Field(
        description="The SQLite file, or the URL of a database (required)", repr=False, examples=_DATABASES
    )

    @property
    def where(self) -> str:
        """The file of SQLite, or a URL."""
        return self.database


class TableOutput(Section):
    """A table into which every line is written: its fields are the columns."""

    sql: Statement | None = Field(
        default=None,
        repr=False,
        description="The URL of the database, as `database` (default: none)",
        examples=["sqlite:///shop.db"],
    )
    database: Database | None = Field(
        default=None,
        description="The SQLite file, or the URL of a database (required, unless `sql` is the URL)",
        repr=False,
        examples=_DATABASES,
    )
    table: Text = Field(description="The table, or SCHEMA.TABLE (required)", examples=["texts", "shop.texts"])
    write: Literal["insert", "update", "upsert"] = Field(
        description="insert: rows that are new; update: rows that are there; upsert: both (required)",
        examples=["update"],
    )
    key: TextOrList = Field(
        description="Column that tells the rows apart, or a list of columns (required)",
        examples=["id", ["shop", "id"]],
    )

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.database is None) == (self.sql is None):
            raise wrong("needs 'database', the file of SQLite or the URL of a database")
        return self

    @property
    def where(self) -> str:
        """The file of SQLite, or a URL."""
        return _database(self.sql or "") if self.database is None else self.database


def _kind(value: Any) -> str | None:
    if is_map(value):
        found = [f"<{kind}>" for kind in _KINDS if kind in value]
        return found[0] if found else None
    return "<text>" if isinstance(value, str) else None


def _refuse_others(value: Any) -> Any:
    if _kind(value) is None:
        raise wrong(_FORMS)
    return value


_Forms = Annotated[
    Annotated[Text, Tag("<text>")]
    | Annotated[FilesInput, Tag("<files>")]
    | Annotated[CsvInput, Tag("<csv>")]
    | Annotated[ParquetInput, Tag("<parquet>")]
    | Annotated[SqlInput, Tag("<sql>")]
    | Annotated[UsedInput, Tag("<use>")],
    Discriminator(_kind),
    BeforeValidator(_refuse_others),
]
InputForm = str | FilesInput | CsvInput | ParquetInput | SqlInput | UsedInput
Input = Annotated[_Forms | None, EmptyText]
_INPUT: TypeAdapter[InputForm] = TypeAdapter(_Forms)


def parse_input(text: str) -> InputForm:
    """Read what stands behind `--input`: a file's name, or one of the forms on one line. Raises ConfigError."""
    if not text.startswith("{"):
        return text
    document = parse(text, file="--input")
    if document.problems:
        raise ConfigError(document.problems)
    try:
        form = _INPUT.validate_python(document.data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"] if not str(part).startswith("<"))
        reason = first["msg"] if first["type"] == "connectory" else first["msg"].lower()
        raise ConfigError(f"--input: {repr(where) + ' ' if where else ''}{reason}") from None
    if isinstance(form, SqlInput) and secret_in(form.where):
        raise ConfigError(
            "--input: a password does not belong on a command line, where others see it and the journal keeps it; "
            "name the database in the configuration, with ${NAME} for the password"
        )
    return form


def is_parquet(name: str) -> bool:
    """Say whether a file's name is that of a Parquet or Arrow file."""
    return name.lower().endswith((".parquet", ".arrow", ".feather"))


def is_csv(name: str) -> bool:
    """Say whether a file's name is that of a CSV file."""
    return _CSV_NAME.search(name) is not None


def secret_in(url: str) -> str:
    """Give the password of a database's URL, as it is written there; nothing where there is none."""
    userinfo = url.rpartition("@")[0].partition("://")[2]
    return userinfo.partition(":")[2] or next(
        (value for name, value in parse_qsl(url.partition("?")[2]) if "password" in name.lower()), ""
    )
