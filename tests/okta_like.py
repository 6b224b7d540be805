"""A client with the shapes of Okta's provisioning traffic: paged import, lookup by userName, create, read and replace,
pathless PATCH, group push; with Okta's User-Agent and headers (developer.okta.com, "SCIM concepts").

It judges nothing and stops at nothing: what a server answers is the recorder's business.
"""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import quote, urlsplit

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


class OktaLike:
    """One client on one kept-alive connection; `statuses` are the answers so far."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        self._http = http.client.HTTPConnection(parts.hostname, parts.port or 80, timeout=30)
        self._base = parts.path
        self._token = token
        self.statuses: list[int] = []

    def send(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Send a request; return the JSON object of the answer, or an empty one."""
        headers = {
            "User-Agent": "Okta SCIM Client 1.0.0",
            "Accept": "application/scim+json",
            "Accept-Charset": "utf-8",
            "Authorization": f"Bearer {self._token}",
        }
        data = None
        if body is not None:
            headers["Content-Type"] = "application/scim+json; charset=utf-8"
            data = json.dumps(body).encode()
        self._http.request(method, self._base + path, body=data, headers=headers)
        answer = self._http.getresponse()
        content = answer.read()
        self.statuses.append(answer.status)
        try:
            document = json.loads(content or b"{}")
        except ValueError:
            return {}
        return document if isinstance(document, dict) else {}

    def patch(self, path: str, *operations: dict[str, Any]) -> dict[str, Any]:
        return self.send("PATCH", path, {"schemas": [PATCH_OP], "Operations": list(operations)})

    def life_of_a_user(self, name: str, external_id: str = "00uoktalike1") -> str:
        """Look for a user, create, read, replace, deactivate and reactivate it; return its id."""
        self.send("GET", "/Users?filter=" + quote(f'userName eq "{name}"') + "&startIndex=1&count=100")
        user = {
            "schemas": [USER],
            "userName": name,
            "name": {"givenName": "Ada", "familyName": "Lovelace"},
            "emails": [{"primary": True, "value": name, "type": "work"}],
            "displayName": "Ada Lovelace",
            "locale": "en-US",
            "externalId": external_id,
            "groups": [],
            "password": "1mz050nq",
            "active": True,
        }
        made = self.send("POST", "/Users", user)
        user_id = str(made.get("id", "none"))
        self.send("POST", "/Users", user)
        self.send("GET", f"/Users/{user_id}")
        changed = {key: value for key, value in user.items() if key != "password"}
        self.send("PUT", f"/Users/{user_id}", {**changed, "id": user_id, "displayName": "Ada King"})
        self.patch(f"/Users/{user_id}", {"op": "replace", "value": {"active": False}})
        self.send("GET", f"/Users/{user_id}")
        self.patch(f"/Users/{user_id}", {"op": "replace", "value": {"active": True}})
        return user_id

    def push_group(self, name: str, member: str) -> str:
        """Create a group, change its members and its name in Okta's forms; return its id."""
        self.send("GET", "/Groups?filter=" + quote(f'displayName eq "{name}"') + "&startIndex=1&count=100")
        made = self.send("POST", "/Groups", {"schemas": [GROUP], "displayName": name, "members": []})
        group_id = str(made.get("id", "none"))
        path = f"/Groups/{group_id}"
        self.patch(path, {"op": "add", "path": "members", "value": [{"value": member, "display": "ada@example.com"}]})
        self.patch(path, {"op": "replace", "value": {"id": group_id, "displayName": f"{name} renamed"}})
        self.patch(path, {"op": "remove", "path": f'members[value eq "{member}"]'})
        self.send("GET", path)
        return group_id

    def import_all(self, page: int = 2) -> None:
        """Read users and groups page by page."""
        for endpoint in ("Users", "Groups"):
            start = 1
            while start < 50:
                got = self.send("GET", f"/{endpoint}?startIndex={start}&count={page}")
                seen, total = len(got.get("Resources") or ()), got.get("totalResults")
                start += seen
                if not seen or not isinstance(total, int) or start > total:
                    break

    def everything(self) -> None:
        """Do all of it, and leave nothing behind."""
        users = [self.life_of_a_user(f"ada{n}@example.com", f"00uoktalike{n}") for n in range(3)]
        group = self.push_group("Analysts", users[0])
        self.import_all()
        self.send("GET", "/Users?filter=" + quote('userName eq "nobody@example.com"') + "&startIndex=1&count=100")
        self.send("GET", "/Users/no-such-user")
        self.send("DELETE", f"/Groups/{group}")
        for user in users:
            self.send("DELETE", f"/Users/{user}")
        self.close()

    def close(self) -> None:
        self._http.close()
