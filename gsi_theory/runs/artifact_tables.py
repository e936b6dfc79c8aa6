"""Tables of an artifact as Parquet: one file a table beside the artifact's JSON, named NAME.TABLE.parquet.

Each file carries the artifact's provenance in its schema metadata (key `gsi`), so that it says alone where it came
from. Infinite floats are stored as such; NaN is refused; None is null. The bytes depend on values and provenance alone.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gsi_theory.errors import InputError
from gsi_theory.types import Column, Json

__all__ = ["METADATA", "read_table", "table_bytes"]

METADATA = b"gsi"


def table_bytes(columns: Mapping[str, Column], record: Mapping[str, object], place: str) -> bytes:
    """Parquet of equally long columns with `record` as metadata. InputError on NaN or mixed types, naming `place`."""
    arrays = {}
    for name, values in columns.items():
        # from_pandas would turn NaN into null; a list of Python numbers keeps it, so that it can be refused
        members = values.tolist() if isinstance(values, np.ndarray) else values
        plain = [v.item() if isinstance(v, np.generic) else v for v in members]
        bad = [i for i, v in enumerate(plain) if isinstance(v, float) and v != v]
        if bad:
            raise InputError(
                f"NaN at {place}.{name}[{bad[0]}]: an artifact holds no NaN; leave the row out or store null"
            )
        try:
            arrays[name] = pa.array(plain)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InputError(f"column {place}.{name} mixes types ({error}): store one type a column") from error
    table = pa.table(arrays).replace_schema_metadata({METADATA: json.dumps(dict(record), sort_keys=True)})
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def read_table(path: Path, sha256: str) -> dict[str, list[Json]]:
    """The columns of one table. InputError when the file is missing or not the one of that digest."""
    cure = "rerun the command that wrote it"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"no table at {path}, which its artifact names: {cure}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path} is not the table its artifact was written with: {cure}")
    found: dict[str, list[Json]] = pq.ParquetFile(io.BytesIO(content)).read(use_threads=False).to_pydict()
    return found
