"""Let a job live on when a site's update breaks off."""

from __future__ import annotations

from typing import Any

from nvflare.fuel.f3.cellnet import cell as cell_module

from consilium.federation.replacement import replace


def survive_broken_uploads() -> None:
    """Let a server's job take an update that can't be read for one that has not come.

    FLARE 2.9 ends the job's process at the server when a site's update can't be fetched or read: a site whose
    process dies while it sends costs all others their round, and one that sends nonsense on purpose the job.
    Without that the failure goes back to the site, which sends its update again for as long as it is wanted;
    whether to wait for it is for the job's rules to say.

    Raises:
        ConfigurationError: If FLARE's source is not that of nvflare 2.9.0.
    """
    # FLARE ends the process of a server's job, and no other, by what this function says.
    replace(cell_module, "_is_server_job_cell", _ends_with_a_message)


def _ends_with_a_message(my_info: Any) -> bool:
    return False
