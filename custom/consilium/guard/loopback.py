"""Authentication of connections within one machine."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from collections import OrderedDict
from typing import Any, ClassVar, Final

from nvflare.fuel.f3 import communicator
from nvflare.fuel.f3.cellnet.defs import CellPropertyKey
from nvflare.fuel.f3.cellnet.fqcn import FQCN
from nvflare.fuel.f3.cellnet.identity import get_param, is_mtls_connection
from nvflare.fuel.f3.comm_error import CommError
from nvflare.fuel.f3.drivers.connector_info import Mode
from nvflare.fuel.f3.drivers.driver_params import DriverParams
from nvflare.fuel.f3.sfm import conn_manager
from nvflare.fuel.f3.sfm.conn_manager import ConnManager
from nvflare.fuel.f3.sfm.constants import HandshakeKeys, Types
from nvflare.fuel.f3.sfm.prefix import Prefix
from nvflare.fuel.f3.sfm.sfm_conn import SfmConnection
from nvflare.utils import job_launcher_utils

from consilium.counts import counted
from consilium.federation.replacement import replace
from consilium.guard.audit_log import record_rejected_connection
from consilium.guard.parties import parse_party
from consilium.guard.start_precedence import START, Start, must_wait

KEY_VARIABLE: Final = "CONSILIUM_LOOPBACK_KEY"
"""Environment variable that hands the secret of a parent process to the jobs that it starts."""

_PROOF, _NONCE = "consilium_proof", "consilium_nonce"
_KEY_BYTES: Final = 32
_NO_NAME: Final = (None, "", "N/A")
"""What FLARE's drivers give for a peer whose certificate they don't see."""

_MAX_HANDSHAKE_BYTES: Final = 16 * 1024
_MAX_NONCES: Final = 100_000
_KNOWN_KEYS: Final = (HandshakeKeys.ENDPOINT_NAME, CellPropertyKey.FQCN)

_flares_credentials = job_launcher_utils.get_credential_env


class LoopbackKey:
    """The secret that the processes of one participant share until its parent process ends.

    The parent process draws it. Each job that it starts gets it in its environment: by inheritance, or,
    where a job runs in a container, with FLARE's own credentials. It is on no disk and in no message.
    """

    _key: bytes | None = None

    @classmethod
    def get(cls) -> bytes:
        """Return the secret; the first call takes it from the environment, or draws it for jobs to come."""
        if cls._key is None:
            inherited = os.environ.pop(KEY_VARIABLE, "")
            if inherited:
                cls._key = bytes.fromhex(inherited)  # a job's process, whose own children don't need it
            else:
                cls._key = secrets.token_bytes(_KEY_BYTES)
                os.environ[KEY_VARIABLE] = cls._key.hex()
        return cls._key

    @classmethod
    def proof(cls, *words: str) -> str:
        """Return a proof that a process with the secret sent some words."""
        return hmac.new(cls.get(), "\0".join(words).encode(), hashlib.sha256).hexdigest()


class UsedNonces:
    """Nonces of accepted handshakes, to prevent replay.

    Only who knows the secret adds to them, so no one else can have an old one forgotten.

    Args:
        longest: How many are remembered.
    """

    def __init__(self, longest: int = _MAX_NONCES) -> None:
        self._longest = longest
        self._used: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, nonce: str) -> bool:
        """Remember a number; returns whether it is new."""
        with self._lock:
            if nonce in self._used:
                return False
            self._used[nonce] = None
            if len(self._used) > self._longest:
                self._used.popitem(last=False)
            return True


class ProvenConnection(SfmConnection):  # type: ignore[misc]
    """A connection without certificates whose handshake proves knowledge of the secret.

    A process that connects says its name and a number used once; the one that listens says its own name over
    that number, so neither can be repeated by another process. The arguments are FLARE's.

    Attributes:
        used_nonces: The numbers of processes that have connected to this one.
        own_start: Which start of a site this process is; None if it is not a site's parent process.
        other_start: Which one the process at the other end is.
    """

    used_nonces: ClassVar[UsedNonces] = UsedNonces()
    own_start: ClassVar[Start | None] = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.is_proven_by_certificate = is_mtls_connection(self.conn.connector.params)
        self._nonce = secrets.token_hex(16)
        self._has_handshake = False
        self.other_start: Start | None = None

    def take_handshake(self, frame_type: int) -> bool:
        """Record the other end's handshake; returns whether it is expected.

        It is once: with `HELLO` if it has connected to this process, else with `READY`. A process that
        reconnects has another connection.

        Args:
            frame_type: `HELLO` or `READY`.
        """
        due = Types.READY if self.conn.connector.mode == Mode.ACTIVE else Types.HELLO
        with self.lock:
            is_first, self._has_handshake = not self._has_handshake, True
        return is_first and frame_type == due

    def send_handshake(self, frame_type: int) -> None:
        """Send this process's handshake.

        Args:
            frame_type: `HELLO` of the process that connects, `READY` of the one that listens.
        """
        name = self.local_endpoint.name
        data = {HandshakeKeys.ENDPOINT_NAME: name, **(self.local_endpoint.properties or {})}
        if not self.is_proven_by_certificate:
            data |= {_NONCE: self._nonce, _PROOF: self._proof(frame_type, name)}
        elif self.own_start is not None:
            data[START] = self.own_start.as_dict()
        self.send_dict(frame_type, 1, data)

    def believes(self, frame_type: int, data: Any) -> bool:
        """Return whether the other end's identity is proven by the secret.

        Args:
            frame_type: `HELLO` or `READY`.
            data: Its handshake.
        """
        if not isinstance(data, dict):
            return False
        name, proof, nonce = (data.get(key) for key in (HandshakeKeys.ENDPOINT_NAME, _PROOF, _NONCE))
        if not (isinstance(name, str) and isinstance(proof, str) and isinstance(nonce, str)):
            return False
        if frame_type == Types.HELLO:
            self._nonce = nonce  # what this end answers is over the other's number
        if not hmac.compare_digest(proof.encode(), self._proof(frame_type, name).encode()):
            return False
        return frame_type != Types.HELLO or self.used_nonces.use(nonce)

    def _proof(self, frame_type: int, name: str) -> str:
        return LoopbackKey.proof(str(frame_type), name, self._nonce)


class GuardedConnManager(ConnManager):  # type: ignore[misc]
    """FLARE's connection manager, which accepts only a certificate or the secret.

    FLARE lets whatever program of the machine connects to a hospital's loopback port join under any name. The
    arguments are FLARE's.
    """

    def process_frame_task(self, sfm_conn: ProvenConnection, frame: Any) -> None:
        """Take a frame from a connection; called by FLARE for each.

        Args:
            sfm_conn: The connection.
            frame: Its bytes.
        """
        try:
            prefix = Prefix.from_bytes(frame)
        except CommError:
            self._refuse(sfm_conn, "unknown", "it sends something else than frames")
            return
        if prefix.type in (Types.HELLO, Types.READY):
            name, fault = self._handshake_fault(sfm_conn, prefix, frame)
            if fault is not None:
                self._refuse(sfm_conn, name, fault)
                return
            if sfm_conn.is_proven_by_certificate:
                endpoint = self.sfm_endpoints.get(name)
                present = [] if endpoint is None else list(endpoint.connections)
                if must_wait(sfm_conn, name, self.get_dict_payload(prefix, frame), present):
                    return
        super().process_frame_task(sfm_conn, frame)

    def _handshake_fault(
        self, sfm_conn: ProvenConnection, prefix: Prefix, frame: Any
    ) -> tuple[str, str | None]:
        """Return the name that the other end gives, and why it is rejected; None if it is accepted."""
        unknown = "unknown" if sfm_conn.sfm_endpoint is None else sfm_conn.sfm_endpoint.endpoint.name
        if not sfm_conn.take_handshake(prefix.type):
            return unknown, "it says who it is a second time, or when it isn't asked"
        if len(frame) > _MAX_HANDSHAKE_BYTES:
            return (
                unknown,
                f"its handshake has {counted(len(frame), 'byte')}; at most {_MAX_HANDSHAKE_BYTES} are "
                "allowed",
            )
        try:
            data = self.get_dict_payload(prefix, frame)
        except ValueError as error:
            return unknown, f"its handshake can't be read ({type(error).__name__})"
        if not isinstance(data, dict):
            return unknown, f"its handshake is a {type(data).__name__}"
        name = data.get(HandshakeKeys.ENDPOINT_NAME)
        if not isinstance(name, str):
            return unknown, f"its name is a {type(name).__name__}"
        if parse_party(name) is None:
            return name, "its name is nobody's here"
        if not sfm_conn.is_proven_by_certificate and not sfm_conn.believes(prefix.type, data):
            return name, "it is not a process that this participant has started, or repeats what one said"
        return name, None

    @staticmethod
    def _refuse(sfm_conn: ProvenConnection, name: str, fault: str) -> None:
        record_rejected_connection(name, fault)
        sfm_conn.conn.close()

    def update_endpoint(self, sfm_conn: ProvenConnection, data: dict[str, Any]) -> None:
        """Record the party at the other end of a connection.

        Raises:
            CommError: If it has no right to that name.
        """
        connection, name = sfm_conn.conn, data.get(HandshakeKeys.ENDPOINT_NAME)
        is_unseen = get_param(connection.get_conn_properties(), DriverParams.PEER_CN) in _NO_NAME
        connects = sfm_conn.is_proven_by_certificate and connection.connector.mode == Mode.ACTIVE
        # FLARE compares name and certificate where its driver shows the certificate, and gRPC's doesn't.
        if connects and is_unseen and name != FQCN.ROOT_SERVER:
            record_rejected_connection(str(name), "this process was to connect to the server")
            connection.close()
            raise CommError(CommError.BAD_DATA, "the process at the server's address is not the server")
        try:
            super().update_endpoint(sfm_conn, {key: data[key] for key in _KNOWN_KEYS if key in data})
        except CommError:
            connection.close()  # FLARE leaves it open in some cases
            raise


def guard_connections() -> None:
    """Let this process talk on its machine only to processes that know the secret.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    LoopbackKey.get()
    replace(conn_manager, "SfmConnection", ProvenConnection)
    replace(communicator, "ConnManager", GuardedConnManager)
    replace(job_launcher_utils, "get_credential_env", credentials_with_key)


def credentials_with_key(job_args: dict[str, Any]) -> dict[str, str]:
    """Return the environment variables that a job's process is handed: FLARE's credentials, and the secret.

    FLARE's launchers call it; those of containers inherit nothing from the process that starts them.

    Args:
        job_args: FLARE's, of the job's process.
    """
    return {**_flares_credentials(job_args), KEY_VARIABLE: LoopbackKey.get().hex()}
