"""Make a fingerprint."""

import hashlib
import json
from typing import Literal

from connectory import Field, Record, TransformerError, transformer


@transformer(value="into")
def hash(  # noqa: A001 - the word users write
    record: Record,
    *,
    into: Field,
    of: list[Field] | None = None,
    algorithm: Literal["sha256", "sha512", "sha1", "md5", "blake2b"] = "sha256",
    length: int | None = None,
) -> Record:
    """Put a fingerprint of fields, or of the whole record, into a field; equal values give equal fingerprints.

    One text is hashed as it is, anything else as JSON with its names sorted. A fingerprint does not hide what can be
    guessed, such as a phone number.

    Options:
        into: where the fingerprint goes
        of: the fields it is made of; without it, the whole record
        algorithm: sha256, sha512, sha1, md5 or blake2b
        length: how many characters of it are kept; without it, all

    Examples:
        {"into": "key", "of": ["name", "city"], "algorithm": "sha256", "length": 12}
        "key"
    """
    value = record if of is None else [field.need(record) for field in of]
    if of is not None and len(of) == 1:
        value = of[0].need(record)
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
    if length is not None and length < 1:
        raise TransformerError(f"length is {length}; a fingerprint has at least 1 character")
    made = hashlib.new(algorithm, text.encode("utf-8", "surrogatepass"), usedforsecurity=False)
    into.put(record, made.hexdigest()[:length])
    return record
