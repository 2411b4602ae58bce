"""The address of a gallery on a Milvus server, and how it shall be kept there."""

from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, urlencode, urlsplit

from passerby.errors import InputError

SCHEMES = ("milvus", "milvus+tls")
LEVELS = ("Strong", "Session", "Bounded", "Eventually")
TOKEN = "PASSERBY_MILVUS_TOKEN"  # the environment's variable with "user:password" or an API key


def is_milvus(where: object) -> bool:
    """Whether an address names a Milvus server, not a folder."""
    return isinstance(where, str) and where.split("://")[0] in SCHEMES and "://" in where


@dataclass(frozen=True, kw_only=True)
class MilvusAddress:
    """``milvus://HOST:PORT/NAME?option=value&...``; ``milvus+tls://`` over TLS.

    No secret stands in an address: who may enter is read from the environment's variable
    ``PASSERBY_MILVUS_TOKEN`` ("user:password" or an API key).

    Attributes:
        host: name or number of the server or of the cluster's proxy.
        port: its gRPC port.
        name: of the gallery; letters, digits and underscores.
        tls: encrypt the connection.
        database: Milvus database; empty for the default one.
        district: leading characters of a unit's code that name its district, the partition key.
        partitions: partitions over which Milvus spreads the districts.
        shards: write channels; each is one node's work.
        replicas: copies of the data in query nodes; at most the number of nodes.
        consistency: what a read must have seen. "Strong" (every write acknowledged before, by
            anybody), "Session" (the writes of this process), "Bounded" (all but the last seconds),
            "Eventually". Deletes and checks are always strong.
        patience: seconds for which a request is repeated while the server is away.
    """

    host: str
    port: int = 19530
    name: str = "passerby"
    tls: bool = False
    database: str = ""
    district: int = 4
    partitions: int = 64
    shards: int = 2
    replicas: int = 1
    consistency: str = "Strong"
    patience: float = 30.0

    def __post_init__(self) -> None:
        if not self.host:
            raise InputError("a Milvus address needs a host, like milvus://HOST:19530/NAME")
        if not (self.name.isidentifier() and self.name.isascii()):
            raise InputError(
                f"'{self.name}' cannot name a Milvus gallery; use letters, digits and underscores"
            )
        if self.consistency not in LEVELS:
            raise InputError(
                f"'{self.consistency}' is no consistency level; choose from {', '.join(LEVELS)}"
            )
        for name in ("district", "partitions", "shards", "replicas", "patience"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name}={getattr(self, name)} in a Milvus address; use 1 or more")

    @classmethod
    def parse(cls, text: str) -> "MilvusAddress":
        """Read an address.

        Raises:
            InputError: it is none, or has an unknown option or value.
        """
        parts = urlsplit(text)
        if parts.scheme not in SCHEMES:
            raise InputError(f"'{text}' is no Milvus address; write milvus://HOST:19530/NAME")
        if parts.username or parts.password:
            raise InputError(f"a Milvus address must not hold a password; set {TOKEN} instead")
        kinds: dict[str, type] = {
            "database": str,
            "district": int,
            "partitions": int,
            "shards": int,
            "replicas": int,
            "consistency": str,
            "patience": float,
        }
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(set(given) - set(kinds))
        if unknown:
            raise InputError(
                f"a Milvus address has no option '{unknown[0]}'; it has {', '.join(kinds)}"
            )
        try:
            return cls(
                host=parts.hostname or "",
                port=parts.port or 19530,
                name=parts.path.strip("/") or "passerby",
                tls=parts.scheme.endswith("tls"),
                **{name: kinds[name](value) for name, value in given.items()},
            )
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"the Milvus address '{text}' cannot be read: {error}") from None

    @property
    def uri(self) -> str:
        """What the client connects to."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    def __str__(self) -> str:
        """The address again, with the options that are not the usual ones."""
        options = {
            field.name: getattr(self, field.name)
            for field in fields(self)[4:]
            if getattr(self, field.name) != field.default
        }
        query = f"?{urlencode(options)}" if options else ""
        return f"{SCHEMES[self.tls]}://{self.host}:{self.port}/{self.name}{query}"
