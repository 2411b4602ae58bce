"""The one error that means: the input is at fault, and here is what to do."""

from typing import Self

# optional package, as it is imported -> (its name for pip, the extra that brings it)
EXTRAS = {
    "alembic": ("alembic", "city"),
    "apsw": ("apsw", "city"),
    "argon2": ("argon2-cffi", "service"),
    "av": ("av", "ingest"),
    "fastapi": ("fastapi", "service"),
    "h5py": ("h5py", "datasets"),
    "httpx2": ("httpx2", "dev"),
    "itsdangerous": ("itsdangerous", "service"),
    "jinja2": ("jinja2", "report"),
    "nats": ("nats-py", "nats"),
    "nncf": ("nncf", "quantise"),
    "numba": ("numba", "fast"),
    "numkong": ("numkong", "city"),
    "onnx": ("onnx", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "openvino"),
    "orjson": ("orjson", "city"),
    "pg8000": ("pg8000", "postgres"),
    "pyarrow": ("pyarrow", "tables"),
    "pydantic": ("fastapi", "service"),
    "pymilvus": ("pymilvus", "milvus"),
    "shapely": ("shapely", "city"),
    "simplejpeg": ("simplejpeg", "jpeg"),
    "sqlalchemy": ("sqlalchemy", "city"),
    "starlette": ("fastapi", "service"),
    "timm": ("timm", "timm"),
    "uvicorn": ("uvicorn", "service"),
}


class InputError(ValueError):
    """Bad input from outside: a path, a table, a picture, a time, a name.

    The message is one sentence that says what was wrong, where, and what to do. The command line
    prints it on one line and exits with status 2; the HTTP service answers it with a 4xx status
    (a damaged store, which is nobody's input, with 500).
    """


class MissingExtraError(InputError, ImportError):
    """A feature needs an optional package that is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        """Name the ``package`` that is missing and the ``extra`` that brings it."""
        super().__init__(
            f"this needs the package '{package}'; install it with: pip install 'passerby[{extra}]'"
        )

    @classmethod
    def of(cls, error: ImportError) -> Self | None:
        """Return the error that says which extra to install; None where no extra brings it."""
        found = EXTRAS.get((error.name or "").partition(".")[0])
        return None if found is None else cls(*found)


def one_line(error: BaseException, length: int = 160) -> str:
    """Return an error's message on one line, cut to ``length`` characters, to quote in another."""
    return " ".join(str(error).split())[:length]
