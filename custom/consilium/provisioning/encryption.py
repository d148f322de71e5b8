"""Homomorphic encryption context that stays the same when a hospital joins later."""

from __future__ import annotations

import json
from pathlib import Path

from nvflare.lighter.constants import ProvFileName
from nvflare.lighter.spec import Builder, Project, ProvisionContext

from consilium.data.files import private_folder, write_atomically
from consilium.errors import ConfigurationError

_STATE = "encryption"


class EncryptionContextBuilder(Builder):  # type: ignore[misc]
    """Give every kit the federation's TenSEAL context.

    FLARE's `HEBuilder` makes the context, once; it is kept in the project's `state/` folder beside the root
    key, so that provisioning again gives the same one. All hospitals share one secret key; the server has
    none.

    Args:
        poly_modulus_degree: Slots of a ciphertext, times two.
        coeff_mod_bit_sizes: Bits of the primes.
        scale_bits: Bits of the fixed-point scale.

    Raises:
        ConfigurationError: If TenSEAL is not installed.
    """

    def __init__(
        self,
        poly_modulus_degree: int = 8192,
        coeff_mod_bit_sizes: tuple[int, ...] = (60, 40, 40),
        scale_bits: int = 40,
    ) -> None:
        try:
            from nvflare.lighter.impl.he import HEBuilder
        except ImportError as error:
            raise ConfigurationError(
                "the project file asks for homomorphic encryption (EncryptionContextBuilder), which needs "
                f"TenSEAL ({error}); run `pip install -c constraints.txt tenseal`, or delete that builder"
            ) from error
        self._parameters = {
            "poly_modulus_degree": poly_modulus_degree,
            "coeff_mod_bit_sizes": list(coeff_mod_bit_sizes),
            "scale_bits": scale_bits,
        }
        self._maker = HEBuilder(**self._parameters)

    def build(self, project: Project, ctx: ProvisionContext) -> None:
        """Write the server's and the clients' contexts.

        Raises:
            ConfigurationError: If the context of an earlier provisioning has other parameters.
        """
        state = Path(ctx.get_state_dir()) / _STATE
        parameters = state / "parameters.json"
        if not parameters.is_file():
            self._make(project, ctx, state)
            write_atomically(parameters, json.dumps(self._parameters).encode())
        made_with = json.loads(parameters.read_text())
        if made_with != self._parameters:
            raise ConfigurationError(
                f"the federation's encryption context was made with {made_with}, and the project file asks "
                f"for {self._parameters}; restore them there, or delete {state} and give every participant "
                "a new kit"
            )
        context = (state / ProvFileName.SERVER_CONTEXT_TENSEAL).read_bytes()
        write_atomically(
            Path(ctx.get_kit_dir(project.get_server())) / ProvFileName.SERVER_CONTEXT_TENSEAL, context
        )
        context = (state / ProvFileName.CLIENT_CONTEXT_TENSEAL).read_bytes()
        for client in project.get_clients():
            write_atomically(Path(ctx.get_kit_dir(client)) / ProvFileName.CLIENT_CONTEXT_TENSEAL, context)

    def _make(self, project: Project, ctx: ProvisionContext, state: Path) -> None:
        private_folder(state)
        self._maker.initialize(project, ctx)
        write_atomically(state / ProvFileName.SERVER_CONTEXT_TENSEAL, self._maker.get_serialized_context())
        write_atomically(
            state / ProvFileName.CLIENT_CONTEXT_TENSEAL, self._maker.get_serialized_context(is_client=True)
        )
