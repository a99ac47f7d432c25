"""oslo.vmware as Nova and Cinder use it, unmodified: logs in through a gateway, and makes one call for each line in.

Arguments: host and port of the gateway's listener, user, password. Lines in: `off VM`, `on VM`, `copy SOURCE DESTINATION`,
`delete PATH` (paths of datastores, as JSON texts). Lines out: `ready`, then for each line JSON: what became of it, and how
many requests and logins it took.
"""

import json
import sys

from oslo_vmware import api, exceptions, vim_util

HOST, PORT, USER, PASSWORD = sys.argv[1:]
SESSION = api.VMwareAPISession(
    HOST, USER, PASSWORD, api_retry_count=3, task_poll_interval=0.1, scheme="http", port=int(PORT)
)
LOGINS = []
LOG_IN = SESSION._create_session


def counted():
    LOGINS.append(1)
    return LOG_IN()


SESSION._create_session = counted
FILES = SESSION.vim.service_content.fileManager
DATACENTER = vim_util.get_moref("datacenter-2", "Datacenter")


def call(words):
    vim = SESSION.vim
    if words[0] in ("off", "on"):
        method = "PowerOffVM_Task" if words[0] == "off" else "PowerOnVM_Task"
        return SESSION.invoke_api(vim, method, vim_util.get_moref(words[1], "VirtualMachine"))
    if words[0] == "copy":
        return SESSION.invoke_api(
            vim, "CopyDatastoreFile_Task", FILES, sourceName=words[1], sourceDatacenter=DATACENTER,
            destinationName=words[2], destinationDatacenter=DATACENTER, force=True,
        )
    return SESSION.invoke_api(vim, "DeleteDatastoreFile_Task", FILES, name=words[1], datacenter=DATACENTER)


print("ready", flush=True)
for line in sys.stdin:
    del LOGINS[:]
    try:
        task = call(json.loads(line))
        info = SESSION.wait_for_task(task)
        told = {"outcome": str(info.state)}
    except exceptions.VMwareDriverException as error:
        told = {"outcome": type(error).__name__, "message": str(error)}
    print(json.dumps({"logins": len(LOGINS), **told}), flush=True)
