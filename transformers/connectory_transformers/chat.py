"""Write the messages of a chat in short."""

from base64 import b64encode
from mimetypes import guess_type
from pathlib import PurePath
from typing import Any, Literal, cast

from connectory import Context, Field, Record, Template, TransformerError, read_file, transformer

_ADDRESSES = ("https://", "http://", "data:image/")
_INTO = Field("messages")


@transformer(value="user")
def chat(
    record: Record,
    *,
    user: Template,
    system: Template | None = None,
    history: Template | None = None,
    images: Template | None = None,
    detail: Literal["low", "high", "auto"] | None = None,
    form: Literal["messages", "input"] = "messages",
    files_root: str = ".",
    into: Field = _INTO,
    context: Context,
) -> Record:
    """Make the messages of a chat: what the system says, what was said before, and what the user says.

    An image is an address, or a file whose content is sent as a data URL. Files lie below the configuration's folder.

    Options:
        user: what the user says
        system: what the system says first
        history: a list of messages that come between the two
        images: an image, or a list of them, that the user shows: addresses, or names of files
        detail: how closely the model looks at the images
        form: messages for chat completions; input for responses
        files_root: the folder of the files, below that of the configuration
        into: where the messages go

    Examples:
        {"system": "Answer in &{language}.", "user": "&{question}", "history": "&{before}"}
        {"user": "What is it?", "images": ["photo.png"], "detail": "low", "files_root": "pictures"}
        {"user": "&{question}", "form": "input", "into": "input"}
    """
    messages: list[Any] = []
    if system is not None:
        messages.append({"role": "system", "content": _text(system.render(record, context.scope))})
    before: object = [] if history is None else history.render(record, context.scope)
    if not isinstance(before, list):
        raise TransformerError(f"the history is {before!r:.60}, not a list of messages")
    said: Any = _text(user.render(record, context.scope))
    shown = _listed(None if images is None else images.render(record, context.scope))
    if shown:
        addresses = [_address(one, files_root, context) for one in shown]
        said = [_words(said, form), *(_image(one, form, detail) for one in addresses)]
    into.put(record, [*messages, *cast("list[object]", before), {"role": "user", "content": said}])
    return record


def _text(said: Any) -> str:
    if not isinstance(said, str):
        raise TransformerError(f"a message is {said!r:.60}, not a text")
    return said


def _listed(images: Any) -> list[object]:
    if isinstance(images, list):
        return cast("list[object]", images)
    return [] if images is None else [images]


def _address(image: Any, files_root: str, context: Context) -> str:
    if not isinstance(image, str) or not image:
        raise TransformerError(f"an image is {image!r:.60}, not an address or the name of a file")
    if image.startswith(_ADDRESSES):
        return image
    media, _ = guess_type(PurePath(image).name)
    if media is None or not media.startswith("image/"):
        raise TransformerError(f"file {image!r:.200} has no ending of an image, such as .png or .jpg")
    root = None if context.folder is None else context.folder / files_root
    return f"data:{media};base64,{b64encode(read_file(image, root)).decode('ascii')}"


def _words(text: str, form: str) -> dict[str, Any]:
    return {"type": "text" if form == "messages" else "input_text", "text": text}


def _image(address: str, form: str, detail: str | None) -> dict[str, Any]:
    closely = {} if detail is None else {"detail": detail}
    if form == "messages":
        return {"type": "image_url", "image_url": {"url": address, **closely}}
    return {"type": "input_image", "image_url": address, **closely}
