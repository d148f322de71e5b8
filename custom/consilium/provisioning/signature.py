"""Signatures over a kit's `startup/` folder."""

from __future__ import annotations

from nvflare.lighter.constants import CtxKey, ProvFileName
from nvflare.lighter.impl.signature import SignatureBuilder
from nvflare.lighter.spec import Project, ProvisionContext
from nvflare.lighter.utils import sign_folders
from nvflare.tool.cert.fingerprint import cert_fingerprint_sha256


class StartupSignatureBuilder(SignatureBuilder):  # type: ignore[misc]
    """Sign `startup/` of every kit with the project's root key, and leave `local/` to the site.

    FLARE's own builder signs nothing in a plain kit, and `local/` as well in a kit for homomorphic
    encryption. With a signature in `startup/`, FLARE doesn't start when the connection settings, the
    certificate or the key there were changed. A kit from `nvflare package` has none: the root key is not at
    the hospital.
    """

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Write `startup/signature.json` of every participant.

        Raises:
            RuntimeError: If the builders before this one have made no root key.
        """
        root_key = ctx.get(CtxKey.ROOT_PRI_KEY)
        if not root_key:
            raise RuntimeError(
                "there is no root key to sign with: StartupSignatureBuilder must come after CertBuilder"
            )
        for participant in project.get_all_participants():
            sign_folders(ctx.get_kit_dir(participant), root_key, signature_file=ProvFileName.SIGNATURE_JSON)

    def finalize(self, project: Project, ctx: ProvisionContext) -> None:
        """Print the fingerprint of the federation's CA, which hospitals compare before they trust a kit."""
        fingerprint = cert_fingerprint_sha256(ctx[CtxKey.ROOT_CERT])
        ctx.info(
            f"fingerprint of the federation's CA: {fingerprint}; give it to every hospital by "
            "telephone, to compare it with that of startup/rootCA.pem"
        )
