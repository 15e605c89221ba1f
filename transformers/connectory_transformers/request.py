"""Ask the server for what a record lacks."""

from typing import Any, Literal, cast

from connectory import ApiError, Context, Field, Reader, Record, Template, TransformerError, transformer

_NOT_FOUND = 404
_NOTHING = Template({})


@transformer(at_once=True)
class request:  # noqa: N801 - the word users write
    """Read an entity, and put its answer into the record: an object, or the items of a list.

    Its requests have the limits, the retries and the token of the connection's client; several records ask at once, and
    keep their order. Equal requests of one run are asked once. It only reads: what writes is an outgoing, a step of a
    route. `preview` asks too.

    Options:
        entity: what is read, such as `file` or `vector_store.files`
        path: the path parameters of the entity; a template, such as `{file_id: "&{file}"}`
        query: query parameters; a template
        into: where the answer goes
        pages: all pages of a list, or the first alone
        most: how many items a list may have, at most; with more, the record is an error
        missing: what happens when the server answers 404: error, or null

    Examples:
        {"entity": "file", "path": {"file_id": "&{file}"}, "into": "details", "missing": "null"}
        {"entity": "files", "query": {"purpose": "batch"}, "pages": "first", "into": "files"}
        {"entity": "vector_store.files", "path": {"vector_store_id": "&{id}"}, "most": 500, "into": "files"}
    """

    def __init__(
        self,
        *,
        entity: str,
        into: Field,
        path: Template = _NOTHING,
        query: Template = _NOTHING,
        pages: Literal["all", "first"] = "all",
        most: int = 10_000,
        missing: Literal["error", "null"] | None = "error",
        reader: Reader,
    ) -> None:
        named: Any = path.source
        reader.check(entity, cast("dict[str, Any]", named) if isinstance(named, dict) else None)
        self.reader, self.entity, self.into = reader, entity, into
        self.path, self.query = path, query
        self.most = None if pages == "first" else most
        self.may_miss = missing != "error"

    async def __call__(self, record: Record, *, context: Context) -> Record:
        """Ask for the record."""
        path, query = (_object(one, record, context) for one in (self.path, self.query))
        try:
            found = await self.reader.read(
                self.entity, path=path, query=query, most=self.most, client=context.client
            )
        except ApiError as error:
            if error.status != _NOT_FOUND or not self.may_miss:
                raise TransformerError(str(error)) from error
            found = None
        self.into.put(record, found)
        return record


def _object(template: Template, record: Record, context: Context) -> dict[str, Any]:
    made = template.render(record, context.scope)
    if not isinstance(made, dict):
        raise TransformerError(f"parameters are {made!r:.60}, not an object")
    return cast("dict[str, Any]", made)
