"""OpenStack's own clients, each making one changing call through a gateway when it is told to.

Arguments: the endpoints of cinder, nova and ironic, and the id of what is changed. Lines in: client and fencing token, or
`-` for none. Lines out: the status of each answer to a changing request, then, as JSON, what was raised, or null, and what
it says.
"""

import json
import sys

import requests
from keystoneauth1 import noauth, session

CINDER, NOVA, IRONIC, ID = sys.argv[1:]
# openstacksdk asks what versions there are when it is made, not at each call.
KEPT = []


class Teller(requests.adapters.HTTPAdapter):
    def send(self, request, **kwargs):
        answer = super().send(request, **kwargs)
        if request.method not in ("GET", "HEAD"):
            print(answer.status_code, flush=True)
        return answer


def make_session(endpoint):
    transport = requests.Session()
    transport.mount("http://", Teller())
    return session.Session(auth=noauth.NoAuth(endpoint=endpoint), session=transport)


def cinder(headers):
    from cinderclient import client

    made = client.Client("3.60", session=make_session(CINDER), endpoint_override=CINDER, additional_headers=headers)
    made.volumes.detach(ID)


def nova(headers):
    from novaclient import client

    made = client.Client("2.90", session=make_session(NOVA), endpoint_override=NOVA)
    made.client.additional_headers = headers
    made.servers.lock(ID)


def ironic(headers):
    from ironicclient import client

    made = client.get_client(
        1, session=make_session(IRONIC), endpoint_override=IRONIC, max_retries=8, retry_interval=1,
        os_ironic_api_version="1.72", additional_headers=headers,
    )
    made.node.set_maintenance(ID, True, maint_reason="fans")


def sdk(headers):
    from openstack import connection

    if not KEPT:
        KEPT.append(connection.Connection(session=make_session(IRONIC), baremetal_endpoint_override=IRONIC, baremetal_api_version="1"))
    KEPT[0].baremetal.additional_headers = headers
    KEPT[0].baremetal.set_node_maintenance(ID, "fans")


CLIENTS = {"cinder": cinder, "nova": nova, "ironic": ironic, "sdk": sdk}
print("ready", flush=True)
for line in sys.stdin:
    name, token = line.split()
    try:
        CLIENTS[name]({} if token == "-" else {"Fencing-Token": token})
        raised = None
        says = ""
    except Exception as error:
        raised = type(error).__name__
        says = str(error)
    print(json.dumps({"raised": raised, "says": says}), flush=True)
