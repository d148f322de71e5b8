"""Real startup kits, made by FLARE's own provisioning, and servers that bear the server kit's certificate."""

import json
import os
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
from nvflare.lighter.constants import CtxKey
from nvflare.lighter.prov_utils import prepare_builders
from nvflare.lighter.provision import prepare_project
from nvflare.lighter.provisioner import Provisioner

from consilium.participant.site_settings import SiteSettings
from consilium.provisioning.kit import Kit
from consilium.provisioning.policy import write_site_policy

SERVER = "localhost"
SITE = "north"


@contextmanager
def umask(value: int) -> Iterator[None]:
    """Let this process have another umask; provisioning sets it, too."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def provision(folder: Path, *, project: str) -> Path:
    """Kits of one server, one hospital and one user; returns the folder that holds them."""
    builders = "nvflare.lighter.impl"
    description = {
        "api_version": 3,
        "name": project,
        "description": "kits to check",
        "participants": [
            {
                "name": SERVER,
                "type": "server",
                "org": "coordination",
                "fed_learn_port": 8102,
                "admin_port": 8102,
            },
            {
                "name": SITE,
                "type": "client",
                "org": "north_hospital",
                "consilium": {"dataset": "/data/brats"},
            },
            {"name": "lead@example.org", "type": "admin", "org": "coordination", "role": "lead"},
        ],
        "builders": [
            {"path": f"{builders}.workspace.WorkspaceBuilder"},
            {
                "path": f"{builders}.static_file.StaticFileBuilder",
                "args": {"config_folder": "config", "scheme": "grpc"},
            },
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": "consilium.provisioning.builder.SitePolicyBuilder"},
            {"path": "consilium.provisioning.signature.StartupSignatureBuilder"},
        ],
    }
    workspace = folder / "workspace"
    # As `nvflare provision` does, within this process, which has everything imported and keeps its umask.
    with umask(0o022):
        context = Provisioner(str(workspace), prepare_builders(description)).provision(
            prepare_project(description)
        )
    assert not context.get(CtxKey.BUILD_ERROR)
    return workspace / project / "prod_00"


def hospital_kit(kits: Path, target: Path, dataset: Path) -> Path:
    """A copy of the hospital's kit with its dataset, and policy files of its own, to be changed."""
    root = Path(shutil.copytree(kits / SITE, target))
    for name in ("resources.json", "authorization.json"):
        shutil.copy(root / "local" / f"{name}.default", root / "local" / name)
    write_site_policy(root / "local", SiteSettings(dataset=dataset))
    return root


def read(path: Path) -> dict:
    return json.loads(path.read_text())


def write(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content))


def aim(root: Path, port: int, *, host: str = SERVER, **client: str) -> Kit:
    """Point a kit at a port of this machine and open it."""
    path = root / "startup" / "fed_client.json"
    startup = read(path)
    startup["servers"][0]["service"]["target"] = f"{host}:{port}"
    startup["client"] |= client
    write(path, startup)
    return Kit(root)


@contextmanager
def grpc_server(kits: Path, *, ca: Path) -> Iterator[int]:
    """A gRPC server with the server kit's certificate that verifies clients by `ca`; yields its port."""
    startup = kits / SERVER / "startup"
    credentials = grpc.ssl_server_credentials(
        [((startup / "server.key").read_bytes(), (startup / "server.crt").read_bytes())],
        root_certificates=ca.read_bytes(),
        require_client_auth=True,
    )
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait(10)


@contextmanager
def listener(kits: Path | None = None, *, says: bytes = b"", ca: Path | None = None) -> Iterator[int]:
    """Plain TCP that says `says` and hangs, or TLS with a server kit's certificate; yields its port."""
    context = None
    if kits is not None:
        startup = kits / SERVER / "startup"
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
        context.load_cert_chain(startup / "server.crt", startup / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    opened: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    opened.append(connection)
                    if context:
                        opened.append(context.wrap_socket(connection, server_side=True))
                    elif says:
                        connection.sendall(says)
                except ssl.SSLError:
                    continue
                except OSError:
                    if server.fileno() < 0:
                        return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join(10)
            for connection in opened:
                connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]
