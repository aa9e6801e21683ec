"""The build's hook: builds the web page where Node is, and puts it into the wheel."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "tools"))

import build_page


class PageHook(BuildHookInterface[Any]):
    """Builds the page before the files are gathered; without Node the wheel goes without it."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build (hatchling); a wheel fails with the page's build, an editable install does not."""
        try:
            build_page.build()
        except build_page.NodeMissing as error:
            self.app.display_warning(str(error))
        except build_page.PageNotBuilt as error:
            if version != "editable":
                raise
            self.app.display_warning(str(error))
        build_data["artifacts"].append("/node/shoal_node/page/")
