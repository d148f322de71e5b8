"""Real startup kits, made by FLARE's own provisioning, and servers that bear the server kit's certificate."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import yaml

from consilium.learning.participant import SiteSettings
from consilium.provisioning.check.kit import Kit
from consilium.provisioning.kit_versions import write_expected_versions
from consilium.provisioning.policy import allowed_classes, write_site_policy

SERVER = "localhost"
SITE = "north"


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
            {"name": SITE, "type": "client", "org": "north_hospital"},
            {"name": "lead@example.org", "type": "admin", "org": "coordination", "role": "lead"},
        ],
        "builders": [
            {"path": f"{builders}.workspace.WorkspaceBuilder"},
            {
                "path": f"{builders}.static_file.StaticFileBuilder",
                "args": {"config_folder": "config", "scheme": "grpc"},
            },
            {"path": f"{builders}.cert.CertBuilder"},
            {"path": f"{builders}.signature.SignatureBuilder"},
        ],
    }
    (folder / "home").mkdir()
    (folder / "project.yml").write_text(yaml.safe_dump(description))
    command = [Path(sys.executable).parent / "nvflare", "provision", "-p", "project.yml", "-w", "workspace"]
    # FLARE writes to `~/.nvflare`.
    subprocess.run(
        command, cwd=folder, env={**os.environ, "HOME": str(folder / "home")}, check=True, capture_output=True
    )
    return folder / "workspace" / project / "prod_00"


def hospital_kit(kits: Path, target: Path, dataset: Path) -> Path:
    """A copy of the hospital's kit with the policy of a healthy site."""
    root = Path(shutil.copytree(kits / SITE, target))
    default = json.loads((root / "local" / "resources.json.default").read_text())
    default |= {"class_allow_list": allowed_classes(), "allow_log_streaming": False}
    write(root / "local" / "resources.json", default)
    roles = json.loads((root / "local" / "authorization.json.default").read_text())
    roles["permissions"]["lead"]["byoc"] = "none"
    roles["permissions"]["project_admin"] = {"view": "any", "byoc": "none"}
    write(root / "local" / "authorization.json", roles)
    write_site_policy(root / "local", SiteSettings(dataset=dataset))
    write_expected_versions(root)
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
