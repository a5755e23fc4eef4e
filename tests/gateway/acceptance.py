"""What schemathesis may not hold against the server: `SCHEMATHESIS_HOOKS=tests.gateway.acceptance`.

Its check `positive_data_acceptance` reports a request that the schema allows and the server refuses. The published
document lists the errors that no schema can foresee (`x-beyond-the-schema`): a report of one of those is dropped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

from runtime.ai.openapi import BEYOND


def beyond(error: Mapping[str, Any]) -> str | None:
    """Why no schema can foresee this error; None where one could."""
    param = error["param"] or ""
    text = error["message"].removeprefix(f"{param or 'inputs'}: ")
    for each in BEYOND:
        is_it = error["code"] == each.get("code") and re.fullmatch(each["param"], param)
        if is_it and text.startswith(each["message"]):
            return each["reason"]
    return None


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Half of the requests name no model: an unknown one would be a 404 before the rest is looked at."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and len(body["model"]) % 2:
        return {key: value for key, value in body.items() if key != "model"}
    return body


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether to keep the report; one that is dropped is noted in the file that BEYOND_LOG names."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code != 400:
        return True
    error = response.json()["error"]
    reason = beyond(error)
    if reason is not None and (file := os.environ.get("BEYOND_LOG")):
        with Path(file).open("a", encoding="utf-8") as log:
            log.write(f"{reason}\t{error['message']}\n")
    return reason is None
